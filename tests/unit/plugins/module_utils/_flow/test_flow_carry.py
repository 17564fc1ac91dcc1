# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans whose actions fail: killed at any write, overtaken by requests, with VMs lost or changed by other runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._flow import cells, vms
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.policy_reader import read_policy
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from ansible_collections.predictive.tenancy.plugins.module_utils._store.interface import Store
from ansible_collections.predictive.tenancy.tests.unit.plugins.module_utils._flow.planner_cell import (
    EASY,
    LATER,
    MIB,
    NOW,
    Machines,
    admit,
    balance,
    emptying_cell,
    finish,
    flat,
    hot_cell,
    kill_at,
    learned,
    used,
    vm,
)

Case = Callable[[Store], tuple[Machines, dict[str, Any], list[dict[str, Any]]]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened


def held(store: Store, key: str) -> dict[str, Any]:
    document = store.get("vms", key)
    assert document is not None
    return dict(document["allocations"])


def hot(store: Store) -> tuple[Machines, dict[str, Any]]:
    """A cell with one move planned, from a to b."""
    hot_cell(store)
    machines = Machines()
    machines.partition(admit(store)["desired"])
    return machines, balance(store)["plan"]


def grown(store: Store) -> tuple[Machines, dict[str, Any]]:
    """A cell with one tenant that is to grow."""
    learned(store, "web", flat(0.3))
    machines = Machines()
    machines.partition(admit(store, vms=[vm("a")], requests=[{"id": "web", "profile": "web"}])["desired"])
    used(store, "web", "web", [0.4] * 6)
    return machines, balance(store)["plan"]


def broken_target(store: Store) -> tuple[Machines, dict[str, Any], list[dict[str, Any]]]:
    machines, plan = hot(store)
    machines.broken.add(("b", plan["actions"][0]["tenant"]))
    return machines, plan, []


def broken_group(store: Store) -> tuple[Machines, dict[str, Any], list[dict[str, Any]]]:
    machines = emptying_cell(store)
    plan = balance(store, policy=EASY)["plan"]
    machines.broken.add((plan["actions"][1]["to"]["vm"], plan["actions"][1]["tenant"]))
    machines.broken.add((plan["actions"][0]["to"]["vm"], plan["actions"][0]["tenant"]))
    return machines, plan, []


def lost_target(store: Store) -> tuple[Machines, dict[str, Any], list[dict[str, Any]]]:
    machines, plan = hot(store)
    return machines, plan, [{"name": "b", "state": "lost"}]


def broken_resize(store: Store) -> tuple[Machines, dict[str, Any], list[dict[str, Any]]]:
    machines, plan = grown(store)
    machines.broken.add(("a", "web"))
    return machines, plan, []


def lost_resize(store: Store) -> tuple[Machines, dict[str, Any], list[dict[str, Any]]]:
    machines, plan = grown(store)
    return machines, plan, [{"name": "a", "state": "lost"}]


def carried(store: Store, case: Case, number: int, patch: pytest.MonkeyPatch) -> bool:
    """Carry a plan that fails on, killed at a write, and on again by runs that are not; whether it was killed."""
    machines, plan, news = case(store)
    names = {action["tenant"]: machines.where(action["tenant"]) for action in plan["actions"]}
    if news:
        balance(store, "apply", LATER, plan=plan["id"])
    killed = False
    with patch.context() as patched:
        kill_at(store, patched, number)
        try:
            finish(store, machines, plan["id"], vms=news)
        except KeyboardInterrupt:
            killed = True
    assert finish(store, machines, plan["id"])["state"] == "failed", number
    for name, place in names.items():
        assert machines.where(name) == place, f"{name} at write {number}"
        tenant = store.get("tenants", name)
        assert tenant is not None
        assert (tenant["moving_to"], [tenant["vm"]]) == (None, place)
        assert tenant["cpu"]["cores"] == held(store, place[0])[name]["cpu"]
        assert plan["actions"][0]["from"].get("cpu", tenant["cpu"])["cores"] == tenant["cpu"]["cores"]
    rooms = sorted((key, name) for key in "abc" if store.get("vms", key) for name in held(store, key))
    assert rooms == sorted((one["vm"], one["key"]) for one in store.find("tenants")), number
    return killed


@pytest.mark.parametrize("case", [broken_target, broken_group, lost_target, broken_resize, lost_resize])
def test_a_failing_plan_that_is_killed_at_any_write_is_rolled_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    number, killed = 0, True
    while killed:
        number += 1
        with open_store(f"sqlite:///{tmp_path}/{number}.db") as store:
            killed = carried(store, case, number, monkeypatch)
    assert number > 3


def test_a_request_that_came_anew_while_its_tenant_moved_ends_the_move(store: Store) -> None:
    machines, plan = hot(store)
    name = plan["actions"][0]["tenant"]
    step = balance(store, "apply", LATER, plan=plan["id"])
    assert step["results"][0]["state"] == "reserved"
    admit(store, LATER, requests=[{"id": name, "profile": name, "state": "absent"}])
    states = [vm("c"), *({"name": key, "state": "draining"} for key in "ab")]
    assert admit(store, LATER, vms=states, requests=[{"id": name, "profile": name}])["results"][0]["vm"] == "c"
    done = finish(store, machines, plan["id"])
    assert (done["state"], done["results"][0]["error"]) == ("failed", "it is no longer on its way from a to b")
    assert name in held(store, "c")
    assert name not in {**held(store, "a"), **held(store, "b")}


@pytest.mark.parametrize(("steps", "state"), [(1, "reserved"), (2, "switched")])
@pytest.mark.parametrize("place", ["a", "b"])
def test_a_request_that_came_anew_keeps_its_new_room(store: Store, place: str, steps: int, state: str) -> None:
    machines, plan = hot(store)
    name = plan["actions"][0]["tenant"]
    results: list[dict[str, Any]] = []
    for _step in range(steps):
        step = balance(store, "apply", LATER, plan=plan["id"], results=results)
        results = machines.partition(step["desired"])
    assert step["results"][0]["state"] == state
    admit(store, LATER, requests=[{"id": name, "profile": name, "state": "absent"}])
    states = [vm(key, cpu=9, state="ready" if key == place else "draining") for key in "ab"]
    again = admit(store, LATER, vms=states, requests=[{"id": name, "profile": name}])
    assert again["results"][0]["vm"] == place
    finish(store, machines, plan["id"])
    assert [key for key in "ab" if name in held(store, key)] == [place]
    assert held(store, place)[name]["kind"] == "tenant"
    assert store.get("plans", plan["id"])["state"] in ("applied", "failed")


def test_a_resize_whose_vm_is_lost_ends(store: Store) -> None:
    _machines, plan = grown(store)
    balance(store, "apply", plan=plan["id"])
    done = balance(store, "apply", plan=plan["id"], vms=[{"name": "a", "state": "lost"}])
    assert (done["state"], done["results"][0]["error"]) == ("failed", "taken back: its VM a is lost")
    assert held(store, "a")["web"]["cpu"] == store.get("tenants", "web")["cpu"]["cores"]


def test_a_resize_whose_request_came_anew_ends(store: Store) -> None:
    machines, plan = grown(store)
    balance(store, "apply", plan=plan["id"])
    admit(store, requests=[{"id": "web", "profile": "web", "state": "absent"}])
    wanted = [{"id": "web", "profile": "web", "resources": {"cpu": 1.1}}]
    machines.partition(admit(store, requests=wanted)["desired"])
    done = finish(store, machines, plan["id"])
    assert (done["state"], held(store, "a")["web"]["cpu"]) == ("failed", 1.1)


def test_a_target_that_another_run_fills_between_two_moves_is_looked_at_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, level in (("one", 0.75), ("two", 0.35), ("three", 0.35), ("late", 0.75)):
        learned(store, name, flat(level))
    for name, place in (("one", "b"), ("two", "c"), ("three", "c")):
        states = [vm(key, state="ready" if key == place else "draining") for key in "bc"]
        admit(store, vms=states, requests=[{"id": name, "profile": name}])
    admit(store, vms=[vm(key, state="ready") for key in "bc"])
    plan = balance(store, policy=EASY)["plan"]
    assert [(one["tenant"], one["to"]["vm"]) for one in plan["actions"]] == [("three", "b"), ("two", "b")]
    picture, calls = cells.picture, []

    def overtaken(*arguments: Any) -> cells.Picture:
        seen = picture(*arguments)
        if not calls:
            calls.append(1)
            states = [vm(key, state="ready" if key == "b" else "draining") for key in "bc"]
            assert admit(store, vms=states, requests=[{"id": "late", "profile": "late"}])["results"][0]["vm"] == "b"
        return seen

    monkeypatch.setattr(cells, "picture", overtaken)
    step = balance(store, "apply", LATER, plan=plan["id"])
    monkeypatch.undo()
    full = picture(store, vms.read(store, "north"), {}, [], read_policy(None), NOW)
    assert float(full.cell.packer.used_of(full.index["b"]).max()) <= 0.9 + 1e-4
    assert "b has no room for it any more" in {row["error"] for row in step["results"]}


TIGHT = {"packing": {"memory_overcommit": 1.0}}


def promised(store: Store) -> float:
    return float(sum(one["memory"] for one in held(store, "a").values()))


def growing(store: Store) -> dict[str, Any]:
    """A VM of 820 MiB with one tenant of 380 MiB that is to have more."""
    for name in ("web", "late"):
        learned(store, name, flat(0.1), 300 * MIB)
    wanted = [{"id": "web", "profile": "web", "resources": {"cpu": 0.2, "memory": "380MiB"}}]
    admit(store, vms=[vm("a", memory="820MiB")], requests=wanted, policy=TIGHT)
    used(store, "web", "web", [0.1] * 6, 350 * MIB)
    plan: dict[str, Any] = balance(store, policy=TIGHT)["plan"]
    assert plan["actions"][0]["to"]["memory"]["max"] > 400 * MIB
    return plan


def test_memory_that_was_given_away_since_the_plan_is_not_promised_twice(store: Store) -> None:
    plan = growing(store)
    late = [{"id": "late", "profile": "late", "resources": {"cpu": 0.2, "memory": "420MiB"}}]
    assert admit(store, requests=late, policy=TIGHT)["results"][0]["vm"] == "a"
    done = balance(store, "apply", plan=plan["id"])
    assert (done["state"], done["results"][0]["error"]) == ("failed", "a has no memory left for it")
    assert promised(store) == 800 * MIB
    assert store.get("tenants", "web")["memory"]["max"] == 380 * MIB


def shrinking(store: Store) -> tuple[Machines, dict[str, Any]]:
    """A VM of 820 MiB with one tenant of 400 MiB that is to have 300 MiB."""
    for name in ("web", "late"):
        learned(store, name, flat(0.1), 60 * MIB)
    wanted = [{"id": "web", "profile": "web", "resources": {"cpu": 0.4, "memory": "400MiB"}}]
    machines = Machines()
    machines.partition(admit(store, vms=[vm("a", memory="820MiB")], requests=wanted, policy=TIGHT)["desired"])
    begin = NOW + timedelta(minutes=15)
    used(store, "web", "web", [0.3] * 8, 60 * MIB, now=begin)
    plan = balance(store, now=begin, policy=TIGHT)["plan"]
    assert plan["actions"][0]["to"]["memory"]["max"] == 300 * MIB
    return machines, plan


def test_what_shrinks_gives_its_room_back_when_the_vm_has_done_it(store: Store) -> None:
    machines, plan = shrinking(store)
    step = balance(store, "apply", LATER, plan=plan["id"])
    assert step["desired"]["a"][0]["memory"]["max"] == 300 * MIB
    assert promised(store) == 400 * MIB
    late = [{"id": "late", "profile": "late", "resources": {"cpu": 0.2, "memory": "500MiB"}}]
    assert admit(store, LATER, requests=late, policy=TIGHT)["results"][0]["vm"] is None
    finish(store, machines, plan["id"])
    assert promised(store) == 300 * MIB
    assert admit(store, LATER, requests=late, policy=TIGHT)["results"][0]["vm"] == "a"


def test_a_shrink_that_fails_still_has_its_room(store: Store) -> None:
    machines, plan = shrinking(store)
    machines.broken.add(("a", "web"))
    balance(store, "apply", LATER, plan=plan["id"])
    late = [{"id": "late", "profile": "late", "resources": {"cpu": 0.2, "memory": "500MiB"}}]
    admit(store, LATER, requests=late, policy=TIGHT)
    assert finish(store, machines, plan["id"])["state"] == "failed"
    assert promised(store) == 400 * MIB
    assert store.get("tenants", "web")["memory"]["max"] == 400 * MIB


def test_a_move_that_fails_each_time_is_given_up(store: Store) -> None:
    machines, plan = hot(store)
    name = plan["actions"][0]["tenant"]
    machines.broken.add(("b", name))
    others = [one for one in ("one", "two", "three") if one != name]
    pinned = {"move": {"per_hour": 1, "per_day": 1, "pins": others}}
    tried = []
    for number in range(5):
        now = NOW + timedelta(minutes=10 * number)
        plan = balance(store, now=now, policy=pinned)["plan"]
        moves = [one["tenant"] for one in plan["actions"] if one["kind"] == "move"] if plan else []
        tried.append(moves)
        if plan is None:
            continue
        results: list[dict[str, Any]] = []
        for _step in range(4):
            step = balance(store, "apply", now, plan=plan["id"], results=results)
            results = machines.partition(step["desired"])
        assert step["state"] in ("failed", "applied")
    assert tried == [[name], [name], [], [], []]
    tenant = store.get("tenants", name)
    assert tenant is not None
    assert [(one["useless"], one["failed"]) for one in tenant["moves"]] == [(True, True)] * 2
    assert (tenant["vm"], tenant["moved_at"]) == ("a", None)
    later = balance(store, now=NOW + timedelta(minutes=10, hours=1), policy=pinned)["plan"]
    assert [one["tenant"] for one in later["actions"] if one["kind"] == "move"] == [name], "the backoff is over"
