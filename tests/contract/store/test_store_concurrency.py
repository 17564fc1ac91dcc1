# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Eight processes at once, processes and servers that are killed: no acknowledged write is lost, no read is torn."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from crowd import ALWAYS, PROCESSES, lost_of_crowd, lost_turns, together, wait_for, whole, writers
from servers import Server

OBSERVE = "ansible_collections.predictive.tenancy.plugins.modules.workload_observe"


@dataclass
class Crowd:
    """What eight processes did at once to a store that none of them found there, and what each was acknowledged."""

    uri: str
    count: int
    results: list[dict[str, list[Any]]]

    def each(self, task: str) -> list[list[Any]]:
        return [result[task] for result in self.results]

    def all(self, task: str) -> list[Any]:
        return [value for values in self.each(task) for value in values]


@pytest.fixture(scope="module")
def crowds() -> dict[str, Crowd]:
    """The crowds that there were, by store."""
    return {}


@pytest.fixture
def crowd(one_uri_kept: tuple[str, str], crowds: dict[str, Crowd]) -> Crowd:
    """A crowd on each kind of store."""
    name, uri = one_uri_kept
    if name not in crowds:
        # A served store confirms every write with its journal, which takes longer.
        count = 20 if uri.startswith("sqlite") else 5
        crowds[name] = Crowd(uri, count, together(uri, count))
    return crowds[name]


def test_increments_are_all_counted(crowd: Crowd) -> None:
    total = PROCESSES * crowd.count
    assert sorted(crowd.all("increments")) == list(range(1, total + 1)), "one is lost, or two gave the same number"
    with open_store(crowd.uri) as store:
        assert store.get("decisions", "counter")["n"] == total


def test_optimistic_updates_lose_nothing(crowd: Crowd) -> None:
    acknowledged = crowd.all("updates")
    with open_store(crowd.uri) as store:
        found = store.get("plans", "list")
    assert sorted(found["marks"]) == sorted(acknowledged)
    assert len(acknowledged) == PROCESSES * crowd.count


@pytest.mark.parametrize("task", ["inserts", "leases"])
def test_one_process_wins_each(crowd: Crowd, task: str) -> None:
    assert sorted(crowd.all(task)) == list(range(crowd.count))


def test_each_shadow_is_claimed_once(crowd: Crowd) -> None:
    assert sorted(crowd.all("claims")) == [f"s{number:03}" for number in range(crowd.count)]
    with open_store(crowd.uri) as store:
        owners = {document["key"]: document["tenant"] for document in store.find("shadows", {"state": "claimed"})}
    assert owners == {key: f"t{number}" for number, keys in enumerate(crowd.each("claims")) for key in keys}


def test_history_of_the_same_day_by_many_writers(crowd: Crowd) -> None:
    times = sorted(crowd.all("history"))
    assert len(times) == PROCESSES * crowd.count
    with open_store(crowd.uri) as store:
        (usage,) = store.read_usage(["web"], *ALWAYS)
        (requests,) = store.read_requests(["web"], *ALWAYS)
    assert list(usage.times) == times
    assert list(requests.times) == times
    assert len(set(requests.ids)) == len(times)


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_eight_threads_open_new_files_at_once(tmp_path: Path, journal: str) -> None:
    def first(number: int) -> bool:
        with open_store(f"sqlite://{tmp_path}/store{number // PROCESSES}.db?journal={journal}") as store:
            inserted = store.insert("hosts", {"key": f"h{number}"})
            return inserted == store.get("hosts", f"h{number}")

    with ThreadPoolExecutor(PROCESSES) as pool:
        assert list(pool.map(first, range(PROCESSES * 20))) == [True] * PROCESSES * 20


def test_no_acknowledged_write_of_a_crowd_is_lost(crowd: Crowd) -> None:
    acknowledged, lost = lost_of_crowd(crowd.uri, crowd.results)
    assert acknowledged >= PROCESSES * crowd.count * 4
    assert lost == 0


def test_killed_clients_lose_nothing_and_tear_nothing(one_uri: str) -> None:
    with open_store(one_uri) as reader:
        for turn in range(3 if one_uri.startswith("sqlite") else 2):
            with writers(one_uri, 2) as (workers, acknowledged):
                wait_for(acknowledged, 1 + turn, lambda: [whole(reader, number) for number in range(2)])
                for worker in workers:
                    os.kill(worker.pid, signal.SIGKILL)
            assert [lost_turns(one_uri, number, lines) for number, lines in enumerate(acknowledged)] == [0, 0]


def test_a_killed_server_loses_nothing_and_the_writers_go_on(tmp_path: Path) -> None:
    server = Server(tmp_path / "mongo").start()
    try:
        uri = server.uri(wait=45)
        with open_store(uri) as reader, writers(uri, 3) as (workers, acknowledged):
            look = partial(whole, reader, 0)
            for _turn in range(3):
                wait_for(acknowledged, 2, look)
                server.kill()
                time.sleep(1)
                server.start()
            wait_for(acknowledged, 1, look)
            assert all(worker.poll() is None for worker in workers)
        for number, lines in enumerate(acknowledged):
            assert len({version - turn for turn, version in lines}) == 1, "written twice"
            assert lost_turns(uri, number, lines) == 0
    finally:
        server.stop()


def observing(uri: str, scratch: Path, count: int) -> subprocess.Popen[str]:
    """A run of workload_observe that takes in two samples of each of many unknown workloads."""
    lines = ["workload,time,cpu"]
    lines += [f"w{number},2026-03-01T0{hour}:00:00Z,{number}" for number in range(count) for hour in (0, 1)]
    (scratch / "usage.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    files = [{"path": str(scratch / "usage.csv"), "kind": "usage"}]
    arguments = {"store": uri, "files": files, "now": "2026-03-02T00:00:00Z"}
    (scratch / "arguments.json").write_text(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}), encoding="utf-8")
    command = [sys.executable, "-m", OBSERVE, str(scratch / "arguments.json")]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_store_that_is_away_for_half_a_minute_delays_a_run(tmp_path: Path) -> None:
    """In the middle of what a process writes, and of a run of a module."""
    count = 300
    server = Server(tmp_path / "mongo").start()
    try:
        uri = server.uri(wait=45)
        with open_store(uri) as store, writers(uri, 1) as (workers, acknowledged):
            wait_for(acknowledged, 1)
            run = observing(uri, tmp_path, count)
            while len(store.keys("profiles")) < 20:
                assert run.poll() is None, run.communicate()
                time.sleep(0.05)
            server.kill()
            before = len(acknowledged[0])
            time.sleep(30)
            assert len(acknowledged[0]) <= before + 1
            assert run.poll() is None, "the run did not wait"
            server.start()
            wait_for(acknowledged, 2)
            assert workers[0].poll() is None
            output, errors = run.communicate(timeout=60)
            assert errors == ""
            done = json.loads(output)
            assert [item["new"] for item in done["results"]] == [2 * count, 0], done
            usage = store.read_usage(store.keys("profiles"), *ALWAYS)
            found = {batch.profile: list(batch.values["cpu"]) for batch in usage}
            assert found == {f"w{number}": [float(number)] * 2 for number in range(count)}
            assert len(done["profiles_created"]) == count
        turns = [turn for turn, _version in acknowledged[0]]
        assert turns == list(range(1, len(turns) + 1)), "the run did not go on where it was"
        assert lost_turns(uri, 0, acknowledged[0]) == 0
    finally:
        server.stop()
