# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""workload_observe in processes of its own, on a real store."""

from __future__ import annotations

import gzip
import json
import math
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.units import format_time
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from ansible_collections.predictive.tenancy.plugins.module_utils._store.interface import RequestBatch, UsageBatch
from module_process import run_module

START = datetime(2026, 3, 1, tzinfo=timezone.utc)
ALL = (datetime(1970, 1, 1, tzinfo=timezone.utc), datetime(2100, 1, 1, tzinfo=timezone.utc))


@pytest.fixture
def arguments(tmp_path: Path) -> dict[str, Any]:
    return {"store": f"sqlite://{tmp_path}/store.db", "now": "2026-03-02T10:00:00Z"}


def usage_of(arguments: dict[str, Any], profile: str, tenant: str | None = None) -> UsageBatch:
    with open_store(arguments["store"]) as store:
        return next(store.read_usage([profile], *ALL, tenant=tenant))


def requests_of(arguments: dict[str, Any], profile: str) -> RequestBatch:
    with open_store(arguments["store"]) as store:
        return next(store.read_requests([profile], *ALL))


def write(path: Path, *lines: str) -> str:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def day_of_usage(path: Path) -> str:
    times = [START + timedelta(minutes=5 * slot) for slot in range(288)]
    rows = [f"web,{time.isoformat()},{slot / 1000},{slot * 4096}" for slot, time in enumerate(times)]
    return write(path, "workload,time,cpu,memory", *rows)


def test_check_do_do_again_check_again(tmp_path: Path, arguments: dict[str, Any]) -> None:
    files = [
        {"path": day_of_usage(tmp_path / "usage.csv"), "kind": "usage"},
        {
            "path": write(tmp_path / "requests.csv", "workload,time,id", "web,2026-03-01T09:00:00Z,r1"),
            "kind": "requests",
        },
    ]
    wanted = {**arguments, "files": files}
    checked = run_module("workload_observe", wanted, tmp_path, check=True)
    assert checked["changed"] is True
    assert not (tmp_path / "store.db").exists(), "check mode made a store"
    done = run_module("workload_observe", wanted, tmp_path)
    assert done["results"] == checked["results"]
    assert done["profiles_created"] == checked["profiles_created"] == ["web"]
    assert [(item["kind"], item["new"]) for item in done["results"]] == [
        ("usage", 288),
        ("requests", 1),
        ("retention", 0),
    ]
    assert run_module("workload_observe", wanted, tmp_path)["changed"] is False
    assert run_module("workload_observe", wanted, tmp_path, check=True)["changed"] is False
    batch = usage_of(arguments, "web")
    assert list(batch.times) == [START.timestamp() + 300 * slot for slot in range(288)]
    assert list(batch.values["cpu"]) == [slot / 1000 for slot in range(288)]
    assert list(batch.values["memory"]) == [slot * 4096 for slot in range(288)]
    assert set(batch.values) == {"cpu", "memory"}


def test_check_mode_on_a_store_writes_nothing(tmp_path: Path, arguments: dict[str, Any]) -> None:
    path = day_of_usage(tmp_path / "usage.csv")
    run_module("workload_observe", {**arguments, "files": [{"path": path, "kind": "usage"}]}, tmp_path)
    before = (tmp_path / "store.db").read_bytes()
    usage = [{"workload": name, "time": "2026-03-02T01:00:00Z", "cpu": "1"} for name in ("web", "other")]
    checked = run_module("workload_observe", {**arguments, "usage": usage}, tmp_path, check=True)
    assert checked["results"][0]["new"] == 2
    assert checked["profiles_created"] == ["other"]
    assert (tmp_path / "store.db").read_bytes() == before
    assert not (tmp_path / "store.db-wal").exists() or (tmp_path / "store.db-wal").stat().st_size == 0


