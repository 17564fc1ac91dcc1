# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans that came to their end, decisions, and tenants that left, removed when they are old; the history itself is
Store.compact's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from itertools import islice

from .._core.errors import Conflict
from .._store.interface import Document, Store

_PART = 500
# The end of a plan's key (rebalance.py) says when it was made, in whole seconds; a cell's name may hold anything.
_MADE = re.compile(r"-([0-9]{8}T[0-9]{6})-[0-9a-f]{6}(-[0-9]+)?$")


def _decisions(store: Store, before: datetime) -> Iterator[str]:
    # Their keys begin with their time.
    for one in store.find("decisions"):
        at = one.get("at")
        if at is not None and at >= before:
            return
        if at is not None:
            yield one["key"]


def _plans(store: Store, before: datetime) -> Iterator[str]:
    # Plans are large and most are young, which their keys tell, so only the others are read.
    old = iter([key for key in store.keys("plans") if _may_be_older(key, f"{before:%Y%m%dT%H%M%S}")])
    while part := list(islice(old, _PART)):
        for key, one in sorted(store.get_many("plans", part).items()):
            made = one.get("created_at")
            if made is not None and made < before and _ended(one, before):
                yield key


def _may_be_older(key: str, before: str) -> bool:
    made = _MADE.search(key)
    return made is None or made.group(1) <= before


def _ended(plan: Document, before: datetime) -> bool:
    waits = plan["state"] == "recommended" and plan["expires_at"] >= before
    return not waits and plan["state"] != "applying"


def _tenants(store: Store, before: datetime, *, dry: bool) -> int:
    """Remove tenants that left before a time; how many. One that comes back just now is a new version, and stays."""
    removed = 0
    for one in store.find("tenants", {"state": "absent"}):
        left = one.get("left_at")
        if left is not None and left < before:
            removed += dry or _gone(store, one)
    return removed


def _gone(store: Store, tenant: Document) -> bool:
    try:
        return store.delete("tenants", tenant["key"], version=tenant["version"])
    except Conflict:
        return False


def prune(store: Store, before: datetime, *, dry: bool) -> dict[str, int]:
    """Remove decisions, ended plans and tenants that left, of before a time: how many ``plans`` (with decisions) and
    ``tenants`` there were. A plan that is being applied stays."""
    removed = 0
    for kind, keys in (("decisions", _decisions(store, before)), ("plans", _plans(store, before))):
        while part := list(islice(keys, _PART)):
            removed += len(part) if dry else store.delete_many(kind, part)
    return {"plans": removed, "tenants": _tenants(store, before, dry=dry)}
