# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a replay does not look at, and where policies that are compared differ in it.

A replay has no forecasts: it takes each tenant's level so far for one window, the lead time of moves, and the gaps
between requests for shadows. It does not size, resize, admit or verify, so a move is never found useless.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields

from .._planning.policy import SECTIONS, Policy
from .._planning.policy_reader import narrowed


def _every(section: str) -> tuple[str, ...]:
    return tuple(item.name for item in fields(SECTIONS[section]))


UNSEEN: dict[str, tuple[str, ...]] = {
    "packing": ("windows", "horizon", "correlation", "novelty", "memory_overcommit", "incumbent"),
    "sizing": _every("sizing"),
    "resize": _every("resize"),
    "move": ("give_up_after", "backoff"),
    "consolidation": ("lead",),
    "shadow": ("cap", "lead", "ahead", "ttl", "confidence"),
    "preempt": _every("preempt"),
    "plan": _every("plan"),
}


def named() -> list[str]:
    """The keys that a replay does not look at, as documentation lists them: a section by its name where it is all of
    it."""
    words = []
    for section, keys in UNSEEN.items():
        words += [section] if keys == _every(section) else [f"{section}.{key}" for key in keys]
    return words


def unseen(policies: Collection[Policy]) -> list[str]:
    """The keys in which the policies differ, for all or for a group or profile, and that a replay does not look at."""
    wanted = {("", ""), *((item.group, item.profile) for policy in policies for item in policy.overrides)}
    found = set()
    for group, profile in wanted:
        here = [narrowed(policy, group=group, profile=profile) for policy in policies]
        for section, keys in UNSEEN.items():
            given = [getattr(policy, section) for policy in here]
            found |= {f"{section}.{key}" for key in keys if len({getattr(one, key) for one in given}) > 1}
    return sorted(found)