def test_late_duplicate_out_of_order_and_corrected_samples(tmp_path: Path, arguments: dict[str, Any]) -> None:
    def observe(*samples: tuple[str, str | None, str | None]) -> dict[str, Any]:
        usage = [{"workload": "web", "time": time, "cpu": cpu, "memory": memory} for time, cpu, memory in samples]
        return run_module("workload_observe", {**arguments, "usage": usage}, tmp_path)["results"][0]

    first = observe(
        ("2026-03-02T09:10:00Z", "0.3", None),
        ("2026-03-02T09:00:00Z", "0.1", "1MiB"),
        ("2026-03-02T09:10:00Z", "0.3", None),
    )
    assert (first["new"], first["same"]) == (2, 1)
    late = observe(("2026-03-02T09:05:00Z", "0.2", None), ("2026-03-02T09:10:00Z", None, "3MiB"))
    assert (late["new"], late["replaced"]) == (2, 0)
    corrected = observe(("2026-03-02T09:05:00Z", "0.25", None), ("2026-03-02T09:00:00Z", "0.1", None))
    assert (corrected["new"], corrected["replaced"], corrected["same"]) == (0, 1, 1)
    batch = usage_of(arguments, "web")
    assert list(batch.values["cpu"]) == [0.1, 0.25, 0.3]
    assert [None if math.isnan(value) else value for value in batch.values["memory"]] == [1024**2, None, 3 * 1024**2]


def test_a_clock_that_is_ahead_is_named(tmp_path: Path, arguments: dict[str, Any]) -> None:
    usage = [
        {"workload": "web", "time": "2026-03-02T10:04:00Z", "cpu": "0.5"},
        {"workload": "web", "time": "2026-03-02T10:06:00Z", "cpu": "0.5"},
    ]
    done = run_module("workload_observe", {**arguments, "usage": usage}, tmp_path)
    assert done["failed"] is True
    assert "usage[1]: the time 2026-03-02T10:06:00Z is in the future" in done["msg"]
    assert done["results"][0]["new"] == 1
    again = run_module("workload_observe", {**arguments, "usage": usage, "max_skew": "10m"}, tmp_path)
    assert (again["results"][0]["new"], again["results"][0]["same"]) == (1, 1)


BAD_ROWS = (
    ("web,2026-03-01T00:05:00Z,0.5,64MiX", "memory: '64MiX' has the unknown unit"),
    ("web,soon,0.5,1", "'soon' is not a time"),
    ("web,2026-03-01T00:10:00Z,-1,1", "cpu: "),
    ("web,2026-03-01T00:15:00Z,nan,1", "cpu: "),
    ("web,2026-03-01T00:15:00Z,inf,1", "cpu: "),
    ("web,2026-03-01T00:20:00Z,0.5", "3 cells where the header has 4"),
    (",2026-03-01T00:25:00Z,0.5,1", "neither workload nor profile nor tenant"),
    ("web,1900-01-01T00:00:00Z,0.5,1", "before 1970"),
)


def test_bad_rows_are_named_and_the_good_ones_kept(tmp_path: Path, arguments: dict[str, Any]) -> None:
    good = ["web,2026-03-01T00:00:00Z,0.5,64MiB", "web,2026-03-01T00:30:00Z,250m,"]
    rows = [good[0], *(row for row, _error in BAD_ROWS), good[1]]
    path = write(tmp_path / "usage.csv", "workload,time,cpu,memory", *rows)
    done = run_module("workload_observe", {**arguments, "files": [{"path": path, "kind": "usage"}]}, tmp_path)
    assert done["failed"] is True
    for line, (_row, error) in enumerate(BAD_ROWS, start=3):
        assert f"{path}:{line}: " in done["msg"]
        assert error in done["msg"]
    item = done["results"][0]
    assert (item["new"], item["refused"]) == (2, len(BAD_ROWS))
    batch = usage_of(arguments, "web")
    assert list(batch.values["cpu"]) == [0.5, 0.25]


