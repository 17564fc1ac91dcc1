# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves: relieve VMs that are or will be too full, then empty VMs that are not needed.

Both work on a Cell, which they change as they decide; a step (all moves for one VM) is kept only if it improves the
score of the VMs it touches by the policy's least gain, and undone otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .admission import Cell
from .demand import MEMORY
from .guard import Guard
from .hot import Hot, hot, lead_windows
from .policy import Consolidation

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

_Q90 = 1.2815515655446004  # the .9 quantile of the standard normal distribution
_SLACK = 1e-5  # what single precision leaves of an exact fit
OVERLOAD = 40.0  # a VM at the high watermark, one twentieth over its fill, weighs as much as two whole VMs


@dataclass(frozen=True)
class Moved:
    """One tenant's move, by indices."""

    guest: int
    source: int
    target: int


@dataclass(frozen=True)
class Step:
    """Moves that belong together: ``kind`` relieve or empty, of VM ``vm``, with scores of the touched VMs.
    ``measured``: they follow from what was measured, not from a forecast."""

    kind: str
    vm: int
    moves: tuple[Moved, ...]
    before: float
    after: float
    reason: str
    peak_before: float
    peak_after: float
    measured: bool = False

    @property
    def gain(self) -> float:
        """The relative improvement of the score."""
        return 1.0 - self.after / self.before if self.before > 0 else 0.0


def score(cell: Cell, vms: Sequence[int]) -> float:
    """VMs in use plus forty times what their peaks exceed the fill by; lower is better."""
    total = 0.0
    for vm in vms:
        if cell.packer.members[vm]:
            total += 1.0 + OVERLOAD * max(0.0, float(cell.packer.used_of(vm).max()) - cell.policy.packing.fill)
    return total


def relieve(
    cell: Cell, guard: Guard, checks: Floats | None = None, only: Collection[int] | None = None
) -> tuple[list[Step], list[Hot]]:
    """Moves out of VMs that are too full, or out of those of them that are in ``only``. Also returns the VMs that could
    not be relieved, with the reason: they are what a new VM is asked for."""
    steps: list[Step] = []
    stuck: list[Hot] = []
    found = hot(cell, checks)
    avoid = {one.vm for one in found}
    for one in found:
        if only is not None and one.vm not in only:
            continue
        moves, relieved = _unload(cell, guard, one.vm, avoid)
        step = _judge(cell, guard, "relieve", moves, one)
        if step is not None:
            steps.append(step)
        if step is None or not relieved:
            stuck.append(one)
    return steps, stuck


def _over(cell: Cell, vm: int) -> float:
    return float(np.maximum(cell.packer.used_of(vm) - cell.policy.packing.fill, 0.0).sum())


def _unload(cell: Cell, guard: Guard, vm: int, avoid: set[int]) -> tuple[list[Moved], bool]:
    """Move tenants out of a VM until its peak is within the fill: the cheapest that does it alone, else the most
    relieving for its cost, and so on."""
    moves: list[Moved] = []
    banned: set[int] = set()
    start = _over(cell, vm)
    while _over(cell, vm) > _SLACK:
        if guard.room(1):
            return moves, False
        ranked = _rank(cell, vm, [one for one in cell.packer.members[vm] if one not in banned])
        for guest in ranked:
            banned.add(guest)
            moved = _move(cell, guard, guest, vm, avoid, start)
            if moved is not None:
                moves.append(moved)
                break
        else:
            return moves, False
    return moves, bool(moves)


def _rank(cell: Cell, vm: int, candidates: Sequence[int]) -> list[int]:
    """Candidates in the order in which they should leave."""
    if not candidates:
        return []
    over = np.maximum(cell.packer.used_without(vm, candidates) - cell.policy.packing.fill, 0.0).sum(axis=(1, 2))
    relief = _over(cell, vm) - over
    size = cell.packer.mean[list(candidates)].max(axis=(1, 2))
    keyed = []
    for number, guest in enumerate(candidates):
        cost = move_cost(cell, guest)
        enough = bool(over[number] <= _SLACK)
        key = (not enough, cost if enough else -float(relief[number]) / cost, float(size[number]))
        keyed.append((*key, cell.guests[guest].name, guest))
    return [item[-1] for item in sorted(keyed)]


def _move(cell: Cell, guard: Guard, guest: int, source: int, avoid: set[int], gain: float) -> Moved | None:
    """Move a tenant to the best VM that has room for it and that the guardrails allow."""
    if guard.may_leave(guest):
        return None
    one = cell.guests[guest]
    cell.remove(guest)
    eligible = cell.eligible(one)
    nearness = cell.nearness(one)
    barred = {source, *avoid}
    while True:
        target = cell.packer.choose(guest, eligible, nearness, barred)
        if target < 0:
            cell.place(guest, source)
            return None
        if not guard.may_enter(guest, target, cell.vms[target].key, gain):
            cell.place(guest, target)
            guard.spend(guest, target)
            return Moved(guest, source, target)
        barred.add(target)


