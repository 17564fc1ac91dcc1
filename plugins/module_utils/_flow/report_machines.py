# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The section of the report about VMs: what each has promised its tenants, and how many it held over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from .._core.units import format_bytes, format_cores
from . import report_svg as svg
from .report_parts import TABLE_ROWS, chip, empty, more, table
from .report_text import count, percent
from .report_views import Machine, Report, Tenant

# Cards; a page for people, the store has the rest.
MACHINES = 24


def vms_note(report: Report) -> str:
    """What the section shows."""
    return (
        "What each VM has promised its tenants now, against what it has; the mark is its capacity."
        if report.machines
        else "No VM is known yet."
    )


def machines(report: Report) -> str:
    """A card per VM."""
    if not report.machines:
        return empty("No VM is known yet: tenant_admit records the ones that it is given.")
    names = sorted({tenant.profile for machine in report.machines for tenant in machine.tenants})
    colours = {name: index % svg.COLOURS for index, name in enumerate(names)}
    parts = [_machine(machine, f"vm{index}", colours) for index, machine in enumerate(report.machines[:MACHINES])]
    return f'<div class="grid two">{"".join(parts)}</div>{more(len(report.machines) - MACHINES, "VM")}'


def _machine(machine: Machine, name: str, colours: dict[str, int]) -> str:
    cpu = _bar("CPU", 14, [(one, one.cores) for one in machine.tenants], machine.cores, _cores, colours)
    memory = _bar("Memory", 64, [(one, one.memory) for one in machine.tenants], machine.memory, format_bytes, colours)
    drawn = svg.document(name, 96, f"Tenants of {machine.name}", f"{cpu[1]}; {memory[1]}", cpu[0] + memory[0])
    place = ", ".join(part for part in (machine.zone and f"zone {machine.zone}", machine.host) if part)
    waiting = f"{count(machine.shadows, 'shadow')} waiting, {format_bytes(machine.held)} held."
    return (
        f'<article class="card"><div class="head"><h3>{escape(machine.name)}</h3>{chip(machine.state)}'
        f'<span class="soft small">{escape(place)}</span></div><figure>{drawn}</figure>{_listed(machine, colours)}'
        + (f'<p class="note small">{waiting}</p>' if machine.shadows else "")
        + "</article>"
    )


def _bar(
    label: str,
    y: float,
    values: Sequence[tuple[Tenant, float]],
    capacity: float,
    write: Callable[[float], str],
    colours: dict[str, int],
) -> tuple[list[str], str]:
    used = sum(value for _one, value in values)
    share = percent(used / capacity) if capacity else "-"
    parts = [(colours[one.profile], value, f"{one.name}: {write(value)}") for one, value in values if value > 0]
    body = [
        svg.text(0, y, label, "strong"),
        svg.text(svg.WIDTH, y, f"{write(used)} of {write(capacity)}, {share}", "soft", "end"),
        *svg.stacked_bar(y + 8, parts, capacity),
    ]
    return body, f"{label}: {write(used)} of {write(capacity)} promised, {share}"


def _listed(machine: Machine, colours: dict[str, int]) -> str:
    rows = []
    for one in machine.tenants[:TABLE_ROWS]:
        key = f'<span class="d{colours[one.profile]}" aria-hidden="true">■</span>'
        moving = f" → {escape(one.moving_to)}" if one.moving_to else ""
        workload = escape(one.profile) if one.profile != one.name else ""
        state = escape(one.state) + moving
        rows.append([f"{key}&nbsp;{escape(one.name)}", workload, _cores(one.cores), format_bytes(one.memory), state])
    if not rows:
        return '<p class="note small">It holds no tenant.</p>'
    head = [("Tenant", ""), ("Workload", ""), ("Cores", "num"), ("Memory", "num"), ("State", "")]
    return table(head, rows, f"Tenants of {machine.name}") + more(len(machine.tenants) - TABLE_ROWS, "tenant")


def _cores(value: float) -> str:
    return format_cores(round(value, 3))


def over_time(report: Report) -> str:
    """The chart of tenants per VM over time, nothing while no time of a tenant is known."""
    series = {name: steps for name, steps in report.counts.items() if steps}
    if not series:
        return ""
    busiest = sorted(series, key=lambda name: (-series[name][-1][1], name))[: svg.COLOURS]
    shown = {name: series[name] for name in sorted(busiest)}
    start = min(steps[0][0] for steps in shown.values())
    words = "; ".join(f"{name} holds {count(steps[-1][1], 'tenant')} now" for name, steps in shown.items())
    span = (min(start, report.now - 3600), report.now)
    title = "Tenants per VM over time"
    drawn = svg.step_chart("counts", title, words, shown, span=span, css="narrow") + svg.step_chart(
        "counts-w", title, words, shown, span=span, width=svg.WIDE, css="wide"
    )
    keys = "".join(
        f'<li><svg aria-hidden="true"><path d="M0 6h26" class="step s{index % svg.COLOURS}"/></svg>'
        f"{escape(name)}: {count(steps[-1][1], 'tenant')} now</li>"
        for index, (name, steps) in enumerate(shown.items())
    )
    return (
        f'<div class="card" style="margin-top:14px"><h3>Tenants per VM over time</h3><ul class="legend">{keys}</ul>'
        f"<figure>{drawn}</figure>{more(len(series) - len(shown), 'VM')}</div>"
    )