BAD_SAMPLES = (
    ({"profile": "web", "tenant": "web-7c9f"}, "'web-7c9f': not a valid name"),
    ({"workload": "web", "tenant": "Web"}, "'Web': not a valid name"),
    ({"workload": "\ud83d"}, "the text cannot be stored"),
    ({"profile": "\ud83d"}, "not a valid name"),
    ({"tenant": "\ud83d"}, "not a valid name"),
    ({"workload": "web", "cpu": 10**400}, "is not a number of cores"),
    ({"workload": "web", "memory": {"a": 1}}, "memory: "),
    ({"workload": "web", "time": "0001-01-01T00:00:00+14:00"}, "is not a time"),
    ({"workload": "web", "time": float("nan")}, "is not a time"),
    ({"workload": "web", "time": None}, "is not a time"),
)
BAD_REQUESTS = (
    ({"workload": "\ud83d"}, "the text cannot be stored"),
    ({"profile": "web", "parameters": {"size": float("nan")}}, "the parameters cannot be stored"),
    ({"workload": "web", "parameters": {"size": float("inf")}}, "the parameters cannot be stored"),
    ({"workload": "web", "parameters": '{"size": NaN}'}, "the parameters cannot be stored"),
    ({"workload": "web", "parameters": "["}, "is no JSON"),
)


@pytest.mark.parametrize("check", [False, True])
def test_no_bad_record_costs_a_good_one(tmp_path: Path, arguments: dict[str, Any], check: bool) -> None:
    time = "2026-03-01T00:00:00Z"
    deep = '{"workload": "web", "time": 0, "parameters": %s}'
    nested = [deep % ('{"a":' * depth + "1" + "}" * depth) for depth in (980, 100_000)]
    files = []
    for kind, bad in (("usage", BAD_SAMPLES), ("requests", BAD_REQUESTS)):
        value = {"cpu": 1} if kind == "usage" else {}
        good = [json.dumps({"profile": "web", "time": f"2026-03-01T00:0{minute}:00Z", **value}) for minute in (0, 5)]
        rows = [json.dumps({"time": time, **row}) for row, _error in bad] + (nested if kind == "requests" else [])
        path = write(tmp_path / f"{kind}.jsonl", good[0], *rows, good[1])
        files.append({"path": path, "kind": kind, "format": "jsonl"})
    files.append({"path": day_of_usage(tmp_path / "later.csv"), "kind": "usage"})
    done = run_module("workload_observe", {**arguments, "files": files}, tmp_path, check=check)
    assert done["failed"] is True
    usage, requests, later, retention = done["results"]
    assert (usage["new"], usage["refused"]) == (2, len(BAD_SAMPLES)), usage
    assert (requests["new"], requests["refused"]) == (2, len(BAD_REQUESTS) + len(nested)), requests
    assert later["records"] == 288, "the next source is read"
    assert retention["kind"] == "retention"
    for item, bad in ((usage, BAD_SAMPLES), (requests, BAD_REQUESTS)):
        for line, (_row, error) in enumerate(bad, start=2):
            assert f"{item['name']}:{line}: " in item["error"]
            assert error in item["error"]


def test_only_the_first_twenty_errors_are_listed(tmp_path: Path, arguments: dict[str, Any]) -> None:
    path = write(tmp_path / "usage.csv", "workload,time,cpu", *["web,never,1"] * 50)
    done = run_module("workload_observe", {**arguments, "files": [{"path": path, "kind": "usage"}]}, tmp_path)
    assert done["msg"].count("is not a time") == 20
    assert "and 30 more" in done["msg"]
    assert done["msg"].startswith("50 records were refused")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("workload,cpu", "the column 'time' is missing"),
        ("time,cpu", "the column 'workload' is missing"),
        ("workload,time,cpu,cpu", "the column 'cpu' is there twice"),
    ],
)
def test_a_file_without_its_columns(tmp_path: Path, arguments: dict[str, Any], header: str, message: str) -> None:
    bad = write(tmp_path / "bad.csv", header, "web,1772442000,1,1"[: 18 if header.count(",") == 3 else 16])
    good = day_of_usage(tmp_path / "good.csv")
    files = [{"path": bad, "kind": "usage"}, {"path": good, "kind": "usage"}]
    done = run_module("workload_observe", {**arguments, "files": files}, tmp_path)
    assert f"{bad}:1: {message}" in done["msg"]
    assert [item["new"] for item in done["results"]] == [0, 288, 0]


