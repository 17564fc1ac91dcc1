# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""workload_sample in a process of its own: check, do, do again, check again."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

from module_process import run_module

DAYS = {"days": 3, "workloads": 4}


def test_check_do_do_again_check_again(tmp_path: Path) -> None:
    dest = tmp_path / "sample"
    arguments = {"dest": str(dest), **DAYS}
    checked = run_module("workload_sample", arguments, tmp_path, check=True)
    assert checked["changed"] is True
    assert not dest.exists()
    done = run_module("workload_sample", arguments, tmp_path)
    assert done["changed"] is True
    assert done["results"] == checked["results"]
    assert run_module("workload_sample", arguments, tmp_path)["changed"] is False
    assert run_module("workload_sample", arguments, tmp_path, check=True)["changed"] is False
    for item in done["results"]:
        data = Path(item["name"]).read_bytes()
        assert item["diff"]["after"] == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        with open(item["name"], encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle))
        assert len(rows) == item["rows"]
        assert {row["workload"] for row in rows} == {workload["name"] for workload in done["workloads"]}
    assert (done["start"], done["end"]) == ("2026-02-27T00:00:00Z", "2026-03-02T00:00:00Z")
    assert [item["kind"] for item in done["results"]] == ["requests", "usage"]


def test_a_changed_file_is_put_back(tmp_path: Path) -> None:
    arguments = {"dest": str(tmp_path / "sample"), **DAYS}
    run_module("workload_sample", arguments, tmp_path)
    path = tmp_path / "sample" / "usage.csv"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    done = run_module("workload_sample", arguments, tmp_path)
    assert [item["actions"] for item in done["results"]] == [[], ["update"]]
    assert path.read_bytes() == whole


def test_one_bad_place_leaves_the_other_file_done(tmp_path: Path) -> None:
    (tmp_path / "sample" / "requests.csv").mkdir(parents=True)
    done = run_module("workload_sample", {"dest": str(tmp_path / "sample"), **DAYS}, tmp_path)
    assert done["failed"] is True
    assert "requests.csv: cannot be read" in done["msg"]
    assert [bool(item["error"]) for item in done["results"]] == [True, False]
    assert (tmp_path / "sample" / "usage.csv").is_file()


def test_bad_values_are_one_message(tmp_path: Path) -> None:
    done = run_module("workload_sample", {"dest": str(tmp_path), "step": "7m"}, tmp_path)
    assert done["failed"] is True
    assert done["msg"].startswith("step: '7m' does not divide a day")
    assert list(tmp_path.glob("*.csv")) == []
