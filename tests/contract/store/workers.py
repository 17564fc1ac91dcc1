# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What processes do to a store at once: `python workers.py TASK URI NUMBER COUNT` prints what was acknowledged."""

from __future__ import annotations

import json
import sys
from array import array
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any

from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import Conflict
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from ansible_collections.predictive.tenancy.plugins.module_utils._store.interface import (
    Array,
    RequestBatch,
    Store,
    UsageBatch,
)

BASE = datetime(2026, 3, 2, tzinfo=timezone.utc).timestamp()
ROW = 500  # numbers in an array and in a document: all alike, so that a torn one would show


def increments(store: Store, _number: int, count: int) -> Iterator[Any]:
    """Raise one counter."""
    for _turn in range(count):
        yield store.increment("decisions", "counter", "n", create=True)


def updates(store: Store, number: int, count: int) -> Iterator[Any]:
    """Add this process's marks to one list, by optimistic versions."""
    store.put_many("plans", [{"key": "list", "marks": []}])
    for turn in range(count):
        mark = f"{number}:{turn}"
        while True:
            document = store.get("plans", "list")
            assert document is not None
            try:
                store.update("plans", {**document, "marks": [*document["marks"], mark]})
            except Conflict:
                continue
            break
        yield mark


def inserts(store: Store, number: int, count: int) -> Iterator[Any]:
    """Insert keys that the others insert too; the ones that this process got."""
    for turn in range(count):
        try:
            store.insert("shadows", {"key": f"race{turn}", "profile": str(number)})
        except Conflict:
            continue
        yield turn


def claims(store: Store, number: int, count: int) -> Iterator[Any]:
    """Claim waiting shadows that the others claim too."""
    store.put_many("shadows", [{"key": f"s{turn:03}", "state": "waiting"} for turn in range(count)])
    for document in store.find("shadows", {"state": "waiting"}):
        try:
            store.update("shadows", {**document, "state": "claimed", "tenant": f"t{number}"})
        except Conflict:
            continue
        yield document["key"]


def leases(store: Store, number: int, count: int) -> Iterator[Any]:
    """Take leases that the others take too."""
    now = datetime(2026, 3, 2, tzinfo=timezone.utc)
    for turn in range(count):
        if store.acquire(f"lease{turn}", f"owner{number}", 600, now):
            yield turn


def history(store: Store, number: int, count: int) -> Iterator[Any]:
    """Append samples and requests of this process to the same days as the others."""
    for turn in range(count):
        moment = BASE + (turn * 8 + number) * 60
        store.append_usage([UsageBatch("web", "", array("d", [moment]), {"cpu": array("d", [number])})])
        store.append_requests([RequestBatch("web", array("d", [moment]), [f"{number}-{turn}"])])
        yield moment


def writes(store: Store, number: int, _count: int) -> Iterator[Any]:
    """Replace a document, an array and a day of history by the next state of each, for ever, from where they are."""
    turn = (store.get("plans", f"state{number}") or {"turn": 0})["turn"]
    while True:
        turn += 1
        document = store.get("plans", f"state{number}")
        wanted = {**(document or {"key": f"state{number}"}), "turn": turn, "row": [turn] * ROW}
        stored = store.update("plans", wanted) if document else store.insert("plans", wanted)
        row = array("q", [turn] * ROW)
        store.put_arrays([Array(f"state{number}", "<i8", (ROW,), row.tobytes())])
        times = array("d", [BASE + 60 * slot for slot in range(ROW)])
        store.append_usage([UsageBatch(f"p{number}", "", times, {"cpu": array("d", [turn] * ROW)})])
        yield [turn, stored["version"]]


TASKS: dict[str, Callable[[Store, int, int], Iterator[Any]]] = {
    task.__name__: task for task in (increments, updates, inserts, claims, leases, history)
}


def main() -> None:
    """Wait for a line on the standard input, so that all start together; then open the store and work."""
    task, uri, number, count = sys.argv[1:]
    print(json.dumps("ready"), flush=True)
    sys.stdin.readline()
    with open_store(uri) as store:
        if task == "all":
            print(json.dumps({name: list(do(store, int(number), int(count))) for name, do in TASKS.items()}))
        else:
            for acknowledged in writes(store, int(number), int(count)):
                print(json.dumps(acknowledged), flush=True)


if __name__ == "__main__":
    main()