def test_an_unknown_column_is_named(tmp_path: Path, arguments: dict[str, Any]) -> None:
    path = write(tmp_path / "usage.csv", "workload,time,cpu,mem", "web,2026-03-01T00:00:00Z,0.5,7")
    done = run_module("workload_observe", {**arguments, "files": [{"path": path, "kind": "usage"}]}, tmp_path)
    assert f"{path}:1: unknown column 'mem'" in done["msg"]
    assert list(usage_of(arguments, "web").values["cpu"]) == [0.5]


def test_json_lines_gzip_and_broken_files(tmp_path: Path, arguments: dict[str, Any]) -> None:
    lines = [
        json.dumps({"workload": "web", "time": "2026-03-01T00:00:00+01:00", "cpu": 0.5, "io_read": "2MB"}),
        "{not json",
        json.dumps({"workload": "web", "time": 1772323500, "cpu": 0.75, "cores": 4}),
        json.dumps({"workload": "web", "time": 1772323500, "cpu": 0.75}),
    ]
    packed = tmp_path / "usage.jsonl.gz"
    packed.write_bytes(gzip.compress("\n".join(lines).encode()))
    torn = tmp_path / "torn.csv.gz"
    torn.write_bytes(gzip.compress(b"workload,time,cpu\n" + b"web,1772323800,1\n" * 5000)[:-40])
    latin = tmp_path / "latin.csv"
    latin.write_bytes(b"workload,time,cpu\nM\xfcller,1772323800,1\n")
    files = [
        {"path": str(packed), "kind": "usage", "format": "jsonl"},
        {"path": str(torn), "kind": "usage"},
        {"path": str(latin), "kind": "usage"},
        {"path": str(tmp_path / "none.csv"), "kind": "usage"},
    ]
    done = run_module("workload_observe", {**arguments, "files": files}, tmp_path)
    assert done["failed"] is True
    assert f"{packed}:2: no JSON" in done["msg"]
    assert f"{packed}:3: unknown key 'cores'" in done["msg"]
    assert f"{torn}: the gzip file is damaged" in done["msg"]
    assert f"{latin}: the file is not UTF-8 text" in done["msg"]
    assert f"{tmp_path / 'none.csv'}: the file cannot be read: No such file" in done["msg"]
    batch = usage_of(arguments, "web")
    assert batch.times[0] == datetime(2026, 2, 28, 23, tzinfo=timezone.utc).timestamp()
    assert batch.values["io_read"][0] == 2_000_000


def test_requests_find_their_profile_by_the_parameters_that_matter(tmp_path: Path, arguments: dict[str, Any]) -> None:
    profiles = [
        {"name": "report", "workload": "report"},
        {"name": "report_large", "workload": "report", "parameters": {"size": "large"}},
        {"name": "report_de", "workload": "report", "parameters": {"country": "de"}},
    ]
    run_module("workload_profile", {**arguments, "profiles": profiles}, tmp_path)
    time = "2026-03-02T09:00:00Z"
    given = [
        {"workload": "report", "time": time},
        {"workload": "report", "time": time, "parameters": {"size": "large", "debug": True}},
        {"workload": "report", "time": time, "parameters": {"size": "small"}},
        {"workload": "report", "time": time, "parameters": {"size": "large", "country": "de"}},
        {"profile": "report_de", "time": time, "parameters": {"size": "large", "country": "de"}},
    ]
    done = run_module("workload_observe", {**arguments, "requests": given}, tmp_path)
    assert done["failed"] is True
    assert "requests[3]: the workload 'report' with these parameters belongs to several profiles" in done["msg"]
    assert "report_de, report_large" in done["msg"]
    assert done["profiles_created"] == []
    assert len(requests_of(arguments, "report").times) == 2
    assert requests_of(arguments, "report_large").parameters == [{"debug": True, "size": "large"}]
    assert len(requests_of(arguments, "report_de").times) == 1


