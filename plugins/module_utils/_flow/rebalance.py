# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The run of ``tenant_rebalance``: observe, recommend or apply; plans with an id, a state and an expiry."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from .._core.changes import ChangeSet
from .._core.errors import Conflict, InputError
from .._core.plain import plain
from .._planning.plan import OPEN
from .._planning.policy import Policy
from .._planning.policy_reader import read_policy
from .._planning.verdict import cautious
from .._store.interface import Document, Store
from . import desired, vms
from .carry import Carrier
from .plans import described, trusted
from .propose import propose
from .shadow_actions import hold, wanted
from .shadows import Shadows, served
from .told import Told
from .verify import Verifier, due, remember, rollbacks
from .writer import Writer

_ASK_AGAIN = timedelta(hours=12)  # shorter than a day, so that who counts the asks of the last day never misses one


@dataclass
class Run:
    """One run over one cell."""

    store: Store
    cell: str
    policy: Policy
    now: datetime
    dry: bool
    vms: dict[str, Document]
    tenants: dict[str, Document]
    plans: dict[str, Document]
    changed: bool = False
    verified: list[Document] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.known = dict(self.plans)
        self._profiles: list[Document] | None = None

    def save(self, plan: Document) -> Document:
        """Write a plan; another run that carries the same plan on at the same moment wins or loses as a whole."""
        self.changed = True
        saved = plan
        if not self.dry:
            saved = self.store.update("plans", plan) if "version" in plan else self.store.insert("plans", plan)
        self.plans[saved["key"]] = saved
        return saved

    def profiles(self) -> list[Document]:
        """All profiles, for shadows; read once."""
        if self._profiles is None:
            self._profiles = list(self.store.find("profiles")) if self.policy.shadow.enabled else []
        return self._profiles

    def trust(self) -> dict[str, float]:
        """How far each rule is trusted after what came of its changes."""
        return trusted(self.plans.values(), self.now)

    def shadows(self, *, dry: bool) -> Shadows:
        """The shadows of the cell with what is known of them."""
        until = served(self.tenants.values(), self.profiles(), self.now)
        policy = cautious(self.policy, self.trust())
        return Shadows(self.store, self.cell, policy, self.now, dry, self.vms, until)


def rebalance(store: Store, options: Mapping[str, Any], now: datetime, *, dry: bool) -> dict[str, Any]:
    """Do what ``options`` (of the module) ask for.

    Raises InputError for a bad policy, VM or result, and for a plan that is unknown, expired or superseded.
    """
    cell = options["cell"]
    policy = read_policy(options["policy"], cell=cell)
    vm_changes, documents = vms.bring(store, cell, options["vms"] or [], dry=dry)
    tenants = {one["key"]: one for one in store.find("tenants", {"cell": cell})}
    plans = {one["key"]: one for one in store.find("plans", {"cell": cell})}
    run = Run(store, cell, policy, now, dry, documents, tenants, plans)
    run.changed = any(item.changed for item in vm_changes)
    if options["mode"] == "apply":
        plan = _apply(run, options["plan"], options["results"] or [])
    else:
        plan = _recommend(run, options["mode"], options["measured"] or {}, options.get("only") or ())
    return _answer(run, plan, vm_changes)


def _verify(run: Run) -> None:
    """Judge the plans whose time has come: what was realised is kept beside what was predicted."""
    for plan in [plan for plan in run.plans.values() if due(plan, run.policy, run.now)]:
        judged = Verifier(run.store, run.policy, run.now, run.vms, run.tenants).judge(plan)
        remember(judged, Writer(run.store, run.dry, run.vms, run.tenants))
        run.verified.append(run.save(judged))


def _expire(run: Run) -> None:
    for plan in list(run.plans.values()):
        if plan["state"] == "recommended" and plan["expires_at"] <= run.now:
            run.save({**plan, "state": "expired"})


