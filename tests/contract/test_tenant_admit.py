# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module tenant_admit, run for real against a store of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from module_process import run_module

NOW = "2026-01-31T12:00:00Z"
VMS = [{"name": "a", "capacity": {"cpu": 2, "memory": "1GiB"}}]


def test_check_do_again_check_and_what_it_returns(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    arguments = {
        "store": f"sqlite:///{folder}/store.db",
        "cell": "north",
        "vms": VMS,
        "requests": [{"id": "r1", "workload": "web"}],
        "now": NOW,
    }
    changed = []
    for check in (True, False, False, True):
        answer = run_module("tenant_admit", arguments, tmp_path, check=check)
        changed.append(answer["changed"])
        assert [item["name"] for item in answer["desired"]["a"]] == ["r1"]
        assert set(answer) >= {"results", "desired", "shadows", "shadow_results", "refused_shadows", "vm_results"}
        if len(changed) == 1:
            assert not folder.exists()
    assert changed == [True, True, False, False]


def test_a_bad_request_fails_the_run_after_the_good_ones(tmp_path: Path) -> None:
    arguments = {"store": f"sqlite:///{tmp_path}/store.db", "vms": VMS, "now": NOW}
    requests = [{"id": "bad", "workload": "web", "priority": 500}, {"id": "good", "workload": "web"}]
    answer = run_module("tenant_admit", {**arguments, "requests": requests}, tmp_path)
    assert answer["failed"]
    assert answer["msg"] == "1 requests failed, the others were done: bad: the priority 500 is not between 0 and 100"
    assert [item["name"] for item in answer["desired"]["a"]] == ["good"]
    answer = run_module("tenant_admit", arguments, tmp_path)
    assert [item["name"] for item in answer["desired"]["a"]] == ["good"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"store": "postgres://x"}, "not the URI of a store"),
        ({"policy": {"resize": {"high": 0.5}}}, "policy resize.low, resize.high: contradiction"),
        ({"policy": {"resize": {"hihg": 0.5}}}, "Unsupported parameters"),
        ({"expected": "soon"}, "'soon' is not a duration"),
        ({"now": "today"}, "'today' is not a time"),
        ({"vms": [{"name": "a"}]}, "a: a new VM needs its capacity"),
    ],
)
def test_errors_name_what_is_wrong(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    answer = run_module("tenant_admit", {"store": f"sqlite:///{tmp_path}/store.db", **arguments}, tmp_path)
    assert answer["failed"]
    assert message in answer["msg"]
