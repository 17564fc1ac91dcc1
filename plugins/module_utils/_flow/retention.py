# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans that came to their end and decisions, removed when they are old; the history itself is Store.compact's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice

from .._store.interface import Document, Store

_PART = 500


def _decisions(store: Store, before: datetime) -> Iterator[str]:
    # Their keys begin with their time.
    for one in store.find("decisions"):
        at = one.get("at")
        if at is not None and at >= before:
            return
        if at is not None:
            yield one["key"]


def _plans(store: Store, before: datetime) -> Iterator[str]:
    # The keys of a cell's plans go on with their time, so the first young one ends the cell: its name is followed by
    # a year, and what sorts behind all years is another cell.
    after: str | None = ""
    while after is not None:
        begin, after = after, None
        for one in store.find("plans", after=begin):
            made = one.get("created_at")
            if made is not None and made >= before:
                after = max(f"{one['cell']}-9999", one["key"])
                break
            if made is not None and _ended(one, before):
                yield one["key"]


def _ended(plan: Document, before: datetime) -> bool:
    waits = plan["state"] == "recommended" and plan["expires_at"] >= before
    return plan["state"] != "applying" and not waits


def prune(store: Store, before: datetime, *, dry: bool) -> int:
    """Remove decisions and ended plans of before a time; how many there were. One that is being applied stays."""
    removed = 0
    for kind, keys in (("decisions", _decisions(store, before)), ("plans", _plans(store, before))):
        while part := list(islice(keys, _PART)):
            removed += len(part) if dry else store.delete_many(kind, part)
    return removed
