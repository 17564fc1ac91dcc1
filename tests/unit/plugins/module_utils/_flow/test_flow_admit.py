# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import multiprocessing
import re
from array import array
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import InputError
from ansible_collections.predictive.tenancy.plugins.module_utils._flow import reserve, vms
from ansible_collections.predictive.tenancy.plugins.module_utils._model.types import ArrivalModel
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from ansible_collections.predictive.tenancy.plugins.module_utils._store.interface import RequestBatch, Store
from ansible_collections.predictive.tenancy.tests.unit.plugins.module_utils._flow.planner_cell import (
    MIB,
    NOW,
    admit,
    check_cell,
    flat,
    learned,
    vm,
)


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def store(uri: str) -> Iterator[Store]:
    with open_store(uri) as opened:
        yield opened


def test_check_do_again_check_again(store: Store) -> None:
    wanted = {"vms": [vm("a"), vm("b")], "requests": [{"id": "r1", "workload": "web"}, {"workload": "job"}]}
    before = admit(store, dry=True, **wanted)
    assert before["changed"]
    assert list(store.find("vms")) == list(store.find("tenants")) == list(store.find("profiles")) == []
    done = admit(store, **wanted)
    assert done["changed"]
    assert [row["changed"] for row in done["results"]] == [True, True]
    assert done["desired"] == before["desired"]
    assert [row["vm"] for row in done["results"]] == [row["vm"] for row in before["results"]] == ["a", "a"]
    check_cell(store)
    documents = list(store.find("vms")) + list(store.find("tenants"))
    again = admit(store, **wanted)
    assert not again["changed"]
    assert [row["actions"] for row in again["results"]] == [[], []]
    assert again["desired"] == done["desired"]
    assert not admit(store, dry=True, **wanted)["changed"]
    assert documents == list(store.find("vms")) + list(store.find("tenants"))


def test_an_unknown_workload_gets_a_profile_and_the_policys_size(store: Store) -> None:
    done = admit(store, vms=[vm("a")], requests=[{"id": "r1", "workload": "What is this?"}])
    row = done["results"][0]
    assert row["created_profile"]
    assert row["profile"] == "what_is_this"
    assert row["sized_by"] == "the policy's size of an unknown workload"
    item = done["desired"]["a"][0]
    assert item["cpu"] == {"cores": 0.25, "weight": 100}
    assert item["memory"]["max"] == 128 * MIB
    assert item["io"] == {"weight": 100}


def test_the_class_of_known_profiles_sizes_a_newcomer(store: Store) -> None:
    learned(store, "known", flat(0.1), 100 * MIB)
    done = admit(store, vms=[vm("a")], requests=[{"id": "r1", "workload": "fresh"}])
    assert done["results"][0]["sized_by"] == "its class of workloads"
    item = done["desired"]["a"][0]
    assert item["cpu"]["cores"] == pytest.approx(0.24)
    assert item["memory"]["max"] == 240 * MIB


def test_a_forecast_sizes_and_tenants_of_day_and_night_share_a_vm(store: Store) -> None:
    day = np.where(np.arange(288) < 144, 1.2, 0.1)
    learned(store, "day", day)
    learned(store, "night", day[::-1].copy())
    done = admit(store, vms=[vm("a"), vm("b")], requests=[{"id": one, "profile": one} for one in ("day", "night")])
    assert [row["vm"] for row in done["results"]] == ["a", "a"]
    assert done["results"][0]["sized_by"] == "the forecast"
    both = admit(store, requests=[{"id": "day2", "profile": "day"}])
    assert both["results"][0]["vm"] == "b"
    check_cell(store)


def test_no_room_is_an_answer_with_the_nearest_miss(store: Store) -> None:
    learned(store, "big", flat(1.3))
    done = admit(store, vms=[vm("a")], requests=[{"id": "one", "profile": "big"}, {"id": "two", "profile": "big"}])
    assert [row["vm"] for row in done["results"]] == ["a", None]
    refused = done["results"][1]
    assert not refused["changed"]
    assert refused["error"] == ""
    assert "no room in 1 candidates; the nearest, a, lacks" in refused["reason"]
    assert refused["limits"] == ["preempt.tenants: no tenant gives way to another"]
    assert store.get("tenants", "two") is None


