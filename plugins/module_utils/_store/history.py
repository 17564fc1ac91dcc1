# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The history of usage and requests in buckets, one per series and day: what both adapters share.

An adapter keeps buckets: an id (its own), a day, a level (1 = holds what can be downsampled), a version and bytes. A
bucket is read, changed in memory and written back if its version is still the one that was read; whoever lost that race
reads again. So each bucket changes atomically and no acknowledged sample is lost, without any transaction.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from array import array
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Callable, NamedTuple

from .._core.errors import Conflict
from .events import join_requests, split_requests
from .interface import METRICS, Counts, RequestBatch, UsageBatch
from .request_day import WHOLE_DAY, RequestDay
from .samples import join_usage, split_usage
from .usage_day import DAY, Samples, UsageDay
from .values import from_milliseconds, to_milliseconds

_FLUSH = 400  # buckets read and written at once
_PROFILES = 200  # profiles read at once
_ATTEMPTS = 200  # lost races on one bucket before giving up
USAGE, REQUESTS = "usage", "requests"


class BucketKey(NamedTuple):
    """Which bucket: day = days since 1970, part 0 = the whole day, 1-24 = one hour of it."""

    profile: str
    tenant: str
    day: int
    part: int = 0


@dataclass
class Bucket:
    """A stored bucket; version 0 = not there yet."""

    id: Hashable
    version: int = 0
    data: bytes | None = None
    level: int = 1


Change = Callable[[BucketKey, Bucket], "tuple[Bucket | None, Counts]"]


