# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""workload_profile and workload_profile_info in processes of their own, on a real store."""

from __future__ import annotations

import json
import math
import random
from array import array
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from ansible_collections.predictive.tenancy.plugins.module_utils._store.interface import UsageBatch
from module_process import run_module

REPORT = {
    "name": "nightly_report",
    "workload": "registry.example.org/report",
    "parameters": {"size": "large", "retries": 3},
    "priority": 70,
    "bounds": {"cpu": {"min": "100m", "max": "2"}, "memory": {"max": "1GiB"}, "io_write": {"max": "20MB"}},
    "timezone": "Europe/Berlin",
    "dependencies": {"os": "debian13", "libraries": ["libc6", "libssl3", "libc6"]},
    "sandbox": {"runtime": "gvisor", "command": ["sleep", "infinity"], "env": {"API_TOKEN": "s3cr3t-token"}},
    "shadow": {"warmup": "5s", "rehearse": ["report", "--dry-run"]},
    "anti_affinity": ["web_shop"],
}


@pytest.fixture
def arguments(tmp_path: Path) -> dict[str, Any]:
    return {"store": f"sqlite://{tmp_path}/store.db", "now": "2026-03-02T10:00:00Z"}


def stored(arguments: dict[str, Any], name: str) -> dict[str, Any] | None:
    with open_store(arguments["store"]) as store:
        return store.get("profiles", name)


def test_check_do_do_again_check_again(tmp_path: Path, arguments: dict[str, Any]) -> None:
    wanted = {**arguments, "profiles": [REPORT, {"name": "web_shop"}]}
    checked = run_module("workload_profile", wanted, tmp_path, check=True)
    assert checked["changed"] is True
    assert not (tmp_path / "store.db").exists(), "check mode made a store"
    done = run_module("workload_profile", wanted, tmp_path)
    assert done["results"] == checked["results"]
    assert [item["actions"] for item in done["results"]] == [["create"], ["create"]]
    assert run_module("workload_profile", wanted, tmp_path)["changed"] is False
    assert run_module("workload_profile", wanted, tmp_path, check=True)["changed"] is False
    profile = stored(arguments, "nightly_report")
    assert profile is not None
    assert profile["bounds"]["cpu"] == {"min": 0.1, "max": 2.0}
    assert profile["bounds"]["memory"] == {"min": None, "max": 1024**3}
    assert profile["bounds"]["io_write"] == {"min": None, "max": 20_000_000}
    assert profile["dependencies"] == {"os": "debian13", "libraries": ["libc6", "libssl3"], "workloads": []}
    assert profile["parameters"] == {"size": "large", "retries": 3}
    assert profile["shadow"] == {"warmup": "5s", "rehearse": ["report", "--dry-run"]}
    shop = stored(arguments, "web_shop")
    assert shop is not None
    assert shop["priority"] == 50


def test_only_what_is_given_changes(tmp_path: Path, arguments: dict[str, Any]) -> None:
    run_module("workload_profile", {**arguments, "profiles": [REPORT]}, tmp_path)
    more = {"name": "nightly_report", "priority": 80, "bounds": {"memory": {"max": "2GiB"}}}
    done = run_module("workload_profile", {**arguments, "profiles": [more]}, tmp_path)
    before, after = done["results"][0]["diff"]["before"], done["results"][0]["diff"]["after"]
    assert (before["priority"], after["priority"]) == (70, 80)
    assert set(after) == {"priority", "bounds"}
    profile = stored(arguments, "nightly_report")
    assert profile is not None
    assert profile["bounds"]["cpu"]["max"] == 2.0
    assert profile["bounds"]["memory"]["max"] == 2 * 1024**3
    assert profile["workload"] == REPORT["workload"]


def test_a_secret_of_the_sandbox_is_in_no_result(tmp_path: Path, arguments: dict[str, Any]) -> None:
    texts = [json.dumps(run_module("workload_profile", {**arguments, "profiles": [REPORT]}, tmp_path)["results"])]
    other = {**REPORT, "sandbox": {**REPORT["sandbox"], "env": {"API_TOKEN": "an0ther-token"}}}
    done = run_module("workload_profile", {**arguments, "profiles": [other]}, tmp_path)
    assert done["changed"] is True
    texts.append(json.dumps([done["results"], done["diff"]]))
    texts.append(json.dumps(run_module("workload_profile_info", {"store": arguments["store"]}, tmp_path)["profiles"]))
    for text in texts:
        assert "API_TOKEN" in text
        assert "s3cr3t-token" not in text
        assert "an0ther-token" not in text


