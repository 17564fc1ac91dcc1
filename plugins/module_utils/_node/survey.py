# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on this machine now: one pass over records, systemd and cgroups, whatever the number of sandboxes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .cpus import parse_cpus
from .host import PARENT, Host, meminfo, read_text, service_unit, slice_unit
from .limits import Machine, limits_from_show
from .records import Record
from .slices import SliceState, read_int, show, slice_state
from .units import wants_path


@dataclass(frozen=True)
class ServiceState:
    """A sandbox's service. ``overridden`` is whether it alone was changed by hand, ``entered`` is when its sandbox last
    began to run (seconds of the monotonic clock, 0 for never), ``took`` the seconds from its first step until then,
    ``result`` how it last ended, ``process`` the id of its first process."""

    active: bool
    state: str
    overridden: bool
    entered: float
    took: float
    result: str
    process: int


@dataclass(frozen=True)
class Place:
    """One sandbox as it is; ``stored`` is whether it has a whole checkpoint."""

    record: Record
    slice: SliceState
    service: ServiceState
    config: str
    settings: str
    enabled: bool
    folder: str
    stored: bool


@dataclass(frozen=True)
class Survey:
    """All sandboxes by instance, and the memory that ``tenants.slice`` protects."""

    places: dict[str, Place]
    parent_low: int


def machine(host: Host) -> Machine:
    """All CPUs of this machine, a path on the disk that tenants read from, and all memory."""
    text = read_text(os.path.join(host.paths.root, "sys/devices/system/cpu/online"))
    memory = meminfo(host.paths)
    return Machine(
        cpus=parse_cpus(text or f"0-{host.cpus - 1}"),
        device=host.paths.state,
        memory=memory.get("MemTotal", 0) + memory.get("SwapTotal", 0),
    )


def _number(properties: Mapping[str, list[str]], name: str) -> int:
    text = properties.get(name, ["0"])[0]
    return int(text) if text.isdigit() else 0


def _overridden(properties: Mapping[str, list[str]]) -> bool:
    """Whether this one service was changed by hand. What holds for all services, or for all sandboxes, is the
    administrator's, and ``systemctl revert`` of one leaves it."""
    unit, paths = (properties.get(name, [""])[0] for name in ("Id", "DropInPaths"))
    own = any(os.path.basename(os.path.dirname(path)) == f"{unit}.d" for path in paths.split())
    return own or properties.get("LoadState", [""])[0] == "masked"


def service_state(properties: Mapping[str, list[str]]) -> ServiceState:
    """A service from the lines of ``systemctl show``."""
    active, sub = (properties.get(name, ["unknown"])[0] for name in ("ActiveState", "SubState"))
    begin, end = (_number(properties, f"{name}TimestampMonotonic") for name in ("InactiveExit", "ActiveEnter"))
    return ServiceState(
        active=active == "active" and sub == "running",
        state=f"{active} ({sub})",
        overridden=_overridden(properties),
        entered=end / 1e6,
        took=max(0.0, (end - begin) / 1e6),
        result=properties.get("Result", [""])[0],
        process=_number(properties, "MainPID"),
    )


def survey(host: Host, records: Iterable[Record], about: Machine) -> Survey:
    """Look at the sandboxes of these records, which need not exist yet."""
    listed = list(records)
    units = [PARENT]
    for record in listed:
        units += [slice_unit(record.instance), service_unit(record.runtime, record.instance)]
    shown = show(host, units)
    places = {}
    for record in listed:
        folder = host.paths.place(record.instance)
        places[record.instance] = Place(
            record=record,
            slice=slice_state(host, record.instance, shown.get(slice_unit(record.instance), {}), about),
            service=service_state(shown.get(service_unit(record.runtime, record.instance), {})),
            config=read_text(os.path.join(folder, "bundle", "config.json")) or "",
            settings=read_text(os.path.join(folder, "settings")) or "",
            enabled=os.path.islink(wants_path(host, record.runtime, record.instance)),
            folder=folder,
            stored=os.path.isdir(host.paths.checkpoint(record.instance)),
        )
    return Survey(places, _number(shown.get(PARENT, {}), "MemoryLow"))


def protected(host: Host, records: Iterable[Record], about: Machine) -> dict[str, int]:
    """By instance, the bytes that memory.low protects. The kernel is asked, which costs a file for each; systemd, which
    costs milliseconds for each, only of those whose cgroup is not there."""
    lows = {}
    for record in records:
        lows[record.instance] = read_int(os.path.join(host.paths.slice(record.instance), "memory.low"))
    shown = show(host, [slice_unit(instance) for instance, low in lows.items() if low is None])
    return {
        instance: limits_from_show(shown[slice_unit(instance)], about).memory_low if low is None else low
        for instance, low in lows.items()
    }
