# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of an SQLite store, how a file is recognised as one, and its migration."""

from __future__ import annotations

import sqlite3

from .._core.errors import StoreError
from . import documents
from .documents import INDEXED, upgrade
from .values import decode, encode

APPLICATION = 0x7074656E  # "pten", SQLite's application_id of our files

_TABLES = (
    "CREATE TABLE IF NOT EXISTS arrays (key TEXT PRIMARY KEY, dtype TEXT NOT NULL, shape TEXT NOT NULL, "
    "data BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS series (id INTEGER PRIMARY KEY, profile TEXT NOT NULL, tenant TEXT NOT NULL, "
    "UNIQUE (profile, tenant))",
    *(
        # id = series, day and part in one integer, so that a read of some days of a series is one range of the table.
        f"CREATE TABLE IF NOT EXISTS {table} (id INTEGER PRIMARY KEY, day INTEGER NOT NULL, level INTEGER NOT NULL, "
        "version INTEGER NOT NULL, data BLOB NOT NULL)"
        for table in ("usage", "requests")
    ),
    *(f"CREATE INDEX IF NOT EXISTS {table}_age ON {table} (level, day)" for table in ("usage", "requests")),
    *(
        f"CREATE TABLE IF NOT EXISTS {kind} (key TEXT PRIMARY KEY, version INTEGER NOT NULL, schema INTEGER NOT NULL, "
        "body TEXT NOT NULL)"
        for kind in INDEXED
    ),
    *(
        f"CREATE INDEX IF NOT EXISTS {kind}_{name} ON {kind} (json_extract(body, '$.{name}'), key)"
        for kind, names in INDEXED.items()
        for name in names
    ),
)


def check(opened: sqlite3.Connection, path: str) -> int:
    """The schema version of the file, 0 for an empty one. Raises StoreError for a foreign or a newer file."""
    # In this order: another process may be making the tables, in one transaction, between these statements.
    tables = opened.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    application = opened.execute("PRAGMA application_id").fetchone()[0]
    version = int(opened.execute("PRAGMA user_version").fetchone()[0])
    if application != APPLICATION and (tables or application):
        raise StoreError(
            "the file is an SQLite database, but no store of predictive.tenancy", item=path, hint="name another file"
        )
    if version > documents.SCHEMA:
        raise StoreError(
            f"the store is of schema {version}, this software knows {documents.SCHEMA}",
            item=path,
            hint="upgrade the collection predictive.tenancy on this machine",
        )
    return version


def migrate(opened: sqlite3.Connection, version: int) -> None:
    """Make the tables, and take the documents of an older store to the present schema; inside a transaction."""
    for statement in _TABLES:
        opened.execute(statement)
    if 0 < version < documents.SCHEMA:
        for kind in INDEXED:
            _upgrade_all(opened, kind)
    opened.execute(f"PRAGMA application_id={APPLICATION}")
    opened.execute(f"PRAGMA user_version={documents.SCHEMA}")


def _upgrade_all(opened: sqlite3.Connection, kind: str) -> None:
    # Table names are our own words, never input.
    select = "SELECT key, version, schema, body FROM {t} WHERE schema < ? AND key > ? ORDER BY key LIMIT 500".replace(
        "{t}", kind
    )
    last = ""
    while rows := opened.execute(select, (documents.SCHEMA, last)).fetchall():
        for key, version, schema, body in rows:
            document = upgrade(kind, {"key": key, "version": version, "schema": schema, **decode(body)})
            fields = {name: item for name, item in document.items() if name not in ("key", "version", "schema")}
            opened.execute(
                "UPDATE {t} SET version = version + 1, schema = ?, body = ? WHERE key = ?".replace("{t}", kind),
                (documents.SCHEMA, encode(fields, f"{kind}/{key}"), key),
            )
        last = rows[-1][0]
