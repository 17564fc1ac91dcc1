# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was predicted of a plan against what came: kept, taken back where it made things worse, and learned from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import InputError
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.plans import read_plans
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.report_plans import plans
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from ansible_collections.predictive.tenancy.plugins.module_utils._store.interface import Store
from ansible_collections.predictive.tenancy.tests.unit.plugins.module_utils._flow.planner_cell import (
    MIB,
    NOW,
    Machines,
    admit,
    balance,
    check_cell,
    flat,
    learned,
    used,
    vm,
)

EASY = {"move": {"per_run": 1, "per_hour": 1, "per_day": 1, "inflow": 9}, "consolidation": {"headroom": False}}
QUIET = {**EASY, "resize": {"enabled": False}}
LEVELS = {"one": 0.6, "two": 0.7, "three": 0.2, "four": 0.1}
LATER = NOW + timedelta(minutes=70)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened


def carry(store: Store, machines: Machines, plan: str, now: datetime) -> dict[str, Any]:
    results: list[dict[str, Any]] = []
    for _step in range(8):
        step = balance(store, "apply", now, plan=plan, results=results)
        if step["state"] != "applying":
            return step
        results = machines.partition(step["desired"])
    raise AssertionError("the plan does not end")


def emptied(store: Store, cpu: Mapping[str, float]) -> tuple[Machines, dict[str, Any]]:
    """A cell whose VM c was emptied, and what its tenants used in the hour after."""
    for name, level in LEVELS.items():
        learned(store, name, flat(level))
    for name, place in (("one", "a"), ("two", "b"), ("three", "c"), ("four", "c")):
        states = [vm(key, state="ready" if key == place else "draining") for key in "abc"]
        admit(store, vms=states, requests=[{"id": name, "profile": name}])
    machines = Machines()
    machines.partition(admit(store, vms=[vm(key, state="ready") for key in "abc"])["desired"])
    plan = balance(store, policy=QUIET)["plan"]
    assert carry(store, machines, plan["id"], NOW)["state"] == "applied"
    assert machines.tenants["c"] == {}
    for name, level in cpu.items():
        used(store, name, name, [level] * 14, now=LATER)
    return machines, plan


def test_what_went_as_predicted_is_kept_and_nothing_is_taken_back(store: Store) -> None:
    _machines, plan = emptied(store, LEVELS)
    early = balance(store, now=NOW + timedelta(minutes=30), policy=QUIET)
    assert early["verified"] == []
    before = [list(store.find(kind)) for kind in ("plans", "tenants")]
    seen = balance(store, "observe", LATER, policy=QUIET)
    assert (seen["verified"], seen["changed"]) == ([], False)
    assert balance(store, now=LATER, policy=QUIET, dry=True)["verified"][0]["verdict"] == "good"
    assert [list(store.find(kind)) for kind in ("plans", "tenants")] == before
    answer = balance(store, now=LATER, policy=QUIET)
    assert answer["plan"] is None
    (told,) = answer["verified"]
    assert (told["id"], told["verdict"], told["verified_at"]) == (plan["id"], "good", "2026-01-31T13:10:00Z")
    for action in told["actions"]:
        assert action["verdict"] == "good"
        assert action["realised"]["target_peak_after"] < action["effect"]["target_peak_after"]
        assert action["realised"]["gain"] > 0.3
    assert set(answer["trust"].values()) == {1.0}
    (shown,) = plans(store, None)
    assert ("verdict", "good") in shown.actions[0].effect
    assert {"target peak after", "realised target peak after"} <= {what for what, _value in shown.actions[0].effect}
    assert balance(store, now=LATER, policy=QUIET)["changed"] is False, "it is judged once"


