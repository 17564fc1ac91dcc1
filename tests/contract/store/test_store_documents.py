# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents, leases and arrays: one behaviour on every kind of store."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import (
    Conflict,
    InputError,
    StoreError,
    TenancyError,
)
from ansible_collections.predictive.tenancy.plugins.module_utils._store import documents
from ansible_collections.predictive.tenancy.plugins.module_utils._store.interface import Array, Store

NOW = datetime(2026, 3, 29, 1, 59, 59, 999000, tzinfo=timezone.utc)
PLUS_TWO = timezone(timedelta(hours=2))

VALUES: dict[str, Any] = {
    "nothing": None,
    "yes": True,
    "no": False,
    "small": -7,
    "large": 2**63 - 1,
    "lowest": -(2**63),
    "half": 0.5,
    "whole_float": 2.0,
    "tiny": 5e-324,
    "text": "schön 日本 \U0001f600 \x00 \n",
    "empty": "",
    "percent": "100%2E",
    "list": [1, "a", None, [2, [3.5]], {}],
    "nested": {"a": {"b": {"c": [{"d": 1}]}}},
    "like a time": {"$date": 5},
    "unlike a time": {"$date": "$date"},
    "odd names": {"a.b": 1, "$set": 2, "%2E": 3, "%": 4, "$date": 5, " ": 6, "ü": 7},
    "time": NOW,
    "times": [NOW - timedelta(days=20_000), NOW + timedelta(days=20_000)],
}


