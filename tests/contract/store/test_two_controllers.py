# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controllers that admit into one cell at the same time, as processes of their own: nothing is overfilled, nothing is
placed twice, and one that is killed leaves nothing behind that the next run does not put right."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from module_process import PACKAGE, run_module

NOW = "2026-01-31T12:00:00Z"
LATER = "2026-01-31T12:10:00Z"
VMS = [{"name": f"v{number:02d}", "capacity": {"cpu": 4, "memory": "2GiB"}} for number in range(8)]
CORES, PROMISED = 0.9 * 4, 1.5 * 2 * 1024**3


def requests(name: str, count: int, shared: int) -> list[dict[str, Any]]:
    size = {"cpu": "0.25", "memory": "128MiB"}
    own = [{"id": f"{name}{number}", "workload": f"w{number % 7}", "resources": size} for number in range(count)]
    both = [{"id": f"both{number}", "workload": f"w{number % 7}", "resources": size} for number in range(shared)]
    return own + both


def check(uri: str) -> list[str]:
    """The tenants that run: each with room in its VM alone, and no VM holds more than it may."""
    with open_store(uri) as store:
        running = {one["key"]: one["vm"] for one in store.find("tenants") if one["state"] == "running"}
        held = [(name, one["key"]) for one in store.find("vms") for name in one["allocations"]]
        for one in store.find("vms"):
            assert sum(item["cpu"] for item in one["allocations"].values()) <= CORES + 1e-6, one["key"]
            assert sum(item["memory"] for item in one["allocations"].values()) <= PROMISED, one["key"]
    assert sorted(held) == sorted(running.items())
    return sorted(running)


def test_two_at_once(uri: str, tmp_path: Path) -> None:
    common = {"store": uri, "cell": "north", "now": NOW}
    run_module("tenant_admit", {**common, "vms": VMS}, tmp_path)

    def controller(name: str) -> dict[str, Any]:
        scratch = tmp_path / name
        scratch.mkdir()
        return run_module("tenant_admit", {**common, "requests": requests(name, 60, 20)}, scratch)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(controller, "xy"))
    assert not any(answer.get("failed") for answer in answers), answers
    running = check(uri)
    # 112 of 140 fit: 14 of a quarter of a core below the fill of each VM
    assert len(running) == 8 * 14
    told = [{row["name"]: row["vm"] for row in answer["results"]} for answer in answers]
    assert set(running) == {name for one in told for name, vm in one.items() if vm}
    both = set(told[0]) & set(told[1])
    assert len(both) == 20
    assert all(told[0][name] == told[1][name] for name in both), "both say the same of a request that both had"


def test_one_is_killed(uri: str, tmp_path: Path) -> None:
    common = {"store": uri, "cell": "north", "now": NOW}
    run_module("tenant_admit", {**common, "vms": VMS}, tmp_path)
    asked = {**common, "requests": requests("x", 100, 0)}
    path = tmp_path / "killed.json"
    path.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": asked}), encoding="utf-8")
    victim = subprocess.Popen(
        [sys.executable, "-m", f"{PACKAGE}.tenant_admit", str(path)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with open_store(uri) as store:
        deadline = time.monotonic() + 60
        while victim.poll() is None and time.monotonic() < deadline and not store.keys("tenants"):
            time.sleep(0.001)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    done = run_module("tenant_admit", {**asked, "now": LATER}, tmp_path)
    assert all(row["vm"] for row in done["results"]), done
    assert len(check(uri)) == 100
    assert not run_module("tenant_admit", {**asked, "now": LATER}, tmp_path)["changed"]
