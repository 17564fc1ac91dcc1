# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles and playbooks run for real on this machine by ansible-playbook."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
LOCALHOST = {"all": {"hosts": {"localhost": HERE}}}


@dataclass(frozen=True)
class Play:
    """What a run did: how many tasks changed and failed on localhost, and all that it printed."""

    changed: int
    failed: int
    text: str


def run_playbook(
    playbook: str | Path,
    folder: Path,
    variables: Mapping[str, Any] | None = None,
    *,
    inventory: str | Path | None = None,
    arguments: Sequence[str] = (),
    through: Sequence[str] = (),
    **environment: str,
) -> Play:
    """Run a playbook with ``variables`` as extra variables, on localhost unless an inventory is given."""
    folder.mkdir(parents=True, exist_ok=True)
    source = inventory or folder / "inventory.json"
    if inventory is None:
        Path(source).write_text(json.dumps(LOCALHOST), encoding="utf-8")
    (folder / "variables.json").write_text(json.dumps(dict(variables or {})), encoding="utf-8")
    program = Path(sys.executable).parent / "ansible-playbook"
    command = [*through, str(program), "-i", str(source), "-e", f"@{folder}/variables.json", *arguments, str(playbook)]
    env = {**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml", "ANSIBLE_PIPELINING": "1", **environment}
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    text = done.stdout + done.stderr
    recap = [line for line in done.stdout.splitlines() if " ok=" in line and " changed=" in line]
    counts = [dict(word.split("=") for word in line.split() if "=" in word) for line in recap]
    changed, failed = (sum(int(one[key]) for one in counts) for key in ("changed", "failed"))
    return Play(changed, failed + (done.returncode != 0 and not failed), text)


def run_role(role: str, folder: Path, variables: Mapping[str, Any], **options: Any) -> Play:
    """Apply a role of the collection to localhost."""
    play = {"hosts": "localhost", "gather_facts": False, "roles": [{"role": f"predictive.tenancy.{role}"}]}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "role.yml").write_text(json.dumps([play]), encoding="utf-8")
    return run_playbook(folder / "role.yml", folder, variables, **options)
