# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One day of one usage series: the same samples again change nothing; old ones are downsampled by the hour."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from operator import lt

from .columns import pack, unpack
from .interface import METRICS, Counts

DAY = 86_400_000  # milliseconds
HOUR = 3_600_000

# Hourly means are kept in millionths of a core and in whole bytes.
_DECIMALS = {"cpu": 6, "memory": 0, "io_read": 0, "io_write": 0}

# Column numbers: raw time steps, raw values by metric; hours, and counts, means, maxima by metric.
_STEPS, _HOURS = 0, 16
_VALUE, _COUNT, _MEAN, _PEAK = 1, 17, 33, 49


def _column(length: int) -> array[float]:
    return array("d", [math.nan]) * length


def increasing(values: Sequence[float]) -> bool:
    """Whether each value is larger than the one before."""
    return all(map(lt, values, values[1:]))


@dataclass
class Samples:
    """Raw samples of one day: milliseconds of the day, and a value (NaN = missing) by metric for each."""

    times: list[int] = field(default_factory=list)
    values: dict[str, array[float]] = field(default_factory=dict)

    def take(self, places: Iterable[int]) -> Samples:
        """The samples at some places."""
        places = list(places)
        return Samples(
            [self.times[place] for place in places],
            {metric: array("d", [column[place] for place in places]) for metric, column in self.values.items()},
        )

    def ordered(self) -> Samples:
        """The same samples in time order; equal times keep theirs."""
        if increasing(self.times):
            return self
        return self.take(sorted(range(len(self.times)), key=self.times.__getitem__))

    def unique(self) -> Samples:
        """Ordered samples with those of one time made one: of each metric the last value that is known."""
        if increasing(self.times):
            return self
        result = Samples(sorted(set(self.times)), {})
        place_of = {time: place for place, time in enumerate(result.times)}
        for metric, column in self.values.items():
            result.values[metric] = merged = _column(len(result.times))
            for time, value in zip(self.times, column):
                if not math.isnan(value):
                    merged[place_of[time]] = value
        return result

    def known(self) -> Samples:
        """Without the samples that have no value at all."""
        columns = list(self.values.values())
        if any(not math.isnan(sum(column)) for column in columns):
            return self
        places = [
            place for place in range(len(self.times)) if any(column[place] == column[place] for column in columns)
        ]
        return self if len(places) == len(self.times) else self.take(places)


