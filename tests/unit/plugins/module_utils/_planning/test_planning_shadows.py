# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
from ansible_collections.predictive.tenancy.plugins.module_utils._planning import shadows as sha
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.plan import Action, plan_document
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.policy import Shadow
from hypothesis import given, settings
from hypothesis import strategies as st

POLICY = Shadow()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(1, 1e5), min_size=1, max_size=60),
    st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e4)), min_size=1, max_size=8),
)
def test_the_cost_of_a_window_is_what_walking_through_the_gaps_gives(
    gaps: list[float], windows: list[tuple[float, float]]
) -> None:
    starts = np.array([a for a, _length in windows])
    ends = starts + np.array([length for _start, length in windows])
    cold, waste, cost = sha.window_costs(np.array(gaps), starts, ends, 10.0, 0.5)
    for i, (start, end) in enumerate(zip(starts, ends)):
        colds, held = 0, 0.0
        for gap in gaps:
            if gap < start:
                colds += 1
            elif gap > end:
                colds += 1
                held += end - start
            else:
                held += gap - start
        np.testing.assert_allclose([cold[i], waste[i]], [colds / len(gaps), held / len(gaps)], atol=1e-6)
        np.testing.assert_allclose(cost[i], cold[i] * 10 + waste[i] * 0.5)


def test_a_periodic_workload_is_warmed_just_before_it_comes() -> None:
    gaps = 3600 + np.random.default_rng(1).normal(0, 5, 200)
    dear = Shadow(memory=1024**3, second_cost=60.0)
    window = sha.choose_window(gaps, dear, 50, 1024.0**3)
    assert window.holds
    assert window.start > 3500
    assert window.cold < 0.1
    assert window.waste < 60


def test_nothing_is_held_for_what_comes_too_rarely() -> None:
    gaps = np.random.default_rng(2).exponential(30 * 86400, 50)
    assert not sha.choose_window(gaps, POLICY, 1, 1024.0**3).holds
    assert not sha.choose_window([], POLICY, 50, 1e6).holds


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(1, 1e6), min_size=1, max_size=400), st.integers(1, 100), st.floats(1e6, 1e9))
def test_the_chosen_window_never_costs_more_than_no_shadow_and_keeps_the_ttl(
    gaps: list[float], priority: int, memory: float
) -> None:
    window = sha.choose_window(gaps, POLICY, priority, memory)
    assert window.cost <= sha.cold_cost(POLICY, priority) + 1e-9
    assert window.end - window.start <= POLICY.ttl + 1e-6


def test_a_shadow_is_ready_before_the_earliest_moment_and_expires_after_the_latest() -> None:
    made = sha.wish("web", (1000.0, 940.0, 1060.0), 0.9, now=0.0, priority=50, policy=POLICY)
    assert made is not None
    assert (made.tier, made.ready_by, made.expires_at) == ("frozen", 640.0, 1360.0)
    soon = sha.wish("web", (100.0, 40.0, 160.0), 0.9, now=0.0, priority=50, policy=POLICY)
    assert soon is not None
    assert (soon.tier, soon.ready_by) == ("frozen", 0.0)


def test_no_shadow_for_the_far_the_unlikely_and_the_unimportant() -> None:
    assert sha.wish("web", (9000.0, 8999.0, 9001.0), 0.9, now=0.0, priority=50, policy=POLICY) is None
    assert sha.wish("web", (1000.0, 940.0, 1060.0), 0.3, now=0.0, priority=50, policy=POLICY) is None
    assert sha.wish("web", (1000.0, 940.0, 1060.0), 0.9, now=0.0, priority=0, policy=POLICY) is None
    assert sha.wish("web", (-10.0, -70.0, -5.0), 0.9, now=1000.0, priority=50, policy=POLICY) is None
    dear = Shadow(memory=64 * 1024**3)
    assert sha.wish("web", (1000.0, 940.0, 1060.0), 0.9, now=0.0, priority=50, policy=dear) is None
    assert sha.wish("web", (1000.0, 940.0, 1060.0), 0.9, now=0.0, priority=50, policy=Shadow(enabled=False)) is None


def test_the_cap_keeps_the_most_valuable() -> None:
    wishes = [sha.Wish(f"p{i}", 0, 0, 1, "frozen", 10.0, float(i), 1.0) for i in range(5)]
    kept, refused = sha.within_cap(wishes, 25.0)
    assert [one.profile for one in kept] == ["p4", "p3"]
    assert len(refused) == 3


def test_the_pool_meets_its_hit_rate() -> None:
    demand = np.random.default_rng(3).poisson(4, 1000).astype(float)
    size = sha.pool_size(demand, 0.99)
    assert (demand <= size).mean() >= 0.99
    assert (demand <= size - 1).mean() < 0.99
    assert sha.pool_size(np.zeros(0), 0.99) == 0


def test_equal_proposals_have_equal_digests() -> None:
    def make(cores: float, reason: str) -> dict[str, object]:
        action = Action("resize", "t", reason, before={"cpu": 1.0}, after={"cpu": cores})
        return plan_document("c", [action], mode="recommend", policy={}, score={}, limits={})

    assert make(2.0, "a")["digest"] == make(2.0, "b")["digest"] != make(3.0, "a")["digest"]
    document = make(2.0, "a")["actions"][0]
    assert document["id"] == "a1"
    assert (document["from"], document["to"], document["state"]) == ({"cpu": 1.0}, {"cpu": 2.0}, "proposed")
