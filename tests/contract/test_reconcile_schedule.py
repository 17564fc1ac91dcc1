# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The schedule as its role installs it: its command is run as a timer would run it, on a real store."""

from __future__ import annotations

import getpass
import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store

from playbooks import HERE, run_role

ROOT = Path(__file__).resolve().parent.parent.parent
UNIT = "tenancy-reconcile-north"


class Schedule:
    """A schedule below a folder: its role's variables, its command, what it left behind."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.store = f"sqlite://{home}/store.db"
        self.variables: dict[str, Any] = {
            "reconcile_schedule_cell": "north",
            "reconcile_schedule_scheduler": "cron",
            "reconcile_schedule_user": getpass.getuser(),
            "reconcile_schedule_environment_file": f"{home}/secrets",
            "reconcile_schedule_environment": {"SAID": "it's"},
            "reconcile_schedule_ansible": f"{home}/ansible-playbook",
            "reconcile_schedule_inventory": f"{home}/hosts",
            "reconcile_schedule_jitter": 0,
            "reconcile_schedule_lease": 6,
            "reconcile_schedule_logs": 3,
            "reconcile_schedule_config_folder": f"{home}/config",
            "reconcile_schedule_state_folder": f"{home}/state",
            "reconcile_schedule_command_folder": f"{home}/bin",
            "reconcile_schedule_cron_folder": f"{home}/cron",
            "reconcile_schedule_unit_folder": f"{home}/units",
            "reconcile_schedule_metrics_folder": f"{home}/metrics",
        }
        for folder in ("bin", "cron", "units", "metrics"):
            (home / folder).mkdir(parents=True)
        (home / "secrets").write_text(f"TENANCY_STORE='{self.store}'\n", encoding="utf-8")
        self.runs("echo ran; exit 0")

    def runs(self, script: str) -> None:
        """What stands for ansible-playbook: the schedule neither knows nor cares what it runs."""
        path = self.home / "ansible-playbook"
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    def configure(self, **changes: Any) -> None:
        path = self.home / "config" / "reconcile-north.json"
        settings = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**settings, **changes}), encoding="utf-8")

    def command(self, *words: str) -> list[str]:
        return [str(self.home / "bin" / UNIT), *words]

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*words), capture_output=True, text=True, check=False, timeout=60)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(self.command(*words), stdout=subprocess.PIPE, text=True)

    def status(self) -> dict[str, Any]:
        return json.loads(self.call("status").stdout)

    def logs(self) -> list[str]:
        return [path.read_text(encoding="utf-8") for path in sorted(self.home.glob("state/north/logs/*"))]

    def metrics(self) -> dict[str, float]:
        text = (self.home / "metrics" / "tenancy_reconcile_north.prom").read_text(encoding="utf-8")
        lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in lines}


def alive(process: int) -> bool:
    """Whether a process runs; one that only waits for its parent to look does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Schedule:
    """Check, do, do again."""
    schedule = Schedule(tmp_path_factory.mktemp("schedule"))
    changes = []
    for arguments in (["--check"], [], []):
        done = run_role("reconcile_schedule", schedule.home / "play", schedule.variables, arguments=arguments)
        assert done.failed == 0, done.text
        changes.append(bool(done.changed))
    assert changes == [True, True, False]
    return schedule


@pytest.fixture
def schedule(installed: Schedule) -> Schedule:
    """The installed schedule with nothing remembered."""
    for path in installed.home.glob("store.db*"):
        path.unlink()
    for path in installed.home.glob("state/north/*.json"):
        path.unlink()
    installed.configure(interval=300, limit=1800, grace=30, backoff_max=3600)
    installed.runs('echo "$SAID $TENANCY_STORE $*"')
    return installed


def test_a_run_leaves_a_log_a_status_and_metrics(schedule: Schedule) -> None:
    done = schedule.call("tick")
    assert done.returncode == 0, done.stderr
    assert "north: succeeded in" in done.stdout
    wanted = f"""it's {schedule.store} -i {schedule.home}/hosts predictive.tenancy.reconcile -e """
    assert schedule.logs()[-1].startswith(wanted)
    assert json.loads(schedule.logs()[-1].removeprefix(wanted)) == {
        "tenancy_cell": "north",
        "reconcile_mode": "recommend",
        "reconcile_metrics": f"{schedule.home}/metrics/tenancy_north.prom",
    }
    status = schedule.status()
    assert (status["outcome"], status["status"], status["failures"], status["running_by"]) == ("succeeded", 0, 0, "")
    metrics = schedule.metrics()
    assert metrics['tenancy_reconcile_ticks_total{cell="north",outcome="succeeded"}'] == 1
    assert metrics['tenancy_reconcile_last_exit_status{cell="north"}'] == 0
    assert abs(metrics['tenancy_reconcile_last_success_timestamp_seconds{cell="north"}'] - time.time()) < 60


