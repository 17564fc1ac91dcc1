# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a cell: resize first, then relieve full VMs, then empty those that are not needed, then ask for a VM."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .._core.errors import InputError
from .._planning import moves
from .._planning.demand import MEMORY, RESOURCES
from .._planning.guard import Guard, Past
from .._planning.plan import Action, plan_document
from .._planning.policy import Policy
from .._planning.policy_reader import narrowed, policy_document
from .._planning.resize import Observed, Resized, resize
from .._planning.verdict import RULES, cautious
from .._planning.wholeplan import least_vms
from .._store.interface import Document, Store
from .cells import Picture, picture, resized
from .observed import Measured, observed, vm_checks
from .proposal import Proposal, add_moves, add_new_vm, add_resize
from .verify import take_back

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
else:
    try:
        import numpy as np
    except ImportError:  # the plugin that needs it says so (libraries.require)
        pass


def propose(
    store: Store,
    cell: str,
    vms: Mapping[str, Document],
    tenants: Mapping[str, Document],
    policy: Policy,
    now: datetime,
    *,
    mode: str,
    measured: Mapping[str, Sequence[Mapping[str, Any]]],
    more: Sequence[Action] = (),
    undo: Sequence[Action] = (),
    trusted: Mapping[str, float] | None = None,
    only: Collection[str] = (),
    profiles: Mapping[str, Document] | None = None,
) -> Document:
    """Propose a plan for the cell. It reads the store and changes nothing.

    ``more`` actions are part of it, ``undo`` those that take something back, which comes first; ``trusted`` says how
    far each rule is trusted, 1 where it does not. ``only``: correct nothing but these VMs (a cell is not consolidated
    then). ``profiles`` are those that have been read already. Raises InputError for a VM that is not in the cell.
    """
    unknown = sorted(set(only) - set(vms))
    if unknown:
        raise InputError("there is no such VM in this cell", item=", ".join(unknown), hint="use its inventory name")
    told, policy = policy_document(policy), cautious(policy, trusted or dict.fromkeys(RULES, 1.0))
    pict = picture(store, vms, dict(profiles or {}), [], policy, now)
    before, vms_before = float(moves.score(pict.cell, range(len(pict.keys)))), _in_use(pict)
    proposal = Proposal(pict)
    proposal.actions, proposal.notes = take_back(pict, undo, tenants, policy)
    history = Measured(store, pict, policy, now)
    seen = observed(pict, history, tenants, measured, policy, now)
    proposal.notes += [f"the rule {rule} is trusted {share:g}" for rule, share in (trusted or {}).items() if share < 1]
    settled = {
        name
        for name, one in tenants.items()
        if one["state"] != "absent" and not one.get("moving_to") and (not only or one.get("vm") in only)
    }
    settled -= {action.tenant for action in undo}
    targets = _resizes(proposal, seen, history, tenants, settled, policy)
    _grow(pict, targets, policy)
    guard = _guard(pict, tenants, policy, now)
    guard.moved |= {row for row, entry in enumerate(pict.entries) if entry.name in {one.tenant for one in undo}}
    shares = vm_checks(pict, history.checks)
    steps, stuck = moves.relieve(pict.cell, guard, shares, {pict.index[key] for key in only} or None)
    if not only:
        steps += moves.consolidate(pict.cell, guard)
    for step in steps:
        add_moves(proposal, step)
    add_new_vm(proposal, stuck)
    proposal.actions.extend(more)
    proposal.limits.update(guard.bites)
    after = float(moves.score(pict.cell, range(len(pict.keys))))
    return plan_document(
        cell,
        proposal.actions,
        mode=mode,
        policy=told,
        score={
            "before": round(before, 4),
            "after": round(after, 4),
            "vms_before": vms_before,
            "vms_after": _in_use(pict),
            "vms_least": least_vms(pict.cell.packer),
        },
        limits=dict(sorted(proposal.limits.items())),
        notes=[*proposal.notes, *([f"only for {', '.join(sorted(only))}"] if only else [])],
    )


def _in_use(pict: Picture) -> int:
    return sum(bool(members) for members in pict.cell.packer.members)


