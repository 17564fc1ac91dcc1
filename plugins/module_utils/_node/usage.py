# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tenants really use: cgroup v2 counters and pressure (PSI), all read in one pass, rates over an interval."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from typing import Any

from .._core.errors import CommandError
from .._core.units import format_time
from .host import Host, meminfo, read_text
from .limits import Limits, read_live
from .records import Record, scan
from .slices import read_int
from .survey import Place, machine, survey

_PAIR = re.compile(r"([a-z0-9_]+)=([0-9.]+)")


def _flat(text: str | None) -> dict[str, int]:
    """The ``key value`` lines of cpu.stat, memory.events and the like."""
    pairs = [line.split() for line in (text or "").splitlines()]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _io(text: str | None) -> dict[str, int]:
    """Bytes and operations of all devices together."""
    total = {"rbytes": 0, "wbytes": 0, "rios": 0, "wios": 0}
    for key, value in _PAIR.findall(text or ""):
        if key in total:
            total[key] += int(value)
    return total


def _pressure(text: str | None) -> dict[str, dict[str, float]] | None:
    """PSI: percent of time (avg10, avg60, avg300) and microseconds (total); None where the kernel has none."""
    if not text:
        return None
    lines = [line.split(None, 1) for line in text.splitlines()]
    return {kind: {key: float(value) for key, value in _PAIR.findall(rest)} for kind, rest in lines}


def pressures(folder: str) -> dict[str, Any]:
    """The pressure of a cgroup by resource."""
    return {name: _pressure(_quiet(os.path.join(folder, f"{name}.pressure"))) for name in ("cpu", "memory", "io")}


def _quiet(path: str) -> str | None:
    """A pressure file; a kernel booted without PSI has no such file or refuses to open it."""
    try:
        with open(path, encoding="ascii") as handle:
            return handle.read()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP):
            return None
        raise CommandError(f"cannot read: {error.strerror}", item=path) from error


def counters(folder: str) -> dict[str, Any]:
    """The counters of one cgroup."""

    def text(name: str) -> str | None:
        return read_text(os.path.join(folder, name))

    cpu, events, io = _flat(text("cpu.stat")), _flat(text("memory.events")), _io(text("io.stat"))
    return {
        "cpu": {
            "usage_usec": cpu.get("usage_usec", 0),
            "throttled_usec": cpu.get("throttled_usec", 0),
            "throttled_periods": cpu.get("nr_throttled", 0),
            "periods": cpu.get("nr_periods", 0),
        },
        "memory": {
            "current": read_int(os.path.join(folder, "memory.current")) or 0,
            "peak": read_int(os.path.join(folder, "memory.peak")) or 0,
            "swap": read_int(os.path.join(folder, "memory.swap.current")) or 0,
            "oom_kills": events.get("oom_kill", 0),
            "max_events": events.get("max", 0),
            "high_events": events.get("high", 0),
        },
        "io": {
            "read_bytes": io["rbytes"], "write_bytes": io["wbytes"],
            "read_operations": io["rios"], "write_operations": io["wios"],
        },
        "pids": read_int(os.path.join(folder, "pids.current")) or 0,
    }  # fmt: skip


