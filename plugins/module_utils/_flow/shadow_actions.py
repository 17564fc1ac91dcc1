# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shadows in a plan: what would be held becomes an action, and an applied action a shadow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._core.units import format_time
from .._planning.plan import Action
from .._store.interface import Document
from .shadows import Shadows


def _held(shadow: Document) -> dict[str, Any]:
    return {"shadow": shadow["key"], "vm": shadow["vm"], "tier": shadow["tier"], "memory": int(shadow["memory"])}


def wanted(shadows: Shadows, profiles: Sequence[Document]) -> list[Action]:
    """The shadows that would be held now, as actions. ``shadows`` must be a dry one."""
    if not shadows.policy.shadow.enabled:
        return []
    shadows.run(profiles)
    found = []
    for one in shadows.waiting:
        if one["key"] not in shadows.changed:
            continue
        found.append(
            Action(
                "shadow",
                "",
                f"a request is expected at {format_time(one['expected_at'])}",
                rule="shadow",
                group=one["key"],
                profile=one["profile"],
                confidence=float(one["chance"]),
                after=_held(one),
                effect={"saved_gibibyte_seconds": one["value"], "expires_at": format_time(one["expires_at"])},
            )
        )
    return found


def hold(shadows: Shadows, profiles: Sequence[Document], actions: Sequence[dict[str, Any]]) -> None:
    """Hold the shadows of the actions that have not come to their end; what no longer pays is not held."""
    open_actions = [one for one in actions if one["kind"] == "shadow" and one["state"] == "proposed"]
    if not open_actions:
        return
    names = {one["profile"] for one in open_actions}
    shadows.run([one for one in profiles if one["key"] in names])
    waiting: Mapping[str, Document] = {one["profile"]: one for one in shadows.waiting}
    for action in open_actions:
        one = waiting.get(action["profile"])
        if one is None:
            action["state"], action["error"] = "failed", "it no longer pays, or there is no room for it"
        else:
            action["state"], action["to"] = "applied", _held(one)
