# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the steps of a run take on a whole cell in an embedded store: what one controller must do between two ticks.

A cell of VMs with 16 cores and ten tenants each, of 500 profiles with forecasts by the hour of the day. There is no
peer: the bars are those of an operator, that a cell of 1000 VMs is proposed a plan within a minute, is listed as an
inventory within 5 s and exported as metrics within 10 s. The trace folder is not used.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from _common import Report, arguments, product, timed

MIB = 1024**2
NOW = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
LEVELS = [0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99]
SPREAD = np.array([0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.5])[:, None]
PER_VM, PROFILES = 10, 500


def cell(store: Any, vms: int) -> None:
    """Fill an empty store: profiles with forecasts, and tenants that were admitted by the module's own logic."""
    admission, profiles = product("_flow.admission"), product("_flow.profiles")
    interface = product("_store.interface")
    random = np.random.default_rng(20260131)
    hours = np.arange(288) / 12
    for number in range(PROFILES):
        name = f"p{number}"
        profiles.ensure(store, {"name": name}, NOW, dry=False)
        document = store.get("profiles", name)
        peak = random.uniform(0, 24)
        shape = 0.1 + 0.6 * np.exp(-(((hours - peak + 12) % 24 - 12) ** 2) / 18)
        series = {"cpu": SPREAD * shape[None], "memory": SPREAD * np.full((1, 288), random.uniform(64, 512) * MIB)}
        for metric, values in series.items():
            data = values.astype("<f4")
            store.put_arrays([interface.Array(f"forecast/{name}/{metric}", "<f4", data.shape, data.tobytes())])
            document["patterns"][metric] = {
                "start": NOW, "step": 300.0, "horizon": 288, "quantiles": LEVELS, "model": "test", "period": 86400.0,
                "days": 20.0, "confidence": 0.9, "level": float(values[2].mean()), "peak": float(values[-1].max()),
            }  # fmt: skip
        store.update("profiles", document)
    listed = [{"name": f"vm{n:04}", "capacity": {"cpu": 16, "memory": "32GiB"}} for n in range(vms)]
    wanted = [{"id": f"t{n:05}", "profile": f"p{n % PROFILES}"} for n in range(vms * PER_VM)]
    options = {"cell": "north", "vms": listed, "requests": wanted, "expected": None, "policy": None}
    admission.admit_requests(store, options, NOW, dry=False)


def steps(store: Any) -> dict[str, Callable[[], Any]]:
    """What is measured, by name. None of it changes the store, so each can be repeated."""
    admission, rebalance = product("_flow.admission"), product("_flow.rebalance")
    inventory, metrics = product("_flow.inventory"), product("_flow.site_metrics")
    exposition = product("_flow.exposition")
    requests = [{"id": f"new{n}", "profile": f"p{n}"} for n in range(100)]
    admit = {"cell": "north", "vms": [], "requests": requests, "expected": None, "policy": None}
    plan = {"cell": "north", "vms": [], "plan": None, "results": [], "measured": {}, "policy": None, "mode": "observe"}
    return {
        "admit 100": lambda: admission.admit_requests(store, admit, NOW, dry=True),
        "propose a plan": lambda: rebalance.rebalance(store, plan, NOW, dry=True),
        "correct one VM": lambda: rebalance.rebalance(store, {**plan, "only": ["vm0000"]}, NOW, dry=True),
        "inventory": lambda: inventory.listing(store, inventory.Choice(cells=["north"])),
        "metrics": lambda: exposition.expose(metrics.export(store, NOW, "north", PROFILES)),
    }


def main() -> int:
    """Measure cells of growing size."""
    options = arguments(__doc__ or "").parse_args()
    report = Report("cell", "generated")
    connect = product("_store.connect")
    table: dict[str, dict[str, float]] = {}
    for vms in (50, 100) if options.quick else (100, 300, 1000):
        with tempfile.TemporaryDirectory() as folder, connect.open_store(f"sqlite://{Path(folder)}/store.db") as store:
            _none, filled = timed(lambda store=store, vms=vms: cell(store, vms))
            row = {"fill (once)": filled.wall}
            for name, work in steps(store).items():
                _result, spent = timed(work)
                row[name] = spent.wall
                report.figures[f"{name}, {vms} VMs, s"] = spent.wall
                report.figures[f"{name}, {vms} VMs, CPU s"] = spent.cpu
            table[f"{vms} VMs, {vms * PER_VM} tenants"] = row
    report.table("seconds", table)
    last = list(table.values())[-1]
    report.require("a plan, seconds", last["propose a plan"], 60, least=False)
    report.require("an inventory, seconds", last["inventory"], 5, least=False)
    report.require("metrics, seconds", last["metrics"], 10, least=False)
    return report.end(options.json)


if __name__ == "__main__":
    sys.exit(main())
