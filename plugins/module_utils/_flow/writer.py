# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of one document after another, each made again on what another run has written meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .._core.errors import Conflict
from .._store.interface import Document, Store

_ATTEMPTS = 20
_PARTS = {"cpu": ("cpu", "cores"), "memory": ("memory", "max"), "io_read": ("io", "read"), "io_write": ("io", "write")}


@dataclass
class Writer:
    """Writes VMs' and tenants' documents; ``vms`` and ``tenants`` (by key) follow. ``dry``: only they change."""

    store: Store
    dry: bool
    vms: dict[str, Document]
    tenants: dict[str, Document]

    def mark(self, name: str, vm: str, kind: str) -> None:
        """Say what a tenant's room in a VM is for: tenant, incoming or leaving."""

        def marked(document: Document) -> Document | None:
            held = document["allocations"].get(name)
            if held is None or held["kind"] == kind:
                return None
            return {**document, "allocations": {**document["allocations"], name: {**held, "kind": kind}}}

        if vm in self.vms:
            self.change("vms", vm, marked)

    def leaving(self, name: str, vm: str) -> None:
        """The tenant is to go from this VM; its room stays taken until it has."""
        self.mark(name, vm, "leaving")

    def leave(self, name: str, vm: str) -> None:
        """Give the room of a tenant in a VM back."""

        def left(document: Document) -> Document | None:
            if name not in document["allocations"]:
                return None
            return {
                **document,
                "allocations": {key: one for key, one in document["allocations"].items() if key != name},
            }

        if vm in self.vms:
            self.change("vms", vm, left)

    def change(self, kind: str, key: str, how: Callable[[Document], Document | None]) -> None:
        """Change one document (of vms or tenants); ``how`` gives the new one, None where nothing is to change.

        Raises Conflict when the document is gone, or when other runs were first each time.
        """
        known = self.vms if kind == "vms" else self.tenants
        document: Document | None = known[key]
        for _attempt in range(_ATTEMPTS):
            if document is None:
                raise Conflict("was removed by another run", item=key, hint="run again")
            wanted = how(document)
            if wanted is None:
                known[key] = document
                return
            try:
                known[key] = wanted if self.dry else self.store.update(kind, wanted)
            except Conflict:
                document = self.store.get(kind, key)
            else:
                return
        raise Conflict("other runs changed it each time", item=key, hint="run again")


def has(tenant: Mapping[str, Any], limits: Mapping[str, Any]) -> bool:
    """Whether a tenant's document has these limits (parts with keys)."""
    return all(tenant[part].get(key) == value for part, values in limits.items() for key, value in values.items())


def allocated(limits: Mapping[str, Any]) -> dict[str, float | None]:
    """The limits of an action as a VM's document keeps them, None where there is none; without those not given."""
    return {name: limits[part][key] for name, (part, key) in _PARTS.items() if key in (limits.get(part) or {})}
