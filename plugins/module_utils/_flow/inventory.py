# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store as an inventory: capacity VMs, the KVM hosts that they run on, and tenants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._core.errors import InputError
from .._core.plain import plain
from .._core.units import format_time
from .._store.interface import Document, Store
from .vms import STATES

VMS, HOSTS, TENANTS = "capacity_vms", "kvm_hosts", "tenants"
_TENANT_FIELDS = ("profile", "vm", "cell", "state", "priority", "cpu", "memory", "io", "request", "claim")


@dataclass(frozen=True)
class Choice:
    """What to list. Empty ``cells`` and ``zones`` mean all of them."""

    cells: Sequence[str] = ()
    zones: Sequence[str] = ()
    states: Sequence[str] = ("ready", "draining")
    hosts: bool = True
    tenants: bool = False

    def __post_init__(self) -> None:
        unknown = sorted(set(self.states) - set(STATES))
        if unknown:
            raise InputError("no state of a VM", item=", ".join(unknown), hint="one of " + ", ".join(STATES))

    def has(self, document: Mapping[str, Any]) -> bool:
        """Whether a VM or a KVM host is in one of the zones."""
        return not self.zones or (document.get("zone") or "") in self.zones


@dataclass
class Listed:
    """One host of the inventory: its name, the groups that it is in (unsafe characters included), its variables."""

    name: str
    groups: list[str] = field(default_factory=list)
    variables: dict[str, Any] = field(default_factory=dict)


def listing(store: Store, choice: Choice) -> list[Listed]:
    """The hosts of the inventory: VMs, then KVM hosts, then tenants, each sorted by name.

    Raises InputError when a KVM host or a tenant is called like another host, which an inventory cannot tell apart.
    """
    vms = [one for one in _of_cells(store, "vms", choice) if one["state"] in choice.states and choice.has(one)]
    found = [_vm(one) for one in vms]
    if choice.hosts:
        found += _hosts([one for one in _of_cells(store, "hosts", choice) if choice.has(one)], vms)
    if choice.tenants:
        places = {one["key"] for one in vms}
        there = [one for one in _of_cells(store, "tenants", choice) if one["state"] != "absent"]
        found += [_tenant(one) for one in there if one.get("vm") in places]
    seen: set[str] = set()
    for one in found:
        if one.name in seen:
            raise InputError(
                f"is the name of two of {VMS}, {HOSTS} and {TENANTS}",
                item=one.name,
                hint="list them by inventories of their own: hosts: false, or tenants: false",
            )
        seen.add(one.name)
    return found


def _of_cells(store: Store, kind: str, choice: Choice) -> list[Document]:
    wheres: Iterable[Mapping[str, Any] | None] = [{"cell": cell} for cell in choice.cells] or [None]
    documents = [document for where in wheres for document in store.find(kind, where)]
    return sorted(documents, key=lambda one: str(one["key"]))


def _vm(one: Document) -> Listed:
    groups = [VMS, f"cell_{one['cell']}", f"state_{one['state']}"]
    groups += [f"zone_{one['zone']}"] if one.get("zone") else []
    groups += [f"on_{one['host']}"] if one.get("host") else []
    described = {
        "name": one["key"],
        "zone": one.get("zone") or "",
        "host": one.get("host") or "",
        "capacity": {key: value for key, value in one["capacity"].items() if value is not None},
        "provides": one.get("provides") or {},
        "labels": one.get("labels") or {},
        "state": one["state"],
    }
    return Listed(one["key"], groups, {"tenancy_vm": plain(described), "tenancy_cell": one["cell"]})


def _hosts(documents: Sequence[Document], vms: Sequence[Document]) -> list[Listed]:
    """KVM hosts that have a document, and those that a VM says it runs on. A host may serve several cells."""
    listed = {str(one["key"]): Listed(str(one["key"]), [HOSTS], {"tenancy_host": {"vms": []}}) for one in documents}
    for vm in vms:
        if vm.get("host"):
            host = listed.setdefault(vm["host"], Listed(vm["host"], [HOSTS], {"tenancy_host": {"vms": []}}))
            host.variables["tenancy_host"]["vms"].append(vm["key"])
    for document in [*documents, *vms]:
        name = str(document["host"] if "host" in document else document["key"])
        if name in listed:
            groups = [f"cell_{document['cell']}"] + ([f"zone_{document['zone']}"] if document.get("zone") else [])
            listed[name].groups += [group for group in groups if group not in listed[name].groups]
    return [listed[name] for name in sorted(listed)]


def _tenant(one: Document) -> Listed:
    fields = {key: one.get(key) for key in _TENANT_FIELDS}
    fields["admitted_at"] = format_time(one["admitted_at"]) if one.get("admitted_at") else None
    groups = [TENANTS, f"cell_{one['cell']}_tenants", f"tenants_on_{one['vm']}", f"profile_{one['profile']}"]
    return Listed(one["key"], groups, {"tenancy_tenant": plain(fields), "tenancy_cell": one["cell"]})
