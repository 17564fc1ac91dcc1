# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents as the modules on the VMs take them: tenants for ``vm_partition``, shadows for ``shadow_reserve``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .._core.plain import plain
from .._core.units import format_time
from .._store.interface import Document


def _given(part: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (part or {}).items() if value is not None}


def tenant_item(tenant: Mapping[str, Any]) -> dict[str, Any]:
    """One tenant as an item of ``vm_partition``; what is unlimited or not given is left out."""
    item: dict[str, Any] = {"name": tenant["key"], "state": tenant["state"]}
    if tenant["state"] == "absent":
        return item
    item["priority"] = int(tenant["priority"])
    for part in ("cpu", "memory", "io"):
        item[part] = _given(tenant.get(part))
    if tenant.get("pids"):
        item["pids"] = int(tenant["pids"])
    item["sandbox"] = sandbox(tenant.get("sandbox") or {})
    if tenant.get("claim"):
        item["claim"] = tenant["claim"]
    return item


def sandbox(template: Mapping[str, Any]) -> dict[str, Any]:
    """The sandbox of a profile, tenant or shadow without what it does not say."""
    return {key: plain(value) for key, value in template.items() if value is not None}


def shadow_item(shadow: Mapping[str, Any]) -> dict[str, Any]:
    """One shadow as an item of ``shadow_reserve``."""
    return {
        "name": shadow["key"],
        "tier": shadow["tier"],
        "expires_at": format_time(shadow["expires_at"]),
        "priority": int(shadow["priority"]),
        **{part: _given(shadow.get(part)) for part in ("cpu", "io")},
        "memory": _given(shadow["limits"]),
        "pids": int(shadow["pids"]),
        "sandbox": sandbox(shadow.get("sandbox") or {}),
        **plain(shadow.get("preparation") or {}),
    }


def desired_shadows(
    shadows: Iterable[Document], vms: Mapping[str, Mapping[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Per VM the shadows that wait there, sorted by name."""
    lists: dict[str, list[dict[str, Any]]] = {key: [] for key, vm in sorted(vms.items()) if vm["state"] != "lost"}
    for shadow in shadows:
        if shadow["vm"] in lists:
            lists[shadow["vm"]].append(shadow_item(shadow))
    return lists


def desired(tenants: Iterable[Document], vms: Mapping[str, Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Per VM its tenants, sorted by name: those whose document names the VM, or that are moving to it, and for whom the
    VM's document holds an allocation; then, as absent, those that have left it. VMs that are lost get nothing to do."""
    lists: dict[str, list[dict[str, Any]]] = {key: [] for key, vm in sorted(vms.items()) if vm["state"] != "lost"}
    for tenant in sorted(tenants, key=lambda one: str(one["key"])):
        for key in _places(tenant, vms):
            if key in lists:
                lists[key].append(tenant_item(tenant))
    for key, items in lists.items():
        here = {item["name"] for item in items}
        gone = [name for name, held in (vms[key].get("allocations") or {}).items() if held.get("kind") == "leaving"]
        items.extend({"name": name, "state": "absent"} for name in sorted(gone) if name not in here)
    return lists


def _places(tenant: Mapping[str, Any], vms: Mapping[str, Mapping[str, Any]]) -> Sequence[str]:
    if tenant["state"] == "absent":
        return ()
    places = [tenant["vm"]]
    if tenant.get("moving_to"):
        places.append(tenant["moving_to"])
    return [key for key in places if key in vms and tenant["key"] in (vms[key].get("allocations") or {})]