def test_one_bad_item_is_named_and_the_others_are_done(tmp_path: Path, arguments: dict[str, Any]) -> None:
    items = [
        {"name": "good_one"},
        {"name": "bad-name"},
        {"name": "upside_down", "bounds": {"cpu": {"min": "2", "max": "1"}}},
        {"name": "wrong_unit", "bounds": {"memory": {"max": "1GX"}}},
        {"name": "nowhere", "timezone": "Mars/Olympus"},
        {"name": "too_high", "priority": 101},
        {"name": "too_warm", "shadow": {"warmup": "5 moons"}},
        {"name": "good_two"},
    ]
    done = run_module("workload_profile", {**arguments, "profiles": items}, tmp_path)
    assert done["failed"] is True
    assert [bool(item["error"]) for item in done["results"]] == [False, True, True, True, True, True, True, False]
    for name in ("bad-name", "upside_down", "wrong_unit", "nowhere", "too_high", "too_warm"):
        assert name in done["msg"]
    assert "bounds.memory.max" in done["msg"]
    assert "shadow.warmup" in done["msg"]
    assert stored(arguments, "good_one")
    assert stored(arguments, "good_two")
    assert stored(arguments, "too_high") is None


def test_a_profile_twice_is_refused(tmp_path: Path, arguments: dict[str, Any]) -> None:
    done = run_module("workload_profile", {**arguments, "profiles": [{"name": "a"}, {"name": "a"}]}, tmp_path)
    assert done["failed"] is True
    assert "profile a: it is there twice" in done["msg"]


def day_cycle(days: float, seed: int) -> UsageBatch:
    """CPU and memory of a workload with a daily cycle until 2026-03-02, with a little noise of its own."""
    end, slots = datetime(2026, 3, 2, tzinfo=timezone.utc).timestamp(), round(days * 288)
    times = [end - 300.0 * (slots - slot) for slot in range(slots)]
    source = random.Random(seed)
    cpu = [(1 + math.sin(2 * math.pi * time / 86400)) * source.uniform(0.95, 1.05) for time in times]
    memory = [2e8 * source.uniform(0.98, 1.02) for _time in times]
    return UsageBatch("", "", array("d", times), {"cpu": array("d", cpu), "memory": array("d", memory)})


@pytest.fixture
def alike(tmp_path: Path, arguments: dict[str, Any]) -> dict[str, Any]:
    """A store with two known profiles that are alike, and a young one that is like both."""
    needs = {"twin_one": "debian13", "twin_two": "rhel9", "young": None}
    items = [{"name": name, "dependencies": {"os": system}} for name, system in needs.items() if system]
    run_module("workload_profile", {**arguments, "profiles": [*items, {"name": "young"}]}, tmp_path)
    with open_store(arguments["store"]) as store:
        for seed, name in enumerate(needs):
            batch = day_cycle(1.5 if name == "young" else 10, seed)
            store.append_usage([UsageBatch(name, "", batch.times, batch.values)])
    names = [{"name": name} for name in ("twin_one", "twin_two")]
    run_module("workload_profile", {**arguments, "state": "learned", "profiles": names}, tmp_path)
    return arguments


def test_an_ambiguous_match_is_told_and_not_guessed(tmp_path: Path, alike: dict[str, Any]) -> None:
    done = run_module("workload_profile", {**alike, "state": "learned"}, tmp_path)
    assert len(done["warnings"]) == 1
    told = json.dumps(done["warnings"])  # a text, or an object in newer releases of ansible-core
    assert "young behaves like twin_" in told
    assert "too much alike to choose" in told
    young = run_module("workload_profile_info", {"store": alike["store"], "names": ["young"]}, tmp_path)["profiles"][0]
    assert young["match"]["profile"] is None
    assert sorted(young["match"]["ambiguous"]) == ["twin_one", "twin_two"]
    assert not any(pattern["model"].startswith("like") for pattern in young["patterns"].values())
    again = run_module("workload_profile", {**alike, "state": "learned"}, tmp_path)
    assert again["changed"] is False
    assert "warnings" not in again


