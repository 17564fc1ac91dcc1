# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection to an SQLite store: opened safely beside other processes, never carried over fork.

Why it looks like this, all met in practice: a deferred BEGIN fails at once with "database is locked" when several
processes write, so every write begins IMMEDIATE; the first switch to WAL is not covered by the busy timeout, so it is
tried again; a connection that a child of fork closes can break its parent's locks, so a child leaves it alone and opens
its own.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .._core.errors import StoreError, StoreUnavailable
from . import documents
from .sqlite_schema import check, migrate
from .uri import SQLiteLocation

Row = Sequence[Any]
_MEMORY = ":memory:"  # what a reader of a store has that is not there yet: an empty one
_ROOM = "make room on the disk, or look into the system's log if it has room; nothing was half-written"
_ACCESS = "check that it is a file, that its folder exists and that this user may write there"

# What a child of fork inherited. It is kept, unused: closing it, as a garbage collection would, is what does harm.
_inherited: list[sqlite3.Connection] = []


def _reason(error: sqlite3.Error) -> str:
    text = str(error)
    if "locked" in text or "busy" in text:
        return "raise timeout= in the URI, or find out who holds the file for so long"
    if "full" in text or "disk I/O" in text:
        return _ROOM
    if "not a database" in text or "malformed" in text:
        return "the file is damaged or not a store; restore it from a backup"
    if "unable to open" in text or "readonly" in text or "read-only" in text:
        return _ACCESS
    return ""


def sql(template: str, table: str) -> str:
    """A statement with the name of a table, one of our own words, for ``{t}``; values never come in this way."""
    return template.replace("{t}", table)


@contextmanager
def _immediate(opened: sqlite3.Connection) -> Iterator[None]:
    opened.execute("BEGIN IMMEDIATE")
    try:
        yield
        opened.execute("COMMIT")
    except BaseException:
        if opened.in_transaction:  # SQLite ends it by itself where the disk is full or broken
            opened.execute("ROLLBACK")
        raise


class Connection:
    """One SQLite file in one process. ``read_only``: nothing is created, migrated or written."""

    def __init__(self, location: SQLiteLocation, *, read_only: bool = False) -> None:
        self.location = location
        self.read_only = read_only
        self._pid = os.getpid()
        self._open: sqlite3.Connection | None = None
        self._closed = False
        with self._errors():
            self._connect()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StoreUnavailable(str(error), item=self.location.path, hint=_reason(error)) from error
        except (sqlite3.Error, OverflowError) as error:
            hint = _reason(error) if isinstance(error, sqlite3.Error) else ""
            raise StoreError(str(error), item=self.location.path, hint=hint) from error
        except OSError as error:
            hint = _ROOM if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else _ACCESS
            text = f"the file cannot be opened: {error.strerror}"
            raise StoreUnavailable(text, item=self.location.path, hint=hint) from error

    def _connect(self) -> sqlite3.Connection:
        absent = not os.path.exists(self.location.path)
        if absent and not self.read_only:
            os.makedirs(os.path.dirname(self.location.path), mode=0o700, exist_ok=True)
            os.close(os.open(self.location.path, os.O_RDWR | os.O_CREAT, 0o600))
        opened = self._connected(_MEMORY if absent and self.read_only else self.location.path)
        self._open, self._pid = opened, os.getpid()
        return opened

    def _connected(self, path: str) -> sqlite3.Connection:
        opened = sqlite3.connect(path, timeout=self.location.timeout, isolation_level=None)
        try:
            # EXTRA: what was acknowledged survives a power cut in both journal modes.
            opened.execute("PRAGMA synchronous=EXTRA")
            opened.execute("PRAGMA cache_size=-16384")
            version = check(opened, self.location.path)
            if path == _MEMORY or not self.read_only:
                self._prepare(opened, version)
            elif not version:  # another process has made the file, and not its tables yet
                opened.close()
                return self._connected(_MEMORY)
            if self.read_only:
                opened.execute("PRAGMA query_only=ON")
        except BaseException:
            opened.close()
            raise
        return opened

    def _prepare(self, opened: sqlite3.Connection, version: int) -> None:
        self._journal(opened, self.location.journal or ("" if version else "wal"))
        if version == documents.SCHEMA:
            return
        with _immediate(opened):
            # Another process may have been faster; then the statements find everything there.
            migrate(opened, check(opened, self.location.path))

    def _journal(self, opened: sqlite3.Connection, wanted: str) -> None:
        deadline = time.monotonic() + self.location.timeout
        while wanted and opened.execute("PRAGMA journal_mode").fetchone()[0] not in (wanted, "memory"):
            if self._switch(opened, wanted, last=time.monotonic() > deadline):
                return
            time.sleep(0.005 + os.getpid() % 16 * 0.003)  # not all at once

    def _switch(self, opened: sqlite3.Connection, wanted: str, *, last: bool) -> bool:
        try:
            present = opened.execute(f"PRAGMA journal_mode={wanted}").fetchone()[0]
        except sqlite3.OperationalError as error:
            if last or "locked" not in str(error):
                raise
            return False
        if present != wanted:
            raise StoreError(
                f"the file system does not do journal={wanted}",
                item=self.location.path,
                hint="use journal=delete, or a local file system",
            )
        return True

    def connection(self) -> sqlite3.Connection:
        """The connection of this process; a child of fork gets its own."""
        if self._closed:
            raise StoreError("the store is closed", item=self.location.path)
        if self._open is not None and self._pid == os.getpid():
            return self._open
        if self._open is not None:
            _inherited.append(self._open)
            self._open = None
        return self._connect()

    def read(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        """All rows of one SELECT, of one moment."""
        with self._errors():
            return self.connection().execute(statement, values).fetchall()

    def read_many(self, statement: str, keys: Iterable[Any], size: int = 500) -> Iterator[Row]:
        """The rows of a SELECT with ``{marks}`` for some of the keys at a time."""
        every = list(keys)
        for begin in range(0, len(every), size):
            part = every[begin : begin + size]
            yield from self.read(statement.replace("{marks}", ",".join("?" * len(part))), part)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: everything in it is done and on the disk when it ends, or nothing is."""
        if self.read_only:
            raise StoreError("the store was opened for reading only", item=self.location.path)
        with self._errors():
            opened = self.connection()
            with _immediate(opened):
                yield opened

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All reads within see the same moment. Without WAL, writers wait for its end."""
        with self._errors():
            opened = self.connection()
            opened.execute("BEGIN")
            try:
                yield
            finally:
                if opened.in_transaction:
                    opened.execute("ROLLBACK")

    def close(self) -> None:
        """Close it, if this process opened it."""
        if self._open is not None and self._pid == os.getpid():
            self._open.close()
            self._open = None
        self._closed = True