def _recommend(
    run: Run, mode: str, measured: Mapping[str, Sequence[Mapping[str, Any]]], only: Collection[str]
) -> Document | None:
    """The plan that is being applied, else a proposal, stored unless only observing; None if nothing is worth doing.

    A proposal for ``only`` some VMs supersedes no other: the plan of the whole cell may be under review.
    """
    if mode != "observe":
        _verify(run)
    applying = [plan for plan in run.plans.values() if plan["state"] == "applying"]
    if applying:
        return min(applying, key=lambda plan: (plan["created_at"], plan["key"]))
    proposal = propose(
        run.store, run.cell, run.vms, run.tenants, run.policy, run.now, mode=mode, measured=measured,
        more=() if only else wanted(run.shadows(dry=True), run.profiles()),
        undo=() if only else rollbacks(run.plans.values(), run.tenants, run.policy, run.now),
        trusted=run.trust(), only=only, profiles={str(one["key"]): one for one in run.profiles()},
    )  # fmt: skip
    if mode == "observe":
        return _dated(run, proposal) if proposal["actions"] else None
    _expire(run)
    open_plans = [plan for plan in run.plans.values() if plan["state"] == "recommended"]
    worth = bool(proposal["actions"]) and not _asked_already(run, proposal)
    same = [plan for plan in open_plans if plan["digest"] == proposal["digest"] and worth]
    for plan in open_plans:
        if plan not in same and not only:
            run.save({**plan, "state": "superseded"})
    if same or not worth:
        return same[0] if same else None
    return run.save(_dated(run, proposal))


def _asked_already(run: Run, proposal: Document) -> bool:
    """Whether it only asks for a new VM, and an applied plan asked for the same, or for more, a short time ago."""
    if any(action["kind"] != "vm" for action in proposal["actions"]):
        return False
    wanted = {vm for action in proposal["actions"] for vm in action["effect"]["relieves"]}
    return any(
        wanted <= set(action["effect"]["relieves"])
        for plan in run.plans.values()
        if plan["applied_at"] is not None and plan["applied_at"] > run.now - _ASK_AGAIN
        for action in plan["actions"]
        if action["kind"] == "vm"
    )


def _dated(run: Run, proposal: Document) -> Document:
    name = f"{run.cell}-{run.now:%Y%m%dT%H%M%S}-{proposal['digest'][:6]}"
    names = (name, *(f"{name}-{again}" for again in range(2, len(run.plans) + 3)))
    key = next(one for one in names if one not in run.plans)  # the same proposal can come again at the same moment
    expires = run.now + timedelta(seconds=run.policy.plan.expires)
    return {
        **proposal,
        "key": key,
        "created_at": run.now,
        "expires_at": expires,
        "started_at": None,
        "applied_at": None,
        "verified_at": None,
        "verdict": "",
    }


def _chosen(run: Run, name: str | None) -> Document | None:
    """The plan to apply: by its id, else the one that is being applied, else the newest recommended one."""
    if name:
        plan = run.plans.get(name) or run.store.get("plans", name)
        if plan is None or plan["cell"] != run.cell:
            raise InputError("there is no such plan in this cell", item=name, hint="take the id of a recommended plan")
        if plan["state"] in ("superseded", "expired"):
            raise InputError(f"the plan is {plan['state']}", item=name, hint="recommend a new one and apply that")
        return plan
    known = sorted(
        (plan for plan in run.plans.values() if plan["state"] in OPEN),
        key=lambda plan: (plan["state"] != "applying", -plan["created_at"].timestamp(), plan["key"]),
    )
    return known[0] if known else None


def _apply(run: Run, name: str | None, results: Sequence[Mapping[str, Any]]) -> Document | None:
    """Carry a plan on by one step."""
    told = Told(results)
    if not name:
        _expire(run)
    plan = _chosen(run, name)
    if plan is None or plan["state"] not in OPEN:
        return plan
    if plan["state"] == "recommended" and plan["expires_at"] <= run.now:
        run.save({**plan, "state": "expired"})
        raise InputError("the plan is expired", item=plan["key"], hint="recommend a new one and apply that")
    before = deepcopy(plan)
    plan = deepcopy(plan)
    if plan["state"] == "recommended":  # written first, so that no other run supersedes what is being done
        plan = run.save({**plan, "state": "applying", "started_at": run.now})
    run.policy = read_policy(plan["policy"], cell=run.cell)  # what was reviewed is what runs
    carrier = Carrier(run.store, run.policy, run.now, run.dry, deepcopy(plan), run.vms, run.tenants, told)
    carrier.run()
    hold(run.shadows(dry=run.dry), run.profiles(), carrier.plan["actions"])
    plan = carrier.plan
    if carrier.done:
        failed = [action for action in plan["actions"] if action["state"] == "failed"]
        plan["state"] = "failed" if failed and len(failed) == len(plan["actions"]) else "applied"
        plan["applied_at"] = run.now
    if plan["actions"] != before["actions"] or plan["state"] != before["state"]:
        plan = _saved(run, plan)
    return plan


