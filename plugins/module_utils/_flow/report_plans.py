# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans for people: what each action changes, with the units in which people read them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from .._core.units import format_bytes, format_cores, format_rate
from .._store.interface import Document, Store
from .plans import newest_first, seconds
from .report_text import when
from .report_views import Action, Plan

NEWEST = 21


def plans(store: Store, where: Mapping[str, Any] | None) -> list[Plan]:
    """The newest plans, newest first."""
    return [_plan(one) for one in newest_first(store.find("plans", where))[:NEWEST]]


def _plan(one: Document) -> Plan:
    return Plan(
        name=one["key"],
        state=one.get("state") or "",
        mode=one.get("mode") or "",
        created=seconds(one.get("created_at")),
        expires=seconds(one.get("expires_at")),
        actions=[_action(action) for action in one.get("actions") or ()],
        score=told(one.get("score")),
        limits=[(str(name), f"{count:g}") for name, count in (one.get("limits") or {}).items()],
        notes=[str(note) for note in one.get("notes") or ()],
    )


def _action(one: Mapping[str, Any]) -> Action:
    confidence = one.get("confidence")
    return Action(
        name=str(one.get("id") or ""),
        kind=str(one.get("kind") or ""),
        tenant=str(one.get("tenant") or one.get("profile") or ""),
        reason=str(one.get("reason") or ""),
        confidence=float(confidence) if confidence is not None else None,
        changes=changes(one.get("from") or {}, one.get("to") or {}),
        effect=told(one.get("effect")) + _realised(one),
        limits=[str(limit) for limit in one.get("limits") or ()],
        state=str(one.get("state") or ""),
        error=str(one.get("error") or ""),
    )


def _realised(one: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What came of an action, beside what was expected."""
    found = [(f"realised {what}", value) for what, value in told(one.get("realised"))]
    return [("verdict", str(one["verdict"])), *found] if one.get("verdict") else found


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """``{"memory.max": 1, ...}`` of a nested mapping."""
    if not isinstance(value, Mapping):
        return {path: value} if path else {}
    found: dict[str, Any] = {}
    for name, item in value.items():
        found.update(flat(item, f"{path}.{name}" if path else str(name)))
    return found


def changes(before: Any, after: Any) -> list[tuple[str, str, str]]:
    """(what, from, to) of what differs, in the order of ``after``."""
    old, new = flat(before), flat(after)
    names = [*new, *(name for name in old if name not in new)]
    return [
        (label(name), written(name, old.get(name)), written(name, new.get(name)))
        for name in names
        if old.get(name) != new.get(name)
    ]


def told(values: Any) -> list[tuple[str, str]]:
    """(what, value) of a mapping; a text by itself is an effect without a name."""
    if isinstance(values, Mapping):
        return [(label(name), written(name, value)) for name, value in flat(values).items()]
    return [("", str(values))] if values not in (None, "") else []


def label(path: str) -> str:
    """``memory.max`` as it is; ``vm_hours_saved`` as words."""
    return path.replace("_", " ")


def written(path: str, value: Any) -> str:
    """A value with the unit that its path implies."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return when(value.timestamp())
    if isinstance(value, (list, tuple)):
        return ", ".join(written(path, item) for item in value) or "-"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return _number(path, float(value))


def _number(path: str, value: float) -> str:
    first, last = path.partition(".")[0], path.rpartition(".")[2]
    if last == "weight" or not math.isfinite(value):
        return f"{value:g}"
    if value < 0:
        return f"-{_number(path, -value)}"
    if "memory" in (first, last) or last == "bytes":
        return format_bytes(value)
    if first == "io" or last in ("io_read", "io_write"):
        return format_rate(value)
    if first == "cpu" or last in ("cpu", "cores"):
        return format_cores(round(value, 3))
    return f"{value:.4g}"