def test_the_real_playbook_is_run_and_writes_its_metrics(schedule: Schedule) -> None:
    """The whole chain on a cell without VMs: command, lease, ansible-playbook, the collection's playbook, store."""
    here = " ".join(f"{key}={value}" for key, value in HERE.items())
    (schedule.home / "hosts").write_text(f"localhost {here}\n[capacity_vms]\n[cell_north]\n", encoding="utf-8")
    settings = json.loads((schedule.home / "config" / "reconcile-north.json").read_text(encoding="utf-8"))
    stand_in = settings["command"]
    schedule.configure(command=[str(Path(sys.executable).parent / "ansible-playbook"), *stand_in[1:]])
    try:
        done = schedule.call("tick")
    finally:
        schedule.configure(command=stand_in)
    assert done.returncode == 0, schedule.logs()[-1]
    assert "Propose a plan" in schedule.logs()[-1]
    metrics = (schedule.home / "metrics" / "tenancy_north.prom").read_text(encoding="utf-8")
    assert 'tenancy_vms{cell="north",state="ready"} 0' in metrics


def test_runs_never_overlap(schedule: Schedule) -> None:
    """The second comes while the first is running; the lease is renewed far beyond its own time."""
    schedule.runs("echo begin; sleep 10; echo end")
    first = schedule.start("tick")
    time.sleep(9)
    second = schedule.call("tick")
    assert second.returncode == 0
    assert "north: not run: a run of" in second.stdout
    assert schedule.status()["running_by"]
    assert first.wait(timeout=30) == 0
    assert schedule.logs()[-1] == "begin\nend\n"
    assert schedule.call("tick").stdout.count("succeeded") == 1, "the lease was given back"


def test_a_controller_that_died_gives_the_lease_up_by_itself(schedule: Schedule) -> None:
    with open_store(schedule.store) as store:
        now = datetime.now(timezone.utc)
        assert store.acquire("reconcile/north", "dead", 2, now)
    assert "a run of dead is under way" in schedule.call("tick").stdout
    time.sleep(2)
    assert "succeeded" in schedule.call("tick").stdout


def test_failures_back_off_and_resume_forgets_them(schedule: Schedule) -> None:
    schedule.runs("echo broken; exit 4")
    schedule.configure(interval=100, backoff_max=150)
    begin = datetime.now(timezone.utc)
    assert schedule.call("tick").returncode == 4, "systemd and cron see it"
    status = schedule.status()
    first = datetime.fromisoformat(status["not_before"].replace("Z", "+00:00"))
    assert timedelta(seconds=99) < first - begin < timedelta(seconds=115)
    waiting = schedule.call("tick")
    assert waiting.returncode == 0
    assert "1 runs failed one after another" in waiting.stdout
    path = schedule.home / "state" / "north" / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), "not_before": ""}), encoding="utf-8")
    assert schedule.call("tick").returncode == 4
    status = schedule.status()
    second = datetime.fromisoformat(status["not_before"].replace("Z", "+00:00"))
    assert timedelta(seconds=149) < second - begin < timedelta(seconds=170), "twice 100 seconds, at most 150"
    assert status["failures"] == schedule.metrics()['tenancy_reconcile_consecutive_failures{cell="north"}'] == 2
    schedule.call("resume")
    schedule.runs("exit 0")
    assert "succeeded" in schedule.call("tick").stdout
    assert schedule.status()["failures"] == 0


