# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans as data: what was proposed, why, by how much, under which limits; reviewed and applied by its id."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

# recommended -> applying -> applied | failed; recommended -> superseded | expired
STATES = ("recommended", "applying", "applied", "failed", "superseded", "expired")
OPEN = ("recommended", "applying")
KINDS = ("resize", "move", "consolidate", "shadow", "vm")


@dataclass(frozen=True)
class Action:
    """One proposed change. ``before`` and ``after`` are the documents' ``from`` and ``to``.

    ``rule`` is the trigger that asked for it, ``group`` joins actions that only make sense together, ``effect`` what is
    expected, ``limits`` the guardrails that bit.
    """

    kind: str
    tenant: str
    reason: str
    rule: str = ""
    group: str = ""
    profile: str = ""
    confidence: float = 1.0
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    effect: Mapping[str, Any] = field(default_factory=dict)
    limits: tuple[str, ...] = ()

    def document(self, number: int) -> dict[str, Any]:
        """The action as plans keep it."""
        fields = asdict(self)
        judged = {"verdict": "", "realised": {}}
        fields["from"], fields["to"] = fields.pop("before"), fields.pop("after")
        return {"id": f"a{number}", **fields, "limits": list(self.limits), "state": "proposed", "error": "", **judged}


def digest(cell: str, actions: Sequence[Mapping[str, Any]]) -> str:
    """A short digest of what the actions would do; equal for equal proposals."""
    told = [{key: item[key] for key in ("kind", "tenant", "from", "to")} for item in actions]
    text = json.dumps([cell, told], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def plan_document(
    cell: str,
    actions: Sequence[Action],
    *,
    mode: str,
    policy: Mapping[str, Any],
    score: Mapping[str, float],
    limits: Mapping[str, int],
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """A plan without its times, which the flow adds. ``limits`` counts the guardrails that held something back."""
    documents = [action.document(number) for number, action in enumerate(actions, start=1)]
    return {
        "cell": cell,
        "digest": digest(cell, documents),
        "state": "recommended",
        "mode": mode,
        "policy": dict(policy),
        "score": dict(score),
        "limits": dict(limits),
        "notes": list(notes),
        "actions": documents,
    }