def add_rates(first: Mapping[str, Any], last: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Cores and bytes per second between two readings; None without an interval."""

    def rate(group: str, key: str, scale: float) -> float | None:
        if seconds <= 0:
            return None
        return round(float(max(0, last[group][key] - first[group][key])) / seconds * scale, 6)

    last["cpu"]["cores"] = rate("cpu", "usage_usec", 1e-6)
    last["cpu"]["throttled"] = rate("cpu", "throttled_usec", 1e-6)
    last["io"]["read"] = rate("io", "read_bytes", 1)
    last["io"]["write"] = rate("io", "write_bytes", 1)
    return last


def _limits(limits: Limits) -> dict[str, Any]:
    return {
        "cpu": {
            "cores": None if limits.cpu_quota is None else limits.cpu_quota / 1e6,
            "weight": limits.cpu_weight,
            "cpus": limits.cpus,
        },
        "memory": {
            "low": limits.memory_low, "high": limits.memory_high, "max": limits.memory_max, "swap": limits.memory_swap,
        },
        "io": {"weight": limits.io_weight, "read": limits.io_read, "write": limits.io_write},
        "pids": limits.pids,
    }  # fmt: skip


def _state(place: Place) -> str:
    if not place.service.active:
        if place.record.tier == "checkpointed" and place.stored:
            return "stored"
        return "failed" if place.service.state.startswith("failed") else "stopped"
    return "paused" if place.slice.frozen else "running"


def _entry(record: Record, place: Place, reading: dict[str, Any], folder: str) -> dict[str, Any]:
    live = read_live(folder)
    return {
        "name": record.name,
        "role": record.role,
        "state": _state(place),
        "service": place.service.state,
        "slice": os.path.basename(folder),
        "runtime": record.runtime,
        "priority": record.priority,
        "tier": record.tier,
        "expires_at": record.expires_at,
        "limits": _limits(place.slice.limits),
        "enforced": bool(live),
        "pressure": pressures(folder),
        **reading,
    }


def measure(host: Host, interval: float, names: list[str]) -> dict[str, Any]:
    """All sandboxes of this machine (or those named), measured over ``interval`` seconds. One systemctl call."""
    known, _broken = scan(host)
    chosen = [record for record in known if not names or record.name in names]
    folders = {record.instance: host.paths.slice(record.instance) for record in chosen}
    first = {instance: (counters(folder), host.clock()) for instance, folder in folders.items()} if interval > 0 else {}
    seen = survey(host, chosen, machine(host))
    if interval > 0:
        spent = host.clock() - min((at for _reading, at in first.values()), default=host.clock())
        host.sleep(max(0.0, interval - spent))
    entries = []
    for record in chosen:
        last, at = counters(folders[record.instance]), host.clock()
        before, begin = first.get(record.instance, (last, at))
        add_rates(before, last, at - begin)
        entries.append(_entry(record, seen.places[record.instance], last, folders[record.instance]))
    return {
        "tenants": [entry for entry in entries if entry["role"] == "tenant"],
        "shadows": [entry for entry in entries if entry["role"] == "shadow"],
        "vm": _vm(host),
        "measured_at": format_time(host.now),
    }


def io_weights(host: Host) -> str:
    """What shares the tenants' disk by weight: ``bfq``, ``iocost``, or nothing (empty)."""
    try:
        number = os.stat(host.paths.state).st_dev
    except FileNotFoundError:
        return ""
    device = f"{os.major(number)}:{os.minor(number)}"
    folder = os.path.realpath(os.path.join(host.paths.root, "sys/dev/block", device))
    for disk in (folder, os.path.dirname(folder)):  # a partition has its disk's
        scheduler = read_text(os.path.join(disk, "queue/scheduler"))
        if scheduler is not None:
            break
    if "[bfq]" in (scheduler or ""):
        return "bfq"
    model = read_text(os.path.join(host.paths.cgroup, "io.cost.qos")) or ""
    enabled = [line.split()[0] for line in model.splitlines() if "enable=1" in line.split()]
    whole = read_text(os.path.join(disk, "dev"))
    return "iocost" if whole is not None and whole.strip() in enabled else ""


def _vm(host: Host) -> dict[str, Any]:
    """The machine as a whole."""
    memory = meminfo(host.paths)
    folder = os.path.join(host.paths.root, "proc/pressure")
    return {
        "cpus": host.cpus,
        "io_weights": io_weights(host),
        "memory": {"total": memory.get("MemTotal", 0), "available": memory.get("MemAvailable", 0)},
        "pressure": {name: _pressure(_quiet(os.path.join(folder, name))) for name in ("cpu", "memory", "io")},
    }
