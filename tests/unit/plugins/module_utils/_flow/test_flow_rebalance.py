# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import InputError, StoreUnavailable
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
    check_cell,
    emptying_cell,
    finish,
    flat,
    hot_cell,
    kill_at,
    learned,
    used,
    vm,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened


def documents(store: Store) -> list[Any]:
    return [list(store.find(kind)) for kind in ("vms", "tenants", "plans", "shadows", "decisions")]


def test_a_quiet_cell_yields_no_plan_and_changes_nothing(store: Store) -> None:
    learned(store, "web", flat(0.3))
    admit(store, vms=[vm("a"), vm("b")], requests=[{"id": "web", "profile": "web"}])
    used(store, "web", "web", [0.3] * 8)
    before = documents(store)
    for mode in ("observe", "recommend"):
        answer = balance(store, mode)
        assert (answer["changed"], answer["plan"], answer["state"]) == (False, None, "none")
    assert documents(store) == before


def test_a_constant_load_never_produces_a_plan_after_the_first(store: Store) -> None:
    for number, level in enumerate((0.1, 0.3, 0.02, 0.5, 0.25)):
        learned(store, f"p{number}", flat(level))
    requests = [{"id": f"t{n}", "profile": f"p{n}"} for n in range(5)]
    requests[2]["resources"] = {"cpu": 0.9, "memory": "300MiB"}
    admit(store, vms=[vm("a"), vm("b"), vm("c")], requests=requests)
    machines, plans = Machines(), []
    for hour in range(40):
        now = NOW + timedelta(hours=hour)
        for number, level in enumerate((0.1, 0.3, 0.02, 0.5, 0.25)):
            used(store, f"p{number}", f"t{number}", [level] * 12, now=now)
        answer = balance(store, now=now)
        plans.append(answer["plan"])
        if answer["plan"]:
            results = machines.partition(balance(store, "apply", now, plan=answer["plan"]["id"])["desired"])
            balance(store, "apply", now, plan=answer["plan"]["id"], results=results)
    assert any(plans[:12])
    assert plans[12:] == [None] * 28
    tenants = {one["key"]: one for one in store.find("tenants")}
    assert tenants["t2"]["cpu"]["cores"] < 0.2
    check_cell(store)


@pytest.mark.parametrize("selectors", [{"profile": "web"}, {"cell": "north", "profile": "web"}])
def test_a_profile_that_is_not_to_be_resized_is_not(store: Store, selectors: dict[str, str]) -> None:
    learned(store, "web", flat(0.3))
    learned(store, "job", flat(0.3))
    admit(store, vms=[vm("a")], requests=[{"id": "web", "profile": "web"}, {"id": "job", "profile": "job"}])
    for name in ("web", "job"):
        used(store, name, name, [0.4] * 6)
    overrides = [{**selectors, "set": {"resize": {"enabled": False}}}]
    plan = balance(store, policy={"overrides": overrides})["plan"]
    assert [action["tenant"] for action in plan["actions"]] == ["job"]
    assert balance(store, "apply", plan=plan["id"])["state"] == "applying"


@pytest.mark.parametrize("selectors", [{"profile": "web"}, {"cell": "north", "profile": "web"}, {"cell": "north"}])
@pytest.mark.parametrize("checks", [6, 11, 12])
def test_a_profile_looks_back_on_as_many_checks_as_its_own_rules_ask_for(
    store: Store, selectors: dict[str, str], checks: int
) -> None:
    learned(store, "web", flat(0.1), 60 * MIB)
    wanted = [{"id": "web", "profile": "web", "resources": {"cpu": 0.9, "memory": "100MiB"}}]
    admit(store, NOW - timedelta(days=1), vms=[vm("a")], requests=wanted)
    used(store, "web", "web", [0.8] + [0.1] * 11, 80 * MIB)
    overrides = [{**selectors, "set": {"resize": {"down_after": checks}}}]
    assert bool(balance(store, policy={"overrides": overrides})["plan"]) == (checks <= 11)


