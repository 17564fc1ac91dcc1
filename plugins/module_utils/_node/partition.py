# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All tenants of one machine: plan and apply in one pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._core.changes import ChangeSet, result, summary
from . import apply, claims, oom, records, starts
from .host import PARENT, Host, Outcome, require_unified
from .limit_fields import PAGE
from .limits import Limits, Machine
from .lock import exclusive
from .records import SHADOW, TENANT, Record
from .survey import Survey, machine, protected, survey
from .units import compare_files, install_files, node_files
from .wishes import Wish, Work, by_name, compare, find_shadow, settled, wishes_from


@dataclass
class Plan:
    """Everything that one run would change."""

    works: list[Work]
    names: list[str]
    node: ChangeSet
    files: dict[str, str]
    different: list[str]
    seen: Survey
    about: Machine
    parent_low: int


def _fresh(wish: Wish, instance: str, index: int, role: str) -> Record:
    runtime = wish.sandbox.runtime if wish.sandbox else "gvisor"
    return Record(instance=instance, name=wish.name, role=role, runtime=runtime, index=index)


def allot(wishes: Sequence[Wish], present: Mapping[str, Record], taken: Sequence[Record], role: str) -> list[Record]:
    """A record for each wish: the present one, or a new one with a free range of user ids.

    A range belongs to one sandbox. Where two have it, one of them gets another: the first that is listed keeps it."""
    own = [present.get(wish.name) for wish in wishes]
    names = {record.instance for record in taken}
    others = names - {record.instance for record in own if record}
    used = {record.index for record in taken}
    held = {record.index for record in taken if record.instance in others}
    listed = []
    for wish, known in zip(wishes, own):
        if known is None:
            instance = wish.name if role == TENANT else records.free_instance(wish.name, names)
            record = _fresh(wish, instance, records.free_index(used), role)
        elif wish.sandbox is not None and known.index in held:
            record = replace(known, index=records.free_index(used))
        else:
            record = known
        names.add(record.instance)
        used.add(record.index)
        if wish.sandbox is not None:
            held.add(record.index)
        listed.append(record)
    return listed


