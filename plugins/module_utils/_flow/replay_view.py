# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A replay for people: the figures of the policies side by side, as a table and as a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from .replay import Outcome
from .report_style import STYLE
from .report_svg import COLOURS, COLUMNS, WIDE, step_chart, text
from .report_text import when

_ROW = 24
_CHART = 168


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _count(value: float) -> str:
    return f"{value:.0f}"


ROWS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("vms", "VMs in use, mean", lambda value: f"{value:.2f}"),
    ("vms_most", "VMs in use, most", _count),
    ("overload", "overloaded VM-time", _percent),
    ("slack", "slack of the VMs in use", _percent),
    ("moves_per_tenant_day", "moves per tenant and day", lambda value: f"{value:.3f}"),
    ("returns", "moves back within a day", _count),
    ("stuck", "times a VM could not be relieved", _count),
    ("requests", "requests", _count),
    ("cold_starts", "cold starts", _count),
    ("waste_gib_hours", "GiB-hours that shadows waited", lambda value: f"{value:.2f}"),
)


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """Lines for the terminal: a row per figure, a column per policy, and with two of them the difference."""
    head = ["", *(one.name for one in outcomes)]
    rows = [[label, *(write(one.figures[key]) for one in outcomes)] for key, label, write in ROWS]
    if len(outcomes) == 2:
        head.append("difference")
        for row, (key, _label, _write) in zip(rows, ROWS):
            row.append(difference(outcomes[0].figures[key], outcomes[1].figures[key]))
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    return [
        "  ".join(cell.ljust(width) if not column else cell.rjust(width)
                  for column, (cell, width) in enumerate(zip(row, widths))).rstrip()
        for row in [head, *rows]
    ]  # fmt: skip


def difference(before: float, after: float) -> str:
    """How much more or less the second is, as a share of the first."""
    if abs(after - before) < 1e-12:
        return "same"
    return f"{100 * (after / before - 1):+.0f} %" if before else "new"


def picture(outcomes: Sequence[Outcome], title: str, start: float, end: float) -> str:
    """One SVG image: VMs in use and moves over the time, a line per policy, above the figures side by side."""
    vms = {one.name: _steps(one.record.hosts, start, one.record.step) for one in outcomes}
    moves = {one.name: _total(one, start) for one in outcomes}
    most = {one.name: max(one.record.hosts, default=0) for one in outcomes}
    told = "; ".join(f"{name}: at most {count} VMs, {moves[name][-1][1]} moves" for name, count in most.items())
    span = (start, end)
    charts = [
        ("VMs in use", step_chart("vms", "VMs in use", told, vms, span=span, width=WIDE)),
        ("Moves so far", step_chart("moves", "Moves so far", told, moves, span=span, width=WIDE)),
    ]
    body = [text(0, 20, title, "strong"), text(0, 40, f"{when(start)} to {when(end)}", "tick")]
    y = 60
    for number, one in enumerate(outcomes):
        body.append(f'<path d="M{200 * number} {y - 4}h22" class="step s{number % COLOURS}"/>')
        body.append(text(200 * number + 28, y, one.name))
    for heading, chart in charts:
        body.append(text(0, y + 30, heading, "strong"))
        body.append(f'<svg x="0" y="{y + 36}" width="{WIDE}" height="{_CHART}">{chart}</svg>')
        y += 36 + _CHART
    height = y + _ROW * (len(ROWS) + 2)
    body += _figures(outcomes, y + _ROW)
    words = (
        f"<title>{escape(title)}</title><desc>{escape(told)}</desc><style>{STYLE}svg{{background:var(--page)}}</style>"
    )
    frame = f'viewBox="-20 -10 {WIDE + 40} {height + 20}" width="{WIDE + 40}" height="{height + 20}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {frame} class="chart" role="img">{words}{"".join(body)}</svg>\n'


def _figures(outcomes: Sequence[Outcome], top: float) -> list[str]:
    """The table as text, numbers right-aligned below the policies' names."""
    out = []
    columns = [460 + 200 * number for number in range(len(outcomes))]
    for x, one in zip(columns, outcomes):
        out.append(text(x, top, one.name, "strong", "end"))
    for row, (key, label, write) in enumerate(ROWS, 1):
        out.append(text(0, top + _ROW * row, label))
        for x, one in zip(columns, outcomes):
            out.append(text(x, top + _ROW * row, write(one.figures[key]), "", "end"))
    return out


def _steps(counts: Sequence[int], start: float, step: float) -> list[tuple[float, int]]:
    """The most of each column that can be seen, where it changes."""
    width = max(1, -(-len(counts) // COLUMNS))
    thinned = [(start + at * step, max(counts[at : at + width])) for at in range(0, len(counts), width)]
    return [one for number, one in enumerate(thinned) if not number or one[1] != thinned[number - 1][1]]


def _total(one: Outcome, start: float) -> list[tuple[float, int]]:
    """The moves so far, where they change."""
    sums: dict[int, int] = {0: 0}
    for number, (at, *_rest) in enumerate(one.record.moved, 1):
        sums[at] = number
    return [(start + at * one.record.step, count) for at, count in sorted(sums.items())]
