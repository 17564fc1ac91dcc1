# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core import units
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import InputError
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("512MiB", 512 * 1024**2),
        ("512m", 512 * 1024**2),
        ("20MB", 20_000_000),
        ("1.5 GiB", 1610612736),
        (4096, 4096),
        ("0", 0),
    ],
)
def test_bytes(text: object, value: int) -> None:
    assert units.parse_bytes(text) == value


def test_a_bare_suffix_is_binary_for_sizes_and_decimal_for_rates() -> None:
    assert units.parse_bytes("10M") == 10 * 1024**2
    assert units.parse_rate("10M") == units.parse_rate("10MB/s") == 10_000_000


@pytest.mark.parametrize(
    ("text", "value"),
    [("5m", 300), ("24h", 86400), (90, 90), ("90", 90), ("200ms", 0.2), ("7d", 604800), ("1.5 h", 5400)],
)
def test_durations(text: object, value: float) -> None:
    assert units.parse_duration(text) == pytest.approx(value)


@pytest.mark.parametrize(("text", "value"), [("250m", 0.25), (2, 2), ("0.5", 0.5)])
def test_cores(text: object, value: float) -> None:
    assert units.parse_cores(text) == value


@pytest.mark.parametrize("parse", [units.parse_bytes, units.parse_rate, units.parse_cores, units.parse_duration])
@pytest.mark.parametrize(
    "wrong", ["", "x", "5 XB", "-1", -1, None, True, [], "nan", float("nan"), float("inf"), "1e400", "1MiB2"]
)
def test_what_is_no_quantity_is_named(parse, wrong: object) -> None:
    with pytest.raises(InputError) as caught:
        parse(wrong)
    assert repr(wrong) in str(caught.value)
    assert caught.value.hint


def test_times_become_utc_milliseconds() -> None:
    wanted = datetime(2026, 3, 29, 0, 30, tzinfo=timezone.utc)
    assert units.parse_time("2026-03-29T01:30:00+01:00") == wanted
    assert units.parse_time("2026-03-29T00:30:00Z") == units.parse_time("2026-03-29 00:30") == wanted
    assert units.parse_time(wanted.timestamp()) == units.parse_time(str(int(wanted.timestamp()))) == wanted
    assert units.parse_time("2026-03-29T00:30:00.123987Z").microsecond == 123000


@pytest.mark.parametrize("wrong", ["yesterday", None, True, "2026-13-01", 1e30, "1e30"])
def test_what_is_no_time_is_named(wrong: object) -> None:
    with pytest.raises(InputError, match="is not a time"):
        units.parse_time(wrong)


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(timezone.utc)))
def test_a_written_time_is_read_back(moment: datetime) -> None:
    read = units.parse_time(units.format_time(moment))
    assert timedelta(0) <= moment - read < timedelta(milliseconds=1)


@given(st.integers(min_value=0, max_value=2**62))
def test_a_written_size_is_near_what_it_was(size: int) -> None:
    assert units.parse_bytes(units.format_bytes(size)) == pytest.approx(size, rel=0.06)


def test_sizes_for_people() -> None:
    assert units.format_bytes(240 * 1024**2) == "240MiB"
    assert units.format_bytes(None) == units.format_rate(None) == units.format_cores(None) == "infinity"
    assert units.format_rate(10_000_000) == "10MB/s"
    assert [units.format_duration(value) for value in (0, 0.2, 90, 5400, 86400)] == [
        "0s",
        "200ms",
        "1.5m",
        "1.5h",
        "1d",
    ]
