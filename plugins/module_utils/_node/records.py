# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept about each sandbox on this machine: who has it, what it was started with, and for how long."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .._core.errors import CommandError, NoRoom
from .host import Host, read_text, write_text
from .sandboxes import SANDBOXES

TENANT, SHADOW = "tenant", "shadow"
# A tenant's sandbox has the tenant's name; a shadow's has a number after a dot, which no tenant's name can have.
_INSTANCE = re.compile(r"[a-z0-9_]{1,48}(\.[0-9]{1,6})?")


@dataclass(frozen=True)
class Record:
    """``digest`` is that of the sandbox which was started, empty until it was; ``image`` the state of its root file
    system then; ``index`` its range of user ids; ``tier``, ``created_at`` and ``expires_at`` (ISO 8601) and ``held``
    belong to shadows."""

    instance: str
    name: str
    role: str
    runtime: str
    index: int
    digest: str = ""
    image: str = ""
    priority: int = 50
    tier: str = ""
    created_at: str = ""
    expires_at: str = ""
    held: int = 0
    sandbox: dict[str, Any] = field(default_factory=dict)


def _path(host: Host, instance: str) -> str:
    return os.path.join(host.paths.place(instance), "record.json")


def _read(host: Host, instance: str) -> Record | None:
    text = read_text(_path(host, instance))
    known = {entry.name for entry in fields(Record)}
    try:
        values = {key: value for key, value in json.loads(text or "").items() if key in known}
        record = Record(**values)
    except (ValueError, TypeError, AttributeError):
        return None  # cut short or of another version: the place is there, what it holds is made anew
    return record if record.instance == instance else None


def scan(host: Host) -> tuple[list[Record], list[str]]:
    """All records, and the places without a usable one (a run was killed there, or somebody changed it)."""
    records, broken = [], []
    try:
        names = sorted(os.listdir(host.paths.places))
    except FileNotFoundError:
        names = []
    except OSError as error:
        raise CommandError(f"cannot read: {error.strerror}", item=host.paths.places) from error
    for name in names:
        if _INSTANCE.fullmatch(name):
            record = _read(host, name)
            if record is None:
                broken.append(name)
            else:
                records.append(record)
    return records, broken


def write(host: Host, record: Record) -> None:
    """Keep a record."""
    write_text(_path(host, record.instance), json.dumps(asdict(record), sort_keys=True) + "\n")


def forget(host: Host, instance: str) -> None:
    """Remove a place; its record goes last, so that a killed removal is seen and finished."""
    folder = host.paths.place(instance)
    try:
        for name in sorted(os.listdir(folder), key=lambda entry: entry == "record.json"):
            path = os.path.join(folder, name)
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        os.rmdir(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise CommandError(f"cannot remove: {error.strerror}", item=folder) from error


def free_index(taken: Iterable[int]) -> int:
    """The lowest free range of user ids. Raises NoRoom."""
    used = set(taken)
    for index in range(SANDBOXES):
        if index not in used:
            return index
    raise NoRoom(f"this machine has {SANDBOXES} sandboxes, which is all that have user ids")


def free_instance(name: str, taken: Iterable[str]) -> str:
    """The name of a new shadow's sandbox: the shadow's name and the lowest free number."""
    used, number = set(taken), 1
    while f"{name}.{number}" in used:
        number += 1
    return f"{name}.{number}"
