# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One tick of a cell's schedule: whether a run may start, the run under a lease and a time limit, what is kept of it.

The lease in the store keeps runs of one cell apart, on however many controllers; it is renewed while the run lasts, so
a controller that dies gives it up within ``lease`` seconds, and a run whose lease cannot be renewed is ended before
another may take it. A pause is a lease too: it holds everywhere, and may end by itself.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import IO, Any

from .._core.errors import InputError, StoreError, StoreUnavailable, TenancyError
from .._core.units import format_duration, format_time
from .._store.connect import open_store
from .._store.interface import Store
from .lease import Lease
from .schedule_state import State

# Exit statuses: as `timeout` says it, and as sysexits.h says "try again later" and "configured wrongly".
TIMED_OUT, UNAVAILABLE, REFUSED, LOST = 124, 75, 78, 1
FOREVER = 100 * 365 * 86400.0
_POLL = 0.2


@dataclass(frozen=True)
class Settings:
    """A cell's schedule. ``command`` is the run; ``interval``, ``limit`` (of a run), ``grace`` (between SIGTERM and
    SIGKILL), ``backoff_max`` and ``lease`` are seconds; ``folder`` keeps the state and the newest ``logs`` logs;
    ``metrics`` is the file for node_exporter's textfile collector, or ""."""

    cell: str
    store: str
    command: Sequence[str]
    folder: str
    interval: float = 300.0
    limit: float = 1800.0
    grace: float = 30.0
    backoff_max: float = 3600.0
    lease: float = 120.0
    logs: int = 50
    metrics: str = ""

    def __post_init__(self) -> None:
        if not self.command:
            raise InputError("there is no command to run", item=f"schedule of {self.cell}")
        for name in ("interval", "limit", "grace", "lease"):
            if getattr(self, name) <= 0:
                raise InputError("must be above zero", item=f"schedule of {self.cell}: {name}")

    @property
    def run_lease(self) -> str:
        """The name of the lease of a run."""
        return f"reconcile/{self.cell}"

    @property
    def pause_lease(self) -> str:
        """The name of the lease that is a pause."""
        return f"reconcile/{self.cell}/paused"


def _clock() -> datetime:
    return datetime.now(timezone.utc)


