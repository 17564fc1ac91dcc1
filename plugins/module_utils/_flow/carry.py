# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying out a plan: a state machine over documents that any run can go on with.

A move reserves room in the target first (reserved), then both VMs hold the tenant; once the target says that it runs,
the tenant is the target's (switched) and the source lets it go; once the source says so, its room is free (applied).
Every transition is written in an order in which a run that is killed after any write leaves a state from which the same
transition can be made again: no tenant is lost, and none is doubled beyond the step that needs both. Where a request
ended, or came anew, while its tenant was on the way, the documents of tenants are right and the move is given up: no
action waits for what can no longer be said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .._planning.policy import Policy
from .._store.interface import Document, Store
from . import cells
from .decisions import record
from .resizer import Resizer
from .told import Told
from .writer import Writer

if TYPE_CHECKING:
    import numpy as np
else:
    try:
        import numpy as np
    except ImportError:  # the plugin that needs it says so (libraries.require)
        pass

FINAL = ("applied", "failed", "noted")
_ATTEMPTS = 20
_MOVES_KEPT = 20

Action = dict[str, Any]


@dataclass
class Carrier:
    """One call that carries a plan on. ``vms`` and ``tenants`` (by key) follow what it writes."""

    store: Store
    policy: Policy
    now: datetime
    dry: bool
    plan: Document
    vms: dict[str, Document]
    tenants: dict[str, Document]
    told: Told
    log: list[Document] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.writer = Writer(self.store, self.dry, self.vms, self.tenants)
        self.resizer = Resizer(self.writer, self.told, self.policy.packing.memory_overcommit, self.now)

    # -- one call --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Advance every action as far as what the VMs said allows."""
        steps: dict[str, Callable[[Action], None]] = {
            "requested": self._confirm_resize,
            "reserved": self._confirm_target,
            "switched": self._confirm_source,
            "abandoned": self._confirm_gone,
        }
        for action in self.plan["actions"]:
            self._catch_up(action)
            if action["state"] in steps:
                steps[action["state"]](action)
        begin = [action for action in self.plan["actions"] if action["state"] == "proposed"]
        self._begin(begin)
        self._whole_groups()
        if self.log and not self.dry:
            self.store.put_many("decisions", self.log)

    @property
    def done(self) -> bool:
        """Whether every action has come to its end."""
        return all(action["state"] in FINAL for action in self.plan["actions"])

    def _catch_up(self, action: Action) -> None:
        """Believe the documents where a killed run had written them, but not the plan, or where a request came anew."""
        name, tenant = action["tenant"], self.tenants.get(action["tenant"])
        moving = action["kind"] in ("move", "consolidate") and action["state"] in ("proposed", "reserved")
        if not moving or tenant is None or tenant["state"] == "absent":
            return
        source, target = action["from"]["vm"], action["to"]["vm"]
        if tenant["vm"] == target and not tenant.get("moving_to"):
            self._arrived(action)
        elif tenant["vm"] == source and tenant.get("moving_to") == target and self._held(name, target):
            action["state"] = "reserved"
        elif action["state"] == "reserved":
            self._abandon(action, f"it is no longer on its way from {source} to {target}")

    def _held(self, tenant: str, vm: str) -> bool:
        return vm in self.vms and tenant in (self.vms[vm].get("allocations") or {})

    def _lives(self, tenant: str, vm: str) -> bool:
        """Whether a VM is where a tenant belongs, so that its room there is not to be given back."""
        document = self.tenants.get(tenant)
        return document is not None and document["state"] != "absent" and document["vm"] == vm

    def _lost(self, vm: str) -> bool:
        return vm not in self.vms or self.vms[vm]["state"] == "lost"

    # -- beginning -------------------------------------------------------------------------------------------------

    def _begin(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if action["kind"] == "resize":
                why = self.resizer.begin(action)
                action["state"], action["error"] = ("failed", why) if why else ("requested", "")
            elif action["kind"] == "vm":
                action["state"] = "noted"
        moving = [action for action in actions if action["kind"] in ("move", "consolidate")]
        for _attempt in range(_ATTEMPTS):
            moving = self._begin_moves(moving) if moving else []
        for action in moving:
            self._fail(action, f"other runs changed {action['to']['vm']} each time")

    def _begin_moves(self, actions: Sequence[Action]) -> list[Action]:
        """Reserve room for the moves; returns those whose target another run has changed meanwhile."""
        pict = cells.picture(self.store, self.vms, {}, [], self.policy, self.now)
        rows = {(entry.name, pict.keys[entry.vm]): row for row, entry in enumerate(pict.entries)}
        again: list[Action] = []
        stale: set[str] = set()  # VMs that are no longer as in the picture: nothing more is decided on it for them
        for action in actions:
            if stale & {action["from"]["vm"], action["to"]["vm"]}:
                again.append(action)
                continue
            why = self._may_move(action, pict, rows)
            if why:
                self._fail(action, why)
            elif not self._reserve(action):
                stale.add(action["to"]["vm"])
                again.append(action)
        return again

    def _may_move(self, action: Action, pict: cells.Picture, rows: Mapping[tuple[str, str], int]) -> str:
        """Why a move can no longer begin; else the tenant is placed in the target of the picture."""
        source, target = action["from"]["vm"], action["to"]["vm"]
        tenant = self.tenants.get(action["tenant"])
        row = rows.get((action["tenant"], source))
        if tenant is None or tenant["state"] == "absent" or tenant["vm"] != source or row is None:
            return f"the tenant is no longer in {source}"
        if tenant.get("moving_to") not in (None, target):
            return f"it is on its way to {tenant['moving_to']}"
        if self._held(action["tenant"], target):
            return ""  # a killed run has reserved its room
        if self._lost(target) or self.vms[target]["state"] != "ready":
            return f"{target} is not ready"
        vm = pict.index[target]
        pict.cell.remove(row)
        if pict.cell.eligible(pict.cell.guests[row])[vm] and pict.cell.packer.fits(row, np.array([vm]))[0]:
            pict.cell.place(row, vm)
            return ""
        pict.cell.place(row, pict.index[source])
        return f"{target} has no room for it any more"

    def _reserve(self, action: Action) -> bool:
        """Take the room in the target; False when another run has changed the target since it was looked at."""
        name, source, target = action["tenant"], action["from"]["vm"], action["to"]["vm"]
        held = {**self.vms[source]["allocations"][name], "kind": "incoming", "since": self.now}
        seen = self.vms[target].get("version")

        def enter(vm: Document) -> Document | None:
            if name in vm["allocations"] or vm.get("version") != seen:
                return None
            return {**vm, "allocations": {**vm["allocations"], name: held}}

        self.writer.change("vms", target, enter)
        if not self._held(name, target):
            return False
        self.writer.change("tenants", name, lambda tenant: {**tenant, "moving_to": target})
        action["state"] = "reserved"
        return True

    # -- going on --------------------------------------------------------------------------------------------------

    def _confirm_resize(self, action: Action) -> None:
        why = self.resizer.confirm(action)
        if why:
            self._fail(action, why)
        elif why is not None:
            self._finish(action, self.tenants[action["tenant"]])

    def _confirm_target(self, action: Action) -> None:
        name, source, target = action["tenant"], action["from"]["vm"], action["to"]["vm"]
        tenant = self.tenants.get(name)
        if tenant is None or tenant["state"] == "absent":
            self._abandon(action, "the tenant is gone")
        elif self._lost(target):
            self._abandon(action, f"{target} is lost")
        elif self.told.error(name, target):
            self._abandon(action, self.told.error(name, target), failed=True)
        elif self.told.present(name, target, 0 if self._lost(source) else 1):
            self._switch(action)

    def _switch(self, action: Action) -> None:
        source, target = action["from"]["vm"], action["to"]["vm"]

        def switch(tenant: Document) -> Document | None:
            if tenant["vm"] != source or tenant.get("moving_to") != target:
                return None  # another run has ended its request just now
            changed = {"vm": target, "moving_to": None, "claim": None, **self._remembered(tenant, action, failed=False)}
            return {**tenant, **changed, "moved_at": self.now, "placed_at": self.now}

        self.writer.change("tenants", action["tenant"], switch)
        if self._lives(action["tenant"], target):
            self._arrived(action)

    def _remembered(self, tenant: Document, action: Action, *, failed: bool) -> dict[str, Any]:
        """The moves of a tenant with this one, for the guardrails: one that the target did not take was of no use."""
        move = {
            "at": self.now, "source": action["from"]["vm"], "target": action["to"]["vm"], "plan": self.plan["key"],
            "gain": float(action["effect"].get("gain") or 0.0), "useless": failed, "failed": failed,
        }  # fmt: skip
        return {"moves": [*(tenant.get("moves") or ()), move][-_MOVES_KEPT:]}

    def _arrived(self, action: Action) -> None:
        """The tenant is the target's: the source is to let it go."""
        self.writer.mark(action["tenant"], action["to"]["vm"], "tenant")
        self.writer.leaving(action["tenant"], action["from"]["vm"])
        action["state"] = "switched"

    def _confirm_source(self, action: Action) -> None:
        name, source = action["tenant"], action["from"]["vm"]
        if self._lives(name, source):  # it was placed anew, and this room is that of its new place
            self._fail(action, f"the tenant is in {source} again")
        elif self._lost(source) or not self._held(name, source) or self.told.absent(name, source):
            self.writer.leave(name, source)
            if name in self.tenants:
                self._finish(action, self.tenants[name])
            else:
                self._fail(action, "the tenant is gone")

    def _abandon(self, action: Action, why: str, *, failed: bool = False) -> None:
        """The target does not get the tenant; what it may have of it goes first. ``failed``: it could not run it."""
        name, target = action["tenant"], action["to"]["vm"]

        def stay(tenant: Document) -> Document | None:
            if tenant.get("moving_to") != target:
                return None
            moves = self._remembered(tenant, action, failed=True) if failed else {}
            return {**tenant, **moves, "moving_to": None}

        if name in self.tenants:
            self.writer.change("tenants", name, stay)
        if not self._lives(name, target):
            self.writer.leaving(name, target)
        action["error"] = why
        action["state"] = "abandoned"
        self._confirm_gone(action)

    def _confirm_gone(self, action: Action) -> None:
        name, target = action["tenant"], action["to"]["vm"]
        if self._lives(name, target):
            self._fail(action, action["error"])
        elif self._lost(target) or not self._held(name, target) or self.told.absent(name, target):
            self.writer.leave(name, target)
            self._fail(action, action["error"])

    def _whole_groups(self) -> None:
        """A VM is emptied whole or not at all: where one move fails before the switch, the others are given up."""
        broken = {
            action["group"]
            for action in self.plan["actions"]
            if action["kind"] == "consolidate" and action["state"] in ("failed", "abandoned")
        }
        for action in self.plan["actions"]:
            if action["kind"] == "consolidate" and action["group"] in broken and action["state"] == "reserved":
                self._abandon(action, f"{action['group']}: another of its moves failed")

    # -- writing ---------------------------------------------------------------------------------------------------

    def _finish(self, action: Action, tenant: Mapping[str, Any]) -> None:
        action["state"] = "applied"
        self.log.append(record(action["kind"], tenant, self.now, action["reason"], plan=self.plan["key"]))

    def _fail(self, action: Action, why: str) -> None:
        action["state"], action["error"] = "failed", why
