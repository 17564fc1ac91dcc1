# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.decisions import record
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.exposition import expose
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.report_data import recent
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.site_metrics import DAY, export
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from ansible_collections.predictive.tenancy.plugins.module_utils._store.interface import Store
from ansible_collections.predictive.tenancy.tests.unit.plugins.module_utils._flow.planner_cell import NOW

HOUR = timedelta(hours=1)
OLD = NOW - timedelta(days=40)


def decided(kind: str, tenant: str, at: datetime, vm: str = "") -> dict[str, Any]:
    return record(kind, {"key": tenant, "cell": "north", "vm": vm}, at, "")


DECISIONS = [
    decided("admit", "gone", OLD - DAY, "a"),
    decided("remove", "gone", OLD - HOUR, "a"),
    decided("admit", "stays", OLD, "b"),
    decided("move", "stays", OLD + HOUR, "a"),
    decided("resize", "stays", OLD + 2 * HOUR, "a"),
    decided("admit", "short", NOW - 4 * HOUR, "a"),
    decided("remove", "short", NOW - 3 * HOUR, "a"),
    decided("consolidate", "stays", NOW - 2 * HOUR, "b"),
]


def fill(store: Store, kind: str) -> None:
    """A cell whose only tenant went from VM a to VM b two hours ago, and what happened before."""
    action = {"kind": kind, "rule": kind, "state": "done", "from": {"vm": "a"}}
    plan = {"cell": "north", "limits": {}, "actions": [action], "state": "applied"}
    times = {"created_at": NOW - 3 * HOUR, "started_at": NOW - 2.5 * HOUR, "applied_at": NOW - HOUR}
    store.put_many("plans", [{"key": "old", **plan, "state": "superseded", "created_at": OLD, "applied_at": None}])
    store.put_many("plans", [{"key": "new", **plan, **times}])
    tenant = {"cell": "north", "profile": "c", "vm": "b"}
    admitted = {"gone": OLD - DAY, "short": NOW - 4 * HOUR, "stays": OLD}
    store.put_many(
        "tenants",
        [
            {**tenant, "key": key, "state": "running" if key == "stays" else "absent", "admitted_at": at}
            for key, at in admitted.items()
        ],
    )
    store.put_many("decisions", DECISIONS)
    pattern = {"cpu": {"mase": 0.5}}
    store.put_many("profiles", [{"key": key, "patterns": pattern if key != "d" else {}} for key in "abcd"])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened


@pytest.mark.parametrize("cell", ["north", None])
def test_figures_of_the_day(store: Store, cell: str | None) -> None:
    fill(store, "consolidate")
    lines = set(expose(export(store, NOW, cell, 2)).splitlines())
    assert {
        'tenancy_saved_vms_last_day{cell="north",kind="predicted"} 1',
        'tenancy_saved_vms_last_day{cell="north",kind="realised"} 1',
        'tenancy_decisions_last_day{cell="north",kind="admit"} 1',
        'tenancy_decisions_last_day{cell="north",kind="move"} 0',
        'tenancy_decisions_last_day{cell="north",kind="consolidate"} 1',
        'tenancy_plans{cell="north",state="superseded"} 1',
        'tenancy_plans{cell="north",state="applied"} 1',
        'tenancy_actions_last_day{cell="north",kind="consolidate",rule="consolidate",state="done"} 1',
        'tenancy_tenants{cell="north",state="running"} 1',
        'tenancy_starts_last_day{cell="north",start="cold"} 1',
    } <= lines
    told = f'{{cell="{cell}"}}' if cell else ""
    assert f"tenancy_profiles{told} 3" in lines
    assert sorted(
        line.partition('profile="')[2][0] for line in lines if "tenancy_profile_mase" in line and "{" in line
    ) == [
        "a",
        "c",
    ]


@pytest.mark.parametrize(("kind", "count"), [("consolidate", len(DECISIONS)), ("move", 3)])
def test_months_of_decisions_are_read_only_for_savings(
    store: Store, monkeypatch: pytest.MonkeyPatch, kind: str, count: int
) -> None:
    fill(store, kind)
    read: list[str] = []
    find = store.find

    def watched(kind: str, where: Any = None, **options: Any) -> Iterator[Any]:
        for one in find(kind, where, **options):
            read.append(kind)
            yield one

    monkeypatch.setattr(store, "find", watched)
    export(store, NOW, "north", 500)
    assert read.count("decisions") == count


def test_of_old_decisions_only_where_a_tenant_was_is_kept() -> None:
    kept = [(one["kind"], one["tenant"]) for one in recent(DECISIONS, NOW - DAY)]
    assert kept == [("admit", "short"), ("remove", "short"), ("consolidate", "stays"), ("move", "stays")]
