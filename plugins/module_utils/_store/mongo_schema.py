# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collections and indexes of a MongoDB store, how a database is recognised as one, and its migration."""

from __future__ import annotations

from functools import partial
from typing import Any

try:
    import bson
    from pymongo import ASCENDING, IndexModel, errors
except ImportError:  # open_store() says so (libraries.require)
    pass

from .._core.errors import StoreError
from . import documents
from .documents import INDEXED, upgrade
from .mongo_connection import Connection
from .mongo_writes import change, new_token
from .values import check_size, escape, unescape

META = "meta"
_PAGE = 500


def _indexes() -> dict[str, list[Any]]:
    found = {
        kind: [IndexModel([(f"d.{name}", ASCENDING), ("_id", ASCENDING)], name=name) for name in names]
        for kind, names in INDEXED.items()
    }
    for table in ("usage", "requests"):
        found[table] = [
            IndexModel([("p", ASCENDING), ("d", ASCENDING), ("_id", ASCENDING)], name="series"),
            IndexModel([("l", ASCENDING), ("d", ASCENDING)], name="age"),
        ]
    return found


def prepare(connection: Connection) -> None:
    """Make or migrate what an absent or older store lacks. Raises StoreError for a newer one."""
    meta = connection.run(lambda database: database[META].find_one({"_id": "store"}))
    version = int(meta["schema"]) if meta else 0
    if version > documents.SCHEMA:
        raise StoreError(
            f"the store is of schema {version}, this software knows {documents.SCHEMA}",
            item=connection.name,
            hint="upgrade the collection predictive.tenancy on this machine",
        )
    if version == documents.SCHEMA or connection.read_only:
        return
    connection.write(_make_indexes)
    if version:
        for kind in INDEXED:
            _upgrade_all(connection, kind)
    connection.write(_mark)


def _make_indexes(database: Any) -> None:
    for name, indexes in _indexes().items():
        database[name].create_indexes(indexes)


def _mark(database: Any) -> None:
    # Two that open a new store at once both come here; $max never takes a version back.
    try:
        database[META].update_one({"_id": "store"}, {"$max": {"schema": documents.SCHEMA}}, upsert=True)
    except errors.DuplicateKeyError:
        database[META].update_one({"_id": "store"}, {"$max": {"schema": documents.SCHEMA}}, upsert=True)


def _upgrade_all(connection: Connection, kind: str) -> None:
    """Each document by itself, only from the version that was read: who interferes has upgraded it on reading it."""
    while rows := connection.run(partial(_older, kind)):
        token = new_token()
        operations = [
            change(row["_id"], row["version"], "version", to_fields(upgrade(kind, from_row(row))), token)
            for row in rows
        ]
        connection.write(partial(_send, kind, operations))


def _older(kind: str, database: Any) -> list[dict[str, Any]]:
    return list(database[kind].find({"schema": {"$lt": documents.SCHEMA}}).limit(_PAGE))


def _send(kind: str, operations: list[Any], database: Any) -> None:
    database[kind].bulk_write(operations, ordered=False)


def to_fields(document: dict[str, Any]) -> dict[str, Any]:
    """What is stored of a document: ``d`` is its fields, under names that BSON takes; ``e`` says that some differ.
    Raises InputError when that is too large."""
    fields = {name: value for name, value in document.items() if name not in ("key", "version", "schema")}
    escaped = escape(fields)
    check_size(len(bson.encode(escaped)), str(document.get("key", "a document")))
    return {"schema": documents.SCHEMA, "d": escaped, "e": escaped != fields}


def from_row(row: dict[str, Any]) -> dict[str, Any]:
    """The document of a stored row, in the schema in which it was stored."""
    fields = unescape(row["d"]) if row.get("e") else row["d"]
    return {"key": row["_id"], "version": row["version"], "schema": row["schema"], **fields}
