# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store saved to a file, and an empty store filled from one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from .._core.changes import ChangeSet
from .._core.errors import InputError
from .._store import backup
from .._store.interface import Store

_LEASE = "restore"
_YEARS = 10 * 365 * 86400.0


def _counted(content: backup.Content) -> dict[str, Any]:
    return {table: count for table, count in content.counts.items() if count}


def saved(store: Store, path: str, *, dry: bool) -> tuple[ChangeSet, backup.Content]:
    """Bring the backup at ``path`` to what the store holds: ``(what differs, the content)``. Raises InputError."""
    changes = ChangeSet(path)
    before, now = backup.check(path), backup.content(store)
    if before == now:
        return changes, now
    verb = "create" if before is None else "replace"
    changes.compare(verb, "digest", before.digest if before else None, now.digest)
    changes.compare(verb, "rows", _counted(before) if before else None, _counted(now))
    return changes, now if dry else backup.save(store, path)


def restored(store: Store, path: str, now: datetime, *, dry: bool) -> tuple[ChangeSet, backup.Content]:
    """Bring an empty store to what the backup holds. Raises InputError for a store that holds something else."""
    changes = ChangeSet(path)
    wanted, present = backup.check(path), backup.content(store)
    if wanted is None:
        raise InputError("there is no such backup", item=path)
    if present == wanted:
        return changes, wanted
    lease = store.get("leases", _LEASE)
    if not present.empty and (lease is None or lease["owner"] != wanted.digest):
        raise InputError("the store is not empty", item=path, hint="restore into a new store, then point to that one")
    changes.compare("restore", "digest", present.digest, wanted.digest)
    changes.compare("restore", "rows", _counted(present), _counted(wanted))
    if not dry:
        # The lease says, should this be broken off, that what is there is part of this backup.
        store.acquire(_LEASE, wanted.digest, _YEARS, now)
        backup.restore(store, path)
        store.release(_LEASE, wanted.digest)
    return changes, wanted