def test_measured_use_makes_a_plan_with_its_reasons(store: Store) -> None:
    learned(store, "web", flat(0.3))
    learned(store, "job", flat(0.3))
    admit(store, vms=[vm("a")], requests=[{"id": "web", "profile": "web"}, {"id": "job", "profile": "job"}])
    used(store, "web", "web", [0.3, 0.3, 0.3, 0.3, 0.39, 0.4])
    psi = {"cpu": {"some": {"avg60": 60.0}}, "memory": None, "io": None}
    live = {
        "name": "job",
        "cpu": {"cores": 0.39, "throttled": 0.2},
        "memory": {"current": 90 * MIB},
        "io": {},
        "pressure": psi,
    }
    measured = {"a": [live]}
    before = documents(store)
    seen = balance(store, "observe", measured=measured)
    assert seen["plan"]["state"] == "recommended"
    assert documents(store) == before
    answer = balance(store, measured=measured, dry=True)
    assert answer["changed"]
    assert documents(store) == before
    answer = balance(store, measured=measured)
    assert answer["changed"]
    actions = {action["tenant"]: action for action in answer["plan"]["actions"]}
    assert actions["web"]["reason"] == "CPU use was above 85% of its limit in 2 checks"
    assert actions["job"]["reason"] == "CPU is under pressure at its limit"
    assert actions["job"]["to"]["cpu"]["cores"] == pytest.approx(1.5 * actions["job"]["from"]["cpu"]["cores"], abs=0.02)
    assert actions["web"]["confidence"] == 1.0
    assert not balance(store, measured=measured)["changed"], "the same proposal is the same plan"
    assert balance(store, measured=measured)["plan"]["id"] == answer["plan"]["id"]


def test_applying_a_resize_in_two_calls(store: Store) -> None:
    learned(store, "web", flat(0.3))
    admit(store, vms=[vm("a")], requests=[{"id": "web", "profile": "web"}])
    used(store, "web", "web", [0.4] * 6)
    plan = balance(store)["plan"]
    machines = Machines()
    first = balance(store, "apply", plan=plan["id"])
    assert (first["state"], first["changed"]) == ("applying", True)
    cores = plan["actions"][0]["to"]["cpu"]["cores"]
    assert first["desired"]["a"][0]["cpu"]["cores"] == cores
    again = balance(store, "apply", plan=plan["id"])
    assert (again["state"], again["changed"]) == ("applying", False)
    done = balance(store, "apply", plan=plan["id"], results=machines.partition(first["desired"], named=False))
    assert (done["state"], done["changed"]) == ("applied", True)
    assert [row["state"] for row in done["results"]] == ["applied"]
    ended = balance(store, "apply", plan=plan["id"])
    assert (ended["state"], ended["changed"]) == ("applied", False)
    document = store.get("vms", "a")
    assert document is not None
    assert document["allocations"]["web"]["cpu"] == cores
    assert [one["kind"] for one in store.find("decisions", {"plan": plan["id"]})] == ["resize"]


def test_a_resize_that_fails_is_taken_back(store: Store) -> None:
    learned(store, "web", flat(0.3))
    admit(store, vms=[vm("a")], requests=[{"id": "web", "profile": "web"}])
    used(store, "web", "web", [0.4] * 6)
    plan = balance(store)["plan"]
    machines = Machines()
    machines.broken.add(("a", "web"))
    done = finish(store, machines, plan["id"])
    assert done["state"] == "failed"
    assert done["results"][0]["error"] == "taken back: it does not start"
    tenant = store.get("tenants", "web")
    assert tenant is not None
    assert tenant["cpu"]["cores"] == plan["actions"][0]["from"]["cpu"]["cores"]


@pytest.mark.parametrize("named", [True, False])
def test_a_move_reserves_first_and_removes_last(store: Store, named: bool) -> None:
    hot_cell(store)
    machines = Machines()
    machines.partition(admit(store)["desired"])
    answer = balance(store)
    kinds = [(action["kind"], action["from"], action["to"]) for action in answer["plan"]["actions"]]
    assert kinds == [("move", {"vm": "a"}, {"vm": "b"})]
    action = answer["plan"]["actions"][0]
    assert action["reason"].startswith("to relieve a: forecast to reach")
    assert action["effect"]["peak_after"] < action["effect"]["peak_before"]
    name = action["tenant"]
    first = balance(store, "apply", LATER, plan=answer["plan"]["id"])
    assert [name in [item["name"] for item in first["desired"][key]] for key in ("a", "b")] == [True, True]
    second = balance(
        store, "apply", LATER, plan=answer["plan"]["id"], results=machines.partition(first["desired"], named=named)
    )
    assert machines.where(name) == ["a", "b"]
    assert {"name": name, "state": "absent"} in second["desired"]["a"]
    assert store.get("tenants", name)["vm"] == "b"
    done = balance(
        store, "apply", LATER, plan=answer["plan"]["id"], results=machines.partition(second["desired"], named=named)
    )
    assert done["state"] == "applied"
    assert machines.where(name) == ["b"]
    assert {"name": name, "state": "absent"} not in done["desired"]["a"]
    check_cell(store)
    assert balance(store, now=LATER)["plan"] is None, "nothing is left to do"


