# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the node logic may touch: a command runner, a clock and a set of paths. Modules and tests pass them in."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from .._core.errors import CommandError, TenancyError

# Runs a list of words (never a shell) and returns its exit code, standard output and standard error.
Runner = Callable[[Sequence[str]], "tuple[int, str, str]"]

PARENT = "tenants.slice"
SYSTEMCTL = ("systemctl", "--no-pager", "--no-ask-password")
CONTROLLERS = ("cpu", "io", "memory", "pids")


@dataclass(frozen=True)
class Paths:
    """Where things are on the machine; ``root`` is another folder in tests."""

    root: str = "/"

    def _under(self, *parts: str) -> str:
        return os.path.join(self.root, *parts)

    @property
    def state(self) -> str:
        """Everything of ours that outlives a reboot."""
        return self._under("var/lib/tenancy")

    @property
    def rootfs(self) -> str:
        """Root file systems of sandboxes: the only place they may be in."""
        return os.path.join(self.state, "rootfs")

    @property
    def places(self) -> str:
        """One folder per sandbox with its record and its bundle."""
        return os.path.join(self.state, "places")

    @property
    def run(self) -> str:
        """Everything of ours that a reboot ends."""
        return self._under("run/tenancy")

    @property
    def lock(self) -> str:
        """Held by the run that changes this machine."""
        return os.path.join(self.run, "lock")

    @property
    def units(self) -> str:
        """systemd units of the administrator."""
        return self._under("etc/systemd/system")

    @property
    def wants(self) -> str:
        """What starts with the machine."""
        return os.path.join(self.units, "multi-user.target.wants")

    @property
    def cgroup(self) -> str:
        """The unified cgroup hierarchy."""
        return self._under("sys/fs/cgroup")

    def slice(self, instance: str) -> str:
        """The cgroup of a tenant's slice."""
        return os.path.join(self.cgroup, PARENT, slice_unit(instance))

    def place(self, instance: str) -> str:
        """The folder of one sandbox."""
        return os.path.join(self.places, instance)

    def bundle(self, instance: str) -> str:
        """The OCI bundle of one sandbox."""
        return os.path.join(self.place(instance), "bundle")

    def checkpoint(self, instance: str) -> str:
        """The checkpoint of one sandbox."""
        return os.path.join(self.place(instance), "checkpoint")


@dataclass(frozen=True)
class Host:
    """This machine. ``which`` finds a program's path or returns None; ``clock`` is monotonic seconds."""

    run: Runner
    which: Callable[[str], str | None]
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    now: datetime
    paths: Paths = field(default_factory=Paths)
    cpus: int = 1

    def call(self, words: Sequence[str], doing: str, item: str = "", hint: str = "") -> str:
        """Run a command and return its output. Raises CommandError that says what was tried on what, and why not."""
        code, out, err = self.run(words)
        if code != 0:
            reason = " ".join((err or out).split()) or f"exit code {code}"
            raise CommandError(f"{doing} failed: {reason[-600:]}", item=item, hint=hint)
        return out

    def systemctl(self, *words: str, doing: str, item: str = "") -> str:
        """Run systemctl."""
        return self.call([*SYSTEMCTL, *words], doing, item)

    def program(self, name: str, item: str, hint: str) -> str:
        """The path of a program. Raises CommandError where it is not installed."""
        path = self.which(name)
        if path is None:
            raise CommandError(f"{name} is not installed on this machine", item=item, hint=hint)
        return path


def slice_unit(instance: str) -> str:
    """The slice of a sandbox. An instance has no dash, which would be a level of the hierarchy."""
    return f"tenants-{instance}.slice"


def service_unit(runtime: str, instance: str) -> str:
    """The service of a sandbox."""
    return f"tenancy-{runtime}@{instance}.service"


def require_unified(paths: Paths) -> None:
    """Raise CommandError where limits could not be enforced: no cgroup v2, or a controller is missing."""
    listing = read_text(os.path.join(paths.cgroup, "cgroup.controllers"))
    if listing is None:
        raise CommandError(
            "this machine has no unified cgroup hierarchy (cgroup v2)",
            item=paths.cgroup,
            hint="boot with systemd.unified_cgroup_hierarchy=1",
        )
    missing = [name for name in CONTROLLERS if name not in listing.split()]
    if missing:
        raise CommandError(
            f"the kernel has no cgroup controller {', '.join(missing)}",
            item=paths.cgroup,
            hint="boot a kernel with these controllers enabled",
        )


def read_text(path: str) -> str | None:
    """The content of a file; None where it does not exist, or where the cgroup or process it tells of just ended."""
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.ESRCH):  # between open and read
            return None
        raise CommandError(f"cannot read: {error.strerror}", item=path) from error


def meminfo(paths: Paths) -> dict[str, int]:
    """The machine's memory in bytes, by the kernel's names."""
    found = {}
    for line in (read_text(os.path.join(paths.root, "proc/meminfo")) or "").splitlines():
        name, _sign, rest = line.partition(":")
        number, _space, unit = rest.strip().partition(" ")
        found[name] = int(number) * (1024 if unit == "kB" else 1) if number.isdigit() else 0
    return found


def write_text(path: str, text: str, mode: int = 0o600) -> None:
    """Replace a file in one step, so that a reader or a kill sees the old or the new content and nothing between.

    Raises CommandError, for example when the disk is full."""
    folder = os.path.dirname(path)
    name = ""
    try:
        os.makedirs(folder, mode=0o755, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".new-", dir=folder)
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            handle.write(text)
            os.fchmod(handle.fileno(), mode)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(name, path)
    except OSError as error:
        if name and os.path.exists(name):
            os.unlink(name)
        raise CommandError(
            f"cannot write: {error.strerror}", item=path, hint="check the free space and the mount of this path"
        ) from error


@dataclass
class Outcome:
    """What happened to the items of one run beside their change sets."""

    errors: dict[str, str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    started: dict[str, str] = field(default_factory=dict)

    def fail(self, name: str, error: TenancyError) -> None:
        """Keep the first error of an item, with the item's name."""
        text = str(error)
        self.errors.setdefault(name, text if text.startswith(f"{name}:") else f"{name}: {text}")

    def note(self, name: str, text: str) -> None:
        """Say something about an item that is no failure."""
        self.notes.setdefault(name, []).append(text)
