# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that roles/tenant_metrics installs: what it says, what it costs, that promtool accepts it."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from cgroup_tree import MIB, cgroup_files, machine, sandbox

from playbooks import run_role

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = ROOT / "roles" / "tenant_metrics" / "files" / "tenant_metrics.py"


def collected(root: Path) -> str:
    command = [sys.executable, "-I", "-S", str(PROGRAM), "--root", str(root), "-"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def samples(text: str) -> dict[str, float]:
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    assert len({name for name, _value in lines}) == len(lines), "a series stands there twice"
    return {name: float(value) for name, value in lines}


@pytest.fixture
def seen(tmp_path: Path) -> dict[str, float]:
    machine(tmp_path, 10.0)
    return samples(collected(tmp_path))


def test_a_tenant(seen: dict[str, float]) -> None:
    web = {
        re.sub(r'tenant="web_1",?', "", name).replace("{}", ""): value
        for name, value in seen.items()
        if 'tenant="web_1"' in name
    }
    assert web == {
        'tenancy_tenant_info{runtime="gvisor",priority="70"}': 1,
        "tenancy_tenant_up": 1,
        "tenancy_tenant_paused": 0,
        "tenancy_tenant_cpu_seconds_total": 10,
        "tenancy_tenant_cpu_throttled_seconds_total": 1,
        "tenancy_tenant_cpu_periods_total": 100,
        "tenancy_tenant_cpu_throttled_periods_total": 10,
        "tenancy_tenant_cpu_limit_cores": 0.5,
        "tenancy_tenant_memory_bytes": 64 * MIB,
        "tenancy_tenant_memory_swap_bytes": 4 * MIB,
        'tenancy_tenant_memory_limit_bytes{limit="low"}': 0,
        'tenancy_tenant_memory_limit_bytes{limit="high"}': 120 * MIB,
        'tenancy_tenant_memory_limit_bytes{limit="max"}': 128 * MIB,
        "tenancy_tenant_oom_kills_total": 1,
        "tenancy_tenant_memory_high_events_total": 7,
        "tenancy_tenant_memory_max_events_total": 3,
        'tenancy_tenant_io_bytes_total{direction="read"}': 8192,
        'tenancy_tenant_io_bytes_total{direction="write"}': 8192,
        'tenancy_tenant_io_operations_total{direction="read"}': 2,
        'tenancy_tenant_io_operations_total{direction="write"}': 2,
        'tenancy_tenant_io_limit_bytes_per_second{direction="read"}': 20e6,
        "tenancy_tenant_processes": 21,
        **{
            f'tenancy_tenant_pressure_seconds_total{{resource="{name}",kind="{kind}"}}': value
            for name in ("cpu", "memory", "io")
            for kind, value in (("some", 0.5), ("full", 0.25))
        },
    }


def test_no_limit_and_no_pressure_are_absent_series(seen: dict[str, float]) -> None:
    batch = [name for name in seen if 'tenant="batch_1"' in name]
    assert 'tenancy_tenant_memory_bytes{tenant="batch_1"}' in batch
    assert not [name for name in batch if "limit" in name and 'limit="low"' not in name]
    assert not [name for name in batch if "pressure" in name]


def test_a_shadow(seen: dict[str, float]) -> None:
    labels = 'shadow="nightly",instance_name="nightly.3"'
    assert seen[f'tenancy_shadow_info{{{labels},runtime="gvisor",tier="frozen"}}'] == 1
    assert seen[f"tenancy_shadow_frozen{{{labels}}}"] == 1
    assert seen[f"tenancy_shadow_memory_bytes{{{labels}}}"] == 2 * MIB
    assert seen["tenancy_node_sandboxes"] == 3


def test_what_is_half_there_is_told_and_stops_nothing(tmp_path: Path) -> None:
    machine(tmp_path, 1.0)
    places = tmp_path / "var/lib/tenancy/places"
    (places / "cut").mkdir()
    (places / "cut" / "record.json").write_text('{"role": "ten')
    sandbox(tmp_path, "stopped_1", {}, role="tenant")
    seen = samples(collected(tmp_path))
    assert seen["tenancy_node_unreadable_records"] == 1
    assert seen["tenancy_node_sandboxes"] == 4
    assert seen['tenancy_tenant_up{tenant="stopped_1"}'] == 0
    assert samples(collected(tmp_path / "empty"))["tenancy_node_sandboxes"] == 0


def test_promtool_finds_nothing_to_say(tmp_path: Path) -> None:
    machine(tmp_path, 1.0)
    command = ["promtool", "check", "metrics"]
    done = subprocess.run(command, input=collected(tmp_path), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_it_costs_less_than_one_percent_of_a_core_at_200_tenants(tmp_path: Path) -> None:
    """CPU time of the whole process, its start included, over the role's default interval; the least of three runs,
    since others use this machine too."""
    for number in range(200):
        sandbox(tmp_path, f"tenant_{number}", cgroup_files(number + 1.0), role="tenant")
    costs = []
    for _run in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        text = collected(tmp_path)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        costs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert samples(text)["tenancy_node_sandboxes"] == 200
    share = min(costs) / 30
    print(f"{1000 * min(costs):.0f} ms for 200 tenants, {100 * share:.2f} % of a core")
    assert share < 0.01


def test_the_role_installs_it_and_removes_it(tmp_path: Path) -> None:
    """In a mount namespace with an empty folder of units; the timer is enabled for real, and cannot be started where
    systemd is not PID 1."""
    units = "/etc/systemd/system"
    (tmp_path / "system").mkdir()
    script = f'mount --bind {tmp_path}/system {units} && exec "$@"'
    root = [] if os.geteuid() == 0 else ["--map-root-user"]
    through = ["unshare", "--mount", *root, "sh", "-c", script, "sh"]
    play = {"through": through, "SYSTEMD_OFFLINE": "1"}
    variables = {
        "tenant_metrics_packages": [],
        "tenant_metrics_textfile_folder": f"{tmp_path}/textfile",
        "tenant_metrics_program_folder": f"{tmp_path}/lib",
    }
    done = run_role("tenant_metrics", tmp_path / "play", variables, **play)
    assert done.failed == 0, done.text
    names = [f"{units}/tenancy-metrics.{kind}" for kind in ("service", "timer")]
    command = [*through, "systemd-analyze", "verify", *names]
    verify = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (verify.returncode, [line for line in verify.stderr.splitlines() if "tenancy" in line]) == (0, [])
    assert (tmp_path / "lib" / "tenant_metrics.py").read_bytes() == PROGRAM.read_bytes()
    again = run_role("tenant_metrics", tmp_path / "play", variables, arguments=["--check"], **play)
    assert (again.failed, again.changed) == (0, 0), again.text
    gone = run_role("tenant_metrics", tmp_path / "play", {**variables, "tenant_metrics_state": "absent"}, **play)
    assert gone.failed == 0, gone.text
    assert not [path for path in tmp_path.rglob("tenancy-metrics*") if path.is_file() or path.is_symlink()]
