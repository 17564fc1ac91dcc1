# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Range queries to Prometheus, in parts that it accepts, and rates of counters that reset.

The range is cut where Prometheus would refuse it (more than 11,000 points per series) and by the day, so that memory
stays bounded. Points lie at multiples of the step, so that overlapping ranges give the same points. A counter is read
from as many steps earlier as a gap may be long that a rate is still told over: else the first sums would lack a series
whose last point is before the range. Where a counter falls it was reset, and what it shows then is its increase (as
Prometheus' own rate() takes it).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from .._core.errors import InputError

POINTS = 11_000
_DAY = 86400.0
_GAP = 2.5  # steps without a point, after which no rate is told

# (url, form fields) -> the answer's status and body. Raises OSError when there is none.
Fetch = Callable[[str, Mapping[str, str]], "tuple[int, bytes]"]


@dataclass(frozen=True)
class Series:
    """Points of one series: its labels, UTC seconds, and values in the query's own unit."""

    labels: dict[str, str]
    times: list[float]
    values: list[float]


@dataclass
class _Last:
    """The last point of a counter, to go on from in the next part."""

    time: float = -math.inf
    value: float = math.nan


@dataclass
class Range:
    """What to ask for: ``start`` and ``end`` (UTC seconds, both included) at multiples of ``step`` seconds."""

    url: str
    query: str
    start: float
    end: float
    step: float
    counter: bool = False
    _last: dict[str, _Last] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not math.isfinite(self.step) or self.step < 1 or self.end < self.start:
            raise InputError("the end is before the start, or the step is below one second", item=shown(self.url))
        self.start = math.ceil(self.start / self.step) * self.step
        self.end = math.floor(self.end / self.step) * self.step

    def parts(self) -> Iterator[tuple[float, float]]:
        """``(start, end)`` of each request, both included; of a counter the first ones lie before the start."""
        length = min(POINTS - 1, max(1, math.floor(_DAY / self.step) - 1)) * self.step
        begin = self.start - (math.floor(_GAP) * self.step if self.counter else 0)
        while begin <= self.end:
            yield begin, min(begin + length, self.end)
            begin += length + self.step

    def series(self, fetch: Fetch) -> Iterator[list[Series]]:
        """The points of all series, part by part in the order of time; of a counter its rate per second."""
        for begin, end in self.parts():
            found = _ask(self, begin, end, fetch)
            yield [self._rates(one) for one in found] if self.counter else found

    def _rates(self, found: Series) -> Series:
        last = self._last.setdefault(json.dumps(found.labels, sort_keys=True), _Last())
        rates = Series(found.labels, [], [])
        for time, value in zip(found.times, found.values):
            if math.isnan(value):
                continue
            if time > self.start - self.step / 2 and time - last.time <= _GAP * self.step:
                increase = value - last.value if value >= last.value else value
                rates.times.append(time)
                rates.values.append(increase / (time - last.time))
            last.time, last.value = time, value
        return rates


def shown(url: str) -> str:
    """A URL without its user, password and query, fit for messages."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _ask(wanted: Range, begin: float, end: float, fetch: Fetch) -> list[Series]:
    fields = {"query": wanted.query, "start": f"{begin:.3f}", "end": f"{end:.3f}", "step": f"{wanted.step:.3f}"}
    where = shown(wanted.url)
    try:
        status, body = fetch(wanted.url.rstrip("/") + "/api/v1/query_range", fields)
    except OSError as error:
        raise InputError(
            f"Prometheus cannot be reached: {error}", item=where, hint="check the URL, TLS options and credentials"
        ) from None
    answer = _json(body)
    if not isinstance(answer, dict):
        start = body[:80].decode(errors="replace")
        raise InputError(
            f"the answer (HTTP {status}) is no answer of Prometheus: {start!r}", item=where, hint="check the URL"
        )
    if answer.get("status") != "success":
        text = f"Prometheus refused the query {wanted.query!r}: {answer.get('error') or f'HTTP {status}'}"
        raise InputError(text, item=where)
    try:
        kind = answer["data"]["resultType"]
        found = [_series(item) for item in answer["data"]["result"]] if kind == "matrix" else []
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"the answer is none of Prometheus' ({error!r})", item=where, hint="check the URL") from None
    if kind != "matrix":
        raise InputError(f"the query {wanted.query!r} gives a {kind}, no range of points", item=where)
    return found


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _series(item: Mapping[str, Any]) -> Series:
    points = item["values"]
    return Series(dict(item["metric"]), [float(point[0]) for point in points], [_value(point[1]) for point in points])


def _value(text: str) -> float:
    value = float(text)  # reads NaN, +Inf and -Inf too
    return value if math.isfinite(value) else math.nan
