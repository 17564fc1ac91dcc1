# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""workload_observe on a real Prometheus, filled with history by promtool."""

from __future__ import annotations

import json
import math
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from ansible_collections.predictive.tenancy.plugins.module_utils._store.interface import UsageBatch
from module_process import run_module
from prometheus_server import PASSWORD, USER, Prometheus, serving

START = datetime(2026, 3, 1, tzinfo=timezone.utc).timestamp()
ALWAYS = (datetime(1970, 1, 1, tzinfo=timezone.utc), datetime(2200, 1, 1, tzinfo=timezone.utc))
MINUTES = 2 * 1440
RESET = 1000  # the minute in which the counter of "shop" starts again
GAP = range(2000, 2060)  # minutes without a sample of "shop"


def cores(minute: int) -> float:
    """How much CPU "shop" uses in a minute."""
    return 0.5 if minute % 60 < 30 else 0.25


def exposition() -> str:
    """Two days of counters and gauges by the minute, as OpenMetrics text."""
    lines = ["# TYPE slice_cpu_seconds counter"]
    total = 0.0
    for minute in range(MINUTES):
        total = 0.0 if minute == RESET else total
        total += 60 * cores(minute)
        if minute not in GAP:
            lines.append(f'slice_cpu_seconds_total{{workload="shop",pod="a"}} {total} {START + 60 * minute:.0f}')
    for minute in range(0, MINUTES, 5):
        total = 15.0 * minute
        lines.append(f'slice_cpu_seconds_total{{workload="shop",pod="b"}} {total} {START + 60 * minute:.0f}')
    lines.append("# TYPE slice_memory_kib gauge")
    for minute in range(MINUTES):
        value = "NaN" if minute == 7 else f"{1024 + minute}"
        lines.append(f'slice_memory_kib{{workload="shop",tenant="shop_1"}} {value} {START + 60 * minute:.0f}')
        lines.append(f'slice_memory_kib{{tenant="nobody"}} 1 {START + 60 * minute:.0f}')
    return "\n".join([*lines, "# EOF", ""])


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with serving(tmp_path_factory.mktemp("prometheus"), history=exposition(), login=True) as server:
        yield server


@pytest.fixture
def arguments(tmp_path: Path) -> dict[str, Any]:
    return {"store": f"sqlite://{tmp_path}/store.db", "now": "2026-03-03T00:00:00Z"}


