# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sections of the report about workloads: overview, the day ahead, and a card with charts for each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from .._core.units import format_bytes, format_rate
from . import report_svg as svg
from .report_text import asked_confidence, count, expected_text, metric_value, percent, ratio, short_model, soon, when
from .report_views import Band, Expected, Line, Pattern, Profile, Report

HOUR = 3600
LEAST_SHOWN = 3 * HOUR
NAMES = {"cpu": "CPU", "memory": "Memory", "io_read": "Reads", "io_write": "Writes"}
UNITS = {"cpu": "cores", "memory": "", "io_read": "", "io_write": ""}
# Rows of a table, and lanes of the day ahead: a page for people, the store has the rest.
TABLE_ROWS = 100
LANES = 24
# More marks than these in a lane run into each other: a line says the same.
MARKS = 150
# One state, one tone, whatever it is the state of.
TONES = {
    "ready": "good", "running": "good", "applied": "good", "done": "good", "claimed": "good", "waiting": "good",
    "recommended": "warn", "applying": "warn", "draining": "warn", "paused": "warn", "proposed": "soft",
    "failed": "bad", "lost": "bad",
}  # fmt: skip


def chip(state: str) -> str:
    """A state with its tone; the word says it without the colour too."""
    return f'<span class="chip {TONES.get(state, "soft")}">{escape(state)}</span>'