def test_a_target_that_does_not_take_the_tenant_gives_its_room_back(store: Store) -> None:
    hot_cell(store)
    machines = Machines()
    machines.partition(admit(store)["desired"])
    plan = balance(store)["plan"]
    name = plan["actions"][0]["tenant"]
    machines.broken.add(("b", name))
    done = finish(store, machines, plan["id"])
    assert done["state"] == "failed"
    assert done["results"][0]["error"] == "it does not start"
    assert machines.where(name) == ["a"]
    held = {key: one["allocations"] for key, one in ((v["key"], v) for v in store.find("vms"))}
    assert name in held["a"]
    assert name not in held["b"]


@pytest.mark.parametrize(("lost", "step", "ends_in"), [("b", 1, "a"), ("a", 1, "b"), ("a", 2, "b"), ("b", 2, None)])
def test_a_vm_lost_half_way_loses_no_tenant(store: Store, lost: str, step: int, ends_in: str | None) -> None:
    hot_cell(store)
    machines = Machines()
    machines.partition(admit(store)["desired"])
    plan = balance(store)["plan"]
    name = plan["actions"][0]["tenant"]
    results: list[dict[str, Any]] = []
    for _call in range(step):
        answer = balance(store, "apply", LATER, plan=plan["id"], results=results)
        results = machines.partition(answer["desired"])
    state = [{"name": lost, "state": "lost"}]
    results = [entry for entry in results if entry["vm"] != lost]
    for _call in range(4):
        answer = balance(store, "apply", LATER, plan=plan["id"], results=results, vms=state)
        results = machines.partition(answer["desired"])
    assert answer["state"] in ("applied", "failed")
    tenant = store.get("tenants", name)
    assert tenant is not None
    assert tenant["moving_to"] is None
    if ends_in is not None:
        assert tenant["vm"] == ends_in
        assert ends_in in machines.where(name)
    else:  # it was on the lost VM already: admission places it again
        again = admit(store, LATER + timedelta(minutes=5))
        assert [(row["name"], row["vm"]) for row in again["results"]] == [(name, None)]
        again = admit(store, LATER + timedelta(minutes=9), vms=[vm("c")])
        assert [(row["name"], row["vm"]) for row in again["results"]] == [(name, "c")]


def test_a_vm_that_is_not_needed_is_emptied(store: Store) -> None:
    machines = emptying_cell(store)
    answer = balance(store, policy=EASY)
    assert [(a["kind"], a["group"], a["from"]["vm"]) for a in answer["plan"]["actions"]] == [
        ("consolidate", "empty c", "c"), ("consolidate", "empty c", "c"),
    ]  # fmt: skip
    vms = {"vms_before": 3, "vms_after": 2, "vms_least": 1}
    assert answer["plan"]["score"] == {"before": 3.0, "after": 2.0, **vms}
    done = finish(store, machines, answer["plan"]["id"])
    assert done["state"] == "applied"
    assert machines.tenants["c"] == {}
    check_cell(store)


def test_a_vm_is_emptied_whole_or_not_at_all(store: Store) -> None:
    machines = emptying_cell(store)
    plan = balance(store, policy=EASY)["plan"]
    target = plan["actions"][1]["to"]["vm"]
    learned(store, "late", flat(0.9 if target == "a" else 0.8))
    states = [vm(key, state="ready" if key == target else "draining") for key in "abc"]
    assert admit(store, vms=states, requests=[{"id": "late", "profile": "late"}])["results"][0]["vm"] == target
    admit(store, vms=[vm(key, state="ready") for key in "abc"])
    done = finish(store, machines, plan["id"])
    assert done["state"] == "failed"
    assert machines.where("three") == machines.where("four") == ["c"]
    check_cell(store)


