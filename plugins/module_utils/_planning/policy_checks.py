# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies that contradict themselves."""

from __future__ import annotations

from collections.abc import Iterable

from .._core.errors import InputError
from .policy import Policy


def _contradictions(policy: Policy) -> Iterable[tuple[str, str]]:
    """Pairs of (keys, why) of a policy that contradicts itself."""
    tests = (
        (
            policy.resize.low >= policy.resize.high,
            "resize.low, resize.high",
            "the low watermark is not below the high one",
        ),
        (policy.move.low >= policy.move.high, "move.low, move.high", "the low watermark is not below the high one"),
        (policy.move.hold > policy.move.hold_of, "move.hold, move.hold_of", "more checks must agree than are made"),
        (
            policy.move.high < policy.packing.fill,
            "move.high, packing.fill",
            "admission would fill a VM past the high watermark",
        ),
        (
            policy.move.per_run > policy.move.per_hour,
            "move.per_run, move.per_hour",
            "one run may move more than an hour may",
        ),
        (
            policy.move.per_hour > policy.move.per_day,
            "move.per_hour, move.per_day",
            "one hour may move more than a day may",
        ),
        (policy.packing.windows < 1, "packing.windows", "at least one window is needed"),
        (policy.packing.fill <= 0, "packing.fill", "nothing would ever fit"),
        (policy.packing.memory_overcommit < 1, "packing.memory_overcommit", "limits could not use the whole memory"),
        (
            policy.packing.horizon < policy.resize.lead,
            "packing.horizon, resize.lead",
            "the horizon ends before the lead time",
        ),
        (policy.resize.check <= 0, "resize.check", "checks need an interval"),
        (
            min(policy.resize.up_after, policy.resize.down_after) < 1,
            "resize.up_after, resize.down_after",
            "at least one check is needed",
        ),
        (
            policy.shadow.ttl < policy.shadow.lead,
            "shadow.ttl, shadow.lead",
            "a shadow would expire before its request is due",
        ),
        (policy.consolidation.bandwidth <= 0, "consolidation.bandwidth", "a move would never end"),
        (
            policy.sizing.memory_floor < 48 * 1024**2,
            "sizing.memory_floor",
            "a gVisor sandbox does not live below 48 MiB",
        ),
    )
    return [(keys, why) for bad, keys, why in tests if bad]


def consistent(policy: Policy) -> Policy:
    """The policy itself. Raises InputError naming the keys that contradict each other."""
    for keys, why in _contradictions(policy):
        raise InputError(f"contradiction: {why}", item=f"policy {keys}")
    return policy
