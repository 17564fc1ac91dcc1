# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of a virtual machine (vCPUs, memory, disk limits), what is wished of it, and the steps between them.

Pure: reads libvirt's XML, touches nothing. Sizes are bytes, rates bytes or operations per second, None is unlimited.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

from .._core.changes import ChangeSet
from .._core.errors import HypervisorError, InputError
from .._core.units import format_bytes, format_rate, parse_bytes, parse_rate

MIB = 1024**2
AGENT = "org.qemu.guest_agent.0"
# libvirt's units of memory; without one it means KiB.
_UNITS = {"b": 1, "bytes": 1, "KB": 1000, "k": 1024, "KiB": 1024, "": 1024, "MB": 1000**2, "M": MIB, "MiB": MIB}
_LARGE = {"GB": 1000**3, "G": 1024**3, "GiB": 1024**3, "TB": 1000**4, "T": 1024**4, "TiB": 1024**4}
# Our name of a limit: libvirt's name of it, of its burst, and of the total that excludes it.
IO_NAMES = {
    "read": ("read_bytes_sec", "total_bytes_sec"),
    "write": ("write_bytes_sec", "total_bytes_sec"),
    "read_iops": ("read_iops_sec", "total_iops_sec"),
    "write_iops": ("write_iops_sec", "total_iops_sec"),
}


@dataclass(frozen=True)
class Shape:
    """What a virtual machine has: in its running instance or in its definition.

    ``disks`` maps a target (vda) to libvirt's iotune values by libvirt's names; absent or 0 is unlimited. ``agent``
    says whether a guest agent is connected. ``vcpus`` counts those that the hypervisor gives.
    """

    vcpus: int
    max_vcpus: int
    memory: int
    max_memory: int
    disks: Mapping[str, Mapping[str, int]]
    agent: bool = False


@dataclass(frozen=True)
class Wish:
    """What a virtual machine shall have; None, and limits that are not named, stay as they are."""

    name: str
    vcpus: int | None = None
    memory: int | None = None
    disks: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One call: ``kind`` is vcpus, memory or disk; ``live`` the running instance, else the definition."""

    kind: str
    live: bool
    value: int = 0
    disk: str = ""
    limits: Mapping[str, int] = field(default_factory=dict)


def _tree(text: str) -> ElementTree.Element:
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.Parse(text, True)
    return builder.close()


def _memory(element: ElementTree.Element | None) -> int:
    if element is None or not element.text:
        raise HypervisorError("libvirt's description of the domain has no memory")
    return int(element.text) * {**_UNITS, **_LARGE}[element.get("unit", "")]


def shape_of(text: str) -> Shape:
    """Read a domain's XML. Raises HypervisorError when it lacks vCPUs or memory."""
    tree = _tree(text)
    vcpu = tree.find("vcpu")
    if vcpu is None or not vcpu.text:
        raise HypervisorError("libvirt's description of the domain has no vCPUs")
    memory = tree.find("memory")
    current = tree.find("currentMemory")
    disks: dict[str, dict[str, int]] = {}
    for disk in tree.findall("devices/disk"):
        target, tune = disk.find("target"), disk.find("iotune")
        if target is not None:
            values = [] if tune is None else [(item.tag, item.text or "0") for item in tune if item.tag != "group_name"]
            disks[target.get("dev", "")] = {name: int(value) for name, value in values if int(value)}
    channels = tree.findall("devices/channel/target")
    return Shape(
        vcpus=int(vcpu.get("current", vcpu.text)),
        max_vcpus=int(vcpu.text),
        memory=_memory(memory if current is None else current),
        max_memory=_memory(memory),
        disks=disks,
        agent=any(item.get("name") == AGENT and item.get("state") == "connected" for item in channels),
    )


def _disk_wish(name: str, options: Mapping[str, Any]) -> dict[str, int]:
    wished = {}
    for key in IO_NAMES:
        value = options.get(key)
        if value is None:
            continue
        if key in ("read", "write"):
            wished[key] = parse_rate(value)
        elif isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise InputError(f"{key} is {value!r}", item=name, hint="write a number of operations per second")
        else:
            wished[key] = value
    return wished


