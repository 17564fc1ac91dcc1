# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans as the store keeps them: read, told to people and playbooks, and what their verdicts mean for the rules."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from .._core.errors import InputError
from .._core.plain import plain
from .._core.units import format_time
from .._planning.verdict import trust
from .._store.interface import Document, Store

_MEMORY = timedelta(days=30)  # how far back verdicts count


def seconds(moment: Any) -> float | None:
    """A time as UTC seconds, None where there is none."""
    return moment.timestamp() if isinstance(moment, datetime) else None


def newest_first(plans: Iterable[Document]) -> list[Document]:
    """Plans by the time at which they were made; those without one come last."""
    return sorted(plans, key=lambda one: (seconds(one.get("created_at")) or -math.inf, one["key"]), reverse=True)


def described(plan: Document | None) -> dict[str, Any] | None:
    """A plan for people and playbooks: its id, without the store's own fields; times as text."""
    return None if plan is None else _told(plan)


def _told(plan: Document) -> dict[str, Any]:
    fields = {key: value for key, value in plan.items() if key not in ("key", "version", "schema")}
    text = {key: format_time(value) for key, value in fields.items() if isinstance(value, datetime)}
    return {"id": plan["key"], **plain({**fields, **text})}


def verdicts(plans: Iterable[Mapping[str, Any]], now: datetime) -> list[tuple[str, str]]:
    """(rule, verdict) of the verified changes; a group of moves counts once."""
    found = []
    for plan in plans:
        if plan.get("verified_at") is None or plan["verified_at"] < now - _MEMORY:
            continue
        groups = {one["group"] or one["id"]: one for one in plan["actions"] if one.get("verdict")}
        found += [(one["rule"], one["verdict"]) for one in groups.values()]
    return found


def trusted(plans: Iterable[Mapping[str, Any]], now: datetime) -> dict[str, float]:
    """How far each rule is trusted (0.2 to 1) after what came of the changes of the last 30 days."""
    return trust(verdicts(plans, now))


def read_plans(
    store: Store,
    cell: str,
    now: datetime,
    *,
    ids: Collection[str] | None = None,
    states: Collection[str] | None = None,
    limit: int = 0,
) -> dict[str, Any]:
    """``plans`` of the cell, newest first, and ``trust``, which all plans of the cell count for.

    ``ids`` and ``states`` narrow the plans down, at most ``limit`` of them, 0 for all. Raises InputError for an id that
    no plan of the cell has and for a negative limit.
    """
    if limit < 0:
        raise InputError("it must not be negative", item="limit")
    known = {one["key"]: one for one in store.find("plans", {"cell": cell})}
    missing = sorted(set(ids or ()) - set(known))
    if missing:
        hint = "take the id of a plan that was recorded, and name its cell"
        raise InputError(f"there is no such plan in the cell {cell}", item=", ".join(missing[:20]), hint=hint)
    chosen = [
        one
        for one in newest_first(known.values())
        if (ids is None or one["key"] in ids) and (states is None or one["state"] in states)
    ]
    shown = chosen[:limit] if limit else chosen
    return {
        "plans": [{**_told(one), "realised": _realised(one)} for one in shown],
        "trust": trusted(known.values(), now),
    }


def _realised(plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was predicted beside what came, for each action that was judged."""
    return [
        {
            "action": one["id"],
            "kind": one["kind"],
            "tenant": one["tenant"],
            "rule": one["rule"],
            "verdict": one["verdict"],
            "predicted": plain(one["effect"]),
            "realised": plain(one["realised"]),
        }
        for one in plan["actions"]
        if one.get("verdict")
    ]
