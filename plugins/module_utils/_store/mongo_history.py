# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The history buckets of the MongoDB store."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

from .history import Bucket, BucketKey, History
from .mongo_connection import Connection
from .mongo_stream import Stream
from .mongo_writes import apply_all, change, insertion, new_token
from .values import first_version

_LOAD = 500


def bucket_name(key: BucketKey) -> str:
    """The id of a bucket."""
    # "/" sorts before all characters of names, so these texts sort as the keys do.
    return f"{key.profile}/{key.tenant}/{key.day:06d}/{key.part:02d}"


def bucket_key(name: str) -> BucketKey:
    """The inverse of ``bucket_name``."""
    profile, tenant, day, part = name.split("/")
    return BucketKey(profile, tenant, int(day), int(part))


class MongoHistory(History):
    """Buckets as documents: p profile, t tenant, d day, l level, v version, b bytes, w tokens."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.dry = connection.read_only

    def _rows(self, collection: str, wanted: dict[str, Any], limit: int = 0) -> list[dict[str, Any]]:
        """Rows sorted by key, without their tokens."""

        def ask(database: Any) -> list[dict[str, Any]]:
            return list(database[collection].find(wanted, {"w": 0}).sort("_id", 1).limit(limit))

        return self.connection.run(ask)

    def _identify(self, keys: Sequence[BucketKey]) -> dict[BucketKey, Hashable]:
        return {key: bucket_name(key) for key in keys}

    def _load(self, table: str, ids: Sequence[Hashable]) -> dict[Hashable, Bucket]:
        found: dict[Hashable, Bucket] = {}
        for begin in range(0, len(ids), _LOAD):
            wanted = {"_id": {"$in": list(ids[begin : begin + _LOAD])}}
            for row in self._rows(table, wanted):
                found[row["_id"]] = Bucket(row["_id"], row["v"], row["b"], row["l"])
        return found

    def _save(self, table: str, buckets: Sequence[Bucket]) -> set[Hashable]:
        token = new_token()
        operations = {}
        for bucket in buckets:
            name = str(bucket.id)
            fields = {"l": bucket.level, "b": bucket.data}
            if bucket.version:
                operations[name] = change(name, bucket.version, "v", fields, token)
            else:
                key = bucket_key(name)
                where = {"p": key.profile, "t": key.tenant, "d": key.day}
                operations[name] = insertion(name, {**where, "v": first_version(), **fields}, token)
        done = self.connection.write(lambda database: apply_all(database[table], operations, token))
        return {bucket.id for bucket in buckets if bucket.id not in done}

    def _scan(
        self, table: str, profiles: Sequence[str], first: int, last: int, tenant: str | None
    ) -> Iterator[tuple[BucketKey, bytes]]:
        wanted: dict[str, Any] = {"p": {"$in": list(profiles)}, "d": {"$gte": first, "$lte": last}}
        if tenant is not None:
            wanted["t"] = tenant
        for row in Stream(self.connection, table, wanted, {"b": 1}).rows():
            yield bucket_key(row["_id"]), row["b"]

    def _aged(self, table: str, level: int, before: int, limit: int) -> list[Bucket]:
        rows = self._rows(table, {"l": level, "d": {"$lt": before}}, limit)
        return [Bucket(row["_id"], row["v"], row["b"], row["l"]) for row in rows]

    def _count(self, table: str, levels: Sequence[int], before: int) -> int:
        wanted = {"l": {"$in": list(levels)}, "d": {"$lt": before}}
        return int(self.connection.run(lambda database: database[table].count_documents(wanted)))

    def _remove(self, table: str, before: int) -> int:
        wanted = {"l": {"$in": [0, 1]}, "d": {"$lt": before}}
        return int(self.connection.write(lambda database: database[table].delete_many(wanted).deleted_count))

    def _drop(self, table: str, profile: str) -> int:
        return int(self.connection.write(lambda database: database[table].delete_many({"p": profile}).deleted_count))

    def _newest(self, table: str) -> int | None:
        def ask(database: Any) -> list[dict[str, Any]]:
            rows = []
            for level in (0, 1):
                rows += list(database[table].find({"l": level}, {"d": 1}).sort("d", -1).limit(1))
            return rows

        return max((int(row["d"]) for row in self.connection.run(ask)), default=None)
