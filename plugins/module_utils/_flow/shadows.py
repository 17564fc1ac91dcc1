# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shadows for the requests that are expected next: which are worth holding, in which VM, until when."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from .._core.errors import Conflict
from .._model.types import ArrivalModel
from .._planning import waiting
from .._planning.demand import MEMORY, RESOURCES
from .._planning.policy import Policy
from .._planning.policy_reader import narrowed
from .._planning.shadows import Wish, irregular, price, wish, within_cap
from .._store.interface import Document, Store
from . import cells, reserve
from .demands import expected
from .requests import Wanted, arrivals
from .tenants import class_peaks, entry_of, tenant_document

if TYPE_CHECKING:
    import numpy as np
else:
    try:
        import numpy as np
    except ImportError:  # the plugin that needs it says so (libraries.require)
        pass

_HISTORY = timedelta(days=60)
_KEPT = timedelta(days=1)  # how long the report can tell of shadows that are gone


@dataclass
class Shadows:
    """One run over the shadows of a cell. ``documents`` are the VMs by key and follow the changes; ``served`` says
    until when (UTC seconds) the requests of a profile are already served by an admitted tenant; ``gone`` are shadows
    that this run has claimed or given up, which a dry run does not find in the store. Afterwards ``changed`` names the
    shadows that it made or gave up, ``freed`` those whose room a killed run had left behind."""

    store: Store
    cell: str
    policy: Policy
    now: datetime
    dry: bool
    documents: dict[str, Document]
    served: dict[str, float]
    gone: Mapping[str, Document] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.known = {one["key"]: one for one in self.store.find("shadows", {"cell": self.cell})}
        if self.dry:
            self.known.update(self.gone)
        for one in self.known.values():
            if one["state"] == "claimed":  # its request came, early or late
                self.served[one["profile"]] = max(self.served.get(one["profile"], 0.0), one["expected_at"].timestamp())
        self.changed: list[str] = []
        self.freed: list[str] = []
        self.refused: list[str] = []

    def run(self, profiles: Sequence[Document]) -> None:
        """Give up what has expired, repair what a killed run left behind, and hold what is worth it."""
        self._expire()
        waiting = {one["profile"] for one in self.known.values() if one["state"] == "waiting"}
        by_name = {one["key"]: one for one in profiles}
        wishes = [one for one in self._wishes(profiles) if one.profile not in waiting]
        wishes = _with_dependencies(wishes, by_name, {*waiting, *self.served})
        kept, refused = within_cap(wishes, self._cap())
        self.refused = [f"{one.profile}: shadow.cap" for one in refused]
        self._hold(kept, by_name)

    @property
    def waiting(self) -> list[Document]:
        """The shadows that wait now, by name."""
        return [self.known[name] for name in sorted(self.known) if self.known[name]["state"] == "waiting"]

    def _expire(self) -> None:
        late = [one for one in self.known.values() if one["state"] == "waiting" and one["expires_at"] <= self.now]
        for one in late:
            self._write({**one, "state": "expired"})
            self._room(one["vm"], reserve.Reservation(remove_shadows={one["key"]}))
            self.changed.append(one["key"])
        for vm, names in reserve.stale_shadows(self.known, self.documents, self.now).items():
            self._room(vm, reserve.Reservation(remove_shadows=names))
            self.freed.extend(names)
        old = self.now - _KEPT
        for name in [name for name, one in self.known.items() if one["state"] != "waiting" and one["expires_at"] < old]:
            del self.known[name]
            if not self.dry:
                self.store.delete("shadows", name)

    def _cap(self) -> float:
        """What all shadows together may hold: a share of the memory that tenants leave free, less what they hold."""
        free = held = 0.0
        for vm in self.documents.values():
            if vm["state"] != "ready":
                continue
            taken = sum(float(one.get("memory") or 0.0) for one in (vm.get("allocations") or {}).values())
            free += max(0.0, float(vm["capacity"]["memory"] or 0.0) - taken)
            held += sum(float(one["memory"]) for one in (vm.get("shadows") or {}).values())
        return self.policy.shadow.cap * free - held

    # -- which ----------------------------------------------------------------------------------------------------

    def _wishes(self, profiles: Sequence[Document]) -> list[Wish]:
        scheduled = [self._scheduled(one) for one in profiles]
        irregular = [one for one in profiles if self._irregular(one)]
        return [one for one in (*scheduled, *self._after_gaps(irregular)) if one is not None]

    def _scheduled(self, profile: Document) -> Wish | None:
        """A shadow for the next scheduled request that no tenant serves yet."""
        rule = narrowed(self.policy, cell=self.cell, profile=profile["key"]).shadow
        start = self.now.timestamp()
        due = arrivals(profile, self.now, self.now + timedelta(seconds=rule.ahead + rule.ttl))
        due = [one for one in due if one[0] > self.served.get(profile["key"], start - 1)]
        if not due:
            return None
        model = ArrivalModel.from_document(profile["arrival"])
        chance = min(1.0, model.fill) * model.confidence
        return wish(profile["key"], due[0], chance, now=start, priority=int(profile["priority"]), policy=rule)

    def _irregular(self, profile: Document) -> bool:
        arrival = profile.get("arrival") or {}
        return arrival.get("kind") == "aperiodic" and profile["key"] not in self.served

    def _after_gaps(self, profiles: Sequence[Document]) -> list[Wish | None]:
        """Shadows for requests without a schedule, within the window after the last one that would have paid."""
        if not profiles or not self.policy.shadow.enabled:
            return []
        by_name = {one["key"]: one for one in profiles}
        read = self.store.read_requests(sorted(by_name), self.now - _HISTORY, self.now, newest=waiting.GAPS + 1)
        times = {batch.profile: np.frombuffer(batch.times) for batch in read}
        prior = waiting.common(np.diff(known) for known in times.values())
        return [self._after_last(by_name[name], known, prior) for name, known in times.items()]

    def _after_last(self, profile: Document, times: Any, prior: Any) -> Wish | None:
        rule = narrowed(self.policy, cell=self.cell, profile=profile["key"]).shadow
        priority, last, now = int(profile["priority"]), float(times[-1]), self.now.timestamp()
        counts = waiting.distribution(times, times, prior)
        hold = waiting.next_hold(counts, now - last, price(rule, priority, float(rule.memory)))
        return irregular(profile["key"], last, hold, now=now, priority=priority, policy=rule)

    # -- where ----------------------------------------------------------------------------------------------------

    def _hold(self, kept: Sequence[Wish], by_name: Mapping[str, Document]) -> None:
        """Hold each shadow in the VM that fits its tenant best, where there is room for that tenant as well."""
        if not kept:
            return
        tenants = self._future(kept, by_name)
        entries = [entry_of(tenants[one.profile], by_name[one.profile]) for one in kept]
        pict = cells.picture(self.store, self.documents, dict(by_name), entries, self.policy, self.now)
        first = len(pict.entries) - len(entries)
        amount = np.zeros(len(RESOURCES))
        for number, one in enumerate(kept):
            guest = pict.cell.guests[first + number]
            vm = pict.cell.packer.choose(first + number, pict.cell.eligible(guest), pict.cell.nearness(guest))
            if vm < 0:
                self.refused.append(f"{one.profile}: no VM has room for its tenant")
                continue
            amount[MEMORY] = one.memory
            pict.cell.packer.hold(vm, amount)
            self._make(one, pict.keys[vm], tenants[one.profile], by_name[one.profile])

    def _future(self, kept: Sequence[Wish], by_name: Mapping[str, Document]) -> dict[str, Document]:
        """The tenants that the shadows wait for, sized as admission would."""
        profiles = {one.profile: by_name[one.profile] for one in kept}
        forecast = expected(self.store, list(profiles.values()), self.now, self.policy)
        classes = class_peaks(by_name.values())
        return {
            name: tenant_document(
                Wanted(f"shadow_{name}"[:48], name, profile, int(profile["priority"])),
                self.cell, self.policy, forecast, classes, self.now,
            )
            for name, profile in profiles.items()
        }  # fmt: skip

    def _make(self, one: Wish, vm: str, tenant: Mapping[str, Any], profile: Document) -> None:
        name = _name(one)
        document = {
            "key": name,
            "profile": one.profile,
            "vm": vm,
            "cell": self.cell,
            "tier": one.tier,
            "state": "waiting",
            "expected_at": _moment(one.expected_at),
            "ready_by": _moment(one.ready_by),
            "expires_at": _moment(one.expires_at),
            "memory": int(one.memory),
            "priority": int(tenant["priority"]),
            "chance": round(one.chance, 4),
            "value": round(one.value, 3),
            **{part: tenant[part] for part in ("cpu", "io", "pids", "sandbox")},
            "limits": tenant["memory"],
            "preparation": dict(profile.get("shadow") or {}),
            "tenant": "",
        }
        before = self.known.get(name)
        if before is not None:
            document["version"] = before["version"]
        held = {"profile": one.profile, "memory": int(one.memory), "value": round(one.value, 3), "since": self.now}
        if self._room(vm, reserve.Reservation(add_shadows={name: held})):
            self._write(document)
            self.changed.append(name)

    # -- writing --------------------------------------------------------------------------------------------------

    def _write(self, document: Document) -> None:
        if not self.dry:
            self.store.put_many("shadows", [document])
            document = self.store.get("shadows", document["key"]) or document
        self.known[document["key"]] = document

    def _room(self, vm: str, change: reserve.Reservation) -> bool:
        """Change what shadows hold in a VM. Another run that changed it first has better use for the room."""
        if vm not in self.documents:
            return False
        for _attempt in range(3):
            taken, lost = reserve.take(self.store, self.documents, {vm: change}, dry=self.dry)
            self.documents.update(taken)
            if not lost:
                return True
            self.documents.update(self.store.get_many("vms", lost))
            if change.add_shadows:
                self.refused.extend(f"{name}: another run changed {vm}" for name in change.add_shadows)
                return False
        raise Conflict("another run changed the VM each time", item=vm, hint="run again")


