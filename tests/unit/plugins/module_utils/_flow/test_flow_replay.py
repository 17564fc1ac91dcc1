# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import xml.dom.minidom
from array import array
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._flow import replay, replay_reach, replay_view
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.policy import Consolidation, Move, Policy
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.policy_reader import read_policy
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.simulate import Record
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from ansible_collections.predictive.tenancy.plugins.module_utils._store.interface import (
    RequestBatch,
    Store,
    UsageBatch,
)
from ansible_collections.predictive.tenancy.tests.unit.plugins.module_utils._flow.planner_cell import (
    MIB,
    NOW,
    flat,
    learned,
)

DAY = 86400.0
ROOM = {"cpu": "2", "memory": "2GiB"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened


def measured(store: Store, profile: str, cpu: np.ndarray, tenant: str = "") -> None:
    times = array("d", NOW.timestamp() - 300.0 * np.arange(len(cpu))[::-1])
    values = {"cpu": array("d", cpu), "memory": array("d", np.full(len(cpu), 50.0 * MIB))}
    store.append_usage([UsageBatch(profile, tenant, times, values)])


def replayed(store: Store, policy: dict[str, Any] | None = None, span: float = DAY) -> replay.Outcome:
    history = replay.read(store, span, 900.0, NOW, [])
    capacity, machines = replay.machines({}, ROOM, history)
    return replay.replay(history, capacity, machines, "one", read_policy(policy, cell="north"))


def test_tenants_that_must_stay_apart_and_those_of_one_profile(store: Store) -> None:
    learned(store, "web", flat(0.1), anti_affinity=["job"])
    learned(store, "job", flat(0.1))
    measured(store, "web", np.full(400, 0.1), "web_1")
    measured(store, "web", np.full(400, 0.1), "web_2")
    measured(store, "web", np.full(400, 0.2))
    measured(store, "job", np.full(400, 0.1))
    outcome = replayed(store)
    assert outcome.record.tenants == 3, "two measured tenants of web, and job as a whole"
    assert outcome.figures["vms"] == 2.0
    assert outcome.figures["moves_per_tenant_day"] == outcome.figures["overload"] == 0.0


def test_an_old_history_ends_where_it_ended(store: Store) -> None:
    learned(store, "web", flat(0.1))
    measured(store, "web", np.full(400, 0.1))
    history = replay.read(store, DAY, 900.0, NOW + timedelta(days=400), [])
    assert history.usage.shape == (1, 96, 4)
    assert NOW.timestamp() - 900 <= history.start + DAY <= NOW.timestamp()
    assert np.nanmax(history.usage[..., 0]) == pytest.approx(0.1)


@pytest.mark.parametrize("selectors", [{}, {"cell": "north"}])
def test_a_policy_of_one_profile_keeps_it_where_it_is(store: Store, selectors: dict[str, str]) -> None:
    growing = np.concatenate([np.full(200, 0.3), np.linspace(0.3, 0.9, 200)])
    for number in range(4):
        learned(store, f"p{number}", flat(0.3))
        measured(store, f"p{number}", growing)
    wide = {"per_run": 1, "per_hour": 1, "per_day": 1, "inflow": 9, "cooldown": "1h", "min_gain": 0}
    free = replayed(store, {"move": wide})
    assert free.record.moved
    pinned = [{**selectors, "profile": f"p{n}", "set": {"move": {"enabled": False}}} for n in range(4)]
    kept = replayed(store, {"move": wide, "overrides": pinned})
    assert kept.record.moved == []
    assert kept.figures["overload"] > free.figures["overload"]


UNSEEN = [(section, key) for section, keys in replay_reach.UNSEEN.items() for key in keys]


def other(value: Any) -> Any:
    """A value far from another of its kind."""
    if isinstance(value, bool):
        return not value
    return value * 3 + 1 if isinstance(value, int) else value * 0.2 + 0.05


@pytest.fixture(scope="module")
def busy() -> Callable[[Policy], tuple[Any, ...]]:
    """All that a replay makes of a history in which tenants move, cold starts are and shadows wait."""
    rng = np.random.default_rng(0)
    size, slots, start = 12, 144, NOW.timestamp()
    daily = 1 + 0.8 * np.sin(np.arange(slots) / 96 * 2 * np.pi + rng.uniform(0, 6, (size, 1)))
    usage = np.zeros((size, slots, 4))
    usage[..., 0] = rng.uniform(0.1, 0.4, (size, 1)) * daily * rng.uniform(0.7, 1.3, (size, slots))
    usage[..., 1] = 100 * MIB * (1 + usage[..., 0])
    names = [f"t{number}" for number in range(size)]
    requests = {names[0]: start - DAY + np.cumsum(rng.exponential(1500.0, 100))}
    profiles = [{"key": name, "priority": 50} for name in names]
    history = replay.History(names, profiles, usage, start, 900.0, requests, dict(zip(names, profiles)))
    capacity = np.tile([1.0, 1e9, np.inf, np.inf], (8, 1))

    def run(policy: Policy) -> tuple[Any, ...]:
        outcome = replay.replay(history, capacity, [], "one", policy)
        return outcome.figures, outcome.record.moved, outcome.record.bites

    return run


EAGER = Policy(
    move=Move(per_run=0.5, per_hour=0.5, per_day=1.0, cooldown=3600.0, return_within=0.0, min_gain=0.01),
    consolidation=Consolidation(headroom=False, ratio=0.1),
)


@pytest.mark.parametrize(("section", "key"), UNSEEN)
def test_a_replay_does_not_look_at_what_it_says(
    busy: Callable[[Policy], tuple[Any, ...]], section: str, key: str
) -> None:
    here = getattr(EAGER, section)
    changed = replace(EAGER, **{section: replace(here, **{key: other(getattr(here, key))})})
    usual = busy(EAGER)
    assert len(usual[1]) > 9
    assert usual[0]["cold_starts"] > 0 < usual[0]["waste_gib_hours"]
    assert busy(changed) == usual
    assert replay_reach.unseen([EAGER, changed]) == [f"{section}.{key}"]


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("packing", "fill", 0.6),
        ("packing", "sigma", 1.0),
        ("packing", "strategy", "spread"),
        ("move", "enabled", False),
        ("move", "high", 0.7),
        ("move", "cooldown", 86400.0),
        ("consolidation", "enabled", False),
        ("shadow", "second_cost", 1.0),
    ],
)
def test_a_replay_looks_at_the_rest(
    busy: Callable[[Policy], tuple[Any, ...]], section: str, key: str, value: Any
) -> None:
    changed = replace(EAGER, **{section: replace(getattr(EAGER, section), **{key: value})})
    assert busy(changed) != busy(EAGER)
    assert replay_reach.unseen([EAGER, changed]) == []


