# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sandbox is made of: the wish from an item, its OCI bundle, and the place where it is kept."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from .._core.errors import CommandError, InputError
from .host import PARENT, Host, Paths, service_unit, slice_unit

RUNTIMES = ("gvisor", "kata", "runc")
NETWORKS = ("none", "host")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_ENV_SIZE = 128 * 1024
# Host user ids of sandboxes: 65536 for each, in the range that systemd keeps for containers (systemd.io/UIDS-GIDS).
_FIRST_ID, _IDS = 0x40000000, 65536
SANDBOXES = 12000
OOM_SCORE_ADJ = 800  # of a tenant that is promised no memory
_SCRATCH = os.sep + "tmp"  # inside the sandbox, in its own memory
_TMP_BYTES = 64 * 1024 * 1024
_MASKED = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
           "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"]  # fmt: skip
_READ_ONLY = ["/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
_BUNDLE_VERSION = 1
DEFAULT_COMMAND = ("sleep", "infinity")


@dataclass(frozen=True)
class Sandbox:
    """What runs, and how it is kept apart. ``env`` is sorted; ``user`` is the uid and gid inside. With an ``image``,
    ``rootfs`` and an empty ``command`` are settled when the image has been looked at (images.py)."""

    runtime: str
    rootfs: str
    command: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    network: str = "none"
    user: tuple[int, int] = (65534, 65534)
    writable: bool = False
    image: str = ""

    @property
    def digest(self) -> str:
        """Changes when the sandbox must be made anew; limits are not part of it, nor is where its image lies."""
        text = json.dumps([_BUNDLE_VERSION, asdict(replace(self, image=""))], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def words_from(value: Any, name: str) -> tuple[str, ...]:
    """A command. Raises InputError that names the option."""
    if not isinstance(value, (list, tuple)) or not value or not all(isinstance(word, str) for word in value):
        raise InputError(f"{name} must be a list of words", hint="write it like [sleep, infinity]")
    if any("\0" in word for word in value) or not value[0]:
        raise InputError(f"{name} has an empty program or a NUL character")
    return tuple(value)


def _environment(value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, Mapping):
        raise InputError("sandbox.env must be a dictionary")
    for name, text in value.items():
        if not isinstance(name, str) or not _ENV_NAME.fullmatch(name):
            raise InputError(f"sandbox.env has the name {name!r}, which is not valid", hint="use letters, digits and _")
        if isinstance(text, bool) or not isinstance(text, (str, int, float)) or "\0" in str(text):
            raise InputError(f"sandbox.env.{name} must be text without a NUL character")
    pairs = tuple(sorted((name, str(text)) for name, text in value.items()))
    if sum(len(name) + len(text) for name, text in pairs) > _ENV_SIZE:
        raise InputError("sandbox.env is longer than 128 KiB")
    return pairs


def _user(value: Any) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,5})(?::([0-9]{1,5}))?", str(value))
    ids = (int(match.group(1)), int(match.group(2) or match.group(1))) if match else (_IDS, _IDS)
    if max(ids) >= _IDS:
        raise InputError(f"sandbox.user {value!r} is not a uid:gid below 65536", hint="write it like 1000:1000")
    return ids


