# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page: well-formed, closed to the outside, accessible, escaped, and carrying the numbers."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.report_html import page, render
from ansible_collections.predictive.tenancy.tests.unit.plugins.module_utils._flow.page_reader import Page
from ansible_collections.predictive.tenancy.tests.unit.plugins.module_utils._flow.report_example import report
from hypothesis import given, settings
from hypothesis import strategies as st

TAGS = sorted(Page(page(report())).tags)


@pytest.fixture(scope="module")
def shown() -> Page:
    return Page(page(report()))


def test_it_is_closed_to_the_outside(shown: Page) -> None:
    assert all(link.startswith("#") for link in shown.links)
    assert not {"script", "link", "img", "iframe", "object"} & set(shown.tags)
    assert not [item for item in shown.attributes if item[1].startswith("on")]
    whole = page(report())
    assert not re.search(r"url\(|@import|https?://|//[a-z]", whole)
    assert "default-src 'none'" in whole


def test_every_reference_leads_somewhere(shown: Page) -> None:
    assert len(shown.ids) == len(set(shown.ids))
    targets = [link[1:] for link in shown.links]
    for _tag, name, value in shown.attributes:
        if name == "aria-labelledby":
            targets += (value or "").split()
    assert set(targets) <= set(shown.ids)


def test_charts_are_named_and_described(shown: Page) -> None:
    assert len(shown.charts) == 8
    assert all(title and description for title, description in shown.charts)
    described = dict(shown.charts)
    assert described["Tenants of vm1"] == "CPU: 0.75 of 2 promised, 38 %; Memory: 192MiB of 1GiB promised, 19 %"
    cpu = described["CPU of sync, measured and forecast"]
    assert "Measured at most 0.70 cores in the last 24 hours." in cpu
    assert "Forecast at most 0.80 cores (q95) in the next 24 hours, at 23:57." in cpu
    assert "Of the last day, 71 % lay at or below the q95 that was forecast for it." in cpu
    assert described["Tenants per VM over time"] == "vm1 holds 2 tenants now"
    assert described["Requests expected within the next 24 hours"] == "sync 96 times"
    assert described["Start latency"] == "sync: claim 340ms, cold 2.5s"


def test_tables_carry_the_figures(shown: Page) -> None:
    first = {row[0]: row for row in reversed(shown.rows) if row}
    assert first["sync"][1:3] == ["every 15m", "02 Mar 00:02 (in 2m, ±10s)"]
    assert first["sync"][6:9] == ["0.620.62", "95 %95 %", "14.0 d14.0 d"]
    action = next(row for row in shown.rows if "resize" in row)
    assert action == [
        "sync_1", "resize", "cpu.cores: 0.5 → 0.4", "the forecast of sync is lowerresize.down_step", "cpu: -0.1",
        "80 %", "proposed",
    ]  # fmt: skip
    assert first["sync_s"][1:5] == ["sync", "vm1", "frozen", "waiting"]
    assert first["sync_s"][-1] == "2MiB"
    assert first["■\xa0web_1"][2:] == ["0.25", "64MiB", "paused → vm2"]
    assert first["p1"][1:4] == ["applied", "2026-03-01 23:00 UTC", "0"]
    assert ["sync", "340ms", "2.5s"] in shown.rows
    hours = [row for row in shown.rows if row and row[0] == "02 Mar 05:00"]
    assert hours[0] == ["02 Mar 05:00", "0.40 cores", "0.50 cores"]


def test_expected_requests_stand_in_the_chart(shown: Page) -> None:
    marks = [value for tag, name, value in shown.attributes if name == "class" and value == "request"]
    # 96 in each of the two drawings of the day ahead, 12 in each usage chart of three hours, one in the legend
    assert len(marks) == 2 * 96 + 2 * 12 + 1
    minutely = report()
    often = [(minutely.now + 60 * index, minutely.now + 60 * index, minutely.now + 60 * index) for index in range(1440)]
    profile = replace(minutely.profiles[0], expected=often, period=60.0)
    dense = Page(page(replace(minutely, profiles=[profile], charted=[profile])))
    assert len([one for one in dense.attributes if one[1:] == ("class", "often")]) == 4
    assert dict(dense.charts)["Requests expected within the next 24 hours"] == "sync 1440 times"


def test_same_report_same_bytes() -> None:
    assert render(report()) == render(report())
    assert render(replace(report(), now=report().now + 60)) != render(report())


def test_an_empty_store_is_a_page_that_says_what_to_do() -> None:
    totals = dict.fromkeys(report().totals, 0) | {
        "mase": None,
        "coverage": None,
        "cpu_share": None,
        "memory_share": None,
    }
    empty = replace(
        report(), profiles=[], charted=[], machines=[], shadows=[], plans=[], groups=[], counts={}, totals=totals
    )
    shown = Page(page(empty))
    assert "No workload is known yet: read a history with workload_observe" in shown.text
    assert "No plan yet" in shown.text
    assert not shown.charts


def test_a_plan_without_actions_says_so() -> None:
    quiet = report()
    quiet = replace(quiet, plans=[replace(quiet.plans[0], actions=[])])
    assert "Nothing worth doing" in Page(page(quiet)).text


def test_many_are_bounded() -> None:
    big = report()
    machine = big.machines[0]
    big = replace(
        big,
        machines=[replace(machine, name=f"vm{index}") for index in range(300)],
        profiles=[replace(big.profiles[1], name=f"w{index}") for index in range(900)],
        shadows=big.shadows * 500,
        counts={f"vm{index}": big.counts["vm1"] for index in range(300)},
    )
    whole = page(big)
    assert "and 276 more VMs in the store" in whole
    assert "and 800 more workloads in the store" in whole
    assert "and 400 more shadows in the store" in whole
    assert len(whole) < 400_000


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\r"), min_size=1, max_size=30))
def test_names_cannot_break_out(name: str) -> None:
    named = Page(page(report(name)))
    assert sorted(named.tags) == TAGS
    assert name in named.text


@pytest.mark.parametrize("name", ['"><script>alert(1)</script>', "</style><b>", "&lt;b&gt;", "a' onload='x"])
def test_known_attacks_are_text(name: str) -> None:
    shown = Page(page(replace(report(name), title=name, cell=name)))
    assert "script" not in shown.tags
    assert not [item for item in shown.attributes if item[1].startswith("on")]
    assert name in shown.text