def _saved(run: Run, plan: Document) -> Document:
    try:
        return run.save(plan)
    except Conflict as error:
        raise Conflict(
            "another run carried the plan on at the same time",
            item=plan["key"],
            hint="run again: it goes on from there",
        ) from error


def _label(action: Mapping[str, Any]) -> str:
    return f"{action['id']} {action['kind']} {action['tenant']}".strip()


def _carried(run: Run, plan: Document) -> list[Document]:
    """The actions of a plan that this run recorded or carried on; none of one that is not kept."""
    before = {one["id"]: one for one in run.known.get(plan["key"], {}).get("actions", ())}
    return [one for one in plan["actions"] if plan["key"] in run.plans and one != before.get(one["id"])]


def _differences(run: Run) -> list[dict[str, Any]]:
    """What ``--diff`` shows of plans: their states and verdicts, and the actions that were recorded or carried on."""
    differences = []
    for key, plan in run.plans.items():
        told, carried = _turned(run, plan), _carried(run, plan)
        if told or carried:
            before = {**told.get("before", {}), **{_label(one): one["from"] for one in carried}}
            after = {**told.get("after", {}), **{_label(one): one["to"] for one in carried}}
            differences.append({"before_header": key, "after_header": key, "before": before, "after": after})
    return differences


def _turned(run: Run, plan: Document) -> dict[str, dict[str, Any]]:
    """The state and the verdict of a plan before and after this run, empty if neither is another one."""
    old = {"state": "none", "verdict": "", **run.known.get(plan["key"], {})}
    names = [name for name in ("state", "verdict") if plan.get(name, "") != old[name]]
    sides = (("before", old), ("after", plan))
    return {side: {name: values[name] for name in names} for side, values in sides} if names else {}


def _rows(run: Run, plan: Document | None) -> list[dict[str, Any]]:
    """An entry for each action of the plan, and one for each other plan whose state or verdict is another one now."""
    carried = _carried(run, plan) if plan is not None else []
    rows = [
        {
            "name": _label(one),
            "changed": one in carried,
            "actions": [one["kind"]],
            "diff": {"before": plain(one["from"]), "after": plain(one["to"])},
            "error": one["error"],
            "state": one["state"],
        }
        for one in (plan["actions"] if plan else ())
    ]
    for key, other in run.plans.items():
        told = _turned(run, other)
        if told and not (plan is not None and plan["key"] == key and carried):
            verb = "verify" if "verdict" in told["after"] else str(other["state"])
            row = {"name": key, "changed": True, "actions": [verb], "diff": told, "error": "", "state": other["state"]}
            rows.append(row)
    return rows


def _answer(run: Run, plan: Document | None, vm_changes: Sequence[ChangeSet]) -> dict[str, Any]:
    differences = [
        {"before_header": item.name, "after_header": item.name, **item.diff} for item in vm_changes if item.changed
    ]
    waiting = [one for one in run.store.find("shadows", {"cell": run.cell}) if one["state"] == "waiting"]
    return {
        "changed": run.changed,
        "diff": plain(differences + _differences(run)),
        "plan": described(plan),
        "state": plan["state"] if plan else "none",
        "results": _rows(run, plan),
        "verified": [described(one) for one in run.verified],
        "trust": run.trust(),
        "desired": desired.desired(run.tenants.values(), run.vms),
        "shadows": desired.desired_shadows(waiting, run.vms),
    }
