# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._planning import moves as mov
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.admission import (
    Cell,
    Decision,
    Guest,
    HeldShadow,
    Vm,
    admit,
)
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.demand import Demand
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.guard import Guard, Past, frozen
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.hot import hot
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.packing import Packer
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.policy import Policy
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.policy_reader import read_policy
from hypothesis import given, settings
from hypothesis import strategies as st

GIB = 1024.0**3
WINDOWS = 24


def cell_of(
    guests: list[Guest],
    cpu: list[float],
    vms: list[Vm],
    *,
    placed: list[int] | None = None,
    policy: Policy | None = None,
    cores: float = 2.0,
) -> Cell:
    policy = policy or Policy()
    mean = np.zeros((len(guests), WINDOWS, 4))
    mean[:, :, 0] = np.array(cpu)[:, None]
    mean[:, :, 1] = 64 * 1024**2
    demand = Demand(tuple(g.name for g in guests), mean, np.zeros_like(mean), np.arange(len(guests)))
    capacity = np.tile([cores, 4 * GIB, np.inf, np.inf], (len(vms), 1))
    packer = Packer(demand, capacity, fill=policy.packing.fill, sigma=policy.packing.sigma)
    packer.fill_in(np.array(placed if placed is not None else [-1] * len(guests)))
    return Cell(vms, guests, packer, policy)


def guard_of(cell: Cell, pasts: dict[int, list[Past]] | None = None, now: float = 1e9) -> Guard:
    histories = [(pasts or {}).get(i, []) for i in range(len(cell.guests))]
    return Guard(cell.guests, histories, [cell.policy.move] * len(cell.guests), cell.policy.move, now)


def guests(count: int, **fields: object) -> list[Guest]:
    return [Guest(f"t{i}", f"p{i}", **fields) for i in range(count)]


VMS = [Vm("a", zone="z1", host="h1"), Vm("b", zone="z1", host="h2"), Vm("c", zone="z2", host="h3")]


def one(decisions: list[Decision]) -> Decision:
    assert len(decisions) == 1
    return decisions[0]


def test_libraries_and_operating_system_are_hard() -> None:
    vms = [Vm("a", os="debian12"), Vm("b", os="debian13", libraries=frozenset({"cuda"}))]
    wants = [Guest("x", "p", libraries=frozenset({"cuda"}))]
    assert one(admit(cell_of(wants, [0.1], vms), [0])).vm == 1
    wants = [Guest("x", "p", os="debian12", libraries=frozenset({"cuda"}))]
    refused = one(admit(cell_of(wants, [0.1], vms), [0]))
    assert refused.vm == -1
    assert "together" in refused.reason
    refused = one(admit(cell_of([Guest("x", "p", libraries=frozenset({"mkl"}))], [0.1], vms), [0]))
    assert refused.reason == "no VM provides the library mkl"


def test_zone_and_readiness_are_hard() -> None:
    assert one(admit(cell_of([Guest("x", "p", zone="z2")], [0.1], VMS), [0])).vm == 2
    assert one(admit(cell_of([Guest("x", "p", zone="z9")], [0.1], VMS), [0])).reason == "no VM is in the zone z9"
    gone = [Vm("a", ready=False)]
    assert one(admit(cell_of([Guest("x", "p")], [0.1], gone), [0])).reason == "none of the 1 VMs is ready"


def test_those_that_must_stay_apart_do_whoever_says_so() -> None:
    pair = [Guest("x", "web", apart=("db",)), Guest("y", "db")]
    cell = cell_of(pair, [0.1, 0.1], VMS)
    admit(cell, [0, 1])
    assert cell.packer.assignment[0] != cell.packer.assignment[1]
    replicas = [Guest(f"r{i}", "web", apart=("web",)) for i in range(4)]
    cell = cell_of(replicas, [0.1] * 4, VMS)
    decisions = admit(cell, range(4))
    assert sorted(decision.vm for decision in decisions) == [-1, 0, 1, 2]
    assert "must stay apart" in decisions[-1].reason


def test_the_dependency_chain_is_kept_together() -> None:
    close = read_policy({"packing": {"proximity": 0.5}})
    chain = [Guest("db", "db"), Guest("filler", "x"), Guest("app", "app", needs=("db",))]
    cell = cell_of(chain, [0.3, 0.9, 0.3], VMS, placed=[2, 0, -1], policy=close)
    assert one(admit(cell, [2])).vm == 2
    far = cell_of(chain, [0.3, 0.9, 0.3], VMS, placed=[2, 0, -1], policy=read_policy({"packing": {"proximity": 0}}))
    assert one(admit(far, [2])).vm == 0


