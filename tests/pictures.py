# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of docs/model.md, drawn by the model itself from seeded histories that this script makes.

`python3 tests/pictures.py [FOLDER]` writes them (default docs/pictures), in the environment of the checks.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from environments import COLLECTIONS, ROOT

if str(COLLECTIONS) not in sys.path:
    sys.path.insert(0, str(COLLECTIONS))


def product(name: str) -> Any:
    """A part of the collection's module_utils."""
    return importlib.import_module(f"ansible_collections.predictive.tenancy.plugins.module_utils.{name}")


arrivals, calendars = product("_model.arrivals"), product("_model.calendars")
forecast, online, seasonality = product("_model.forecast"), product("_model.online"), product("_model.seasonality")
types = product("_model.types")

DAY, HOUR = 86400.0, 3600.0
MONDAY = datetime(2026, 1, 5, tzinfo=timezone.utc).timestamp()
STYLE = """
text{font:12px system-ui,sans-serif;fill:#17212b}.soft{fill:#5a6876}.head{font-weight:600;font-size:13px}
.axis{stroke:#c3ccd5}.seen{fill:#17212b}.line{fill:none;stroke:#17212b}.came{fill:none;stroke:#b3261e}
.mark{fill:#b3261e}.band{fill:#2f6fd0;fill-opacity:.22}.mid{fill:none;stroke:#2f6fd0;stroke-width:1.8}.next{fill:#2f6fd0}
.off{fill:none;stroke:#9a5200;stroke-dasharray:5 3}.goal{stroke:#17703f;stroke-dasharray:2 3}
@media(prefers-color-scheme:dark){text,.seen{fill:#e7edf2}.soft{fill:#9bacba}.line{stroke:#e7edf2}.axis{stroke:#445463}
.band,.next{fill:#7db3ff}.mid{stroke:#7db3ff}.came{stroke:#ff8a80}.mark{fill:#ff8a80}.off{stroke:#f0b35e}
.goal{stroke:#6fd39b}}
"""


class Picture:
    """An SVG drawing that grows by elements."""

    def __init__(self, width: int, height: int, title: str, message: str) -> None:
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{title}">',
            f"<title>{escape(title)}</title><desc>{escape(message)}</desc><style>{STYLE}</style>",
        ]

    def text(self, x: float, y: float, words: str, css: str = "", anchor: str = "start") -> None:
        """One line of text."""
        place = f'x="{x:.1f}" y="{y:.1f}" class="{css}" text-anchor="{anchor}"'
        self.parts.append(f"<text {place}>{escape(words)}</text>")

    def line(self, x1: float, y1: float, x2: float, y2: float, css: str = "axis") -> None:
        """A straight line."""
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{css}"/>')

    def dot(self, x: float, y: float, css: str, radius: float = 2.2) -> None:
        """A dot."""
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" class="{css}"/>')

    def rectangle(self, x: float, y: float, width: float, height: float, css: str) -> None:
        """A rectangle."""
        size = f'x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.6):.1f}" height="{height:.1f}"'
        self.parts.append(f'<rect {size} class="{css}"/>')

    def path(self, points: Sequence[tuple[float, float]], css: str) -> None:
        """A line through points."""
        words = "L".join(f"{x:.1f} {y:.1f}" for x, y in points if math.isfinite(y))
        self.parts.append(f'<path d="M{words}" class="{css}"/>')

    def area(self, low: Sequence[tuple[float, float]], high: Sequence[tuple[float, float]]) -> None:
        """The band between two lines."""
        words = " ".join(f"{x:.1f},{y:.1f}" for x, y in [*low, *reversed(high)])
        self.parts.append(f'<polygon points="{words}" class="band"/>')

    def __str__(self) -> str:
        return "\n".join([*self.parts, "</svg>"]) + "\n"


def job(rng: np.random.Generator) -> np.ndarray:
    """A run every 15 minutes for two days: jitter, missed and extra runs."""
    times = MONDAY + 240 + np.arange(192) * 900.0 + rng.normal(0, 25, 192)
    times = times[rng.random(192) >= 0.05]
    return np.sort(np.concatenate([times, rng.uniform(MONDAY, MONDAY + 2 * DAY, 19)]))


