# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.prometheus_source import sources
from ansible_collections.predictive.tenancy.plugins.module_utils._metrics.prometheus import Range

START, STEP = 1_772_323_200.0, 300.0
RATES = {"a": 0.1, "b": 0.1}


def counters(missing: Mapping[str, set[int]]):
    """A Prometheus with two counters of one workload, which lack points at some steps."""

    def fetch(_url: str, fields: Mapping[str, str]) -> tuple[int, bytes]:
        first, last, step = (float(fields[name]) for name in ("start", "end", "step"))
        moments = [first + number * step for number in range(int((last - first) / step) + 1)]
        result = [
            {
                "metric": {"workload": "web", "pod": pod},
                "values": [
                    [moment, str(rate * (moment - START))]
                    for moment in moments
                    if round((moment - START) / STEP) not in missing.get(pod, ())
                ],
            }
            for pod, rate in RATES.items()
        ]
        return 200, json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()

    return fetch


def sums(first: float, last: float, missing: Mapping[str, set[int]], step: float = STEP) -> dict[float, float]:
    """The rate of all series together, by the step."""
    wanted = Range("http://prometheus", "q", START + first * step, START + last * step, step, counter=True)
    found: dict[float, float] = {}
    for part in wanted.series(counters(missing)):
        for series in part:
            for time, value in zip(series.times, series.values):
                place = (time - START) / step
                found[place] = round(found.get(place, 0.0) + value, 9)
    return found


@pytest.mark.parametrize("missing", [{}, {"b": {19}}, {"b": {20}}, {"a": {18}, "b": {19}}, {"b": {18, 19}}])
def test_ranges_that_overlap_give_the_same_sums(missing: Mapping[str, set[int]]) -> None:
    whole = sums(10, 40, missing)
    for first in (18, 19, 20, 21):
        later = sums(first, 40, missing)
        assert later == {time: value for time, value in whole.items() if time >= first}


def test_a_range_begins_where_it_was_asked_to() -> None:
    assert list(sums(0.2, 3.9, {})) == [1, 2, 3]
    assert list(sums(1, 1, {})) == [1]
    assert list(sums(0.2, 0.9, {})) == []


def test_long_ranges_are_cut_and_lose_nothing() -> None:
    count = 2 * 288
    assert sums(1, count, {}) == dict.fromkeys(range(1, count + 1), 0.2)


def test_the_records_of_an_overlapping_range_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    where = "ansible_collections.predictive.tenancy.plugins.module_utils._flow.prometheus_source.fetcher"
    monkeypatch.setattr(where, lambda _options: counters({"b": {19}}))
    query = {"query": "q", "metric": "cpu", "workload_label": "workload", "counter": True, "scale": 1.0}
    options = {"url": "http://prometheus", "step": "5m", "end": "", "queries": [query]}

    def records(start: str) -> dict[float, float]:
        ((_name, read),) = sources(
            {**options, "start": start}, 0, datetime.fromtimestamp(START + 40 * STEP, timezone.utc)
        )
        return {record.fields["time"]: round(record.fields["cpu"], 9) for record in read()}

    assert records("100m").items() <= records("150m").items()