def typed(value: Any) -> Any:
    """The value with the type of each part, so that 2 and 2.0 and True differ."""
    if isinstance(value, dict):
        return {name: typed(item) for name, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    return (type(value).__name__, value)


def test_all_values_come_back_as_they_were(store: Store) -> None:
    inserted = store.insert("plans", {"key": "p", **VALUES})
    version = inserted["version"]
    assert 1 <= version < 2**53, "readers of JSON must keep it"
    expected = {"key": "p", "version": version, "schema": documents.SCHEMA, **VALUES}
    assert typed(inserted) == typed(expected)
    assert typed(store.get("plans", "p")) == typed(expected)
    assert typed(store.get_many("plans", ["p", "q"])) == typed({"p": expected})
    assert typed(list(store.find("plans"))) == typed([expected])
    updated = store.update("plans", inserted)
    assert typed(updated) == typed({**expected, "version": version + 1})
    assert typed(store.get("plans", "p")) == typed(updated)


def test_times_are_cut_to_milliseconds_and_utc(store: Store) -> None:
    moment = datetime(2026, 3, 29, 3, 30, 0, 123999, tzinfo=PLUS_TWO)
    store.insert("plans", {"key": "p", "at": moment})
    found = store.get("plans", "p")
    assert found is not None
    assert found["at"].isoformat() == "2026-03-29T01:30:00.123000+00:00"


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        2**63,
        -(2**63) - 1,
        datetime(2026, 3, 29, 3, 30, tzinfo=None),
        b"bytes",
        {1, 2},
        object(),
        {"": 1},
        {"a\0b": 1},
        {3: 1},
        "\ud800",
        "x" * 13_000_000,
        "ü" * 7_000_000,
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_no_store_may_hold_is_refused_and_named(store: Store, value: Any) -> None:
    with pytest.raises(InputError) as caught:
        store.insert("plans", {"key": "p7", "deep": [{"field": value}]})
    assert "plans/p7" in str(caught.value)
    assert store.get("plans", "p7") is None


def test_depth_is_limited_alike(store: Store) -> None:
    value: Any = 1
    for _level in range(55):
        value = {"v": value}
    store.insert("plans", {"key": "deep", "value": value})
    with pytest.raises(InputError):
        store.insert("plans", {"key": "deeper", "value": [[[[[[[value]]]]]]]})


@pytest.mark.parametrize("key", ["", "a\0", "x" * 513, "ü" * 257, None, 5, "\udc80"])
def test_bad_keys_are_refused(store: Store, key: Any) -> None:
    with pytest.raises(InputError):
        store.insert("plans", {"key": key})


def test_large_documents_fit(store: Store) -> None:
    text = "y" * 11_000_000
    store.insert("plans", {"key": "large", "text": text})
    found = store.get("plans", "large")
    assert found is not None
    assert found["text"] == text


def test_unknown_kinds_and_fields_are_refused(store: Store) -> None:
    with pytest.raises(InputError):
        store.get("rows", "a")
    with pytest.raises(InputError):
        store.insert("rows; drop table plans", {"key": "a"})
    with pytest.raises(InputError):
        list(store.find("tenants", {"priority": "5"}))
    with pytest.raises(InputError):
        list(store.find("tenants", {"vm": {"$ne": ""}}))  # no query language comes in this way
    with pytest.raises(InputError, match=r"profiles\.workload"):
        list(store.find("profiles", {"workload": "\ud83d"}))


def test_optimistic_versions(store: Store) -> None:
    first = store.insert("vms", {"key": "vm1", "cell": "a", "allocations": {}})
    with pytest.raises(Conflict):
        store.insert("vms", {"key": "vm1", "cell": "b"})
    second = store.update("vms", {**first, "allocations": {"t1": {"cpu": 0.5}}})
    assert second["version"] == first["version"] + 1
    with pytest.raises(Conflict) as caught:
        store.update("vms", {**first, "allocations": {"t2": {"cpu": 0.5}}})
    wrong = f"version {first['version']} was to be changed, but version {second['version']} is there"
    assert wrong in str(caught.value)
    assert store.get("vms", "vm1") == second
    with pytest.raises(InputError):
        store.update("vms", {"key": "vm1", "cell": "c"})
    with pytest.raises(Conflict) as gone:
        store.update("vms", {"key": "vm2", "version": 1})
    assert "it is gone" in str(gone.value)
    assert store.get("vms", "vm2") is None


def test_an_update_replaces_the_whole_document(store: Store) -> None:
    first = store.insert("plans", {"key": "p", "state": "recommended", "extra": {"a": 1, "b": 2}})
    store.update("plans", {"key": "p", "version": first["version"], "extra": {"b": 3}})
    found = store.get("plans", "p")
    assert found is not None
    assert "state" not in found
    assert found["extra"] == {"b": 3}


def test_many_at_once_and_a_conflict_stops_no_other(store: Store) -> None:
    there = store.insert("profiles", {"key": "b", "workload": "w"})
    twice = store.insert("profiles", {"key": "t", "workload": "w"})
    outcomes = store.put_many(
        "profiles",
        [
            {"key": "a", "workload": "w"},
            {"key": "b", "workload": "other"},
            {**there, "workload": "changed"},
            {**there, "version": 9},
            {"key": "c", "version": 1},
            {**twice, "workload": "changed"},
            {**twice, "version": twice["version"] + 1, "workload": "again"},
        ],
    )
    assert [isinstance(outcome, Conflict) for outcome in outcomes] == [False, True, False, True, True, False, False]
    found = {document["key"]: document for document in store.find("profiles")}
    assert {key: document["workload"] for key, document in found.items()} == {"a": "w", "b": "changed", "t": "again"}
    assert outcomes[0] == found["a"]
    assert found["b"]["version"] == there["version"] + 1
    assert found["t"]["version"] == twice["version"] + 2
    with pytest.raises(InputError):
        store.put_many("profiles", [{"key": "d"}, {"key": "e", "x": float("nan")}])
    assert store.get("profiles", "d") is None, "a batch with a bad value must not be half-written"


def test_delete(store: Store) -> None:
    document = store.insert("shadows", {"key": "s"})
    with pytest.raises(Conflict):
        store.delete("shadows", "s", version=document["version"] + 1)
    assert store.delete("shadows", "s", version=document["version"]) is True
    assert store.delete("shadows", "s") is False
    assert store.delete("shadows", "s", version=1) is False
    store.insert("shadows", {"key": "s"})
    assert store.delete("shadows", "s") is True
    store.put_many("shadows", [{"key": f"s{number:04}"} for number in range(1100)])
    assert store.delete_many("shadows", [f"s{number:04}" for number in range(1050)] + ["none"]) == 1050
    assert store.delete_many("shadows", []) == 0
    assert store.keys("shadows") == [f"s{number:04}" for number in range(1050, 1100)]
    with pytest.raises(InputError):
        store.delete_many("shadows; drop table plans", ["s1050"])


def test_find_by_fields_sorted_and_in_parts(store: Store) -> None:
    keys = ["B", "a", "a/1", "a_1", "b", "z", "ä", "日", "\U0001f600", *(f"n{number:04}" for number in range(1100))]
    store.put_many(
        "tenants",
        [{"key": key, "cell": "east" if number % 2 else "west", "vm": None} for number, key in enumerate(keys)],
    )
    expected = sorted(keys)
    assert [document["key"] for document in store.find("tenants")] == expected
    assert store.keys("tenants") == expected
    east = [key for key in expected if keys.index(key) % 2]
    assert store.keys("tenants", {"cell": "east"}) == east
    assert [document["key"] for document in store.find("tenants", {"cell": "east", "vm": None})] == east
    assert [document["key"] for document in store.find("tenants", {"state": None}, limit=3)] == expected[:3]
    assert list(store.find("tenants", {"vm": "vm1"})) == []
    assert list(store.find("tenants", limit=0)) == []
    for limit in (1, 499, 500, 501, 5000):
        after = expected[100]
        found = [document["key"] for document in store.find("tenants", after=after, limit=limit)]
        assert found == expected[101 : 101 + limit]


def test_find_goes_on_while_documents_come_and_go(store: Store) -> None:
    store.put_many("hosts", [{"key": f"h{number:04}", "cell": "a"} for number in range(1200)])
    seen = []
    for number, document in enumerate(store.find("hosts", {"cell": "a"})):
        seen.append(document["key"])
        if number == 10:
            store.delete("hosts", "h0001")
            store.insert("hosts", {"key": "h0000_new", "cell": "a"})
    assert [key for key in seen if not key.endswith("_new")] == [f"h{number:04}" for number in range(1200)]
    assert len(seen) == len(set(seen))


def test_increment(store: Store) -> None:
    with pytest.raises(StoreError):
        store.increment("decisions", "count", "n")
    assert store.increment("decisions", "count", "n", create=True) == 1
    first = store.get("decisions", "count")
    assert first == {"key": "count", "version": first["version"], "schema": documents.SCHEMA, "n": 1}
    assert store.increment("decisions", "count", "n", 41) == 42
    total = store.increment("decisions", "count", "n", -2)
    assert (total, type(total)) == (40, int)
    assert store.increment("decisions", "count", "share", 0.25) == 0.25
    assert store.increment("decisions", "count", "a.$b", 3) == 3
    found = store.get("decisions", "count")
    assert found == {
        "key": "count", "version": first["version"] + 4, "schema": documents.SCHEMA, "n": 40, "share": 0.25, "a.$b": 3
    }  # fmt: skip
    store.update("decisions", {**found, "name": "text"})
    with pytest.raises(StoreError):
        store.increment("decisions", "count", "name")
    with pytest.raises(TenancyError):
        store.increment("decisions", "count", "n", 2**63 - 1)
    with pytest.raises(InputError):
        store.increment("decisions", "count", "n", float("nan"))
    with pytest.raises(InputError):
        store.increment("decisions", "", "n", create=True)
    assert store.get("decisions", "count") == {**found, "name": "text", "version": first["version"] + 5}


def test_who_read_a_document_that_was_removed_cannot_write_over_its_successor(store: Store) -> None:
    first = store.insert("profiles", {"key": "web", "priority": 10})
    raised = store.increment("profiles", "count", "a.$b", create=True)
    counted = store.get("profiles", "count")
    assert store.acquire("cell", "one", 60, NOW) is True
    held = store.get("leases", "cell")
    assert store.delete_many("profiles", ["web", "count"]) == 2
    assert store.release("cell", "one") is True
    store.insert("profiles", {"key": "web", "priority": 90})
    assert store.increment("profiles", "count", "a.$b", 2, create=True) == raised + 1
    assert store.acquire("cell", "two", 60, NOW) is True
    outcomes = store.put_many("profiles", [first, counted])
    assert all(isinstance(outcome, Conflict) for outcome in outcomes)
    with pytest.raises(Conflict):
        store.update("leases", held)
    with pytest.raises(Conflict):
        store.delete("profiles", "web", version=first["version"])
    assert store.get("profiles", "web")["priority"] == 90


def test_an_increment_is_a_new_version(store: Store) -> None:
    document = store.insert("decisions", {"key": "d", "n": 1})
    store.increment("decisions", "d", "n")
    with pytest.raises(Conflict):
        store.update("decisions", {**document, "n": 5})


def test_leases(store: Store) -> None:
    assert store.acquire("cell-a", "one", 60, NOW) is True
    assert store.acquire("cell-a", "two", 60, NOW) is False
    assert store.acquire("cell-a", "one", 60, NOW + timedelta(seconds=30)) is True
    assert store.acquire("cell-a", "two", 60, NOW + timedelta(seconds=89)) is False
    assert store.acquire("cell-b", "two", 60, NOW) is True
    assert store.release("cell-a", "two") is False
    assert store.acquire("cell-a", "two", 60, NOW + timedelta(seconds=90)) is True
    assert store.release("cell-a", "one") is False
    assert store.release("cell-a", "two") is True
    assert store.acquire("cell-a", "three", 60, NOW) is True
    with pytest.raises(InputError):
        store.acquire("cell-c", "one", 60, datetime(2026, 3, 29, tzinfo=None))


def test_arrays(store: Store) -> None:
    arrays = [Array(f"forecast/p{number}/cpu", "<f4", (2, 3), bytes(range(24))) for number in range(450)]
    store.put_arrays(arrays)
    found = store.get_arrays([item.key for item in arrays] + ["forecast/none/cpu"])
    assert found == {item.key: item for item in arrays}
    changed = Array("forecast/p3/cpu", "<f8", (0,), b"")
    store.put_arrays([changed])
    assert store.get_arrays(["forecast/p3/cpu"]) == {changed.key: changed}
    assert store.delete_arrays([item.key for item in arrays[:10]] + ["none"]) == 10
    assert store.get_arrays([item.key for item in arrays[:10]]) == {}
    large = Array("large", "|u1", (3000, 3000), b"\x07" * 9_000_000)
    store.put_arrays([large, Array("large2", "|u1", (3,), b"abc")])
    assert store.get_arrays(["large"])["large"] == large
    with pytest.raises(InputError):
        store.put_arrays([Array("too_large", "|u1", (13_000_000,), b"\0" * 13_000_000)])
    with pytest.raises(InputError):
        store.put_arrays([Array("", "|u1", (1,), b"\0")])


def test_a_closed_store_says_so(store: Store) -> None:
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.get("plans", "p")
