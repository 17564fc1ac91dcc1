# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as one HTML page: no script, no reference to anything outside, readable offline and on paper.

The same report gives the same bytes. Everything that comes from a user is escaped.
"""

from __future__ import annotations

from html import escape

from .._core.units import format_bytes, format_cores
from . import report_svg as svg
from .report_machines import machines, over_time, vms_note
from .report_parts import TABLE_ROWS, ahead, cards, chip, empty, more, overview, table
from .report_style import STYLE
from .report_text import count, headline, percent, ratio, soon, when
from .report_views import Action, Group, Plan, Report, Shadow

PLANS = 10


def page(report: Report) -> str:
    """The whole page."""
    sections = [
        (
            "ahead",
            "The day ahead",
            "When the workloads that follow a schedule will be asked for, in UTC.",
            ahead(report),
        ),
        ("vms", "Virtual machines", vms_note(report), machines(report) + over_time(report)),
        ("plan", "The plan", "What the planner proposes, why, and which guardrails held it back.", _plans(report)),
        ("workloads", "Workloads", _workloads_note(), overview(report)),
        ("forecasts", "Forecast against actual", _forecast_note(report), cards(report)),
        ("shadows", "Shadows", "Sandboxes that exist before their tenant is needed.", _shadows(report)),
        ("measured", "Measured", "What was measured on the machines themselves.", _groups(report)),
    ]
    shown = [section for section in sections if section[3]]
    links = "".join(f'<a href="#{name}">{escape(title)}</a>' for name, title, _note, _body in shown)
    body = "".join(
        f'<section id="{name}" aria-labelledby="{name}-h"><h2 id="{name}-h">{escape(title)}</h2>'
        f'<p class="note">{escape(note)}</p>{content}</section>'
        for name, title, note, content in shown
    )
    place = f"cell {report.cell}, " if report.cell else ""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(report.title)}</title><style>{STYLE}</style></head>\n"
        f'<body><div class="wrap"><header><h1>{escape(report.title)}</h1>'
        f'<p class="when">{escape(place)}{when(report.now)}</p><p class="lead">{escape(headline(report))}</p>'
        f'{_tiles(report)}</header>\n<nav aria-label="Sections">{links}</nav><main>{body}</main>{_footer()}'
        "</div></body></html>\n"
    )


def _tiles(report: Report) -> str:
    totals = report.totals
    plan = report.plans[0] if report.plans else None
    tiles = [
        (str(totals["tenants"]), "tenants", f"{totals['running']} running"),
        (str(len(report.machines)), "VMs", f"{totals['ready']} ready"),
        (percent(totals["cpu_share"]), "of CPU promised", f"{format_cores(round(totals['cpu'], 2))} cores"),
        (percent(totals["memory_share"]), "of memory promised", format_bytes(totals["memory"])),
        (str(totals["profiles"]), "workloads", f"{totals['periodic']} on a schedule"),
        (ratio(totals["mase"]), "median MASE", "below 1 beats repeating yesterday"),
        (percent(totals["coverage"]), "median coverage", "of the 95 % quantile"),
        (str(len(plan.actions)) if plan else "-", "planned actions", plan.state if plan else "no plan yet"),
    ]
    items = "".join(
        f'<div class="tile"><b>{escape(value)}</b>{escape(name)}<span>{escape(sub)}</span></div>'
        for value, name, sub in tiles
    )
    return f'<div class="grid tiles">{items}</div>'


def _workloads_note() -> str:
    return (
        "MASE compares the error of the forecast with that of repeating the day before: below 1 is better. Coverage is "
        "the share of measured values at or below the 95 % quantile in the backtest: 95 % is right. The peak is the "
        "greatest value of the highest quantile within the forecast."
    )


def _forecast_note(report: Report) -> str:
    left = len(report.profiles) - len(report.charted)
    note = "What one tenant of each workload used, and what it is expected to use, in UTC."
    return f"{note} {count(left, 'more workload')} in the table above." if left > 0 else note


def _plans(report: Report) -> str:
    if not report.plans:
        return empty("No plan yet: tenant_rebalance makes one.")
    first, *older = report.plans
    rows = [
        [escape(plan.name), chip(plan.state), when(plan.created), str(len(plan.actions)), escape(plan.mode)]
        for plan in older[:PLANS]
    ]
    head = [("Earlier plan", ""), ("State", ""), ("Made", "keep"), ("Actions", "num"), ("Mode", "")]
    rest = f'<div class="card" style="margin-top:14px">{table(head, rows, "Earlier plans")}</div>' if rows else ""
    return f'<article class="card">{_plan(first, report.now)}</article>{rest}{more(len(older) - PLANS, "plan")}'


def _plan(plan: Plan, now: float) -> str:
    until = f", valid until {when(plan.expires)}" if plan.expires else ""
    made = f"made {when(plan.created)} ({soon(plan.created, now)})" if plan.created is not None else ""
    facts = [
        *((f"score {name}", value) for name, value in plan.score),
        *((f"held back by {name}", number) for name, number in plan.limits),
    ]
    terms = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    notes = "".join(f"<li>{escape(note)}</li>" for note in plan.notes)
    out = (
        f'<div class="head"><h3>{escape(plan.name)}</h3>{chip(plan.state)}'
        f'<span class="soft small">mode {escape(plan.mode)}, {made}{until}</span></div>'
        + (f"<dl>{terms}</dl>" if terms else "")
        + (f'<ul class="small">{notes}</ul>' if notes else "")
    )
    if not plan.actions:
        return out + empty("Nothing worth doing: no action would improve this cell enough.")
    head = [
        ("Tenant", ""), ("Action", ""), ("From and to", "keep"), ("Why, and which limits bit", "why"),
        ("Expected effect", ""), ("Confidence", "num"), ("State", ""),
    ]  # fmt: skip
    rows = [_action(action) for action in plan.actions[:TABLE_ROWS]]
    return out + table(head, rows, "Actions of the plan") + more(len(plan.actions) - TABLE_ROWS, "action")


def _action(action: Action) -> list[str]:
    changes = "<br>".join(f"{escape(what)}: {escape(old)} → {escape(new)}" for what, old, new in action.changes)
    effect = "<br>".join(f"{escape(what)}: {escape(value)}" for what, value in action.effect)
    limits = "".join(f'<span class="limit">{escape(limit)}</span>' for limit in action.limits)
    error = f'<br><span class="bad">{escape(action.error)}</span>' if action.error else ""
    why = escape(action.reason) + (f"<br>{limits}" if limits else "")
    return [
        escape(action.tenant) or "-", escape(action.kind), changes or "-", why, effect or "-",
        percent(action.confidence), chip(action.state) + error,
    ]  # fmt: skip


def _shadows(report: Report) -> str:
    if not report.shadows:
        return empty("No shadow is kept now.")
    head = [
        ("Shadow", ""), ("Workload", ""), ("VM", ""), ("Tier", ""), ("State", ""), ("Expected", "keep"),
        ("Ready by", "keep"), ("Given up", "keep"), ("Memory held", "num"),
    ]  # fmt: skip
    rows = [_shadow(shadow, report.now) for shadow in report.shadows[:TABLE_ROWS]]
    return f'<div class="card">{table(head, rows, "Shadows")}</div>' + more(len(report.shadows) - TABLE_ROWS, "shadow")


def _shadow(shadow: Shadow, now: float) -> list[str]:
    times = [shadow.ready, shadow.expires]
    due = "-" if shadow.expected is None else f"{when(shadow.expected, '%d %b %H:%M')} ({soon(shadow.expected, now)})"
    return [
        escape(shadow.name), escape(shadow.profile), escape(shadow.vm), escape(shadow.tier), chip(shadow.state), due,
        *(when(at, "%d %b %H:%M") or "-" for at in times),
        format_bytes(shadow.memory),
    ]  # fmt: skip


def _groups(report: Report) -> str:
    parts = [_group(group, f"m{index}") for index, group in enumerate(report.groups)]
    return f'<div class="grid">{"".join(parts)}</div>' if parts else ""


def _group(group: Group, name: str) -> str:
    rows = [[escape(cell) for cell in row] for row in group.rows[:TABLE_ROWS]]
    listed = table([(column, "") for column in group.columns], rows, group.name)
    return f'<article class="card"><h3>{escape(group.name)}</h3>{_bars(group, name)}{listed}</article>'


def _bars(group: Group, name: str) -> str:
    if not group.bars:
        return ""
    body: list[str] = []
    for index, (pair, most) in enumerate(zip(group.bars[:12], group.scales)):
        label, ours, ours_value, theirs, theirs_value = pair
        y = 12.0 + 54 * index
        body.append(svg.text(0, y, label, "strong"))
        for offset, words, value, css in ((6, ours, ours_value, "ours"), (22, theirs, theirs_value, "theirs")):
            width = 250 * value / (most or 1.0)
            body.append(svg.rect(0, y + offset, max(width, 1), 12, css))
            body.append(svg.text(width + 6, y + offset + 10, words, "soft"))
    told = "; ".join(f"{label}: {ours}, {theirs}" for label, ours, _value, theirs, _other in group.bars)
    drawn = svg.document(name, 54 * min(len(group.bars), 12), group.name, told, body)
    return f'<figure class="bars">{drawn}</figure>'


def _footer() -> str:
    return (
        "<footer>Made by predictive.tenancy from its store. Times are UTC, CPU in cores, sizes in binary units. "
        "Forecasts carry their own error: see the MASE and coverage of each before trusting it.</footer>"
    )


def render(report: Report) -> bytes:
    """The page as UTF-8."""
    return page(report).encode()
