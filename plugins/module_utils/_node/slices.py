# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Slices: read all in one call, set each in one call, shrink without killing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._core.errors import CommandError
from .._core.units import format_bytes
from .host import Host, read_text, slice_unit
from .limit_fields import PROPERTIES
from .limits import Limits, Machine, assignments, limits_from_show, read_live

_SHOWN = (
    "Id", "LoadState", "ActiveState", "SubState", "Result", "FreezerState", "DropInPaths", "NeedDaemonReload",
    "InactiveExitTimestampMonotonic", "ActiveEnterTimestampMonotonic", "MainPID", "NRestarts", *PROPERTIES,
)  # fmt: skip
_UNITS_PER_CALL = 400
_SHRINK_SECONDS = 20.0
_SHRINK_STEP = 64 * 1024 * 1024


@dataclass(frozen=True)
class SliceState:
    """A slice as systemd and the kernel hold it. ``memory`` is bytes in use, None where there is no cgroup; ``paused``
    is a freeze that systemd knows of."""

    limits: Limits
    live: Mapping[str, Any]
    active: bool
    frozen: bool
    paused: bool
    memory: int | None

    @property
    def still(self) -> bool:
        """Whether its processes are stopped, and nothing is started beside them."""
        return self.frozen and self.paused

    @property
    def stopped(self) -> bool:
        """Whether there is anything to undo before its sandbox can go on, or start."""
        return self.frozen or self.paused


def parse_show(text: str) -> dict[str, dict[str, list[str]]]:
    """The blocks of ``systemctl show`` by unit; a property that is printed several times has several values."""
    units: dict[str, dict[str, list[str]]] = {}
    for block in text.split("\n\n"):
        properties: dict[str, list[str]] = {}
        for line in block.splitlines():
            key, sign, value = line.partition("=")
            if sign:
                properties.setdefault(key, []).append(value)
        if "Id" in properties:
            units[properties["Id"][0]] = properties
    return units


def show(host: Host, units: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """The properties of many units, loaded or not, in one call per 400 of them."""
    shown: dict[str, dict[str, list[str]]] = {}
    for start in range(0, len(units), _UNITS_PER_CALL):
        part = units[start : start + _UNITS_PER_CALL]
        text = host.systemctl("show", f"--property={','.join(_SHOWN)}", "--", *part, doing="systemctl show")
        shown.update(parse_show(text))
        missing = [unit for unit in part if unit not in shown]
        if missing:
            raise CommandError(f"systemctl show said nothing about it: {text[-300:]!r}", item=", ".join(missing))
    return shown


def read_int(path: str) -> int | None:
    """The number in a cgroup file; None for ``max`` and where there is no file."""
    text = read_text(path)
    return int(text) if text is not None and text.strip().isdigit() else None


def slice_state(host: Host, instance: str, properties: Mapping[str, list[str]], machine: Machine) -> SliceState:
    """One slice from its properties and its cgroup."""
    folder = host.paths.slice(instance)
    events = read_text(os.path.join(folder, "cgroup.events"))
    return SliceState(
        limits=limits_from_show(properties, machine),
        live=read_live(folder) if events is not None else {},
        active=events is not None,
        frozen="frozen 1" in (events or ""),
        paused=properties.get("FreezerState", [""])[0].startswith("fr"),
        memory=read_int(os.path.join(folder, "memory.current")),
    )


def set_limits(host: Host, instance: str, limits: Limits, names: Sequence[str], machine: Machine) -> None:
    """Set the named limits of a slice, now and for every later start, in one call."""
    if names:
        words = assignments(limits, names, machine)
        host.systemctl("set-property", slice_unit(instance), *words, doing="setting limits", item=slice_unit(instance))


def reclaim(host: Host, folder: str, target: int, seconds: float = _SHRINK_SECONDS) -> int:
    """Push a cgroup's memory out until ``target`` bytes are left, it no longer falls or the time is over; returns the
    bytes in use. Kernels before 5.19 have no memory.reclaim: there MemoryHigh alone does it."""
    path, used = os.path.join(folder, "memory.reclaim"), read_int(os.path.join(folder, "memory.current")) or 0
    end, stuck = host.clock() + seconds, 0
    while used > target and stuck < 3 and host.clock() < end:
        try:
            with open(path, "w", encoding="ascii") as handle:
                handle.write(str(min(used - target, _SHRINK_STEP)))
        except FileNotFoundError:
            host.sleep(0.2)
        except OSError as error:
            if error.errno not in (11, 16):  # EAGAIN: less could be reclaimed than asked for; EBUSY: try again
                raise CommandError(f"cannot reclaim memory: {error.strerror}", item=folder) from error
        before, used = used, read_int(os.path.join(folder, "memory.current")) or 0
        stuck = stuck + 1 if before - used < 64 * 1024 else 0
    return used


def resize(
    host: Host, instance: str, state: SliceState, wanted: Limits, names: Sequence[str], machine: Machine
) -> tuple[list[str], str]:
    """Set limits on a slice that may be running; returns the names that could not be set, and why.

    Memory below its use is never cut off, which would kill: MemoryHigh first, then reclaim, then MemoryMax if it fits.
    """
    most = wanted.memory_max
    if state.memory is None or most is None or state.memory <= most or "memory_max" not in names:
        set_limits(host, instance, wanted, names, machine)
        return [], ""
    late = [name for name in names if name in ("memory_max", "memory_swap")]
    high = most if wanted.memory_high is None else min(wanted.memory_high, most)
    first = [name for name in names if name not in late]
    set_limits(host, instance, replace(wanted, memory_high=high), list(dict.fromkeys([*first, "memory_high"])), machine)
    used = reclaim(host, host.paths.slice(instance), high)
    if used <= most:
        final = late if high == wanted.memory_high else [*late, "memory_high"]
        set_limits(host, instance, wanted, final, machine)
        return [], ""
    if high != wanted.memory_high:
        set_limits(host, instance, wanted, ["memory_high"], machine)
    return late, (
        f"cannot shrink to {format_bytes(most)} yet: {format_bytes(used)} are in use and could not be reclaimed; "
        f"memory.max stays at {format_bytes(state.limits.memory_max)}"
    )
