# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The change set: what differs between the desired and the present state, and the only source of ``changed``,
``diff`` and ``actions``, so that they cannot disagree."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Change:
    """One difference. ``action`` is a verb (create, resize, pause, remove, ...), ``path`` the property that differs
    (``memory.max``), ``before`` and ``after`` values for people."""

    action: str
    path: str = ""
    before: Any = None
    after: Any = None


@dataclass
class ChangeSet:
    """The changes of one item (a tenant, a profile, a shadow, a VM)."""

    name: str
    changes: list[Change] = field(default_factory=list)

    def add(self, action: str, path: str = "", before: Any = None, after: Any = None) -> None:
        """Record one difference."""
        self.changes.append(Change(action, path, before, after))

    def compare(self, action: str, path: str, before: Any, after: Any) -> bool:
        """Record a difference if there is one; both values must be normalised. Returns whether there was."""
        if before == after:
            return False
        self.add(action, path, before, after)
        return True

    @property
    def changed(self) -> bool:
        """Whether anything differs."""
        return bool(self.changes)

    @property
    def actions(self) -> list[str]:
        """The verbs in order, each once."""
        return list(dict.fromkeys(change.action for change in self.changes))

    @property
    def diff(self) -> dict[str, dict[str, Any]]:
        """``{"before": {path: value}, "after": {path: value}}`` of what differs."""
        named = [change for change in self.changes if change.path]
        return {
            "before": {change.path: change.before for change in named},
            "after": {change.path: change.after for change in named},
        }


def result(changes: ChangeSet, error: str = "", **extra: Any) -> dict[str, Any]:
    """One entry of ``results``: always ``name, changed, actions, diff, error``, then what the module adds."""
    return {
        "name": changes.name,
        "changed": changes.changed,
        "actions": changes.actions,
        "diff": changes.diff,
        "error": error,
        **extra,
    }


def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """What a state module returns: ``results``, ``changed``, and a diff of the changed items for ``--diff``."""
    changed = [item for item in results if item["changed"]]
    return {
        "results": results,
        "changed": bool(changed),
        "diff": [{"before_header": item["name"], "after_header": item["name"], **item["diff"]} for item in changed],
    }
