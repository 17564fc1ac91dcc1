# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shadows: sandboxes that wait with next to nothing in memory, so that their tenant starts sooner than cold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from .._core.changes import ChangeSet, result, summary
from .._core.errors import InputError, TenancyError
from .._core.names import tenant_name
from .._core.units import format_time, parse_duration, parse_time
from . import apply, checkpoints, freezer, oom, partition, records, slices, starts
from .caps import Cap, available, counted, fitting, give_up, held
from .host import PARENT, Host, Outcome, require_unified
from .limits import Limits, limits_from
from .lock import exclusive
from .records import SHADOW, Record
from .sandboxes import RUNTIMES, Sandbox, image_identity, require_runtime, sandbox_from, words_from
from .survey import machine, survey
from .units import CHECKPOINT, EXECUTE, START_CREATED, compare_files, install_files, node_files
from .wishes import Wish, Work, compare, settled

TIERS = ("created", "frozen", "checkpointed")
_KNOWN = {"created": tuple(START_CREATED), "checkpointed": tuple(CHECKPOINT)}
_MOST_WARMUP = 300.0
_RECLAIM_SECONDS = 3.0
_REHEARSAL_SECONDS = 30.0


def _times(item: Mapping[str, Any], host: Host, present: Record | None) -> tuple[str, str]:
    """When a shadow was created and when it is given up. A time to live counts from its creation, so that a second run
    does not move it; one that is listed when it is over is given up, and made anew because it is listed."""
    created = parse_time(present.created_at) if present and present.created_at else host.now
    if item.get("expires_at"):
        return format_time(created), format_time(parse_time(item["expires_at"]))
    if not item.get("ttl"):
        return format_time(created), ""
    life = timedelta(seconds=parse_duration(item["ttl"]))
    if created + life <= host.now:
        created = host.now
    return format_time(created), format_time(created + life)


def _expired(record: Record, host: Host) -> bool:
    return bool(record.expires_at) and parse_time(record.expires_at) <= host.now


def _warmup(item: Mapping[str, Any], tier: str) -> float:
    seconds = parse_duration(item.get("warmup") or 0)
    if seconds > _MOST_WARMUP:
        raise InputError(f"warmup is longer than {_MOST_WARMUP:.0f} s", hint="what takes longer should be in the image")
    if seconds and tier == "created":
        raise InputError("a warmup is not known to the tier created, whose command has not started")
    return seconds


def _rehearse(item: Mapping[str, Any], tier: str, runtime: str) -> tuple[str, ...]:
    if not item.get("rehearse"):
        return ()
    if tier != "frozen" or runtime not in EXECUTE:
        raise InputError(f"rehearse is not known to the tier {tier} with {runtime}", hint="leave it out")
    return words_from(item["rehearse"], "rehearse")


def _wish(item: Mapping[str, Any], host: Host, present: Record | None) -> Wish:
    name = tenant_name(item.get("name"))
    try:
        tier = item.get("tier") or "frozen"
        if tier not in TIERS:
            raise InputError(f"tier is {tier!r}", hint=f"choose one of {', '.join(TIERS)}")
        sandbox = sandbox_from(item, host.paths)
        if sandbox.runtime not in _KNOWN.get(tier, RUNTIMES):
            raise InputError(f"the tier {tier} is not known to {sandbox.runtime}", hint="use frozen")
        created, expires = _times(item, host, present)
        if item.get("state") == "absent":
            return Wish(name, "absent", Limits(), None)
        if expires and parse_time(expires) <= host.now:
            return Wish(name, "absent", Limits(), None, expires_at=expires)
        priority = 50 if item.get("priority") is None else item["priority"]
        limits, warmup = limits_from(item), _warmup(item, tier)
        rehearse = _rehearse(item, tier, sandbox.runtime)
        return Wish(name, "running", limits, sandbox, priority, "", tier, expires, warmup, created, rehearse)
    except InputError as error:
        raise InputError(error.message, item=name, hint=error.hint) from error


def _wishes(
    items: Sequence[Mapping[str, Any]], host: Host, present: Mapping[str, Record], outcome: Outcome
) -> list[Wish]:
    wishes: dict[str, Wish] = {}
    for position, item in enumerate(items):
        label = str(item.get("name") or f"item {position + 1}")
        try:
            if label in wishes:
                raise InputError("is listed twice", item=label)
            wish = wishes[label] = _wish(item, host, present.get(label))
            if wish.state == "absent" and wish.expires_at:
                done = "given up" if label in present else "not made"
                outcome.note(label, f"{done}: its time was over at {wish.expires_at}")
        except TenancyError as error:
            outcome.fail(label, error)
    return list(wishes.values())


def _renew(work: Work, host: Host) -> None:
    """What makes a shadow that is there useless: its age or its image; or a run that was killed."""
    sandbox = work.wish.sandbox
    if sandbox and work.record.created_at != work.wish.created_at:
        work.changes.add("replace", "created_at", work.record.created_at, work.wish.created_at)
        work.start = True
    if work.wish.tier == "frozen" and not work.start and not work.record.held:
        work.changes.add("repair", "memory", "not pushed out", "pushed out")
    if sandbox and not work.start and work.record.image != image_identity(sandbox, host.paths):
        work.changes.add("replace", "image", "stale", "fresh")
        work.start = True