def test_what_made_it_worse_is_taken_back_and_its_rule_trusted_less(store: Store) -> None:
    machines, plan = emptied(store, {"one": 1.3, "two": 1.3, "three": 0.7, "four": 0.7})
    names = [action["tenant"] for action in plan["actions"]]
    answer = balance(store, now=LATER, policy=QUIET)
    assert [one["verdict"] for one in answer["verified"]] == ["worse"]
    assert (answer["trust"]["empty"], answer["trust"]["relieve"]) == (0.8, 1.0)
    back = [one for one in answer["plan"]["actions"] if one["rule"] == "rollback"]
    assert sorted(one["tenant"] for one in back) == sorted(names)
    assert {one["to"]["vm"] for one in back} == {"c"}
    assert all(f"takes back a{n} of {plan['id']}" in one["reason"] for n, one in enumerate(back, 1))
    assert "the rule empty is trusted 0.8" in answer["plan"]["notes"]
    later = balance(store, now=LATER + timedelta(minutes=5), policy=QUIET)
    assert later["plan"]["id"] == answer["plan"]["id"], "it stays proposed until it is done"
    assert carry(store, machines, answer["plan"]["id"], LATER)["state"] == "applied"
    assert [machines.where(name) for name in names] == [["c"], ["c"]]
    for name in names:
        tenant = store.get("tenants", name)
        assert tenant is not None
        assert [one["useless"] for one in tenant["moves"]] == [True, False]
    check_cell(store)
    after = balance(store, now=LATER + timedelta(minutes=10), policy=QUIET)
    assert [one for one in (after["plan"] or {}).get("actions", ()) if one["rule"] == "rollback"] == []


def test_predicted_is_read_beside_realised(store: Store) -> None:
    _machines, plan = emptied(store, {"one": 1.3, "two": 1.3, "three": 0.7, "four": 0.7})
    (before,) = read_plans(store, "north", LATER)["plans"]
    assert (before["state"], before["verdict"], before["realised"]) == ("applied", "", [])
    answer = balance(store, now=LATER, policy=QUIET)
    found = read_plans(store, "north", LATER)
    newest, judged = found["plans"]
    assert newest == {**answer["plan"], "realised": []}
    told = answer["verified"][0]
    assert {**judged, "realised": []} == {**told, "realised": []}
    assert set(judged) == set(newest)
    assert len(judged["realised"]) == len(plan["actions"]) > 0
    for one, action in zip(judged["realised"], plan["actions"]):
        assert (one["action"], one["tenant"], one["rule"]) == (action["id"], action["tenant"], "empty")
        assert (one["verdict"], one["predicted"]) == ("worse", action["effect"])
        assert one["predicted"]["gain"] > 0 > one["realised"]["gain"]
        assert one["realised"]["target_peak_after"] > 0.9 >= one["predicted"]["target_peak_after"]
    assert found["trust"] == answer["trust"]
    assert read_plans(store, "north", LATER + timedelta(days=31))["trust"]["empty"] == 1.0, "verdicts are forgotten"


def test_plans_are_chosen_by_id_state_and_number(store: Store) -> None:
    _machines, plan = emptied(store, {"one": 1.3, "two": 1.3, "three": 0.7, "four": 0.7})
    back = balance(store, now=LATER, policy=QUIET)["plan"]["id"]

    def ids(**chosen: Any) -> list[str]:
        return [one["id"] for one in read_plans(store, "north", LATER, **chosen)["plans"]]

    assert ids() == ids(limit=2) == [back, plan["id"]]
    assert ids(limit=1) == ids(states=["recommended"]) == ids(ids=[back]) == [back]
    assert ids(states=["applied", "failed"]) == ids(ids=[plan["id"]]) == [plan["id"]]
    assert ids(ids=[back], states=["applied"]) == ids(states=[]) == ids(ids=[]) == []
    assert read_plans(store, "north", LATER, limit=1)["trust"]["empty"] == 0.8, "all plans count for it"
    assert read_plans(store, "south", LATER)["plans"] == []
    for cell, wrong in (("north", "nothing-like-it"), ("south", back)):
        with pytest.raises(InputError, match=f"{wrong}: there is no such plan in the cell {cell}"):
            read_plans(store, cell, LATER, ids=[wrong])
    with pytest.raises(InputError, match="limit"):
        ids(limit=-1)


def test_a_verification_that_is_killed_is_made_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    _machines, plan = emptied(store, {"one": 1.3, "two": 1.3, "three": 0.7, "four": 0.7})
    real = store.update

    def dying(kind: str, document: Mapping[str, Any]) -> Any:
        result = real(kind, document)
        if kind == "tenants":
            raise KeyboardInterrupt
        return result

    with monkeypatch.context() as patch:
        patch.setattr(store, "update", dying)
        with pytest.raises(KeyboardInterrupt):
            balance(store, now=LATER, policy=QUIET)
    answer = balance(store, now=LATER, policy=QUIET)
    assert [(one["id"], one["verdict"]) for one in answer["verified"]] == [(plan["id"], "worse")]
    assert len([one for one in answer["plan"]["actions"] if one["rule"] == "rollback"]) == 2


