# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/trace-format.md tells the truth: its examples are read, its messages are those that appear."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from module_process import run_module

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "trace-format.md").read_text(encoding="utf-8")
NOW = "2026-03-02T00:00:00Z"
# What each documented message is the answer to: the file it names and its content.
WRONG = {
    "usage.csv:1: unknown column 'cpu_percent'": "workload,time,cpu_percent\nweb,2026-03-01T00:00:00Z,3\n",
    "usage.csv:1: the column 'time' is missing in the header": "workload,cpu\nweb,0.1\n",
    "usage.csv:17: cpu: '30%' is not a number of cores": "workload,time,cpu\n" + "\n" * 15 + "web,1772366400,30%\n",
    "usage.csv:17: memory: '5 gallons' has the unknown unit 'gallons'": (
        "workload,time,memory\n" + "\n" * 15 + "web,1772366400,5 gallons\n"
    ),
    "requests.csv:9: 'yesterday' is not a time": "workload,time\n" + "\n" * 7 + "web,yesterday\n",
    "requests.csv:9: 3 cells where the header has 4": (
        "workload,time,id,parameters\n" + "\n" * 7 + "web,1772366400,1\n"
    ),
}


def observe(folder: Path, **files: str) -> dict:
    for kind, content in files.items():
        (folder / f"{kind}.csv").write_text(content, encoding="utf-8")
    given = [{"path": str(folder / f"{kind}.csv"), "kind": kind, "format": "csv"} for kind in files]
    return run_module("workload_observe", {"store": f"sqlite:///{folder / 's.db'}", "files": given, "now": NOW}, folder)


def test_the_examples_are_read(tmp_path: Path) -> None:
    requests, usage = re.findall(r"```csv\n(.*?)```", DOCUMENT, re.S)
    done = observe(tmp_path, requests=requests, usage=usage)
    assert done.get("failed") is None, done
    assert [(item["new"], item["refused"]) for item in done["results"][:2]] == [(2, 0), (2, 0)]
    assert done["profiles_created"] == ["nightly_report", "resize_image", "web_shop"]


def test_every_message_is_tried() -> None:
    assert re.findall(r"^\| `((?:usage|requests)\.csv:.*?)` \|", DOCUMENT, re.M) == list(WRONG)


@pytest.mark.parametrize("message", WRONG)
def test_messages_are_those_that_appear(tmp_path: Path, message: str) -> None:
    done = observe(tmp_path, **{message.partition(".")[0]: WRONG[message]})
    assert done["failed"] is True
    assert f"/{message}" in done["msg"]
