# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._planning import verdict
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.policy import Policy
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.verdict import Places

POLICY = Policy()


@pytest.mark.parametrize(
    ("now", "otherwise", "told"),
    [
        ({"b": 0.8}, {"a": 0.3, "b": 0.5}, "good"),  # a was emptied, b has room
        ({"b": 1.1}, {"a": 0.3, "b": 0.8}, "worse"),  # a was emptied, b is overfull
        ({"a": 0.8, "b": 0.5}, {"a": 1.1, "b": 0.2}, "good"),  # a was relieved
        ({"a": 1.4, "b": 0.5}, {"a": 1.9, "b": 0.2}, "good"),  # all grew, but it would have been worse still
        ({"a": 0.3, "b": 0.5}, {"a": 0.6, "b": 0.2}, "useless"),  # a was never going to be full
        ({"a": 0.6, "b": 1.2}, {"a": 1.0, "b": 0.7}, "worse"),
        ({}, {}, "unknown"),
    ],
)
def test_places_are_judged_against_what_would_have_been(
    now: dict[str, float], otherwise: dict[str, float], told: str
) -> None:
    assert verdict.of_places(Places(now, otherwise), POLICY)[0] == told


@pytest.mark.parametrize(
    ("before", "after", "used", "told"),
    [
        (1.0, 0.5, 0.3, "good"),
        (1.0, 0.5, 0.49, "worse"),
        (None, 0.5, 0.5, "worse"),
        (0.5, 1.0, 0.9, "good"),
        (0.5, 1.0, 0.1, "useless"),
    ],
)
def test_limits_are_judged_by_the_use_under_them(before: float | None, after: float, used: float, told: str) -> None:
    assert verdict.of_limit(before, after, used, POLICY) == told


def test_mistakes_cost_trust_and_good_changes_win_it_back() -> None:
    assert set(verdict.trust([]).values()) == {1.0}
    once = verdict.trust([("empty", "worse")])
    assert (once["empty"], once["relieve"]) == (0.8, 1.0)
    assert verdict.trust([("empty", "useless")])["empty"] > once["empty"]
    assert verdict.trust([("empty", "worse"), *[("empty", "good")] * 8])["empty"] > once["empty"]
    assert verdict.trust([("resize", "worse")] * 99)["resize"] == 0.2
    assert verdict.trust([("resize", "unknown")] * 99)["resize"] == 1.0


def test_a_rule_that_is_trusted_less_needs_more_to_act() -> None:
    assert verdict.cautious(POLICY, dict.fromkeys(verdict.RULES, 1.0)) is POLICY
    less = verdict.cautious(POLICY, dict.fromkeys(verdict.RULES, 0.5))
    assert less.move.min_gain == 2 * POLICY.move.min_gain
    assert less.consolidation.ratio == 2 * POLICY.consolidation.ratio
    assert less.resize.dead_band == 2 * POLICY.resize.dead_band
    assert less.shadow.confidence == 1.0
    assert less.packing is POLICY.packing


def test_several_verdicts_are_as_bad_as_their_worst() -> None:
    assert verdict.worst(["good", "worse", "useless"]) == "worse"
    assert verdict.worst(["useless", "good", "unknown"]) == "good"
    assert verdict.worst([]) == "unknown"