def test_a_site_may_do_without_rollbacks(store: Store) -> None:
    emptied(store, {"one": 1.3, "two": 1.3, "three": 0.7, "four": 0.7})
    answer = balance(store, now=LATER, policy={**QUIET, "plan": {"rollback": False}})
    assert [one["verdict"] for one in answer["verified"]] == ["worse"]
    assert [one for one in (answer["plan"] or {}).get("actions", ()) if one["rule"] == "rollback"] == []


def test_a_limit_that_was_cut_too_far_is_given_back(store: Store) -> None:
    learned(store, "web", flat(0.1))
    wanted = [{"id": "web", "profile": "web", "resources": {"cpu": 0.8, "memory": "180MiB"}}]
    machines = Machines()
    machines.partition(admit(store, vms=[vm("a")], requests=wanted)["desired"])
    begin = NOW + timedelta(minutes=15)
    used(store, "web", "web", [0.1] * 8, now=begin)
    plan = balance(store, now=begin)["plan"]
    assert plan["actions"][0]["to"]["cpu"]["cores"] == pytest.approx(0.6)
    carry(store, machines, plan["id"], begin)
    used(store, "web", "web", [0.1] * 8 + [0.58] * 6, now=begin + timedelta(minutes=70))
    answer = balance(store, now=begin + timedelta(minutes=70))
    assert [one["verdict"] for one in answer["verified"]] == ["worse"]
    assert answer["verified"][0]["actions"][0]["realised"]["cpu_share_of_limit"] == pytest.approx(0.967, abs=0.01)
    (back,) = answer["plan"]["actions"]
    assert (back["rule"], back["to"]["cpu"]["cores"]) == ("rollback", 0.8)
    assert carry(store, machines, answer["plan"]["id"], begin + timedelta(minutes=70))["state"] == "applied"
    assert machines.tenants["a"]["web"]["cpu"]["cores"] == 0.8


def test_a_limit_is_not_given_back_from_memory_that_others_have_now(store: Store) -> None:
    for name in ("web", "late"):
        learned(store, name, flat(0.1), 60 * MIB)
    tight = {"packing": {"memory_overcommit": 1.0}}
    wanted = [{"id": "web", "profile": "web", "resources": {"cpu": 0.8, "memory": "400MiB"}}]
    machines = Machines()
    machines.partition(admit(store, vms=[vm("a", memory="820MiB")], requests=wanted, policy=tight)["desired"])
    begin, later = NOW + timedelta(minutes=15), NOW + timedelta(minutes=85)
    used(store, "web", "web", [0.7] * 8, 60 * MIB, now=begin)
    plan = balance(store, now=begin, policy=tight)["plan"]
    assert plan["actions"][0]["to"]["memory"]["max"] == 300 * MIB
    carry(store, machines, plan["id"], begin)
    late = [{"id": "late", "profile": "late", "resources": {"cpu": 0.2, "memory": "500MiB"}}]
    assert admit(store, begin, requests=late, policy=tight)["results"][0]["vm"] == "a"
    used(store, "web", "web", [0.7] * 14, 295 * MIB, now=later)
    answer = balance(store, now=later, policy=tight)
    assert [one["verdict"] for one in answer["verified"]] == ["worse"]
    assert [one for one in (answer["plan"] or {}).get("actions", ()) if one["rule"] == "rollback"] == []
    admit(store, later, requests=[{**late[0], "state": "absent"}])
    (back,) = balance(store, now=later, policy=tight)["plan"]["actions"]
    assert (back["rule"], back["to"]["memory"]["max"]) == ("rollback", 400 * MIB)


def test_without_measurements_nobody_is_blamed(store: Store) -> None:
    emptied(store, {})
    answer = balance(store, now=LATER, policy=QUIET)
    assert [one["verdict"] for one in answer["verified"]] == ["unknown"]
    assert set(answer["trust"].values()) == {1.0}
    assert answer["plan"] is None


def test_a_shadow_counts_by_whether_it_was_claimed(store: Store) -> None:
    learned(store, "job", flat(0.1), period=3600.0)
    admit(store, vms=[vm("a")], policy={"shadow": {"enabled": False}})
    plan = balance(store)["plan"]
    balance(store, "apply", plan=plan["id"])
    admit(store, NOW + timedelta(minutes=31), expected="1m", requests=[{"id": "job_1", "profile": "job"}])
    answer = balance(store, now=LATER)
    assert answer["verified"][0]["actions"][0]["realised"] == {"claimed": True}
    assert answer["verified"][0]["verdict"] == "good"
