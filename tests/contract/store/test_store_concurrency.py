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
import threading
import time
from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from servers import Server
from workers import ROW

PROCESSES = 8
WORKER = Path(__file__).parent / "workers.py"
ALWAYS = (datetime(1970, 1, 1, tzinfo=timezone.utc), datetime(2200, 1, 1, tzinfo=timezone.utc))


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


def spawn(task: str, uri: str, number: int, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(WORKER), task, uri, str(number), str(count)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ready(workers: list[subprocess.Popen[str]]) -> None:
    """Let all go at the same moment."""
    for worker in workers:
        assert worker.stdout is not None
        line = worker.stdout.readline()
        assert line == '"ready"\n', worker.communicate()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()


def together(uri: str, count: int) -> list[dict[str, list[Any]]]:
    """What each of eight processes was acknowledged, by task."""
    workers = [spawn("all", uri, number, count) for number in range(PROCESSES)]
    try:
        ready(workers)
        results = []
        for worker in workers:
            output, errors = worker.communicate(timeout=150)
            assert worker.returncode == 0, errors
            results.append(json.loads(output))
        return results
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


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
    assert found["version"] == len(acknowledged) + 1


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
    def first(number: int) -> int:
        with open_store(f"sqlite://{tmp_path}/store{number // PROCESSES}.db?journal={journal}") as store:
            return store.insert("hosts", {"key": f"h{number}"})["version"]

    with ThreadPoolExecutor(PROCESSES) as pool:
        assert list(pool.map(first, range(PROCESSES * 20))) == [1] * PROCESSES * 20


def check_whole(uri: str, number: int, acknowledged: list[list[int]]) -> None:
    """Everything that was acknowledged is there, and everything that is there is whole."""
    turn, version = acknowledged[-1] if acknowledged else (0, 0)
    with open_store(uri) as store:
        document = store.get("plans", f"state{number}")
        stored = store.get_arrays([f"state{number}"])
        usage = list(store.read_usage([f"p{number}"], *ALWAYS))
    if not turn:
        return
    assert document["turn"] >= turn
    assert document["version"] >= version
    assert document["row"] == [document["turn"]] * ROW
    numbers = array("q", stored[f"state{number}"].data)
    assert numbers[0] >= turn
    assert set(numbers) == {numbers[0]}
    cpu = usage[0].values["cpu"]
    assert len(cpu) == ROW
    assert set(cpu) == {cpu[0]}
    assert cpu[0] >= turn


@contextmanager
def writers(uri: str, count: int) -> Iterator[tuple[list[subprocess.Popen[str]], list[list[Any]]]]:
    """Processes that write for ever, and what they were acknowledged so far."""
    workers = [spawn("writes", uri, number, 0) for number in range(count)]
    acknowledged: list[list[Any]] = [[] for _worker in workers]

    def listen(worker: subprocess.Popen[str], lines: list[Any]) -> None:
        assert worker.stdout is not None
        lines.extend(json.loads(line) for line in worker.stdout if line.endswith("\n") and line.startswith("["))

    threads = [
        threading.Thread(target=listen, args=pair, daemon=True) for pair in zip(workers, acknowledged, strict=True)
    ]
    try:
        ready(workers)
        for thread in threads:
            thread.start()
        yield workers, acknowledged
    finally:
        for worker, thread in zip(workers, threads, strict=True):
            worker.kill()
            worker.wait()
            if thread.ident is not None:
                thread.join(timeout=10)


def wait_for(acknowledged: list[list[Any]], more: int) -> None:
    """Until each writer was acknowledged that many more writes."""
    wanted = [len(lines) + more for lines in acknowledged]
    deadline = time.monotonic() + 60
    while any(len(lines) < count for lines, count in zip(acknowledged, wanted, strict=True)):
        assert time.monotonic() < deadline, "the writers do not go on"
        time.sleep(0.02)


def test_killed_clients_lose_nothing_and_tear_nothing(one_uri: str) -> None:
    with open_store(one_uri):
        pass
    for turn in range(3 if one_uri.startswith("sqlite") else 2):
        with writers(one_uri, 2) as (workers, acknowledged):
            wait_for(acknowledged, 1 + turn)
            for worker in workers:
                os.kill(worker.pid, signal.SIGKILL)
        for number, lines in enumerate(acknowledged):
            check_whole(one_uri, number, lines)


def test_a_killed_server_loses_nothing_and_the_writers_go_on(tmp_path: Path) -> None:
    server = Server(tmp_path / "mongo").start()
    try:
        uri = server.uri(wait=45)
        with open_store(uri):
            pass
        with writers(uri, 3) as (workers, acknowledged):
            for _turn in range(3):
                wait_for(acknowledged, 2)
                server.kill()
                time.sleep(1)
                server.start()
            wait_for(acknowledged, 1)
            assert all(worker.poll() is None for worker in workers)
        for number, lines in enumerate(acknowledged):
            assert [turn for turn, _version in lines] == [version for _turn, version in lines], "written twice"
            check_whole(uri, number, lines)
    finally:
        server.stop()


def test_a_store_that_is_away_for_half_a_minute_delays_a_run(tmp_path: Path) -> None:
    server = Server(tmp_path / "mongo").start()
    try:
        uri = server.uri(wait=45)
        with open_store(uri), writers(uri, 1) as (workers, acknowledged):
            wait_for(acknowledged, 1)
            server.kill()
            before = len(acknowledged[0])
            time.sleep(30)
            assert len(acknowledged[0]) <= before + 1
            server.start()
            wait_for(acknowledged, 2)
            assert workers[0].poll() is None
        turns = [turn for turn, _version in acknowledged[0]]
        assert turns == list(range(1, len(turns) + 1)), "the run did not go on where it was"
        check_whole(uri, 0, acknowledged[0])
    finally:
        server.stop()