def _choice(value: Any, what: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise InputError(f"sandbox.{what} is {value!r}", hint=f"choose one of {', '.join(choices)}")
    return str(value)


def _image(value: Any, given: Mapping[str, Any]) -> str:
    path = str(value)
    if "rootfs" in given:
        raise InputError("sandbox has both a rootfs and an image", hint="give one of them")
    if not path.startswith("/") or os.path.normpath(path) != path or any(ord(letter) < 32 for letter in path):
        raise InputError(f"sandbox.image {path!r} is not the absolute path of a file or folder")
    return path


def sandbox_from(item: Mapping[str, Any], paths: Paths) -> Sandbox:
    """The sandbox that an item asks for, with what it leaves out. Raises InputError without the item's name."""
    given = {key: value for key, value in (item.get("sandbox") or {}).items() if value is not None}
    image = _image(given["image"], given) if "image" in given else ""
    rootfs = str(given.get("rootfs", os.path.join(paths.rootfs, "base")))
    inside = os.path.normpath(rootfs) == rootfs and rootfs.startswith(paths.rootfs + "/")
    if not inside or any(ord(letter) < 32 for letter in rootfs):
        raise InputError(
            f"sandbox.rootfs {rootfs!r} is not a folder below {paths.rootfs}",
            hint="put root file systems there; nothing else of the machine can be given to a sandbox",
        )
    runtime = _choice(given.get("runtime", "gvisor"), "runtime", RUNTIMES)
    if given.get("writable") and runtime != "gvisor":
        raise InputError(
            f"sandbox.writable is not known to {runtime}, whose sandboxes share their root file system",
            hint="use gvisor, which keeps what is written in the tenant's memory, or write below " + _SCRATCH,
        )
    usual = () if image else DEFAULT_COMMAND
    return Sandbox(
        runtime=runtime,
        rootfs=rootfs,
        command=words_from(given["command"], "sandbox.command") if "command" in given else usual,
        env=_environment(given.get("env", {})),
        network=_choice(given.get("network", "none"), "network", NETWORKS),
        user=_user(given.get("user", "65534:65534")),
        writable=bool(given.get("writable", False)),
        image=image,
    )


def image_identity(sandbox: Sandbox, paths: Paths) -> str:
    """What tells one state of a root file system from another, without reading it all: the folder and its first level.

    Raises CommandError where the folder is missing, is reached through a symbolic link, or can be changed by others
    than root: a sandbox must not decide what the next one runs."""
    path = paths.rootfs
    for part in ["", *sandbox.rootfs[len(paths.rootfs) + 1 :].split("/")]:
        path = os.path.join(path, part) if part else path
        try:
            entry = os.lstat(path)
        except OSError as error:
            raise CommandError(f"no root file system: {error.strerror}", item=path) from error
        if not stat.S_ISDIR(entry.st_mode):
            raise CommandError("this part of a root file system's path is not a folder", item=path)
        if entry.st_uid != os.geteuid() or stat.S_IMODE(entry.st_mode) & 0o022:
            raise CommandError("this folder of a root file system can be changed by others than root", item=path)
    try:
        with os.scandir(path) as entries:
            first = sorted((one.name, one.stat(follow_symlinks=False).st_mtime_ns) for one in entries)
    except OSError as error:
        raise CommandError(f"cannot read this root file system: {error.strerror}", item=path) from error
    return hashlib.sha256(json.dumps([entry.st_dev, entry.st_ino, first]).encode()).hexdigest()


def _namespaces(sandbox: Sandbox) -> list[dict[str, str]]:
    kinds = ["pid", "ipc", "uts", "mount", "cgroup"]
    if sandbox.network == "none":
        kinds.append("network")
    if sandbox.runtime != "kata":  # its guest has users of its own
        kinds.append("user")
    return [{"type": kind} for kind in kinds]


def _mounts() -> list[dict[str, Any]]:
    options = ["nosuid", "nodev", "mode=1777", f"size={_TMP_BYTES}"]
    return [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
        {"destination": _SCRATCH, "type": "tmpfs", "source": "tmpfs", "options": [*options, "noexec"]},
    ]


def bundle_config(sandbox: Sandbox, instance: str, index: int) -> dict[str, Any]:
    """The OCI runtime specification (version 1.0.2) of a sandbox: no capability, no new privileges, a user namespace
    of its own, a read-only root, no host mount, no device beyond the runtime's own."""
    ids = [{"containerID": 0, "hostID": _FIRST_ID + index * _IDS, "size": _IDS}]
    env = dict(sandbox.env)
    env.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    linux: dict[str, Any] = {
        "namespaces": _namespaces(sandbox),
        "cgroupsPath": _cgroups_path(sandbox, instance),
        "maskedPaths": _MASKED,
        "readonlyPaths": _READ_ONLY,
    }
    if sandbox.runtime != "kata":
        linux.update(uidMappings=ids, gidMappings=ids)
    sets = ("bounding", "effective", "inheritable", "permitted", "ambient")
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": sandbox.user[0], "gid": sandbox.user[1]},
            "args": list(sandbox.command),
            "env": [f"{name}={value}" for name, value in env.items()],
            "cwd": "/",
            "capabilities": {name: [] for name in sets},
            "noNewPrivileges": True,
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 4096, "soft": 1024}],
        },
        "root": {"path": sandbox.rootfs, "readonly": not sandbox.writable},
        "hostname": instance.partition(".")[0].replace("_", "-"),
        "mounts": _mounts(),
        "linux": linux,
    }


def _cgroups_path(sandbox: Sandbox, instance: str) -> str:
    """gVisor stays in its service's own cgroup, so that systemd supervises the sandbox itself and it reads its size
    from the slice; the others are put into a scope beside the service, below the same slice."""
    if sandbox.runtime == "gvisor":
        return f"/{PARENT}/{slice_unit(instance)}/{service_unit('gvisor', instance)}"
    return f"{slice_unit(instance)}:tenancy:{instance}"


def render_config(sandbox: Sandbox, instance: str, index: int) -> str:
    """The bundle's config.json."""
    return json.dumps(bundle_config(sandbox, instance, index), indent=1, sort_keys=True) + "\n"


def require_runtime(host: Host, runtime: str) -> str:
    """The path of a runtime's program. Raises CommandError that says how to get it."""
    if runtime == "kata":
        shim = host.program("containerd-shim-kata-v2", "runtime kata", "run the role predictive.tenancy.kata")
        if not os.path.exists(os.path.join(host.paths.root, "dev/kvm")):
            raise CommandError(
                "Kata needs /dev/kvm in this VM", item=shim, hint="enable nested virtualization, or use gvisor"
            )
        return host.program("ctr", "runtime kata", "install containerd")
    if runtime == "runc":
        return host.program("runc", "runtime runc", "install the package runc")
    return host.program("runsc", "runtime gvisor", "run the role predictive.tenancy.gvisor")