def source(prometheus: Prometheus, *queries: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    login = {"username": USER, "password": PASSWORD, "start": "2026-03-01T00:00:00Z"}
    return [{"url": prometheus.url, "queries": list(queries), **login, **options}]


CPU = {
    "metric": "cpu",
    "query": 'slice_cpu_seconds_total{pod="a"}',
    "counter": True,
    "workload_label": "workload",
}


def read(arguments: dict[str, Any], profile: str) -> UsageBatch:
    with open_store(arguments["store"]) as store:
        (batch,) = store.read_usage([profile], *ALWAYS)
    return batch


def test_counters_that_reset_and_have_gaps(tmp_path: Path, arguments: dict[str, Any], prometheus: Prometheus) -> None:
    wanted = {**arguments, "prometheus": source(prometheus, CPU, step="1m")}
    checked = run_module("workload_observe", wanted, tmp_path, check=True)
    done = run_module("workload_observe", wanted, tmp_path)
    assert done["changed"] is True
    assert checked["results"] == done["results"]
    assert run_module("workload_observe", wanted, tmp_path)["changed"] is False
    batch = read(arguments, "shop")
    # Prometheus shows a series for five minutes after its last sample, so the first minutes of the gap repeat it.
    rates = {
        round((moment - START) / 60): value for moment, value in zip(batch.times, batch.values["cpu"], strict=True)
    }
    known = [minute for minute in range(1, MINUTES) if minute not in range(GAP.start, GAP.stop + 1)]
    assert set(known) <= set(rates)
    assert {minute: rates[minute] for minute in known} == {minute: cores(minute) for minute in known}
    assert not set(rates) & set(range(GAP.start + 6, GAP.stop + 1)), "no rate is told over a gap"
    assert max(batch.values["cpu"]) == 0.5, "the reset made a spike"


def test_more_points_than_prometheus_gives_at_once(
    tmp_path: Path, arguments: dict[str, Any], prometheus: Prometheus
) -> None:
    gauge = {"metric": "memory", "query": 'slice_memory_kib{tenant="shop_1"}', "scale": 1024.0, "workload": "shop"}
    seconds = {**gauge, "query": f"sum by (tenant) ({gauge['query']})"}
    wanted = {
        **arguments,
        "prometheus": source(prometheus, seconds, start="20h", step="5s", end="2026-03-02T23:59:00Z"),
    }
    done = run_module("workload_observe", wanted, tmp_path)
    count = 20 * 3600 // 5 + 1
    assert count > 11_000
    assert done["results"][0]["records"] == count, done
    batch = read(arguments, "shop")
    assert len(batch.times) == count
    minutes = [math.floor((moment - START) / 60) for moment in batch.times]
    assert list(batch.values["memory"]) == [1024.0 * (1024 + minute) for minute in minutes]
    overlapping = source(prometheus, seconds, start="19h", step="5s", end="2026-03-02T23:58:57Z")
    assert run_module("workload_observe", {**arguments, "prometheus": overlapping}, tmp_path)["changed"] is False


def test_several_series_of_one_workload_are_added_up(
    tmp_path: Path, arguments: dict[str, Any], prometheus: Prometheus
) -> None:
    both = {**CPU, "query": "slice_cpu_seconds_total"}
    wanted = {**arguments, "prometheus": source(prometheus, both, step="5m", end="2026-03-01T06:00:00Z")}
    run_module("workload_observe", wanted, tmp_path)
    batch = read(arguments, "shop")
    assert len(batch.times) == 72
    of_five = [math.fsum(cores(last - minute) for minute in range(5)) / 5 for last in range(5, 365, 5)]
    assert list(batch.values["cpu"]) == [round(mean + 0.25, 6) for mean in of_five]


def test_tenants_and_missing_labels(tmp_path: Path, arguments: dict[str, Any], prometheus: Prometheus) -> None:
    with open_store(arguments["store"]) as store:
        store.insert("tenants", {"key": "shop_1", "profile": "shop", "state": "running", "vm": "vm1"})
    query = {"metric": "memory", "query": "slice_memory_kib", "tenant_label": "tenant", "scale": 1024.0}
    labelled = {**query, "workload_label": "workload"}
    options = {"step": "1m", "end": "2026-03-01T00:09:00Z"}
    wanted = {**arguments, "prometheus": source(prometheus, labelled, query, **options)}
    done = run_module("workload_observe", wanted, tmp_path)
    assert done["failed"] is True
    assert "the series has no label 'workload'" in done["results"][0]["error"]
    assert "there is no tenant 'nobody' in the store" in done["results"][1]["error"]
    batch = read(arguments, "shop")
    assert batch.tenant == "shop_1"
    assert len(batch.times) == 9, "the minute that is NaN is missing"
    assert done["results"][0]["new"] == 9
    assert done["results"][1]["same"] == 9


def test_what_goes_wrong_is_told_without_the_password(
    tmp_path: Path, arguments: dict[str, Any], prometheus: Prometheus
) -> None:
    secret = "wr0ng-s3cret"
    port = prometheus.url.rpartition(":")[2]
    bad = [
        *source(prometheus, {**CPU, "query": "sum("}, CPU),
        *source(prometheus, CPU, password=secret),
        {"url": f"http://{USER}:{secret}@127.0.0.1:{port}", "queries": [CPU], "start": "1h"},
        {"url": f"http://{USER}:{secret}@127.0.0.1:9", "queries": [CPU], "start": "1h"},
        {"url": prometheus.url, "queries": [CPU], "token": secret},
    ]
    done = run_module("workload_observe", {**arguments, "prometheus": bad}, tmp_path)
    errors = [item["error"] for item in done["results"]]
    assert "refused the query 'sum('" in errors[0]
    assert errors[1] == "", "the good query is done"
    assert all("HTTP 401" in errors[place] for place in (2, 3, 5))
    assert "cannot be reached" in errors[4]
    assert secret not in json.dumps(done), "the invocation is shown too, with -vvv and by AWX"
    assert len(read(arguments, "shop").times) > 200


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """The URL of a server that says these bytes to whoever asks, and hangs up."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.wfile.write(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


BROKEN = {
    b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{": "IncompleteRead",
    b"HTTP/1.1 503 Busy\r\nContent-Length: 1000\r\n\r\n{": "IncompleteRead",
    b"SSH-2.0-OpenSSH_9.2\r\n": "BadStatusLine",
    b"": "RemoteDisconnected",
    b'HTTP/1.1 200 OK\r\n\r\n{"status": "success"}': "is none of Prometheus'",
    b'HTTP/1.1 200 OK\r\n\r\n{"status": "success", "data": {"resultType": "matrix", "result": [1]}}': "is none of",
}


@pytest.mark.parametrize("answer", BROKEN)
def test_an_answer_that_breaks_off_costs_no_other_source(
    tmp_path: Path, arguments: dict[str, Any], answer: bytes
) -> None:
    usage = [{"workload": "web", "time": "2026-03-02T00:00:00Z", "cpu": 1}]
    with answering(answer) as url:
        broken = [{"url": url, "queries": [{**CPU, "query": "up"}], "start": "1h"}]
        done = run_module("workload_observe", {**arguments, "usage": usage, "prometheus": broken}, tmp_path)
    assert done["failed"] is True
    assert [item["kind"] for item in done["results"]] == ["usage", "usage", "retention"]
    assert BROKEN[answer] in done["results"][1]["error"]
    assert read(arguments, "web").times


@pytest.mark.parametrize("url", ["http://u:s3cr3t@[bad", "http://u:s3cr3t@host:port", "ftp://u:s3cr3t@host", "s3cr3t"])
def test_a_url_that_cannot_be_used(tmp_path: Path, arguments: dict[str, Any], url: str) -> None:
    wanted = {**arguments, "prometheus": [{"url": url, "queries": [CPU]}]}
    done = run_module("workload_observe", wanted, tmp_path)
    assert done["msg"].startswith("the url of a prometheus source: it cannot be used")
    assert "s3cr3t" not in json.dumps(done)


def test_a_password_in_the_url_works(tmp_path: Path, arguments: dict[str, Any], prometheus: Prometheus) -> None:
    url = prometheus.url.replace("http://", f"http://{USER}:{PASSWORD}@")
    wanted = {**arguments, "prometheus": [{"url": url, "queries": [CPU], "start": "1h", "end": "2026-03-01T12:00:00Z"}]}
    assert run_module("workload_observe", wanted, tmp_path)["results"][0]["new"] == 13


def test_a_query_without_an_origin_is_refused(
    tmp_path: Path, arguments: dict[str, Any], prometheus: Prometheus
) -> None:
    query = {"metric": "cpu", "query": "slice_cpu_seconds_total"}
    done = run_module("workload_observe", {**arguments, "prometheus": source(prometheus, query)}, tmp_path)
    assert done["failed"] is True
    assert "prometheus[0].queries[0]" in done["msg"]
