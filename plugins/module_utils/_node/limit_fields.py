# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How each limit is called and written by people, by systemd (``systemctl show``) and by the kernel (cgroup v2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .._core.units import format_bytes, format_cores, format_rate
from .cpus import parse_cpus

PAGE = 4096
_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Zµμ]+)")
_MICROSECONDS = {
    "us": 1, "µs": 1, "μs": 1, "ms": 1000, "s": 10**6, "min": 60 * 10**6, "h": 3600 * 10**6,
    "d": 86400 * 10**6, "w": 7 * 86400 * 10**6, "month": 2629800 * 10**6, "y": 31557600 * 10**6,
}  # fmt: skip


def _span(text: str) -> int | None:
    """Microseconds of systemd's ``1s 500ms``; None for ``infinity``."""
    if text == "infinity":
        return None
    return round(sum(float(number) * _MICROSECONDS[unit] for number, unit in _SPAN.findall(text)))


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _weight(text: str) -> int:
    return int(text) if text.isdigit() else 100  # "[not set]"


def _swap_or_max(text: str) -> int | None:
    return None if text == "max" else int(text)


def _cpu_max(text: str) -> int | None:
    quota, period = text.split()
    return None if quota == "max" else round(int(quota) * 1_000_000 / int(period))


@dataclass(frozen=True)
class Field:
    """How one limit is called by people, by systemd and by the kernel."""

    path: str
    prop: str
    show: Callable[[str], Any]
    file: str
    live: Callable[[str], Any]
    people: Callable[[Any], Any]


def _same(value: Any) -> Any:
    return value


def _cores(value: int | None) -> str:
    return format_cores(None if value is None else value / 1_000_000)


FIELDS: dict[str, Field] = {
    "cpu_quota": Field("cpu.cores", "CPUQuotaPerSecUSec", _span, "cpu.max", _cpu_max, _cores),
    "cpu_weight": Field("cpu.weight", "CPUWeight", _weight, "cpu.weight", int, _same),
    "cpus": Field("cpu.cpus", "AllowedCPUs", parse_cpus, "cpuset.cpus", parse_cpus, lambda value: value or "all"),
    "memory_low": Field(
        "memory.low", "MemoryLow", lambda text: _number(text) or 0, "memory.low", _swap_or_max, format_bytes
    ),
    "memory_high": Field("memory.high", "MemoryHigh", _number, "memory.high", _swap_or_max, format_bytes),
    "memory_max": Field("memory.max", "MemoryMax", _number, "memory.max", _swap_or_max, format_bytes),
    "memory_swap": Field("memory.swap", "MemorySwapMax", _number, "memory.swap.max", _swap_or_max, format_bytes),
    "pids": Field("pids", "TasksMax", _number, "pids.max", _swap_or_max, lambda value: value or "infinity"),
    "io_weight": Field("io.weight", "IOWeight", _weight, "io.weight", lambda text: int(text.split()[-1]), _same),
    "io_read": Field("io.read", "IOReadBandwidthMax", _same, "io.max", _same, format_rate),
    "io_write": Field("io.write", "IOWriteBandwidthMax", _same, "io.max", _same, format_rate),
}
PROPERTIES = tuple(entry.prop for entry in FIELDS.values())
OTHER_DEVICE = -1


def bandwidth(lines: list[str], device: str) -> int | None:
    """The one entry for ``device`` (``PATH BYTES``); a value that equals no wish where there are others."""
    entries = [line.rsplit(" ", 1) for line in lines if line]
    if not entries:
        return None
    if len(entries) == 1 and entries[0][0] == device:
        return _number(entries[0][1])
    return OTHER_DEVICE


def io_max(text: str, key: str) -> int | None:
    found = re.findall(rf"\b{key}=([0-9]+)", text)
    return int(found[0]) if len(found) == 1 else (OTHER_DEVICE if found else None)
