# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests and usage written as the CSV files that workload_observe reads (docs/trace-format.md)."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone

from .._core.units import format_time

METRICS = ("cpu", "memory", "io_read", "io_write")


def _moment(seconds: float) -> str:
    return format_time(datetime.fromtimestamp(round(seconds, 3), tz=timezone.utc))


def _cell(value: float) -> str:
    if math.isnan(value):
        return ""
    return str(int(value)) if value == int(value) else f"{value:.6g}"


def requests_csv(requests: Iterable[tuple[str, float]]) -> tuple[bytes, int]:
    """``workload,time,id`` of (workload, UTC seconds), in the order of time, and the number of rows.

    The id counts the requests of one workload, so that reading the file twice adds nothing.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["workload", "time", "id"])
    counts: dict[str, int] = {}
    rows = sorted(requests, key=lambda row: (row[1], row[0]))
    for workload, seconds in rows:
        counts[workload] = counts.get(workload, 0) + 1
        writer.writerow([workload, _moment(seconds), f"{workload}-{counts[workload]:05d}"])
    return out.getvalue().encode(), len(rows)


def usage_csv(
    series: Iterable[tuple[str, Sequence[float], Mapping[str, Sequence[float]]]], metrics: Sequence[str] = METRICS
) -> tuple[bytes, int]:
    """``workload,time`` and ``metrics`` of (workload, times in UTC seconds, values per metric), and the rows written.

    Series follow each other. A missing sample (NaN) is an empty cell; a row without any sample is left out.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["workload", "time", *metrics])
    rows = 0
    for workload, times, values in series:
        columns = [values.get(name, [math.nan] * len(times)) for name in metrics]
        for seconds, *row in zip(times, *columns):
            cells = [_cell(float(value)) for value in row]
            if any(cells):
                writer.writerow([workload, _moment(float(seconds)), *cells])
                rows += 1
    return out.getvalue().encode(), rows