def _name(one: Wish) -> str:
    """One name for each expected request of a profile, so that a claim never means the shadow of another one."""
    digest = hashlib.sha256(f"{one.profile} {round(one.expected_at)}".encode()).hexdigest()[:8]
    return f"shadow_{one.profile[:32]}_{digest}"


def _with_dependencies(wishes: Sequence[Wish], by_name: Mapping[str, Document], have: Iterable[str]) -> list[Wish]:
    """The wishes with those of the workloads that theirs call: the chain warms together."""
    covered = {one.profile for one in wishes} | set(have)
    found = list(wishes)
    for one in found:  # grows while it is walked: dependencies of dependencies
        for workload in (by_name[one.profile].get("dependencies") or {}).get("workloads") or ():
            for name, profile in sorted(by_name.items()):
                if name not in covered and workload in (name, profile["workload"]):
                    covered.add(name)
                    found.append(replace(one, profile=name, value=one.value * 0.99))
    return found


def served(
    tenants: Iterable[Mapping[str, Any]], profiles: Iterable[Mapping[str, Any]], now: datetime
) -> dict[str, float]:
    """Until when the requests of the profiles with a tenant are served: until now, or until one that is due at once."""
    running = {str(one["profile"]) for one in tenants if one["state"] != "absent"}
    until = dict.fromkeys(running, now.timestamp())
    for profile in profiles:
        if profile["key"] in running:
            due = arrivals(profile, now, now + timedelta(seconds=60))
            until[profile["key"]] = due[0][0] if due else until[profile["key"]]
    return until


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(round(seconds), tz=timezone.utc)
