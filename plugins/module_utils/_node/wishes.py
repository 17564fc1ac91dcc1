# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From items to a change set for each tenant: what wish and present state differ in. Nothing is changed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .._core.changes import ChangeSet
from .._core.errors import InputError, TenancyError
from .._core.names import tenant_name
from .host import Host, Outcome, Paths
from .images import resolved
from .limits import Limits, compare_limits, limits_from
from .records import SHADOW, Record
from .sandboxes import Sandbox, render_config, require_runtime, sandbox_from
from .survey import Place
from .units import SETTINGS

STATES = ("running", "paused", "absent")


@dataclass(frozen=True)
class Wish:
    """A tenant as it shall be, or a shadow, which has a ``tier``, ``warmup`` seconds to run before it waits, the time
    when it was ``created``, now for one that is not there or is too old, and the command that it is to ``rehearse``."""

    name: str
    state: str
    limits: Limits
    sandbox: Sandbox | None
    priority: int = 50
    claim: str = ""
    tier: str = ""
    expires_at: str = ""
    warmup: float = 0.0
    created_at: str = ""
    rehearse: tuple[str, ...] = ()

    @property
    def verb(self) -> str:
        """How its sandbox comes up."""
        return "create" if self.tier == "created" else "run"

    @property
    def rest(self) -> str:
        """How its sandbox comes up the next time, once all is done."""
        return "restore" if self.stored else self.verb

    @property
    def stored(self) -> bool:
        """Whether it waits on disk, as a checkpoint, and nothing of it runs."""
        return self.tier == "checkpointed"

    @property
    def frozen(self) -> bool:
        """Whether its processes shall stand still."""
        return self.state == "paused" or self.tier == "frozen"


@dataclass
class Work:
    """What is to be done for one sandbox; ``oom`` is its new oom_score_adj."""

    wish: Wish
    record: Record
    place: Place | None
    changes: ChangeSet
    limits: list[str] = field(default_factory=list)
    start: bool = False
    revert: bool = False
    remove: bool = False
    claim: Place | None = None
    former_runtime: str = ""
    oom: int | None = None


def wish_from(item: Mapping[str, Any], paths: Paths) -> Wish:
    """Read one item. Raises InputError that names the tenant."""
    name = tenant_name(item.get("name"))
    state = item.get("state") or "running"
    try:
        if state not in STATES:
            raise InputError(f"state is {state!r}", hint=f"choose one of {', '.join(STATES)}")
        if state == "absent":
            return Wish(name, state, Limits(), None)
        claim = item.get("claim")
        return Wish(
            name,
            state,
            limits_from(item),
            sandbox_from(item, paths),
            priority=50 if item.get("priority") is None else item["priority"],
            claim=tenant_name(claim) if claim else "",
        )
    except InputError as error:
        raise InputError(error.message, item=name, hint=error.hint) from error


def wishes_from(
    items: Sequence[Mapping[str, Any]], paths: Paths, outcome: Outcome
) -> tuple[list[Wish], list[str], bool]:
    """All wishes that can be read, the names in order, and whether every item has a usable name. The others' errors go
    to ``outcome`` under their name or position."""
    wishes: dict[str, Wish] = {}
    names: list[str] = []
    all_named = True
    for position, item in enumerate(items):
        name = item.get("name")
        label = str(name) if name else f"item {position + 1}"
        try:
            tenant_name(name)
        except InputError:
            all_named = False
        if label in names:
            outcome.fail(label, InputError("is listed twice", item=label))
            wishes.pop(label, None)
            continue
        names.append(label)
        try:
            wishes[label] = wish_from(item, paths)
        except TenancyError as error:
            outcome.fail(label, error)
    return list(wishes.values()), names, all_named


def settled(host: Host, wishes: Sequence[Wish], outcome: Outcome) -> list[Wish]:
    """The wishes with roots, commands and environments from their images; those whose image is unusable, or whose
    runtime is not installed, are left out, with their errors in ``outcome``."""
    runtimes = {wish.sandbox.runtime for wish in wishes if wish.sandbox}
    wrong = {runtime: _missing(host, runtime) for runtime in runtimes}
    found = [_settled(host, wish, wrong, outcome) for wish in wishes]
    return [wish for wish in found if wish is not None]


def _missing(host: Host, runtime: str) -> TenancyError | None:
    try:
        require_runtime(host, runtime)
    except TenancyError as error:
        return error
    return None


