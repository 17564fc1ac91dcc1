# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module tenant_rebalance, run for real against a store of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from module_process import run_module

NOW = "2026-01-31T12:00:00Z"


def cell(tmp_path: Path) -> dict[str, Any]:
    """A store with a tenant that is throttled at its limit; returns what every call gives."""
    common = {"store": f"sqlite:///{tmp_path}/store.db", "cell": "north", "now": NOW}
    vms = [{"name": "a", "capacity": {"cpu": 2, "memory": "1GiB"}}]
    requests = [{"id": "r1", "workload": "web", "resources": {"cpu": 0.2, "memory": "128MiB"}}]
    assert run_module("tenant_admit", {**common, "vms": vms, "requests": requests}, tmp_path)["changed"]
    return common


def live(cores: float, throttled: float) -> dict[str, Any]:
    tenant = {
        "name": "r1", "cpu": {"cores": cores, "throttled": throttled}, "memory": {"current": 50_000_000},
        "io": {"read": 0.0, "write": 0.0}, "pressure": {"cpu": None, "memory": None, "io": None},
    }  # fmt: skip
    return {"a": [tenant]}


def test_check_recommend_apply_and_nothing_left(tmp_path: Path) -> None:
    common = cell(tmp_path)
    asked = {**common, "measured": live(0.2, 0.3)}
    changed = [run_module("tenant_rebalance", asked, tmp_path, check=check)["changed"] for check in (True, False)]
    again = [run_module("tenant_rebalance", asked, tmp_path, check=check) for check in (False, True)]
    assert changed == [True, True]
    assert [answer["changed"] for answer in again] == [False, False]
    plan = again[0]["plan"]
    assert plan["actions"][0]["reason"] == "CPU is under pressure at its limit"
    assert (plan["created_at"], plan["expires_at"]) == (NOW, "2026-01-31T13:00:00Z")
    step = {**common, "mode": "apply", "plan": plan["id"]}
    assert run_module("tenant_rebalance", step, tmp_path, check=True)["changed"]
    first = run_module("tenant_rebalance", step, tmp_path)
    assert (first["state"], first["desired"]["a"][0]["cpu"]["cores"]) == ("applying", 0.3)
    results = [{"name": "r1", "state": "running", "error": "", "vm": "a"}]
    done = run_module("tenant_rebalance", {**step, "results": results}, tmp_path)
    assert (done["state"], done["changed"]) == ("applied", True)
    assert not run_module("tenant_rebalance", step, tmp_path)["changed"]
    quiet = run_module("tenant_rebalance", {**common, "measured": live(0.2, 0.0)}, tmp_path)
    assert (quiet["plan"], quiet["changed"], quiet["state"]) == (None, False, "none")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "apply", "plan": "nothing"}, "nothing: there is no such plan in this cell"),
        ({"mode": "apply", "results": [{"state": "running"}]}, "results[0]: has no name"),
        ({"policy": {"move": {"hold": 9}}}, "policy move.hold, move.hold_of: contradiction"),
        ({"mode": "guess"}, "value of mode must be one of"),
    ],
)
def test_errors_name_what_is_wrong(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    answer = run_module("tenant_rebalance", {**cell(tmp_path), **arguments}, tmp_path)
    assert answer["failed"]
    assert message in answer["msg"]


def test_plans_are_read_as_they_were_returned(tmp_path: Path) -> None:
    common = cell(tmp_path)
    plan = run_module("tenant_rebalance", {**common, "measured": live(0.2, 0.3)}, tmp_path)["plan"]
    for chosen in ({}, {"ids": [plan["id"]]}, {"states": ["recommended"], "limit": 1}):
        answer = run_module("tenant_rebalance_info", {**common, **chosen}, tmp_path)
        assert (answer["plans"], answer["changed"]) == ([{**plan, "realised": []}], False)
        assert answer["trust"] == {"resize": 1.0, "relieve": 1.0, "empty": 1.0, "shadow": 1.0}
    assert run_module("tenant_rebalance_info", {**common, "states": ["applied"]}, tmp_path)["plans"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ids": ["nothing"]}, "nothing: there is no such plan in the cell north"),
        ({"states": ["done"]}, "value of states must be one or more of"),
        ({"limit": -1}, "limit: it must not be negative"),
    ],
)
def test_errors_of_reading_name_what_is_wrong(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    answer = run_module("tenant_rebalance_info", {**cell(tmp_path), **arguments}, tmp_path)
    assert answer["failed"]
    assert message in answer["msg"]
