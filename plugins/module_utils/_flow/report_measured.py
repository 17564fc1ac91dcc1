# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measurements that the caller gives, as tables and bars: latencies of claims beside cold starts, limits in force."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from .._core.errors import InputError
from .._core.units import format_bytes, format_duration, format_rate
from .report_views import Group

# The pairs that are drawn as bars: what we reached, and what it is held against.
PAIRS = (("claim", "cold"), ("measured", "limit"), ("ours", "theirs"), ("value", "beside"))
# Not columns: they say how the others are to be read.
HOW = ("group", "unit")


def groups(measurements: Iterable[Mapping[str, Any]]) -> list[Group]:
    """One table per ``group``, in the order in which the groups first appear. Raises InputError naming the entry."""
    sorted_out: dict[str, list[Mapping[str, Any]]] = {}
    for index, one in enumerate(measurements, 1):
        if not isinstance(one, Mapping) or not str(one.get("name") or "").strip():
            raise InputError("has no name", item=f"measurement {index}", hint="give name, and what was measured")
        sorted_out.setdefault(str(one.get("group") or "Measurements"), []).append(one)
    return [_group(name, rows) for name, rows in sorted_out.items()]


def _group(name: str, rows: list[Mapping[str, Any]]) -> Group:
    columns = list(dict.fromkeys(key for row in rows for key in row if key not in HOW))
    columns.sort(key=lambda key: key != "name")
    cells = [[measured(row.get(key), row.get("unit")) for key in columns] for row in rows]
    drawn = [(pair, str(row.get("unit"))) for row in rows if (pair := _bar(row)) is not None]
    most: dict[str, float] = {}
    for pair, unit in drawn:
        most[unit] = max(most.get(unit, 0.0), pair[2], pair[4])
    titles = [column.replace("_", " ") for column in columns]
    scales = [most[unit] for _bar_drawn, unit in drawn]
    return Group(name[:1].upper() + name[1:], titles, cells, [pair for pair, _unit in drawn], scales)


def _bar(row: Mapping[str, Any]) -> tuple[str, str, float, str, float] | None:
    for ours, theirs in PAIRS:
        pair = [_number(row.get(key)) for key in (ours, theirs)]
        if pair[0] is not None and pair[1] is not None:
            words = [f"{key} {measured(row[key], row.get('unit'))}" for key in (ours, theirs)]
            if ours == "claim" and pair[0] > 0:
                words[0] += f", {pair[1] / pair[0]:.1f} times faster"
            return str(row["name"]), words[0], pair[0], words[1], pair[1]
    return None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        return None
    return float(value)


def measured(value: Any, unit: Any = None) -> str:
    """A cell for people: numbers in their unit (``s``, ``bytes``, ``bytes/s``, or any text), the rest as it is."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, (int, float)):
        return ", ".join(str(item) for item in value) if isinstance(value, (list, tuple)) else str(value)
    if unit in ("s", "seconds"):
        return format_duration(value)
    if unit in ("bytes", "B"):
        return format_bytes(value)
    if unit in ("bytes/s", "B/s"):
        return format_rate(value)
    return f"{value:.4g} {unit or ''}".strip()
