# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which VM takes each request: hard requirements, room in every window, proximity, priority, pre-emption by policy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .packing import Packer
from .policy import Policy
from .reasons import no_candidate, no_room, why_chosen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
    Bools = NDArray[np.bool_]
else:
    try:
        import numpy as np
    except ImportError:  # the plugin that needs it says so (libraries.require)
        pass


@dataclass(frozen=True)
class Vm:
    """A capacity VM as the planner sees it. ``group`` is the label by which policies select it."""

    key: str
    zone: str = ""
    host: str = ""
    os: str = ""
    libraries: frozenset[str] = frozenset()
    group: str = ""
    ready: bool = True


@dataclass(frozen=True)
class Guest:
    """A tenant, placed or not, without its demand (that is the packer's).

    ``near`` and ``apart`` hold profile names: rather beside them, never in one VM with them. ``needs`` are workloads
    whose neighbourhood is preferred (the dependency chain). ``last`` is the VM in which it ran before.
    """

    name: str
    profile: str
    workload: str = ""
    priority: int = 50
    os: str = ""
    libraries: frozenset[str] = frozenset()
    needs: tuple[str, ...] = ()
    near: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()
    zone: str = ""
    pinned: bool = False
    last: str = ""


@dataclass(frozen=True)
class HeldShadow:
    """A shadow that waits in a VM: ``amount`` (resources,) is what it holds, ``value`` what giving it up costs."""

    name: str
    profile: str
    vm: int
    amount: Floats
    value: float = 0.0


@dataclass(frozen=True)
class Decision:
    """Where one applicant goes. ``vm`` is -1 where there is no room, and ``reason`` says why in any case."""

    name: str
    vm: int
    reason: str
    claim: str = ""
    evicted: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()


class Cell:
    """The VMs of a cell with their residents: answers which VMs may take a guest and how near they are to its kin."""

    def __init__(self, vms: Sequence[Vm], guests: Sequence[Guest], packer: Packer, policy: Policy) -> None:
        self.vms = list(vms)
        self.guests = list(guests)
        self.packer = packer
        self.policy = policy
        self.homes: dict[str, Counter[int]] = {}
        self.bans: dict[str, Counter[int]] = {}
        self._static: dict[tuple[str, frozenset[str]], Bools] = {}
        self._index = {vm.key: number for number, vm in enumerate(vms)}
        self._zones = np.array([vm.zone for vm in vms], dtype=object)
        self._hosts = np.array([vm.host for vm in vms], dtype=object)
        for index in np.flatnonzero(packer.assignment >= 0):
            self._count(int(index), int(packer.assignment[index]), 1)

    def _count(self, guest: int, vm: int, by: int) -> None:
        one = self.guests[guest]
        for other in one.apart:
            self.bans.setdefault(other, Counter())[vm] += by
        for word in {one.profile, one.workload} - {""}:
            self.homes.setdefault(word, Counter())[vm] += by

    def place(self, guest: int, vm: int) -> None:
        """Put a guest into a VM and remember it as a neighbour."""
        before = int(self.packer.assignment[guest])
        if before >= 0:
            self._count(guest, before, -1)
        self.packer.place(guest, vm)
        self._count(guest, vm, 1)

    def remove(self, guest: int) -> int:
        """Take a guest out of its VM, return that VM."""
        vm = self.packer.remove(guest)
        self._count(guest, vm, -1)
        return vm

    def capable(self, guest: Guest) -> Bools:
        """VMs that are ready and provide the guest's operating system and libraries (VMs,)."""
        key = (guest.os, guest.libraries)
        if key not in self._static:
            self._static[key] = np.array(
                [
                    vm.ready and (not guest.os or not vm.os or vm.os == guest.os) and guest.libraries <= vm.libraries
                    for vm in self.vms
                ],
                dtype=bool,
            )
        return self._static[key]

    def eligible(self, guest: Guest) -> Bools:
        """Capable VMs without a neighbour that the guest must not meet."""
        mask = self.capable(guest)
        if guest.zone:
            mask = mask & (self._zones == guest.zone)
        blocked = {home for other in guest.apart for home, n in self.homes.get(other, {}).items() if n > 0}
        blocked |= {home for home, n in self.bans.get(guest.profile, {}).items() if n > 0}
        if blocked:
            mask = mask.copy()
            mask[sorted(blocked)] = False
        return mask

    def nearness(self, guest: Guest) -> Floats | None:
        """Score factors (VMs,) for being in the VM, the host or the zone of what the guest belongs to, and in the VM in
        which it ran before; None for none.

        In the VM 1 + proximity, on its host 1 + 2/3, in its zone 1 + 1/3 of it.
        """
        rule = self.policy.packing
        homes = {vm for word in (*guest.needs, *guest.near) for vm, n in self.homes.get(word, {}).items() if n > 0}
        factor = np.ones(len(self.vms), dtype=np.float32)
        if homes and rule.proximity:
            rows = sorted(homes)
            zones, hosts = set(self._zones[rows]) - {""}, set(self._hosts[rows]) - {""}
            factor += rule.proximity / 3 * np.array([zone in zones for zone in self._zones])
            factor += rule.proximity / 3 * np.array([host in hosts for host in self._hosts])
            factor[rows] = 1 + rule.proximity
        elif guest.last not in self._index:
            return None
        if guest.last in self._index:
            factor[self._index[guest.last]] *= 1 + rule.incumbent
        return factor