def test_the_time_limit_ends_all_processes_of_a_run(schedule: Schedule) -> None:
    schedule.runs(f"trap '' TERM; sleep 77 & echo $! > {schedule.home}/child; wait; sleep 77")
    schedule.configure(limit=1, grace=1)
    begin = time.monotonic()
    done = schedule.call("tick")
    assert done.returncode == 124
    assert time.monotonic() - begin < 15
    assert "time limit (124)" in done.stdout
    child = int((schedule.home / "child").read_text(encoding="utf-8"))
    assert not alive(child)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_stopped_ends_and_gives_the_lease_back(schedule: Schedule, number: signal.Signals) -> None:
    """By systemd, or by Ctrl-C on a tick."""
    (schedule.home / "begun").unlink(missing_ok=True)
    schedule.runs(f"touch {schedule.home}/begun; exec sleep 77")
    running = schedule.start("tick")
    deadline = time.monotonic() + 20
    while not (schedule.home / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    running.send_signal(number)
    assert running.wait(timeout=20) == 128 + number
    status = schedule.status()
    assert (status["outcome"], status["running_by"]) == ("stopped", "")


def test_pause_and_resume_are_one_command_each(schedule: Schedule) -> None:
    assert schedule.call("pause", "--for", "2h").returncode == 0
    status = schedule.status()
    until = datetime.fromisoformat(status["paused_until"].replace("Z", "+00:00")) - datetime.now(timezone.utc)
    assert timedelta(minutes=119) < until <= timedelta(hours=2)
    done = schedule.call("tick")
    assert done.returncode == 0
    assert "north: not run: paused by" in done.stdout
    assert schedule.metrics()['tenancy_reconcile_paused{cell="north"}'] == 1
    assert "paused until it is resumed" in schedule.call("pause").stdout
    assert "north: resumed" in schedule.call("resume").stdout
    assert "succeeded" in schedule.call("tick").stdout
    assert schedule.metrics()['tenancy_reconcile_paused{cell="north"}'] == 0
    assert "was not paused" in schedule.call("resume").stdout


def test_a_store_that_is_away_is_a_failure(schedule: Schedule) -> None:
    away = "mongodb://127.0.0.1:9/x?serverSelectionTimeoutMS=300"
    schedule.configure(store=away)
    try:
        done = schedule.call("tick")
    finally:
        schedule.configure(store="")
    assert done.returncode == 75, done.stdout + done.stderr
    assert schedule.status()["outcome"] == "no store"


def test_a_store_that_refuses_is_a_failure_too(schedule: Schedule) -> None:
    (schedule.home / "notes").write_text("these are my notes\n", encoding="utf-8")
    schedule.configure(store=f"sqlite://{schedule.home}/notes")
    try:
        done = schedule.call("tick")
    finally:
        schedule.configure(store="")
    assert done.returncode == 78, done.stdout + done.stderr
    assert "damaged or not a store" in done.stdout
    status = schedule.status()
    assert (status["outcome"], status["status"], status["failures"]) == ("no store", 78, 1)
    assert status["not_before"]
    assert schedule.metrics()['tenancy_reconcile_consecutive_failures{cell="north"}'] == 1


def test_only_the_newest_logs_stay(schedule: Schedule) -> None:
    for number in range(5):
        (schedule.home / "state" / "north" / "logs" / f"run-2026010{number + 1}T000000Z.log").write_text("old")
    schedule.call("tick")
    logs = sorted(path.name for path in schedule.home.glob("state/north/logs/*"))
    assert len(logs) == 3


def test_the_cron_file_names_the_command(installed: Schedule) -> None:
    (line,) = [
        line for line in (installed.home / "cron" / UNIT).read_text(encoding="utf-8").splitlines() if "tick" in line
    ]
    assert line.startswith(f"*/5 * * * * {getpass.getuser()} {installed.home}/bin/{UNIT} tick --jitter 0")


def test_an_interval_that_cron_cannot_keep_is_refused(installed: Schedule) -> None:
    changed = {**installed.variables, "reconcile_schedule_interval": 420}
    done = run_role("reconcile_schedule", installed.home / "refused", changed)
    assert done.failed == 1
    assert "minutes that divide an hour" in done.text


def test_systemd_takes_the_units_and_they_go_again(tmp_path: Path) -> None:
    """In a mount namespace with an empty folder of units; the timer is enabled for real, and cannot be started where
    systemd is not PID 1."""
    schedule = Schedule(tmp_path)
    units = "/etc/systemd/system"
    changed = {**schedule.variables, "reconcile_schedule_scheduler": "systemd", "reconcile_schedule_unit_folder": units}
    (tmp_path / "system").mkdir()
    script = f'mount --bind {tmp_path}/system {units} && exec "$@"'
    root = [] if os.geteuid() == 0 else ["--map-root-user"]
    through = ["unshare", "--mount", *root, "sh", "-c", script, "sh"]
    play = {"through": through, "SYSTEMD_OFFLINE": "1"}
    done = run_role("reconcile_schedule", tmp_path / "play", changed, **play)
    assert done.failed == 0, done.text
    assert (tmp_path / "system" / "timers.target.wants" / f"{UNIT}.timer").is_symlink()
    names = [f"{units}/{UNIT}.{kind}" for kind in ("service", "timer")]
    verify = subprocess.run(
        [*through, "systemd-analyze", "verify", *names], capture_output=True, text=True, check=False
    )
    assert (verify.returncode, [line for line in verify.stderr.splitlines() if UNIT in line]) == (0, [])
    again = run_role("reconcile_schedule", tmp_path / "play", changed, **play)
    assert (again.failed, again.changed) == (0, 0), again.text
    metrics = [tmp_path / "metrics" / f"{name}_north.prom" for name in ("tenancy_reconcile", "tenancy")]
    for path in metrics:
        path.write_text("# what runs wrote\n", encoding="utf-8")
    gone = run_role("reconcile_schedule", tmp_path / "play", {**changed, "reconcile_schedule_state": "absent"}, **play)
    assert gone.failed == 0, gone.text
    assert not [path for path in tmp_path.rglob(f"{UNIT}*") if path.is_file() or path.is_symlink()]
    assert not [path for path in metrics if path.exists()], "frozen series would keep alerts alive"
