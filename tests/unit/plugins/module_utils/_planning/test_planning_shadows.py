# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
from ansible_collections.predictive.tenancy.plugins.module_utils._planning import shadows as sha
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.plan import Action, plan_document
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.policy import Shadow

POLICY = Shadow()


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
