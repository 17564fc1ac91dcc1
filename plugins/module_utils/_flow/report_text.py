# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers in words, and the report's short table for the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from .._core.units import format_bytes, format_cores, format_duration, format_rate
from .report_views import Expected, Machine, Plan, Profile, Report

WIDTH = 100
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
# Rows of each part of the terminal table; the page has more.
ROWS = 12


def when(seconds: float | None, spec: str = "%Y-%m-%d %H:%M UTC") -> str:
    """A moment for people, in UTC."""
    return "" if seconds is None else datetime.fromtimestamp(seconds, tz=timezone.utc).strftime(spec)


def soon(seconds: float, now: float) -> str:
    """``in 12m``, ``now`` or ``8m ago``."""
    away = abs(seconds - now)
    if away < 1:
        return "now"
    rounded = round(away / 60) * 60 if away >= 60 else round(away)
    text = format_span(rounded)
    return f"in {text}" if seconds >= now else f"{text} ago"


def format_span(seconds: float) -> str:
    """A duration in at most two units: ``1d 3h``, ``2h 05m``, ``45s``."""
    if seconds < 60:
        return f"{seconds:.0f}s"
    minutes = round(seconds / 60)
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days}d {hours}h" if hours else f"{days}d"
    if hours:
        return f"{hours}h {rest:02d}m" if rest else f"{hours}h"
    return f"{rest}m"


def metric_value(metric: str, value: float | None) -> str:
    """A value of a metric in the unit that people read it in."""
    if value is None or math.isnan(value):
        return "-"
    if metric == "cpu":
        return f"{value:.2f}" if value >= 0.1 or value == 0 else f"{value:.3f}"
    return format_bytes(value) if metric == "memory" else format_rate(value)


def ratio(value: float | None, spec: str = ".2f") -> str:
    """A number, or a dash where the history is too short to say."""
    return "-" if value is None or math.isnan(value) else format(value, spec)


def percent(value: float | None) -> str:
    """A share as a percentage."""
    return "-" if value is None or math.isnan(value) else f"{100 * value:.0f} %"


def asked_for(arrival: Mapping[str, Any] | None) -> str:
    """When a workload is asked for, in words, from its arrival document."""
    if not arrival:
        return "not learned yet"
    if arrival.get("kind") in (None, "unknown"):
        return "too few requests to say"
    parts = [_schedule(item) for item in arrival.get("schedules") or ()]
    parts += [_rule(item) for item in arrival.get("rules") or ()]
    if parts:
        zone = str(arrival.get("timezone") or "UTC")
        text = ", ".join(parts[:3]) + (", …" if len(parts) > 3 else "")
        return text if zone == "UTC" or not arrival.get("rules") else f"{text} ({zone})"
    per_day = float(arrival.get("rate") or 0.0) * 86400
    return f"at no fixed time, about {per_day:.2g} a day"


def _schedule(item: Mapping[str, Any]) -> str:
    period, anchor = float(item["period"]), item.get("anchor")
    words = f"every {format_duration(period)}"
    if anchor is not None and period % 86400 == 0:
        words += f" at {when(float(anchor), '%H:%M')}"
    days, hours = item.get("days") or (), item.get("hours") or ()
    if hours:
        words += f" {min(hours):02d}-{max(hours):02d} h"
    return f"{words} {_days(days)}" if days and len(days) < 7 else words


def _rule(item: Mapping[str, Any]) -> str:
    second = int(float(item["second"])) % 86400
    at = f"{second // 3600:02d}:{second % 3600 // 60:02d}"
    days = item.get("days") or ()
    return f"{_days(days)} {at}" if days and len(days) < 7 else f"daily {at}"


def _days(days: Sequence[int]) -> str:
    chosen = sorted(days)
    if len(chosen) > 2 and chosen == list(range(chosen[0], chosen[-1] + 1)):
        return f"{DAYS[chosen[0]]}-{DAYS[chosen[-1]]}"
    return " ".join(DAYS[day] for day in chosen)


def expected_text(one: Expected | None, now: float) -> str:
    """The next request, how soon, and the interval in which it will come."""
    if one is None:
        return "-"
    moment, low, high = one
    around = max(high - moment, moment - low, 0.0)
    return f"{when(moment, '%d %b %H:%M')} ({soon(moment, now)}, ±{format_span(around)})"


def short_model(name: str) -> str:
    """The first member of an ensemble and how many more there are: ``median_14 +5``."""
    first, *rest = name.split("+")
    return f"{first} +{len(rest)}" if rest else first or "-"


def asked_confidence(profile: Profile) -> str:
    """How sure a schedule is, and how late its requests come."""
    if profile.period is None:
        return "-"
    return f"{percent(profile.confidence)}, jitter {format_span(profile.jitter)}"


