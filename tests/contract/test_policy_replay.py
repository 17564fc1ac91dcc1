# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module policy_replay and its playbook, run for real on a generated history."""

from __future__ import annotations

import re
import subprocess
import xml.dom.minidom
from pathlib import Path
from typing import Any

import pytest
from module_process import run_module

ROOT = Path(__file__).resolve().parent.parent.parent
SMALL = {"cpu": "0.6", "memory": "400MiB"}
TWO = [
    {"name": "as it is"},
    {"name": "still", "policy": {"move": {"enabled": False}, "consolidation": {"enabled": False}}},
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    folder = tmp_path_factory.mktemp("sample")
    run_module("workload_sample", {"dest": str(folder / "history")}, folder)
    return [{"path": str(folder / "history" / f"{kind}.csv"), "kind": kind} for kind in ("requests", "usage")]


def test_two_policies_side_by_side_as_table_and_picture(tmp_path: Path, files: list[dict[str, str]]) -> None:
    dest = tmp_path / "made" / "replay.svg"
    asked = {"files": files, "capacity": SMALL, "policies": TWO, "span": "3d", "dest": str(dest)}
    changed = []
    for check in (True, False, False, True):
        answer = run_module("policy_replay", asked, tmp_path, check=check)
        changed.append(answer["changed"])
        assert dest.exists() == (len(changed) > 1)
    assert changed == [True, True, False, False]
    usual, still = (one["figures"] for one in answer["results"][:2])
    assert usual["moves_per_tenant_day"] > still["moves_per_tenant_day"] == 0.0
    assert usual["requests"] == still["requests"] > usual["cold_starts"] == still["cold_starts"] > 0
    assert (answer["tenants"], len(answer["table"])) == (8, 11)
    assert re.match(r" +as it is +still +difference$", answer["table"][0])
    texts = xml.dom.minidom.parse(str(dest)).getElementsByTagName("text")
    words = {"".join(node.data for node in text.childNodes if node.nodeType == node.TEXT_NODE) for text in texts}
    assert {"as it is", "still", "VMs in use", "Moves so far", "cold starts"} <= words


def test_the_stored_history_in_the_cells_own_vms(tmp_path: Path, files: list[dict[str, str]]) -> None:
    store = f"sqlite:///{tmp_path}/store.db"
    assert run_module("workload_observe", {"store": store, "files": files}, tmp_path)["changed"]
    vms = [{"name": name, "capacity": {"cpu": 2, "memory": "1400MiB"}} for name in ("a", "b")]
    run_module("tenant_admit", {"store": store, "cell": "north", "vms": vms}, tmp_path)
    answer = run_module("policy_replay", {"store": store, "cell": "north", "span": "1d"}, tmp_path)
    assert not answer["changed"]
    assert [one["name"] for one in answer["results"]] == ["default"]
    assert 1 <= answer["results"][0]["figures"]["vms"] <= 2
    one = run_module(
        "policy_replay", {"store": store, "cell": "north", "span": "1d", "profiles": ["web_shop"]}, tmp_path
    )
    assert (one["tenants"], one["results"][0]["figures"]["vms_most"]) == (1, 1.0)


def test_policies_that_differ_in_what_a_replay_does_not_look_at_are_warned_of(
    tmp_path: Path, files: list[dict[str, str]]
) -> None:
    careful = {"shadow": {"confidence": 0.9, "second_cost": 5}, "packing": {"windows": 12}}
    policies = [{"name": "as it is"}, {"name": "careful", "policy": careful}]
    asked = {"files": files, "capacity": SMALL, "span": "1d"}
    answer = run_module("policy_replay", {**asked, "policies": policies}, tmp_path)
    assert answer["unseen"] == ["packing.windows", "shadow.confidence"]
    assert "packing.windows, shadow.confidence" in str(answer["warnings"])
    answer = run_module("policy_replay", {**asked, "policies": policies[:1]}, tmp_path)
    assert (answer["unseen"], answer.get("warnings", [])) == ([], [])


def test_the_playbook_shows_the_table(tmp_path: Path, files: list[dict[str, str]]) -> None:
    store = f"sqlite:///{tmp_path}/store.db"
    run_module("workload_observe", {"store": store, "files": files}, tmp_path)
    given = ["-e", f"tenancy_store={store}", "-e", '{"replay_capacity": {"cpu": "2", "memory": "1GiB"}}']
    tried = ["-e", '{"replay_span": "1d", "tenancy_policy": {"packing": {"fill": 0.95}}}']
    playbook = str(ROOT / "playbooks" / "replay.yml")
    command = ["ansible-playbook", "-i", str(ROOT / "inventories" / "lab"), *given, *tried, playbook]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"default +tried +difference", done.stdout)
    assert "changed=0" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"policies": [{"name": "x", "policy": {"move": {"hihg": 1}}}]}, "x: policy move: unknown key 'hihg'"),
        ({"policies": [{"name": "x", "policy": {"move": {"low": 1}}}]}, "x: policy move.low, move.high: contradiction"),
        ({"policies": [{"name": "x"}, {"name": "x"}]}, "x: is listed twice"),
        ({"span": "10m", "step": "15m"}, "cannot be replayed"),
        ({"capacity": {"cpu": "2 apples", "memory": "1GiB"}}, "capacity.cpu"),
        ({"capacity": None}, "the cell has no VM"),
        ({"profiles": ["nobody"]}, "nobody: there is no such profile"),
        ({"files": [{"path": "/nowhere.csv", "kind": "usage"}]}, "/nowhere.csv: the file cannot be read"),
        ({"dest": "replay.svg"}, "not an absolute path"),
    ],
)
def test_errors_name_what_is_wrong(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    history = tmp_path / "usage.csv"
    rows = [f"web,2026-01-31T{hour:02d}:00:00Z,0.1,50MiB" for hour in range(24)]
    history.write_text("\n".join(["workload,time,cpu,memory", *rows, ""]), encoding="utf-8")
    files = [{"path": str(history), "kind": "usage"}]
    asked = {"files": files, "capacity": SMALL, "span": "12h", "step": "1h", **arguments}
    answer = run_module("policy_replay", {key: value for key, value in asked.items() if value is not None}, tmp_path)
    assert answer["failed"]
    assert message in answer["msg"]


def test_an_empty_store_has_nothing_to_replay(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/store.db"
    run_module("workload_profile", {"store": store, "profiles": [{"name": "web"}]}, tmp_path)
    answer = run_module("policy_replay", {"store": store, "capacity": SMALL}, tmp_path)
    assert "there is no usage in that time" in answer["msg"]