def _undo(cell: Cell, guard: Guard, moves: Sequence[Moved]) -> None:
    for moved in reversed(moves):
        cell.place(moved.guest, moved.source)
        guard.refund(moved.guest, moved.target)


def _judge(cell: Cell, guard: Guard, kind: str, moves: Sequence[Moved], cause: Hot) -> Step | None:
    """Keep the moves as a step if they improve the score enough, else undo them."""
    if not moves:
        return None
    vm = cause.vm
    touched = sorted({vm} | {moved.target for moved in moves})
    after = score(cell, touched)
    peak_after = float(cell.packer.used_of(vm).max()) if cell.packer.members[vm] else 0.0
    for moved in reversed(moves):
        cell.place(moved.guest, moved.source)
    before = score(cell, touched)
    for moved in moves:
        cell.place(moved.guest, moved.target)
    step = Step(kind, vm, tuple(moves), before, after, cause.why, cause.peak, peak_after, cause.measured)
    if step.gain + 1e-12 < cell.policy.move.min_gain:
        _undo(cell, guard, moves)
        guard.bites["move.min_gain"] += 1
        return None
    return step


def move_cost(cell: Cell, guest: int) -> float:
    """The disruption of a move in seconds: a fixed part, the memory over the bandwidth, priority, and lost warmth."""
    rule: Consolidation = cell.policy.consolidation
    memory = float(cell.packer.limits[guest]) or float(cell.packer.need(guest)[:, MEMORY].max())
    return (
        rule.fixed_cost
        + memory / rule.bandwidth
        + rule.priority_cost * cell.guests[guest].priority / 100
        + rule.warmth_cost
    )


def consolidate(cell: Cell, guard: Guard) -> list[Step]:
    """Empty the least used VMs, whole ones only, as long as what is saved is worth the disruption."""
    rule = cell.policy.consolidation
    if not rule.enabled:
        return []
    steps: list[Step] = []
    peak = cell.packer.used(_Q90).max(axis=2, initial=0.0)
    usage = peak.mean(axis=1)
    soon = peak[:, : lead_windows(cell.policy, rule.lead)].max(axis=1)
    in_use = [vm for vm in range(len(cell.vms)) if cell.packer.members[vm]]
    disruption = sum(move_cost(cell, guest) for vm in in_use for guest in cell.packer.members[vm])
    for vm in sorted(in_use, key=lambda one: (float(usage[one]), one)):
        if len(steps) >= rule.per_run:
            guard.bites["consolidation.per_run"] += 1
            break
        if usage[vm] >= cell.policy.move.low or len(in_use) - len(steps) < 2:
            break
        if soon[vm] >= cell.policy.move.low:
            guard.bites["consolidation.lead"] += 1
            continue
        step = _empty(cell, guard, vm, 1.0 / len(in_use), disruption)
        if step is not None:
            steps.append(step)
    return steps


def _empty(cell: Cell, guard: Guard, vm: int, share: float, disruption: float) -> Step | None:
    rule = cell.policy.consolidation
    members = sorted(cell.packer.members[vm], key=lambda one: (-float(cell.packer.mean[one].max()), one))
    cost = sum(move_cost(cell, guest) for guest in members)
    if disruption > 0 and share / (cost / disruption) < rule.ratio:
        guard.bites["consolidation.ratio"] += 1
        return None
    if guard.room(len(members)):
        return None
    idle = {one for one in range(len(cell.vms)) if not cell.packer.members[one]}
    peak = float(cell.packer.used_of(vm).max())
    moves: list[Moved] = []
    for guest in members:
        moved = _move(cell, guard, guest, vm, idle, 1.0)
        if moved is None:
            _undo(cell, guard, moves)
            return None
        moves.append(moved)
    if rule.headroom and not _headroom(cell, vm):
        _undo(cell, guard, moves)
        guard.bites["consolidation.headroom"] += 1
        return None
    windows = cell.policy.packing.windows
    why = f"its {len(members)} tenants fit into VMs that stay in use, in all of the next {windows} windows"
    return _judge(cell, guard, "empty", moves, Hot(vm, why, peak))


def _headroom(cell: Cell, emptied: int) -> bool:
    """Whether the other ready VMs have room for all that the fullest of them holds, in every window."""
    used = cell.packer.used()
    ready = np.array([one.ready for one in cell.vms])
    ready[emptied] = False
    if not ready.any():
        return False
    capacity = np.where(np.isfinite(cell.packer.capacity), cell.packer.capacity, 0.0)
    load = used * capacity[:, None, :]
    free = np.maximum(cell.policy.packing.fill * capacity[:, None, :] - load, 0.0)
    total = (free * ready[:, None, None]).sum(axis=0)
    return all(not (load[vm] > total - free[vm] + 1e-9).any() for vm in np.flatnonzero(ready))