def periods() -> str:
    """Gaps say little; on the right period the phases line up, and the next arrivals have an interval."""
    times = job(np.random.default_rng(3))
    model = arrivals.detect([times], now=float(times[-1]))[0]
    gaps = np.diff(times)
    said = f"period {model.period:g} s, jitter {model.jitter:.0f} s, {model.fill:.0%} of the slots filled"
    picture = Picture(760, 270, "From request times to the next request", f"The model finds: {said}.")
    picture.text(20, 22, "1. Gaps between requests", "head")
    counts, edges = np.histogram(gaps / 60, bins=60, range=(0, 36))
    for count, edge in zip(counts, edges):
        picture.rectangle(20 + edge * 6, 230 - 170 * count / counts.max(), 3, 170 * count / counts.max(), "seen")
    for minutes in (0, 15, 30):
        picture.text(20 + 6 * minutes, 246, f"{minutes} min", "soft", "middle" if minutes else "start")
    picture.line(20, 230, 240, 230)
    picture.text(280, 22, "2. Phase within 15 minutes", "head")
    for moment in times:
        phase = (moment - MONDAY) % model.period
        fits = abs((moment - model.schedules[0].anchor + 450) % model.period - 450) < 4 * model.jitter
        x, y = 280 + 200 * phase / model.period, 40 + 190 * (moment - MONDAY) / (2 * DAY)
        picture.dot(x, y, "seen" if fits else "mark", 1.7)
    picture.line(280, 230, 480, 230)
    picture.text(280, 246, "0 min", "soft")
    picture.text(480, 246, "15 min", "soft", "end")
    picture.text(380, 262, "red: extra requests, not of the schedule", "soft", "middle")
    picture.text(520, 22, "3. The next, 80 % intervals", "head")
    for row, (expected, low, high) in enumerate(arrivals.next_arrivals(model, times[-1] + 60, times[-1] + 3700)[:4]):
        y = 70 + 42 * row
        scale = 100 / 120
        picture.rectangle(630 + (low - expected) * scale, y - 5, (high - low) * scale, 10, "band")
        picture.dot(630, y, "next", 3.5)
        when = datetime.fromtimestamp(expected, tz=timezone.utc)
        picture.text(520, y + 4, f"{when:%H:%M:%S}")
        picture.text(740, y + 4, f"± {(high - low) / 2:.0f} s", "soft", "end")
    picture.text(520, 246, said.rsplit(",", maxsplit=1)[0], "soft")
    return str(picture)


