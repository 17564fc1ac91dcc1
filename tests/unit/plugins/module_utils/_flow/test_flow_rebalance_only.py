# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A correction of some VMs between scheduled runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import InputError
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from ansible_collections.predictive.tenancy.plugins.module_utils._store.interface import Store
from ansible_collections.predictive.tenancy.tests.unit.plugins.module_utils._flow.planner_cell import (
    admit,
    balance,
    flat,
    forecast,
    learned,
    used,
    vm,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A tenant in each of two VMs, both of them at their limits."""
    with open_store(f"sqlite:///{tmp_path}/store.db") as opened:
        for name, zone in (("web", "east"), ("job", "west")):
            learned(opened, name, flat(0.3), zone=zone)
        requests = [{"id": "web", "profile": "web"}, {"id": "job", "profile": "job"}]
        admit(opened, vms=[vm("a", zone="east"), vm("b", zone="west")], requests=requests)
        for name in ("web", "job"):
            used(opened, name, name, [0.3, 0.3, 0.3, 0.3, 0.39, 0.4])
        yield opened


def tenants(answer: dict[str, dict[str, list[dict[str, str]]]]) -> list[str]:
    return sorted(action["tenant"] for action in (answer["plan"] or {"actions": []})["actions"])


def test_only_tenants_of_that_vm_are_corrected(store: Store) -> None:
    assert tenants(balance(store, "observe")) == ["job", "web"]
    answer = balance(store, "observe", only=["b"])
    assert tenants(answer) == ["job"]
    assert answer["plan"]["notes"] == ["only for b"]


def test_the_plan_of_the_cell_stays_under_review(store: Store) -> None:
    whole = balance(store)["plan"]["id"]
    part = balance(store, only=["b"])
    assert part["changed"]
    assert part["plan"]["id"] != whole
    states = {plan["key"]: plan["state"] for plan in store.find("plans")}
    assert states == {whole: "recommended", part["plan"]["id"]: "recommended"}
    assert not balance(store, only=["b"])["changed"], "the same proposal is the same plan"
    again = balance(store)
    assert again["plan"]["id"] == whole
    states = {plan["key"]: plan["state"] for plan in store.find("plans")}
    assert states == {whole: "recommended", part["plan"]["id"]: "superseded"}


def test_only_a_vm_that_is_too_full_and_named_is_relieved_and_none_is_emptied(store: Store) -> None:
    learned(store, "big", flat(0.3))
    learned(store, "small", flat(0.3))
    admit(
        store, vms=[vm("c"), vm("d")], requests=[{"id": "big", "profile": "big"}, {"id": "small", "profile": "small"}]
    )
    held = {one["key"]: sorted(one["allocations"]) for one in store.find("vms")}
    (full,) = [name for name, names in held.items() if "big" in names]
    for name in ("big", "small"):
        forecast(store, name, flat(1.3))
        tenant, document = store.get("tenants", name), store.get("vms", full)
        assert tenant is not None
        assert document is not None
        store.update("tenants", {**tenant, "cpu": {**tenant["cpu"], "cores": 1.6}})
        document["allocations"][name]["cpu"] = 1.6
        store.update("vms", document)
    moved = {a["from"]["vm"] for a in balance(store, "observe")["plan"]["actions"] if a["kind"] == "move"}
    assert full in moved
    other = next(name for name in held if name != full)
    kinds = {a["kind"] for a in (balance(store, "observe", only=[other])["plan"] or {"actions": []})["actions"]}
    assert not kinds & {"move", "consolidate", "vm"}
    named = balance(store, "observe", only=[full])["plan"]["actions"]
    assert {a["from"].get("vm") for a in named if a["kind"] == "move"} == {full}


def test_a_cell_without_vms_has_no_plan(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/empty.db") as empty:
        assert (balance(empty)["plan"], balance(empty)["changed"]) == (None, False)


def test_a_vm_that_is_not_in_the_cell_is_refused(store: Store) -> None:
    with pytest.raises(InputError, match="gone: there is no such VM in this cell"):
        balance(store, only=["b", "gone"])
