# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests outside ansible-test share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def traces() -> Path:
    """The folder of real workload traces. A test that needs them fails without them: it never skips."""
    folder = Path(os.environ.get("TENANCY_TEST_DATA") or ROOT.parent / "shared" / "data")
    if not (folder / "load.py").is_file():
        pytest.fail(f"this test needs the workload traces: {folder} has none; set TENANCY_TEST_DATA to their folder")
    return folder
