# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles found by their key, made for what is unknown, and brought to what the user declares.

The key of a profile is its workload and the parameters that matter (algorithms: a request is matched by its key first).
A request belongs to the profile of its workload whose parameters it all carries, with the same values; the one with the
most of them wins. If two have as many, the request is ambiguous, which is reported and never guessed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .._core.changes import ChangeSet
from .._core.errors import Conflict, InputError
from .._core.names import tenant_name
from .._core.units import format_time
from .._store.interface import METRICS, Document, Store
from . import profile_fields

_ATTEMPTS = 5


def name_for(workload: str, *, unique: bool = False) -> str:
    """A valid profile name for a workload: what is left of its text, with a digest if it must not meet another's."""
    text = re.sub(r"[^a-z0-9]+", "_", workload.lower()).strip("_")
    digest = hashlib.sha256(workload.encode()).hexdigest()[:8]
    if unique or not text or len(text) > 48:
        return f"{text[:39]}_{digest}".strip("_")
    return text


def _fits(profile: Document, workload: str, parameters: Mapping[str, Any]) -> bool:
    """Whether a request of a workload carries all parameters of a profile, with the same values."""
    return profile["workload"] == workload and all(
        name in parameters and parameters[name] == value for name, value in profile["parameters"].items()
    )


def most_specific(workload: str, parameters: Mapping[str, Any], candidates: Iterable[Document]) -> Document | None:
    """The profile that a request belongs to by its key, None without one. Raises InputError when it is ambiguous."""
    fitting = [(len(profile["parameters"]), profile) for profile in candidates if _fits(profile, workload, parameters)]
    most = max((count for count, _profile in fitting), default=0)
    best = [profile for count, profile in fitting if count == most]
    if len(best) > 1:
        names = ", ".join(sorted(profile["key"] for profile in best))
        raise InputError(
            f"the workload {workload!r} with these parameters belongs to several profiles alike: {names}",
            hint="give the parameters that tell them apart, or name the profile",
        )
    return best[0] if best else None


@dataclass
class Profiles:
    """The profiles of a store as a run meets them; ``create``: unknown workloads get one. ``dry``: nothing is written.

    ``created`` names those that it made, or would have made.
    """

    store: Store
    now: datetime
    create: bool = True
    dry: bool = False

    def __post_init__(self) -> None:
        self.created: list[str] = []
        self._by_workload: dict[str, list[Document]] = {}
        self._by_name: dict[str, Document | None] = {}

    def unwritten(self) -> Profiles:
        """The same profiles for who only asks: what there is none for is told as it would be, and not made."""
        return Profiles(self.store, self.now, dry=True)

    def _named(self, name: str) -> Document | None:
        if name not in self._by_name:
            self._by_name[name] = self.store.get("profiles", name)
        return self._by_name[name]

    def _of(self, workload: str) -> list[Document]:
        if workload not in self._by_workload:
            self._by_workload[workload] = list(self.store.find("profiles", {"workload": workload}))
        return self._by_workload[workload]

    def of_request(self, workload: str, parameters: Mapping[str, Any]) -> Document:
        """The profile of a request, made if there is none. Raises InputError when ambiguous, or none may be made."""
        found = most_specific(workload, parameters, self._of(workload))
        if found is not None:
            return found
        self._check(workload)
        for name in (name_for(workload), name_for(workload, unique=True)):
            made = self._insert(name, workload)
            if made is not None and _fits(made, workload, parameters):
                return made
        raise InputError(f"no free name for a profile of {workload!r}", hint="declare it with workload_profile")

    def of_usage(self, workload: str) -> Document:
        """The profile that measurements of a whole workload belong to: its only one, or the one without parameters."""
        candidates = self._of(workload)
        return candidates[0] if len(candidates) == 1 else self.of_request(workload, {})

    def by_name(self, name: str) -> Document:
        """The profile of that name, whatever its key, made if there is none."""
        found = self._named(tenant_name(name))
        if found is None:
            self._check(name)
            found = self._insert(name, name)
        if found is None:
            raise Conflict("another run removed it at the same time", item=f"profiles/{name}", hint="run again")
        return found

    def _check(self, workload: str) -> None:
        """Raise InputError where no profile may be made for a workload."""
        if not self.create:
            raise InputError(
                f"there is no profile for {workload!r}",
                hint="declare it with workload_profile, or allow create_profiles",
            )
        if len(workload.encode()) > 400 or not workload.strip():
            raise InputError(f"the workload {workload[:50]!r} is empty or longer than 400 bytes")

    def _insert(self, name: str, workload: str) -> Document | None:
        """The profile of a name, made for a workload where there is none; None if another run has just removed it."""
        present = self._named(name)
        if present is not None:
            return present
        document = {"key": name, **profile_fields.defaults(name)}
        document.update(workload=workload, origin="observed", created_at=self.now)
        try:
            present = document if self.dry else self.store.insert("profiles", document)
        except Conflict:
            self._by_workload.clear()  # another run made it: what was read before is not all there is
            del self._by_name[name]
            return self._named(name)
        # Read what else the workload has before it is added: a list of this one alone would hide the others.
        others = [one for one in self._of(workload) if one["key"] != name]
        self._by_workload[workload] = [*others, present]
        self._by_name[name] = present
        self.created.append(name)
        return present


