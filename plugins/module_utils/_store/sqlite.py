# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded store: documents, leases and arrays in one SQLite file, by the standard library alone."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any

from .._core.errors import Conflict, InputError, StoreError
from . import documents
from .documents import check_kind, check_where, upgrade
from .interface import Array, Document, Outcome
from .sqlite_connection import Connection, Row, sql
from .sqlite_rows import SQLiteRows
from .uri import SQLiteLocation
from .values import check_number, check_size, clean_document, clean_key, decode, encode, first_version

_PAGE = 500
_CHUNK = 1000  # documents in one transaction of put_many, so that other writers get their turn


def _document(kind: str, row: Row) -> Document:
    key, version, schema, body = row
    document = {"key": key, "version": version, "schema": schema, **decode(body)}
    return document if schema == documents.SCHEMA else upgrade(kind, document)


class SQLiteStore(SQLiteRows):
    """interface.Store over one file. Table and field names in statements are our own words, never input."""

    def __init__(self, location: SQLiteLocation, *, read_only: bool = False) -> None:
        super().__init__(Connection(location, read_only=read_only))

    # -- documents ----------------------------------------------------------------------------------------------------
    def get(self, kind: str, key: str) -> Document | None:
        """The document, or None."""
        check_kind(kind)
        rows = self.connection.read(sql("SELECT key, version, schema, body FROM {t} WHERE key = ?", kind), (key,))
        return _document(kind, rows[0]) if rows else None

    def get_many(self, kind: str, keys: Iterable[str]) -> dict[str, Document]:
        """The documents there are, by key."""
        check_kind(kind)
        select = sql("SELECT key, version, schema, body FROM {t} WHERE key IN ({marks})", kind)
        return {row[0]: _document(kind, row) for row in self.connection.read_many(select, keys)}

    def _pages(
        self, columns: str, kind: str, where: Mapping[str, Any] | None, after: str | None, size: int
    ) -> Iterator[list[Row]]:
        values = check_where(kind, where)
        conditions = "".join(f" AND json_extract(body, '$.{name}') IS ?" for name in values)
        template = sql("SELECT {columns} FROM {t} WHERE key > ?{conditions} ORDER BY key LIMIT ?", kind)
        select = template.replace("{columns}", columns).replace("{conditions}", conditions)
        last = after or ""
        while rows := self.connection.read(select, (last, *values.values(), size)):
            yield rows
            if len(rows) < size:
                return
            last = rows[-1][0]

    def find(
        self,
        kind: str,
        where: Mapping[str, Any] | None = None,
        *,
        after: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Document]:
        """Documents whose fields equal ``where``, sorted by key, in bounded memory."""
        check_where(kind, where)
        size = _PAGE if limit is None else max(0, min(_PAGE, limit))
        left = limit
        for rows in self._pages("key, version, schema, body", kind, where, after, size) if size else ():
            for row in rows[:left]:
                yield _document(kind, row)
            left = None if left is None else left - len(rows)
            if left is not None and left <= 0:
                return

    def keys(self, kind: str, where: Mapping[str, Any] | None = None) -> list[str]:
        """The sorted keys that ``find`` would give."""
        return [row[0] for rows in self._pages("key", kind, where, None, 10_000) for row in rows]

    def insert(self, kind: str, document: Mapping[str, Any]) -> Document:
        """Add a document; raises Conflict when the key exists."""
        return self._put_one(kind, {name: item for name, item in document.items() if name != "version"})

    def update(self, kind: str, document: Mapping[str, Any]) -> Document:
        """Replace a document of the same version; raises Conflict when it is another one."""
        if document.get("version") is None:
            raise InputError("an update needs the version that was read", item=f"{kind}/{document.get('key')}")
        return self._put_one(kind, document)

    def _put_one(self, kind: str, document: Mapping[str, Any]) -> Document:
        outcome = self.put_many(kind, [document])[0]
        if isinstance(outcome, Conflict):
            raise outcome
        return outcome

    def put_many(self, kind: str, documents: Iterable[Mapping[str, Any]]) -> list[Outcome]:
        """Insert those without a version, update those with one, each by itself."""
        check_kind(kind)
        cleaned = []
        for document in documents:
            key, version, fields = clean_document(kind, document)
            cleaned.append((key, version, fields, encode(fields, f"{kind}/{key}")))
        outcomes: list[Outcome] = []
        for begin in range(0, len(cleaned), _CHUNK):
            with self.connection.transaction() as opened:
                done = [_put(opened, kind, *entry) for entry in cleaned[begin : begin + _CHUNK]]
            outcomes += done
        return outcomes

    def delete(self, kind: str, key: str, version: int | None = None) -> bool:
        """Remove a document; with ``version`` raises Conflict when it is another one."""
        check_kind(kind)
        with self.connection.transaction() as opened:
            row = opened.execute(sql("SELECT version FROM {t} WHERE key = ?", kind), (key,)).fetchone()
            if row is None:
                return False
            if version is not None and row[0] != version:
                raise _conflict(kind, key, version, row[0])
            opened.execute(sql("DELETE FROM {t} WHERE key = ?", kind), (key,))
        return True

    def delete_many(self, kind: str, keys: Iterable[str]) -> int:
        """Remove documents; returns how many there were."""
        check_kind(kind)
        return self._remove_keys(kind, keys)

    def increment(self, kind: str, key: str, field: str, by: float = 1, *, create: bool = False) -> float:
        """Add ``by`` to a top-level number atomically."""
        check_kind(kind)
        check_number(by, f"{kind}/{clean_key(key, kind)}.{field}")
        with self.connection.transaction() as opened:
            row = opened.execute(sql("SELECT version, body FROM {t} WHERE key = ?", kind), (key,)).fetchone()
            if row is None and not create:
                raise StoreError("there is no such document", item=f"{kind}/{key}")
            version, fields = (row[0], decode(row[1])) if row else (None, {})
            number = fields.get(field, 0)
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                raise StoreError(f"the field {field!r} is no number", item=f"{kind}/{key}")
            document = {"key": key, "version": version, **fields, field: number + by}
            key, version, fields = clean_document(kind, document)
            _put(opened, kind, key, version, fields, encode(fields, f"{kind}/{key}"))
        total: float = fields[field]
        return total

    # -- leases -------------------------------------------------------------------------------------------------------
    def acquire(self, lease: str, owner: str, seconds: float, now: datetime) -> bool:
        """Take or renew a lease until ``now + seconds``."""
        document = {"key": lease, "owner": owner, "expires_at": now + timedelta(seconds=seconds)}
        key, _none, fields = clean_document("leases", document)
        body = encode(fields, f"leases/{key}")
        with self.connection.transaction() as opened:
            row = opened.execute("SELECT version, body FROM leases WHERE key = ?", (key,)).fetchone()
            held = decode(row[1]) if row else None
            if held and held["owner"] != owner and held["expires_at"] > now:
                return False
            _put(opened, "leases", key, row[0] if row else None, fields, body)
        return True

    def release(self, lease: str, owner: str) -> bool:
        """Give a lease back; returns whether ``owner`` had it."""
        with self.connection.transaction() as opened:
            statement = "DELETE FROM leases WHERE key = ? AND json_extract(body, '$.owner') IS ?"
            return opened.execute(statement, (lease, owner)).rowcount > 0

    # -- arrays -------------------------------------------------------------------------------------------------------
    def put_arrays(self, arrays: Iterable[Array]) -> None:
        """Write or replace arrays, each as a whole."""
        rows = []
        for item in arrays:
            check_size(len(item.data), f"array {item.key}")
            shape = json.dumps([int(size) for size in item.shape])
            rows.append((clean_key(item.key, "arrays"), item.dtype, shape, item.data))
        for begin in range(0, len(rows), _CHUNK):
            with self.connection.transaction() as opened:
                opened.executemany("INSERT OR REPLACE INTO arrays VALUES (?, ?, ?, ?)", rows[begin : begin + _CHUNK])

    def get_arrays(self, keys: Iterable[str]) -> dict[str, Array]:
        """The arrays there are, by key."""
        select = "SELECT key, dtype, shape, data FROM arrays WHERE key IN ({marks})"
        rows = self.connection.read_many(select, keys)
        return {key: Array(key, dtype, tuple(json.loads(shape)), data) for key, dtype, shape, data in rows}

    def delete_arrays(self, keys: Iterable[str]) -> int:
        """Remove arrays; returns how many there were."""
        return self._remove_keys("arrays", keys)

    def _remove_keys(self, table: str, keys: Iterable[str]) -> int:
        statement = sql("DELETE FROM {t} WHERE key = ?", table)
        with self.connection.transaction() as opened:
            return sum(opened.execute(statement, (key,)).rowcount for key in keys)

    # -- life ---------------------------------------------------------------------------------------------------------
    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    def __enter__(self) -> SQLiteStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _conflict(kind: str, key: str, version: int | None, present: int | None) -> Conflict:
    if version is None:
        return Conflict("it exists already", item=f"{kind}/{key}")
    found = f"version {present} is there" if present else "it is gone"
    return Conflict(f"version {version} was to be changed, but {found}", item=f"{kind}/{key}")


def _put(
    opened: sqlite3.Connection, kind: str, key: str, version: int | None, fields: dict[str, Any], body: str
) -> Outcome:
    written = first_version() if version is None else version + 1
    if version is None:
        statement = sql("INSERT INTO {t} VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", kind)
        done = opened.execute(statement, (key, written, documents.SCHEMA, body)).rowcount
    else:
        statement = sql(
            "UPDATE {t} SET version = version + 1, schema = ?, body = ? WHERE key = ? AND version = ?", kind
        )
        done = opened.execute(statement, (documents.SCHEMA, body, key, version)).rowcount
    if done:
        return {"key": key, "version": written, "schema": documents.SCHEMA, **fields}
    row = opened.execute(sql("SELECT version FROM {t} WHERE key = ?", kind), (key,)).fetchone()
    return _conflict(kind, key, version, row[0] if row else None)
