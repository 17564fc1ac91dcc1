# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run under its lease when the store errs: it never goes on without the lease, and what is told of it is true."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import StoreError, StoreUnavailable
from ansible_collections.predictive.tenancy.plugins.module_utils._flow import scheduled
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.schedule_state import State
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.scheduled import Scheduler, Settings
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from ansible_collections.predictive.tenancy.plugins.module_utils._store.sqlite import SQLiteStore

LEASE = 3.0
STUBBORN = "trap '' TERM; while :; do touch $BEAT; sleep 0.1; done"


class Controller:
    """A schedule on this machine: its ticks, the process of the last run, and all that was said."""

    def __init__(self, folder: Path, script: str) -> None:
        self.said: list[str] = []
        self.begin = 0.0
        self.process: Any = None
        self.beat = str(folder / "beat")
        command, state = ["sh", "-c", script], str(folder / "state")
        self.settings = Settings("north", f"sqlite://{folder}/store.db", command, state, grace=30.0, lease=LEASE)
        self.scheduler = Scheduler(self.settings, "me", self.said.append, self.launch)

    def launch(self, command: Any, environment: Any, log: Any) -> Any:
        self.begin = time.time()
        self.process = subprocess.Popen(
            command, env={**environment, "BEAT": self.beat}, stdout=log, stderr=log, start_new_session=True
        )
        return self.process

    def state(self) -> tuple[str, int, int]:
        kept = State.read(self.settings.folder)
        return kept.outcome, kept.status, kept.failures

    def free(self) -> bool:
        with open_store(self.settings.store, read_only=True) as store:
            return store.get("leases", self.settings.run_lease) is None


Break = Callable[[str, Callable[[], None]], None]


@pytest.fixture
def after_the_first(monkeypatch: pytest.MonkeyPatch) -> Break:
    """Lets something happen before a method of the store, from its second call on."""

    def apply(name: str, happens: Callable[[], None]) -> None:
        method, calls = getattr(SQLiteStore, name), []

        def instead(*arguments: Any) -> Any:
            calls.append(name)
            if len(calls) > 1:
                happens()
            return method(*arguments)

        monkeypatch.setattr(SQLiteStore, name, instead)

    return apply


def fail(error: BaseException) -> Callable[[], None]:
    def happens() -> None:
        raise error

    return happens


def test_a_run_whose_renewal_is_refused_is_ended(tmp_path: Path, after_the_first: Break) -> None:
    controller = Controller(tmp_path, STUBBORN)
    after_the_first("acquire", fail(StoreError("the server refused the user")))
    assert controller.scheduler.tick() == 78
    assert controller.process.poll() is not None
    assert controller.state() == ("no store", 78, 1)
    assert any("the server refused the user" in line for line in controller.said)
    assert controller.free()


@pytest.mark.parametrize("blocks", [0.0, 2 * LEASE])
def test_a_run_ends_before_its_lease_when_the_store_is_away(
    tmp_path: Path, after_the_first: Break, blocks: float
) -> None:
    """Whether the store says at once that it is away, or lets everybody wait for longer than the lease lasts."""
    controller = Controller(tmp_path, STUBBORN)
    tried: list[float] = []

    def away() -> None:
        tried.append(time.monotonic())
        time.sleep(blocks)
        raise StoreUnavailable("the server cannot be reached")

    after_the_first("acquire", away)
    assert controller.scheduler.tick() == 1
    assert tried
    assert (tmp_path / "beat").stat().st_mtime - controller.begin < LEASE
    assert controller.state() == ("lease lost", 1, 1)


def test_a_run_whose_lease_another_took_is_killed(tmp_path: Path) -> None:
    controller = Controller(tmp_path, STUBBORN)

    def steal(command: Any, environment: Any, log: Any) -> Any:
        with open_store(controller.settings.store) as store:
            store.release(controller.settings.run_lease, "me")
            assert store.acquire(controller.settings.run_lease, "another", 600, datetime.now(timezone.utc))
        return controller.launch(command, environment, log)

    controller.scheduler.launch = steal
    assert controller.scheduler.tick() == 1
    assert controller.state() == ("lease lost", 1, 1)
    assert not controller.free(), "it is the other's"


def test_a_run_is_not_left_behind_by_what_ends_the_tick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    controller = Controller(tmp_path, "sleep 77")

    class Clock:
        monotonic = staticmethod(time.monotonic)
        turns = 0

        @classmethod
        def sleep(cls, seconds: float) -> None:
            cls.turns += 1
            if cls.turns == 2:
                raise KeyboardInterrupt
            time.sleep(seconds)

    monkeypatch.setattr(scheduled, "time", Clock)
    with pytest.raises(KeyboardInterrupt):
        controller.scheduler.tick()
    assert controller.process.poll() is not None
    assert controller.free()


def test_a_lease_that_cannot_be_given_back_fails_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    controller = Controller(tmp_path, "exit 0")

    def away(*_arguments: Any) -> bool:
        raise StoreUnavailable("the server cannot be reached")

    monkeypatch.setattr(SQLiteStore, "release", away)
    assert controller.scheduler.tick() == 0
    assert controller.state() == ("succeeded", 0, 0)
    assert any("runs out by itself" in line for line in controller.said)
