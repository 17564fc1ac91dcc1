# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was decided about a tenant, kept so that a report can tell it later."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from .._core.units import format_time
from .._store.interface import Document


def record(
    kind: str, tenant: Mapping[str, Any], now: datetime, reason: str, *, plan: str | None = None, vm: str | None = None
) -> Document:
    """The document of one decision: ``kind`` is admit, remove, evict, resize, move or consolidate, ``vm`` where the
    tenant is afterwards (default: where its document says)."""
    return {
        "key": f"{format_time(now)}/{kind}/{tenant['key']}",
        "kind": kind,
        "cell": tenant["cell"],
        "plan": plan,
        "tenant": tenant["key"],
        "vm": vm if vm is not None else tenant["vm"],
        "at": now,
        "reason": reason,
    }