def test_unknown_workloads_get_a_profile_of_their_own(tmp_path: Path, arguments: dict[str, Any]) -> None:
    names = ["registry.example.org/Report:1.2", "Report", "report!", "レポート"]
    given = [{"workload": name, "time": "2026-03-02T09:00:00Z"} for name in names]
    done = run_module("workload_observe", {**arguments, "requests": given}, tmp_path)
    assert len(done["profiles_created"]) == 4
    assert "registry_example_org_report_1_2" in done["profiles_created"]
    assert "report" in done["profiles_created"]
    with open_store(arguments["store"]) as store:
        workloads = sorted(profile["workload"] for profile in store.find("profiles"))
    assert workloads == sorted(names)
    strict = {**arguments, "create_profiles": False, "requests": [{"workload": "new", "time": "2026-03-02T09:00:00Z"}]}
    refused = run_module("workload_observe", strict, tmp_path)
    assert refused["failed"] is True
    assert "there is no profile for 'new'" in refused["msg"]


def test_measured_tenants_need_no_workload(tmp_path: Path, arguments: dict[str, Any]) -> None:
    with open_store(arguments["store"]) as store:
        store.insert("tenants", {"key": "web_1", "profile": "web", "state": "running", "vm": "vm1"})
    usage = [
        {"tenant": "web_1", "time": "2026-03-02T09:00:00Z", "cpu": "0.5"},
        {"tenant": "nobody", "time": "2026-03-02T09:00:00Z", "cpu": "0.5"},
    ]
    done = run_module("workload_observe", {**arguments, "usage": usage}, tmp_path)
    assert "usage[1]: there is no tenant 'nobody'" in done["msg"]
    assert usage_of(arguments, "web", "web_1").tenant == "web_1"


def test_rebase_moves_by_whole_hours(tmp_path: Path, arguments: dict[str, Any]) -> None:
    files = [{"path": day_of_usage(tmp_path / "usage.csv"), "kind": "usage"}]
    requests = [{"workload": "web", "time": "2026-02-20T09:13:00Z"}]
    wanted = {**arguments, "files": files, "requests": requests}
    wanted.update(now="2026-11-25T20:30:00Z", rebase="2026-11-25T20:30:00Z")
    done = run_module("workload_observe", wanted, tmp_path)
    assert done["changed"] is True
    times = usage_of(arguments, "web").times
    newest = datetime.fromtimestamp(times[-1], tz=timezone.utc)
    assert newest == datetime(2026, 11, 25, 20, 30, tzinfo=timezone.utc)  # what would be later has not happened yet
    assert len(times) == 288 - 5
    moved = datetime.fromtimestamp(requests_of(arguments, "web").times[0], tz=timezone.utc)
    shift = newest - (START + timedelta(minutes=5 * 282))
    assert moved == datetime(2026, 2, 20, 9, 13, tzinfo=timezone.utc) + shift
    assert shift.total_seconds() % 3600 == 0


