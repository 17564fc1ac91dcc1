# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was decided about a tenant: what became of its request, and what is kept so that a report can tell it later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .._core.units import format_time
from .._store.interface import Document


@dataclass
class Outcome:
    """What became of one request; ``document`` is the tenant's, None where there is no room."""

    name: str
    profile: str
    document: Document | None = None
    changed: bool = False
    reason: str = ""
    claim: str | None = None
    created_profile: bool = False
    limits: list[str] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)


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
