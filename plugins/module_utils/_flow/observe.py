# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""History on its way from files, playbooks and Prometheus into the store."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from .._core.changes import ChangeSet, result
from .._core.errors import InputError
from .._core.units import parse_duration
from .._store.interface import Counts, Store
from .collector import Collector, seconds
from .history_reader import Record
from .profiles import Profiles
from .retention import prune

_FLUSH = 500_000  # records in memory
_SHOWN = 20
HOUR = 3600.0


@dataclass(frozen=True)
class Source:
    """Where records come from: a name for people, requests or usage, and a function that reads them (again)."""

    name: str
    kind: str
    records: Callable[[], Iterator[Record]]


@dataclass(frozen=True)
class Settings:
    """How a run takes history in: ``now``; samples later than ``skew`` seconds after it are refused. ``retention`` in
    seconds: ``samples`` until they are downsampled to the hour, ``hourly``, ``requests`` and ``plans`` (with decisions
    and tenants that left) until they are removed.
    ``rebase``: the time (UTC seconds) at which the history is cut, which its end is brought close to; None to leave
    times alone."""

    now: datetime
    skew: float = 300.0
    samples: float = 100 * 86400.0
    hourly: float = 800 * 86400.0
    requests: float = 800 * 86400.0
    plans: float = 90 * 86400.0
    rebase: float | None = None
    create: bool = True
    dry: bool = False


def settings(params: Mapping[str, Any], now: datetime, dry: bool) -> Settings:
    """Read a module's options. Raises InputError."""
    retention = {name: parse_duration(value) for name, value in params["retention"].items()}
    if retention["samples"] > retention["hourly"]:
        raise InputError("retention.samples is longer than retention.hourly", hint="keep hourly values longer")
    return Settings(
        now=now,
        skew=parse_duration(params["max_skew"]),
        **retention,
        rebase=seconds(params["rebase"]) if params["rebase"] else None,
        create=params["create_profiles"],
        dry=dry,
    )


@dataclass
class Taken:
    """What became of one source."""

    source: Source
    counts: Counts = field(default_factory=Counts)
    records: int = 0
    expired: int = 0
    refused: int = 0
    errors: list[str] = field(default_factory=list)

    def refuse(self, error: str) -> None:
        """Count an error, and keep the first ones."""
        self.refused += 1
        if len(self.errors) < _SHOWN:
            self.errors.append(error)

    def result(self) -> dict[str, Any]:
        """The entry of ``results``."""
        changes = ChangeSet(self.source.name)
        if self.counts.new:
            changes.add("append", "new", 0, self.counts.new)
        if self.counts.replaced:
            changes.add("replace", "replaced", 0, self.counts.replaced)
        more = self.refused - len(self.errors)
        error = "; ".join(self.errors) + (f"; and {more} more" if more > 0 else "")
        return result(
            changes,
            error,
            kind=self.source.kind,
            records=self.records,
            new=self.counts.new,
            same=self.counts.same,
            replaced=self.counts.replaced,
            late=self.counts.late,
            expired=self.expired,
            refused=self.refused,
        )


def _newest(source: Source) -> float:
    """The newest time in a source; what cannot be read is left out here and refused, by name, when it is taken in."""
    newest = -math.inf
    try:
        for record in source.records():
            newest = max(newest, _time(record))
    except InputError:
        return newest
    return newest


def _time(record: Record) -> float:
    try:
        return -math.inf if record.error else seconds(record.fields.get("time"))
    except InputError:
        return -math.inf


def _offset(sources: list[Source], rebase: float | None) -> float:
    """Whole hours, in seconds, that bring the newest record into the hour after ``rebase``."""
    if rebase is None:
        return 0.0
    newest = max(map(_newest, sources), default=-math.inf)
    return HOUR * math.ceil((rebase - newest) / HOUR) if math.isfinite(newest) else 0.0


class Observation:
    """One run: takes sources in, one after the other."""

    def __init__(self, store: Store, wanted: Settings) -> None:
        self.store = store
        self.wanted = wanted
        self.profiles = Profiles(store, wanted.now, wanted.create, wanted.dry)
        self._latest = wanted.now.timestamp() + wanted.skew
        self.reference = self._reference()

    def _reference(self) -> datetime:
        """Ages count back from here: now, or the end of the history where that is older (a trace of other days)."""
        newest = self.store.newest()
        return min(self.wanted.now, newest) if newest is not None else self.wanted.now

    def run(self, sources: list[Source]) -> list[dict[str, Any]]:
        """Take the sources in, then downsample and remove what is old; the entries of ``results``."""
        offset = _offset(sources, self.wanted.rebase)
        known = self.store.newest() is not None
        results = [self._take(source, offset, known).result() for source in sources]
        return [*results, self._compact()]

    def _take(self, source: Source, offset: float, known: bool) -> Taken:
        taken = Taken(source)
        collector = Collector(self.store, self.profiles, offset)
        age = self.wanted.hourly if source.kind == "usage" else self.wanted.requests
        oldest = (self.reference - timedelta(seconds=age)).timestamp() // 86400 * 86400 if known else -math.inf
        try:
            for record in source.records():
                self._record(record, collector, taken, oldest)
                if collector.rows >= _FLUSH:
                    self._flush(collector, taken)
        except InputError as error:
            taken.refuse(str(error))
        self._flush(collector, taken)
        return taken

    def _record(self, record: Record, collector: Collector, taken: Taken, oldest: float) -> None:
        if record.error:
            taken.refuse(f"{record.place}: {record.error}")
            return
        taken.records += 1
        try:
            moment = seconds(record.fields.get("time")) + collector.offset
            if self.wanted.rebase is not None and moment > self.wanted.rebase:
                return  # it has not happened yet
            if moment < 0:
                raise InputError(f"the time {record.fields['time']} is before 1970")
            if moment > self._latest:
                raise InputError(
                    f"the time {record.fields['time']} is in the future",
                    hint="check the clock of the machine that measured it, or raise max_skew",
                )
            if moment < oldest:
                taken.expired += 1
            elif taken.source.kind == "usage":
                collector.add_usage(record.fields, moment)
            else:
                collector.add_request(record.fields, moment)
        except InputError as error:
            taken.refuse(f"{record.place}: {error}")

    def _flush(self, collector: Collector, taken: Taken) -> None:
        if taken.source.kind == "usage":
            taken.counts += self.store.append_usage(collector.take_usage())
        else:
            taken.counts += self.store.append_requests(collector.take_requests())

    def _compact(self) -> dict[str, Any]:
        reference, wanted = self._reference(), self.wanted
        done = self.store.compact(
            reference - timedelta(seconds=wanted.samples),
            reference - timedelta(seconds=wanted.hourly),
            reference - timedelta(seconds=wanted.requests),
        )
        pruned = prune(self.store, reference - timedelta(seconds=wanted.plans), dry=wanted.dry)
        changes = ChangeSet("retention")
        if done["downsampled"]:
            changes.add("downsample", "downsampled", 0, done["downsampled"])
        if done["removed"]:
            changes.add("remove", "removed", 0, done["removed"])
        for what, count in pruned.items():
            if count:
                changes.add("remove", what, 0, count)
        nothing: dict[str, Any] = dict.fromkeys(("records", "new", "same", "replaced", "late", "expired", "refused"), 0)
        return result(changes, kind="retention", **nothing)
