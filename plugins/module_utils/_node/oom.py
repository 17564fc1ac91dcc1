# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom the kernel ends when a whole machine is out of memory: who is furthest beyond its guarantee.

The kernel ends the process with the most memory, to which it adds ``oom_score_adj`` thousandths of the machine's memory
and swap (``oom_badness`` in mm/oom_kill.c). By itself that is the largest tenant, even one that stays within what it
was promised. So each gets 800 less its memory.low, as kubelet does with requests (pkg/kubelet/qos/policy.go), and what
counts is the use beyond it. A shadow gets 1000: it goes before every tenant but one that is a fifth of the machine
beyond its guarantee, where the shadow's memory would not help. The kernel compares processes, not sandboxes, so this is
exact for gVisor, whose memory is nearly all in one. Kata's are containerd's, which sets their values itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from .._core.errors import CommandError
from .host import Host, read_text, write_text
from .limits import Machine
from .sandboxes import OOM_SCORE_ADJ
from .survey import Place
from .wishes import Work

_SHADOW, _LEAST = 1000, 3  # the machine's own services have 0 and less
_ROUNDING = 1  # the kernel's own memory differs a little from boot to boot
_PASSES = 5
_NAME = "OOM_SCORE_ADJ"


def _adjustment(work: Work, about: Machine) -> int:
    """The oom_score_adj of a sandbox."""
    if work.wish.tier:
        return _SHADOW
    promised = 1000 * work.wish.limits.memory_low / max(1, about.memory)
    return max(_LEAST, OOM_SCORE_ADJ - round(promised))


def _path(folder: str) -> str:
    return os.path.join(folder, "oom")


def _known(folder: str) -> int | None:
    """What a sandbox was started with or given since; None where it is not known."""
    name, _sign, value = (read_text(_path(folder)) or "").strip().partition("=")
    return int(value) if name == _NAME and value.isdigit() else None


def _live(host: Host, place: Place) -> int | None:
    """What the kernel holds for a sandbox's first process; None where none runs."""
    text = read_text(_process(host, place.service.process)) if place.service.active else None
    return int(text) if text else None


def _differs(found: int | None, wanted: int) -> bool:
    return found is None or abs(found - wanted) > _ROUNDING


def compare(host: Host, work: Work, about: Machine) -> None:
    """Add the change to a work, if there is one."""
    if work.wish.sandbox is None or work.remove or work.place is None or work.wish.sandbox.runtime == "kata":
        return
    known, live, wanted = _known(work.place.folder), _live(host, work.place), _adjustment(work, about)
    by_hand = live is not None and not work.start and _differs(live, wanted)
    if not _differs(known, wanted) and not by_hand:
        return
    work.oom = wanted
    if not {"create", "claim"} & set(work.changes.actions):  # which imply it
        action = "resize" if _differs(known, wanted) else "repair"
        work.changes.add(action, "oom_score_adj", live if by_hand else known, wanted)


def _process(host: Host, number: int) -> str:
    return os.path.join(host.paths.root, "proc", str(number), "oom_score_adj")


def _processes(folder: str) -> Iterator[int]:
    for place, _folders, _files in os.walk(folder):
        yield from map(int, (read_text(os.path.join(place, "cgroup.procs")) or "").split())


def _set(path: str, value: int) -> bool:
    """Give it to a process that has another one."""
    found = read_text(path)
    if found is None or found.strip() == str(value):
        return False
    try:
        with open(path, "w", encoding="ascii") as handle:
            handle.write(str(value))
    except (FileNotFoundError, ProcessLookupError):
        return False  # it has ended
    except OSError as error:
        raise CommandError(f"cannot write: {error.strerror}", item=path) from error
    return True


def apply(host: Host, instance: str, value: int) -> None:
    """Give it to a sandbox's processes, and keep it for every later start. In this order: a run that is killed between
    is repeated by the next."""
    for _pass in range(_PASSES):  # a child that was forked meanwhile has its parent's former one
        if not sum(_set(_process(host, number), value) for number in _processes(host.paths.slice(instance))):
            break
    write_text(_path(host.paths.place(instance)), f"{_NAME}={value}\n")


def give(host: Host, work: Work) -> None:
    """Make the change of a work real, if there is one, once."""
    if work.oom is not None:
        apply(host, work.record.instance, work.oom)
        work.oom = None