def test_the_important_come_first_and_no_room_tells_the_nearest_miss() -> None:
    people = [Guest("low", "p", priority=10), Guest("high", "q", priority=90)]
    decisions = admit(cell_of(people, [1.5, 1.5], VMS[:1]), [0, 1])
    assert [(d.name, d.vm) for d in decisions] == [("high", 0), ("low", -1)]
    assert decisions[1].reason.startswith("no room in 1 candidates; the nearest, a, lacks 1.2 cores of CPU")
    assert decisions[1].limits == ("preempt.tenants: no tenant gives way to another",)


def test_a_shadow_is_claimed_and_else_given_up_before_a_tenant_is_refused() -> None:
    amount = np.array([0.4, 0, 0, 0])
    cell = cell_of([Guest("x", "web"), Guest("y", "job")], [0.5, 1.7], VMS[:2])
    for vm in (0, 1):
        cell.packer.hold(vm, amount)
    shadows = {"s0": HeldShadow("s0", "web", 0, amount), "s1": HeldShadow("s1", "other", 1, amount)}
    first, second = admit(cell, [0, 1], shadows)
    assert (first.claim, first.vm) == ("s0", 0)
    assert (second.vm, second.dropped) == (1, ("s1",))
    kept = cell_of([Guest("y", "job")], [1.7], VMS[:1], policy=read_policy({"preempt": {"shadows": False}}))
    kept.packer.hold(0, amount)
    assert one(admit(kept, [0], {"s1": HeldShadow("s1", "other", 0, amount)})).vm == -1