def wish_of(options: Mapping[str, Any]) -> Wish:
    """Read one entry of the module's list. Memory is rounded up to whole MiB. Raises InputError."""
    name = str(options.get("name") or "")
    if not name:
        raise InputError("a virtual machine has no name", hint="every entry needs the name of its libvirt domain")
    vcpus = options.get("vcpus")
    if vcpus is not None and vcpus < 1:
        raise InputError(f"vcpus is {vcpus}, at least 1 is needed", item=name)
    disks: dict[str, dict[str, int]] = {}
    try:
        memory = None if options.get("memory") is None else -(-parse_bytes(options["memory"]) // MIB) * MIB
        for disk in options.get("disks") or []:
            if disk["target"] in disks:
                raise InputError(f"the disk {disk['target']} is listed twice")
            disks[disk["target"]] = _disk_wish(name, disk)
    except InputError as error:
        raise InputError(error.message, item=name, hint=error.hint) from None
    if memory == 0:
        raise InputError("memory is 0", item=name, hint="write it like 2GiB")
    return Wish(name, vcpus, memory, disks)


def _show(key: str, value: int) -> str:
    if key in ("read", "write"):
        return format_rate(value or None)
    return str(value) if value else "infinity"


def _compare_disk(changes: ChangeSet, where: str, disk: str, wished: Mapping[str, int], has: Mapping[str, int]) -> Step:
    limits: dict[str, int] = {}
    for key, value in wished.items():
        name, total = IO_NAMES[key]
        path = f"{where}.{disk}.{key}"
        # libvirt refuses a limit above its burst: the burst goes along, so that a second's worth may pass at once.
        if changes.compare("limit", path, _show(key, has.get(name, 0)), _show(key, value)):
            limits.update({name: value, f"{name}_max": value})
        if value and changes.compare("limit", f"{where}.{disk}.{total}", has.get(total, 0), 0):
            limits.update({total: 0, f"{total}_max": 0})
    # libvirt takes the limits of bytes together, and those of operations, and drops the ones that it is not given.
    for total in sorted({IO_NAMES[key][1] for key in wished}):
        names = [total, *(name for name, excluded in IO_NAMES.values() if excluded == total)]
        if not limits.keys().isdisjoint(names):
            kept = [name for name in (*names, *(f"{name}_max" for name in names)) if has.get(name)]
            limits = {**{name: has[name] for name in kept}, **limits}
    return Step("disk", where == "live", disk=disk, limits=limits)


def compare(wish: Wish, where: str, has: Shape, changes: ChangeSet) -> list[Step]:
    """Record in ``changes`` how ``has`` (the shape ``where`` = live or persistent) differs from the wish; return the
    steps that make it equal. Raises InputError for what this machine cannot have."""
    live, steps = where == "live", []
    if wish.vcpus is not None:
        if wish.vcpus > has.max_vcpus:
            raise InputError(
                f"{wish.vcpus} vCPUs are wanted, its {where} maximum is {has.max_vcpus}",
                item=wish.name,
                hint="the maximum is fixed when a machine is defined",
            )
        if changes.compare("resize", f"{where}.vcpus", has.vcpus, wish.vcpus):
            steps.append(Step("vcpus", live, wish.vcpus))
    if wish.memory is not None:
        if wish.memory > has.max_memory:
            raise InputError(
                f"{format_bytes(wish.memory)} of memory are wanted, its {where} maximum is "
                f"{format_bytes(has.max_memory)}",
                item=wish.name,
                hint="the maximum is fixed when a machine is defined",
            )
        if has.memory != wish.memory:
            changes.add("resize", f"{where}.memory", format_bytes(has.memory), format_bytes(wish.memory))
            steps.append(Step("memory", live, wish.memory))
    for disk, wished in wish.disks.items():
        if disk not in has.disks:
            raise InputError(
                f"it has no disk {disk}", item=wish.name, hint=f"its disks are {', '.join(has.disks) or 'none'}"
            )
        step = _compare_disk(changes, where, disk, wished, has.disks[disk])
        if step.limits:
            steps.append(step)
    return steps


def report(shape: Shape | None) -> dict[str, Any] | None:
    """A shape as the module returns it."""
    if shape is None:
        return None
    disks = {
        disk: {key: tune.get(name) or None for key, (name, _total) in IO_NAMES.items()}
        for disk, tune in shape.disks.items()
    }
    return {
        "vcpus": shape.vcpus,
        "max_vcpus": shape.max_vcpus,
        "memory": shape.memory,
        "max_memory": shape.max_memory,
        "disks": disks,
    }


def count_cpus(listed: str) -> int:
    """How many CPUs a list like ``0-1,3`` names."""
    total = 0
    for part in listed.split(","):
        first, _dash, last = part.strip().partition("-")
        total += int(last or first) - int(first) + 1 if first else 0
    return total
