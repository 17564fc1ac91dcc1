# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verification: some time after a plan was applied, what was realised is kept beside what was predicted, moves of no
use are remembered, and what made things worse is proposed to be taken back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from .._planning import verdict
from .._planning.demand import RESOURCES
from .._planning.plan import Action
from .._planning.policy import Policy
from .._store.interface import Document, Store
from .cells import Picture, resized
from .writer import Writer, allocated, has

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
else:
    try:
        import numpy as np
    except ImportError:  # the plugin that needs it says so (libraries.require)
        pass

_LATE = timedelta(days=7)  # a plan that was not judged by then never is: too much else has happened
_UNDONE = timedelta(days=1)  # how long a rollback is proposed
MOVES = ("move", "consolidate")


def due(plan: Mapping[str, Any], policy: Policy, now: datetime) -> bool:
    """Whether a plan is to be verified now."""
    applied = plan.get("applied_at")
    if plan["state"] not in ("applied", "failed") or plan.get("verified_at") or applied is None:
        return False
    return bool(applied + wait(policy) <= now <= applied + _LATE)


def wait(policy: Policy) -> timedelta:
    """How long after a plan its effect is judged."""
    return timedelta(seconds=policy.plan.verify_after * max(policy.move.lead, policy.resize.lead))


@dataclass
class Verifier:
    """Judges the changes of one plan. ``use`` holds the checks (C, resources) of the tenants that it concerns."""

    store: Store
    policy: Policy
    now: datetime
    vms: Mapping[str, Document]
    tenants: Mapping[str, Document]
    use: dict[str, Floats] = field(default_factory=dict)

    def judge(self, plan: Document) -> Document:
        """The plan with what was realised, and with verdicts on its actions and itself."""
        actions = [dict(one) for one in plan["actions"]]
        done = [one for one in actions if one["state"] == "applied"]
        self._measure(plan, done)
        for one in done:
            if one["kind"] == "resize":
                one["verdict"], one["realised"] = self._resized(one)
            elif one["kind"] == "shadow":
                one["verdict"], one["realised"] = self._shadowed(one)
        groups: dict[str, list[dict[str, Any]]] = {}
        for one in done:
            if one["kind"] in MOVES:
                groups.setdefault(one["group"], []).append(one)
        for group in groups.values():
            self._moved(group)
        result = verdict.worst(one.get("verdict", verdict.UNKNOWN) for one in done)
        return {**plan, "actions": actions, "verified_at": self.now, "verdict": result}

    # -- measuring ------------------------------------------------------------------------------------------------

    def _measure(self, plan: Mapping[str, Any], done: Sequence[Mapping[str, Any]]) -> None:
        """Read what the tenants that the plan concerns used between it and its verification."""
        touched = {one[side]["vm"] for one in done if one["kind"] in MOVES for side in ("from", "to")}
        names = {one["tenant"] for one in done if one["tenant"]}
        names |= {name for vm in touched if vm in self.vms for name in self.vms[vm]["allocations"]}
        profiles = sorted({str(self.tenants[name]["profile"]) for name in names if name in self.tenants})
        start = plan["applied_at"]
        check = self.policy.resize.check
        count = max(1, math.ceil(wait(self.policy).total_seconds() / check))
        end = min(self.now, start + timedelta(seconds=count * check))
        for batch in self.store.read_usage(profiles, start, end):
            if batch.tenant not in names:
                continue
            slots = np.floor((np.frombuffer(batch.times) - start.timestamp()) / check).astype(np.int64)
            rows: Floats = np.full((count, len(RESOURCES)), np.nan)
            for column, metric in enumerate(RESOURCES):
                if metric in batch.values:
                    rows[:, column] = _means(slots, np.frombuffer(batch.values[metric]), count)
            self.use[batch.tenant] = rows

    def _peak(self, vm: str, names: Iterable[str]) -> float | None:
        """The highest share of a VM's capacity that some tenants used together, None if nothing was measured."""
        known = [self.use[name] for name in names if name in self.use]
        if not known or vm not in self.vms:
            return None
        total = np.nansum(np.stack(known), axis=0)
        limits = [self.vms[vm]["capacity"].get(name) or math.inf for name in RESOURCES]
        return float((total / np.array(limits)).max())

    # -- judging --------------------------------------------------------------------------------------------------

    def _moved(self, group: Sequence[dict[str, Any]]) -> None:
        """Judge moves that belong together by all VMs that they touched."""
        there = [one for one in group if self._stays(one)]
        touched = sorted({one[side]["vm"] for one in group for side in ("from", "to")})
        now: dict[str, float] = {}
        otherwise: dict[str, float] = {}
        for vm in touched:
            here = set(self.vms[vm]["allocations"]) if vm in self.vms else set()
            before = here - {one["tenant"] for one in there if one["to"]["vm"] == vm}
            before |= {one["tenant"] for one in there if one["from"]["vm"] == vm}
            for peaks, names in ((now, here), (otherwise, before)):
                peak = self._peak(vm, names)
                if peak is not None:
                    peaks[vm] = peak
        told, gain = verdict.of_places(verdict.Places(now, otherwise), self.policy)
        if len(there) < len(group) or not now:
            told = verdict.UNKNOWN
        for one in group:
            source, target = one["from"]["vm"], one["to"]["vm"]
            peaks = {"peak_after": now.get(source, 0.0), "target_peak_after": now.get(target, 0.0), "gain": gain}
            one["verdict"] = told
            one["realised"] = {} if told == verdict.UNKNOWN else {key: round(value, 4) for key, value in peaks.items()}

    def _stays(self, action: Mapping[str, Any]) -> bool:
        """Whether a tenant still is where an action took it, with nothing newer under way."""
        tenant = self.tenants.get(action["tenant"])
        there = tenant is not None and tenant["state"] != "absent" and tenant["vm"] == action["to"]["vm"]
        return bool(there and tenant is not None and not tenant.get("moving_to"))

    def _resized(self, action: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Judge every limit that a resize changed by the highest use under it."""
        tenant, use = self.tenants.get(action["tenant"]), self.use.get(action["tenant"])
        if tenant is None or use is None or not has(tenant, action["to"]):
            return verdict.UNKNOWN, {}
        old, new = allocated(action["from"]), allocated(action["to"])
        told, shares = [], {}
        for name in new:
            column = use[:, RESOURCES.index(name)]
            if np.isfinite(column).any():
                most, limit = float(np.nanmax(column)), new[name]
                told.append(verdict.of_limit(old.get(name), limit, most, self.policy))
                shares[f"{name}_share_of_limit"] = round(most / limit, 4) if limit else 0.0
        return verdict.worst(told), shares

    def _shadowed(self, action: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        shadow = self.store.get("shadows", str(action["to"].get("shadow")))
        if shadow is None or shadow["state"] == "waiting":
            return verdict.UNKNOWN, {}
        claimed = shadow["state"] == "claimed"
        return (verdict.GOOD if claimed else verdict.USELESS), {"claimed": claimed}


def _means(slots: Any, values: Floats, count: int) -> Floats:
    good = (slots >= 0) & (slots < count) & np.isfinite(values)
    number = np.bincount(slots[good], minlength=count)
    total = np.bincount(slots[good], weights=values[good], minlength=count)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def remember(plan: Mapping[str, Any], writer: Writer) -> None:
    """Mark the moves that were of no use in their tenants' documents, so that the guardrails know."""
    bad = (verdict.USELESS, verdict.WORSE)
    for one in plan["actions"]:
        if one["kind"] in MOVES and one.get("verdict") in bad and one["tenant"] in writer.tenants:
            writer.change("tenants", one["tenant"], lambda tenant: _useless(tenant, str(plan["key"])))


def _useless(tenant: Document, plan: str) -> Document | None:
    moves = [{**one, "useless": True} if one.get("plan") == plan else one for one in tenant.get("moves") or ()]
    return {**tenant, "moves": moves} if moves != list(tenant.get("moves") or ()) else None


def rollbacks(
    plans: Iterable[Mapping[str, Any]], tenants: Mapping[str, Document], policy: Policy, now: datetime
) -> list[Action]:
    """What would take back the changes that made things worse: as long as they are in force, for a day."""
    if not policy.plan.rollback:
        return []
    found = []
    for plan in sorted(plans, key=lambda one: str(one["key"])):
        if plan.get("verdict") != verdict.WORSE or plan["verified_at"] < now - _UNDONE:
            continue
        for one in plan["actions"]:
            tenant = tenants.get(one["tenant"])
            if one.get("verdict") != verdict.WORSE or one["rule"] == "rollback" or tenant is None:
                continue
            if _in_force(one, plan, tenant):
                found.append(_undo(one, plan))
    return found


def _in_force(action: Mapping[str, Any], plan: Mapping[str, Any], tenant: Mapping[str, Any]) -> bool:
    if tenant["state"] == "absent" or tenant.get("moving_to"):
        return False
    if action["kind"] == "resize":
        return has(tenant, action["to"])
    made = [one["plan"] for one in tenant.get("moves") or () if not one.get("failed")]
    return bool(tenant["vm"] == action["to"]["vm"] and made and made[-1] == plan["key"])


def _undo(action: Mapping[str, Any], plan: Mapping[str, Any]) -> Action:
    told = ", ".join(f"{key.replace('_', ' ')} {value:.2f}" for key, value in action["realised"].items())
    return Action(
        action["kind"],
        action["tenant"],
        f"takes back {action['id']} of {plan['key']}, which made it worse: {told}",
        rule="rollback",
        group=f"roll back {action['group'] or action['id']} of {plan['key']}",
        profile=action["profile"],
        before=action["to"],
        after=action["from"],
        effect={"undoes": f"{plan['key']} {action['id']}"},
        limits=("plan.rollback",),
    )


def take_back(
    pict: Picture, wanted: Sequence[Action], tenants: Mapping[str, Document], policy: Policy
) -> tuple[list[Action], list[str]]:
    """Make the rollbacks in the picture; those that are possible, and why the others are not."""
    rows = {(entry.name, pict.keys[entry.vm]): row for row, entry in enumerate(pict.entries) if entry.vm >= 0}
    kept: list[Action] = []
    notes: list[str] = []
    for action in wanted:
        row = rows.get((action.tenant, str(tenants[action.tenant]["vm"])))
        if action.kind in MOVES:
            place = str(action.after["vm"])
            done = row is not None and _back(pict, row, place)
        else:
            place = "its old size"
            done = row is not None and _restored(pict, row, allocated(action.after), policy)
        if done:
            kept.append(action)
        else:
            notes.append(f"{action.tenant} cannot go back to {place}: there is no room for it")
    return kept, notes


def _restored(pict: Picture, row: int, limits: Mapping[str, float | None], policy: Policy) -> bool:
    """Give a tenant limits that it had, unless its VM has promised the memory to others since."""
    packer = pict.cell.packer
    vm = int(packer.assignment[row])
    wanted = {**pict.entries[row].limits, **limits}
    more = float(wanted["memory"] or 0.0) - float(packer.limits[row])
    promised = float(packer.limits[sorted(packer.members[vm])].sum())
    if more > 0 and promised + more > packer.limit_room[vm] * (1 + 1e-9):
        return False
    resized(pict, {row: wanted}, policy)
    return True


def _back(pict: Picture, row: int, key: str) -> bool:
    vm = pict.index.get(key, -1)
    source = pict.cell.remove(row)
    room = vm >= 0 and bool(pict.cell.eligible(pict.cell.guests[row])[vm])
    room = room and bool(pict.cell.packer.fits(row, np.array([vm]))[0])
    pict.cell.place(row, vm if room else source)
    return room
