# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of a MongoDB collection by key, in bounded memory, going on where a broken connection ended."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any

try:
    from pymongo import errors
except ImportError:  # open_store() says so (libraries.require)
    pass

from .mongo_connection import Connection

_PAGE = 500
# A cursor that the server no longer knows: it was restarted, or gave up on us.
_LOST = (43, 136, 175, 237)


class Stream:
    """A query whose cursor is opened again after the last row that came, whenever it is lost."""

    def __init__(self, connection: Connection, collection: str, wanted: dict[str, Any], fields: dict[str, int]) -> None:
        self._connection = connection
        self._collection = collection
        self._wanted = wanted
        self._fields = fields
        self._cursor: Any = None

    def rows(self, after: str = "", limit: int | None = None) -> Iterator[dict[str, Any]]:
        """Rows after a key, at most ``limit``."""
        last, left = after, limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(_PAGE, left)
            page = self._connection.run(partial(self._page, last, size))
            yield from page
            if len(page) < size:
                return
            last, left = page[-1]["_id"], None if left is None else left - len(page)
        self._close()

    def _page(self, last: str, size: int, database: Any) -> list[dict[str, Any]]:
        try:
            if self._cursor is None:
                found = database[self._collection].find({**self._wanted, "_id": {"$gt": last}}, self._fields)
                self._cursor = found.sort("_id", 1).batch_size(size)
            return list(islice(self._cursor, size))
        except errors.PyMongoError as error:
            self._close()
            if getattr(error, "code", None) in _LOST:
                return self._page(last, size, database)
            raise

    def _close(self) -> None:
        # What the server still holds of it goes with its session; asking a server that is away would only wait.
        self._cursor = None
