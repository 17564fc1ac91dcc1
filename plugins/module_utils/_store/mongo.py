# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store of a site: documents, leases and arrays in MongoDB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any

try:
    from pymongo import ReturnDocument, errors
except ImportError:  # open_store() says so (libraries.require)
    pass

from .._core.errors import Conflict, InputError, StoreError, StoreUnavailable
from . import documents
from .documents import check_kind, check_where, upgrade
from .interface import Array, Document, Outcome
from .mongo_connection import Connection
from .mongo_rows import MongoRows
from .mongo_schema import from_row, prepare, to_fields
from .mongo_stream import Stream
from .mongo_writes import (
    addition,
    apply_all,
    change,
    insertion,
    new_token,
    raise_unless_duplicate,
    replacement,
    stamp,
    total_after,
)
from .values import check_number, check_size, clean_document, clean_key, escape, first_version

_CHUNK = 1000
_ARRAYS = 8 * 1024 * 1024  # bytes of arrays sent at once
_ARRAY = "arrays"


def _parts(keys: Iterable[str], size: int = _CHUNK) -> Iterator[list[str]]:
    every = list(keys)
    for begin in range(0, len(every), size):
        yield every[begin : begin + size]


def _delete(collection: str, wanted: Mapping[str, Any], database: Any) -> int:
    return int(database[collection].delete_many(wanted).deleted_count)


def _document(kind: str, row: dict[str, Any]) -> Document:
    document = from_row(row)
    return document if document["schema"] == documents.SCHEMA else upgrade(kind, document)


def _new(key: str, fields: dict[str, Any], token: int | str) -> dict[str, Any]:
    """The row of a document that is not there yet."""
    return {"_id": key, "version": first_version(), **to_fields({"key": key, **fields}), "w": [token]}


def _insert_new(collection: Any, row: dict[str, Any]) -> bool:
    """Whether the row could be inserted; not, where its key exists."""
    try:
        collection.insert_one(row)
    except errors.DuplicateKeyError:
        return False
    return True