def _protected(works: Sequence[Work], lows: dict[str, int]) -> int:
    """What ``tenants.slice`` must protect so that its tenants' own memory.low counts: their sum (a child's protection
    is bounded by its parents', see the kernel's cgroup-v2 document). ``lows`` are those of all others."""
    for work in works:
        lows[work.record.instance] = 0 if work.remove or work.wish.sandbox is None else work.wish.limits.memory_low
    return sum(low // PAGE * PAGE for low in lows.values())  # the kernel, which is asked for the others, counts pages


def plan(host: Host, items: Sequence[Mapping[str, Any]], purge: bool, outcome: Outcome) -> Plan:
    """Read the wishes and this machine, and compare them. Raises CommandError where nothing can be done here."""
    require_unified(host.paths)
    wishes, names, all_named = wishes_from(items, host.paths, outcome)
    wishes = settled(host, wishes, outcome)
    about = machine(host)
    known, broken = records.scan(host)
    present = by_name(known, TENANT)
    if purge and all_named:
        gone = [Wish(name, "absent", Limits(), None) for name in [*present, *broken] if name not in names]
        wishes += gone
        names += [wish.name for wish in gone]
    elif purge:
        for name in list(outcome.errors):
            outcome.note(name, "purge was held back: an item has no usable name, so what is unlisted is not known")
    listed = allot(wishes, present, known, TENANT)
    instances = {record.instance for record in listed}
    others = [record for record in known if record.instance not in instances]
    asked = {wish.claim for wish in wishes if wish.claim}
    claimable = [record for record in others if record.role == SHADOW and record.name in asked]
    seen = survey(host, [*listed, *claimable], about)
    works: list[Work] = []
    taken: set[str] = set()
    for wish, record in zip(wishes, listed):
        found = present.get(wish.name) or (record if record.instance in broken and wish.sandbox is None else None)
        work = compare(wish, found, record, seen.places[record.instance])
        if found is None and wish.claim and wish.sandbox:
            shadow = find_shadow(wish.claim, wish.sandbox, known, taken)
            claims.plan_claim(host, work, seen.places[shadow.instance] if shadow else None, outcome)
            taken.add(work.record.instance)
        oom.compare(host, work, about)
        works.append(work)
    files = node_files(host, {wish.sandbox.runtime for wish in wishes if wish.sandbox}) if wishes else {}
    node = ChangeSet(PARENT)
    different = compare_files(node, files)
    low = _protected(works, protected(host, others, about))
    node.compare("resize", "memory.low", seen.parent_low, low)
    return Plan(works, names, node, files, different, seen, about, low)


def _apply_node(host: Host, made: Plan) -> None:
    install_files(host, made.files, made.different)
    if made.parent_low > made.seen.parent_low:
        host.systemctl("set-property", PARENT, f"MemoryLow={made.parent_low}", doing="protecting memory", item=PARENT)


def apply_plan(host: Host, made: Plan, outcome: Outcome) -> None:
    """Make the plan real. Errors of tenants go to ``outcome``; what concerns the whole machine raises."""
    _apply_node(host, made)
    changed = [work for work in made.works if work.changes.changed and work.wish.name not in outcome.errors]
    claims.claim_all(host, [work for work in changed if work.claim], made.about, outcome)
    apply.remove(host, [work for work in changed if work.remove], outcome)
    rest = [work for work in changed if not work.remove and not work.claim]
    apply.realise(host, rest, made.about, outcome)
    if any(work.remove or work.start for work in changed):
        apply.tidy(host)
    if made.parent_low < made.seen.parent_low:
        host.systemctl("set-property", PARENT, f"MemoryLow={made.parent_low}", doing="protecting memory", item=PARENT)


def _foresee(host: Host, made: Plan, outcome: Outcome) -> None:
    """What a run would refuse at once. Claims come before what leaves."""
    leaving = sum(work.place.slice.memory or 0 for work in made.works if work.remove and work.place)
    beginning = [work for work in made.works if starts.begins(work) and work.wish.name not in outcome.errors]
    apply.guarded(beginning, outcome, lambda work: starts.require_room(host, work, 0 if work.claim else leaving))


def run(host: Host, items: Sequence[Mapping[str, Any]], purge: bool, check: bool) -> dict[str, Any]:
    """What the module returns: one result for each tenant, and ``node`` for what all tenants share."""
    with exclusive(host, check):
        return correct(host, items, purge, check)


def correct(host: Host, items: Sequence[Mapping[str, Any]], purge: bool, check: bool) -> dict[str, Any]:
    """``run`` by one that keeps other runs away."""
    outcome = Outcome()
    made = plan(host, items, purge, outcome)
    if check:
        _foresee(host, made, outcome)
    else:
        apply_plan(host, made, outcome)
    works = {work.wish.name: work for work in made.works}
    listed = [_result(name, works.get(name), outcome) for name in made.names]
    returned = summary(listed)
    returned["node"] = result(made.node)
    returned["changed"] = returned["changed"] or made.node.changed
    if made.node.changed:
        returned["diff"].append({"before_header": PARENT, "after_header": PARENT, **made.node.diff})
    return returned


def _result(name: str, work: Work | None, outcome: Outcome) -> dict[str, Any]:
    error = outcome.errors.get(name, "")
    changes = work.changes if work else ChangeSet(name)
    return result(
        changes,
        error=error,
        state=work.wish.state if work and not error else "",
        started=outcome.started.get(name, ""),
        seconds=round(outcome.seconds.get(name, 0.0), 4),
        slice=f"tenants-{work.record.instance}.slice" if work and not work.remove else "",
        notes=outcome.notes.get(name, []),
    )
