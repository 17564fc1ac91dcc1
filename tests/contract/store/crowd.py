# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that use a store at once, and what of their acknowledged writes is there afterwards; for the contract suite
and for the benchmark."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from ansible_collections.predictive.tenancy.plugins.module_utils._store.interface import Store
from workers import ROW

PROCESSES = 8
WORKER = Path(__file__).parent / "workers.py"
ALWAYS = (datetime(1970, 1, 1, tzinfo=timezone.utc), datetime(2200, 1, 1, tzinfo=timezone.utc))


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


def whole(store: Store, number: int) -> tuple[int, int, int]:
    """The turns to which a writer's document, array and day of history have come, 0 for none; each must be whole."""
    document = store.get("plans", f"state{number}") or {"turn": 0, "row": [0] * ROW}
    stored = store.get_arrays([f"state{number}"]).get(f"state{number}")
    usage = list(store.read_usage([f"p{number}"], *ALWAYS))
    numbers = array("q", stored.data) if stored else array("q", [0] * ROW)
    cpu = usage[0].values["cpu"] if usage else array("d", [0.0] * ROW)
    assert document["row"] == [document["turn"]] * ROW, "a torn document"
    assert numbers == array("q", numbers[:1] * ROW), "a torn array"
    assert cpu == array("d", cpu[:1] * ROW), "a torn day of history"
    return document["turn"], numbers[0], int(cpu[0])


def lost_turns(uri: str, number: int, acknowledged: list[list[int]]) -> int:
    """How many of a writer's acknowledged writes are not there."""
    turn = acknowledged[-1][0] if acknowledged else 0
    with open_store(uri) as store:
        return sum(max(0, turn - found) for found in whole(store, number))


def lost_of_crowd(uri: str, results: list[dict[str, list[Any]]]) -> tuple[int, int]:
    """``(acknowledged writes of a crowd, those of them that are not there)``."""
    every = {task: [value for result in results for value in result[task]] for task in results[0]}
    with open_store(uri) as store:
        counter, marks = store.get("decisions", "counter"), store.get("plans", "list")
        assert counter is not None
        assert marks is not None
        shadows = {document["key"]: document for document in store.find("shadows")}
        leases = {document["key"]: document["owner"] for document in store.find("leases")}
        (usage,) = store.read_usage(["web"], *ALWAYS)
        (requests,) = store.read_requests(["web"], *ALWAYS)
    lost = len(every["increments"]) - counter["n"]
    lost += len(set(every["updates"]) - set(marks["marks"]))
    for number, result in enumerate(results):
        lost += sum(shadows[f"race{turn}"]["profile"] != str(number) for turn in result["inserts"])
        lost += sum(shadows[key].get("tenant") != f"t{number}" for key in result["claims"])
        lost += sum(leases[f"lease{turn}"] != f"owner{number}" for turn in result["leases"])
    lost += len(set(every["history"]) - set(usage.times)) + len(set(every["history"]) - set(requests.times))
    return sum(map(len, every.values())) + len(every["history"]), lost


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


def wait_for(acknowledged: list[list[Any]], more: int, look: Callable[[], object] = time.monotonic) -> None:
    """Until each writer was acknowledged that many more writes; ``look`` is called meanwhile."""
    wanted = [len(lines) + more for lines in acknowledged]
    deadline = time.monotonic() + 60
    while any(len(lines) < count for lines, count in zip(acknowledged, wanted, strict=True)):
        assert time.monotonic() < deadline, "the writers do not go on"
        look()
        time.sleep(0.02)
