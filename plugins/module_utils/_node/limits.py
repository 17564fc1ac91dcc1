# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The limits of one tenant as a normalised model: read from an item, from systemd and from the cgroup, and compared.

CPU time is microseconds per second of wall time, memory is bytes, I/O is bytes per second, None is "no limit".
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from .._core.changes import ChangeSet
from .._core.errors import InputError
from .._core.units import format_bytes, parse_bytes, parse_cores, parse_rate
from .cpus import expand_cpus, parse_cpus
from .host import read_text
from .limit_fields import FIELDS, PAGE, bandwidth, io_max

_LEAST_QUOTA = 10_000  # systemd lowers the period below this, and the kernel refuses quotas under 1 ms


@dataclass(frozen=True)
class Limits:
    """What one tenant may use. ``cpus`` is a normalised CPU list, empty for all CPUs; ``memory_swap`` bounds what the
    tenant can push into (compressed) swap, which nothing else charges to it."""

    cpu_quota: int | None = None
    cpu_weight: int = 100
    cpus: str = ""
    memory_low: int = 0
    memory_high: int | None = None
    memory_max: int | None = None
    memory_swap: int | None = None
    pids: int | None = None
    io_weight: int = 100
    io_read: int | None = None
    io_write: int | None = None


@dataclass(frozen=True)
class Machine:
    """What limits refer to: all CPUs as a normalised list, a path on the block device that tenants read from, and the
    bytes of memory and swap."""

    cpus: str
    device: str
    memory: int


