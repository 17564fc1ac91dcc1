# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents of the store: their kinds, the fields that can be asked for, the schema version and its migrations.

Fields beside ``key``, ``version`` and ``schema`` (times are aware UTC datetimes, sizes bytes, CPU cores, I/O bytes per
second; "nullable" is None until known):

profiles   key = name; workload (str), parameters {name: value}, dependencies {os, libraries [], workloads []}, priority
           (0-100), bounds {cpu|memory|io_read|io_write: {min, max}} (nullable numbers), timezone, sandbox {runtime,
           rootfs, command, env, network}, shadow {warmup, rehearse []}, affinity [], anti_affinity [], zone
           (nullable), arrival (nullable), patterns {metric: {...}}, confidence (nullable), learned_at (nullable),
           created_at, origin (given|observed|matched), match {profile, distance, ambiguous [], checked_at, stage}
           (nullable)
tenants    key = name; profile, request (nullable), vm, cell, state (running|paused|absent), priority, cpu {cores,
           weight}, memory {low, high, max}, io {weight, read, write}, pids, sandbox {...}, claim (nullable),
            admitted_at, resized_at, moved_at, moving_to (nullable), moves [{at, source, target, plan, gain, useless,
            failed}]; of absent ones left_at, left_because
shadows    key = name; profile, vm, cell, tier, state (waiting|claimed|expired), expected_at, ready_by, expires_at,
           memory (bytes held), sandbox {...}, preparation {warmup, rehearse []}
vms        key = name; cell, zone, host, capacity {cpu, memory, io_read, io_write}, provides {os, libraries []},
           labels {}, state (ready|draining|lost), allocations {tenant: {...}}, shadows {shadow: {profile, memory,
           value, since}}
hosts      key = name; cell, zone, capacity {...}, state
plans      key = id (cell, time, digest); cell, state, created_at, expires_at, mode, policy {}, actions [...], score,
           applied_at, verified_at (nullable), verdict
decisions  key = id (time, kind, tenant); cell, plan (nullable), tenant (nullable), kind, at, ...
leases     key = name; owner, expires_at
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .._core.errors import InputError, StoreError
from .values import check_text

# The version of what the store holds, documents and history alike. A change of any field that code relies on raises it
# by one and adds the step from the version before to MIGRATIONS.
SCHEMA = 1

# The fields that ``find`` and ``keys`` can ask for, each with an index.
INDEXED: dict[str, tuple[str, ...]] = {
    "profiles": ("workload", "zone", "origin"),
    "tenants": ("profile", "vm", "cell", "state", "request", "moving_to"),
    "shadows": ("profile", "vm", "cell", "state"),
    "vms": ("cell", "zone", "host", "state"),
    "hosts": ("cell", "zone", "state"),
    "plans": ("cell", "state"),
    "decisions": ("cell", "plan", "tenant", "kind"),
    "leases": ("owner",),
}
KINDS = tuple(INDEXED)

Step = Callable[[dict[str, Any]], dict[str, Any]]

# {from version: {kind: step}}: a step takes a document of that version and returns it in the next one.
MIGRATIONS: dict[int, Mapping[str, Step]] = {}


def check_kind(kind: str) -> tuple[str, ...]:
    """The indexed fields of ``kind``. Raises InputError for one that is unknown."""
    if kind not in INDEXED:
        raise InputError(f"there is no kind of document {kind!r}", hint="one of " + ", ".join(KINDS))
    return INDEXED[kind]


def check_where(kind: str, where: Mapping[str, Any] | None) -> dict[str, Any]:
    """The condition as a plain dict, refused when a field is not indexed or a value is no storable scalar."""
    fields = check_kind(kind)
    for name, value in (where or {}).items():
        if name not in fields:
            raise InputError(f"{kind} cannot be found by {name!r}", hint="by " + ", ".join(fields))
        if value is not None and not isinstance(value, str):
            raise InputError(f"{kind} cannot be found by {name} = {value!r}", hint="give a text or null")
        if value is not None:
            check_text(value, f"{kind}.{name}")
    return dict(where or {})


def upgrade(kind: str, document: dict[str, Any]) -> dict[str, Any]:
    """The document in the present schema: older ones are taken through the steps. Raises StoreError for a newer one."""
    version = int(document.get("schema", 0))
    if version == SCHEMA:
        return document
    if version > SCHEMA:
        raise StoreError(
            f"the document was written in schema {version}, this software knows {SCHEMA}",
            item=f"{kind}/{document.get('key')}",
            hint="upgrade the collection predictive.tenancy on this machine",
        )
    for step in range(version, SCHEMA):
        change = MIGRATIONS.get(step, {}).get(kind)
        document = change(document) if change else document
    return {**document, "schema": SCHEMA}
