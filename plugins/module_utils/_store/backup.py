# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups: a whole store in one file, which any store takes back, so it also moves a store to another kind of server.

The file is gzip of JSON lines: a header, a row of a table per line, and a last line with the number of rows and their
digest. It is written beside its place and moved there when it is complete; a file without its last line is refused.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from .._core.errors import InputError, StoreError
from . import documents
from .interface import Store

FORMAT = "predictive.tenancy backup 1"
TABLES = (*documents.KINDS, "arrays", "usage", "requests")
_HINT = "take another backup; this one is not complete or was changed"


@dataclass(frozen=True)
class Content:
    """What a store or a backup holds: rows by table, and a digest of all of them."""

    counts: dict[str, int]
    digest: str

    @property
    def empty(self) -> bool:
        """Whether there is no row at all."""
        return not any(self.counts.values())


def _line(table: str, row: dict[str, Any]) -> bytes:
    packed = {**row, "data": base64.b64encode(row["data"]).decode()} if "data" in row else row
    return json.dumps([table, packed], ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode() + b"\n"


def _lines(store: Store) -> Iterator[tuple[str, bytes]]:
    with store.snapshot():
        for table in TABLES:
            # Who runs at the moment is no part of what is kept.
            for row in store.rows(table) if table != "leases" else ():
                yield table, _line(table, row)


def _walk(lines: Iterator[tuple[str, bytes]], take: Callable[[bytes], object]) -> Content:
    counts, digest = dict.fromkeys(TABLES, 0), hashlib.sha256()
    for table, line in lines:
        counts[table] += 1
        digest.update(line)
        take(line)
    return Content(counts, digest.hexdigest())


def content(store: Store) -> Content:
    """What a store holds."""
    return _walk(_lines(store), len)


def save(store: Store, path: str) -> Content:
    """Write a backup, for its owner's eyes only. Raises InputError when the file cannot be written."""
    folder = os.path.dirname(os.path.abspath(path))
    try:
        handle, temporary = tempfile.mkstemp(prefix=".backup-", dir=folder)
    except OSError as error:
        raise InputError(f"the backup cannot be written: {error.strerror}", item=path) from None
    try:
        with os.fdopen(handle, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6, mtime=0) as packed:
            packed.write(json.dumps({"format": FORMAT, "schema": documents.SCHEMA}).encode() + b"\n")
            found = _walk(_lines(store), packed.write)
            packed.write(json.dumps({"counts": found.counts, "digest": found.digest}).encode() + b"\n")
            packed.close()
            raw.flush()
            os.fsync(raw.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"the backup cannot be written: {error.strerror}", item=path) from None
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
    return found


def _read(path: str) -> Iterator[bytes]:
    try:
        with gzip.GzipFile(path, "rb") as packed:
            yield from packed
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"the backup cannot be read: {reason}", item=path, hint=_HINT) from None


def _parse(line: bytes, path: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        raise InputError("the file is no backup of a store", item=path) from None


def check(path: str) -> Content | None:
    """What a backup holds; None when there is no file. Raises InputError when it is damaged or of newer software."""
    if not os.path.exists(path):
        return None
    lines = _read(path)
    header = _parse(next(lines, b""), path)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise InputError("the file is no backup of a store", item=path)
    if header["schema"] > documents.SCHEMA:
        raise InputError(
            f"the backup is of schema {header['schema']}, this software knows {documents.SCHEMA}",
            item=path,
            hint="upgrade the collection predictive.tenancy on this machine",
        )
    last = b"null"
    counts, digest = dict.fromkeys(TABLES, 0), hashlib.sha256()
    for line in lines:
        if line.startswith(b"["):
            counts[json.loads(line)[0]] += 1
            digest.update(line)
        last = line
    found = Content(counts, digest.hexdigest())
    if _parse(last, path) != {"counts": found.counts, "digest": found.digest}:
        raise InputError("the backup is not complete", item=path, hint=_HINT)
    return found


def _rows(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in _read(path):
        if line.startswith(b"["):
            table, row = json.loads(line)
            yield table, {**row, "data": base64.b64decode(row["data"])} if "data" in row else row


def restore(store: Store, path: str) -> None:
    """Put a checked backup into a store, over rows of the same keys: to be repeated when it was broken off."""
    for table, rows in groupby(_rows(path), key=lambda pair: pair[0]):
        store.put_rows(table, (row for _table, row in rows))
    if content(store) != check(path):
        raise StoreError("the store is not what the backup holds", item=path, hint="other runs wrote to it: stop them")