def _hidden(sandbox: Mapping[str, Any], other: Mapping[str, Any], mark: str) -> dict[str, Any]:
    # The environment of a sandbox may carry credentials: a difference shows which variables differ, not their values.
    env, before = sandbox.get("env") or {}, other.get("env") or {}
    shown = {name: "(hidden)" if before.get(name) == value else mark for name, value in env.items()}
    return {**sandbox, "env": shown} if env else dict(sandbox)


def compare(name: str, present: Document | None, wanted: Mapping[str, Any]) -> ChangeSet:
    """What differs between the stored profile and the wanted fields."""
    changes = ChangeSet(name)
    verb = "create" if present is None else "update"
    if present is None:
        changes.add(verb)
    for field, value in wanted.items():
        before = present.get(field) if present is not None else None
        if field == "sandbox":
            old = before or {}
            before, shown = _hidden(old, value, "(hidden, before)"), _hidden(value, old, "(hidden, after)")
            changes.compare(verb, field, before, shown)
        else:
            changes.compare(verb, field, before, value)
    return changes


def _ensure_once(store: Store, item: Mapping[str, Any], now: datetime, dry: bool) -> tuple[ChangeSet, Document]:
    name = tenant_name(item.get("name"))
    given = profile_fields.read(item)
    present = store.get("profiles", name)
    base = present if present is not None else {**profile_fields.defaults(name), "created_at": now}
    wanted = {**profile_fields.merged(base, given), "key": name}
    shown = given if present is not None else profile_fields.READERS
    changes = compare(name, present, {field: wanted[field] for field in shown})
    if changes.changed and not dry:
        wanted = store.insert("profiles", wanted) if present is None else store.update("profiles", wanted)
    return changes, wanted


def ensure(store: Store, item: Mapping[str, Any], now: datetime, *, dry: bool) -> tuple[ChangeSet, Document]:
    """Bring one profile to what is declared: ``(what differs, the profile)``. Raises InputError."""
    for _attempt in range(_ATTEMPTS):
        done = _try_ensure(store, item, now, dry)
        if done is not None:
            return done
    return _ensure_once(store, item, now, dry)


def _try_ensure(store: Store, item: Mapping[str, Any], now: datetime, dry: bool) -> tuple[ChangeSet, Document] | None:
    try:
        return _ensure_once(store, item, now, dry)
    except Conflict:
        return None


def remove(store: Store, name: str, *, dry: bool) -> ChangeSet:
    """Remove a profile with its forecasts and its history. Raises InputError while tenants are of it."""
    changes = ChangeSet(tenant_name(name))
    present = store.get("profiles", name)
    if present is None:
        return changes
    tenants = [tenant["key"] for tenant in store.find("tenants", {"profile": name}) if tenant["state"] != "absent"]
    if tenants:
        few = ", ".join(tenants[:3]) + (", ..." if len(tenants) > 3 else "")
        raise InputError(f"{len(tenants)} tenants are of this profile: {few}", item=name, hint="remove them first")
    changes.add("remove", "workload", present["workload"], None)
    if not dry:
        # The document goes last: a run that is killed before is finished by the next one.
        store.delete_history(name)
        store.delete_arrays([f"forecast/{name}/{metric}" for metric in METRICS])
        store.delete("profiles", name)
    return changes


def _shown(value: Any) -> Any:
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, Mapping):
        return {name: _shown(item) for name, item in value.items()}
    return [_shown(item) for item in value] if isinstance(value, list) else value


def described(profile: Mapping[str, Any]) -> dict[str, Any]:
    """A profile for people and playbooks: JSON values, its name, of the sandbox's environment only the names."""
    fields = {field: _shown(value) for field, value in profile.items() if field not in ("key", "schema")}
    sandbox = fields.get("sandbox") or {}
    fields["sandbox"] = _hidden(sandbox, sandbox, "")
    return {"name": profile["key"], "features": None, "shadow": {}, **fields}
