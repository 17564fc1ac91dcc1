# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an action changes, in the units of people; and measurements that the caller gives."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import InputError
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.report_measured import groups, measured
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.report_plans import changes, told, written

MIB = 1024**2


def test_only_differences_are_told_with_their_units() -> None:
    before = {"vm": "a", "cpu": {"cores": 0.5, "weight": 100}, "memory": {"max": 64 * MIB, "high": None}}
    after = {"vm": "b", "cpu": {"cores": 0.4123, "weight": 100}, "memory": {"max": 96 * MIB, "high": 90 * MIB}}
    assert changes(before, after) == [
        ("vm", "a", "b"),
        ("cpu.cores", "0.5", "0.412"),
        ("memory.max", "64MiB", "96MiB"),
        ("memory.high", "-", "90MiB"),
    ]
    assert changes({"vm": "a"}, {}) == [("vm", "a", "-")]
    assert changes({}, {}) == []


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("memory", -8 * MIB, "-8MiB"),
        ("io.read", 2_000_000, "2MB/s"),
        ("io.weight", 200, "200"),
        ("cpu.weight", 300.0, "300"),
        ("cpu", 0.12345, "0.123"),
        ("gain", 0.123456, "0.1235"),
        ("expected_at", datetime(2026, 3, 2, tzinfo=timezone.utc), "2026-03-02 00:00 UTC"),
        ("tenants", ["a", "b"], "a, b"),
        ("tenants", [], "-"),
        ("urgent", True, "True"),
        ("vm", None, "-"),
    ],
)
def test_values(path: str, value, words: str) -> None:
    assert written(path, value) == words


def test_effects_may_be_a_mapping_or_a_sentence() -> None:
    assert told({"vm_hours_saved": 6.5, "peak": {"memory": 5 * MIB}}) == [
        ("vm hours saved", "6.5"), ("peak.memory", "5MiB"),
    ]  # fmt: skip
    assert told("less waiting") == [("", "less waiting")]
    assert told(None) == told({}) == []


def test_measurements_become_tables_and_bars() -> None:
    latency, limits = groups(
        [
            {"group": "start latency", "name": "a", "claim": 0.34, "cold": 2.5, "unit": "s"},
            {"group": "limits", "name": "cpu", "measured": 0.21, "limit": 0.2, "unit": "cores", "note": "held"},
            {"group": "start latency", "name": "b", "cold": 3, "unit": "s"},
            {"group": "limits", "name": "memory", "measured": 64 * MIB, "limit": 64 * MIB, "unit": "bytes"},
        ]
    )
    assert (latency.name, latency.columns) == ("Start latency", ["name", "claim", "cold"])
    assert latency.rows == [["a", "340ms", "2.5s"], ["b", "-", "3s"]]
    assert latency.bars == [("a", "claim 340ms, 7.4 times faster", 0.34, "cold 2.5s", 2.5)]
    assert limits.rows == [["cpu", "0.21 cores", "0.2 cores", "held"], ["memory", "64MiB", "64MiB", "-"]]
    assert [pair[0] for pair in limits.bars] == ["cpu", "memory"]


def test_bars_of_different_units_are_each_to_their_own_scale() -> None:
    (limits,) = groups(
        [
            {"group": "limits", "name": "cpu", "measured": 0.1, "limit": 0.2, "unit": "cores"},
            {"group": "limits", "name": "memory", "measured": 64 * MIB, "limit": 64 * MIB, "unit": "bytes"},
        ]
    )
    assert limits.scales == [0.2, 64 * MIB]


@pytest.mark.parametrize("wrong", [{}, {"name": ""}, {"name": "  ", "value": 1}])
def test_a_measurement_without_a_name_is_refused(wrong) -> None:
    with pytest.raises(InputError, match="measurement 2: has no name"):
        groups([{"name": "a"}, wrong])


def test_cells() -> None:
    assert [measured(value) for value in (None, True, 1.23456, "x", [1, "b"])] == ["-", "yes", "1.235", "x", "1, b"]
    assert measured(3_000_000, "bytes/s") == "3MB/s"
    assert measured(12, "requests") == "12 requests"
