# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queries of docs/queries.md, on what the modules return, and the query of indirectly managed nodes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jmespath
import pytest
import yaml
from module_process import run_module
from test_files import MODULES, returned

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT = (ROOT / "docs" / "queries.md").read_text(encoding="utf-8")


def queries(module: str) -> list[str]:
    part = TEXT.partition(f"## {module}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| .* \| ``(.+)`` \|$", part, re.M)


def sample(values: dict[str, Any]) -> dict[str, Any]:
    """A result put together from the documented samples."""
    found = {}
    for name, value in values.items():
        inner = value.get("contains")
        if inner and value["type"] == "list":
            found[name] = [sample(inner)]
        else:
            found[name] = sample(inner) if inner else value.get("sample")
    return found


def node() -> dict[str, Any]:
    """What vm_partition_info returns: its documented tenant, one that is in trouble, and a shadow."""
    shown = sample(returned("vm_partition_info"))
    (tenant,) = shown["tenants"]
    trouble = json.loads(json.dumps(tenant))
    trouble.update(name="busy_1")
    trouble["cpu"]["throttled"] = 0.4
    trouble["memory"].update(current=2 * tenant["memory"]["current"] + 1, oom_kills=1)
    shadow = {**tenant, "name": "nightly", "role": "shadow", "tier": "frozen"}
    return {**shown, "tenants": [tenant, trouble], "shadows": [shadow]}


def plans() -> dict[str, Any]:
    """What tenant_rebalance_info returns: its documented plan, and one that was carried out, failed in part, was
    judged, and made things worse."""
    shown = sample(returned("tenant_rebalance_info"))
    (plan,) = shown["plans"]
    waiting = {**plan, "realised": []}
    past = json.loads(json.dumps(plan))
    past.update(id="past", state="applied", verdict="worse")
    past["actions"].append({**past["actions"][0], "tenant": "stuck_1", "state": "failed", "error": "no such runtime"})
    return {**shown, "plans": [waiting, past]}


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What workload_profile_info really returns of a sample that was learned, and a profile that was not."""
    scratch = tmp_path_factory.mktemp("queries")
    store = {"store": f"sqlite://{scratch}/store.db", "now": "2026-03-02T00:00:00Z"}
    made = run_module("workload_sample", {"dest": str(scratch), "days": 7, "workloads": 5}, scratch)
    files = [{"path": item["name"], "kind": item["kind"], "format": "csv"} for item in made["results"]]
    given = [{"name": "fresh", "bounds": {"cpu": {"max": "0.5"}}}]
    for module, arguments in (
        ("workload_observe", {"files": files}),
        ("workload_profile", {"state": "learned"}),
        ("workload_profile", {"profiles": given}),
    ):
        done = run_module(module, {**store, **arguments}, scratch)
        assert not done.get("failed"), done
    return run_module("workload_profile_info", {"store": store["store"]}, scratch)


def test_every_info_module_has_queries() -> None:
    assert not [module for module in MODULES if module.endswith("_info") and len(queries(module)) < 3]


@pytest.mark.parametrize("query", queries("vm_partition_info"))
def test_queries_on_a_vm(query: str) -> None:
    assert jmespath.search(query, node()), query


@pytest.mark.parametrize("query", queries("tenant_rebalance_info"))
def test_queries_on_plans(query: str) -> None:
    assert jmespath.search(query, plans()), query


@pytest.mark.parametrize("query", queries("workload_profile_info"))
def test_queries_on_profiles(query: str, profiles: dict[str, Any]) -> None:
    assert jmespath.search(query, profiles), query


def test_queries_say_what_they_promise(profiles: dict[str, Any]) -> None:
    asked = queries("vm_partition_info")
    assert jmespath.search(asked[1], node()) == jmespath.search(asked[4], node()) == ["busy_1"]
    assert jmespath.search(asked[3], node()) == "busy_1"
    asked, shown = queries("tenant_rebalance_info"), plans()
    assert [one["id"] for one in jmespath.search(asked[0], shown)] == [shown["plans"][0]["id"]]
    assert jmespath.search(asked[2], shown) == [{"tenant": "stuck_1", "error": "no such runtime"}]
    assert jmespath.search(asked[3], shown) == [["web_1", 0.31, 0.28]]
    assert jmespath.search(asked[4], shown) == ["past"]
    periodic = jmespath.search(queries("workload_profile_info")[0], profiles)
    assert {"hourly_batch", "sync_orders"} <= set(periodic)
    assert jmespath.search(queries("workload_profile_info")[4], profiles) == ["fresh"]
    assert jmespath.search(queries("workload_profile_info")[6], profiles) == ["fresh"]


def test_indirectly_managed_nodes_are_found_by_jq() -> None:
    """extensions/audit/event_query.yml: only modules that there are, each query on the documented result."""
    audit = yaml.safe_load((ROOT / "extensions" / "audit" / "event_query.yml").read_text(encoding="utf-8"))
    assert {name.removeprefix("predictive.tenancy.") for name in audit} <= set(MODULES)
    for name, entry in audit.items():
        result = sample(returned(name.rpartition(".")[2]))
        failed = {**result["results"][0], "name": "broken", "error": "no such domain"}
        result = json.dumps({**result, "results": [*result["results"], failed]})
        done = subprocess.run(["jq", "-c", entry["query"]], input=result, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        (found,) = [json.loads(line) for line in done.stdout.splitlines()]
        assert found["name"] == found["canonical_facts"]["name"]
        assert found["facts"]["device_type"] == "virtual machine"
