# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one interface of the store, which both adapters (SQLite, MongoDB) keep alike.

Documents are plain dicts of str, int (64 bits), float (finite), bool, None, list, dict and aware datetimes (UTC, cut to
milliseconds). Each has ``key`` (str), ``version`` (int) and ``schema`` (int); documents.py says what else. A
version begins at a number that no earlier document of the key was at: who read that one cannot overwrite this one.
Only single-document atomic operations and optimistic versions: no transaction, no generic query language.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Protocol, Union

from .._core.errors import Conflict

Document = dict[str, Any]
Outcome = Union[Document, Conflict]

# cpu in cores, memory in bytes, io_read and io_write in bytes per second.
METRICS = ("cpu", "memory", "io_read", "io_write")


@dataclass(frozen=True)
class Array:
    """An array is bytes (C order, little-endian), a numpy dtype string (``<f4``) and a shape."""

    key: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes


@dataclass
class UsageBatch:
    """Usage samples of one series, in time order when read, in any order when appended.

    ``times`` are UTC seconds (float64, exact to the millisecond); each array of ``values`` is as long as ``times``
    and holds NaN where the metric is missing; a metric that is missing throughout is left out. ``peaks`` has the same
    shape: the maximum of the hour where the history was downsampled to hourly means, equal to ``values`` elsewhere
    (filled by ``read_usage``, ignored by ``append_usage``). The arrays are ``array('d')``:
    ``numpy.frombuffer(a)`` costs nothing. ``tenant`` is "" when the history is about the workload as a whole.
    """

    profile: str
    tenant: str = ""
    times: array[float] = field(default_factory=lambda: array("d"))
    values: dict[str, array[float]] = field(default_factory=dict)
    peaks: dict[str, array[float]] = field(default_factory=dict)


@dataclass
class RequestBatch:
    """Requests of one profile, in time order when read, in any order when appended.

    ``times`` are UTC seconds (float64, exact to the millisecond). ``ids`` and ``parameters`` are as long as ``times``,
    or empty when appended without any; an id is "" where the request had none. Two requests are the same when their
    profile and id are the same, or, without an id, their profile, time and parameters.
    """

    profile: str
    times: array[float] = field(default_factory=lambda: array("d"))
    ids: list[str] = field(default_factory=list)
    parameters: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Counts:
    """What an append did, in samples or requests: ``new`` ones, the ``same`` as before, ``replaced`` values, and
    ``late`` ones that were left out because their hour is already downsampled."""

    new: int = 0
    same: int = 0
    replaced: int = 0
    late: int = 0

    @property
    def changed(self) -> bool:
        """Whether the history is another one now."""
        return bool(self.new or self.replaced)

    def __iadd__(self, other: Counts) -> Counts:
        self.new += other.new
        self.same += other.same
        self.replaced += other.replaced
        self.late += other.late
        return self


