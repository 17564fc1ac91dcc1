# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The README's first command, whole, on real traces: the built and installed collection, real VMs, real sandboxes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from ansible_collections.predictive.tenancy.tests.environments import BUILD, ROOT
from laboratory import Lab, changed_tasks

# What may differ in a second run: new measurements, and what is told about them.
MEASURING = {"Take the measurements into the history", "Write the report"}
EXPIRING = {"Make the shadows of this VM ready"}  # a shadow whose request has not come in time is given up


@pytest.fixture(scope="module")
def trace(traces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real requests and usage of two weeks, in the documented format."""
    folder = tmp_path_factory.mktemp("trace")
    sets = ["--set", "bitbrains_consolidation", "--set", "azure_functions_apps"]
    command = [sys.executable, str(ROOT / "tests" / "convert_trace.py"), "--data", str(traces), *sets]
    subprocess.run([*command, "--workloads", "4", "--days", "14", "--out", str(folder)], check=True)
    return folder


def demo(trace: Path, folder: Path) -> str:
    """Run the demo and return what it printed; it is shown as it comes, because it takes minutes."""
    command = [sys.executable, str(ROOT / "tests" / "demo.py"), "demo", "--trace", str(trace), "--folder", str(folder)]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    lines = []
    with subprocess.Popen(command, **streams, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(line)
            lines.append(line)
    assert process.returncode == 0, "".join(lines[-60:])
    return "".join(lines)


def sandboxes(lab: Lab) -> dict[str, int]:
    """The sandboxes that gVisor itself knows in both VMs: bundle to process. One that is frozen, as a shadow is, could
    not answer."""
    listed = (
        "cd /run/tenancy/runsc && for name in *; do "
        'grep -q "frozen 1" "/sys/fs/cgroup/tenants.slice/tenants-$name.slice/cgroup.events" && continue; '
        'runsc --root="$PWD/$name" list --format=json; echo; done'
    )
    lines = [line for vm in ("vm1", "vm2") for line in lab.ssh(vm, listed).splitlines() if line]
    found = [item for line in lines for item in json.loads(line) or []]
    return {item["bundle"]: item["pid"] for item in found if item["status"] == "running"}


def planned(folder: Path, state: str) -> list[dict[str, Any]]:
    """The actions of the plans in that state."""
    with open_store(f"sqlite://{folder}/store.db", read_only=True) as store:
        return [action for plan in store.find("plans") if plan["state"] == state for action in plan["actions"]]


@pytest.mark.usefixtures("virtual_machines")
def test_the_whole_loop(lab: Lab, trace: Path) -> None:
    folder = BUILD / "demo-test"
    shutil.rmtree(folder, ignore_errors=True)  # an earlier run's store would make this one a second run
    first = demo(trace, folder)
    running = sandboxes(lab)
    assert len(running) >= 2
    quotas = lab.ssh("vm1", "grep -H . /sys/fs/cgroup/tenants.slice/tenants-*.slice/cpu.max")
    assert re.search(r"cpu\.max:[0-9]+ 100000", quotas)
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "<script" not in report
    assert not re.search(r"(?:src|href)=[\"']?https?:", report)
    assert "claim" in report
    assert re.search(r"vm1 +ready", first)
    latencies = json.loads((folder / "latency.json").read_text(encoding="utf-8"))
    assert latencies
    assert all(one["claim"] * 2 < one["cold"] for one in latencies), latencies
    applied = planned(folder, "applied")  # what the trace and the surge ask for depends on the minute
    print("applied:", [(action["kind"], action["tenant"], action["reason"]) for action in applied])
    assert all(action["reason"] for action in applied)
    assert planned(folder, "applying") == planned(folder, "failed") == []
    again = demo(trace, folder)
    assert changed_tasks(again) <= MEASURING | EXPIRING
    assert {name: pid for name, pid in sandboxes(lab).items() if name in running} == running