def table(header: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """A table of cells that are HTML already; ``header`` has (text, class), the first cell of a row heads it.

    On a narrow screen each row becomes a block of labelled values; the roles say what it was all the same.
    """
    label = f' aria-label="{escape(caption, quote=True)}"' if caption else ""
    head = "".join(f'<th role="columnheader"{_css(css)}>{escape(words)}</th>' for words, css in header)
    body = []
    for row in rows:
        cells = [f'<th role="rowheader" scope="row">{row[0]}</th>']
        cells += [
            f'<td role="cell"{_css(css)} data-label="{escape(words, quote=True)}">{_block(cell)}</td>'
            for cell, (words, css) in zip(row[1:], header[1:])
        ]
        body.append(f'<tr role="row">{"".join(cells)}</tr>')
    return (
        f'<div class="scroll"><table role="table"{label}><thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">{"".join(body)}</tbody></table></div>'
    )


def _block(cell: str) -> str:
    return f"<div>{cell}</div>" if cell else ""


def _css(name: str) -> str:
    return f' class="{name}"' if name else ""


def more(number: int, noun: str) -> str:
    """A line about what a bounded list leaves out."""
    return f'<p class="note small">… and {count(number, "more " + noun)} in the store.</p>' if number > 0 else ""


def empty(words: str) -> str:
    """What stands where there is nothing to show."""
    return f'<p class="empty">{escape(words)}</p>'


def overview(report: Report) -> str:
    """One row per workload: when it is asked for, what it needs, and how well that was predicted."""
    if not report.profiles:
        return empty(
            "No workload is known yet: read a history with workload_observe, then learn with workload_profile."
        )
    header = [
        ("Workload", ""), ("Asked for", ""), ("Next expected", ""), ("Metric", ""), ("Peak", "num"), ("Model", "keep"),
        ("MASE", "num"), ("Coverage", "num"), ("History", "num"), ("Tenants", "num"),
    ]  # fmt: skip
    rows = []
    for profile in report.profiles[:TABLE_ROWS]:
        shown = [profile.patterns[name] for name in ("cpu", "memory") if name in profile.patterns]
        several = ["<br>".join(escape(cell) for cell in cells) for cells in zip(*(_quality(one) for one in shown))]
        rows.append(
            [
                escape(profile.name),
                escape(profile.asked),
                escape(expected_text(profile.next(report.now), report.now)),
                *(several or ["-"] * 6),
                str(profile.tenants),
            ]
        )
    return f'<div class="card">{table(header, rows, "Workloads")}</div>' + more(
        len(report.profiles) - TABLE_ROWS, "workload"
    )


def _quality(pattern: Pattern) -> list[str]:
    return [
        NAMES.get(pattern.metric, pattern.metric),
        _value(pattern.metric, pattern.peak),
        short_model(pattern.model),
        ratio(pattern.mase),
        percent(pattern.coverage),
        f"{pattern.days:.1f} d",
    ]


def _value(metric: str, value: float) -> str:
    return f"{metric_value(metric, value)} {UNITS.get(metric, '')}".strip()


def ahead(report: Report) -> str:
    """The requests that are expected within a day: a lane per workload, a mark per request, its interval behind it."""
    until = report.now + 24 * HOUR
    lanes = [
        (profile, [one for one in profile.expected if report.now <= one[0] < until]) for profile in report.profiles
    ]
    lanes = sorted((lane for lane in lanes if lane[1]), key=lambda lane: (lane[1][0][0], lane[0].name))
    if not lanes:
        return empty("No request is expected at a known time within the next 24 hours.")
    shown = lanes[:LANES]
    drawn = _lanes("ahead", shown, (report.now, until), svg.WIDTH) + _lanes(
        "ahead-w", shown, (report.now, until), svg.WIDE
    )
    first, moments = shown[0]
    caption = f"<b>{escape(first.name)}</b> comes next, {escape(soon(moments[0][0], report.now))}."
    return (
        f'<div class="card"><figure>{drawn}<figcaption>{caption}</figcaption></figure></div>'
        f"{more(len(lanes) - LANES, 'workload')}"
    )


def _lanes(name: str, lanes: Sequence[tuple[Profile, list[Expected]]], span: tuple[float, float], width: int) -> str:
    """The lanes with their names above them, or, where there is room, beside them."""
    beside = width > svg.WIDTH
    step, left = (26, 270) if beside else (38, 2)
    frame = svg.Frame(span, [0.0, 1.0], 4, step * len(lanes) + 4, width, left)
    body = frame.times(frame.top, "grid")
    for index, (profile, moments) in enumerate(lanes):
        y = frame.top + step * (index + 1) - 12.0
        body.append(svg.label(0, y + (4 if beside else -10), profile.name, profile.asked))
        body.append(svg.line(frame.left, y, frame.right, y, "grid"))
        if len(moments) > MARKS:
            body.append(svg.line(frame.x(moments[0][0]), y, frame.x(moments[-1][0]), y, "often"))
            continue
        for moment, low, high in moments:
            body.append(svg.line(frame.x(low), y, max(frame.x(high), frame.x(low) + 0.5), y, "wait"))
            body.append(svg.rect(frame.x(moment) - 1, y - 4, 2, 8, "request", when(moment, "%d %b %H:%M:%S UTC")))
    words = "; ".join(f"{profile.name} {count(len(moments), 'time')}" for profile, moments in lanes)
    title = "Requests expected within the next 24 hours"
    return svg.document(name, frame.bottom + 20, title, words, body, width, "wide" if beside else "narrow")


def legend() -> str:
    """What the lines of the usage charts mean."""
    band = '<path d="M0 0h26v12h-26z" class="band {0}"/><path d="M0 6h26" class="median {0}"/>'
    hindcast = "said of the last day by the model, which knew only the days before: median, 5 to 95 %"
    keys = [
        ('<path d="M0 6h26" class="actual"/>', "measured"),
        (band.format("past"), hindcast),
        (band.format("ahead"), "forecast: median, 5 to 95 %"),
        ('<path d="M13 2l-4 8h8z" class="request"/>', "expected request"),
    ]
    items = [f'<li><svg aria-hidden="true">{shape}</svg>{words}</li>' for shape, words in keys]
    return f'<ul class="legend">{"".join(items)}</ul>'


def cards(report: Report) -> str:
    """A card per charted workload."""
    parts = [_card(report, profile, f"w{index}") for index, profile in enumerate(report.charted)]
    return legend() + f'<div class="grid">{"".join(parts)}</div>' if parts else ""


def _card(report: Report, profile: Profile, name: str) -> str:
    facts = [
        ("Asked for", profile.asked),
        ("Next expected", expected_text(profile.next(report.now), report.now)),
        ("Confidence", asked_confidence(profile)),
        ("Requests seen", f"{profile.requests:,}"),
    ]
    terms = "".join(f"<div><dt>{escape(term)}</dt><dd>{escape(value)}</dd></div>" for term, value in facts)
    charts = [
        _usage(report, profile, profile.patterns[metric], f"{name}-{metric}")
        for metric in ("cpu", "memory")
        if metric in profile.patterns
    ]
    tenants = count(profile.tenants, "tenant")
    body = f'<div class="grid two">{"".join(charts)}</div>' if charts else empty("No usage is known of it yet.")
    return (
        f'<article class="card" id="{name}"><div class="head"><h3>{escape(profile.name)}</h3>'
        f'<span class="soft small">priority {profile.priority}, {tenants}</span></div>'
        f"<dl>{terms}</dl>{body}</article>"
    )


def _usage(report: Report, profile: Profile, pattern: Pattern, name: str) -> str:
    metric = pattern.metric
    label = NAMES.get(metric, metric)
    title = f"{label} of {profile.name}, measured and forecast"
    told = describe(pattern)
    drawn = svg.usage_chart(
        name,
        title,
        told,
        pattern.actual,
        pattern.hindcast,
        pattern.forecast,
        span=shown_span(report, profile, pattern),
        now=report.now,
        binary=metric == "memory",
        label=axis_label(metric),
        expected=profile.expected,
    )
    unit = f" in {UNITS[metric]}" if UNITS.get(metric) else ""
    figures = f"{short_model(pattern.model)}, MASE {ratio(pattern.mase)}, coverage {percent(pattern.coverage)}"
    return (
        f"<figure>{drawn}<figcaption><b>{escape(label)}</b>{unit}: {escape(figures)}, {pattern.days:.1f} days of "
        f"history. {escape(told)}</figcaption>{_numbers(pattern, label)}</figure>"
    )


def shown_span(report: Report, profile: Profile, pattern: Pattern) -> tuple[float, float]:
    """The time that a chart shows: some two dozen cycles at most, so that each can be seen, and half as much ahead."""
    periods = [period for period in (profile.period, pattern.period) if period]
    back = min(report.hours * HOUR, max(24 * min(periods), LEAST_SHOWN)) if periods else report.hours * HOUR
    last = max([report.now + HOUR, *pattern.forecast.times[-1:]])
    return report.now - back, min(last, report.now + max(back / 2, LEAST_SHOWN))


def describe(pattern: Pattern) -> str:
    """The message of a usage chart in words."""
    parts = []
    measured = [(at, value) for at, value in zip(pattern.actual.times, pattern.actual.values) if not math.isnan(value)]
    if measured:
        hours = max(round((measured[-1][0] - measured[0][0]) / HOUR), 1)
        most = max(value for _at, value in measured)
        parts.append(f"Measured at most {_value(pattern.metric, most)} in the last {_hours(hours)}.")
    if pattern.forecast.high:
        place = max(range(len(pattern.forecast.high)), key=lambda index: pattern.forecast.high[index])
        at = svg.clock(pattern.forecast.times[place])
        hours = max(round((pattern.forecast.times[-1] - pattern.forecast.times[0]) / HOUR), 1)
        greatest = _value(pattern.metric, pattern.forecast.high[place])
        parts.append(f"Forecast at most {greatest} (q95) in the next {_hours(hours)}, at {at}.")
    share = hit_share(pattern.actual, pattern.hindcast)
    if share is not None:
        parts.append(f"Of the last day, {percent(share)} lay at or below the q95 that was forecast for it.")
    return " ".join(parts)


def _hours(number: int) -> str:
    return "hour" if number == 1 else f"{number} hours"


def hit_share(actual: Line, hindcast: Band) -> float | None:
    """The share of measured samples at or below the upper quantile that had been forecast for them."""
    measured = {round(seconds): value for seconds, value in zip(actual.times, actual.values) if not math.isnan(value)}
    pairs = [(measured[round(at)], high) for at, high in zip(hindcast.times, hindcast.high) if round(at) in measured]
    return sum(value <= high for value, high in pairs) / len(pairs) if pairs else None


def axis_label(metric: str) -> Callable[[float], str]:
    """How an axis writes values of a metric."""
    if metric == "cpu":
        return lambda value: f"{value:g}"
    return format_bytes if metric == "memory" else format_rate


def _numbers(pattern: Pattern, label: str) -> str:
    """The forecast per hour as a table, for those who cannot see the chart or want its numbers."""
    hours: dict[float, list[int]] = {}
    for index, seconds in enumerate(pattern.forecast.times):
        hours.setdefault(seconds // HOUR * HOUR, []).append(index)
    rows = []
    for hour, places in list(hours.items())[:25]:
        median = sum(pattern.forecast.median[index] for index in places) / len(places)
        high = max(pattern.forecast.high[index] for index in places)
        rows.append([when(hour, "%d %b %H:%M"), _value(pattern.metric, median), _value(pattern.metric, high)])
    if not rows:
        return ""
    body = table(
        [("Hour (UTC)", ""), ("Mean of the median", "num"), ("Greatest q95", "num")], rows, f"{label} per hour"
    )
    return f"<details><summary>The forecast in numbers</summary>{body}</details>"
