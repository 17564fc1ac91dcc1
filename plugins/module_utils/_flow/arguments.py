# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Argument specs that several modules share; plugins/doc_fragments mirrors them."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import Any

from .._core.units import parse_time


def store_spec() -> dict[str, dict[str, Any]]:
    """The store option. It may carry a password, so it is in no log; the environment is the better way to give one."""
    return {"store": {"type": "str", "no_log": True}}


def store_uri(option: str | None) -> str:
    """The option, else TENANCY_STORE, else the embedded store in the user's state directory."""
    if option or os.environ.get("TENANCY_STORE"):
        return option or os.environ["TENANCY_STORE"]
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return "sqlite:///" + os.path.join(os.path.abspath(state), "predictive.tenancy", "store.db")


def present_time(option: str | None) -> datetime:
    """The option ``now``, else the clock; an aware UTC time in milliseconds. Raises InputError."""
    return parse_time(option or datetime.now(timezone.utc))
