# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening a store by its URI."""

from __future__ import annotations

from .._core import libraries
from .interface import Store
from .mongo import MongoStore
from .sqlite import SQLiteStore
from .uri import parse_sqlite, scheme


def open_store(uri: str, *, read_only: bool = False) -> Store:
    """The store that ``uri`` names: ``sqlite:///path/store.db[?journal=wal|delete]`` or ``mongodb://...``.

    A store that is absent is made, an older one migrated. With ``read_only`` (check mode) nothing is made, migrated or
    written: an absent store reads as empty. Raises InputError for a URI that cannot be read, StoreUnavailable when the
    store cannot be reached, StoreError for one that is foreign, damaged or newer than this software.
    """
    if scheme(uri) == "sqlite":
        return SQLiteStore(parse_sqlite(uri), read_only=read_only)
    libraries.require("pymongo")
    return MongoStore(uri, read_only=read_only)