def test_bad_requests_are_named_and_the_others_are_done(store: Store) -> None:
    done = admit(
        store,
        vms=[vm("a")],
        requests=[
            {"id": "good", "workload": "web"},
            {"id": "both", "workload": "web", "profile": "web"},
            {"id": "huge", "workload": "web", "priority": 101},
            {"id": "unit", "workload": "web", "resources": {"cpu": "3 apples"}},
            {"id": "good", "workload": "web"},
            {"time": "tomorrow", "workload": "web"},
        ],
    )
    assert [(row["name"], bool(row["error"])) for row in done["results"]] == [
        ("good", False), ("both", True), ("huge", True), ("unit", True), ("good", True), ("web", True),
    ]  # fmt: skip
    assert [item["name"] for item in done["desired"]["a"]] == ["good"]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"name": "a"}, "a: a new VM needs its capacity"),
        ({"name": "a", "capacity": {"cpu": "2 apples", "memory": "1GiB"}}, "a: capacity.cpu"),
        ({"name": "a", "capacity": {"cpu": 0, "memory": "1GiB"}}, "a: needs a capacity"),
        ({"name": "", "capacity": {"cpu": 1, "memory": "1GiB"}}, "not the name of a VM"),
    ],
)
def test_a_bad_vm_is_refused_by_name(store: Store, item: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        admit(store, vms=[item])
    assert list(store.find("vms")) == []


def test_a_request_that_is_over_gives_its_room_back(store: Store) -> None:
    learned(store, "big", flat(1.3))
    admit(store, vms=[vm("a")], requests=[{"id": "one", "profile": "big"}])
    ended = {"requests": [{"id": "one", "profile": "big", "state": "absent"}]}
    assert admit(store, dry=True, **ended)["changed"]
    over = admit(store, **ended)
    assert over["results"][0]["actions"] == ["remove"]
    assert over["desired"] == {"a": []}
    assert not admit(store, **ended)["changed"]
    check_cell(store)
    assert admit(store, requests=[{"id": "two", "profile": "big"}])["results"][0]["vm"] == "a"
    assert admit(store, requests=[{"id": "one", "profile": "big"}])["results"][0]["vm"] is None


def test_the_end_of_a_request_that_nobody_knows_changes_nothing(store: Store) -> None:
    admit(store, vms=[vm("a")])
    for ended in ({"workload": "unknown"}, {"profile": "unknown"}, {"id": "one", "workload": "unknown"}):
        done = admit(store, requests=[{**ended, "state": "absent"}])
        assert (done["changed"], done["results"][0]["reason"]) == (False, "not there")
        assert not done["results"][0]["created_profile"]
    assert list(store.find("profiles")) == []


def test_a_name_that_ended_in_another_cell_is_admitted_here(store: Store) -> None:
    learned(store, "web", flat(0.2))
    wanted = [{"id": "web_1", "profile": "web"}]
    admit(store, vms=[vm("a")], requests=wanted)
    later = NOW + timedelta(minutes=10)
    there = admit(store, later, cell="south", vms=[vm("b")], requests=wanted)
    assert (there["changed"], there["desired"]) == (True, {"b": []}), "only b is new: it runs in north"
    assert there["results"][0]["reason"] == "admitted at 2026-01-31T12:00:00Z in cell north"
    admit(store, later, requests=[{**wanted[0], "state": "absent"}])
    done = admit(store, later, cell="south", requests=wanted)
    assert (done["changed"], done["results"][0]["vm"]) == (True, "b")
    assert [item["name"] for item in done["desired"]["b"]] == ["web_1"]
    assert store.get("tenants", "web_1")["cell"] == "south"
    assert not admit(store, later, cell="south", requests=wanted)["changed"]
    assert not admit(store, later)["changed"]


def test_lower_priorities_are_removed_only_by_policy(store: Store) -> None:
    learned(store, "big", flat(1.3))
    requests = [{"id": "low", "profile": "big", "priority": 10}]
    admit(store, vms=[vm("a")], requests=requests)
    urgent = {"requests": [{"id": "high", "profile": "big", "priority": 90}]}
    assert admit(store, **urgent)["results"][0]["vm"] is None
    done = admit(store, policy={"preempt": {"tenants": True}}, **urgent)
    assert done["results"][0]["vm"] == "a"
    assert [item["name"] for item in done["desired"]["a"]] == ["high"]
    low = store.get("tenants", "low")
    assert low is not None
    assert (low["state"], low["left_because"]) == ("absent", "made room for high")
    assert {one["kind"] for one in store.find("decisions")} == {"admit", "evict"}
    check_cell(store)


def test_expected_requests_are_admitted_and_the_next_ones_get_a_shadow_which_is_claimed(store: Store) -> None:
    learned(store, "job", flat(0.1), period=1800.0, sandbox={"command": ["work"]}, shadow={"rehearse": ["work", "-n"]})
    learned(store, "service", flat(0.3))
    learned(store, "idle", flat(0.001))
    learned(store, "rare", flat(0.1), period=86400.0)
    options = {"vms": [vm("a"), vm("b")], "expected": "20m"}
    before = admit(store, dry=True, **options)
    done = admit(store, **options)
    assert before["desired"] == done["desired"]
    assert before["shadows"] == done["shadows"]
    assert [row["name"] for row in done["results"]] == ["job_1", "service_1"]
    assert done["results"][0]["reason"].startswith("expected at 2026-01-31T12:15:00Z; best fit")
    shadow = done["shadow_results"][0]
    assert (shadow["name"][:-8], shadow["expected_at"]) == ("shadow_job_", "2026-01-31T12:45:00Z")
    assert [item["name"] for item in done["shadows"]["a"]] == [shadow["name"]]
    assert done["shadows"]["a"][0]["sandbox"] == {"command": ["work"]}
    assert done["shadows"]["a"][0]["rehearse"] == ["work", "-n"]
    assert not admit(store, **options)["changed"]
    claimed = admit(store, NOW + timedelta(minutes=40), requests=[{"id": "now", "profile": "job"}])
    assert claimed["results"][0]["claim"] == shadow["name"]
    assert claimed["results"][0]["actions"] == ["claim"]
    assert next(item for item in claimed["desired"]["a"] if item["name"] == "now")["claim"] == shadow["name"]
    (following,) = claimed["shadow_results"]
    assert following["expected_at"] == "2026-01-31T13:15:00Z"
    assert following["name"] != shadow["name"]
    again = admit(store, NOW + timedelta(minutes=40), requests=[{"id": "now", "profile": "job"}])
    assert not again["changed"]
    assert again["results"][0]["claim"] == shadow["name"]
    check_cell(store)


def test_shadows_expire_and_keep_to_their_cap(store: Store) -> None:
    for number in range(6):
        learned(store, f"job{number}", flat(0.05), period=3600.0, priority=10 * number + 10)
    tight = {"shadow": {"cap": 0.02, "memory": "8MiB"}}
    done = admit(store, vms=[vm("a")], policy=tight)
    held = [row["profile"] for row in done["shadow_results"]]
    assert held == ["job3", "job4", "job5"]
    assert done["refused_shadows"] == ["job2: shadow.cap", "job1: shadow.cap", "job0: shadow.cap"]
    later = admit(store, NOW + timedelta(hours=3), policy={"shadow": {"enabled": False}})
    assert later["changed"]
    assert later["shadow_results"] == []
    document = store.get("vms", "a")
    assert document is not None
    assert document["shadows"] == {}


def test_profiles_that_begin_alike_and_days_have_shadows_of_their_own(store: Store) -> None:
    names = [f"{'long' * 11}_{end}" for end in ("a", "b")]
    for name in names:
        learned(store, name, flat(0.1), period=86400.0)
    at = NOW + timedelta(hours=11)
    first = admit(store, at, vms=[vm("a")])["shadow_results"]
    assert sorted(row["profile"] for row in first) == names
    assert all(re.fullmatch(r"shadow_[a-z0-9_]{1,41}", row["name"]) for row in first)
    for _run in range(3):
        assert not admit(store, at)["changed"]
    next_day = admit(store, at + timedelta(days=1))["shadow_results"]
    assert sorted(row["profile"] for row in next_day) == names
    assert len({row["name"] for row in (*first, *next_day)}) == 4


def test_room_of_a_shadow_that_a_killed_run_did_not_make_is_given_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned(store, "job", flat(0.1), period=3600.0)
    off = {"shadow": {"enabled": False}}
    admit(store, vms=[vm("a")], policy=off)
    real = store.put_many

    def killed(kind: str, documents: Any) -> Any:
        if kind == "shadows":
            raise KeyboardInterrupt
        return real(kind, documents)

    with monkeypatch.context() as patch:
        patch.setattr(store, "put_many", killed)
        with pytest.raises(KeyboardInterrupt):
            admit(store)
    assert len(store.get("vms", "a")["shadows"]) == 1
    assert not admit(store, NOW + timedelta(seconds=30), policy=off)["changed"], "another run may be writing"
    later = NOW + timedelta(minutes=2)
    assert admit(store, later, policy=off, dry=True)["changed"]
    assert admit(store, later, policy=off)["changed"]
    assert store.get("vms", "a")["shadows"] == {}
    assert not admit(store, later, policy=off)["changed"]
    assert len(admit(store, later)["shadow_results"]) == 1
    assert not admit(store, later + timedelta(minutes=5))["changed"]


def test_the_dependency_chain_warms_together(store: Store) -> None:
    needs = {"os": None, "libraries": [], "workloads": ["db"]}
    learned(store, "app", flat(0.1), period=3600.0, dependencies=needs)
    learned(store, "db", flat(0.1))
    done = admit(store, vms=[vm("a")])
    assert [row["profile"] for row in done["shadow_results"]] == ["app", "db"]


def test_a_tenant_without_room_and_room_without_a_tenant_are_repaired(store: Store) -> None:
    learned(store, "web", flat(0.2))
    admit(store, vms=[vm("a"), vm("b")], requests=[{"id": name, "profile": "web"} for name in ("one", "two")])
    document = store.get("vms", "a")
    assert document is not None
    ghost = {**document["allocations"].pop("one")}
    document["allocations"]["ghost"] = ghost
    store.update("vms", document)
    soon = admit(store, NOW + timedelta(seconds=30))
    assert not soon["changed"], "another run may be writing"
    later = admit(store, NOW + timedelta(minutes=5))
    assert [(row["name"], row["actions"]) for row in later["results"]] == [("one", ["admit"])]
    check_cell(store)
    assert [item["name"] for item in later["desired"]["a"]] == ["one", "two"]


def test_the_tenants_of_a_lost_vm_are_placed_again(store: Store) -> None:
    learned(store, "web", flat(0.2))
    admit(store, vms=[vm("a"), vm("b")], requests=[{"id": "one", "profile": "web"}])
    gone = admit(store, NOW + timedelta(minutes=5), vms=[{"name": "a", "state": "lost"}])
    assert [(row["name"], row["vm"]) for row in gone["results"]] == [("one", "b")]
    assert gone["desired"] == {"b": gone["desired"]["b"]}
    admit(store, NOW + timedelta(minutes=10), vms=[{"name": "a", "state": "ready"}])
    check_cell(store)


def admit_many(uri: str, prefix: str, count: int, barrier: Any) -> None:
    with open_store(uri) as store:
        barrier.wait(timeout=60)
        requests = [{"id": f"{prefix}{number}", "profile": f"p{number % 5}"} for number in range(count)]
        requests += [{"id": f"both{number}", "profile": f"p{number % 5}"} for number in range(20)]
        admit(store, requests=requests)


def test_two_controllers_overfill_nothing_and_place_nothing_twice(store: Store, uri: str) -> None:
    for number in range(5):
        learned(store, f"p{number}", flat(0.05 + 0.03 * number), 40 * MIB)
    admit(store, vms=[vm(f"v{number:02}") for number in range(20)])
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    workers = [context.Process(target=admit_many, args=(uri, prefix, 150, barrier)) for prefix in ("x", "y")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=120)
        assert worker.exitcode == 0
    check_cell(store)
    running = {one["key"] for one in store.find("tenants", {"cell": "north"}) if one["state"] == "running"}
    assert sum(name.startswith("both") for name in running) == 20
    refused = 320 - len(running)
    if refused:
        done = admit(store, requests=[{"id": "last", "profile": "p4"}])
        assert done["results"][0]["vm"] is None, "a request was refused while there was room"


@pytest.mark.parametrize("stop", ["put_many:tenants", "put_many:vms", "put_many:decisions"])
def test_a_run_that_is_killed_between_two_writes_is_finished_by_the_next(
    store: Store, stop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned(store, "web", flat(0.2))
    admit(store, vms=[vm("a"), vm("b")])
    requests = [{"id": f"r{number}", "profile": "web"} for number in range(4)]
    operation, kind = stop.split(":")
    real = getattr(store, operation)

    def killed(what: str, documents: Any) -> Any:
        if what == kind:
            raise KeyboardInterrupt
        return real(what, documents)

    monkeypatch.setattr(store, operation, killed)
    with pytest.raises(KeyboardInterrupt):
        admit(store, requests=requests)
    monkeypatch.undo()
    done = admit(store, requests=requests)
    assert all(row["vm"] for row in done["results"])
    check_cell(store)
    assert not admit(store, requests=requests)["changed"]
    assert reserve.homeless(store.find("tenants"), vms.read(store, "north"), NOW + timedelta(hours=1)) == []


def test_a_service_that_runs_by_another_name_is_not_expected_again(store: Store) -> None:
    learned(store, "web", flat(0.4))
    admit(store, vms=[vm("a")], requests=[{"id": "mine", "profile": "web"}])
    again = admit(store, expected="1h")
    assert (again["changed"], again["results"]) == (False, [])
    elsewhere = admit(store, cell="south", vms=[vm("s")], expected="1h")
    assert elsewhere["results"] == []
    admit(store, requests=[{"id": "mine", "profile": "web", "state": "absent"}])
    assert [row["name"] for row in admit(store, expected="1h")["results"]] == ["web_1"]  # its usage goes on
    assert not admit(store, expected="1h")["changed"]


def test_a_tenant_that_another_run_is_giving_its_room_gets_no_second_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit(store, vms=[vm("a"), vm("b")])
    size = {"cpu": "0.5", "memory": "64MiB"}
    shared, *others = ({"id": f"r{number}", "workload": "web", "resources": size} for number in range(3))
    real = store.put_many

    def between(what: str, documents: Any) -> Any:
        """The other run has written the tenant and not yet its room, which it takes while this run decides."""
        if what == "vms":
            monkeypatch.undo()
            admit(store, requests=[shared, *others])
        return real(what, documents)

    def killed(what: str, documents: Any) -> Any:
        if what == "vms":
            raise KeyboardInterrupt
        return real(what, documents)

    monkeypatch.setattr(store, "put_many", killed)
    with pytest.raises(KeyboardInterrupt):
        admit(store, requests=[shared])
    monkeypatch.setattr(store, "put_many", between)
    (row,) = admit(store, requests=[shared])["results"]
    assert row["reason"] == "admitted by another run at the same time"
    assert not row["changed"]
    check_cell(store)
    assert [len(one["allocations"]) for one in store.find("vms")] == [3, 0]


def test_requests_without_a_schedule_get_a_shadow_while_it_pays(store: Store) -> None:
    learned(store, "api", flat(0.1))
    document = store.get("profiles", "api")
    assert document is not None
    model = ArrivalModel("aperiodic", rate=1 / 300, events=60)
    store.update("profiles", {**document, "arrival": model.document()})
    last = NOW.timestamp() - 30
    times = array("d", [last - 300.0 * number for number in reversed(range(60))])
    store.append_requests([RequestBatch("api", times)])
    dear = {"shadow": {"memory": "512MiB", "cap": 0.9}}
    waits = admit(store, vms=[vm("a")], policy=dear)["shadow_results"]
    assert [(one["profile"], one["vm"], one["changed"]) for one in waits] == [("api", "a", True)]
    assert waits[0]["chance"] > 0.5
    assert admit(store, policy=dear)["changed"] is False
    late = NOW + timedelta(hours=5)
    assert admit(store, late, policy=dear)["shadow_results"] == [], "it did not come: nothing pays any more"
