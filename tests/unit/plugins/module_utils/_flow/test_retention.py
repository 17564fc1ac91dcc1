# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.retention import prune
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from ansible_collections.predictive.tenancy.plugins.module_utils._store.interface import Store
from ansible_collections.predictive.tenancy.tests.unit.plugins.module_utils._flow.planner_cell import (
    NOW,
    admit,
    check_cell,
    vm,
)

LATER = NOW + timedelta(days=100)
GONE = {"id": "r1", "workload": "web"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened


@pytest.fixture
def left(store: Store) -> str:
    """A tenant that came and left; another one stays."""
    admit(store, vms=[vm("a")], requests=[GONE, {"id": "r2", "workload": "web"}])
    admit(store, requests=[{**GONE, "state": "absent"}])
    (name,) = store.keys("tenants", {"state": "absent"})
    return name


def test_tenants_that_left_are_removed_in_time(store: Store, left: str) -> None:
    assert prune(store, NOW, dry=False)["tenants"] == 0
    assert prune(store, LATER, dry=True)["tenants"] == 1
    assert store.get("tenants", left) is not None
    assert prune(store, LATER, dry=False)["tenants"] == 1
    assert len(store.keys("tenants", {"state": "running"})) == len(store.keys("tenants")) == 1
    assert admit(store, LATER, requests=[{**GONE, "state": "absent"}])["results"][0]["reason"] == "not there"
    assert admit(store, LATER, requests=[GONE])["results"][0]["actions"] == ["admit"]
    check_cell(store)


def test_a_tenant_that_comes_back_meanwhile_stays(store: Store, left: str, monkeypatch: pytest.MonkeyPatch) -> None:
    delete = store.delete

    def late(kind: str, key: str, version: int | None = None) -> bool:
        admit(store, LATER, requests=[GONE])
        return delete(kind, key, version)

    monkeypatch.setattr(store, "delete", late)
    assert prune(store, LATER, dry=False)["tenants"] == 0
    assert store.get("tenants", left)["state"] == "running"


def test_a_tenant_that_is_removed_while_it_comes_back_is_a_new_one(
    store: Store, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_many = store.put_many

    def late(kind: str, documents: Any) -> Any:
        if kind == "tenants":
            prune(store, LATER, dry=False)
        return put_many(kind, documents)

    monkeypatch.setattr(store, "put_many", late)
    assert admit(store, LATER, requests=[GONE])["results"][0]["actions"] == ["admit"]
    assert store.get("tenants", left)["state"] == "running"
    check_cell(store)


def test_young_plans_are_not_even_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = {"cell": "a", "state": "applied", "actions": [], "expires_at": NOW}
    old = NOW - timedelta(days=200)
    keys = {
        f"a-{old:%Y%m%dT%H%M%S}-0a1b2c": old,
        f"a-{old:%Y%m%dT%H%M%S}-0a1b2c-2": old,
        "by_hand": old,
        "by_hand_2": NOW,
        f"a-{NOW:%Y%m%dT%H%M%S}-0a1b2c": NOW,
    }
    store.put_many("plans", [{**plan, "key": key, "created_at": made} for key, made in keys.items()])
    read: list[str] = []
    get_many = store.get_many
    monkeypatch.setattr(store, "get_many", lambda kind, some: read.extend(some) or get_many(kind, some))
    assert prune(store, NOW - timedelta(days=90), dry=False)["plans"] == 3
    assert len(read) == 4
    assert store.keys("plans") == sorted(list(keys)[3:])