def starting(limits: Limits, machine: Machine, index: int) -> Limits:
    """The limits for the moments in which a sandbox starts.

    It reads its number of CPUs once, from the CPU list: half a core shall be seen as one CPU and not as all of the
    machine's (an idle gVisor sandbox wakes up several times as often with two CPUs as with one). And a start under a
    small quota takes as many times longer, so it may use the whole CPUs that it sees until it runs."""
    if limits.cpu_quota is None:
        return limits
    allowed = expand_cpus(limits.cpus or machine.cpus)
    count = min(len(allowed), max(1, -(-limits.cpu_quota // 1_000_000)))
    chosen = [allowed[(index + step) % len(allowed)] for step in range(count)]
    cpus = parse_cpus(",".join(str(cpu) for cpu in chosen))
    return replace(limits, cpu_quota=count * 1_000_000, cpus="" if cpus == machine.cpus else cpus)


def priority_weight(priority: int) -> int:
    """The cgroup weight (1-10000) of a priority (0-100): 50 is the default weight of 100, ten points double it."""
    return max(1, min(10_000, round(100 * 2 ** ((priority - 50) / 10))))


def io_weight(priority: int) -> int:
    """The same shares of a disk (1-100): systemd gives BFQ only weights up to 100 as they are and presses those above
    together. Priorities below 35 all have the least one."""
    return max(1, round(100 * 2 ** ((priority - 100) / 10)))


def _whole(value: Any, what: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{what} must be a whole number from {low} to {high}, not {value!r}")
    return value


def _given(group: Mapping[str, Any], key: str, parse: Callable[[object], Any], default: Any = None) -> Any:
    value = group.get(key)
    return default if value is None or value == "" else parse(value)


def limits_from(item: Mapping[str, Any]) -> Limits:
    """The limits that a tenant's item asks for. Raises InputError without the item's name."""
    cpu, memory, io = (item.get(key) or {} for key in ("cpu", "memory", "io"))
    priority = _whole(50 if item.get("priority") is None else item["priority"], "priority", 0, 100)
    weight = priority_weight(priority)
    quota = _given(cpu, "cores", lambda value: round(parse_cores(value) * 10_000) * 100)  # systemd's 0.01 %
    if quota is not None and quota < _LEAST_QUOTA:
        raise InputError("cpu.cores must be at least 0.01")
    high, most = _given(memory, "high", parse_bytes), _given(memory, "max", parse_bytes)
    low = _given(memory, "low", parse_bytes, 0)
    if most is not None and most < 4 * 1024 * 1024:
        raise InputError(f"memory.max must be at least 4MiB, not {format_bytes(most)}")
    ceiling = min((value for value in (high, most) if value is not None), default=None)
    if (ceiling is not None and low > ceiling) or (high is not None and most is not None and high > most):
        raise InputError("memory must keep low <= high <= max")
    return Limits(
        cpu_quota=quota,
        cpu_weight=_given(cpu, "weight", lambda value: _whole(value, "cpu.weight", 1, 10_000), weight),
        cpus=_given(cpu, "cpus", lambda value: parse_cpus(str(value)), ""),
        memory_low=low,
        memory_high=high,
        memory_max=most,
        memory_swap=_given(memory, "swap", parse_bytes, most),
        pids=_given(item, "pids", lambda value: _whole(value, "pids", 16, 4_194_304)),
        io_weight=_given(io, "weight", lambda value: _whole(value, "io.weight", 1, 10_000), io_weight(priority)),
        io_read=_given(io, "read", parse_rate),
        io_write=_given(io, "write", parse_rate),
    )


def limits_from_show(properties: Mapping[str, list[str]], machine: Machine) -> Limits:
    """The limits that systemd holds for a slice, from the lines of ``systemctl show``."""
    values: dict[str, Any] = {}
    for name, entry in FIELDS.items():
        lines = properties.get(entry.prop, [""])
        if entry.file == "io.max":
            values[name] = bandwidth(lines, machine.device)
        else:
            values[name] = entry.show(lines[0])
    if values["cpus"] == machine.cpus:
        values["cpus"] = ""
    return Limits(**values)


def read_live(folder: str) -> dict[str, Any]:
    """The limits in force in a cgroup; what its kernel does not have (io.weight, swap) is left out."""
    values: dict[str, Any] = {}
    texts: dict[str, str | None] = {}
    for name, entry in FIELDS.items():
        if entry.file not in texts:
            texts[entry.file] = read_text(os.path.join(folder, entry.file))
        text = texts[entry.file]
        if text is None:
            continue
        if entry.file == "io.max":
            values[name] = io_max(text, "rbps" if name == "io_read" else "wbps")
        else:
            values[name] = entry.live(text.strip())
    return values


def _in_force(name: str, wanted: Any, live: Mapping[str, Any]) -> bool:
    """Whether the kernel holds what is wanted; it rounds memory down to pages and needs no list for all CPUs."""
    if name not in live:
        return True
    value = live[name]
    if name.startswith("memory_") and wanted is not None and value is not None:
        return bool(value // PAGE == wanted // PAGE)
    if name == "cpu_quota" and wanted is not None and value is not None:
        return bool(abs(value - wanted) <= max(1, wanted // 1000))
    return bool(value == wanted or (name == "cpus" and wanted == ""))


def compare_limits(
    changes: ChangeSet, wanted: Limits, known: Limits, live: Mapping[str, Any], fresh: bool = False
) -> list[str]:
    """Record the limits that differ from what systemd holds (resize) or from what the kernel enforces (repair), all of
    them for a ``fresh`` sandbox (create); return the names of those that must be set."""
    different = []
    for entry in fields(Limits):
        name, wish = entry.name, getattr(wanted, entry.name)
        held, label = getattr(known, name), FIELDS[name]
        drifted = held == wish and not _in_force(name, wish, live)
        if fresh:
            changes.add("create", label.path, None, label.people(wish))
        elif drifted:
            changes.add("repair", label.path, label.people(live[name]), label.people(wish))
        elif held != wish:
            changes.add("resize", label.path, label.people(held), label.people(wish))
        if held != wish or drifted:
            different.append(name)
    return different


def _size(value: int | None) -> str:
    return "infinity" if value is None else str(value)


def assignments(limits: Limits, names: Sequence[str], machine: Machine) -> list[str]:
    """The ``Property=value`` words for ``systemctl set-property`` of the named limits.

    An empty AllowedCPUs does not clear a live cpuset (systemd issue 43846), so all CPUs are written out.
    """
    words: list[str] = []
    for name in names:
        value, prop = getattr(limits, name), FIELDS[name].prop
        if name == "cpu_quota":
            words.append("CPUQuota=" if value is None else f"CPUQuota={value / 10_000:.2f}%")
        elif name == "cpus":
            words.append(f"AllowedCPUs={value or machine.cpus}")
        elif name in ("io_read", "io_write"):
            words.append(f"{prop}=")
            words.extend([] if value is None else [f"{prop}={machine.device} {value}"])
        else:
            words.append(f"{prop}={_size(value)}")
    return words