@dataclass
class Scheduler:
    """What a schedule may touch: its settings, who it is, whom to tell, a clock, and ``launch``: a command, its process
    environment and the open log give the process, which is in a session of its own."""

    settings: Settings
    owner: str
    tell: Callable[[str], None]
    launch: Callable[[Sequence[str], Mapping[str, str], IO[bytes]], subprocess.Popen[bytes]]
    clock: Callable[[], datetime] = _clock
    stopped: list[int] = field(default_factory=list)

    # -- pausing ------------------------------------------------------------------------------------------------------
    def pause(self, seconds: float) -> None:
        """Let no run start for so long. A run that is under way ends as it would. Raises StoreError."""
        settings, now = self.settings, self.clock()
        with open_store(settings.store) as store:
            held = self._held(store, settings.pause_lease)
            if held is not None:
                store.release(settings.pause_lease, held["owner"])
            if not store.acquire(settings.pause_lease, self.owner, seconds, now):
                raise StoreError("somebody else paused it at the same moment", item=settings.cell, hint="run again")
        until = (
            "until it is resumed" if seconds >= FOREVER else f"until {format_time(now + timedelta(seconds=seconds))}"
        )
        self.tell(f"{settings.cell}: paused {until}")

    def resume(self) -> None:
        """End a pause, and forget failures, so that the next tick runs."""
        settings = self.settings
        with open_store(settings.store) as store:
            held = self._held(store, settings.pause_lease)
            if held is not None:
                store.release(settings.pause_lease, held["owner"])
        state = State.read(settings.folder)
        state.failures, state.not_before = 0, ""
        state.write(settings.folder)
        self.tell(f"{settings.cell}: {'resumed' if held is not None else 'was not paused'}")

    def status(self) -> dict[str, Any]:
        """What is known of the schedule: its pause, the run under way, the last run."""
        settings = self.settings
        with open_store(settings.store, read_only=True) as store:
            leases = {name: self._held(store, name) for name in (settings.pause_lease, settings.run_lease)}
        paused, running = (leases[name] for name in (settings.pause_lease, settings.run_lease))
        return {
            "cell": settings.cell,
            "paused_by": paused["owner"] if paused else "",
            "paused_until": format_time(paused["expires_at"]) if paused else "",
            "running_by": running["owner"] if running else "",
            **State.read(settings.folder).document(),
        }

    def _held(self, store: Store, lease: str) -> dict[str, Any] | None:
        document = store.get("leases", lease)
        return document if document is not None and document["expires_at"] > self.clock() else None

    # -- running ------------------------------------------------------------------------------------------------------
    def tick(self) -> int:
        """Run if it may, and say why not if it may not; the exit status. A run that was not due is no failure, a store
        that cannot be used is one."""
        settings, begin = self.settings, self.clock()
        state = State.read(settings.folder)
        lease = Lease(settings.run_lease, self.owner, settings.lease, self.clock, lambda: open_store(settings.store))
        try:
            with open_store(settings.store) as store:
                why = self._not_now(store, state, lease)
                if why:
                    return self._skip(state, *why)
                return self._leased(store, state, lease)
        except TenancyError as error:
            self.tell(f"{settings.cell}: {error}")
            status = UNAVAILABLE if isinstance(error, StoreUnavailable) else REFUSED
            return self._ended(state, "no store", status, begin)

    def _not_now(self, store: Store, state: State, lease: Lease) -> tuple[str, str] | None:
        paused = self._held(store, self.settings.pause_lease)
        if paused is not None:
            return "paused", f"paused by {paused['owner']} until {format_time(paused['expires_at'])}"
        if state.not_before and format_time(self.clock()) < state.not_before:
            return "backing off", f"{state.failures} runs failed one after another; waiting until {state.not_before}"
        if not lease.take(store):
            running = self._held(store, lease.name)
            return "overlap", f"a run of {running['owner'] if running else 'another'} is under way"
        return None

    def _skip(self, state: State, outcome: str, why: str) -> int:
        self.tell(f"{self.settings.cell}: not run: {why}")
        state.skipped(outcome)
        self._keep(state)
        return 0

    def _leased(self, store: Store, state: State, lease: Lease) -> int:
        begin = self.clock()
        try:
            with lease:
                return self._ended(state, *self._run(state, lease, begin), begin)
        finally:
            self._give_back(store, lease)

    def _give_back(self, store: Store, lease: Lease) -> None:
        """What came of the run is not changed by a store that goes away at its end."""
        try:
            store.release(lease.name, self.owner)
        except StoreError as error:
            self.tell(f"{self.settings.cell}: the lease is not given back, and runs out by itself: {error}")

    def _ended(self, state: State, outcome: str, status: int, begin: datetime) -> int:
        settings, now = self.settings, self.clock()
        state.ended(outcome, status, begin, now)
        if state.failures:
            wait = min(settings.interval * 2.0 ** min(state.failures - 1, 30), settings.backoff_max)
            state.not_before = format_time(now + timedelta(seconds=wait))
            self.tell(f"{settings.cell}: {outcome} ({status}); not before {state.not_before}")
        else:
            self.tell(f"{settings.cell}: {outcome} in {format_duration((now - begin).total_seconds())}")
        self._keep(state)
        return status

    def _keep(self, state: State) -> None:
        state.write(self.settings.folder)
        if self.settings.metrics:
            state.export(self.settings.metrics, self.settings.cell)

    def _run(self, state: State, lease: Lease, begin: datetime) -> tuple[str, int]:
        """Run the command in a process group of its own until it ends, its time is over, or it must stop."""
        settings = self.settings
        log = state.open_log(settings.folder, format_time(begin), settings.logs)
        self.tell(f"{settings.cell}: running, log in {log.name}")
        environment = {**os.environ, "TENANCY_STORE": settings.store} if settings.store else dict(os.environ)
        stop = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            with log:
                return self._watch(lease, self.launch(settings.command, environment, log))
        except OSError as error:
            self.tell(f"{settings.cell}: {settings.command[0]} cannot be run: {error.strerror}")
            return "failed", 127
        finally:
            for number, previous in stop.items():
                signal.signal(number, previous)

    def _stop(self, number: int, _frame: object) -> None:
        self.stopped.append(number)

    def _watch(self, lease: Lease, process: subprocess.Popen[bytes]) -> tuple[str, int]:
        deadline = time.monotonic() + self.settings.limit
        try:
            while process.poll() is None:
                why = self._must_end(deadline, lease)
                if why:
                    self._end(process, lease)
                    return why
                time.sleep(_POLL)
        except BaseException:
            # In a session of its own it would go on, and without its lease.
            self._end(process, lease)
            raise
        status = process.returncode
        return ("succeeded", 0) if status == 0 else ("failed", status if status > 0 else 128 - status)

    def _must_end(self, deadline: float, lease: Lease) -> tuple[str, int] | None:
        if lease.error is not None:
            raise lease.error
        if self.stopped:
            return "stopped", 128 + self.stopped[0]
        if time.monotonic() > deadline:
            return "time limit", TIMED_OUT
        # Ending it takes time too, in which nobody else may have the lease.
        return ("lease lost", LOST) if lease.left() < min(self.settings.grace, lease.seconds / 3) else None

    def _end(self, process: subprocess.Popen[bytes], lease: Lease) -> None:
        """End the process with all that it has started. What is left of them is killed after the time of grace, and
        before another may have the lease."""
        _signal(process, signal.SIGTERM)
        killed_at = time.monotonic() + self.settings.grace
        while process.poll() is None and time.monotonic() < killed_at and lease.left() > _POLL:
            time.sleep(_POLL)
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return  # all of them have ended