def columns(header: Sequence[str], rows: Sequence[Sequence[str]], clip: int) -> list[str]:
    """Lines of a table at most WIDTH wide: the column ``clip`` gives way when the others leave too little room."""
    table = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[index]) for row in table) for index in range(len(header))]
    over = sum(widths) + 2 * (len(widths) - 1) - WIDTH
    if over > 0:
        widths[clip] = max(widths[clip] - over, 8)
    return ["  ".join(_fit(cell, width) for cell, width in zip(row, widths)).rstrip()[:WIDTH] for row in table]


def _fit(cell: str, width: int) -> str:
    return cell.ljust(width) if len(cell) <= width else cell[: width - 1] + "…"


def _plain(words: str) -> str:
    # names come from users: nothing in them may move the cursor of a terminal
    return "".join(letter if letter.isprintable() else "?" for letter in words)


def terminal_table(report: Report) -> list[str]:
    """The short table, lines of at most WIDTH characters."""
    lines = [f"{report.title}, {when(report.now)}", *_wrapped(headline(report))]
    lines += ["", *_profiles(report)]
    if report.machines:
        lines += ["", *_machines(report.machines)]
    if report.plans:
        lines += ["", *_plan(report.plans[0])]
    for group in report.groups:
        rows = [[_plain(cell) for cell in row] for row in group.rows[:ROWS]]
        lines += ["", *columns([name.upper() for name in group.columns], rows, len(group.columns) - 1)]
    return [_plain(line)[:WIDTH] for line in lines]


def _wrapped(words: str) -> list[str]:
    lines, current = [], ""
    for word in words.split():
        if len(current) + len(word) + 1 > WIDTH:
            lines.append(current)
            current = word
        else:
            current = f"{current} {word}".strip()
    return [*lines, current]


def headline(report: Report) -> str:
    """The message of the report in two or three sentences."""
    totals = report.totals
    first = (
        f"{count(totals['tenants'], 'tenant')} in {count(len(report.machines), 'VM')}; "
        f"{totals['periodic']} of {count(totals['profiles'], 'workload')} are asked for on a schedule."
    )
    upcoming = [(one, profile) for profile in report.profiles if (one := profile.next(report.now))]
    if upcoming:
        one, profile = min(upcoming, key=lambda item: (item[0][0], item[1].name))
        first += f" Next is {profile.name}, {soon(one[0], report.now)}."
    if report.plans:
        plan = report.plans[0]
        acts = count(len(plan.actions), "action") if plan.actions else "nothing worth doing"
        first += f" The newest plan is {plan.state}: {acts}."
    return first


def count(number: int, noun: str) -> str:
    """``1 tenant``, ``2 tenants``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _profiles(report: Report) -> list[str]:
    rows = []
    for profile in report.profiles[:ROWS]:
        pattern = profile.patterns.get("cpu") or next(iter(profile.patterns.values()), None)
        upcoming = profile.next(report.now)
        rows.append(
            [
                profile.name,
                profile.asked,
                "-" if upcoming is None else soon(upcoming[0], report.now),
                _peaks(profile),
                short_model(pattern.model) if pattern else "-",
                ratio(pattern.mase if pattern else None),
                percent(pattern.coverage if pattern else None),
                f"{pattern.days:.0f}" if pattern else "-",
            ]
        )
    head = ["WORKLOAD", "ASKED FOR", "NEXT", "PEAK", "MODEL", "MASE", "COVER", "DAYS"]
    return columns(head, rows, 1) + _more(len(report.profiles) - ROWS, "workload")


def _peaks(profile: Profile) -> str:
    parts = [metric_value(name, profile.patterns[name].peak) for name in ("cpu", "memory") if name in profile.patterns]
    return " ".join(parts) or "-"


def _more(number: int, noun: str) -> list[str]:
    return [f"… and {count(number, 'more ' + noun)}"] if number > 0 else []


def _machines(machines: Sequence[Machine]) -> list[str]:
    rows = [
        [
            machine.name,
            machine.state,
            f"{format_cores(round(machine.used_cores, 2))} of {format_cores(machine.cores)}",
            f"{format_bytes(machine.used_memory)} of {format_bytes(machine.memory)}",
            ", ".join(tenant.name for tenant in machine.tenants) or "-",
        ]
        for machine in machines[:ROWS]
    ]
    return columns(["VM", "STATE", "CORES", "MEMORY", "TENANTS"], rows, 4) + _more(len(machines) - ROWS, "VM")


def _plan(plan: Plan) -> list[str]:
    rows = [
        [
            action.kind,
            action.tenant,
            "; ".join(f"{what} {old} → {new}" for what, old, new in action.changes),
            action.reason,
        ]
        for action in plan.actions[:ROWS]
    ]
    if not rows:
        return [f"PLAN {plan.name}: {plan.state}, nothing worth doing"]
    head = f"PLAN {plan.name}: {plan.state}, {count(len(plan.actions), 'action')}"
    for row in rows:
        row[2] = row[2] if len(row[2]) <= 44 else row[2][:43] + "…"
    return [head, *columns(["ACTION", "TENANT", "CHANGE", "WHY"], rows, 3), *_more(len(plan.actions) - ROWS, "action")]
