# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the VMs said about a step of a plan: the results of ``vm_partition``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._core.errors import InputError


class Told:
    """Results by VM and tenant. An entry may name its VM (``vm``); without it, a tenant's entries are counted: one for
    each VM that had something to do for it."""

    def __init__(self, results: Sequence[Mapping[str, Any]]) -> None:
        self._by_tenant: dict[str, list[tuple[str, str, str]]] = {}
        for number, entry in enumerate(results):
            name = entry.get("name")
            if not isinstance(name, str):
                raise InputError("has no name", item=f"results[{number}]", hint="give what vm_partition returned")
            told = (str(entry.get("vm") or ""), str(entry.get("state") or ""), str(entry.get("error") or ""))
            self._by_tenant.setdefault(name, []).append(told)

    def error(self, tenant: str, vm: str) -> str:
        """What went wrong with a tenant in a VM (or in one that was not named), empty where nothing did."""
        return next((error for at, _state, error in self._of(tenant, vm) if error), "")

    def present(self, tenant: str, vm: str, elsewhere: int) -> bool:
        """Whether a tenant is in a VM now; ``elsewhere``: how many other VMs also had it to do in the same step."""
        return self._counted(tenant, vm, ("running", "paused"), elsewhere)

    def absent(self, tenant: str, vm: str) -> bool:
        """Whether a tenant is gone from a VM."""
        return self._counted(tenant, vm, ("absent",), 0)

    def _of(self, tenant: str, vm: str) -> list[tuple[str, str, str]]:
        return [told for told in self._by_tenant.get(tenant, ()) if told[0] in ("", vm)]

    def _counted(self, tenant: str, vm: str, states: Sequence[str], elsewhere: int) -> bool:
        good = [told for told in self._of(tenant, vm) if told[1] in states and not told[2]]
        return any(told[0] == vm for told in good) or len([told for told in good if not told[0]]) > elsewhere
