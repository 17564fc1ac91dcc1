# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Charts as SVG text: drawn for a width of 440 so that their letters stay readable from a phone to a desk; those that
fill the page are drawn a second time for WIDE, and the style sheet shows the one that fits.

Colours are classes that the page's style sheet gives, for light, dark and paper alike. Each chart has a title and a
description that say its message in words. Everything that comes from a user is escaped here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from datetime import datetime, timezone
from html import escape
from typing import TypeVar

from .report_views import Band, Expected, Line

WIDTH = 440
WIDE = 960
LEFT = 58
MARGIN = 8
COLOURS = 8
# A chart is about 370 points wide: more columns than these cannot be seen.
COLUMNS = 300
# More marks below a chart run into each other.
MARKS = 48

Curve = TypeVar("Curve", Line, Band)


def document(
    name: str, height: float, title: str, description: str, body: Sequence[str], width: int = WIDTH, css: str = ""
) -> str:
    """An ``svg`` element with its accessible name; ``name`` is unique in the page."""
    return (
        f'<svg class="chart {css}" viewBox="0 0 {width} {_n(height)}" role="img" '
        f'aria-labelledby="{name}-t {name}-d"><title id="{name}-t">{escape(title)}</title>'
        f'<desc id="{name}-d">{escape(description)}</desc>{"".join(body)}</svg>'
    )


def _n(value: float) -> str:
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


def text(x: float, y: float, words: str, css: str = "", anchor: str = "start") -> str:
    """One line of text."""
    return f'<text x="{_n(x)}" y="{_n(y)}" class="{css}" text-anchor="{anchor}">{escape(words)}</text>'


def label(x: float, y: float, name: str, words: str) -> str:
    """A name, and in a softer tone what is said of it."""
    inner = f'<tspan class="strong">{escape(name)}</tspan><tspan class="tick" dx="6">{escape(words)}</tspan>'
    return f'<text x="{_n(x)}" y="{_n(y)}">{inner}</text>'


def rect(x: float, y: float, width: float, height: float, css: str, tip: str = "") -> str:
    """A rectangle; ``tip`` is shown when it is pointed at."""
    inner = f"<title>{escape(tip)}</title>" if tip else ""
    size = f'width="{_n(max(width, 0))}" height="{_n(height)}"'
    return f'<rect x="{_n(x)}" y="{_n(y)}" {size} rx="1.5" class="{css}">{inner}</rect>'


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    """A straight line."""
    return f'<line x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}" class="{css}"/>'


def path(points: Sequence[tuple[float, float]], css: str) -> str:
    """A line through ``points``, broken where one is NaN."""
    words, pen = [], "M"
    for x, y in points:
        if math.isnan(y):
            pen = "M"
            continue
        words.append(f"{pen}{_n(x)} {_n(y)}")
        pen = "L"
    return f'<path d="{"".join(words)}" class="{css}"/>' if words else ""


def nice_ticks(top: float, binary: bool = False, count: int = 4) -> list[float]:
    """0 and round values up to the first at or above ``top``: multiples of 1, 2, 2.5 or 5 times a power of ten, for
    ``binary`` of 1, 2 or 5 times MiB."""
    top = top if top > 0 and math.isfinite(top) else 1.0
    unit = 1024.0**2 if binary and top >= 1024**2 else 1.0
    rough = top / unit / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999) * unit
    return [step * index for index in range(math.ceil(top / step * 0.999) + 1)]