def clock() -> str:
    """Nine o'clock in Berlin on working days, over the change to summer time."""
    zone, first = "Europe/Berlin", int(MONDAY // DAY) + 56
    rng = np.random.default_rng(4)
    days = [day for day in range(first, first + 35) if (day + 3) % 7 < 5]
    times = np.array([calendars.to_utc(day * DAY + 9 * HOUR, zone) for day in days]) + rng.uniform(0, 240, len(days))
    cut = 15
    model = arrivals.detect([times[:cut]], now=float(times[cut - 1]) + HOUR, timezones=[zone])[0]
    coming = arrivals.next_arrivals(model, times[cut - 1] + HOUR, times[-1] + HOUR)
    picture = Picture(760, 230, "A schedule in local time", "The expectation moves by an hour in UTC with the clock.")
    picture.text(20, 22, "Working days at 9:00 in Berlin, seen in UTC", "head")

    def place(moment: float) -> tuple[float, float]:
        return 80 + 640 * (moment / DAY - first) / 35, 190 - 130 * ((moment % DAY) / HOUR - 6.5) / 2

    for hour in (7, 8):
        picture.line(80, place(hour * HOUR)[1], 730, place(hour * HOUR)[1])
        picture.text(70, place(hour * HOUR)[1] + 4, f"{hour}:00", "soft", "end")
    for moment in times[:cut]:
        picture.dot(*place(moment), "seen", 3)
    for moment in times[cut:]:
        picture.dot(*place(moment), "mark", 3)
    for expected, _low, _high in coming:
        x, y = place(expected)
        picture.rectangle(x - 5, y - 5, 10, 10, "band")
    change = 80 + 640 * (datetime(2026, 3, 29, tzinfo=timezone.utc).timestamp() / DAY - first) / 35
    picture.line(change, 45, change, 200, "goal")
    picture.text(change, 216, "clocks change", "soft", "middle")
    picture.text(80, 216, "black: learned from · squares: expected · red: what came", "soft")
    return str(picture)


def seasons() -> str:
    """A pulse that the eye does not find, and the profile of the period that was found."""
    rng = np.random.default_rng(5)
    slots = np.arange(10 * 288)
    values = 1 + 1.6 * (slots % 84 < 6) + 0.5 * np.sin(2 * np.pi * slots / 288) + rng.gamma(1.5, 0.4, slots.size)
    values[1200:1300] = np.nan
    season = seasonality.detect(values[None], 300.0)[0]
    found = [f"{period / HOUR:.1f} h" for period in (season.period, season.second_period) if period]
    picture = Picture(
        760, 240, "Seasons of a usage series", f"Found in a noisy series with a gap: {' and '.join(found)}."
    )
    picture.text(20, 22, "Three of ten days of CPU, one sample in 5 minutes", "head")
    top = float(np.nanmax(values))
    shown = slots[1100:1964]
    pieces: list[list[tuple[float, float]]] = [[]]
    for slot in shown:
        if math.isfinite(values[slot]):
            pieces[-1].append((20 + 430 * (slot - shown[0]) / len(shown), 210 - 170 * values[slot] / top))
        elif pieces[-1]:
            pieces.append([])
    for piece in pieces:
        if piece:
            picture.path(piece, "line")
    picture.text(20, 230, "no samples here", "soft")
    picture.line(20, 210, 450, 210)
    for number, (period, left) in enumerate(zip((season.period, season.second_period), (490, 630))):
        if not period:
            continue
        length = round(period / 300)
        profile = [float(np.nanmean(values[slots % length == phase])) for phase in range(length)]
        picture.text(left, 22, f"{'Second' if number else 'Season'}: {period / HOUR:.1f} h", "head")
        points = [(left + 115 * at / length, 210 - 170 * item / top) for at, item in enumerate(profile)]
        picture.path(points, "mid")
        picture.line(left, 210, left + 115, 210)
        picture.text(left, 230, "mean of each phase", "soft")
    return str(picture)


def service(rng: np.random.Generator, days: int) -> np.ndarray:
    """CPU of a service each 15 minutes: a day, a weekend, bursts."""
    slots = np.arange(days * 96)
    day = 0.6 + 0.5 * np.sin(2 * np.pi * (slots / 96 - 0.35)) + 0.25 * np.exp(-(((slots % 96 - 40) / 5.0) ** 2))
    day *= np.where(slots // 96 % 7 < 5, 1.0, 0.55)
    return day + rng.gamma(1.2, 0.06, slots.size)


def histories() -> str:
    """The same day ahead after three samples, a day, three days and four weeks."""
    rng = np.random.default_rng(6)
    values = service(rng, 30)
    end = 29 * 96
    picture = Picture(760, 420, "The same day, from more and more history", "Bands narrow as history grows.")
    for place, (count, words) in enumerate([(3, "3 samples"), (96, "1 day"), (3 * 96, "3 days"), (28 * 96, "28 days")]):
        left, top = 20 + 370 * (place % 2), 10 + 205 * (place // 2)
        result = forecast.forecast(values[None, end - count : end], 900.0, 0.0, 96)
        trust, series = result.trust[0], result.values[0]

        def point(slot: float, value: float, left: int = left, top: int = top) -> tuple[float, float]:
            return left + 340 * slot / 144, top + 160 - 125 * min(value / 2.2, 1.15)

        seen = range(max(48 - count, 0), 48)
        picture.path([point(slot, values[end - 48 + slot]) for slot in seen], "line")
        picture.area(*([point(48 + h, series[level, h]) for h in range(96)] for level in (0, 5)))
        picture.path([point(48 + h, series[2, h]) for h in range(96)], "mid")
        picture.path([point(48 + h, values[end + h]) for h in range(96)], "came")
        picture.line(left, top + 160, left + 340, top + 160)
        mase = "no backtest yet" if trust.mase is None else f"MASE {trust.mase:.2f}"
        picture.text(left, top + 14, words, "head")
        picture.text(left + 340, top + 14, f"{mase}, confidence {trust.confidence:.2f}", "soft", "end")
    picture.text(20, 408, "black: history · blue: median and 5 to 95 % · red: what came", "soft")
    return str(picture)


def followed() -> str:
    """Coverage of the .95 quantile over weeks in which the noise doubles, with and without following it online."""
    rng = np.random.default_rng(8)
    days, change = 42, 26
    spread = np.where(np.arange(days * 96) // 96 < change, 1.0, 3.0)
    values = service(np.random.default_rng(6), days) + spread * rng.exponential(0.05, days * 96)
    state: dict[str, Any] = {"widen": 1.0}
    covered: dict[bool, list[float]] = {True: [], False: []}
    for day in range(14, days):
        history = values[None, max(0, day - 28) * 96 : day * 96]
        actual = values[day * 96 : (day + 1) * 96]
        for follows in (True, False):
            widen = np.array([state["widen"] if follows else 1.0])
            result = forecast.forecast(history, 900.0, day * DAY, 96, widen=widen)
            score = online.score(result.levels, result.values[0], actual)
            covered[follows].append(score["coverage"])
            if follows:
                new = online.follow(state, score, 900.0)
        state = new
    picture = Picture(760, 250, "Realised error is followed", "After the noise trebles, coverage returns sooner.")
    picture.text(
        20, 22, "Coverage of the .95 quantile, day by day; the noise of the workload trebles at the line", "head"
    )

    def point(day: int, value: float) -> tuple[float, float]:
        return 60 + 680 * day / (days - 15), 210 - 160 * (max(value, 0.6) - 0.6) / 0.4

    for level in (0.6, 0.8, 1.0):
        picture.line(60, point(0, level)[1], 740, point(0, level)[1])
        picture.text(52, point(0, level)[1] + 4, f"{level:.0%}", "soft", "end")
    picture.line(60, point(0, 0.95)[1], 740, point(0, 0.95)[1], "goal")
    picture.text(52, point(0, 0.95)[1] + 4, "95%", "", "end")
    picture.line(point(change - 14, 1)[0], 40, point(change - 14, 1)[0], 210)
    picture.path([point(day, value) for day, value in enumerate(covered[False])], "off")
    picture.path([point(day, value) for day, value in enumerate(covered[True])], "mid")
    picture.text(60, 236, "blue: the margin follows the realised coverage · dashed: the same model without", "soft")
    return str(picture)


PICTURES = {"periods": periods, "clock": clock, "seasons": seasons, "histories": histories, "followed": followed}


def main() -> int:
    """Draw them all."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        (folder / f"{name}.svg").write_text(draw(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