def plan(host: Host, items: Sequence[Mapping[str, Any]], purge: bool, cap: Cap, outcome: Outcome) -> partition.Plan:
    """Compare the listed shadows with those that wait here."""
    about = machine(host)
    known, broken = records.scan(host)
    present = {record.name: record for record in known if record.role == SHADOW}
    wishes = counted(settled(host, _wishes(items, host, present, outcome), outcome), cap, outcome)
    names = [str(item.get("name") or f"item {position + 1}") for position, item in enumerate(items)]
    for name, record in present.items():
        if name not in names and (purge or _expired(record, host)):
            wishes.append(Wish(name, "absent", Limits(), None))
            names.append(name)
    taken = [*known, *(Record(name, name, SHADOW, "gvisor", -1) for name in broken)]
    listed = partition.allot(wishes, present, taken, SHADOW)
    seen = survey(host, listed, about)
    works = []
    for wish, record in zip(wishes, listed):
        place = seen.places[record.instance]
        work = compare(wish, present.get(wish.name), record, place)
        oom.compare(host, work, about)
        if wish.name in present:
            try:
                _renew(work, host)
            except TenancyError as error:
                outcome.fail(wish.name, error)
        works.append(work)
    works = fitting(host, works, cap, outcome)
    runtimes = {wish.sandbox.runtime for wish in wishes if wish.sandbox}
    files = node_files(host, runtimes) if runtimes else {}
    node = ChangeSet(PARENT)
    return partition.Plan(works, list(dict.fromkeys(names)), node, files, compare_files(node, files), seen, about,
                          seen.parent_low)  # fmt: skip


def _rehearsal(host: Host, work: Work, sandbox: Sandbox, outcome: Outcome) -> None:
    """Run what its tenant will be asked for first: what that touches comes back from swap, and stays (recording a
    working set by a first run is Ustiugov et al., ASPLOS 2021)."""
    runtime = require_runtime(host, sandbox.runtime)
    words = EXECUTE[sandbox.runtime](runtime, host.paths, sandbox, work.record.instance)
    limit = ["timeout", "--kill-after=1", f"{_REHEARSAL_SECONDS:.0f}"]
    with freezer.moving(host, work.record.instance):
        code, out, error = host.run([*limit, *words, *work.wish.rehearse])
    if code:
        said = " ".join((error or out).split())[-300:]
        outcome.note(work.wish.name, f"its rehearsal failed with exit code {code}: {said or 'it said nothing'}")


def shrink(host: Host, work: Work, outcome: Outcome) -> None:
    """Push a frozen shadow's memory into swap, or a checkpointed one onto the disk, and remember what is left."""
    if work.wish.stored and work.start and work.wish.sandbox:
        checkpoints.take(host, work, work.wish.sandbox)
    elif work.wish.tier == "frozen":
        slices.reclaim(host, host.paths.slice(work.record.instance), 0, _RECLAIM_SECONDS)
        if work.wish.rehearse and work.wish.sandbox:
            _rehearsal(host, work, work.wish.sandbox, outcome)
    work.record = replace(work.record, held=held(host, work.record.instance))
    records.write(host, work.record)


def apply_plan(host: Host, made: partition.Plan, cap: Cap, outcome: Outcome) -> None:
    """Make the plan real."""
    install_files(host, made.files, made.different)
    changed = [work for work in made.works if work.changes.changed and work.wish.name not in outcome.errors]
    apply.remove(host, [work for work in changed if work.remove], outcome)
    before = available(host)
    todo = [work for work in changed if not work.remove]
    while todo:  # each gives its memory up before the next ones need it
        count = max(1, starts.fitting(host, todo))
        done = apply.realise(host, todo[:count], made.about, outcome)
        apply.guarded(done, outcome, lambda work: shrink(host, work, outcome))
        todo = todo[count:]
    give_up(host, made.works, made.about, cap, before, outcome)
    if changed:
        apply.tidy(host)


def run(
    host: Host,
    items: Sequence[Mapping[str, Any]],
    claim: Sequence[Mapping[str, Any]],
    purge: bool,
    cap: Cap,
    check: bool,
) -> dict[str, Any]:
    """What the module returns: ``results`` of the shadows, ``claims`` of the tenants they became."""
    with exclusive(host, check):
        require_unified(host.paths)
        wanted = [{**(entry.get("tenant") or {}), "claim": entry.get("shadow")} for entry in claim]
        claimed = (
            partition.correct(host, wanted, False, check) if wanted else {"results": [], "changed": False, "diff": []}
        )
        outcome = Outcome()
        made = plan(host, items, purge, cap, outcome)
        if not check:
            apply_plan(host, made, cap, outcome)
        works = {work.wish.name: work for work in made.works}
        returned = summary([_result(host, name, works.get(name), outcome) for name in made.names])
        returned["claims"] = claimed["results"]
        returned["changed"] = returned["changed"] or claimed["changed"] or made.node.changed
        returned["diff"] += claimed["diff"]
        return returned


def _result(host: Host, name: str, work: Work | None, outcome: Outcome) -> dict[str, Any]:
    error = outcome.errors.get(name, "")
    waits = work is not None and not error and work.wish.sandbox is not None and not work.remove
    return result(
        work.changes if work else ChangeSet(name),
        error=error,
        tier=work.wish.tier if work and waits else "",
        state="waiting" if waits else "absent",
        held=held(host, work.record.instance) if work and waits else 0,
        stored=checkpoints.size(host, work.record.instance) if work and waits else 0,
        seconds=round(outcome.seconds.get(name, 0.0), 4),
        expires_at=work.wish.expires_at if work and waits else "",
        slice=f"tenants-{work.record.instance}.slice" if work and waits else "",
        notes=outcome.notes.get(name, []),
    )