class MongoStore(MongoRows):
    """interface.Store over one MongoDB database."""

    def __init__(self, uri: str, *, read_only: bool = False) -> None:
        super().__init__(Connection(uri, read_only=read_only))
        try:
            prepare(self.connection)
        except BaseException:
            self.connection.close()
            raise

    # -- documents ----------------------------------------------------------------------------------------------------
    def get(self, kind: str, key: str) -> Document | None:
        """The document, or None."""
        check_kind(kind)
        row = self.connection.run(lambda database: database[kind].find_one({"_id": key}, {"w": 0}))
        return _document(kind, row) if row else None

    def get_many(self, kind: str, keys: Iterable[str]) -> dict[str, Document]:
        """The documents there are, by key."""
        check_kind(kind)
        rows = (row for part in _parts(keys) for row in self._rows(kind, {"_id": {"$in": part}}))
        return {row["_id"]: _document(kind, row) for row in rows}

    def find(
        self,
        kind: str,
        where: Mapping[str, Any] | None = None,
        *,
        after: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Document]:
        """Documents whose fields equal ``where``, sorted by key, in bounded memory."""
        for row in self._stream(kind, where, {"w": 0}).rows(after or "", limit):
            yield _document(kind, row)

    def keys(self, kind: str, where: Mapping[str, Any] | None = None) -> list[str]:
        """The sorted keys that ``find`` would give."""
        return [row["_id"] for row in self._stream(kind, where, {"_id": 1}).rows()]

    def _stream(self, kind: str, where: Mapping[str, Any] | None, fields: dict[str, int]) -> Stream:
        wanted = {f"d.{name}": value for name, value in check_where(kind, where).items()}
        return Stream(self.connection, kind, wanted, fields)

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
        cleaned = [clean_document(kind, document) for document in documents]
        rows = [to_fields({"key": f"{kind}/{key}", **fields}) for key, _version, fields in cleaned]
        versions = [first_version() if version is None else version + 1 for _key, version, _fields in cleaned]
        outcomes: list[Outcome | None] = [None] * len(cleaned)
        waiting = list(range(len(cleaned)))
        while waiting:
            # A key can be in one bulk only once: its next write waits for the next round.
            now: dict[str, int] = {}
            for place in waiting:
                if len(now) < _CHUNK:
                    now.setdefault(cleaned[place][0], place)
            token = new_token()
            operations = {
                key: insertion(key, {"version": versions[place], **rows[place]}, token)
                if cleaned[place][1] is None
                else change(key, versions[place] - 1, "version", rows[place], token)
                for key, place in now.items()
            }
            done = self._apply_all(kind, operations, token)
            for key, place in now.items():
                _key, version, fields = cleaned[place]
                head = {"key": key, "version": versions[place], "schema": rows[place]["schema"]}
                outcomes[place] = {**head, **fields} if key in done else self._conflict(kind, key, version)
            taken = set(now.values())
            waiting = [place for place in waiting if place not in taken]
        return [outcome for outcome in outcomes if outcome is not None]

    def _apply_all(self, kind: str, operations: Mapping[str, Any], token: int) -> set[str]:
        return self.connection.write(lambda database: apply_all(database[kind], operations, token))

    def _conflict(self, kind: str, key: str, version: int | None) -> Conflict:
        if version is None:
            return Conflict("it exists already", item=f"{kind}/{key}")
        present = self.get(kind, key)
        found = f"version {present['version']} is there" if present else "it is gone"
        return Conflict(f"version {version} was to be changed, but {found}", item=f"{kind}/{key}")

    def delete(self, kind: str, key: str, version: int | None = None) -> bool:
        """Remove a document; with ``version`` raises Conflict when it is another one."""
        check_kind(kind)
        wanted = {"_id": key} if version is None else {"_id": key, "version": version}
        if self.connection.write(lambda database: database[kind].delete_one(wanted).deleted_count):
            return True
        if version is not None and self.get(kind, key) is not None:
            raise self._conflict(kind, key, version)
        return False

    def delete_many(self, kind: str, keys: Iterable[str]) -> int:
        """Remove documents; returns how many there were."""
        check_kind(kind)
        return self._remove_keys(kind, keys)

    def increment(self, kind: str, key: str, field: str, by: float = 1, *, create: bool = False) -> float:
        """Add ``by`` to a top-level number atomically."""
        check_kind(kind)
        check_number(by, f"{kind}/{clean_key(key, kind)}.{field}")
        name = f"d.{next(iter(escape({field: 0})))}"
        token = addition(name, by)
        update = stamp("version", token)
        update["$inc"] = {**update["$inc"], name: by}
        if name != f"d.{field}":
            update["$set"] = {"e": True}
        new = _new(key, {field: by}, token)

        def add(database: Any) -> Any:
            wanted = {"_id": key, "w": {"$ne": token}}
            row = database[kind].find_one_and_update(wanted, update, return_document=ReturnDocument.AFTER)
            if row is not None or not create:
                return row
            # An upsert could not tell the first version. If it exists, another made it first, or the answer to the
            # same write was lost.
            return new if _insert_new(database[kind], new) else None

        row = self.connection.write(add) or (self.connection.write(add) if create else None)
        total: float = from_row(row)[field] if row else self._already(kind, key, token)
        return total

    def _already(self, kind: str, key: str, token: str) -> float:
        """What an increment gave whose answer was lost."""
        row: dict[str, Any] | None = self.connection.run(lambda database: database[kind].find_one({"_id": key}))
        if row is None or token not in row["w"]:
            raise StoreError("there is no such document", item=f"{kind}/{key}")
        total = total_after(row["d"].get(token.split("d.", 1)[1], 0), row["w"], token)
        if total is None:
            raise StoreUnavailable("the number was raised, but the answer was lost", item=f"{kind}/{key}")
        return total

    # -- leases -------------------------------------------------------------------------------------------------------
    def acquire(self, lease: str, owner: str, seconds: float, now: datetime) -> bool:
        """Take or renew a lease until ``now + seconds``."""
        document = {"key": lease, "owner": owner, "expires_at": now + timedelta(seconds=seconds)}
        key, _none, fields = clean_document("leases", document)
        free = {"_id": key, "$or": [{"d.owner": owner}, {"d.expires_at": {"$lte": now}}]}
        token = new_token()
        update = {"$set": to_fields(fields), **stamp("version", token)}
        new = _new(key, fields, token)

        def take(database: Any) -> bool:
            leases = database["leases"]
            return bool(leases.update_one(free, update).matched_count) or _insert_new(leases, new)

        # Two that take a new lease at once may both fail to insert it: once more tells who has it.
        return self.connection.write(take) or self.connection.write(take)

    def release(self, lease: str, owner: str) -> bool:
        """Give a lease back; returns whether ``owner`` had it."""
        wanted = {"_id": lease, "d.owner": owner}
        return bool(self.connection.write(lambda database: database["leases"].delete_one(wanted).deleted_count))

    # -- arrays -------------------------------------------------------------------------------------------------------
    def put_arrays(self, arrays: Iterable[Array]) -> None:
        """Write or replace arrays, each as a whole."""
        waiting: list[Any] = []
        size = 0
        for item in arrays:
            check_size(len(item.data), f"array {item.key}")
            shape = [int(length) for length in item.shape]
            fields = {"dtype": item.dtype, "shape": shape, "data": bytes(item.data)}
            waiting.append(replacement(clean_key(item.key, _ARRAY), fields))
            size += len(item.data)
            if size > _ARRAYS or len(waiting) >= _CHUNK:
                self._put_arrays(waiting)
                waiting, size = [], 0
        if waiting:
            self._put_arrays(waiting)

    def _put_arrays(self, operations: Sequence[Any]) -> None:
        def put(database: Any) -> bool:
            try:
                database[_ARRAY].bulk_write(list(operations), ordered=False)
            except errors.BulkWriteError as error:
                raise_unless_duplicate(error)
                return False
            return True

        if not self.connection.write(put):  # two made the same array at once; now it is there to be replaced
            self.connection.write(put)

    def get_arrays(self, keys: Iterable[str]) -> dict[str, Array]:
        """The arrays there are, by key."""
        rows = (row for part in _parts(keys, 200) for row in self._rows(_ARRAY, {"_id": {"$in": part}}))
        return {row["_id"]: Array(row["_id"], row["dtype"], tuple(row["shape"]), row["data"]) for row in rows}

    def delete_arrays(self, keys: Iterable[str]) -> int:
        """Remove arrays; returns how many there were."""
        return self._remove_keys(_ARRAY, keys)

    def _remove_keys(self, collection: str, keys: Iterable[str]) -> int:
        operations = ({"_id": {"$in": part}} for part in _parts(keys))
        return sum(self.connection.write(partial(_delete, collection, wanted)) for wanted in operations)

    # -- life ---------------------------------------------------------------------------------------------------------
    def close(self) -> None:
        """Close the connections."""
        self.connection.close()

    def __enter__(self) -> MongoStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
