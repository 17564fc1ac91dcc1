# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One tick of a cell's schedule: whether a run may start, the run under a lease and a time limit, what is kept of it.

The lease in the store keeps runs of one cell apart, on however many controllers; it is renewed while the run lasts, so
a controller that dies gives it up within ``lease`` seconds. A pause is a lease too: it holds everywhere, and may end by
itself.
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

from .._core.errors import InputError, StoreError, StoreUnavailable
from .._core.units import format_duration, format_time
from .._store.connect import open_store
from .._store.interface import Store
from .schedule_state import State

# Exit statuses: as `timeout` says it, and as sysexits.h says "try again later".
TIMED_OUT, UNAVAILABLE, LOST = 124, 75, 1
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
        """Run if it may, and say why not if it may not; the exit status. A run that was not due is no failure."""
        settings = self.settings
        state = State.read(settings.folder)
        try:
            with open_store(settings.store) as store:
                why = self._not_now(store, state)
                if why:
                    return self._skip(state, *why)
                return self._leased(store, state)
        except StoreUnavailable as error:
            self.tell(f"{settings.cell}: not run: {error}")
            self._ended(state, "no store", UNAVAILABLE, self.clock())
            return UNAVAILABLE

    def _not_now(self, store: Store, state: State) -> tuple[str, str] | None:
        paused = self._held(store, self.settings.pause_lease)
        if paused is not None:
            return "paused", f"paused by {paused['owner']} until {format_time(paused['expires_at'])}"
        if state.not_before and format_time(self.clock()) < state.not_before:
            return "backing off", f"{state.failures} runs failed one after another; waiting until {state.not_before}"
        if not store.acquire(self.settings.run_lease, self.owner, self.settings.lease, self.clock()):
            running = self._held(store, self.settings.run_lease)
            return "overlap", f"a run of {running['owner'] if running else 'another'} is under way"
        return None

    def _skip(self, state: State, outcome: str, why: str) -> int:
        self.tell(f"{self.settings.cell}: not run: {why}")
        state.skipped(outcome)
        self._keep(state)
        return 0

    def _leased(self, store: Store, state: State) -> int:
        settings, begin = self.settings, self.clock()
        try:
            outcome, status = self._run(store, state, begin)
        finally:
            store.release(settings.run_lease, self.owner)
        self._ended(state, outcome, status, begin)
        return status

    def _ended(self, state: State, outcome: str, status: int, begin: datetime) -> None:
        settings, now = self.settings, self.clock()
        state.ended(outcome, status, begin, now)
        if state.failures:
            wait = min(settings.interval * 2.0 ** min(state.failures - 1, 30), settings.backoff_max)
            state.not_before = format_time(now + timedelta(seconds=wait))
            self.tell(f"{settings.cell}: {outcome} ({status}); not before {state.not_before}")
        else:
            self.tell(f"{settings.cell}: {outcome} in {format_duration((now - begin).total_seconds())}")
        self._keep(state)

    def _keep(self, state: State) -> None:
        state.write(self.settings.folder)
        if self.settings.metrics:
            state.export(self.settings.metrics, self.settings.cell)

    def _run(self, store: Store, state: State, begin: datetime) -> tuple[str, int]:
        """Run the command in a process group of its own until it ends, its time is over, or it must stop."""
        settings = self.settings
        log = state.open_log(settings.folder, format_time(begin), settings.logs)
        self.tell(f"{settings.cell}: running, log in {log.name}")
        environment = {**os.environ, "TENANCY_STORE": settings.store} if settings.store else dict(os.environ)
        previous = signal.signal(signal.SIGTERM, lambda number, _frame: self.stopped.append(number))
        try:
            with log:
                return self._watch(store, self.launch(settings.command, environment, log))
        except OSError as error:
            self.tell(f"{settings.cell}: {settings.command[0]} cannot be run: {error.strerror}")
            return "failed", 127
        finally:
            signal.signal(signal.SIGTERM, previous)

    def _watch(self, store: Store, process: subprocess.Popen[bytes]) -> tuple[str, int]:
        settings = self.settings
        deadline = time.monotonic() + settings.limit
        renewal = Renewal(store, settings, self.owner, self.clock)
        while process.poll() is None:
            why = self._must_end(deadline, renewal)
            if why:
                _end(process, settings.grace)
                return why
            time.sleep(_POLL)
        status = process.returncode
        return ("succeeded", 0) if status == 0 else ("failed", status if status > 0 else 128 - status)

    def _must_end(self, deadline: float, renewal: Renewal) -> tuple[str, int] | None:
        if self.stopped:
            return "stopped", 128 + self.stopped[0]
        if time.monotonic() > deadline:
            return "time limit", TIMED_OUT
        return None if renewal.keep() else ("lease lost", LOST)


class Renewal:
    """A lease that is renewed every third of its time. A store that is away is tried again until the lease has run
    out."""

    def __init__(self, store: Store, settings: Settings, owner: str, clock: Callable[[], datetime]) -> None:
        self._store, self._settings, self._owner, self._clock = store, settings, owner, clock
        self._renewed = self._tried = time.monotonic()

    def keep(self) -> bool:
        """Renew it if it is time; whether it is still ours."""
        now, lease = time.monotonic(), self._settings.lease
        if now - self._tried < lease / 3:
            return True
        self._tried = now
        try:
            if not self._store.acquire(self._settings.run_lease, self._owner, lease, self._clock()):
                return False
        except StoreUnavailable:
            return now - self._renewed < lease
        self._renewed = now
        return True


def _end(process: subprocess.Popen[bytes], grace: float) -> None:
    """End the process with all that it has started; what outlives it in its group is killed in the second turn."""
    for number, wait in ((signal.SIGTERM, grace), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(timeout=wait)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
