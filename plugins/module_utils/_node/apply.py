# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the works real, in phases over all sandboxes so that systemd is called once for many of them. Each phase can be
killed and run again: a record is written before its sandbox starts and removed after everything else is gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from .._core.errors import CommandError, TenancyError
from . import freezer, images, oom, records, slices
from .host import Host, Outcome, service_unit, slice_unit, write_text
from .limit_fields import FIELDS
from .limits import Machine, starting
from .sandboxes import image_identity, render_config
from .slices import show
from .starts import require_room, service, start
from .units import SETTINGS, set_enabled
from .wishes import Work, describe


def guarded(works: Sequence[Work], outcome: Outcome, step: Callable[[Work], None]) -> list[Work]:
    """Do a step for each work; those that fail keep their error and are left out of what follows."""
    return [work for work in works if _done(work, outcome, step)]


def _done(work: Work, outcome: Outcome, step: Callable[[Work], None]) -> bool:
    try:
        step(work)
    except TenancyError as error:
        outcome.fail(work.wish.name, error)
        return False
    return True


def together(works: Sequence[Work], outcome: Outcome, step: Callable[[Sequence[Work]], None]) -> list[Work]:
    """Do a step for all works in one call; where that fails, for each alone, so that one wrong one keeps no other."""
    if len(works) > 1:
        try:
            step(works)
        except CommandError:
            return guarded(works, outcome, lambda work: step([work]))
        return list(works)
    return guarded(works, outcome, lambda work: step([work]))


def stop_services(host: Host, units: Sequence[str]) -> None:
    """Stop services and forget that they failed; one that systemd does not know is stopped already."""
    shown = show(host, units)
    loaded = [unit for unit in units if shown.get(unit, {}).get("ActiveState", [""])[0] not in ("inactive", "")]
    if loaded:
        host.systemctl("stop", "--", *loaded, doing="stopping", item=", ".join(loaded))
    after = show(host, loaded)
    failed = [unit for unit in loaded if after[unit].get("ActiveState", [""])[0] == "failed"]
    if failed:
        host.systemctl("reset-failed", "--", *failed, doing="resetting", item=", ".join(failed))


def remove(host: Host, works: Sequence[Work], outcome: Outcome) -> None:
    """End sandboxes and remove everything that was made for them."""
    together(works, outcome, lambda some: freezer.thaw(host, some, outcome))
    alive = [work for work in works if work.wish.name not in outcome.errors]
    alive = together(alive, outcome, lambda some: stop_services(host, [service(work) for work in some]))
    guarded(alive, outcome, lambda work: set_enabled(host, work.record.runtime, work.record.instance, False))
    alive = [work for work in alive if work.wish.name not in outcome.errors]
    alive = together(alive, outcome, lambda some: _drop_slices(host, some))
    guarded(alive, outcome, lambda work: records.forget(host, work.record.instance))


def _drop_slices(host: Host, works: Sequence[Work]) -> None:
    units = [slice_unit(work.record.instance) for work in works]
    active = [work for work in works if work.place is not None and work.place.slice.active]
    if active:
        names = [slice_unit(work.record.instance) for work in active]
        host.systemctl("stop", "--", *names, doing="stopping slices", item=", ".join(names))
    host.systemctl("revert", "--", *units, *[service(work) for work in works], doing="removing the limits of",
                   item=", ".join(units))  # fmt: skip


def _prepare(host: Host, outcome: Outcome, work: Work) -> None:
    """Write the record (not yet started) and the bundle."""
    sandbox = work.wish.sandbox
    if sandbox is None:
        return
    if work.start:
        require_room(host, work)  # before anything of what runs is touched
    images.unpack(host, sandbox)
    if work.former_runtime:
        freezer.thaw(host, [work], outcome)
        unit = service_unit(work.former_runtime, work.record.instance)
        set_enabled(host, work.former_runtime, work.record.instance, False)
        stop_services(host, [unit])
    work.record = replace(
        work.record,
        runtime=sandbox.runtime,
        priority=work.wish.priority,
        tier=work.wish.tier,
        created_at=work.wish.created_at,
        expires_at=work.wish.expires_at,
        digest="" if work.start else work.record.digest,
        held=0 if work.start else work.record.held,
        image=image_identity(sandbox, host.paths) if work.start else work.record.image,
        sandbox=describe(sandbox),
    )
    records.write(host, work.record)
    folder = host.paths.place(work.record.instance)
    write_text(f"{folder}/bundle/config.json", render_config(sandbox, work.record.instance, work.record.index))
    verb = work.wish.verb if work.start else work.wish.rest
    write_text(f"{folder}/settings", SETTINGS[sandbox.runtime](sandbox, verb, folder))


