# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Claims: a waiting shadow becomes a tenant where it stands; its sandbox keeps running under its own name."""

from __future__ import annotations

from dataclasses import replace

from .._core.errors import TenancyError
from . import checkpoints, freezer, oom, records, slices, starts
from .apply import go_on, guarded, stand_still
from .host import Host, Outcome, write_text
from .limits import Machine, compare_limits
from .records import TENANT
from .sandboxes import image_identity, require_runtime
from .survey import Place
from .units import SETTINGS, START_CREATED, set_enabled
from .wishes import Work, describe


def _stale(host: Host, work: Work, shadow: Place | None) -> str:
    """Why this shadow cannot be claimed; empty where it can."""
    sandbox = work.wish.sandbox
    if shadow is None or sandbox is None:
        return f"no shadow {work.wish.claim} with this sandbox waits here"
    if shadow.record.tier == "checkpointed":
        restoring = SETTINGS[sandbox.runtime](sandbox, "restore", shadow.folder)
        if shadow.service.active or not shadow.stored or shadow.settings != restoring:
            return f"shadow {work.wish.claim} has no whole checkpoint"
    elif not shadow.service.active:
        return f"shadow {work.wish.claim} does not run, it is {shadow.service.state}"
    if shadow.record.image != image_identity(sandbox, host.paths):
        return f"shadow {work.wish.claim} is stale: its root file system has changed since it was made"
    return ""


def plan_claim(host: Host, work: Work, shadow: Place | None, outcome: Outcome) -> None:
    """Turn the creation of a tenant into a claim where its shadow waits; else say why it starts cold."""
    try:
        why = _stale(host, work, shadow)
    except TenancyError as error:
        outcome.fail(work.wish.name, error)
        return
    if why or shadow is None:
        outcome.note(work.wish.name, f"{why}; it starts cold")
        return
    work.changes.changes = []
    work.changes.add("claim", "state", f"shadow {shadow.record.instance}", work.wish.state)
    work.limits = compare_limits(work.changes, work.wish.limits, shadow.slice.limits, shadow.slice.live)
    work.record, work.place, work.claim = shadow.record, shadow, shadow
    work.start = work.revert = False


def claim(host: Host, work: Work, about: Machine, outcome: Outcome) -> None:
    """Limits, go, and the record says whose it is now.

    A run that is killed after a frozen shadow went on leaves a shadow that moves, which the next run claims or freezes
    again. The others cannot be started twice, so there the record comes first: what is left then is a tenant whose
    settings are a shadow's, and the next run starts it anew."""
    sandbox, place = work.wish.sandbox, work.claim
    if sandbox is None or place is None:
        return
    begin, instance, tier = host.clock(), work.record.instance, work.record.tier
    if starts.begins(work):
        starts.require_room(host, work)
    work.record = replace(
        work.record, name=work.wish.name, role=TENANT, priority=work.wish.priority, tier="", expires_at="", held=0,
        sandbox=describe(sandbox),
    )  # fmt: skip
    if tier == "checkpointed":
        records.write(host, work.record)
        checkpoints.restore(host, work, sandbox, about, outcome)
        if work.wish.name in outcome.errors:
            return
    else:
        late, why = slices.resize(host, instance, place.slice, work.wish.limits, work.limits, about)
        if late:
            outcome.note(work.wish.name, why)
    if tier == "created":
        records.write(host, work.record)
    if place.slice.frozen and (tier == "created" or not work.wish.frozen):
        freezer.let_go(host, instance)
    if tier == "created":
        words = START_CREATED[sandbox.runtime](require_runtime(host, sandbox.runtime), host.paths, sandbox, instance)
        host.call(words, "starting a created sandbox", work.wish.name)
    outcome.started.setdefault(work.wish.name, "claimed")  # or cold, where its checkpoint was of no use
    outcome.seconds[work.wish.name] = host.clock() - begin
    oom.give(host, work)
    records.write(host, work.record)
    write_text(f"{place.folder}/settings", SETTINGS[sandbox.runtime](sandbox, "run", place.folder))
    if tier == "checkpointed":
        checkpoints.discard(host, instance)
    set_enabled(host, sandbox.runtime, instance, work.wish.state == "running")


def claim_all(host: Host, works: list[Work], about: Machine, outcome: Outcome) -> None:
    """One after the other, each as fast as it can be; what systemd is to know is told for all of them."""
    guarded(works, outcome, lambda work: claim(host, work, about, outcome))
    begun = [work for work in works if work.wish.name in outcome.started]  # also those that failed after that
    go_on(host, begun, outcome)
    stand_still(host, begun, outcome)
