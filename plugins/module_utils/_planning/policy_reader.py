# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies read from options and documents, checked, overridden for a cell, group or profile, and written back."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from .._core.errors import InputError
from .._core.units import parse_bytes, parse_cores, parse_duration, parse_rate
from .policy import GROUP_KEYS, PROFILE_BARRED, SECTIONS, Override, Policy
from .policy_checks import consistent

_SPAN = re.compile(
    r"(?:(mon|tue|wed|thu|fri|sat|sun)(?:-(mon|tue|wed|thu|fri|sat|sun))? )?([0-2]\d):([0-5]\d)-([0-2]\d):([0-5]\d)"
)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _share(value: object) -> float:
    number = _number(value)
    if number > 1:
        raise InputError(f"{value!r} is not a share", hint="write a number from 0 to 1")
    return number


def _number(value: object) -> float:
    try:
        number = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number < 0:
        raise InputError(f"{value!r} is not a number", hint="write a finite number that is not negative")
    return number


def _count(value: object) -> int:
    number = _number(value)
    if number != int(number):
        raise InputError(f"{value!r} is not a whole number", hint="write a count like 3")
    return int(number)


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise InputError(f"{value!r} is not a boolean", hint="write true or false")


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        raise InputError(f"{value!r} is not a list of names")
    return tuple(str(item) for item in value)


def read_span(value: str) -> tuple[frozenset[int], int, int]:
    """Read ``[mon[-fri] ]HH:MM-HH:MM`` (UTC) as (weekdays with Monday 0, start, end in seconds of the day).

    An end at or before the start lies on the next day. Raises InputError.
    """
    match = _SPAN.fullmatch(value.strip().lower())
    if match is None or int(match.group(3)) > 23 or int(match.group(5)) > 24:
        raise InputError(f"{value!r} is not a span of time", hint="write it like 22:00-06:00 or mon-fri 08:00-18:00")
    first, last = match.group(1), match.group(2) or match.group(1)
    days = set(range(7))
    if first:
        begin, end = DAYS.index(first), DAYS.index(last)
        days = {day % 7 for day in range(begin, (end if end >= begin else end + 7) + 1)}
    start = int(match.group(3)) * 3600 + int(match.group(4)) * 60
    end_of = int(match.group(5)) * 3600 + int(match.group(6)) * 60
    return frozenset(days), start, end_of


def _spans(value: object) -> tuple[str, ...]:
    spans = _names(value)
    for span in spans:
        read_span(span)
    return spans


_READERS: dict[str, Callable[[object], Any]] = {
    "share": _share,
    "count": _count,
    "number": _number,
    "duration": parse_duration,
    "bytes": parse_bytes,
    "rate": parse_rate,
    "cores": parse_cores,
    "flag": _flag,
    "names": _names,
    "spans": _spans,
}
_TYPES = {"share": "float", "count": "int", "number": "float", "flag": "bool"}


def _read(section: str, key: str, kind: str, value: object) -> Any:
    try:
        if "|" in kind:
            if value not in kind.split("|"):
                raise InputError(f"{value!r} is not one of {', '.join(kind.split('|'))}")
            return value
        return _READERS[kind](value)
    except InputError as error:
        raise InputError(error.message, item=f"policy {section}.{key}", hint=error.hint) from error


def _read_sections(value: Mapping[str, Any], where: str = "policy") -> dict[str, dict[str, Any]]:
    """Parse ``{section: {key: value}}``; a value None means that it was not given."""
    parsed: dict[str, dict[str, Any]] = {}
    for section, given in value.items():
        if section not in SECTIONS:
            raise InputError(f"unknown section {section!r}", item=where, hint="known: " + ", ".join(SECTIONS))
        if given is None:
            continue
        if not isinstance(given, Mapping):
            raise InputError("not a dictionary", item=f"{where} {section}")
        kinds = {item.name: str(item.metadata["kind"]) for item in fields(SECTIONS[section])}
        unknown = sorted(set(given) - set(kinds))
        if unknown:
            raise InputError(
                f"unknown key {unknown[0]!r}", item=f"{where} {section}", hint="known: " + ", ".join(kinds)
            )
        parsed[section] = {
            key: _read(section, key, kinds[key], item) for key, item in given.items() if item is not None
        }
    return parsed