def _resizes(
    proposal: Proposal,
    seen: Observed,
    history: Measured,
    tenants: Mapping[str, Document],
    settled: set[str],
    policy: Policy,
) -> Floats:
    """Add the resize actions; returns the limits afterwards (n, R)."""
    pict = proposal.pict
    groups: dict[Policy, list[int]] = {}
    keyed: dict[str, Policy] = {}
    for row, entry in enumerate(pict.entries):
        if entry.name in settled and tenants[entry.name].get("vm") == pict.keys[entry.vm]:
            profile = entry.profile["key"]
            if profile not in keyed:
                keyed[profile] = replace(narrowed(policy, profile=profile), overrides=())
            groups.setdefault(keyed[profile], []).append(row)
    targets = seen.limits.copy()
    found: dict[int, tuple[Resized, int, Policy]] = {}
    for rule, rows in groups.items():
        done = resize(_rows(seen, rows), rule.resize, rule.sizing)
        smaller = done.target[:, MEMORY] < seen.limits[rows, MEMORY]
        if smaller.any():  # only memory that would shrink needs to know what it was used for in the last days
            history.remember([row for row, less in zip(rows, smaller) if less])
            done = resize(_rows(replace(seen, keep=history.keep), rows), rule.resize, rule.sizing)
        for number, row in enumerate(rows):
            proposal.limits.update(done.bites[number])
            if done.changed[number].any():
                targets[row] = done.target[number]
                found[row] = (done, number, rule)
    held = _within_memory(pict, seen.limits, targets)
    proposal.limits["packing.memory_overcommit"] += len(held)
    for row, (done, number, rule) in sorted(found.items()):
        if (targets[row] != seen.limits[row]).any():
            bites = (*done.bites[number], "packing.memory_overcommit") if row in held else done.bites[number]
            add_resize(proposal, targets[row], done.reasons[number], bites, row, tenants, rule)
    return targets


def _within_memory(pict: Picture, limits: Floats, targets: Floats) -> set[int]:
    """Take back memory growth, of the least important first, where all maxima of a VM would exceed what it may promise.
    Returns those rows."""
    held: set[int] = set()
    sums = np.zeros(len(pict.keys))
    memory = np.nan_to_num(targets[:, MEMORY], posinf=0.0)
    places = np.array([entry.vm for entry in pict.entries], dtype=np.int64)
    np.add.at(sums, places, memory)
    growth = targets[:, MEMORY] > limits[:, MEMORY]
    order = sorted(np.flatnonzero(growth), key=lambda row: (pict.entries[row].priority, pict.entries[row].name))
    for row in order:
        vm = places[row]
        if sums[vm] > pict.cell.packer.limit_room[vm] * (1 + 1e-9):
            sums[vm] -= targets[row, MEMORY] - limits[row, MEMORY]
            targets[row, MEMORY] = limits[row, MEMORY]
            held.add(int(row))
    return held


def _rows(seen: Observed, rows: Sequence[int]) -> Observed:
    index = np.array(rows, dtype=np.int64)
    return Observed(**{name: value[index] for name, value in vars(seen).items()})


def _grow(pict: Picture, targets: Floats, policy: Policy) -> None:
    """Let the packer know the new limits, so that what is resized is what is placed."""
    changed = {
        row: {name: float(value) if np.isfinite(value) else None for name, value in zip(RESOURCES, targets[row])}
        for row, entry in enumerate(pict.entries)
        if not _same(entry.limits, targets[row])
    }
    resized(pict, changed, policy)


def _same(limits: Mapping[str, float | None], row: Floats) -> bool:
    values = [limits.get(name) for name in RESOURCES]
    return all((value is None and not np.isfinite(new)) or value == new for value, new in zip(values, row))


def _marks(move: Mapping[str, Any]) -> dict[str, bool]:
    return {mark: bool(move.get(mark)) for mark in ("useless", "failed")}


def _guard(pict: Picture, tenants: Mapping[str, Document], policy: Policy, now: datetime) -> Guard:
    pasts, rules = [], []
    cache: dict[str, Any] = {}
    for entry in pict.entries:
        history = [
            Past(one["at"].timestamp(), one["source"], one["target"], float(one["gain"]), **_marks(one))
            for one in (tenants.get(entry.name) or {}).get("moves") or ()
        ]
        pasts.append(history)
        profile = entry.profile["key"]
        if profile not in cache:
            cache[profile] = narrowed(policy, profile=profile).move
        rules.append(cache[profile])
    guard = Guard(pict.cell.guests, pasts, rules, policy.move, now.timestamp())
    for row, entry in enumerate(pict.entries):  # one that is on its way already stays out of this
        tenant = tenants.get(entry.name)
        if tenant is None or tenant.get("moving_to") or tenant.get("vm") != pict.keys[entry.vm]:
            guard.moved.add(row)
    return guard