def test_a_plan_that_is_killed_at_any_write_is_finished_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, finished = 0, False
    while not finished:
        number += 1
        with open_store(f"sqlite:///{tmp_path}/{number}.db") as store:
            machines = emptying_cell(store)
            plan = balance(store, policy=EASY)["plan"]
            names = [action["tenant"] for action in plan["actions"]]
            with monkeypatch.context() as patch:
                count = kill_at(store, patch, number)
                try:
                    finish(store, machines, plan["id"])
                    finished = count() < number
                except KeyboardInterrupt:
                    for name in names:
                        assert machines.where(name), f"{name} is lost at write {number}"
            check_cell(store, moving=True)
            done = finish(store, machines, plan["id"])
            assert done["state"] == "applied", number
            assert machines.tenants["c"] == {}, number
            assert [len(machines.where(name)) for name in names] == [1, 1], number
            check_cell(store)
    assert number > 12


@pytest.mark.parametrize("number", [1, 4, 8])
def test_a_store_that_goes_away_half_way_is_an_error_and_the_next_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    with open_store(f"sqlite:///{tmp_path}/store.db") as store:
        machines = emptying_cell(store)
        plan = balance(store, policy=EASY)["plan"]
        with monkeypatch.context() as patch:
            kill_at(store, patch, number, StoreUnavailable("the store does not answer"))
            with pytest.raises(StoreUnavailable):
                finish(store, machines, plan["id"])
        check_cell(store, moving=True)
        assert finish(store, machines, plan["id"])["state"] == "applied"
        assert machines.tenants["c"] == {}
        check_cell(store)


@pytest.mark.parametrize("measured", ["web", ""], ids=["the tenant", "its workload as a whole"])
def test_memory_is_kept_for_what_was_used_within_a_week(store: Store, measured: str) -> None:
    learned(store, "web", flat(0.3), 60 * MIB)
    wanted = [{"id": "web", "profile": "web", "resources": {"cpu": 0.4, "memory": "400MiB"}}]
    admit(store, NOW - timedelta(days=1), vms=[vm("a")], requests=wanted)
    used(store, "web", measured, [0.3] * 400, 330 * MIB, now=NOW - timedelta(hours=2))
    used(store, "web", measured, [0.3] * 8, 60 * MIB)
    plan = balance(store)["plan"]
    (action,) = (one for one in plan["actions"] if "memory" in one["to"])
    assert "resize.memory_keep" in action["limits"]
    assert 329 * MIB <= action["to"]["memory"]["max"] <= 332 * MIB
    roomy = {"resize": {"memory_keep": "1h"}}
    smaller = balance(store, policy=roomy)["plan"]["actions"][0]["to"]["memory"]["max"]
    assert smaller == 300 * MIB, "a quarter less is the most of one run"


def test_memory_that_others_of_the_workload_used_does_not_hold_a_tenant_that_is_measured_itself(store: Store) -> None:
    learned(store, "web", flat(0.3), 60 * MIB)
    wanted = [{"id": name, "profile": "web", "resources": {"cpu": 0.4, "memory": "400MiB"}} for name in ("one", "two")]
    admit(store, NOW - timedelta(days=1), vms=[vm("a")], requests=wanted)
    used(store, "web", "", [0.3] * 400, 330 * MIB)
    used(store, "web", "one", [0.3] * 400, 60 * MIB)
    used(store, "web", "two", [0.3] * 8, 60 * MIB)
    used(store, "web", "other", [0.3] * 400, 390 * MIB)
    targets = {one["tenant"]: one["to"]["memory"]["max"] for one in balance(store)["plan"]["actions"]}
    assert targets == {"one": 300 * MIB, "two": 300 * MIB}


def test_a_killed_resize_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 6):
        with open_store(f"sqlite:///{tmp_path}/{number}.db") as store:
            learned(store, "web", flat(0.3))
            machines = Machines()
            machines.partition(admit(store, vms=[vm("a")], requests=[{"id": "web", "profile": "web"}])["desired"])
            used(store, "web", "web", [0.4] * 6)
            plan = balance(store)["plan"]
            with monkeypatch.context() as patch:
                kill_at(store, patch, number)
                with pytest.raises(KeyboardInterrupt):
                    finish(store, machines, plan["id"])
            done = finish(store, machines, plan["id"])
            assert done["state"] == "applied"
            cores = plan["actions"][0]["to"]["cpu"]["cores"]
            assert machines.tenants["a"]["web"]["cpu"]["cores"] == cores
            check_cell(store)