def _settled(host: Host, wish: Wish, wrong: Mapping[str, TenancyError | None], outcome: Outcome) -> Wish | None:
    if wish.sandbox is None:
        return wish
    missing = wrong[wish.sandbox.runtime]
    if missing is not None:
        outcome.fail(wish.name, missing)
        return None
    try:
        return replace(wish, sandbox=resolved(host, wish.sandbox))
    except TenancyError as error:
        outcome.fail(wish.name, error)
        return None


def _compare_sandbox(work: Work, sandbox: Sandbox, place: Place, shared: bool) -> None:
    """Whether the sandbox must be made anew or only started. ``shared`` user ids are another sandbox's too."""
    changes, record, wish = work.changes, work.record, work.wish
    if record.digest != sandbox.digest:
        before = {key: value for key, value in record.sandbox.items() if key != "digest"}
        after = describe(sandbox)
        for key in sorted({*before, *after}):
            changes.compare("replace", f"sandbox.{key}", before.get(key), after.get(key))
        if not changes.changed:
            changes.add("replace", "sandbox", "not started", "started")
        work.start = True
    elif place.config != render_config(sandbox, record.instance, record.index):
        if not shared:
            changes.add("repair", "sandbox.config", "changed by hand", "as specified")
        work.start = True
    elif wish.stored and (place.service.active or not place.stored):
        changes.add("repair", "checkpoint", "not whole", "whole")
        work.start = True
    elif not place.service.active and not wish.stored:
        changes.add("start", "state", place.service.state, wish.state)
        work.start = True
    elif place.settings != SETTINGS[sandbox.runtime](sandbox, wish.rest, place.folder):
        changes.add("repair", "sandbox.settings", "changed by hand, or a claim was cut short", "as specified")
        work.start = True
    if place.service.overridden:
        changes.add("repair", "unit", "changed by hand", "as installed")
        work.revert = work.start = True


def describe(sandbox: Sandbox) -> dict[str, Any]:
    """The sandbox for people and for records; values of the environment may be secrets, so only names and a digest."""
    return {
        "runtime": sandbox.runtime,
        "rootfs": sandbox.rootfs,
        "command": list(sandbox.command),
        "env": [name for name, _value in sandbox.env],
        "network": sandbox.network,
        "user": ":".join(str(one) for one in sandbox.user),
        "writable": sandbox.writable,
        "digest": sandbox.digest,
    }


def _compare_state(work: Work, place: Place) -> None:
    wish = work.wish
    if wish.frozen and not place.slice.still:
        work.changes.add("pause", "state", "frozen by hand" if place.slice.frozen else "running", wish.state)
    if not wish.frozen and place.slice.stopped:
        work.changes.add("resume", "state", "paused", wish.state)
    enabled = wish.state == "running" and not wish.tier
    if place.enabled != enabled:
        work.changes.add("repair", "starts_with_machine", place.enabled, enabled)


def compare(wish: Wish, record: Record | None, fresh: Record, place: Place | None) -> Work:
    """What one sandbox needs. ``record`` is None for a new one; it gets ``fresh``, which is ``record`` for most that
    are there already; ``place`` is what is there."""
    changes = ChangeSet(wish.name)
    if wish.sandbox is None:
        if record is not None:
            changes.add("remove", "state", "present", "absent")
        return Work(wish, fresh, place, changes, remove=record is not None)
    work = Work(wish, fresh, place, changes)
    if place is None:
        return work
    if record is None:
        changes.add("create", "state", "absent", wish.state)
        work.limits = compare_limits(changes, wish.limits, place.slice.limits, place.slice.live, fresh=True)
        work.start = True
        work.revert = place.service.overridden
        return work
    if record.runtime != wish.sandbox.runtime:
        work.former_runtime = record.runtime
    shared = record.index != fresh.index
    _compare_sandbox(work, wish.sandbox, place, shared)
    if shared:
        changes.add("repair", "sandbox.user_ids", "those of another sandbox too", "its own")
    work.limits = compare_limits(changes, wish.limits, place.slice.limits, place.slice.live)
    _compare_state(work, place)
    changes.compare("update", "priority", record.priority, wish.priority)
    changes.compare("update", "expires_at", record.expires_at, wish.expires_at)
    return work


def by_name(records: Sequence[Record], role: str) -> dict[str, Record]:
    """Records of one role by the name of their tenant or shadow."""
    return {record.name: record for record in records if record.role == role}


def find_shadow(name: str, sandbox: Sandbox, records: Sequence[Record], taken: set[str]) -> Record | None:
    """The waiting shadow of this name that was started with this very sandbox and is not taken yet."""
    for record in records:
        waits = record.role == SHADOW and record.name == name and record.digest == sandbox.digest
        if waits and record.instance not in taken:
            return record
    return None
