# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module of the controller on one real store: what it returns is what it documents, check mode writes nothing, a
second run changes nothing, and its examples run as they stand."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from module_process import run_module
from prometheus_server import serving
from test_files import MODULES, PACKAGE, RESULT_KEYS, documentation, importlib, options, returned

NOW = "2026-03-02T00:00:00Z"
# What ansible-core adds to an answer, and what it defines for all modules.
COMMON = {"changed", "diff", "failed", "msg", "invocation", "warnings", "deprecations", "exception"}
TYPES: dict[str, Any] = {"str": str, "bool": bool, "int": int, "float": (int, float), "list": list, "dict": dict}
CONTROLLER = [name for name in MODULES if "store" in options(name) or "controller" in str(documentation(name))]


@dataclass
class Step:
    """One task, run four times: check, do, do again, check again. ``seen``: the state before and after each run."""

    module: str
    label: str
    quiet: bool = False
    answers: list[dict[str, Any]] = field(default_factory=list)
    seen: list[tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=list)


STEPS = {
    step.label: step
    for step in (
        Step("workload_sample", "sample"),
        Step("workload_profile", "present"),
        Step("workload_observe", "observe"),
        Step("workload_profile", "learned"),
        Step("tenant_admit", "admit"),
        Step("tenant_admit", "nothing to do", quiet=True),
        Step("tenant_rebalance", "recommend"),
        Step("tenant_rebalance", "apply"),
        Step("tenant_rebalance_info", "plans", quiet=True),
        Step("workload_profile_info", "info", quiet=True),
        Step("tenancy_report", "report"),
        Step("store_backup", "backup"),
        Step("tenancy_metrics", "metrics"),
        Step("policy_replay", "replay"),
        Step("workload_profile", "absent"),
    )
}


def measured(tenant: str) -> dict[str, Any]:
    """A tenant as vm_partition_info says it is, held at its limit."""
    return {
        "name": tenant,
        "cpu": {"cores": 0.2, "throttled": 0.4},
        "memory": {"current": 50_000_000},
        "io": {"read": 0.0, "write": 0.0},
        "pressure": {"cpu": None, "memory": None, "io": None},
    }


def arguments(label: str, state: Path) -> dict[str, Any]:
    """What each step gives its module."""
    common = {"store": f"sqlite://{state}/store.db"}
    dated = {**common, "now": NOW}
    files = [{"path": f"{state}/{kind}.csv", "kind": kind} for kind in ("requests", "usage")]
    resources = {"cpu": "0.2", "memory": "128MiB"}
    admit = {
        **dated,
        "cell": "north",
        "vms": [{"name": name, "capacity": {"cpu": 2, "memory": "2GiB"}} for name in ("vm1", "vm2")],
        "requests": [{"id": "order_1", "workload": "order", "resources": resources}],
        "expected": "3h",
    }
    plan = {**dated, "cell": "north"}
    given: dict[str, dict[str, Any]] = {
        "sample": {"dest": str(state), "days": 7, "workloads": 5},
        "present": {**dated, "profiles": [{"name": "nightly_report", "priority": 70}, {"name": "unused"}]},
        "observe": {**dated, "files": files, "usage": [{"workload": "order", "time": NOW, "cpu": "100m"}]},
        "learned": {**dated, "state": "learned"},
        "admit": admit,
        "nothing to do": {**dated, "cell": "empty"},
        "recommend": {**plan, "measured": {"vm1": [measured("order_1")], "vm2": [measured("order_1")]}},
        "apply": {**plan, "mode": "apply"},
        "plans": plan,
        "info": common,
        "report": {**dated, "dest": f"{state}/report.html"},
        "backup": {**dated, "path": f"{state}/store.backup"},
        "metrics": {**dated, "dest": f"{state}/tenancy.prom"},
        "replay": {**plan, "span": "2d", "step": "1h", "dest": f"{state}/replay.svg"},
        "absent": {**dated, "profiles": [{"name": "unused"}], "state": "absent"},
    }
    return given[label]


def contents(path: Path) -> list[str]:
    """All that a store says, as SQL; nothing is written beside the file, as a plain connection would."""
    with sqlite3.connect(f"file:{path}?immutable=1", uri=True) as opened:
        lines = list(opened.iterdump())
    opened.close()
    return lines


def snapshot(state: Path) -> dict[str, Any]:
    """Every file with its time and content, and what the store says."""
    paths = sorted(path for path in state.rglob("*") if path.is_file())
    found: dict[str, Any] = {
        str(path.relative_to(state)): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in paths
    }
    found["what the store says"] = contents(state / "store.db") if (state / "store.db").exists() else []
    return found


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Step]]:
    """All steps, in their order, on one store."""
    state, scratch = tmp_path_factory.mktemp("state"), tmp_path_factory.mktemp("scratch")
    for step in STEPS.values():
        for check in (True, False, False, True):
            before = snapshot(state)
            step.answers.append(run_module(step.module, arguments(step.label, state), scratch, check=check))
            step.seen.append((before, snapshot(state)))
    yield STEPS
    for step in STEPS.values():
        step.answers.clear()
        step.seen.clear()


def test_every_module_of_the_controller_is_walked() -> None:
    assert {step.module for step in STEPS.values()} == set(CONTROLLER)


