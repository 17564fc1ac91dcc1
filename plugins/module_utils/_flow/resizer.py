# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resizes of a plan: what grows takes its room before the tenant may use it, what shrinks gives it back afterwards.

So while a resize is under way, the VM's document counts the larger of both sizes for the tenant. When it is over, for
whichever reason, that is again what the tenant's document says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .._store.interface import Document
from .tenants import limits_in
from .told import Told
from .writer import Writer, allocated, has

Action = Mapping[str, Any]


@dataclass
class Resizer:
    """Begins and confirms resizes; ``overcommit``: how much of its memory a VM may promise."""

    writer: Writer
    told: Told
    overcommit: float
    now: datetime

    def begin(self, action: Action) -> str:
        """Take the room that it needs and set the tenant's limits; says why it cannot be, empty if it can."""
        name = action["tenant"]
        why = self._obsolete(action) or self._homeless(name)
        if not why and not self._take(name, allocated(action["to"])):
            why = f"{self.writer.tenants[name]['vm']} has no memory left for it"
        if not why:
            self._set(name, action["to"])
        return why

    def confirm(self, action: Action) -> str | None:
        """Why it failed, empty if the VM did it, None as long as the VM has not said."""
        name = action["tenant"]
        why = self._obsolete(action)
        if why:
            return why
        tenant = self.writer.tenants[name]
        error = self._homeless(name) or self.told.error(name, tenant["vm"])
        if error or not has(tenant, action["to"]):  # the latter: a run was killed while it took it back
            self._set(name, action["from"])
            self._settle(name)
            return f"taken back: {error or 'another run had begun to'}"
        if not self.told.present(name, tenant["vm"], 0):
            return None
        self._settle(name)
        return ""

    def _obsolete(self, action: Action) -> str:
        """Why there is nothing to resize any more, empty if there is."""
        tenant = self.writer.tenants.get(action["tenant"])
        if tenant is None or tenant["state"] == "absent":
            return "the tenant is gone"
        if not (has(tenant, action["from"]) or has(tenant, action["to"])):
            return "its limits are no longer those that the plan was made for"
        return ""

    def _homeless(self, name: str) -> str:
        """Why no VM can resize a tenant, empty if its VM can."""
        key = self.writer.tenants[name]["vm"]
        vm = self.writer.vms.get(key)
        if vm is None or vm["state"] == "lost":
            return f"its VM {key} is lost"
        return "" if name in vm["allocations"] else f"it has no room in {key}"

    def _take(self, name: str, limits: Mapping[str, float | None]) -> bool:
        """Count at least these limits for a tenant; False if the VM has no memory to promise for it.

        CPU and I/O are not checked, as they are not when it is planned: they are shared by weight, and a VM that they
        make too full is relieved by moves of the same plan.
        """
        vm = self.writer.tenants[name]["vm"]

        def taken(document: Document) -> Document | None:
            held = document["allocations"].get(name)
            if held is None or _covers(held, limits):
                return None
            most = {key: _most(held.get(key), value) for key, value in limits.items()}
            grown = {**document["allocations"], name: {**held, **most}}
            more = most.get("memory", held.get("memory")) != held.get("memory")
            if more and sum(float(one.get("memory") or 0.0) for one in grown.values()) > self._promise(document):
                return None
            return {**document, "allocations": grown}

        self.writer.change("vms", vm, taken)
        return _covers(self.writer.vms[vm]["allocations"].get(name, {}), limits)

    def _promise(self, vm: Mapping[str, Any]) -> float:
        """How much memory all limits in a VM may be together."""
        memory = vm["capacity"]["memory"]
        return math.inf if memory is None else float(memory) * self.overcommit * (1 + 1e-9)

    def _set(self, name: str, limits: Mapping[str, Any]) -> None:
        def size(tenant: Document) -> Document | None:
            if has(tenant, limits):
                return None
            parts = {part: {**tenant[part], **values} for part, values in limits.items()}
            return {**tenant, **parts, "resized_at": self.now}

        self.writer.change("tenants", name, size)

    def _settle(self, name: str) -> None:
        """Count for a tenant what its document says."""
        tenant = self.writer.tenants.get(name)
        if tenant is None:
            return
        limits = limits_in(tenant)

        def settled(document: Document) -> Document | None:
            held = document["allocations"].get(name)
            if held is None or all(held.get(key) == value for key, value in limits.items()):
                return None
            return {**document, "allocations": {**document["allocations"], name: {**held, **limits}}}

        for vm in (tenant["vm"], tenant.get("moving_to")):
            if vm in self.writer.vms:
                self.writer.change("vms", vm, settled)


def _covers(held: Mapping[str, Any], limits: Mapping[str, float | None]) -> bool:
    """Whether what is counted for a tenant is no less than these limits."""
    return bool(held) and all(held.get(key) == _most(held.get(key), value) for key, value in limits.items())


def _most(one: float | None, other: float | None) -> float | None:
    """The larger of two limits; None is unlimited."""
    return None if one is None or other is None else max(one, other)
