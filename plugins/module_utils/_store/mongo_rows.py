# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of a MongoDB store as they are, for backups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any

from .documents import KINDS
from .history import REQUESTS, USAGE, BucketKey
from .mongo_history import MongoHistory, bucket_key, bucket_name
from .mongo_schema import from_row, to_fields
from .mongo_stream import Stream
from .mongo_writes import replacement
from .values import decode, encode

_CHUNK = 500


class MongoRows(MongoHistory):
    """interface.Store's backup part."""

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Each row is whole; rows are of the moments at which they are read."""
        yield

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        """All rows of a table, sorted by key."""
        for row in Stream(self.connection, table, {}, {"w": 0}).rows():
            if table in (USAGE, REQUESTS):
                yield {**bucket_key(row["_id"])._asdict(), "level": row["l"], "version": row["v"], "data": row["b"]}
            elif table in KINDS:
                document = from_row(row)
                head = {name: document.pop(name) for name in ("key", "version", "schema")}
                yield {**head, "body": encode(document, f"{table}/{row['_id']}")}
            else:
                yield {"key": row["_id"], "dtype": row["dtype"], "shape": row["shape"], "data": row["data"]}

    def put_rows(self, table: str, rows: Iterable[dict[str, Any]]) -> int:
        """Write rows as ``rows`` gave them, over those that are there; how many there were."""
        count = 0
        left = iter(rows)
        while part := list(islice(left, _CHUNK)):
            self.connection.write(partial(_send, table, [_operation(table, row) for row in part]))
            count += len(part)
        return count


def _send(table: str, operations: list[Any], database: Any) -> None:
    database[table].bulk_write(operations, ordered=False)


def _operation(table: str, row: dict[str, Any]) -> Any:
    if table in KINDS:
        fields = to_fields({"key": row["key"], **decode(row["body"])})
        return replacement(row["key"], {**fields, "schema": row["schema"], "version": row["version"], "w": []})
    if table in (USAGE, REQUESTS):
        key = BucketKey(row["profile"], row["tenant"], row["day"], row["part"])
        where = {"p": key.profile, "t": key.tenant, "d": key.day}
        return replacement(
            bucket_name(key), {**where, "l": row["level"], "v": row["version"], "b": row["data"], "w": []}
        )
    return replacement(row["key"], {"dtype": row["dtype"], "shape": row["shape"], "data": row["data"]})