@pytest.mark.parametrize("label", STEPS)
def test_check_do_do_again_check_again(walked: dict[str, Step], label: str) -> None:
    step = walked[label]
    assert not [answer["msg"] for answer in step.answers if answer.get("failed")]
    wanted = [False] * 4 if step.quiet else [True, True, False, False]
    assert [answer["changed"] for answer in step.answers] == wanted


@pytest.mark.parametrize("label", STEPS)
def test_check_mode_writes_nothing(walked: dict[str, Step], label: str) -> None:
    for run in (0, 3):
        before, after = walked[label].seen[run]
        assert after == before


@pytest.mark.parametrize("label", STEPS)
def test_changed_is_true_when_something_was_written(walked: dict[str, Step], label: str) -> None:
    for run in (1, 2):
        before, after = walked[label].seen[run]
        said = [line for line in after["what the store says"] if line not in set(before["what the store says"])]
        files = {name for name in {*before, *after} if not name.startswith(("store.db", "what the store"))}
        written = bool(said) or any(before.get(name) != after.get(name) for name in files)
        lost = len(after["what the store says"]) < len(before["what the store says"])
        assert (written or lost) == walked[label].answers[run]["changed"], (run, said[:3])


@pytest.mark.parametrize("label", STEPS)
def test_check_mode_predicts(walked: dict[str, Step], label: str) -> None:
    checked, done = (
        [{name: item[name] for name in ("name", "changed", "actions", "diff", "error")} for item in rows]
        for rows in (answer.get("results", []) for answer in walked[label].answers[:2])
    )
    assert checked == done


def same_type(value: Any, documented: dict[str, Any], where: str) -> None:
    kind = documented["type"]
    if value is None or kind == "raw":
        return
    assert isinstance(value, TYPES[kind]), f"{where}: {value!r} is not {kind}"
    assert kind == "bool" or not isinstance(value, bool), f"{where}: {value!r} is not {kind}"


def described(values: dict[str, Any], documented: dict[str, Any], where: str) -> None:
    """The keys are the documented ones, those that are always returned are there, and so on inside of them."""
    unknown = set(values) - set(documented)
    assert not unknown, f"{where}: {sorted(unknown)} is not documented"
    for name, value in documented.items():
        place = f"{where}.{name}"
        assert name in values or value["returned"] not in ("always", "success"), f"{place} is not returned"
        if name not in values:
            continue
        same_type(values[name], value, place)
        if value.get("contains") and values[name] is not None:
            inside = values[name] if value["type"] == "list" else [values[name]]
            for number, item in enumerate(inside):
                described(item, value["contains"], f"{place}[{number}]")


@pytest.mark.parametrize("label", STEPS)
def test_answers_are_documented(walked: dict[str, Step], label: str) -> None:
    documented = returned(walked[label].module)
    for answer in walked[label].answers:
        described({name: value for name, value in answer.items() if name not in COMMON}, documented, label)


@pytest.mark.parametrize("label", STEPS)
def test_results_are_of_one_shape_and_agree_with_changed(walked: dict[str, Step], label: str) -> None:
    step = walked[label]
    if step.quiet and "results" not in step.answers[0]:
        assert step.module.endswith("_info")
        return
    for answer in step.answers:
        rows = [*answer["results"], *answer.get("vm_results", [])]
        assert all(set(row) >= RESULT_KEYS for row in rows)
        assert len({frozenset(row) for row in answer["results"]}) <= 1
        assert all(set(row["diff"]) == {"before", "after"} for row in rows)
        assert all(bool(row["changed"]) <= bool(row["actions"]) for row in rows)
        rows += answer.get("shadow_results", [])
        assert answer["changed"] == any(row["changed"] for row in rows)
        assert bool(answer["diff"]) == answer["changed"]


def examples() -> list[dict[str, Any]]:
    """A play for each module of the controller and each lookup, of its examples."""
    flow = dict.fromkeys(step.module for step in STEPS.values())  # what comes first makes what the next one reads
    sources = [(name, importlib.import_module(f"{PACKAGE}.modules.{name}").EXAMPLES) for name in flow]
    sources.append(("forecast", importlib.import_module(f"{PACKAGE}.lookup.forecast").EXAMPLES))
    return [
        {"name": name, "hosts": "localhost", "gather_facts": False, "tasks": yaml.safe_load(text)}
        for name, text in sources
    ]


def test_examples_run_as_they_stand(tmp_path: Path) -> None:
    text = yaml.safe_dump(examples(), sort_keys=False)
    assert "/tmp/tenancy" in text
    assert "http://127.0.0.1:9090" in text
    playbook = tmp_path / "examples.yml"
    env = {**os.environ, "TENANCY_STORE": f"sqlite://{tmp_path}/tenancy/store.db"}
    command = ["ansible-playbook", str(playbook)]
    home = tmp_path / "prometheus"
    home.mkdir()
    with serving(home) as server:
        text = text.replace("http://127.0.0.1:9090", server.url).replace("/tmp/tenancy", f"{tmp_path}/tenancy")
        playbook.write_text(text, encoding="utf-8")
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    count = sum(len(play["tasks"]) for play in examples())
    assert f"ok={count} " in done.stdout, done.stdout
    assert "[WARNING]: Deprecat" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} >= {"tenancy", "tenancy-example", "tenancy-report.html"}