def admit(
    cell: Cell,
    applicants: Iterable[int],
    shadows: Mapping[str, HeldShadow] | None = None,
    *,
    clock: Sequence[str] = (),
) -> list[Decision]:
    """Place the applicants (indices of ``cell.guests``), the highest priority first; answers come in that order.

    A waiting shadow of the same profile is claimed if its VM has room. ``clock`` names the windows for reasons.
    Changes ``cell``; a guest without room stays unplaced.
    """
    waiting = dict(shadows or {})
    order = sorted(applicants, key=lambda index: (-cell.guests[index].priority, cell.guests[index].name))
    return [_admit_one(cell, index, waiting, clock) for index in order]


def _admit_one(cell: Cell, index: int, waiting: dict[str, HeldShadow], clock: Sequence[str]) -> Decision:
    guest = cell.guests[index]
    eligible = cell.eligible(guest)
    if not eligible.any():
        return Decision(guest.name, -1, no_candidate(cell, guest))
    claimed = _claim(cell, index, eligible, waiting)
    if claimed is not None:
        return claimed
    vm = cell.packer.choose(index, eligible, cell.nearness(guest))
    if vm >= 0:
        cell.place(index, vm)
        return Decision(guest.name, vm, why_chosen(cell, vm, int(eligible.sum()), clock))
    return _preempt(cell, index, eligible, waiting, clock)


def _claim(cell: Cell, index: int, eligible: Bools, waiting: dict[str, HeldShadow]) -> Decision | None:
    guest = cell.guests[index]
    for name in sorted(waiting):
        shadow = waiting[name]
        if shadow.profile != guest.profile or not eligible[shadow.vm]:
            continue
        cell.packer.hold(shadow.vm, -shadow.amount)
        if cell.packer.fits(index, np.array([shadow.vm]))[0]:
            del waiting[name]
            cell.place(index, shadow.vm)
            return Decision(guest.name, shadow.vm, f"the shadow {name} waits in {cell.vms[shadow.vm].key}", claim=name)
        cell.packer.hold(shadow.vm, shadow.amount)
    return None


def _preempt(cell: Cell, index: int, eligible: Bools, waiting: dict[str, HeldShadow], clock: Sequence[str]) -> Decision:
    guest = cell.guests[index]
    if cell.policy.preempt.shadows:
        decision = _drop_shadows(cell, index, eligible, waiting)
        if decision is not None:
            return decision
    if cell.policy.preempt.tenants:
        decision = _evict(cell, index, eligible)
        if decision is not None:
            return decision
    miss = cell.packer.nearest_miss(index, eligible)
    limits = [] if cell.policy.preempt.tenants else ["preempt.tenants: no tenant gives way to another"]
    return Decision(guest.name, -1, no_room(cell, miss, int(eligible.sum()), clock), limits=tuple(limits))


def _drop_shadows(cell: Cell, index: int, eligible: Bools, waiting: dict[str, HeldShadow]) -> Decision | None:
    by_vm: dict[int, list[HeldShadow]] = {}
    for shadow in sorted(waiting.values(), key=lambda one: (one.value, one.name)):
        if eligible[shadow.vm]:
            by_vm.setdefault(shadow.vm, []).append(shadow)
    score = cell.packer.scores(index)
    for vm in sorted(by_vm, key=lambda one: (-float(score[one]), one)):
        dropped: list[HeldShadow] = []
        for shadow in by_vm[vm]:
            cell.packer.hold(vm, -shadow.amount)
            dropped.append(shadow)
            if cell.packer.fits(index, np.array([vm]))[0]:
                for one in dropped:
                    del waiting[one.name]
                cell.place(index, vm)
                names = tuple(one.name for one in dropped)
                reason = f"room in {cell.vms[vm].key} after giving up the shadow {', '.join(names)}"
                return Decision(cell.guests[index].name, vm, reason, dropped=names)
        for shadow in dropped:
            cell.packer.hold(vm, shadow.amount)
    return None


def _evict(cell: Cell, index: int, eligible: Bools) -> Decision | None:
    """Evict the fewest, least important tenants of one VM whose priority lies the policy's gap below."""
    guest = cell.guests[index]
    best: tuple[tuple[int, int, int], list[int]] | None = None
    for vm in [int(row) for row in np.flatnonzero(eligible)]:
        lower = [
            member
            for member in cell.packer.members[vm]
            if cell.guests[member].priority + cell.policy.preempt.priority_gap <= guest.priority
            and not cell.guests[member].pinned
        ]
        victims = _victims(cell, index, vm, sorted(lower, key=lambda one: (cell.guests[one].priority, one)))
        if victims:
            cost = (len(victims), sum(cell.guests[one].priority for one in victims), vm)
            if best is None or cost < best[0]:
                best = (cost, victims)
    if best is None:
        return None
    vm, victims = best[0][2], best[1]
    for victim in victims:
        cell.remove(victim)
    cell.place(index, vm)
    names = tuple(cell.guests[one].name for one in victims)
    reason = f"priority {guest.priority}: room in {cell.vms[vm].key} after removing {', '.join(names)}"
    return Decision(guest.name, vm, reason, evicted=names)


def _victims(cell: Cell, index: int, vm: int, lower: list[int]) -> list[int]:
    removed: list[int] = []
    for member in lower:
        cell.packer.remove(member)
        removed.append(member)
        if cell.packer.fits(index, np.array([vm]))[0]:
            break
    enough = bool(removed) and bool(cell.packer.fits(index, np.array([vm]))[0])
    for member in removed:
        cell.packer.place(member, vm)
    return removed if enough else []
