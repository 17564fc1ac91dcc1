# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tenancy_report in a process of its own, on a real store that the other modules filled: check, do, do again, check."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.predictive.tenancy.tests.unit.plugins.module_utils._flow.page_reader import Page
from module_process import run_module

NOW = "2026-03-02T00:00:00Z"
LATENCY = {"group": "start latency", "name": "nightly_report", "claim": 0.34, "cold": 2.5, "unit": "s"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The sample, observed and learned."""
    scratch = tmp_path_factory.mktemp("store")
    sample = run_module("workload_sample", {"dest": str(scratch)}, scratch)
    uri = f"sqlite:///{scratch / 'store.db'}"
    files = [{"path": item["name"], "kind": item["kind"], "format": "csv"} for item in sample["results"]]
    observed = run_module("workload_observe", {"store": uri, "files": files, "now": NOW}, scratch)
    assert observed.get("failed") is None, observed
    assert [item["new"] for item in observed["results"][:2]] == [item["rows"] for item in sample["results"]]
    learned = run_module("workload_profile", {"store": uri, "state": "learned", "now": NOW}, scratch)
    assert learned.get("failed") is None, learned
    assert {item["name"] for item in learned["results"]} == {workload["name"] for workload in sample["workloads"]}
    return uri


def report(store: str, dest: Path, *, check: bool = False, **other: Any) -> dict[str, Any]:
    arguments = {"store": store, "dest": str(dest), "now": NOW, "measurements": [LATENCY], **other}
    return run_module("tenancy_report", arguments, dest.parent, check=check)


def test_check_do_do_again_check_again(store: str, tmp_path: Path) -> None:
    dest = tmp_path / "report.html"
    checked = report(store, dest, check=True)
    assert checked["changed"] is True
    assert not dest.exists()
    done = report(store, dest)
    assert done["changed"] is True
    assert (done["results"], done["table"], done["diff"]) == (checked["results"], checked["table"], checked["diff"])
    data = dest.read_bytes()
    assert done["results"][0]["diff"]["after"]["sha256"] == hashlib.sha256(data).hexdigest()
    again = report(store, dest)
    assert again["changed"] is False
    assert again["table"] == done["table"]
    assert report(store, dest, check=True)["changed"] is False
    assert dest.read_bytes() == data
    assert report(store, dest, now="2026-03-02T00:05:00Z", check=True)["changed"] is True
    assert [path.name for path in tmp_path.iterdir() if path.name != "arguments.json"] == ["report.html"]


def test_the_page_carries_what_was_learned(store: str, tmp_path: Path) -> None:
    dest = tmp_path / "report.html"
    table = report(store, dest)["table"]
    shown = Page(dest.read_text(encoding="utf-8"))
    rows = {row[0]: row for row in reversed(shown.rows) if row}
    assert rows["nightly_report"][1] == "every 1d at 02:10"
    assert rows["nightly_report"][2].startswith("02 Mar 02:10 (in 2h 1")
    assert rows["hourly_batch"][1] == "every 1h"
    assert rows["sync_orders"][1] == "every 15m"
    assert rows["weekday_digest"][1] == "Mon-Fri 09:00"
    charts = dict(shown.charts)
    assert len([title for title in charts if title.endswith("measured and forecast")]) == 16
    assert charts["Requests expected within the next 24 hours"].startswith(
        "sync_orders 96 times; hourly_batch 24 times"
    )
    assert charts["Start latency"] == "nightly_report: claim 340ms, 7.4 times faster, cold 2.5s"
    assert any(line.startswith("weekday_digest  Mon-Fri 09:00") for line in table)
    assert all(len(line) <= 100 for line in table)


def test_charts_are_bounded(store: str, tmp_path: Path) -> None:
    dest = tmp_path / "report.html"
    report(store, dest, charts=0, hours=6)
    shown = Page(dest.read_text(encoding="utf-8"))
    assert not [title for title, _text in shown.charts if title.endswith("measured and forecast")]
    assert "forecasts" not in shown.ids


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"now": "soon"}, "'soon' is not a time"),
        ({"hours": 0}, "hours: 0 hours of history"),
        ({"measurements": [{"value": 3}]}, "measurement 1: has no name"),
        ({"store": "mysql://x"}, "not the URI of a store"),
        ({"dest": "/dev/null/report.html"}, "/dev/null/report.html: cannot be"),
    ],
)
def test_bad_values_are_one_message(store: str, tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    arguments = {"store": store, "dest": str(tmp_path / "report.html"), "now": NOW, **wrong}
    done = run_module("tenancy_report", arguments, tmp_path)
    assert done["failed"] is True
    assert message in done["msg"]
    assert not (tmp_path / "report.html").exists()