class History(ABC):
    """The history part of interface.Store, over the bucket operations of an adapter.

    ``dry``: the store was opened for reading only; then appends and ``compact`` say what they would do, and do nothing.
    """

    dry = False

    # -- what an adapter does -----------------------------------------------------------------------------------------
    @abstractmethod
    def _identify(self, keys: Sequence[BucketKey]) -> dict[BucketKey, Hashable]:
        """The ids of buckets, whether these are there or not."""

    @abstractmethod
    def _load(self, table: str, ids: Sequence[Hashable]) -> dict[Hashable, Bucket]:
        """The buckets there are."""

    @abstractmethod
    def _save(self, table: str, buckets: Sequence[Bucket]) -> set[Hashable]:
        """Write each bucket if its version is the stored one (0: not there), as the next one; the ids that lost."""

    @abstractmethod
    def _scan(
        self, table: str, profiles: Sequence[str], first: int, last: int, tenant: str | None
    ) -> Iterator[tuple[BucketKey, bytes]]:
        """The buckets of some profiles and days (both included), sorted."""

    @abstractmethod
    def _aged(self, table: str, level: int, before: int, limit: int) -> list[Bucket]:
        """Some buckets of a level of days before one."""

    @abstractmethod
    def _count(self, table: str, levels: Sequence[int], before: int) -> int:
        """How many buckets of these levels are of days before one."""

    @abstractmethod
    def _remove(self, table: str, before: int) -> int:
        """Remove the buckets of days before one; how many there were."""

    @abstractmethod
    def _drop(self, table: str, profile: str) -> int:
        """Remove the buckets of a profile; how many there were."""

    @abstractmethod
    def _newest(self, table: str) -> int | None:
        """The newest day that has a bucket."""

    # -- writing ------------------------------------------------------------------------------------------------------
    def _apply(self, table: str, keys: Sequence[BucketKey], change: Change) -> Counts:
        """Change buckets until each has been written as it was read; what was done in all."""
        total = Counts()
        ids = self._identify(keys)
        pending = list(ids)
        for attempt in range(_ATTEMPTS):
            present = self._load(table, [ids[key] for key in pending])
            done: dict[Hashable, Counts] = {}
            written = []
            for key in pending:
                bucket, counts = change(key, present.get(ids[key]) or Bucket(ids[key]))
                done[ids[key]] = counts
                if bucket is not None:
                    written.append(bucket)
            lost = self._save(table, written) if written and not self.dry else set()
            for bucket_id, counts in done.items():
                if bucket_id not in lost:
                    total += counts
            pending = [key for key in pending if ids[key] in lost]
            if not pending:
                return total
            time.sleep(min(0.002 * attempt, 0.1))
        raise Conflict("other writers were always first", item=f"{table} of {pending[0].profile}", hint="run it again")

    def append_usage(self, batches: Iterable[UsageBatch]) -> Counts:
        """Merge samples into the history."""
        total = Counts()
        waiting: dict[BucketKey, list[Samples]] = {}
        for batch in batches:
            for day, samples in split_usage(batch):
                waiting.setdefault(BucketKey(batch.profile, batch.tenant, day), []).append(samples)
                if len(waiting) >= _FLUSH:
                    total += self._merge_usage(waiting)
                    waiting = {}
        return total.__iadd__(self._merge_usage(waiting)) if waiting else total

    def _merge_usage(self, waiting: dict[BucketKey, list[Samples]]) -> Counts:
        def change(key: BucketKey, bucket: Bucket) -> tuple[Bucket | None, Counts]:
            day = UsageDay(bucket.data)
            counts = Counts()
            for samples in waiting[key]:
                counts += day.merge(samples)
            return _written(bucket, day, counts), counts

        return self._apply(USAGE, list(waiting), change)

    def append_requests(self, batches: Iterable[RequestBatch]) -> Counts:
        """Merge requests into the history."""
        total = Counts()
        waiting: dict[BucketKey, list[Any]] = {}
        for batch in batches:
            for day, requests in split_requests(batch):
                waiting.setdefault(BucketKey(batch.profile, "", day), []).extend(requests)
                if len(waiting) >= _FLUSH:
                    total += self._merge_requests(waiting)
                    waiting = {}
        return total.__iadd__(self._merge_requests(waiting)) if waiting else total

    def _merge_requests(self, waiting: dict[BucketKey, list[Any]]) -> Counts:
        hours: dict[BucketKey, list[Any]] = {}

        def change(key: BucketKey, bucket: Bucket) -> tuple[Bucket | None, Counts]:
            day = RequestDay(bucket.data)
            counts, left = day.merge(waiting[key], WHOLE_DAY if key.part == 0 else None)
            for part in range(1, 25) if key.part == 0 else ():
                hours.pop(key._replace(part=part), None)  # of an attempt that lost
            for request in left:
                hours.setdefault(key._replace(part=1 + request.time * 24 // DAY), []).append(request)
            return _written(bucket, day, counts), counts

        total = self._apply(REQUESTS, list(waiting), change)
        return total.__iadd__(self._merge_requests(hours)) if hours else total

    # -- reading ------------------------------------------------------------------------------------------------------
    def _series(
        self, table: str, profiles: Iterable[str], start: int, end: int, tenant: str | None
    ) -> Iterator[tuple[BucketKey, list[tuple[int, bytes]]]]:
        """``(key of the series, [(day, bytes)])``, sorted."""
        names = sorted(set(profiles))
        for begin in range(0, len(names), _PROFILES):
            series, days = None, []
            scanned = self._scan(table, names[begin : begin + _PROFILES], start // DAY, (end - 1) // DAY, tenant)
            for key, data in scanned:
                if series is not None and key[:2] != series[:2]:
                    yield series, days
                    days = []
                series = key
                days.append((key.day, data))
            if series is not None:
                yield series, days

    def read_usage(
        self,
        profiles: Iterable[str],
        start: datetime,
        end: datetime,
        *,
        tenant: str | None = None,
        metrics: Sequence[str] = METRICS,
    ) -> Iterator[UsageBatch]:
        """The series of ``profiles`` with samples in [start, end), sorted."""
        first, last = to_milliseconds(start), to_milliseconds(end)
        for key, days in self._series(USAGE, profiles, first, last, tenant):
            batch = UsageBatch(key.profile, key.tenant)
            for day, data in days:
                join_usage(batch, UsageDay(data), day, first, last, metrics)
            if batch.times:
                for missing in [metric for metric in batch.values if _unknown(batch.values[metric])]:
                    del batch.values[missing], batch.peaks[missing]
                yield batch

    def read_requests(
        self, profiles: Iterable[str], start: datetime, end: datetime, *, newest: int | None = None
    ) -> Iterator[RequestBatch]:
        """The requests of ``profiles`` in [start, end), sorted."""
        first, last = to_milliseconds(start), to_milliseconds(end)
        for key, days in self._series(REQUESTS, profiles, first, last, None):
            batch = join_requests(key.profile, days, first, last, newest)
            if batch.times:
                yield batch

    # -- age ----------------------------------------------------------------------------------------------------------
    def newest(self) -> datetime | None:
        """The start of the day after the newest one that has history."""
        days = [day for day in (self._newest(USAGE), self._newest(REQUESTS)) if day is not None]
        return from_milliseconds((max(days) + 1) * DAY) if days else None

    def delete_history(self, profile: str) -> int:
        """Remove all usage and requests of a profile."""
        return self._drop(USAGE, profile) + self._drop(REQUESTS, profile)

    def compact(self, hourly_before: datetime, usage_before: datetime, requests_before: datetime) -> dict[str, int]:
        """Downsample whole days before ``hourly_before``, remove older usage and requests."""
        before, first, first_request = (
            to_milliseconds(moment) // DAY for moment in (hourly_before, usage_before, requests_before)
        )
        if self.dry:
            removed = self._count(USAGE, (0, 1), first) + self._count(REQUESTS, (0, 1), first_request)
            raw = self._count(USAGE, (1,), before) - self._count(USAGE, (1,), min(first, before))
            return {"downsampled": raw, "removed": removed}
        removed = self._remove(USAGE, first) + self._remove(REQUESTS, first_request)
        downsampled = 0
        while buckets := self._aged(USAGE, 1, before, _FLUSH):
            for bucket in buckets:
                day = UsageDay(bucket.data)
                day.fold()
                bucket.data, bucket.level = day.encode(), day.level
            downsampled += len(buckets) - len(self._save(USAGE, buckets))
        return {"downsampled": downsampled, "removed": removed}


def _unknown(column: array[float]) -> bool:
    return all(map(math.isnan, column))


def _written(bucket: Bucket, day: UsageDay | RequestDay, counts: Counts) -> Bucket | None:
    """The bucket to write, or None when nothing is new."""
    return Bucket(bucket.id, bucket.version, day.encode(), day.level) if counts.changed else None
