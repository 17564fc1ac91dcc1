# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The VMs of a cell as the store knows them: brought to what the caller says, and read as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .._core.changes import ChangeSet
from .._core.errors import Conflict, InputError
from .._core.units import parse_bytes, parse_cores, parse_rate
from .._store.interface import Document, Store

STATES = ("ready", "draining", "lost")
_ATTEMPTS = 10
_READERS: dict[str, Callable[[object], float]] = {
    "cpu": parse_cores,
    "memory": parse_bytes,
    "io_read": parse_rate,
    "io_write": parse_rate,
}


def vm_spec() -> dict[str, Any]:
    """The ``vms`` option."""
    text: dict[str, Any] = {"type": "str"}
    capacity = {"cpu": {"type": "str", "required": True}, "memory": {"type": "str", "required": True}}
    return {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "zone": text,
            "host": text,
            "capacity": {"type": "dict", "options": {**capacity, "io_read": text, "io_write": text}},
            "provides": {
                "type": "dict",
                "options": {"os": text, "libraries": {"type": "list", "elements": "str"}},
            },
            "labels": {"type": "dict"},
            "state": {"type": "str", "choices": list(STATES)},
        },
    }


def _capacity(name: str, given: Mapping[str, Any]) -> dict[str, float | None]:
    capacity: dict[str, float | None] = dict.fromkeys(_READERS)
    for resource, value in given.items():
        if value is None or resource not in _READERS:
            continue
        try:
            capacity[resource] = _READERS[resource](value)
        except InputError as error:
            raise InputError(error.message, item=f"{name}: capacity.{resource}", hint=error.hint) from error
    if not capacity["cpu"] or not capacity["memory"]:
        raise InputError("needs a capacity of CPU and memory above zero", item=name)
    return capacity


def _name(item: Mapping[str, Any]) -> str:
    name = item.get("name")
    if not isinstance(name, str) or not name.strip() or any(character in name for character in "\0\n/"):
        raise InputError("not the name of a VM", item=repr(name), hint="use its inventory name")
    return name


def _wanted(item: Mapping[str, Any], present: Mapping[str, Any] | None, cell: str) -> dict[str, Any]:
    """The fields that an item gives; what it leaves out stays as it is."""
    name = _name(item)
    fields: dict[str, Any] = {"cell": cell}
    if item.get("capacity") is not None:
        fields["capacity"] = _capacity(name, item["capacity"])
    elif present is None:
        raise InputError("a new VM needs its capacity", item=name, hint="give capacity: {cpu, memory}")
    for key in ("zone", "host", "state"):
        if item.get(key) is not None:
            fields[key] = item[key]
    if item.get("labels") is not None:
        fields["labels"] = {str(key): str(value) for key, value in item["labels"].items()}
    if item.get("provides") is not None:
        provided = item["provides"]
        fields["provides"] = {"os": provided.get("os"), "libraries": sorted(set(provided.get("libraries") or []))}
    if present is not None and present["cell"] != cell and present.get("allocations"):
        raise InputError(f"belongs to the cell {present['cell']} and holds tenants there", item=name)
    return fields


def _fresh(name: str) -> dict[str, Any]:
    return {
        "key": name,
        "zone": "",
        "host": "",
        "provides": {"os": None, "libraries": []},
        "labels": {},
        "state": "ready",
        "allocations": {},
        "shadows": {},
    }


def bring(
    store: Store, cell: str, items: Sequence[Mapping[str, Any]], *, dry: bool
) -> tuple[list[ChangeSet], dict[str, Document]]:
    """Bring the VM documents to what the items say: what differed, and the cell's VMs by key afterwards.

    Raises InputError naming the VM. With ``dry`` nothing is written.
    """
    names = [_name(item) for item in items]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError("is listed twice", item=twice[0], hint="list each VM once")
    present = store.get_many("vms", names)
    for item, name in zip(items, names):
        _wanted(item, present.get(name), cell)  # all of them are good before the first is written
    changes: list[ChangeSet] = []
    made: dict[str, Document] = {}
    for item, name in zip(items, names):
        change, document = _bring_one(store, cell, item, present.get(name), dry=dry)
        changes.append(change)
        made[name] = document
    return changes, {**{document["key"]: document for document in store.find("vms", {"cell": cell})}, **made}


def _bring_one(
    store: Store, cell: str, item: Mapping[str, Any], present: Document | None, *, dry: bool
) -> tuple[ChangeSet, Document]:
    name = _name(item)
    for attempt in range(_ATTEMPTS):
        fields = _wanted(item, present, cell)
        base = dict(present) if present is not None else _fresh(name)
        changes = ChangeSet(name)
        if present is None:
            changes.add("create", "state", "absent", fields.get("state", "ready"))
        else:
            for key, value in fields.items():
                changes.compare("update", key, present.get(key), value)
        document = {**base, **fields}
        if dry or not changes.changed:
            return changes, document
        try:
            written = store.insert("vms", document) if present is None else store.update("vms", document)
        except Conflict:
            if attempt == _ATTEMPTS - 1:
                raise
            present = store.get("vms", name)
        else:
            return changes, written
    raise Conflict("another writer was first each time", item=name, hint="run again")


def read(store: Store, cell: str) -> dict[str, Document]:
    """The cell's VMs by key."""
    return {document["key"]: document for document in store.find("vms", {"cell": cell})}
