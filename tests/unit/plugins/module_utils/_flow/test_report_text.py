# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers in words, and the table for the terminal."""

from __future__ import annotations

import math

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._flow import report_text as text
from ansible_collections.predictive.tenancy.tests.unit.plugins.module_utils._flow.report_example import NOW, report
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0s"), (59.4, "59s"), (61, "1m"), (3600, "1h"), (3720, "1h 02m"), (86400, "1d"), (90000, "1d 1h")],
)  # fmt: skip
def test_spans(seconds: float, words: str) -> None:
    assert text.format_span(seconds) == words


def test_soon() -> None:
    assert text.soon(NOW + 130, NOW) == "in 2m"
    assert text.soon(NOW - 7200, NOW) == "2h ago"
    assert text.soon(NOW, NOW) == text.soon(NOW + 0.4, NOW) == "now"
    assert text.soon(NOW + 3, NOW) == "in 3s"


@pytest.mark.parametrize(
    ("arrival", "words"),
    [
        (None, "not learned yet"),
        ({"kind": "unknown"}, "too few requests to say"),
        ({"kind": "periodic", "schedules": [{"period": 900.0}]}, "every 15m"),
        ({"kind": "periodic", "schedules": [{"period": 300.0, "hours": [9, 10, 17], "days": [0, 1, 2, 3, 4]}]},
         "every 5m 09-17 h Mon-Fri"),
        ({"kind": "periodic", "schedules": [{"period": 86400.0, "anchor": NOW + 7800}]}, "every 1d at 02:10"),
        ({"kind": "several", "schedules": [{"period": 3600.0}, {"period": 86400.0}]}, "every 1h, every 1d"),
        ({"kind": "calendar", "rules": [{"days": [0, 1, 2, 3, 4], "second": 32400.0}]}, "Mon-Fri 09:00"),
        ({"kind": "calendar", "rules": [{"days": list(range(7)), "second": 60.0}], "timezone": "Europe/Vienna"},
         "daily 00:01 (Europe/Vienna)"),
        ({"kind": "calendar", "rules": [{"days": [0, 3], "second": 3600.0}]}, "Mon Thu 01:00"),
        ({"kind": "aperiodic", "rate": 2.5 / 86400}, "at no fixed time, about 2.5 a day"),
    ],
)  # fmt: skip
def test_when_a_workload_is_asked_for(arrival, words: str) -> None:
    assert text.asked_for(arrival) == words


def test_values_in_the_units_of_people() -> None:
    assert text.metric_value("cpu", 0.4213) == "0.42"
    assert text.metric_value("cpu", 0.0421) == "0.042"
    assert text.metric_value("memory", 64 * 1024**2) == "64MiB"
    assert text.metric_value("io_read", 2e6) == "2MB/s"
    assert text.metric_value("cpu", None) == text.metric_value("cpu", math.nan) == "-"
    assert (text.ratio(None), text.ratio(0.456), text.percent(0.953), text.percent(None)) == ("-", "0.46", "95 %", "-")


def test_model_names_are_short() -> None:
    assert text.short_model("median_14+mean_7+last") == "median_14 +2"
    assert text.short_model("flat") == "flat"
    assert text.short_model("") == "-"


cells = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=150)


@given(st.lists(st.tuples(cells, cells, cells), max_size=8), st.integers(0, 2))
def test_tables_never_exceed_the_width(rows, clip: int) -> None:
    for line in text.columns(["ONE", "TWO", "THREE"], rows, clip):
        assert len(line) <= text.WIDTH


def test_terminal_table_says_what_matters() -> None:
    lines = text.terminal_table(report())
    assert all(len(line) <= 100 and line.isprintable() for line in lines)
    whole = "\n".join(lines)
    assert lines[0] == "Tenancy of the lab, 2026-03-02 00:00 UTC"
    assert "2 tenants in 1 VM; 1 of 2 workloads are asked for on a schedule. Next is sync, in 2m." in whole
    row = next(line for line in lines if line.startswith("sync "))
    assert row.split() == [
        "sync",
        "every",
        "15m",
        "in",
        "2m",
        "0.90",
        "96.0MiB",
        "median_14",
        "+1",
        "0.62",
        "95",
        "%",
        "14",
    ]
    assert any(line.startswith("vm1 ") and "0.75 of 2" in line and "sync_1, web_1" in line for line in lines)
    assert any("resize" in line and "cpu.cores 0.5 → 0.4" in line for line in lines)
    assert any("340ms" in line and "2.5s" in line for line in lines)


def test_names_cannot_move_the_cursor() -> None:
    hostile = report(name="a\x1b[2Jb\nc")
    assert all(line.isprintable() for line in text.terminal_table(hostile))
