# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of an SQLite store as they are, for backups."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

from .documents import KINDS
from .history import REQUESTS, USAGE, BucketKey
from .sqlite_connection import Row, sql
from .sqlite_history import SQLiteHistory

_CHUNK = 500


class SQLiteRows(SQLiteHistory):
    """interface.Store's backup part. Table names are our own words."""

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read within is of one moment."""
        with self.connection.snapshot():
            yield

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        """All rows of a table, sorted by key."""
        if table in (USAGE, REQUESTS):
            names = [row[0] for row in self.connection.read("SELECT DISTINCT profile FROM series ORDER BY profile")]
            for number, profile, tenant in self._series_of(names):
                yield from self._buckets(table, number, profile, tenant)
            return
        columns = "key, dtype, shape, data" if table == "arrays" else "key, version, schema, body"
        select = sql("SELECT {columns} FROM {t} WHERE key > ? ORDER BY key LIMIT ?", table).replace(
            "{columns}", columns
        )
        last = ""
        while found := self.connection.read(select, (last, _CHUNK)):
            for row in found:
                named = dict(zip(columns.split(", "), row))
                yield {**named, "shape": json.loads(named["shape"])} if table == "arrays" else named
            last = found[-1][0]

    def _series_of(self, names: list[str]) -> Iterator[Row]:
        select = "SELECT id, profile, tenant FROM series WHERE profile = ? ORDER BY tenant"
        for name in names:
            yield from self.connection.read(select, (name,))

    def _buckets(self, table: str, number: int, profile: str, tenant: str) -> Iterator[dict[str, Any]]:
        select = sql("SELECT id, day, level, version, data FROM {t} WHERE id BETWEEN ? AND ? ORDER BY id", table)
        for row in self.connection.read(select, self._span(number)):
            key = {"profile": profile, "tenant": tenant, "day": row[1], "part": self._part(row[0])}
            yield {**key, "level": row[2], "version": row[3], "data": row[4]}

    def put_rows(self, table: str, rows: Iterable[dict[str, Any]]) -> int:
        """Write rows as ``rows`` gave them, over those that are there; how many there were."""
        count = 0
        left = iter(rows)
        while part := list(islice(left, _CHUNK)):
            values, marks = self._values(table, part)
            with self.connection.transaction() as opened:
                opened.executemany(
                    sql("INSERT OR REPLACE INTO {t} VALUES ({marks})", table).replace("{marks}", marks), values
                )
            count += len(part)
        return count

    def _values(self, table: str, rows: list[dict[str, Any]]) -> tuple[list[tuple[Any, ...]], str]:
        if table in KINDS:
            return [(row["key"], row["version"], row["schema"], row["body"]) for row in rows], "?, ?, ?, ?"
        if table == "arrays":
            return [(row["key"], row["dtype"], json.dumps(row["shape"]), row["data"]) for row in rows], "?, ?, ?, ?"
        keys = [BucketKey(row["profile"], row["tenant"], row["day"], row["part"]) for row in rows]
        ids = self._identify(keys)
        values = [(ids[key], key.day, row["level"], row["version"], row["data"]) for key, row in zip(keys, rows)]
        return values, "?, ?, ?, ?, ?"