def time_ticks(start: float, end: float, most: int = 6) -> list[float]:
    """Round times within [start, end], at most ``most`` of them."""
    for step in (900, 1800, 3600, 7200, 10800, 14400, 21600, 28800, 43200, 86400, 172800, 604800):
        first = math.ceil(start / step) * step
        ticks = [float(first + step * index) for index in range(int((end - first) // step) + 1)]
        if len(ticks) <= most:
            return ticks
    return []


def clock(seconds: float, step_is_days: bool = False) -> str:
    """``14:00``, at midnight the date."""
    moment = datetime.fromtimestamp(seconds, tz=timezone.utc)
    midnight = not (moment.hour or moment.minute)
    return moment.strftime("%d %b") if midnight or step_is_days else moment.strftime("%H:%M")


class Frame:
    """The axes of a chart over time: pixels of a time and of a value."""

    def __init__(
        self,
        span: tuple[float, float],
        ticks: Sequence[float],
        top: float,
        bottom: float,
        width: int = WIDTH,
        left: float = LEFT,
    ) -> None:
        self.start, self.end = span[0], max(span[1], span[0] + 1)
        self.left, self.right = left, width - MARGIN
        self.ticks = list(ticks)
        self.top, self.bottom = top, bottom
        self.most = self.ticks[-1]

    def x(self, seconds: float) -> float:
        """The pixel of a time, kept inside."""
        share = (seconds - self.start) / (self.end - self.start)
        return self.left + (self.right - self.left) * min(max(share, 0.0), 1.0)

    def y(self, value: float) -> float:
        """The pixel of a value; NaN stays NaN."""
        if math.isnan(value):
            return value
        return self.bottom - (self.bottom - self.top) * min(value / self.most, 1.0)

    def axes(self, label: Callable[[float], str]) -> list[str]:
        """Grid lines with their values, and the times below."""
        out = []
        for value in self.ticks:
            out.append(line(self.left, self.y(value), self.right, self.y(value), "grid" if value else "base"))
            out.append(text(self.left - 6, self.y(value) + 4, label(value), "tick", "end"))
        return out + self.times(self.bottom, "base")

    def times(self, top: float, css: str) -> list[str]:
        """Round times below, each with a line from ``top`` down."""
        out = []
        for seconds in time_ticks(self.start, self.end, 6 if self.right < WIDE / 2 else 12):
            x = self.x(seconds)
            out.append(line(x, top, x, self.bottom + 4, css))
            if self.left + 8 < x < self.right - 8:
                out.append(text(x, self.bottom + 17, clock(seconds), "tick", "middle"))
        return out

    def mark(self, seconds: float, words: str) -> list[str]:
        """A vertical line at a time."""
        x = self.x(seconds)
        anchor = "end" if x > self.right - 40 else "middle"
        return [line(x, self.top - 4, x, self.bottom, "now"), text(x, self.top - 7, words, "tick", anchor)]


def within(curve: Curve, span: tuple[float, float]) -> Curve:
    """The part of a curve that lies within ``span``."""
    places = [index for index, seconds in enumerate(curve.times) if span[0] <= seconds <= span[1]]
    return replace(curve, **{one.name: [getattr(curve, one.name)[index] for index in places] for one in fields(curve)})


def thin(times: Sequence[float], values: Sequence[float], keep: Callable[[Sequence[float]], float]) -> Line:
    """At most COLUMNS samples: of each column ``keep`` (max, min, ...) of what was measured, NaN if nothing was."""
    width = math.ceil(len(times) / COLUMNS)
    if width <= 1:
        return Line(list(times), list(values))
    out = Line()
    for begin in range(0, len(times), width):
        known = [value for value in values[begin : begin + width] if not math.isnan(value)]
        out.times.append(times[min(begin + width // 2, len(times) - 1)])
        out.values.append(keep(known) if known else math.nan)
    return out


def _points(frame: Frame, times: Sequence[float], values: Sequence[float]) -> list[tuple[float, float]]:
    shown = thin(times, values, max)
    return [(frame.x(seconds), frame.y(value)) for seconds, value in zip(shown.times, shown.values)]


def _band(frame: Frame, band: Band, css: str) -> list[str]:
    if not band.times:
        return []
    upper = _points(frame, band.times, band.high)
    lower = _points(frame, band.times, band.low)
    area = " ".join(f"{_n(x)},{_n(y)}" for x, y in upper + lower[::-1] if not math.isnan(y))
    middle = path(_points(frame, band.times, band.median), f"median {css}")
    return [f'<polygon points="{area}" class="band {css}"/>', middle]


def usage_chart(
    name: str,
    title: str,
    description: str,
    actual: Line,
    hindcast: Band,
    forecast: Band,
    *,
    span: tuple[float, float],
    now: float,
    binary: bool,
    label: Callable[[float], str],
    expected: Sequence[Expected] = (),
) -> str:
    """What was measured before ``now``, what had been forecast for that time, and what is forecast after it; of all of
    them what lies within ``span``."""
    actual, hindcast, forecast = within(actual, span), within(hindcast, span), within(forecast, span)
    values = [value for value in [*actual.values, *hindcast.high, *forecast.high] if not math.isnan(value)]
    frame = Frame(span, nice_ticks(max(values, default=0.0), binary), top=20, bottom=146)
    body = frame.axes(label)
    body += _band(frame, hindcast, "past") + _band(frame, forecast, "ahead")
    body.append(path(_points(frame, actual.times, actual.values), "actual"))
    body += frame.mark(now, "now")
    marks = [frame.x(moment) for moment, _low, _high in expected if span[0] <= moment <= span[1]]
    if len(marks) > MARKS:
        body.append(line(marks[0], 150, marks[-1], 150, "often"))
    else:
        body += [f'<path d="M{_n(x)} 147l-3 6h6z" class="request"/>' for x in marks]
    return document(name, 168, title, description, body)


def step_chart(
    name: str,
    title: str,
    description: str,
    series: dict[str, list[tuple[float, int]]],
    *,
    span: tuple[float, float],
    width: int = WIDTH,
    css: str = "",
) -> str:
    """Counts that change in steps, a line per name."""
    most = max((count for steps in series.values() for _at, count in steps), default=0)
    ticks = nice_ticks(float(max(most, 2)))
    whole = [value for value in ticks if value == int(value)]
    frame = Frame(span, whole if len(whole) > 1 else [0.0, float(max(most, 2))], 14, 146, width)
    body = frame.axes(lambda value: f"{value:g}")
    for index, (_label, steps) in enumerate(series.items()):
        points: list[tuple[float, float]] = []
        # lines of equal counts lie beside each other, not on each other
        shift = 2.2 * index - 1.1 * (len(series) - 1)
        for at, count in steps:
            if points:
                points.append((frame.x(at), points[-1][1]))
            points.append((frame.x(at), frame.y(float(count)) + shift))
        if points:
            points.append((frame.x(span[1]), points[-1][1]))
        body.append(path(points, f"step s{index % COLOURS}"))
    return document(name, 168, title, description, body, width, css)


def stacked_bar(y: float, parts: Sequence[tuple[int, float, str]], capacity: float) -> list[str]:
    """One bar of ``parts`` (colour, value, tip) against ``capacity``; beyond it, the mark of the capacity moves in."""
    total = sum(value for _colour, value, _tip in parts)
    scale = (WIDTH - 2) / max(total, capacity, 1e-9)
    out = [rect(1, y, capacity * scale, 18, "room", "free")]
    x = 1.0
    for colour, value, tip in parts:
        out.append(rect(x, y, max(value * scale - 1.5, 1.0), 18, f"c{colour % COLOURS}", tip))
        x += value * scale
    out.append(line(1 + capacity * scale, y - 3, 1 + capacity * scale, y + 21, "capacity"))
    return out