def test_plans_are_superseded_expire_and_are_applied_by_their_id(store: Store) -> None:
    learned(store, "web", flat(0.3))
    admit(store, vms=[vm("a")], requests=[{"id": "web", "profile": "web"}])
    used(store, "web", "web", [0.4] * 6)
    first = balance(store)["plan"]
    used(store, "web", "web", [0.5] * 6)
    second = balance(store, now=NOW + timedelta(seconds=1))["plan"]
    assert second["id"] != first["id"]
    assert store.get("plans", first["id"])["state"] == "superseded"
    with pytest.raises(InputError, match="the plan is superseded"):
        balance(store, "apply", plan=first["id"])
    with pytest.raises(InputError, match="the plan is expired"):
        balance(store, "apply", NOW + timedelta(hours=2), plan=second["id"])
    assert store.get("plans", second["id"])["state"] == "expired"
    with pytest.raises(InputError, match="there is no such plan"):
        balance(store, "apply", plan="nothing")
    assert balance(store, "apply")["state"] == "none"


def test_while_a_plan_is_applied_no_other_is_made(store: Store) -> None:
    learned(store, "web", flat(0.3))
    admit(store, vms=[vm("a")], requests=[{"id": "web", "profile": "web"}])
    used(store, "web", "web", [0.4] * 6)
    plan = balance(store)["plan"]
    balance(store, "apply", plan=plan["id"])
    used(store, "web", "web", [0.6] * 6)
    answer = balance(store)
    assert (answer["plan"]["id"], answer["state"], answer["changed"]) == (plan["id"], "applying", False)


def test_a_tenant_that_changed_meanwhile_is_left_alone(store: Store) -> None:
    hot_cell(store)
    plan = balance(store)["plan"]
    name = plan["actions"][0]["tenant"]
    admit(store, requests=[{"id": name, "profile": name, "state": "absent"}])
    done = balance(store, "apply", plan=plan["id"])
    assert done["state"] == "failed"
    assert done["results"][0]["error"] == "the tenant is no longer in a"


@pytest.mark.parametrize(("measured", "confidence"), [(True, 1.0), (False, 0.4)])
def test_a_move_is_trusted_as_what_it_follows_from(store: Store, measured: bool, confidence: float) -> None:
    hot_cell(store)
    for name in ("one", "two", "three"):
        used(store, name, name, [0.7] * 6 if measured else [0.3] * 6)
        profile = store.get("profiles", name)
        for pattern in profile["patterns"].values():
            pattern["confidence"] = 0.4
        store.update("profiles", profile)
    plan = balance(store, policy={"resize": {"enabled": False}})["plan"]
    (action,) = (one for one in plan["actions"] if one["kind"] == "move")
    assert ("measured above" if measured else "forecast to reach") in action["reason"]
    assert action["confidence"] == confidence
    admit(store, vms=[vm("b", state="draining")])
    (asked,) = balance(store, policy={"resize": {"enabled": False}})["plan"]["actions"]
    assert (asked["kind"], asked["confidence"]) == ("vm", confidence)


def test_a_cell_that_cannot_be_relieved_asks_for_a_vm(store: Store) -> None:
    hot_cell(store)
    admit(store, vms=[vm("b", state="draining")])
    plan = balance(store)["plan"]
    assert [action["kind"] for action in plan["actions"]] == ["vm"]
    assert plan["actions"][0]["reason"].startswith("no VM can take enough of what is too much: a forecast to reach")
    done = balance(store, "apply", plan=plan["id"])
    assert (done["state"], done["results"][0]["state"]) == ("applied", "noted")


def test_a_vm_is_not_asked_for_in_every_run(store: Store) -> None:
    hot_cell(store)
    admit(store, vms=[vm("b", state="draining")])
    asked = balance(store)["plan"]
    assert asked["actions"][0]["effect"]["relieves"] == ["a"]
    balance(store, "apply", plan=asked["id"])
    again = balance(store)
    assert (again["changed"], again["plan"], again["results"]) == (False, None, [])
    assert balance(store, "observe")["plan"]["actions"][0]["kind"] == "vm"  # who asks is still told
    later = balance(store, now=NOW + timedelta(hours=12))["plan"]
    assert [action["kind"] for action in later["actions"]] == ["vm"]
    other = {**store.get("plans", asked["id"])}
    other["actions"][0]["effect"]["relieves"] = ["c"]
    store.update("plans", other)
    assert balance(store)["plan"]["actions"][0]["effect"]["relieves"] == ["a"]  # another VM is another request