def test_tenants_give_way_only_by_policy_and_the_fewest_of_them() -> None:
    people = [*[Guest(f"low{i}", f"p{i}", priority=10 + i) for i in range(3)], Guest("high", "q", priority=60)]
    load = [0.4, 0.5, 0.8, 0.6]
    assert one(admit(cell_of(people, load, VMS[:1], placed=[0, 0, 0, -1]), [3])).vm == -1
    policy = read_policy({"preempt": {"tenants": True}})
    cell = cell_of(people, load, VMS[:1], placed=[0, 0, 0, -1], policy=policy)
    decision = one(admit(cell, [3]))
    assert decision.vm == 0
    assert decision.evicted == ("low0", "low1")
    assert cell.packer.assignment.tolist() == [-1, -1, 0, 0]
    near = [Guest("low", "p", priority=50), Guest("high", "q", priority=60)]
    assert one(admit(cell_of(near, [1.5, 1.5], VMS[:1], placed=[0, -1], policy=policy), [1])).vm == -1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_no_vm_is_ever_overfilled(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    people = [Guest(f"t{i}", f"p{i % 7}", priority=int(rng.integers(0, 100))) for i in range(count)]
    cell = cell_of(people, rng.uniform(0.01, 1.0, count).tolist(), VMS)
    decisions = admit(cell, range(count))
    assert len(decisions) == count
    assert float(cell.packer.used().max()) <= cell.policy.packing.fill + 1e-4
    for decision in decisions:
        index = int(decision.name[1:])
        assert cell.packer.assignment[index] == decision.vm
        if decision.vm < 0:
            assert not cell.packer.fits(index, np.arange(3)).any()


def test_a_hot_vm_is_relieved_by_the_fewest_moves_and_the_reason_is_told() -> None:
    cell = cell_of(guests(4), [0.9, 0.9, 0.15, 0.5], VMS, placed=[0, 0, 0, 1])
    steps, stuck = mov.relieve(cell, guard_of(cell))
    assert not stuck
    assert [(m.guest, m.source, m.target) for m in steps[0].moves] == [(2, 0, 1)]
    assert steps[0].reason == "forecast to reach 97% within 30 minutes"
    assert steps[0].gain >= 0.05
    assert mov.relieve(cell, guard_of(cell)) == ([], [])


def test_a_vm_measured_hot_is_relieved_only_after_the_hold() -> None:
    cell = cell_of(guests(2), [1.0, 0.85], VMS, placed=[0, 0])
    checks = np.zeros((3, 5, 4))
    checks[0, -2:, 0] = 0.99
    assert hot(cell, checks) == []
    checks[0, 0, 0] = 0.97
    (found,) = hot(cell, checks)
    assert (found.vm, found.why, found.measured) == (0, "measured above 95% in 3 of 5 checks", True)


def test_a_vm_without_anywhere_to_go_asks_for_a_new_one() -> None:
    cell = cell_of(guests(4), [1.0, 0.95, 1.0, 0.8], VMS[:2], placed=[0, 0, 1, 1])
    steps, stuck = mov.relieve(cell, guard_of(cell))
    assert steps == []
    assert [(one.vm, one.why) for one in stuck] == [(0, "forecast to reach 98% within 30 minutes")]
    assert cell.packer.assignment.tolist() == [0, 0, 1, 1]


TWO_USELESS = [Past(1e9 - 7 * 86400, "b", "a", useless=True), Past(1e9 - 7 * 3600, "c", "a", useless=True)]


@pytest.mark.parametrize(
    ("pasts", "policy", "bite"),
    [
        ([Past(1e9 - 3700, "b", "a")], {}, "move.cooldown"),
        ([Past(1e9 - 8 * 3600, "b", "a", gain=5.0)], {}, "move.return_within"),
        (TWO_USELESS, {"move": {"backoff": "8h"}}, "move.give_up_after"),
        ([], {"move": {"pins": ["p2"]}}, "move.pins"),
        ([], {"move": {"freeze": ["00:00-24:00"]}}, "move.freeze"),
        ([], {"move": {"enabled": False}}, "move.enabled"),
        ([], {"move": {"inflow": 0}}, "move.inflow"),
    ],
)
def test_every_guardrail_holds_and_is_named(pasts: list[Past], policy: dict[str, object], bite: str) -> None:
    people = [*[Guest(f"t{i}", "p2") for i in range(3)], *[Guest(f"idle{i}", "idle") for i in range(40)]]
    placed = [0, 0, 0, *[1] * 40]
    cell = cell_of(people, [0.3, 0.3, 1.8, *[0.001] * 40], VMS[:2], placed=placed, policy=read_policy(policy))
    guard = guard_of(cell, dict.fromkeys(range(3), pasts))
    steps, stuck = mov.relieve(cell, guard)
    assert steps == []
    assert stuck
    assert guard.bites[bite] > 0


def test_a_move_that_failed_counts_as_useless_but_not_as_a_move() -> None:
    cell = cell_of(guests(1), [0.1], VMS)
    guard = guard_of(cell, {0: [Past(1e9 - 60, "b", "a", useless=True, failed=True)]})
    assert guard.may_leave(0) == ""
    assert guard.may_enter(0, 1, "b", 0.1) == ""
    guard = guard_of(cell, {0: [Past(1e9 - 60 * ago, "b", "a", useless=True, failed=True) for ago in (20, 1)]})
    assert guard.may_leave(0) == "move.give_up_after"


def test_budgets_count_what_was_moved_before() -> None:
    cell = cell_of(guests(4), [0.9, 0.9, 0.15, 0.5], VMS, placed=[0, 0, 0, 1])
    guard = guard_of(cell, {3: [Past(1e9 - 60, "a", "b")]})
    assert mov.relieve(cell, guard)[0] == []
    assert guard.bites["move.per_hour"] == 1


def test_a_return_is_allowed_when_the_gain_doubles() -> None:
    cell = cell_of(guests(1), [0.1], VMS, policy=read_policy({"move": {"return_gain": 2}}))
    past = {0: [Past(1e9 - 10 * 3600, "b", "a", gain=0.1)]}
    never = guard_of(cell_of(guests(1), [0.1], VMS), past)
    assert never.may_enter(0, 1, "b", 100.0) == "move.return_within"
    guard = guard_of(cell, past)
    assert guard.may_enter(0, 1, "b", 0.15) == "move.return_within"
    assert guard.may_enter(0, 1, "b", 0.25) == ""
    assert guard.may_enter(0, 2, "c", 0.0) == ""


def test_freeze_spans_over_midnight_belong_to_the_day_they_begin_on() -> None:
    friday_23h = 1767999600.0 + 0 * 86400  # 2026-01-09T23:00:00Z, a Friday
    assert frozen(["fri 22:00-06:00"], friday_23h)
    assert frozen(["fri 22:00-06:00"], friday_23h + 4 * 3600)
    assert not frozen(["fri 22:00-06:00"], friday_23h + 8 * 3600)
    assert not frozen(["fri 22:00-06:00"], friday_23h + 86400)


def test_the_least_used_vm_is_emptied_when_all_of_it_fits_elsewhere() -> None:
    policy = read_policy({"move": {"per_run": 1, "per_hour": 1, "per_day": 1}, "consolidation": {"headroom": False}})
    cell = cell_of(guests(5), [0.6, 0.5, 0.6, 0.2, 0.1], VMS, placed=[0, 0, 1, 2, 2], policy=policy)
    steps = mov.consolidate(cell, guard_of(cell))
    assert [(step.kind, step.vm) for step in steps] == [("empty", 2)]
    assert not cell.packer.members[2]
    assert all(moved.target in (0, 1) for moved in steps[0].moves)


def test_a_vm_that_is_busy_soon_is_not_emptied() -> None:
    policy = read_policy({"move": {"per_run": 1, "per_hour": 1, "per_day": 1}, "consolidation": {"headroom": False}})
    for window, steps in ((0, 0), (12, 1)):
        cell = cell_of(guests(3), [0.2, 0.1, 0.1], VMS, placed=[0, 0, 1], policy=policy)
        cell.packer.mean[2, window, 0] = 0.65 * cell.packer.mean[0, 0, 0] / 0.2 * 2
        cell.packer.fill_in_again(np.array([0, 0, 1]))
        guard = guard_of(cell)
        found = mov.consolidate(cell, guard)
        assert len([one for one in found if one.vm == 1]) == steps
        assert guard.bites["consolidation.lead"] == 1 - steps


def test_where_a_tenant_ran_before_counts_a_little() -> None:
    for last, place in (("", 0), ("b", 1), ("gone", 0)):
        cell = cell_of([*guests(2), Guest("new", "p", last=last)], [0.51, 0.5, 0.3], VMS[:2], placed=[0, 1, -1])
        assert admit(cell, [2])[0].vm == place


def test_no_vm_is_emptied_in_part_or_without_headroom() -> None:
    policy = read_policy({"move": {"per_run": 1, "per_hour": 1, "per_day": 1}})
    cell = cell_of(guests(4), [1.2, 1.5, 0.2, 0.6], VMS, placed=[0, 1, 2, 2], policy=policy)
    assert mov.consolidate(cell, guard_of(cell)) == []
    assert cell.packer.assignment.tolist() == [0, 1, 2, 2]
    cell = cell_of(guests(2), [1.0, 0.2], VMS[:2], placed=[0, 1], policy=policy)
    guard = guard_of(cell)
    assert mov.consolidate(cell, guard) == []
    assert guard.bites["consolidation.headroom"] >= 1


def test_a_disruption_that_is_not_worth_it_is_not_made() -> None:
    policy = read_policy({"move": {"per_run": 1, "per_hour": 1, "per_day": 1}, "consolidation": {"ratio": 2}})
    cell = cell_of(guests(6), [1.0, 1.0, 0.1, 0.1, 0.1, 0.1], VMS, placed=[0, 1, 2, 2, 2, 2], policy=policy)
    guard = guard_of(cell)
    assert mov.consolidate(cell, guard) == []
    assert guard.bites["consolidation.ratio"] >= 1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_after_any_run_no_target_is_past_the_fill_and_budgets_hold(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vms = [Vm(f"v{i}") for i in range(5)]
    count = 30
    placed = rng.integers(0, 5, count)
    cell = cell_of(guests(count), rng.uniform(0.01, 0.6, count).tolist(), vms, placed=placed.tolist())
    before = cell.packer.used().reshape(5, -1).max(axis=1)
    guard = guard_of(cell)
    steps, _stuck = mov.relieve(cell, guard)
    steps += mov.consolidate(cell, guard)
    moved = [m for step in steps for m in step.moves]
    assert len(moved) <= max(1, int(0.05 * count))
    after = cell.packer.used().reshape(5, -1).max(axis=1)
    for target in {m.target for m in moved}:
        assert after[target] <= max(0.9, 0) + 1e-4
    for vm in range(5):
        if vm not in {m.target for m in moved}:
            assert after[vm] <= before[vm] + 1e-6
    expected = placed.copy()
    for m in moved:
        assert expected[m.guest] == m.source
        expected[m.guest] = m.target
    assert cell.packer.assignment.tolist() == expected.tolist()
