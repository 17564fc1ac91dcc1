# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Was it right? What was predicted of a change against what came, and how far its rule is trusted from then on.

A change of places is judged by the planner's own score, measured after the change: that of the places as they are
against that of the places as they would have been without it, under the same load. So growth that no place could have
avoided is not held against a move. A change of limits is judged by the use against the limit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .moves import OVERLOAD
from .policy import Policy

GOOD, USELESS, WORSE, UNKNOWN = "good", "useless", "worse", "unknown"
RULES = ("resize", "relieve", "empty", "shadow")
_PRIOR = 4.0  # good changes that a rule is credited with before it has been tried
_USELESS = 0.5  # how much of a mistake a useless change is
_LEAST = 0.2


@dataclass(frozen=True)
class Places:
    """Measured peaks (shares of the capacity) of the VMs that a change touched, in the time after it: as they are, and
    as they would have been; VMs without any tenant are left out."""

    now: Mapping[str, float]
    otherwise: Mapping[str, float]


def measured_score(peaks: Mapping[str, float], fill: float) -> float:
    """The planner's score of measured peaks: VMs in use, and what exceeds the fill; lower is better."""
    return sum(1.0 + OVERLOAD * max(0.0, peak - fill) for peak in peaks.values())


def of_places(places: Places, policy: Policy) -> tuple[str, float]:
    """The verdict on moves, and the gain that was realised: the share of the score that they saved."""
    fill = policy.packing.fill
    after, otherwise = measured_score(places.now, fill), measured_score(places.otherwise, fill)
    if otherwise <= 0:
        return UNKNOWN, 0.0
    gain = 1.0 - after / otherwise
    if gain < -policy.plan.worse:
        return WORSE, gain
    return (GOOD if gain + 1e-9 >= policy.move.min_gain and gain > 0 else USELESS), gain


def of_limit(before: float | None, after: float | None, used: float, policy: Policy) -> str:
    """The verdict on one changed limit (None is unlimited), from the highest use measured under it."""
    old = float("inf") if before is None else before
    new = float("inf") if after is None else after
    if new < old:
        return WORSE if used > policy.resize.high * new * (1.0 + policy.plan.worse) else GOOD
    return GOOD if used > policy.resize.low * old else USELESS


def worst(verdicts: Iterable[str]) -> str:
    """The verdict on several changes together."""
    found = set(verdicts)
    return next((one for one in (WORSE, GOOD, USELESS) if one in found), UNKNOWN)


def trust(verdicts: Iterable[tuple[str, str]]) -> dict[str, float]:
    """How far each rule is trusted (0.2 to 1), from (rule, verdict) of its changes so far.

    Four good changes are taken for granted, so that one mistake does not condemn a rule.
    """
    counted = Counter((rule, verdict) for rule, verdict in verdicts)
    found = {}
    for rule in RULES:
        good = _PRIOR + counted[rule, GOOD]
        bad = counted[rule, WORSE] + _USELESS * counted[rule, USELESS]
        found[rule] = round(max(_LEAST, good / (good + bad)), 3)
    return found


def cautious(policy: Policy, trusted: Mapping[str, float]) -> Policy:
    """The policy with higher thresholds for the rules that are trusted less: a larger gain, a better ratio, a wider
    dead band, a higher confidence."""

    def share(value: float, rule: str) -> float:
        return min(1.0, value / trusted[rule])

    changed: dict[str, Any] = {}
    if trusted["relieve"] < 1:
        changed["move"] = replace(policy.move, min_gain=share(policy.move.min_gain, "relieve"))
    if trusted["empty"] < 1:
        ratio = policy.consolidation.ratio / trusted["empty"]
        changed["consolidation"] = replace(policy.consolidation, ratio=ratio)
    if trusted["resize"] < 1:
        changed["resize"] = replace(policy.resize, dead_band=share(policy.resize.dead_band, "resize"))
    if trusted["shadow"] < 1:
        changed["shadow"] = replace(policy.shadow, confidence=share(policy.shadow.confidence, "shadow"))
    return replace(policy, **changed) if changed else policy
