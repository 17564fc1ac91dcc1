# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a VM was chosen, or none: sentences for people, with the nearest miss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .._core.units import format_bytes, format_cores, format_rate
from .packing import Miss

if TYPE_CHECKING:
    import numpy as np

    from .admission import Cell, Guest
else:
    try:
        import numpy as np
    except ImportError:  # the plugin that needs it says so (libraries.require)
        pass


def why_chosen(cell: Cell, vm: int, candidates: int, clock: Sequence[str]) -> str:
    """Why ``vm`` was the best of so many candidates; ``clock`` names the windows."""
    used = cell.packer.used_of(vm)
    window, resource = np.unravel_index(int(np.argmax(used)), used.shape)
    when = f" at {clock[int(window)]}" if len(clock) > int(window) else ""
    name = ("CPU", "memory", "read I/O", "write I/O")[int(resource)]
    return (
        f"best fit of {candidates} candidates: the peak of {cell.vms[vm].key} becomes "
        f"{100 * float(used[window, resource]):.0f}% of its {name}{when}"
    )


def no_candidate(cell: Cell, guest: Guest) -> str:
    """Which hard requirement no VM meets."""
    ready = sum(vm.ready for vm in cell.vms)
    if not ready:
        return f"none of the {len(cell.vms)} VMs is ready"
    if not cell.capable(guest).any():
        missing = sorted(guest.libraries - frozenset().union(*(vm.libraries for vm in cell.vms if vm.ready)))
        wanted = [f"the operating system {guest.os}"] if guest.os and all(vm.os != guest.os for vm in cell.vms) else []
        wanted += [f"the library {name}" for name in missing]
        return "no VM provides " + (" and ".join(wanted) or "all of its operating system and libraries together")
    if guest.zone and guest.zone not in {vm.zone for vm in cell.vms}:
        return f"no VM is in the zone {guest.zone}"
    return "every VM that could take it holds a tenant that it must stay apart from, or lies outside its zone"


def no_room(cell: Cell, miss: Miss | None, candidates: int, clock: Sequence[str]) -> str:
    """How far the nearest candidate is from having room."""
    if miss is None:
        return "no VM is a candidate"
    when = f" at {clock[miss.window]}" if len(clock) > miss.window and miss.resource != "memory limit" else ""
    write = {"cpu": format_cores, "memory": format_bytes, "memory limit": format_bytes}.get(miss.resource, format_rate)
    unit = " cores of CPU" if miss.resource == "cpu" else f" of {miss.resource}"
    nearest = f"the nearest, {cell.vms[miss.vm].key}, lacks {write(miss.lack)}{unit}{when}"
    return f"no room in {candidates} candidates; {nearest}"
