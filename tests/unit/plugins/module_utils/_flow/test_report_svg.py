# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Charts: axes that hold their values, gaps that stay gaps, and text that cannot break out."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._flow import report_svg as svg
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.report_views import Band, Line
from hypothesis import given
from hypothesis import strategies as st

MIB = 1024.0**2
NAN = math.nan


def element(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


@given(st.floats(min_value=1e-6, max_value=1e15), st.booleans())
def test_ticks_hold_the_top_and_are_few(top: float, binary: bool) -> None:
    ticks = svg.nice_ticks(top, binary)
    assert ticks[0] == 0
    assert ticks[-1] >= top * 0.998
    assert 2 <= len(ticks) <= 6
    assert ticks[-1] <= 2.6 * top


def test_ticks_are_round_in_their_unit() -> None:
    assert svg.nice_ticks(0.42) == pytest.approx([0, 0.2, 0.4, 0.6])
    assert svg.nice_ticks(150 * MIB, binary=True) == pytest.approx([0, 50 * MIB, 100 * MIB, 150 * MIB])
    assert svg.nice_ticks(0.0)[-1] >= 1
    assert svg.nice_ticks(NAN)[-1] >= 1


@given(st.integers(0, 2_000_000_000), st.integers(1, 40 * 86400), st.integers(3, 12))
def test_time_ticks_are_round_and_within(start: int, length: int, most: int) -> None:
    ticks = svg.time_ticks(start, start + length, most)
    assert len(ticks) <= most
    assert all(start <= seconds <= start + length and seconds % 900 == 0 for seconds in ticks)


def test_clock_says_the_date_at_midnight() -> None:
    assert svg.clock(1772409600) == "02 Mar"
    assert svg.clock(1772409600 + 9 * 3600 + 300) == "09:05"


def test_a_gap_breaks_the_line() -> None:
    drawn = element(svg.path([(0, 1), (1, 2), (2, NAN), (3, 4), (4, 5)], "actual"))
    assert drawn.attrib["d"] == "M0 1L1 2M3 4L4 5"
    assert svg.path([(0, NAN)], "actual") == ""


def test_thinning_keeps_the_peaks() -> None:
    values = [0.0] * 5000
    values[1234] = 7.0
    values[2000:2100] = [NAN] * 100
    shown = svg.thin(list(range(5000)), values, max)
    assert len(shown.times) <= svg.COLUMNS
    assert max(value for value in shown.values if not math.isnan(value)) == 7.0
    assert any(math.isnan(value) for value in shown.values)
    assert svg.thin([1.0, 2.0], [3.0, NAN], max).times == [1.0, 2.0]


def test_a_frame_maps_its_corners() -> None:
    frame = svg.Frame((100.0, 200.0), [0.0, 5.0, 10.0], 20, 120)
    assert (frame.x(100), frame.x(200)) == (frame.left, frame.right)
    assert (frame.y(0), frame.y(10), frame.y(5)) == (120, 20, 70)
    assert frame.y(11) == 20
    assert frame.x(99) == frame.left
    assert math.isnan(frame.y(NAN))


def test_usage_chart_draws_what_was_measured_and_forecast() -> None:
    times = [300.0 * index for index in range(12)]
    ahead = [3600 + at for at in times]
    drawn = svg.usage_chart(
        "c1", "CPU of <web>", "at most 2 & falling", Line(times, [1.0] * 11 + [NAN]),
        Band(times, [0.5] * 12, [1.0] * 12, [1.5] * 12), Band(ahead, [0.5] * 12, [1.0] * 12, [2.0] * 12),
        span=(0.0, 7200.0), now=3600.0, binary=False, label=lambda value: f"{value:g}",
        expected=[(4000.0, 3990.0, 4010.0), (9000.0, 8990.0, 9010.0)],
    )  # fmt: skip
    root = element(drawn)
    assert root.find("title").text == "CPU of <web>"
    assert root.find("desc").text == "at most 2 & falling"
    assert root.attrib["aria-labelledby"] == "c1-t c1-d"
    classes = [item.attrib.get("class") for item in root.iter()]
    assert classes.count("request") == 1
    assert {"actual", "band past", "band ahead", "median past", "median ahead", "now"} <= set(classes)
    actual = next(item for item in root.iter() if item.attrib.get("class") == "actual")
    assert len(re.findall("[ML]", actual.attrib["d"])) == 11
    labels = [item.text for item in root.iter("text")]
    assert "2" in labels
    assert "now" in labels


def test_usage_chart_without_anything_is_still_a_chart() -> None:
    root = element(
        svg.usage_chart(
            "c", "t", "d", Line(), Band(), Band(), span=(0.0, 7200.0), now=3600.0, binary=True, label=str
        )
    )  # fmt: skip
    assert [item.attrib["class"] for item in root.iter("line")].count("now") == 1


def test_step_chart_has_a_line_per_name() -> None:
    steps = {"vm1": [(0.0, 0), (10.0, 2), (50.0, 1)], "vm2": [(20.0, 0), (20.0, 3)]}
    root = element(svg.step_chart("s", "t", "d", steps, span=(0.0, 100.0), width=svg.WIDE, css="wide"))
    lines = [item for item in root.iter("path") if item.attrib["class"].startswith("step")]
    assert [item.attrib["class"] for item in lines] == ["step s0", "step s1"]
    assert root.attrib["viewBox"].split()[2] == str(svg.WIDE)
    assert "3" in [item.text for item in root.iter("text")]


def test_stacked_bar_is_drawn_to_scale_and_marks_the_capacity() -> None:
    parts = [element(one) for one in svg.stacked_bar(0, [(0, 1.0, "a: 1"), (9, 0.5, "b & c")], 2.0)]
    widths = [
        float(one.attrib["width"]) for one in parts if one.attrib["class"].startswith("c") and "width" in one.attrib
    ]
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.03)
    assert [one.find("title").text for one in parts if one.find("title") is not None] == ["free", "a: 1", "b & c"]
    mark = next(one for one in parts if one.attrib["class"] == "capacity")
    assert float(mark.attrib["x1"]) == pytest.approx(svg.WIDTH - 1)
    over = [element(one) for one in svg.stacked_bar(0, [(0, 4.0, "a")], 2.0)]
    mark = next(one for one in over if one.attrib["class"] == "capacity")
    assert float(mark.attrib["x1"]) == pytest.approx(svg.WIDTH / 2)


@given(st.text(min_size=1).filter(lambda text: all(letter >= " " and letter not in "￾￿" for letter in text)))
def test_text_is_escaped(words: str) -> None:
    try:
        words.encode()
    except UnicodeEncodeError:
        return
    assert "".join(element(svg.text(0, 0, words)).itertext()) == words
    assert "".join(element(svg.rect(0, 0, 1, 1, "c0", words)).itertext()) == words