def test_overrides_differ_in_what_a_replay_does_not_look_at() -> None:
    given = [
        {"overrides": [{"profile": "web", "set": {"shadow": {"lead": "1m"}, "move": {"cooldown": "1h"}}}]},
        {"overrides": [{"cell": "north", "profile": "api", "set": {"resize": {"enabled": False}}}]},
        {"overrides": [{"cell": "south", "set": {"plan": {"expires": "2h"}}}]},
    ]
    policies = replay.policies([{"name": str(number), "policy": one} for number, one in enumerate(given)], "north")
    assert replay_reach.unseen(list(policies.values())) == ["resize.enabled", "shadow.lead"]
    assert replay_reach.unseen([policies["2"], Policy()]) == replay_reach.unseen([policies["0"]]) == []


def test_shadows_by_the_price_of_a_cold_start(store: Store) -> None:
    learned(store, "api", flat(0.1))
    measured(store, "api", np.full(400, 0.1))
    every = NOW.timestamp() - 1200.0 * np.arange(200)[::-1] - 60
    store.append_requests([RequestBatch("api", array("d", every))])
    held, none = replayed(store), replayed(store, {"shadow": {"enabled": False}})
    assert held.figures["requests"] == none.figures["requests"] == 72
    assert (held.figures["cold_starts"], none.figures["cold_starts"]) == (0, 72)
    assert (none.figures["waste_gib_hours"], none.figures["cold_share"]) == (0.0, 1.0)
    assert 0 < held.figures["waste_gib_hours"] <= 24 * 8 / 1024 + 1e-9
    frugal = replayed(store, {"shadow": {"second_cost": 1}})
    assert frugal.figures["waste_gib_hours"] < held.figures["waste_gib_hours"]


def outcome(name: str, hosts: list[int]) -> replay.Outcome:
    record = Record(900.0, 4, hosts=hosts, over=[0] * len(hosts), slack=[0.5] * len(hosts), moved=[(1, 0, 0, 1)])
    shadows = {"requests": 10.0, "cold_starts": 0.0, "cold_share": 0.0, "waste_gib_hours": 0.0}
    return replay.Outcome(name, record, {**record.figures(), **shadows})


def test_the_table_and_the_picture_carry_every_policy_whatever_its_name() -> None:
    outcomes = [outcome("a<b>&\"c'", [1, 2, 2, 1] * 300), outcome("other", [1] * 1200)]
    lines = replay_view.table(outcomes)
    assert lines[1].split() == ["VMs", "in", "use,", "mean", "1.50", "1.00", "-33", "%"]
    assert lines[-1].split()[-3:] == ["0.00", "0.00", "same"]
    assert len({len(line) for line in replay_view.table([outcomes[0]])[1:]}) == 1
    picture = replay_view.picture(outcomes, "A <title>", 0.0, 1200 * 900.0)
    document = xml.dom.minidom.parseString(picture)
    assert "a<b>&\"c'" in [node.firstChild.data for node in document.getElementsByTagName("text")]
    assert picture == replay_view.picture(outcomes, "A <title>", 0.0, 1200 * 900.0)
    assert replay_view.difference(0.0, 2.0) == "new"


def test_vms_of_a_given_size_suffice_for_three_times_the_peak(store: Store) -> None:
    learned(store, "web", flat(0.1))
    for number in range(40):
        measured(store, "web", np.full(300, 0.5), f"t{number}")
    history = replay.read(store, DAY, 900.0, NOW, [])
    capacity, machines = replay.machines({}, ROOM, history)
    assert (capacity.shape, machines) == ((34, 4), [])
    assert replay.replay(history, capacity, machines, "x", Policy()).figures["overload"] == 0.0