def test_memory_grows_only_as_far_as_the_vm_may_promise(store: Store) -> None:
    for name, priority in (("low", 10), ("high", 90)):
        learned(store, name, flat(0.1), 300 * MIB, priority=priority)
    wanted = [{"id": name, "profile": name, "resources": {"cpu": 0.2, "memory": "380MiB"}} for name in ("low", "high")]
    admit(store, vms=[vm("a", memory="820MiB")], requests=wanted)
    for name in ("low", "high"):
        used(store, name, name, [0.1] * 6, 350 * MIB)
    roomy = {"packing": {"memory_overcommit": 1.0}}
    plan = balance(store, policy=roomy)["plan"]
    grown = {action["tenant"] for action in plan["actions"] if "memory" in action["to"]}
    assert grown == {"high"}
    assert plan["limits"]["packing.memory_overcommit"] == 1


def test_shadows_are_part_of_the_plan(store: Store) -> None:
    learned(store, "job", flat(0.1), period=3600.0)
    admit(store, vms=[vm("a")], policy={"shadow": {"enabled": False}})
    answer = balance(store)
    action = answer["plan"]["actions"][0]
    assert (action["kind"], action["profile"], action["to"]["vm"]) == ("shadow", "job", "a")
    assert answer["shadows"] == {"a": []}
    done = balance(store, "apply", plan=answer["plan"]["id"])
    assert done["state"] == "applied"
    assert [item["name"] for item in done["shadows"]["a"]] == [action["to"]["shadow"]]
    assert balance(store)["plan"] is None


def test_shadows_are_held_as_the_plan_that_was_reviewed_says(store: Store) -> None:
    learned(store, "job", flat(0.1), period=3600.0)
    learned(store, "rare", flat(0.1), period=3600.0)
    document = store.get("profiles", "rare")
    document["arrival"]["schedules"][0]["confidence"] = document["arrival"]["confidence"] = 0.45
    store.update("profiles", document)
    off = {"shadow": {"enabled": False}}
    admit(store, vms=[vm("a")], policy=off)
    bold = {"shadow": {"memory": "40MiB", "confidence": 0.4}}
    plan = balance(store, policy=bold)["plan"]
    assert {one["profile"]: one["to"]["memory"] for one in plan["actions"]} == {"job": 40 * MIB, "rare": 40 * MIB}
    done = balance(store, "apply", plan=plan["id"], policy=off)
    assert [one["state"] for one in done["results"]] == ["applied", "applied"]
    held = store.get("vms", "a")["shadows"]
    assert {one["profile"]: one["memory"] for one in held.values()} == {"job": 40 * MIB, "rare": 40 * MIB}
    assert {one["profile"]: one["to"] for one in done["plan"]["actions"]} == {
        one["profile"]: {"shadow": one["key"], "vm": "a", "tier": one["tier"], "memory": one["memory"]}
        for one in store.find("shadows")
    }


def test_results_without_a_name_are_refused(store: Store) -> None:
    learned(store, "web", flat(0.3))
    with pytest.raises(InputError, match=r"results\[0\]: has no name"):
        balance(store, "apply", results=[{"state": "running"}])


def test_policies_of_a_profile_bind_only_it(store: Store) -> None:
    for name in ("web", "job"):
        learned(store, name, flat(0.3))
    admit(store, vms=[vm("a")], requests=[{"id": "web", "profile": "web"}, {"id": "job", "profile": "job"}])
    for name in ("web", "job"):
        used(store, name, name, [0.4] * 6)
    policy = {"overrides": [{"profile": "job", "set": {"resize": {"enabled": False}}}]}
    answer = balance(store, policy=policy)
    assert [action["tenant"] for action in answer["plan"]["actions"]] == ["web"]
    assert answer["plan"]["limits"]["resize.enabled"] == 1


def test_noise_does_not_flap(store: Store) -> None:
    rng = np.random.default_rng(7)
    for number in range(6):
        learned(store, f"p{number}", flat(0.25))
    admit(store, vms=[vm(key) for key in "abc"], requests=[{"id": f"t{n}", "profile": f"p{n}"} for n in range(6)])
    machines = Machines()
    machines.partition(admit(store)["desired"])
    moves = 0
    for hour in range(48):
        now = NOW + timedelta(hours=hour)
        for number in range(6):
            used(store, f"p{number}", f"t{number}", (0.25 * rng.uniform(0.7, 1.3, 12)).tolist(), now=now)
        answer = balance(store, now=now)
        if answer["plan"]:
            moves += sum(action["kind"] in ("move", "consolidate") for action in answer["plan"]["actions"])
            finish(store, machines, answer["plan"]["id"])
    assert moves <= 0.5 * 6 * 2
