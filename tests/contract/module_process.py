# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module run for real: a process of its own that reads its arguments as ansible-core gives them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PACKAGE = "ansible_collections.predictive.tenancy.plugins.modules"


def run_module(
    name: str, arguments: dict[str, Any], scratch: Path, *, check: bool = False, through: Sequence[str] = ()
) -> dict[str, Any]:
    """Run a module with ``arguments``, in check mode if told; returns what it printed. A failed one has ``failed``.

    ``through``: a command that runs it in other circumstances, such as ``prlimit`` with its options.
    """
    path = scratch / "arguments.json"
    path.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_check_mode": check}}), encoding="utf-8")
    command = [*through, sys.executable, "-m", f"{PACKAGE}.{name}", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if not done.stdout.startswith("\n{") and not done.stdout.startswith("{"):
        raise AssertionError(f"{name} ended with {done.returncode} and no result:\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout)
