# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report read from a real store: what is there is shown, and it is only read."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import InputError
from ansible_collections.predictive.tenancy.plugins.module_utils._flow import report_data, report_series, sample
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.learn import learn
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.profiles import Profiles
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.report_html import render
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.report_views import Report, Tenant
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from ansible_collections.predictive.tenancy.plugins.module_utils._store.interface import (
    RequestBatch,
    Store,
    UsageBatch,
)

NOW = datetime(2026, 3, 2, tzinfo=timezone.utc)
MIB = 1024**2


def read(store: Store, **other) -> Report:
    given = {"now": NOW, "cell": None, "title": "t", "hours": 48.0, "charts": 20, "measurements": []}
    return report_data.collect(store, **{**given, **other})


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with four workloads of the sample, learned, two VMs in two cells, tenants, shadows and plans."""
    where = f"sqlite:///{tmp_path_factory.mktemp('report') / 'store.db'}"
    histories = sample.generate(sample.workloads(4, 1), sample.span(14, "5m", NOW.isoformat()), 1)
    grid = sample.span(14, "5m", NOW.isoformat())
    with open_store(where) as store:
        profiles = Profiles(store, NOW)
        for history in histories:
            profiles.by_name(history.workload.name)
        store.append_usage(
            UsageBatch(one.workload.name, "", array("d", grid.times), {k: array("d", v) for k, v in one.usage.items()})
            for one in histories
        )
        store.append_requests(RequestBatch(one.workload.name, array("d", one.requests)) for one in histories)
        errors = [one.error for one in learn(store, [one.workload.name for one in histories], NOW) if one.error]
        assert not errors
        for name, cell in (("vm1", "east"), ("vm2", "west")):
            store.insert(
                "vms", {"key": name, "cell": cell, "state": "ready", "capacity": {"cpu": 2.0, "memory": 512 * MIB}}
            )
        tenant = {"profile": "web_shop", "vm": "vm1", "cell": "east", "priority": 50, "cpu": {"cores": 0.5}}
        tenant |= {"memory": {"max": 128 * MIB}, "admitted_at": NOW - timedelta(hours=5)}
        store.insert("tenants", {"key": "web_1", "state": "running", **tenant})
        store.insert("tenants", {"key": "web_2", "state": "absent", **tenant})
        store.insert("tenants", {"key": "web_3", "state": "running", **tenant, "vm": "vm2", "cell": "west"})
        for number, state in ((1, "applied"), (2, "recommended")):
            made = NOW - timedelta(hours=3 - number)
            action = {"id": "a1", "kind": "move", "tenant": "web_1", "from": {"vm": "vm1"}, "to": {"vm": "vm2"}}
            plan = {"cell": "east", "state": state, "created_at": made, "actions": [action] * number}
            store.insert("plans", {"key": f"p{number}", "mode": "recommend", **plan})
        shadow = {"profile": "nightly_report", "vm": "vm1", "cell": "east", "tier": "frozen", "memory": 2 * MIB}
        store.insert("shadows", {"key": "s1", "state": "waiting", "expected_at": NOW + timedelta(hours=2), **shadow})
    return where


@pytest.fixture
def store(uri: str) -> Iterator[Store]:
    with open_store(uri, read_only=True) as opened:
        yield opened


def test_totals_count_what_is_there(store: Store) -> None:
    totals = read(store).totals
    assert (totals["tenants"], totals["running"], totals["ready"], totals["profiles"]) == (2, 2, 2, 4)
    assert totals["periodic"] == 3
    assert totals["cpu_share"] == pytest.approx(1.0 / 4)
    assert totals["memory_share"] == pytest.approx(256 / 1024)
    assert 0 < totals["mase"] < 1.5
    assert 0.8 < totals["coverage"] <= 1


def test_a_cell_is_shown_alone(store: Store) -> None:
    east = read(store, cell="east")
    assert [machine.name for machine in east.machines] == ["vm1"]
    assert [tenant.name for tenant in east.machines[0].tenants] == ["web_1"]
    assert (east.machines[0].shadows, east.machines[0].held) == (1, 2 * MIB)
    assert [plan.name for plan in east.plans] == ["p2", "p1"]
    assert read(store, cell="west").plans == []
    assert read(store, cell="nowhere").machines == []


def test_profiles_come_in_the_order_of_interest(store: Store) -> None:
    found = read(store).profiles
    assert [profile.name for profile in found] == ["web_shop", "sync_orders", "hourly_batch", "nightly_report"]
    assert [profile.tenants for profile in found] == [2, 0, 0, 0]
    sync = found[1]
    assert sync.asked == "every 15m"
    moment, low, high = sync.next(NOW.timestamp())
    assert low <= moment <= high
    assert moment - NOW.timestamp() == pytest.approx(125, abs=30)
    assert sync.requests > 1300


def test_curves_meet_at_now(store: Store) -> None:
    report = read(store, charts=2)
    assert [profile.name for profile in report.charted] == ["web_shop", "sync_orders"]
    pattern = report.charted[0].patterns["cpu"]
    now = NOW.timestamp()
    assert pattern.actual.times[0] == now - 48 * 3600 + 150
    assert pattern.actual.times[-1] == now - 150
    assert pattern.forecast.times[0] == now + 150
    assert len(pattern.forecast.times) == 288
    assert (pattern.hindcast.times[0], pattern.hindcast.times[-1]) == (now - 86400 + 150, now - 150)
    for band in (pattern.forecast, pattern.hindcast):
        assert all(low <= median <= high for low, median, high in zip(band.low, band.median, band.high))
    assert max(pattern.forecast.high) > 2 * min(pattern.forecast.median)


def test_the_hindcast_knows_nothing_of_the_day_it_forecasts(store: Store) -> None:
    usages = [one for one in report_series.read(store, ["web_shop"], NOW, 15 * 86400.0) if one.metric == "cpu"]
    before = report_series.hindcasts(usages)
    usages[0].values[-288:] = 9.0
    assert report_series.hindcasts(usages) == before
    usages[0].values[-600:-288] = 9.0
    assert report_series.hindcasts(usages) != before


def test_a_short_history_has_no_hindcast(store: Store) -> None:
    usages = report_series.read(store, ["web_shop"], NOW, 3 * 86400.0)
    assert set(report_series.hindcasts(usages)) == {
        ("web_shop", name) for name in ("cpu", "memory", "io_read", "io_write")
    }
    for one in usages:
        one.values[:290] = float("nan")
    assert report_series.hindcasts(usages) == {}


def test_same_store_and_now_same_bytes(store: Store) -> None:
    assert render(read(store)) == render(read(store))
    later = NOW + timedelta(minutes=5)
    assert render(read(store, now=later)) != render(read(store))


def test_an_absent_store_is_an_empty_report(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 'none.db'}", read_only=True) as nothing:
        report = read(nothing)
    assert (report.profiles, report.machines, report.plans) == ([], [], [])
    assert b"No workload is known yet" in render(report)
    assert list(tmp_path.iterdir()) == []


def test_bad_hours_are_refused(store: Store) -> None:
    with pytest.raises(InputError, match="hours"):
        read(store, hours=0.5)


def tenant(name: str, vm: str, since: float) -> Tenant:
    return Tenant(name, "p", vm, "running", 50, 0.1, 1.0, "", "", since)


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=timezone.utc)


def test_tenants_per_vm_follow_decisions_and_documents() -> None:
    decisions = [
        {"kind": "admit", "tenant": "a", "vm": "vm1", "at": at(100)},
        {"kind": "move", "tenant": "a", "to": {"vm": "vm2"}, "at": at(300)},
        {"kind": "admit", "tenant": "gone", "vm": "vm1", "at": at(150)},
        {"kind": "remove", "tenant": "gone", "vm": "vm1", "at": at(400)},
        {"kind": "resize", "tenant": "a", "vm": "vm2", "at": at(350)},
        {"kind": "admit", "tenant": "future", "vm": "vm1", "at": at(9000)},
    ]
    tenants = [tenant("a", "vm2", 300), tenant("quiet", "vm2", 200)]
    assert report_data.counts(decisions, tenants, 1000) == {
        "vm1": [(100, 0), (100, 1), (150, 2), (300, 1), (400, 0)],
        "vm2": [(200, 0), (200, 1), (300, 2)],
    }
    assert report_data.counts([], [], 1000) == {}
