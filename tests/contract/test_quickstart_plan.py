# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The quickstart where no VM can run: as far as the plan and the report, and it says what it left out."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def play(folder: Path, *more: str) -> str:
    variables = ["-e", f"quickstart_dir={folder}", "-e", "quickstart_without_lab=untried", *more]
    command = ["ansible-playbook", "-i", str(ROOT / "inventories" / "lab"), "--skip-tags", "lab", *variables]
    done = subprocess.run(
        [*command, str(ROOT / "playbooks" / "quickstart.yml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_without_virtual_machines(tmp_path: Path) -> None:
    first = play(tmp_path)
    assert "Left out: virtual machines" in first
    assert "unreachable=0" in first
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    for workload in ("nightly_report", "sync_orders", "web_shop"):
        assert workload in report
    assert re.search(r"vm1", first), "the table on the terminal names the VMs"
    again = play(tmp_path)
    changed = re.findall(r"changed=([0-9]+)", again)
    assert set(changed) == {"0"}, again


def test_a_trace_without_files_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    command = ["ansible-playbook", "-i", str(ROOT / "inventories" / "lab"), "--skip-tags", "lab"]
    variables = ["-e", f"quickstart_dir={tmp_path}", "-e", f"quickstart_trace={folder}"]
    playbook = str(ROOT / "playbooks" / "quickstart.yml")
    done = subprocess.run([*command, *variables, playbook], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"{folder} holds neither requests.csv nor usage.csv" in done.stdout + done.stderr
