# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives virtual machines the shape that is wished of them: read, compare, apply; one result per machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._core.changes import ChangeSet, result
from .._core.errors import HypervisorError, InputError, TenancyError
from .._core.units import format_bytes
from . import client
from .shape import Shape, Step, Wish, compare, report, wish_of


@dataclass(frozen=True)
class Order:
    """How wishes are carried out. ``patience`` is how many seconds a balloon may stand still before it counts as
    stuck; ``sleep`` waits."""

    where: str = "both"
    check: bool = False
    patience: float = 5.0
    sleep: Callable[[float], None] = time.sleep


def _read(domain: Any, wish: Wish, where: str) -> tuple[Shape | None, Shape | None]:
    live = client.instance(domain, wish.name, wish.vcpus is not None) if where != "persistent" else None
    persistent = client.definition(domain, wish.name) if where != "live" else None
    if live is None and persistent is None:
        reason = "it does not run" if where == "live" else "it has no definition: it is transient"
        raise HypervisorError(reason, item=wish.name, hint=f"there is nothing to change with where={where}")
    return live, persistent


def _settle_memory(domain: Any, name: str, size: int, order: Order) -> None:
    """Wait until the guest holds ``size``. Raises HypervisorError when it stops moving before."""
    pause, held, still = 0.1, client.balloon(domain, name), 0.0
    while held != size:
        if still >= order.patience:
            raise HypervisorError(
                f"its guest holds {format_bytes(held)} of memory, {format_bytes(size)} are wanted",
                item=name,
                hint="the guest has no more to give back now, or no balloon driver; run it again later",
            )
        order.sleep(pause)
        now = client.balloon(domain, name)
        still = 0.0 if now != held else still + pause
        held = now


def _set_live_vcpus(domain: Any, wish: Wish, shape: Shape, count: int) -> None:
    given = client.instance(domain, wish.name, False)
    has = shape.vcpus if given is None else given.vcpus
    if count > has or not shape.agent:
        client.set_vcpus(domain, wish.name, count, True)
    if not shape.agent:
        return
    # A guest takes vCPUs offline at once, where unplugging takes it longer than libvirt waits; and vCPUs that were
    # plugged in stay offline until the guest takes them.
    client.set_guest_vcpus(domain, wish.name, count)
    online = client.guest_vcpus(domain, wish.name)
    if online != count:
        raise HypervisorError(f"its guest has {online} vCPUs online, {count} are wanted", item=wish.name)


def _apply(domain: Any, wish: Wish, shape: Shape, step: Step, order: Order) -> None:
    if step.kind == "disk":
        client.set_disk(domain, wish.name, step.disk, step.limits, step.live)
    elif step.kind == "memory":
        client.set_memory(domain, wish.name, step.value, step.live)
        if step.live:
            _settle_memory(domain, wish.name, step.value, order)
    elif step.live:
        _set_live_vcpus(domain, wish, shape, step.value)
    else:
        client.set_vcpus(domain, wish.name, step.value, False)


def _reshape(connection: Any, wish: Wish, order: Order, changes: ChangeSet) -> tuple[Shape | None, Shape | None]:
    domain = client.find(connection, wish.name)
    live, persistent = _read(domain, wish, order.where)
    # Both are compared before either is touched, so that a wish that cannot be met changes nothing.
    found = ChangeSet(wish.name)
    planned = []
    for where, shape in (("persistent", persistent), ("live", live)):
        if shape is not None:
            planned += [(shape, step) for step in compare(wish, where, shape, found)]
    changes.changes += found.changes
    if not planned or order.check:
        return live, persistent
    for shape, step in planned:
        _apply(domain, wish, shape, step, order)
    return _read(domain, wish, order.where)


def reshape(connection: Any, vms: Sequence[Mapping[str, Any]], order: Order) -> list[dict[str, Any]]:
    """Carry out the wishes, entries of the module's list; one that fails has its ``error``, the others are done.

    ``live`` and ``persistent`` are the shapes after it, or before it in check mode; None where there is none, where
    it was not asked for, or after an error.
    """
    results, seen = [], set()
    for options in vms:
        changes = ChangeSet(options["name"])
        shapes: tuple[Shape | None, Shape | None] = (None, None)
        error = ""
        try:
            wish = wish_of(options)
            if wish.name in seen:
                raise InputError("it is listed twice", item=wish.name, hint="the first entry was taken")
            seen.add(wish.name)
            shapes = _reshape(connection, wish, order, changes)
        except TenancyError as problem:
            error = str(problem)
        results.append(result(changes, error, live=report(shapes[0]), persistent=report(shapes[1])))
    return results
