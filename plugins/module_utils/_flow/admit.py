# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Admission: requests become tenants with room in a VM, atomically beside other runs.

The pseudocode of the mission: for each request find the matching profile or create one, choose a VM, allocate, set the
priority, record the tenant; a waiting shadow is claimed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from .._core.errors import Conflict
from .._core.units import format_time
from .._planning.admission import Decision, admit
from .._planning.policy import Policy
from .._store.interface import Document, Store
from . import cells, reserve, vms
from .decisions import Outcome, record
from .demands import expected
from .requests import Wanted
from .tenants import class_peaks, entry_of, tenant_document

if TYPE_CHECKING:
    import numpy as np
else:
    try:
        import numpy as np
    except ImportError:  # the plugin that needs it says so (libraries.require)
        pass

_ATTEMPTS = 30


@dataclass
class Admitter:
    """One run of admission over one cell. ``documents`` are the VMs by key; they and ``tenants`` follow the changes;
    ``shadows`` are those that were claimed or given up."""

    store: Store
    cell: str
    policy: Policy
    now: datetime
    dry: bool
    documents: dict[str, Document]
    tenants: dict[str, Document] = field(default_factory=dict)
    profiles: dict[str, Document] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    shadows: dict[str, Document] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._log: list[Document] = []
        self._claimed: set[str] = set()
        self.tenants = {one["key"]: one for one in self.store.find("tenants", {"cell": self.cell})}

    # -- what is asked ---------------------------------------------------------------------------------------------

    def run(self, wanted: Sequence[Wanted]) -> None:
        """Admit and release what is wanted; repair what a killed run left behind."""
        self.release([one for one in wanted if one.state == "absent"])
        self._sweep()
        present = [one for one in wanted if one.state == "present"]
        self.profiles.update({one.profile["key"]: one.profile for one in present})
        missing = sorted({str(one["profile"]) for one in self.tenants.values()} - set(self.profiles))
        self.profiles.update(self.store.get_many("profiles", missing))
        fresh = self._known(present)
        pending = {one["key"]: one for one in self._sized(fresh)}
        pending.update({one["key"]: one for one in self._returning(present)})
        self._place(pending)
        if not self.dry:
            self.store.put_many("decisions", self._log)

    def _known(self, present: Sequence[Wanted]) -> list[Wanted]:
        """Requests without a tenant; the others are answered. A name that ended in another cell is free here."""
        others = self.store.get_many("tenants", sorted({one.tenant for one in present} - set(self.tenants)))
        self.tenants.update({key: one for key, one in others.items() if one["state"] == "absent"})
        fresh = []
        for one in present:
            known = self.tenants.get(one.tenant) or others.get(one.tenant)
            outcome = Outcome(one.tenant, one.profile["key"], reason=one.why, created_profile=one.created_profile)
            self.outcomes[one.tenant] = outcome
            if known is None or known["state"] == "absent":
                fresh.append(one)
                continue
            outcome.document, outcome.claim, outcome.profile = known, known.get("claim"), known["profile"]
            elsewhere = f" in cell {known['cell']}" if known["cell"] != self.cell else ""
            outcome.reason = f"admitted at {format_time(known['admitted_at'])}{elsewhere}"
        return fresh

    def _sized(self, fresh: Sequence[Wanted]) -> list[Document]:
        needed = {one.profile["key"]: one.profile for one in fresh}
        if not needed:
            return []
        forecast = expected(self.store, [needed[key] for key in sorted(needed)], self.now, self.policy)
        known = forecast.known.all()
        classes: Mapping[str, list[float]] = {} if known else class_peaks(self.store.find("profiles"))
        sized = []
        for one in fresh:
            document = tenant_document(one, self.cell, self.policy, forecast, classes, self.now)
            before = self.tenants.get(one.tenant)
            if before is not None:
                document["version"], document["last_vm"] = before["version"], before.get("vm")
            self.outcomes[one.tenant].limits = list(document["limits"])
            sized.append(document)
        return sized

    def _returning(self, present: Sequence[Wanted]) -> list[Document]:
        """Tenants without room: asked for again, or left behind by a run that was killed."""
        names = {one.tenant for one in present}
        asked = [self.tenants[name] for name in names if name in self.tenants]
        behind = reserve.homeless(self.tenants.values(), self.documents, self.now)
        found = {one["key"]: one for one in behind}
        for one in asked:
            vm = self.documents.get(one.get("vm") or "")
            placed = vm is not None and one["key"] in (vm.get("allocations") or {}) and vm["state"] != "lost"
            if one["state"] != "absent" and not placed and one["cell"] == self.cell and not one.get("moving_to"):
                found[one["key"]] = one
        for name in found:
            self.outcomes.setdefault(name, Outcome(name, str(found[name]["profile"])))
        return [one for one in found.values() if one["profile"] in self.profiles]

    # -- placing ---------------------------------------------------------------------------------------------------

    def _place(self, pending: dict[str, Document]) -> None:
        for _attempt in range(_ATTEMPTS):
            if not pending:
                return
            names = sorted(pending)
            entries = [entry_of(pending[name], self.profiles[str(pending[name]["profile"])]) for name in names]
            pict = cells.picture(self.store, self.documents, self.profiles, entries, self.policy, self.now)
            first = len(pict.entries) - len(entries)
            decisions = self._keep(pict, names, first, pending)
            kept = {one.name for one in decisions}
            rest = [first + number for number, name in enumerate(names) if name not in kept]
            decisions += admit(pict.cell, rest, pict.shadows, clock=pict.clock)
            self._commit(pict, decisions, pending)
        raise Conflict(
            "other runs changed the cell's VMs each time", item=f"cell {self.cell}", hint="run again when they are done"
        )

    def _keep(
        self, pict: cells.Picture, names: Sequence[str], first: int, pending: Mapping[str, Document]
    ) -> list[Decision]:
        """Tenants that another try, or a killed run, has given a VM already get their room there if it is free."""
        kept = []
        for number, name in enumerate(names):
            vm = pict.index.get(str(pending[name].get("vm")), -1)
            if vm < 0 or not pict.cell.eligible(pict.cell.guests[first + number])[vm]:
                continue
            if pict.cell.packer.fits(first + number, np.array([vm]))[0]:
                pict.cell.place(first + number, vm)
                kept.append(Decision(name, vm, f"its room in {pict.keys[vm]}", claim=pending[name].get("claim") or ""))
        return kept

    def _commit(self, pict: cells.Picture, decisions: Sequence[Decision], pending: dict[str, Document]) -> None:
        placed: list[Document] = []
        for one in decisions:
            outcome = self.outcomes[one.name]
            outcome.reason = "; ".join(
                part for part in (outcome.reason if not outcome.document else "", one.reason) if part
            )
            outcome.limits = sorted({*outcome.limits, *one.limits})
            if one.vm < 0:
                self._refused(pending.pop(one.name), one.reason)
                continue
            document = {**pending[one.name], "vm": pict.keys[one.vm], "claim": one.claim or None, "placed_at": self.now}
            placed.append({**document, "cell": self.cell, "state": "running"})
        if not self.dry:
            placed = self._claim(placed, pending)
        self._take(pict, {one.name: one for one in decisions}, placed, pending)

    def _refused(self, tenant: Document, reason: str) -> None:
        """A tenant without room: one that an earlier try of this run has written is none after all."""
        self.outcomes[tenant["key"]].document = None
        if tenant["key"] in self._claimed:
            self.tenants[tenant["key"]] = tenant
            self._leave(tenant["key"], "refuse", reason)

    def _claim(self, placed: Sequence[Document], pending: dict[str, Document]) -> list[Document]:
        """Write the tenants' documents; those that another run wrote first are that run's."""
        same = [one for one in placed if one == pending[one["key"]]]
        written, lost = reserve.claim(self.store, [one for one in placed if one not in same])
        self._theirs(lost, pending)
        self._claimed.update(one["key"] for one in written if one["admitted_at"] == self.now)
        return [*same, *written]

    def _theirs(self, names: Sequence[str], pending: dict[str, Document]) -> None:
        """Tenants that another run has admitted meanwhile are as that run left them."""
        for key, tenant in self.store.get_many("tenants", names).items():
            self.tenants[key] = tenant
            outcome = self.outcomes[key]
            outcome.document, outcome.reason = tenant, "admitted by another run at the same time"
            pending.pop(key, None)

    def _take(
        self,
        pict: cells.Picture,
        decisions: Mapping[str, Decision],
        placed: Sequence[Document],
        pending: dict[str, Document],
    ) -> None:
        entries = {entry.name: entry for entry in pict.entries}
        wanted: dict[str, reserve.Reservation] = {}
        for tenant in placed:
            decision = decisions[tenant["key"]]
            change = wanted.setdefault(tenant["vm"], reserve.Reservation())
            change.add[tenant["key"]] = cells.allocation(entries[tenant["key"]], self.now)
            change.remove |= set(decision.evicted)
            change.remove_shadows |= {name for name in (decision.claim, *decision.dropped) if name}
        taken, lost = reserve.take(self.store, self.documents, wanted, dry=self.dry)
        self.documents.update(taken)
        done = [tenant for tenant in placed if tenant["vm"] in taken]
        for tenant in placed:
            pending[tenant["key"]] = tenant
        for tenant in done:
            pending.pop(tenant["key"])
            self._admitted(tenant, decisions[tenant["key"]])
        if lost:
            self.documents = vms.read(self.store, self.cell)
            self._theirs(reserve.housed(pending.values(), self.documents), pending)

    def _admitted(self, tenant: Document, decision: Decision) -> None:
        outcome = self.outcomes[tenant["key"]]
        outcome.document, outcome.changed, outcome.claim = tenant, True, decision.claim or None
        outcome.actions.append("claim" if decision.claim else "admit")
        self.tenants[tenant["key"]] = tenant
        self._shadows_gone([decision.claim] if decision.claim else [], "claimed", tenant["key"])
        self._shadows_gone(decision.dropped, "expired", "")
        for name in decision.evicted:
            self._leave(name, "evict", f"made room for {tenant['key']}")
        self._log.append(record("admit", tenant, self.now, decision.reason))

    def _shadows_gone(self, names: Iterable[str], state: str, tenant: str) -> None:
        for name in names:
            shadow = self.store.get("shadows", name)
            if shadow is not None:
                self.shadows[name] = {**shadow, "state": state, "tenant": tenant}
                if not self.dry:
                    self.store.put_many("shadows", [self.shadows[name]])

    # -- leaving ---------------------------------------------------------------------------------------------------

    def _leave(self, name: str, kind: str, reason: str) -> None:
        """Mark a tenant as absent; its room has been given back."""
        tenant = self.tenants.get(name)
        if tenant is None:
            return
        for attempt in range(_ATTEMPTS):
            gone = {**tenant, "state": "absent", "moving_to": None, "left_at": self.now, "left_because": reason}
            try:
                self.tenants[name] = gone if self.dry else self.store.update("tenants", gone)
                break
            except Conflict:
                tenant = self.store.get("tenants", name)
                if tenant is None or attempt == _ATTEMPTS - 1:
                    raise
        self._log.append(record(kind, tenant, self.now, reason))

    def release(self, wanted: Sequence[Wanted]) -> None:
        """End the tenants of requests that are over and give their room back."""
        for one in wanted:
            outcome = self.outcomes[one.tenant] = Outcome(one.tenant, one.profile["key"], reason="not there")
            tenant = self.tenants.get(one.tenant)
            if tenant is None or tenant["state"] == "absent":
                continue
            outcome.changed, outcome.reason, outcome.actions = True, f"left {tenant['vm']}", ["remove"]
            self._leave(one.tenant, "remove", "its request is over")
            self._give_back(
                {key: {one.tenant} for key, vm in self.documents.items() if one.tenant in vm["allocations"]}
            )

    def _sweep(self) -> None:
        """Take back the room that runs which were killed left without a tenant."""
        self._give_back(reserve.orphans(self.tenants, self.documents, self.now))

    def _give_back(self, names: Mapping[str, set[str]]) -> None:
        left = dict(names)
        for _attempt in range(_ATTEMPTS):
            if not left:
                return
            wanted = {key: reserve.Reservation(remove=set(gone)) for key, gone in left.items()}
            taken, lost = reserve.take(self.store, self.documents, wanted, dry=self.dry)
            self.documents.update(taken)
            self.documents.update(self.store.get_many("vms", lost))
            left = {key: left[key] for key in lost}
        raise Conflict("other runs changed the VM each time", item=", ".join(sorted(left)), hint="run again")
