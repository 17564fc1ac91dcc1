# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that fails in the middle: each operation is done once and gives the right answer, or says that it is not."""

from __future__ import annotations

import uuid
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import (
    Conflict,
    StoreError,
    StoreUnavailable,
)
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from ansible_collections.predictive.tenancy.plugins.module_utils._store.interface import (
    Array,
    Counts,
    RequestBatch,
    Store,
    UsageBatch,
)
from servers import Server

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=timezone.utc)
ALWAYS = (datetime(1970, 1, 1, tzinfo=timezone.utc), datetime(2200, 1, 1, tzinfo=timezone.utc))
COMMANDS = ["insert", "update", "delete", "find", "findAndModify", "getMore"]
WRITES = ["insert", "update", "delete", "findAndModify"]

# The connection breaks; no primary; the server goes down; the primary steps down while it writes.
FAULTS: dict[str, dict[str, Any]] = {
    "connection": {"closeConnection": True},
    "not_primary": {"errorCode": 10107},
    "shutdown": {"errorCode": 91},
    "interrupted": {"errorCode": 11602},
}


@contextmanager
def failing(server: Server, times: int, **data: Any) -> Iterator[None]:
    """While this lasts, the server fails that many of the commands."""
    point = {"configureFailPoint": "failCommand"}
    with server.client() as client:
        client.admin.command({**point, "mode": {"times": times}, "data": {"failCommands": COMMANDS, **data}})
        try:
            yield
        finally:
            client.admin.command({**point, "mode": "off"})


@pytest.fixture
def opened(plain_server: Server) -> Iterator[Store]:
    with open_store(plain_server.uri(f"tenancy_{uuid.uuid4().hex[:12]}", wait=15)) as store:
        yield store


def usage(value: float) -> UsageBatch:
    return UsageBatch("web", "", array("d", [NOW.timestamp()]), {"cpu": array("d", [value])})


def insert(store: Store) -> None:
    first = store.insert("plans", {"key": "p", "n": 1})
    assert store.get("plans", "p") == first
    with pytest.raises(Conflict):
        store.insert("plans", {"key": "p", "n": 2})


def update(store: Store) -> None:
    first = store.get("plans", "there")
    assert store.update("plans", {**first, "n": 2})["version"] == first["version"] + 1
    assert store.get("plans", "there")["n"] == 2
    with pytest.raises(Conflict):
        store.update("plans", {**first, "n": 3})


def many(store: Store) -> None:
    first = store.put_many("plans", [{"key": f"m{number:03}"} for number in range(60)])
    assert list(store.find("plans", after="m", limit=60)) == first
    outcomes = store.put_many("plans", [*first, {"key": "m000"}])
    assert [isinstance(outcome, Conflict) for outcome in outcomes] == [False] * 60 + [True]
    found = store.find("plans", after="m", limit=60)
    assert [document["version"] for document in found] == [outcome["version"] + 1 for outcome in first]


def increment(store: Store) -> None:
    assert [store.increment("plans", "there", "n", 3) for _turn in range(3)] == [4, 7, 10]
    assert store.increment("plans", "new", "n", create=True) == 1


def lease(store: Store) -> None:
    assert store.acquire("cell", "one", 60, NOW) is True
    assert store.acquire("cell", "two", 60, NOW) is False
    assert store.acquire("cell", "two", 60, NOW + timedelta(seconds=60)) is True


def arrays(store: Store) -> None:
    item = Array("a", "|u1", (3,), b"abc")
    store.put_arrays([item])
    assert store.get_arrays(["a"]) == {"a": item}


def history(store: Store) -> None:
    assert store.append_usage([usage(1.0)]) == Counts(new=1)
    assert store.append_usage([usage(2.0)]) == Counts(replaced=1)
    assert store.append_requests([RequestBatch("web", array("d", [NOW.timestamp()]))]) == Counts(new=1)
    (batch,) = store.read_usage(["web"], *ALWAYS)
    assert list(batch.values["cpu"]) == [2.0]


OPERATIONS: list[Callable[[Store], None]] = [insert, update, many, increment, lease, arrays, history]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
def test_a_fault_delays_and_changes_nothing(
    plain_server: Server, opened: Store, operation: Callable[[Store], None], fault: str
) -> None:
    opened.insert("plans", {"key": "there", "n": 1})
    with failing(plain_server, 3, **FAULTS[fault]):
        operation(opened)


@pytest.mark.parametrize("operation", [insert, update, increment, history], ids=lambda operation: operation.__name__)
def test_a_write_that_is_done_but_not_confirmed_is_done_once(
    plain_server: Server, opened: Store, operation: Callable[[Store], None]
) -> None:
    """The answer says that the majority did not confirm in time, after the write was done."""
    opened.insert("plans", {"key": "there", "n": 1})
    error = {"code": 64, "errmsg": "waiting for replication timed out", "errInfo": {"wtimeout": True}}
    with failing(plain_server, 2, failCommands=WRITES, writeConcernError=error):
        operation(opened)


def test_a_server_that_stays_away_is_one_clear_error(plain_server: Server) -> None:
    uri = plain_server.uri(f"tenancy_{uuid.uuid4().hex[:12]}", wait=2)
    with open_store(uri) as store:
        with failing(plain_server, 1000, closeConnection=True), pytest.raises(StoreUnavailable) as caught:
            store.insert("plans", {"key": "p"})
        assert "cannot be reached" in str(caught.value)
        assert "mongodb store at 127.0.0.1" in str(caught.value)
        assert store.get("plans", "p") is None


def test_an_error_of_the_server_is_not_repeated(plain_server: Server, opened: Store) -> None:
    with failing(plain_server, 1, errorCode=8000), pytest.raises(StoreError) as caught:
        opened.insert("plans", {"key": "p"})
    assert not isinstance(caught.value, StoreUnavailable)