def _override(value: object, index: int) -> Override:
    where = f"policy overrides[{index}]"
    if not isinstance(value, Mapping) or not isinstance(value.get("set"), Mapping):
        raise InputError(
            "not an override", item=where, hint="give cell, group or profile, and set: {section: {key: value}}"
        )
    unknown = sorted(set(value) - {"cell", "group", "profile", "set"})
    if unknown:
        raise InputError(f"unknown key {unknown[0]!r}", item=where, hint="known: cell, group, profile, set")
    override = Override(
        cell=value.get("cell") or "",
        group=value.get("group") or "",
        profile=value.get("profile") or "",
        values=_read_sections(value["set"], where),
    )
    if not (override.cell or override.group or override.profile):
        raise InputError("names nothing to override", item=where, hint="give cell, group or profile")
    for section, values in override.values.items():
        for key in values:
            if override.group and key not in GROUP_KEYS.get(section, ()):
                raise InputError(f"a group of VMs has no {section}.{key} of its own", item=where)
            if override.profile and (section not in PROFILE_BARRED or key in PROFILE_BARRED[section]):
                raise InputError(f"a profile has no {section}.{key} of its own", item=where, hint="set it for the cell")
    return override


def _with(policy: Policy, values: Mapping[str, Mapping[str, Any]]) -> Policy:
    sections = {section: replace(getattr(policy, section), **given) for section, given in values.items() if given}
    return replace(policy, **sections) if sections else policy


def read_policy(value: Mapping[str, Any] | None, *, cell: str = "") -> Policy:
    """Read a policy from ``{section: {key: value}, overrides: [...]}``; if ``cell`` is given, the policy of that cell,
    whose overrides name groups and profiles alone.

    Raises InputError for an unknown section or key, a value out of range, and a policy that contradicts itself.
    """
    given = dict(value or {})
    raw = given.pop("overrides", None) or ()
    overrides = tuple(_override(item, index) for index, item in enumerate(raw))
    policy = _with(replace(Policy(), overrides=overrides), _read_sections(given))
    for item in overrides:
        consistent(narrowed(policy, cell=item.cell or cell, group=item.group, profile=item.profile))
    return consistent(_of_cell(policy, cell) if cell else policy)


def _of_cell(policy: Policy, cell: str) -> Policy:
    """The policy of a cell: its own overrides are applied, those of other cells left out, and what remains names groups
    and profiles alone. What is set for the whole cell replaces what earlier overrides say, since later ones win."""
    left: list[Override] = []
    for item in policy.overrides:
        if item.cell not in ("", cell):
            continue
        if item.group or item.profile:
            left.append(replace(item, cell=""))
            continue
        policy = _with(policy, item.values)
        left = [replace(one, values=_without(one.values, item.values)) for one in left]
    return replace(policy, overrides=tuple(one for one in left if one.values))


def _without(
    values: Mapping[str, Mapping[str, Any]], gone: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """The keys of ``values`` that ``gone`` has not."""
    kept = {
        section: {key: value for key, value in given.items() if key not in gone.get(section, {})}
        for section, given in values.items()
    }
    return {section: given for section, given in kept.items() if given}


def narrowed(policy: Policy, *, cell: str = "", group: str = "", profile: str = "") -> Policy:
    """The policy with the overrides whose given selectors are all among ``cell``, ``group`` and ``profile``."""
    for item in policy.overrides:
        wanted = ((item.cell, cell), (item.group, group), (item.profile, profile))
        if all(not selector or selector == value for selector, value in wanted):
            policy = _with(policy, item.values)
    return policy


def policy_document(policy: Policy) -> dict[str, Any]:
    """The policy as a plain document that ``read_policy`` reads back."""
    document: dict[str, Any] = {}
    for section in SECTIONS:
        values = asdict(getattr(policy, section))
        document[section] = {key: list(item) if isinstance(item, tuple) else item for key, item in values.items()}
    document["overrides"] = [
        {
            "cell": item.cell,
            "group": item.group,
            "profile": item.profile,
            "set": {
                s: {k: list(v) if isinstance(v, tuple) else v for k, v in given.items()}
                for s, given in item.values.items()
            },
        }
        for item in policy.overrides
    ]
    return document


def option_spec() -> dict[str, Any]:
    """The ``policy`` option as an argument spec: a dict per section, and the overrides."""
    sections: dict[str, Any] = {}
    for section, kind in SECTIONS.items():
        options = {item.name: _option(str(item.metadata["kind"])) for item in fields(kind)}
        sections[section] = {"type": "dict", "options": options}
    sections["overrides"] = {
        "type": "list",
        "elements": "dict",
        "options": {
            "cell": {"type": "str"},
            "group": {"type": "str"},
            "profile": {"type": "str"},
            "set": {"type": "dict", "required": True},
        },
    }
    return {"type": "dict", "options": sections}


def _option(kind: str) -> dict[str, Any]:
    if "|" in kind:
        return {"type": "str", "choices": kind.split("|")}
    if kind in ("names", "spans"):
        return {"type": "list", "elements": "str"}
    return {"type": _TYPES.get(kind, "str")}