class UsageDay:
    """The stored form of a day, which merges, folds and writes itself."""

    def __init__(self, data: bytes | None = None) -> None:
        self.samples = Samples()
        self.hours: list[int] = []
        self.hourly: dict[str, tuple[array[float], array[float], array[float]]] = {}  # counts, means, maxima
        if data is not None:
            self._read(unpack(data))

    def _read(self, columns: dict[int, array[float]]) -> None:
        self.samples.times = list(map(int, accumulate(columns.get(_STEPS, ()))))
        self.hours = list(map(int, columns.get(_HOURS, ())))
        for number, metric in enumerate(METRICS):
            if _VALUE + number in columns:
                self.samples.values[metric] = columns[_VALUE + number]
            if _COUNT + number in columns:
                self.hourly[metric] = (columns[_COUNT + number], columns[_MEAN + number], columns[_PEAK + number])

    def encode(self) -> bytes:
        """The bytes to store."""
        times = self.samples.times
        columns: dict[int, Sequence[float]] = {}
        if times:
            columns[_STEPS] = [times[0], *map(int.__sub__, times[1:], times)]
        if self.hours:
            columns[_HOURS] = self.hours
        for number, metric in enumerate(METRICS):
            if metric in self.samples.values and times:
                columns[_VALUE + number] = self.samples.values[metric]
            if metric in self.hourly:
                counts, means, peaks = self.hourly[metric]
                columns.update({_COUNT + number: counts, _MEAN + number: means, _PEAK + number: peaks})
        return pack(columns)

    @property
    def level(self) -> int:
        """1 with raw samples, 0 when there are hourly values only."""
        return 1 if self.samples.times else 0

    def merge(self, part: Samples) -> Counts:
        """Take samples in; ``self`` is changed as the counts say."""
        counts = Counts()
        given = len(part.times)
        part = part.known().ordered().unique()
        counts.same = given - len(part.times)
        if self.hours:
            part = self._not_downsampled(part, counts)
        if not part.times:
            return counts
        if not self.samples.times or part.times[0] > self.samples.times[-1]:
            self._extend(part)
            counts.new += len(part.times)
        elif self._holds(part):
            counts.same += len(part.times)
        else:
            self._merge_each(part, counts)
        return counts

    def _not_downsampled(self, part: Samples, counts: Counts) -> Samples:
        folded = set(self.hours)
        places = [place for place, time in enumerate(part.times) if time // HOUR not in folded]
        counts.late += len(part.times) - len(places)
        return part.take(places) if len(places) < len(part.times) else part

    def _extend(self, part: Samples) -> None:
        present = len(self.samples.times)
        for metric in {**self.samples.values, **part.values}:
            column = self.samples.values.setdefault(metric, _column(present))
            column.extend(part.values[metric] if metric in part.values else _column(len(part.times)))
        self.samples.times += part.times

    def _holds(self, part: Samples) -> bool:
        begin = bisect_left(self.samples.times, part.times[0])
        end = begin + len(part.times)
        return self.samples.times[begin:end] == part.times and all(
            metric in self.samples.values and self.samples.values[metric][begin:end].tobytes() == column.tobytes()
            for metric, column in part.values.items()
        )

    def _merge_each(self, part: Samples, counts: Counts) -> None:
        samples = self.samples
        for metric in part.values:
            samples.values.setdefault(metric, _column(len(samples.times)))
        place_of = {time: place for place, time in enumerate(samples.times)}
        for row, time in enumerate(part.times):
            place = place_of.get(time)
            if place is None:
                place_of[time] = len(samples.times)
                samples.times.append(time)
                for metric, column in samples.values.items():
                    column.append(part.values[metric][row] if metric in part.values else math.nan)
                counts.new += 1
            else:
                outcome = self._merge_one(place, {metric: column[row] for metric, column in part.values.items()})
                setattr(counts, outcome, getattr(counts, outcome) + 1)
        self.samples = samples.ordered()

    def _merge_one(self, place: int, row: dict[str, float]) -> str:
        outcome = "same"
        for metric, value in row.items():
            column = self.samples.values[metric]
            if math.isnan(value) or column[place] == value:
                continue
            outcome = "replaced" if not math.isnan(column[place]) or outcome == "replaced" else "new"
            column[place] = value
        return outcome

    def fold(self) -> None:
        """Downsample: replace the raw samples by the mean and the maximum of each hour."""
        samples = self.samples
        new_hours = sorted({time // HOUR for time in samples.times} - set(self.hours))
        for metric in {**self.hourly, **samples.values}:
            absent = _column(len(self.hours))
            old = self.hourly.get(metric, (absent, absent, absent))
            rows = list(zip(self.hours, *old))
            rows += [(hour, *self._hour(metric, hour)) for hour in new_hours]
            rows.sort()
            self.hourly[metric] = (
                array("d", [row[1] for row in rows]),
                array("d", [row[2] for row in rows]),
                array("d", [row[3] for row in rows]),
            )
        self.hours = sorted(self.hours + new_hours)
        self.samples = Samples()

    def _hour(self, metric: str, hour: int) -> tuple[float, float, float]:
        begin = bisect_left(self.samples.times, hour * HOUR)
        end = bisect_left(self.samples.times, (hour + 1) * HOUR)
        column = self.samples.values.get(metric, array("d"))
        known = [value for value in column[begin:end] if not math.isnan(value)]
        if not known:
            return math.nan, math.nan, math.nan
        mean = round(math.fsum(known) / len(known), _DECIMALS[metric])
        return float(len(known)), mean, max(known)

    def read(self, metric: str, first: int, last: int) -> tuple[array[float], array[float]]:
        """``(values, peaks)`` of a metric for the times that ``times(first, last)`` gives."""
        rows, hours = self._ranges(first, last)
        raw = self.samples.values[metric][rows] if metric in self.samples.values else _column(rows.stop - rows.start)
        if not self.hours:
            return raw, raw
        _counts, means, peaks = self.hourly.get(metric) or (_column(len(self.hours)),) * 3
        if not self.samples.times:
            return means[hours], peaks[hours]
        order = self._order(rows, hours)
        values, maxima = means[hours] + raw, peaks[hours] + raw
        return array("d", [values[place] for place in order]), array("d", [maxima[place] for place in order])

    def times(self, first: int, last: int) -> list[int]:
        """Milliseconds of the day in [first, last) that have samples; an hour stands at its beginning."""
        rows, hours = self._ranges(first, last)
        both = [hour * HOUR for hour in self.hours[hours]] + self.samples.times[rows]
        return [both[place] for place in self._order(rows, hours)] if self.hours else both

    def _ranges(self, first: int, last: int) -> tuple[slice, slice]:
        times = self.samples.times
        starts = [hour * HOUR for hour in self.hours]
        return (
            slice(bisect_left(times, first), bisect_left(times, last)),
            slice(bisect_left(starts, first), bisect_right(starts, last - 1)),
        )

    def _order(self, rows: slice, hours: slice) -> list[int]:
        both = [hour * HOUR for hour in self.hours[hours]] + self.samples.times[rows]
        return sorted(range(len(both)), key=both.__getitem__)
