# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Usage batches cut into days and put together again."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from .._core.errors import InputError
from .._core.names import tenant_name
from .interface import METRICS, UsageBatch
from .usage_day import DAY, Samples, UsageDay, increasing

LAST_DAY = 2**17 - 1  # in the year 2328


def milliseconds(times: Sequence[float], item: str) -> list[int]:
    """UTC seconds as whole milliseconds since 1970. Raises InputError for a time that no store keeps."""
    try:
        whole = [round(time * 1000) for time in times]
    except (ValueError, OverflowError):
        raise InputError("a time is not a finite number", item=item) from None
    if whole and (min(whole) < 0 or max(whole) >= (LAST_DAY + 1) * DAY):
        raise InputError("a time is not between 1970 and 2328", item=item, hint="give UTC seconds")
    return whole


def split_usage(batch: UsageBatch) -> Iterator[tuple[int, Samples]]:
    """``(day since 1970, its samples)``. Raises InputError for what cannot be stored."""
    item = f"usage of {tenant_name(batch.profile)}" + (f"/{tenant_name(batch.tenant)}" if batch.tenant else "")
    times = milliseconds(batch.times, item)
    for metric, column in batch.values.items():
        if metric not in METRICS:
            raise InputError(f"unknown metric {metric!r}", item=item, hint="one of " + ", ".join(METRICS))
        if len(column) != len(times):
            raise InputError(f"{len(column)} values of {metric} for {len(times)} times", item=item)
        if any(map(math.isinf, column)):
            raise InputError(f"a value of {metric} is infinite", item=item)
    whole = Samples(times, {metric: array("d", column) for metric, column in batch.values.items()})
    whole = whole if increasing(times) else whole.ordered()
    begin = 0
    while begin < len(whole.times):
        day = whole.times[begin] // DAY
        end = bisect_left(whole.times, (day + 1) * DAY, begin)
        yield (
            day,
            Samples(
                [time - day * DAY for time in whole.times[begin:end]],
                {metric: column[begin:end] for metric, column in whole.values.items()},
            ),
        )
        begin = end


def join_usage(batch: UsageBatch, stored: UsageDay, day: int, first: int, last: int, metrics: Sequence[str]) -> None:
    """Append the samples of a stored day that lie in [first, last) milliseconds to a batch."""
    begin, end = max(0, first - day * DAY), min(DAY, last - day * DAY)
    times = stored.times(begin, end)
    if not times:
        return
    absent = array("d", [math.nan])
    for metric in metrics:
        if metric not in stored.samples.values and metric not in stored.hourly and metric not in batch.values:
            continue
        values, peaks = stored.read(metric, begin, end)
        batch.values.setdefault(metric, absent * len(batch.times)).extend(values)
        batch.peaks.setdefault(metric, absent * len(batch.times)).extend(peaks)
    offset = day * DAY
    batch.times.extend([(offset + time) / 1000 for time in times])
