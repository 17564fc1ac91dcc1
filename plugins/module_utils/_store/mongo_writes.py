# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes that can be sent twice and are done once.

Every write of a call carries the same random token, and a document keeps the tokens of its last writes. A bulk of
writes says how many were done, not which; and when a connection breaks nothing says whether they were done at all. Then
the tokens tell: a document that holds the token was written by this call. So a batch costs one round trip where no
other writer interferes, and one more where one does.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

try:
    from pymongo import DeleteOne, InsertOne, ReplaceOne, UpdateOne, errors
except ImportError:  # open_store() says so (libraries.require)
    pass

TOKENS = 12  # kept in each document: so many later writes may pass before a lost answer is looked up
_DUPLICATE = 11000


def new_token() -> int:
    """A token that no other write has."""
    return secrets.randbits(63)


def insertion(key: str, fields: Mapping[str, Any], token: int) -> Any:
    """Insert a document that must not be there."""
    return InsertOne({"_id": key, **fields, "w": [token]})


def change(key: str, version: int, version_field: str, fields: Mapping[str, Any], token: int) -> Any:
    """Set fields of a document if it is of this version, and raise the version."""
    return UpdateOne({"_id": key, version_field: version}, {"$set": dict(fields), **stamp(version_field, token)})


def stamp(version_field: str, token: int | str) -> dict[str, Any]:
    """The part of an update that raises the version and leaves the token."""
    return {"$inc": {version_field: 1}, "$push": {"w": {"$each": [token], "$slice": -TOKENS}}}


def addition(name: str, by: float) -> str:
    """The token of an increment, which says what it added."""
    return f"{new_token():x} {by!r} {name}"


def total_after(value: float, tokens: Sequence[int | str], token: str) -> float | None:
    """What an increment made of a number, from what later increments made of it; None when it was set since."""
    name = token.split(" ", 2)[2]
    for later in tokens[tokens.index(token) + 1 :]:
        if not isinstance(later, str):
            return None
        _random, by, other = later.split(" ", 2)
        if other == name:
            value -= float(by) if "." in by or "e" in by else int(by)
    return value


def replacement(key: str, fields: Mapping[str, Any]) -> Any:
    """Write a document whether it is there or not."""
    return ReplaceOne({"_id": key}, dict(fields), upsert=True)


def removal(key: str) -> Any:
    """Remove a document."""
    return DeleteOne({"_id": key})


def apply_all(collection: Any, operations: Mapping[str, Any], token: int) -> set[str]:
    """Send insertions and changes, by key; the keys of those that are done. To be repeated as a whole after an error
    of the connection: what was done then counts as done."""
    try:
        result = collection.bulk_write(list(operations.values()), ordered=False)
        if result.inserted_count + result.matched_count == len(operations):
            return set(operations)
    except errors.BulkWriteError as error:
        raise_unless_duplicate(error)
    keys = list(operations)
    done: set[str] = set()
    for begin in range(0, len(keys), 1000):
        wanted = {"_id": {"$in": keys[begin : begin + 1000]}, "w": token}
        done.update(row["_id"] for row in collection.find(wanted, {"_id": 1}))
    return done


def raise_unless_duplicate(error: Any) -> None:
    """Raise an error of a bulk again, as one of a single write, unless only keys existed already."""
    for failed in error.details.get("writeConcernErrors", []):
        raise errors.WriteConcernError(failed.get("errmsg", "not confirmed"), failed.get("code"), failed)
    for failed in error.details.get("writeErrors", []):
        if failed.get("code") != _DUPLICATE:
            raise errors.OperationFailure(failed.get("errmsg", "refused"), failed.get("code"), failed)