class Store(Protocol):
    """What both adapters do, alike. Errors: InputError (a value no store may hold), Conflict (another writer was
    first), StoreUnavailable (not reached within the timeout; a write may or may not have been done),
    StoreError (all else). A store that was opened for reading only refuses to write, except that ``append_usage``,
    ``append_requests`` and ``compact`` then say what they would do, and do nothing: check mode needs their answer."""

    # -- documents ----------------------------------------------------------------------------------------------------
    def get(self, kind: str, key: str) -> Document | None:
        """The document, or None."""

    def get_many(self, kind: str, keys: Iterable[str]) -> dict[str, Document]:
        """The documents there are, by key; one call for thousands."""

    def find(
        self,
        kind: str,
        where: Mapping[str, Any] | None = None,
        *,
        after: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Document]:
        """Documents whose fields equal ``where``, sorted by key (code points), those after the key ``after`` only.

        Only fields that documents.INDEXED declares for the kind can be asked for; None matches null and absent. It
        reads in pages, so memory stays bounded however many there are; each document is whole, but the pages are of
        different moments.
        """

    def keys(self, kind: str, where: Mapping[str, Any] | None = None) -> list[str]:
        """The sorted keys that ``find`` would give, without the documents."""

    def insert(self, kind: str, document: Mapping[str, Any]) -> Document:
        """Add a document; returns it with its first version. Raises Conflict when the key exists."""

    def update(self, kind: str, document: Mapping[str, Any]) -> Document:
        """Replace a document if ``document["version"]`` is still the stored one; returns it with version + 1.
        Raises Conflict when it is not, or when the document is gone."""

    def put_many(self, kind: str, documents: Iterable[Mapping[str, Any]]) -> list[Outcome]:
        """Insert the documents without a version, update those with one, each atomically by itself, fast.

        Returns, in order, the stored document or the Conflict of each: a conflict stops no other.
        """

    def delete(self, kind: str, key: str, version: int | None = None) -> bool:
        """Remove a document; returns whether it was there. With ``version``: raises Conflict when it is another one."""

    def delete_many(self, kind: str, keys: Iterable[str]) -> int:
        """Remove documents, each atomically by itself; returns how many there were."""

    def increment(self, kind: str, key: str, field: str, by: float = 1, *, create: bool = False) -> float:
        """Add ``by`` to a top-level number (absent = 0) atomically, version + 1; returns the sum (int for ints).

        Raises StoreError when the document is absent, unless ``create``: then it is made.
        """

    # -- leases -------------------------------------------------------------------------------------------------------
    def acquire(self, lease: str, owner: str, seconds: float, now: datetime) -> bool:
        """Take or renew a lease until ``now + seconds``. False while another owner's has not expired."""

    def release(self, lease: str, owner: str) -> bool:
        """Give a lease back; returns whether ``owner`` had it."""

    # -- arrays -------------------------------------------------------------------------------------------------------
    def put_arrays(self, arrays: Iterable[Array]) -> None:
        """Write or replace arrays; each is replaced as a whole, so no reader sees half of one."""

    def get_arrays(self, keys: Iterable[str]) -> dict[str, Array]:
        """The arrays there are, by key; one call for thousands."""

    def delete_arrays(self, keys: Iterable[str]) -> int:
        """Remove arrays; returns how many there were."""

    # -- history ------------------------------------------------------------------------------------------------------
    def append_usage(self, batches: Iterable[UsageBatch]) -> Counts:
        """Merge samples into the history; the same ones again change nothing, another value at the same time replaces
        the old one, a metric that was missing is filled in. Each day of a series is written atomically."""

    def read_usage(
        self,
        profiles: Iterable[str],
        start: datetime,
        end: datetime,
        *,
        tenant: str | None = None,
        metrics: Sequence[str] = METRICS,
    ) -> Iterator[UsageBatch]:
        """The series of ``profiles`` with samples in [start, end), sorted by (profile, tenant), a bounded number of
        them in memory at a time; one call for thousands of profiles. ``tenant``: only that one
        ("" = the whole workload)."""

    def append_requests(self, batches: Iterable[RequestBatch]) -> Counts:
        """Merge requests into the history; the same request again changes nothing."""

    def read_requests(
        self, profiles: Iterable[str], start: datetime, end: datetime, *, newest: int | None = None
    ) -> Iterator[RequestBatch]:
        """The requests of ``profiles`` in [start, end), sorted by profile, of each only the ``newest`` ones if given;
        a profile without any is left out."""

    def newest(self) -> datetime | None:
        """The time of the newest sample or request in the history, to the day: the start of the following day (UTC)."""

    def delete_history(self, profile: str) -> int:
        """Remove all usage and requests of a profile; returns the number of days that held any."""

    def compact(self, hourly_before: datetime, usage_before: datetime, requests_before: datetime) -> dict[str, int]:
        """Downsample whole days before ``hourly_before`` to hourly means and maxima, remove older usage and requests.

        Returns ``{"downsampled": days, "removed": days}`` over all series. Safe to run beside other writers.
        """

    # -- backups (backup.py) ------------------------------------------------------------------------------------------
    def snapshot(self) -> AbstractContextManager[None]:
        """What is read within is of one moment (SQLite), or of the moments at which it is read (MongoDB)."""

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        """All rows of a kind of documents, of ``arrays``, ``usage`` or ``requests``, as they are, sorted by key."""

    def put_rows(self, table: str, rows: Iterable[dict[str, Any]]) -> int:
        """Write rows as ``rows`` gave them, over those that are there; how many there were."""

    # -- life ---------------------------------------------------------------------------------------------------------
    def close(self) -> None:
        """Give the connection back. The store cannot be used afterwards."""

    def __enter__(self) -> Store:
        """The store itself."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the store."""