def limit(host: Host, about: Machine, outcome: Outcome, work: Work) -> None:
    if work.place is None:
        return
    wanted, names = work.wish.limits, work.limits
    if work.start:
        wanted = starting(wanted, about, work.record.index)
        known = work.place.slice.limits
        names = [name for name in FIELDS if name in names or getattr(known, name) != getattr(wanted, name)]
    late, why = slices.resize(host, work.record.instance, work.place.slice, wanted, names, about)
    oom.give(host, work)
    if late:
        paths = {FIELDS[name].path for name in late}
        work.changes.changes = [change for change in work.changes.changes if change.path not in paths]
        outcome.note(work.wish.name, why)


def _revert(host: Host, works: Sequence[Work]) -> None:
    units = [service(work) for work in works]
    host.systemctl("revert", "--", *units, doing="removing overrides of", item=", ".join(units))


def _start(host: Host, works: Sequence[Work], outcome: Outcome) -> list[Work]:
    together([work for work in works if work.revert], outcome, lambda some: _revert(host, some))
    return start(host, [work for work in works if work.wish.name not in outcome.errors], outcome)


def settle(host: Host, about: Machine, work: Work) -> None:
    """The limits of a start become those of the tenant."""
    wanted, first = work.wish.limits, starting(work.wish.limits, about, work.record.index)
    names = [name for name in FIELDS if getattr(wanted, name) != getattr(first, name)]
    slices.set_limits(host, work.record.instance, wanted, names, about)


def _finish(host: Host, work: Work) -> None:
    """Say in the record that the sandbox was started, and make it start with the machine."""
    sandbox = work.wish.sandbox
    if sandbox is None:
        return
    if work.start:
        work.record = replace(work.record, digest=sandbox.digest)
        records.write(host, work.record)
    wanted = work.wish.state == "running" and not work.wish.tier
    set_enabled(host, sandbox.runtime, work.record.instance, wanted)


def _still(work: Work) -> bool:
    return work.wish.frozen and work.place is not None and work.place.slice.still and not work.start


def go_on(host: Host, works: Sequence[Work], outcome: Outcome) -> None:
    """Let go what is not to stand still, or does so by half; a start does it itself."""
    going = [work for work in works if not work.start and not _still(work)]
    together(going, outcome, lambda some: freezer.thaw(host, some, outcome))


def stand_still(host: Host, works: Sequence[Work], outcome: Outcome) -> None:
    """Stop what is to stand still and does not."""
    moving = [work for work in works if work.wish.frozen and not _still(work)]
    together([work for work in moving if work.wish.name not in outcome.errors], outcome,
             lambda some: freezer.freeze(host, some))  # fmt: skip


def realise(host: Host, works: Sequence[Work], about: Machine, outcome: Outcome) -> list[Work]:
    """Create, resize, start, pause and resume; returns the works that came through."""
    begin = host.clock()
    todo = guarded(works, outcome, lambda work: _prepare(host, outcome, work))
    todo = guarded(todo, outcome, lambda work: limit(host, about, outcome, work))
    go_on(host, todo, outcome)
    todo = [work for work in todo if work.wish.name not in outcome.errors]
    share = (host.clock() - begin) / max(1, len(works))
    for work in todo:
        outcome.seconds[work.wish.name] = share
    begun = _start(host, [work for work in todo if work.start], outcome)
    guarded(begun, outcome, lambda work: settle(host, about, work))
    todo = [work for work in todo if work.wish.name not in outcome.errors]
    todo = guarded(todo, outcome, lambda work: _finish(host, work))
    host.sleep(max((work.wish.warmup for work in todo if work.start), default=0.0))
    stand_still(host, todo, outcome)
    return [work for work in todo if work.wish.name not in outcome.errors]


def tidy(host: Host) -> None:
    """Remove unpacked images that no sandbox uses any more."""
    known, _broken = records.scan(host)
    images.collect(host, [str(record.sandbox.get("rootfs", "")) for record in known])