def test_what_a_workload_needs_tells_alike_ones_apart(tmp_path: Path, alike: dict[str, Any]) -> None:
    needs = {"name": "young", "dependencies": {"os": "rhel9"}}
    run_module("workload_profile", {**alike, "profiles": [needs]}, tmp_path)
    done = run_module("workload_profile", {**alike, "state": "learned"}, tmp_path)
    assert "warnings" not in done
    young = stored(alike, "young")
    assert young is not None
    assert young["match"]["profile"] == "twin_two"


def test_absent_removes_the_profile_with_its_history(tmp_path: Path, arguments: dict[str, Any]) -> None:
    usage = [{"workload": "web", "time": "2026-03-02T09:00:00Z", "cpu": "0.5"}]
    run_module("workload_observe", {**arguments, "usage": usage}, tmp_path)
    gone = {**arguments, "profiles": [{"name": "web"}, {"name": "never_was"}], "state": "absent"}
    checked = run_module("workload_profile", gone, tmp_path, check=True)
    done = run_module("workload_profile", gone, tmp_path)
    assert [item["changed"] for item in done["results"]] == [True, False]
    assert checked["results"] == done["results"]
    assert run_module("workload_profile", gone, tmp_path)["changed"] is False
    with open_store(arguments["store"]) as store:
        assert store.get("profiles", "web") is None
        assert store.newest() is None


def test_a_profile_with_tenants_stays(tmp_path: Path, arguments: dict[str, Any]) -> None:
    run_module("workload_profile", {**arguments, "profiles": [{"name": "web"}]}, tmp_path)
    with open_store(arguments["store"]) as store:
        store.insert("tenants", {"key": "web_1", "profile": "web", "state": "running", "vm": "vm1"})
    done = run_module("workload_profile", {**arguments, "profiles": [{"name": "web"}], "state": "absent"}, tmp_path)
    assert done["failed"] is True
    assert "web_1" in done["msg"]
    assert stored(arguments, "web") is not None


def test_information_in_pages(tmp_path: Path, arguments: dict[str, Any]) -> None:
    names = [f"p{number}" for number in range(5)]
    run_module("workload_profile", {**arguments, "profiles": [{"name": name} for name in names]}, tmp_path)
    store = {"store": arguments["store"]}
    found, after = [], ""
    while True:
        page = run_module("workload_profile_info", {**store, "limit": 2, "after": after}, tmp_path)
        assert page["changed"] is False
        found += [profile["name"] for profile in page["profiles"]]
        after = page["next"]
        if not after:
            break
    assert found == names
    one = run_module("workload_profile_info", {**store, "names": ["p3"]}, tmp_path)
    assert [profile["name"] for profile in one["profiles"]] == ["p3"]
    assert one["profiles"][0]["created_at"] == "2026-03-02T10:00:00Z"
    none = run_module("workload_profile_info", {**store, "names": ["p3", "p9"]}, tmp_path)
    assert none["failed"] is True
    assert "p9" in none["msg"]
    by_workload = run_module("workload_profile_info", {**store, "workload": "p1"}, tmp_path)
    assert [profile["name"] for profile in by_workload["profiles"]] == ["p1"]
    assert run_module("workload_profile_info", {"store": f"sqlite://{tmp_path}/none.db"}, tmp_path)["profiles"] == []
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("sqlite:///proc/no/store.db", "cannot be opened"),
        ("postgres://host/db", "not the URI of a store"),
        ("sqlite://relative.db", "must be absolute"),
        ("sqlite:///tmp/x.db?mode=ro", "unknown option 'mode'"),
    ],
)
def test_a_store_that_cannot_be_opened_is_one_message(tmp_path: Path, uri: str, message: str) -> None:
    done = run_module("workload_profile", {"store": uri, "profiles": [{"name": "a"}]}, tmp_path)
    assert done["failed"] is True
    assert message in done["msg"]


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are my notes, they are precious\n" * 100, encoding="utf-8")
    done = run_module("workload_profile", {"store": f"sqlite://{path}", "profiles": [{"name": "a"}]}, tmp_path)
    assert done["failed"] is True
    assert "not a database" in done["msg"]
    assert path.read_text(encoding="utf-8").startswith("these are my notes")