def test_retention_downsamples_and_removes(tmp_path: Path, arguments: dict[str, Any]) -> None:
    rows = []  # ten whole days: of the first four all is removed, of the next three the hours are kept
    for day in range(10):
        for slot in range(24):
            time = START - timedelta(days=9 - day) + timedelta(minutes=30 * slot)
            rows.append(f"web,{time.isoformat()},{slot % 2 + day}")
    path = write(tmp_path / "usage.csv", "workload,time,cpu", *rows)
    retention = {"samples": "3d", "hourly": "6d", "requests": "2d"}
    requests = [
        {"workload": "web", "time": "2026-02-21T09:00:00Z", "id": "old"},
        {"workload": "web", "time": "2026-03-01T09:00:00Z", "id": "new"},
    ]
    wanted = {**arguments, "files": [{"path": path, "kind": "usage"}], "retention": retention, "requests": requests}
    first = run_module("workload_observe", wanted, tmp_path)
    kept = first["results"][-1]
    assert kept["actions"] == ["downsample", "remove"]
    again = run_module("workload_observe", wanted, tmp_path)
    assert again["changed"] is False, again
    assert again["results"][1]["expired"] == 24 * 4
    assert again["results"][1]["late"] == 24 * 3
    assert requests_of(arguments, "web").ids == ["new"]
    batch = usage_of(arguments, "web")
    hours = 3 * 12
    assert len(batch.times) == hours + 3 * 24
    # two samples in each hour, one of them a core above the other
    assert list(batch.values["cpu"][:hours]) == [day + 0.5 for day in (4, 5, 6) for _hour in range(12)]
    assert list(batch.peaks["cpu"][:hours]) == [day + 1.0 for day in (4, 5, 6) for _hour in range(12)]
    assert list(batch.values["cpu"][hours:]) == list(batch.peaks["cpu"][hours:])


CELLS = ("east", "east-2", "east-3", "east-20260101T000000", "east-99", "east_3", "west")


def test_what_is_over_for_long_is_removed(tmp_path: Path, arguments: dict[str, Any]) -> None:
    """As tenant_rebalance and tenant_admit keep them: one of each every day, in cells whose names begin alike."""
    kept = []
    with open_store(arguments["store"]) as store:
        for days in range(60):
            moment = START - timedelta(days=days)
            state = {45: "applying", 50: "recommended"}.get(days, "superseded")
            expires = moment + timedelta(hours=1) if days < 58 else START
            state = "recommended" if days == 58 else state
            for cell in CELLS:
                plan = {"key": f"{cell}-{moment:%Y%m%dT%H%M%S}-0a1b2c", "cell": cell, "state": state, "actions": []}
                store.insert("plans", {**plan, "created_at": moment, "expires_at": expires})
                kept += [plan["key"]] if days < 30 or days in (45, 58) else []
            store.insert("decisions", {"key": f"{format_time(moment)}/admit/web_1", "kind": "admit", "at": moment})
            left = {"state": "absent", "left_at": moment}
            store.insert("tenants", {"key": f"web_{days}", "profile": "web", "admitted_at": moment, **left})
        store.insert("tenants", {"key": "web_old", "profile": "web", "state": "running", "admitted_at": moment})
    usage = [{"workload": "web", "time": "2026-03-01T23:00:00Z", "cpu": "1"}]
    wanted = {**arguments, "usage": usage, "retention": {"plans": "30d"}, "now": "2026-03-01T23:30:00Z"}
    checked = run_module("workload_observe", wanted, tmp_path, check=True)
    done = run_module("workload_observe", wanted, tmp_path)
    assert done["results"][-1] == checked["results"][-1]
    assert done["results"][-1]["actions"] == ["remove"]
    assert done["results"][-1]["diff"]["after"] == {"plans": len(CELLS) * (30 - 2) + 30, "tenants": 30}
    assert run_module("workload_observe", wanted, tmp_path)["changed"] is False
    with open_store(arguments["store"]) as store:
        assert store.keys("plans") == sorted(kept)
        assert len(store.keys("decisions")) == 30
        assert store.keys("tenants") == sorted(["web_old", *(f"web_{days}" for days in range(30))])


def test_the_store_is_named_by_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "env" / "store.db"
    arguments = {"requests": [{"workload": "web", "time": "2026-03-02T09:00:00Z"}], "now": "2026-03-02T10:00:00Z"}
    (tmp_path / "arguments.json").write_text(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}), encoding="utf-8")
    module = "ansible_collections.predictive.tenancy.plugins.modules.workload_observe"
    command = [sys.executable, "-m", module, str(tmp_path / "arguments.json")]
    env = {**os.environ, "TENANCY_STORE": f"sqlite://{path}"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert json.loads(done.stdout)["changed"] is True, done.stderr
    assert path.stat().st_mode & 0o077 == 0
