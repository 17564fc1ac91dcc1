# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What vm2 is needed for, after runtimes.py: the role reconcile_schedule under a running systemd."""

from __future__ import annotations

import json
from pathlib import Path

from laboratory import Lab, changed_tasks

VM = "vm2"
UNIT = "tenancy-reconcile-north"
SCHEDULE = {
    "reconcile_schedule_cell": "north",
    "reconcile_schedule_interval": 10,
    "reconcile_schedule_jitter": 0,
    "reconcile_schedule_ansible": "/root/says",
    "reconcile_schedule_python": "/usr/bin/python3",
    "reconcile_schedule_collections": "/root/collections",
    "reconcile_schedule_environment": {"TENANCY_STORE": "sqlite:////root/store.db"},
}


def story(lab: Lab, _folder: Path) -> None:
    """The program that the timer runs stands for ansible-playbook; its lease, log and state are real."""
    lab.bring(VM, "/root/collections")
    script = r"#!/bin/sh\necho ran\ntest ! -e /root/broken\n"
    lab.ssh(VM, f"printf '{script}' > /root/says; chmod +x /root/says")
    lab.role("reconcile_schedule", VM, **SCHEDULE)
    assert changed_tasks(lab.role("reconcile_schedule", VM, **SCHEDULE)) == set()
    lab.ssh(VM, f"systemd-analyze verify /etc/systemd/system/{UNIT}.service /etc/systemd/system/{UNIT}.timer")
    journal = f"journalctl -q -u {UNIT}"
    wait = f"for _ in $(seq 60); do {journal} | grep -q '%s' && exit; sleep 1; done; {journal}; exit 1"
    lab.ssh(VM, wait % "north: succeeded in")
    lab.ssh(VM, f"touch /root/broken; {wait % 'north: failed'}")
    status = json.loads(lab.ssh(VM, f"/usr/local/bin/{UNIT} status"))
    assert (status["outcome"], status["status"], status["failures"] >= 1) == ("failed", 1, True)
    lab.ssh(VM, f"/usr/local/bin/{UNIT} pause --for 1h; {wait % 'paused by'}")
    assert lab.ssh(VM, f"systemctl is-active {UNIT}.timer").strip() == "active"
    lab.role("reconcile_schedule", VM, **SCHEDULE, reconcile_schedule_state="absent")
    assert UNIT not in lab.ssh(VM, f"systemctl list-units --all '{UNIT}*'; ls /etc/systemd/system /usr/local/bin")
