# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._planning import waiting
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.policy import Shadow
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.shadows import irregular, price
from hypothesis import given, settings
from hypothesis import strategies as st

NOTHING = waiting.common([])
EDGES = waiting.grid()


def times_of(gaps: np.ndarray) -> np.ndarray:
    return 1e6 + np.concatenate([[0.0], np.cumsum(gaps)])


def counts_of(gaps: np.ndarray) -> np.ndarray:
    times = times_of(gaps)
    return waiting.distribution(times, times, NOTHING)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(1, 5e5), max_size=60), st.floats(1, 1e5))
def test_the_held_slots_cost_least_of_all_sets_of_slots(gaps: list[float], cold: float) -> None:
    """Against its own distribution, by brute force: dropping any held slot or adding any other one costs more."""
    counts = counts_of(np.array(gaps))
    chance = counts / counts.sum()
    left = np.cumsum(chance[::-1])[::-1]
    worth = waiting.hazard(counts) * cold >= 1.0
    change = left * np.diff(EDGES) - chance * cold  # what holding one more slot costs, less what it saves
    assert change[worth].max(initial=-1.0) <= 1e-6
    assert change[~worth].min(initial=1.0) >= -1e-6


def test_two_kinds_of_gaps_get_two_spans() -> None:
    rng = np.random.default_rng(3)
    gaps = np.where(rng.uniform(size=300) < 0.5, rng.normal(60, 2, 300), rng.normal(14400, 60, 300))
    counts = counts_of(gaps)
    first = waiting.next_hold(counts, 0.0, 1800.0)
    assert first is not None
    assert first.end < 200
    second = waiting.next_hold(counts, first.end, 1800.0)
    assert second is not None
    assert first.end < 0.5 * second.start < 14400 < second.end < 20000
    assert second.chance > 0.8
    assert waiting.next_hold(counts, 10 * 86400.0, 1800.0) is None


def test_a_gap_like_the_one_before_counts_more() -> None:
    """Long gaps follow short ones and short ones long ones, as in bursts of two."""
    gaps = np.where(np.arange(200) % 2 == 0, 100.0, 30000.0)
    after_long, after_short = counts_of(gaps), counts_of(gaps[:-1])
    short = EDGES[:-1] < 200
    assert after_long[short].sum() / after_long.sum() > 0.8
    assert after_short[short].sum() / after_short.sum() < 0.2


def test_without_gaps_it_is_what_others_have_in_common() -> None:
    prior = waiting.common([np.full(50, 600.0), np.full(50, 660.0)])
    alone = np.array([5.0])
    hold = waiting.next_hold(waiting.distribution(alone, alone, prior), 0.0, 600.0)
    assert hold is not None
    assert hold.start < 600 < hold.end
    assert prior.sum() == pytest.approx(1.0)


def test_a_replay_is_what_walking_through_the_requests_gives() -> None:
    rng = np.random.default_rng(4)
    starts = np.cumsum(rng.exponential(900, 80) + 60)
    ends = starts + rng.uniform(1, 50, 80)
    kept = waiting.replay(starts, ends, np.array([0.0, 500.0, 1e12]), NOTHING, starts[40])
    gaps = (starts[1:] - ends[:-1])[39:]
    assert kept.requests == len(gaps) == 40
    assert (kept.cold[0], kept.held[0]) == (40, 0.0)
    assert kept.cold[2] == 0
    assert kept.held[2] == pytest.approx(gaps.sum())
    cold, held = 0, 0.0
    for number in range(40, 80):
        gap = starts[number] - ends[number - 1]
        worth = waiting.hazard(waiting.distribution(starts[:number], ends[:number], NOTHING)) * 500.0 >= 1.0
        inside = worth[np.searchsorted(EDGES, gap, side="right") - 1]
        cold += not inside
        held += sum(min(b, gap) - a for a, b, w in zip(EDGES, EDGES[1:], worth) if w and a < gap)
    assert kept.cold[1] == cold
    assert kept.held[1] == pytest.approx(held)


def test_the_wish_lasts_no_longer_than_it_pays_and_no_longer_than_its_time_to_live() -> None:
    policy = Shadow()
    hold = waiting.Hold(600.0, 90_000.0, 0.4, 2000.0)
    assert irregular("web", 0.0, hold, now=100.0, priority=50, policy=policy) is None, "not within the lead time"
    made = irregular("web", 0.0, hold, now=400.0, priority=50, policy=policy)
    assert made is not None
    assert (made.ready_by, made.expires_at, made.tier) == (600.0, 400.0 + policy.ttl, "frozen")
    assert irregular("web", 0.0, None, now=400.0, priority=50, policy=policy) is None
    assert irregular("web", 0.0, hold, now=400.0, priority=0, policy=policy) is None
    assert irregular("web", 0.0, hold, now=400.0, priority=50, policy=Shadow(enabled=False)) is None
    assert irregular("web", 0.0, hold, now=95_000.0, priority=50, policy=policy) is None
    assert price(policy, 50, 1024.0**3) == pytest.approx(180.0)
