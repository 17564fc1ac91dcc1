# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The history buckets of the SQLite store."""

from __future__ import annotations

import sqlite3
from collections.abc import Hashable, Iterator, Sequence

from .history import Bucket, BucketKey, History
from .sqlite_connection import Connection, sql
from .values import first_version

# id = series << 22 | day << 5 | part: days until the year 2328, parts 0-24.
_DAY, _SERIES = 5, 22


def _day(number: Hashable) -> int:
    return int(str(number)) >> _DAY & (1 << _SERIES - _DAY) - 1


def _put(opened: sqlite3.Connection, table: str, bucket: Bucket) -> int:
    """Write a bucket if its version is the stored one; how many rows were written."""
    insert = sql("INSERT INTO {t} VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", table)
    version = bucket.version + 1 if bucket.version else first_version()
    row = (bucket.id, _day(bucket.id), bucket.level, version, bucket.data)
    if not bucket.version:
        return opened.execute(insert, row).rowcount
    if bucket.level:
        update = sql("UPDATE {t} SET level = ?, version = version + 1, data = ? WHERE id = ? AND version = ?", table)
        return opened.execute(update, (bucket.level, bucket.data, bucket.id, bucket.version)).rowcount
    # What was downsampled is much smaller. An update would leave its page half empty for ever; a page from which a row
    # is deleted is merged with the next ones.
    removed = opened.execute(sql("DELETE FROM {t} WHERE id = ? AND version = ?", table), (bucket.id, bucket.version))
    return opened.execute(insert, row).rowcount if removed.rowcount else 0


def _number(series: int, day: int, part: int = 0) -> int:
    return series << _SERIES | day << _DAY | part


class SQLiteHistory(History):
    """Buckets in tables by an integer that sorts them by series, day and part. Table names are our own words."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.dry = connection.read_only
        self._known: dict[tuple[str, str], int] = {}

    def _identify(self, keys: Sequence[BucketKey]) -> dict[BucketKey, Hashable]:
        wanted = [names for names in dict.fromkeys(key[:2] for key in keys) if names not in self._known]
        select = "SELECT id FROM series WHERE profile = ? AND tenant = ?"
        if self.dry:
            for names in wanted:  # numbers that no series has
                rows = self.connection.read(select, names)
                self._known[names] = rows[0][0] if rows else -len(self._known) - 1
        elif wanted:
            with self.connection.transaction() as opened:
                opened.executemany("INSERT INTO series (profile, tenant) VALUES (?, ?) ON CONFLICT DO NOTHING", wanted)
                found = {names: opened.execute(select, names).fetchone()[0] for names in wanted}
            self._known.update(found)
        return {key: _number(self._known[key[:2]], key.day, key.part) for key in keys}

    def _load(self, table: str, ids: Sequence[Hashable]) -> dict[Hashable, Bucket]:
        rows = self.connection.read_many(sql("SELECT id, version, data FROM {t} WHERE id IN ({marks})", table), ids)
        return {row[0]: Bucket(row[0], row[1], row[2]) for row in rows}

    def _save(self, table: str, buckets: Sequence[Bucket]) -> set[Hashable]:
        with self.connection.transaction() as opened:
            return {bucket.id for bucket in buckets if not _put(opened, table, bucket)}

    def _scan(
        self, table: str, profiles: Sequence[str], first: int, last: int, tenant: str | None
    ) -> Iterator[tuple[BucketKey, bytes]]:
        wanted = "SELECT id, profile, tenant FROM series WHERE profile IN ({marks}) ORDER BY profile, tenant"
        series = [row for row in self.connection.read_many(wanted, profiles) if tenant is None or row[2] == tenant]
        select = sql("SELECT id, data FROM {t} WHERE id BETWEEN ? AND ? ORDER BY id", table)
        first, last = max(first, 0), min(last, (1 << _SERIES - _DAY) - 1)
        for number, profile, name in series:
            for row in self.connection.read(select, (_number(number, first), _number(number, last + 1) - 1)):
                yield BucketKey(profile, name, _day(row[0]), row[0] & (1 << _DAY) - 1), row[1]

    def _aged(self, table: str, level: int, before: int, limit: int) -> list[Bucket]:
        select = sql("SELECT id, version, data FROM {t} WHERE level = ? AND day < ? ORDER BY day LIMIT ?", table)
        return [Bucket(*row) for row in self.connection.read(select, (level, before, limit))]

    def _count(self, table: str, levels: Sequence[int], before: int) -> int:
        select = sql("SELECT count(*) FROM {t} WHERE level = ? AND day < ?", table)
        return sum(int(self.connection.read(select, (level, before))[0][0]) for level in levels)

    def _remove(self, table: str, before: int) -> int:
        statement = sql(
            "DELETE FROM {t} WHERE id IN (SELECT id FROM {t} WHERE level = ? AND day < ? LIMIT 5000)", table
        )
        removed = 0
        for level in (0, 1):
            while True:
                with self.connection.transaction() as opened:
                    done = opened.execute(statement, (level, before)).rowcount
                if not done:
                    break
                removed += done
        return removed

    def _drop(self, table: str, profile: str) -> int:
        delete = sql("DELETE FROM {t} WHERE id BETWEEN ? AND ?", table)
        removed = 0
        for (number,) in self.connection.read("SELECT id FROM series WHERE profile = ?", (profile,)):
            with self.connection.transaction() as opened:
                removed += opened.execute(delete, self._span(number)).rowcount
        return removed

    def _span(self, series: int) -> tuple[int, int]:
        """The first and the last id that buckets of a series can have."""
        return _number(series, 0), _number(series + 1, 0) - 1

    def _part(self, number: int) -> int:
        return number & (1 << _DAY) - 1

    def _newest(self, table: str) -> int | None:
        select = sql("SELECT max(day) FROM {t} WHERE level = ?", table)
        days = [self.connection.read(select, (level,))[0][0] for level in (0, 1)]
        return max((day for day in days if day is not None), default=None)
