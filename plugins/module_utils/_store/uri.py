# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Store URIs: what they say, and how to print one without its password."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from .._core.errors import InputError

_HINT = "write sqlite:///path/store.db or mongodb://host/database"
JOURNALS = ("wal", "delete")


@dataclass(frozen=True)
class SQLiteLocation:
    """An embedded store: its file, the journal mode ("" = as it is, WAL for a new file), seconds to wait for a lock."""

    path: str
    journal: str = ""
    timeout: float = 60.0


def redact(uri: str) -> str:
    """What the URI names, without its user, password and options, fit for messages and logs.

    It is not the URI itself: ansible-core would mask that in messages, since the option may hold a password.
    """
    name, separator, rest = uri.partition("://")
    return f"{name} store at {rest.rpartition('@')[2].partition('?')[0]}" if separator else "the store"


def scheme(uri: str) -> str:
    """``sqlite`` or ``mongodb``. Raises InputError for any other."""
    name = uri.split("://", 1)[0].lower() if "://" in uri else ""
    if name == "sqlite":
        return "sqlite"
    if name in ("mongodb", "mongodb+srv"):
        return "mongodb"
    raise InputError("not the URI of a store", item=redact(uri), hint=_HINT)


def _options(query: str, uri: str) -> dict[str, str]:
    try:
        options = parse_qs(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise InputError(f"the options {query!r} cannot be read", item=redact(uri)) from None
    unknown = sorted(set(options) - {"journal", "timeout"})
    if unknown:
        raise InputError(f"unknown option {unknown[0]!r}", item=redact(uri), hint="journal=wal|delete, timeout=SECONDS")
    return {name: values[-1] for name, values in options.items()}


def parse_sqlite(uri: str) -> SQLiteLocation:
    """Read ``sqlite:///abs/path.db[?journal=wal|delete][&timeout=SECONDS]``; ``/~/`` is the home. Raises InputError."""
    parts = urlsplit(uri)
    path = unquote(parts.path)
    if parts.netloc or not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise InputError(
            "the path of the file must be absolute", item=redact(uri), hint="write sqlite:///path/store.db"
        )
    if path.startswith("/~"):
        path = os.path.expanduser(path[1:])
    options = _options(parts.query, uri)
    journal = options.get("journal", "").lower()
    if journal not in ("", *JOURNALS):
        raise InputError(f"unknown journal mode {journal!r}", item=redact(uri), hint="journal=wal or journal=delete")
    try:
        timeout = float(options.get("timeout", "60"))
    except ValueError:
        raise InputError(f"timeout {options['timeout']!r} is no number of seconds", item=redact(uri)) from None
    if not 0 < timeout <= 3600:
        raise InputError(f"timeout {timeout} is not between 0 and 3600 seconds", item=redact(uri))
    return SQLiteLocation(os.path.normpath("/" + path.lstrip("/")), journal, timeout)
