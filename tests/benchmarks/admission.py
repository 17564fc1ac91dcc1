# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast the planner decides, how that grows, and that two controllers at once overfill nothing.

* placements: decisions per second into 1,000 VMs x 24 windows x 3 resources that are half full, best fit with room in
  every window; beside it first fit over the same arrays, and the whole admission with neighbours and reasons;
* plan: one run of tenant_rebalance over a cell of 1,000 VMs and 20,000 tenants, each with its own profile, forecast and
  usage, from the store to the stored plan, in a process of its own;
* growth: relieving, emptying and admitting from 1,000 to 100,000 tenants, 20 to a VM;
* controllers: two processes that admit 1,000 requests each into one cell at the same time, 200 of them the same.

Seconds are those of one core (CPU time), so that they hold on a busy machine; the wall clock is printed beside them.
It needs no data.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _cell import CAPACITY, NOW, fill, vm_documents
from _common import Report, arguments, product, timed

admission, demand, guard = product("_planning.admission"), product("_planning.demand"), product("_planning.guard")
moves, packing, policies = product("_planning.moves"), product("_planning.packing"), product("_planning.policy")
connect, cells, vms = product("_store.connect"), product("_flow.cells"), product("_flow.vms")
admit_requests = product("_flow.admission").admit_requests
rebalance = product("_flow.rebalance").rebalance
read_policy = product("_planning.policy_reader").read_policy
ROOM = np.array([4.0, 8e9, 2e8, 2e8])


def demands(tenants: int, windows: int, resources: int, seed: int = 1) -> Any:
    """Tenants with daily shapes of any phase."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, windows, (tenants, 1))
    shape = 1 + 0.6 * np.cos(2 * np.pi * (np.arange(windows)[None] - phase) / windows)
    mean = np.zeros((tenants, windows, resources), np.float32)
    mean[..., 0] = rng.gamma(2, 0.05, (tenants, 1)) * shape
    mean[..., 1] = rng.gamma(3, 60e6, (tenants, 1))
    for column in range(2, resources):
        mean[..., column] = rng.gamma(2, 1e6, (tenants, 1)) * shape
    variance = (0.3 * mean) ** 2
    variance[..., 1] = 0
    names = tuple(f"t{number}" for number in range(tenants))
    return demand.Demand(names, mean, variance, rng.integers(0, tenants // 4 + 1, tenants))


def cell_of(tenants: int, count: int, resources: int, placed: float) -> Any:
    """A cell of ``count`` VMs in which that share of the tenants is spread evenly."""
    packer = packing.Packer(demands(tenants, 24, resources), np.tile(ROOM[:resources], (count, 1)))
    where = np.where(np.arange(tenants) < placed * tenants, np.arange(tenants) % count, -1)
    packer.fill_in(where)
    machines = [admission.Vm(f"v{number}", zone=f"z{number % 3}", host=f"h{number // 8}") for number in range(count)]
    guests = [admission.Guest(f"t{number}", f"p{number}") for number in range(tenants)]
    return admission.Cell(machines, guests, packer, policies.Policy())


def first_fit(packer: Any, tenant: int) -> int:
    """The first VM with room."""
    room = packer.fits(tenant, np.arange(len(packer.members)))
    return int(room.argmax()) if room.any() else -1


def placements(report: Report, count: int) -> None:
    """Decisions per second: the best of ten batches, so that it holds beside other work."""
    packer = {name: cell_of(20_000, 1000, 3, 0.5).packer for name in ("ours, best fit", "first fit")}
    whole = cell_of(20_000, 1000, 3, 0.5)

    def best_fit(todo: range) -> int:
        ours = packer["ours, best fit"]
        return len([ours.place(one, vm) for one in todo if (vm := ours.choose(one)) >= 0])

    def first(todo: range) -> int:
        peer = packer["first fit"]
        return len([peer.place(one, vm) for one in todo if (vm := first_fit(peer, one)) >= 0])

    works = {
        "ours, best fit": best_fit,
        "first fit": first,
        "ours, whole admission": lambda todo: sum(one.vm >= 0 for one in admission.admit(whole, todo)),
    }
    rows = {}
    size = count // 10
    for name, work in works.items():
        batches = [
            timed(lambda s=start, w=work: w(range(s, s + size))) for start in range(10_000, 10_000 + count, size)
        ]
        cpu, wall = (min(getattr(clock, kind) for _done, clock in batches) for kind in ("cpu", "wall"))
        placed = sum(done for done, _clock in batches)
        rows[name] = {"placed": placed, "per_second": size / cpu, "per_second_wall": size / wall}
    report.table("placements, 1,000 VMs x 24 windows x 3 resources", rows)
    report.figures["placements_per_second"] = rows["ours, best fit"]["per_second"]
    report.figures["admissions_per_second"] = rows["ours, whole admission"]["per_second"]
    report.peers["first fit"] = {"placements_per_second": rows["first fit"]["per_second"]}
    report.require("placements per second of one core", rows["ours, best fit"]["per_second"], 5000)


def _plan(uri: str, out: Any) -> None:
    asked = {"cell": "north", "vms": [], "plan": None, "results": [], "measured": {}, "policy": None}
    with connect.open_store(uri) as store:
        answer, clock = timed(lambda: rebalance(store, {**asked, "mode": "recommend"}, NOW, dry=False))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    out.put((clock.cpu, clock.wall, most, len(answer["plan"]["actions"]) if answer["plan"] else 0))


def plan(report: Report, folder: Path, count: int, tenants: int) -> None:
    """A plan for a whole cell."""
    uri = f"sqlite:///{folder}/plan.db"
    with connect.open_store(uri) as store:
        _done, built = timed(lambda: fill(store, count, tenants))
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    worker = context.Process(target=_plan, args=(uri, out))
    worker.start()
    cpu, wall, most, actions = out.get(timeout=600)
    worker.join()
    row = {"seconds": cpu, "wall": wall, "GiB": most, "actions": actions, "built_in": built.wall}
    report.table(f"a plan for {count} VMs and {tenants} tenants", {"ours": row})
    report.figures.update({"plan_seconds": cpu, "plan_gib": most, "plan_actions": actions})
    report.require("seconds of one core for a plan", cpu, 20.0, least=False)
    report.require("GiB for a plan", most, 2.0, least=False)


def growth(report: Report, sizes: list[int]) -> None:
    """The planner's part of a plan from small to large."""
    rows = {}
    for tenants in sizes:
        count = max(2, tenants // 20)
        cell = cell_of(tenants, count, 4, 0.99)
        for member in range(0, int(0.99 * tenants), 97):  # some VMs become too full
            cell.packer.mean[member] *= 6
        cell.packer.fill_in_again(cell.packer.assignment.copy())
        wide = replace(cell.policy.move, per_run=1.0, per_hour=1.0, per_day=1.0)
        watch = guard.Guard(cell.guests, [()] * tenants, [wide] * tenants, wide, NOW.timestamp())

        def work(cell: Any = cell, watch: Any = watch, tenants: int = tenants) -> int:
            steps, _stuck = moves.relieve(cell, watch)
            steps += moves.consolidate(cell, watch)
            return len(admission.admit(cell, range(int(0.99 * tenants), tenants))) + len(steps)

        done, clock = timed(work)
        share = 1e6 * clock.cpu / (tenants * math.log(tenants))
        rows[f"{tenants} tenants"] = {"VMs": count, "decisions": done, "seconds": clock.cpu, "us_per_n_log_n": share}
    report.table("growth", rows)
    first, last = (rows[f"{size} tenants"]["seconds"] for size in (sizes[0], sizes[-1]))
    allowed = sizes[-1] * math.log(sizes[-1]) / (sizes[0] * math.log(sizes[0]))
    report.figures["growth"] = last / first
    report.require(
        f"growth from {sizes[0]} to {sizes[-1]} tenants, over n log n", last / first / allowed, 1.0, least=False
    )


def _controller(uri: str, name: str, count: int, barrier: Any, out: Any) -> None:
    requests = [{"id": f"{name}{number}", "workload": f"w{number % 40}"} for number in range(count - count // 5)]
    requests += [{"id": f"both{number}", "workload": f"w{number % 40}"} for number in range(count // 5)]
    asked = {"cell": "north", "vms": [], "requests": requests, "expected": None, "policy": None}
    with connect.open_store(uri) as store:
        barrier.wait()
        answer, clock = timed(lambda: admit_requests(store, asked, NOW, dry=False))
    out.put((sum(1 for row in answer["results"] if row["vm"]), clock.wall))


def controllers(report: Report, folder: Path, count: int) -> None:
    """Two controllers at once, more than the cell can hold."""
    uri = f"sqlite:///{folder}/two.db"
    with connect.open_store(uri) as store:
        store.put_many("vms", vm_documents({f"v{number:03d}": {} for number in range(max(4, count // 10))}))
    context = multiprocessing.get_context("spawn")
    barrier, out = context.Barrier(2), context.Queue()
    workers = [context.Process(target=_controller, args=(uri, name, count, barrier, out)) for name in "xy"]
    for worker in workers:
        worker.start()
    told = [out.get(timeout=600) for _worker in workers]
    for worker in workers:
        worker.join()
    with connect.open_store(uri) as store:
        documents = vms.read(store, "north")
        pict = cells.picture(store, documents, {}, [], read_policy(None), NOW)
        fullest = float(pict.cell.packer.used().max())
        promised = max(
            sum(held["memory"] for held in one["allocations"].values()) / CAPACITY["memory"]
            for one in documents.values()
        )
        places = [name for one in documents.values() for name in one["allocations"]]
        running = [one["key"] for one in store.find("tenants", {"cell": "north"}) if one["state"] == "running"]
    wall = max(seconds for _placed, seconds in told)
    row = {
        "requests": 2 * count - count // 5, "placed": len(running), "fullest": fullest, "wall": wall,
        "per_second": 2 * count / wall,
    }  # fmt: skip
    report.table("two controllers", {"ours": row})
    report.figures.update({"controllers_placed": len(running), "controllers_fullest": fullest})
    report.require("two controllers: the fullest VM's forecast peak", fullest, 0.9 + 1e-4, least=False)
    report.require("two controllers: memory promised of a VM", promised, 1.5 + 1e-9, least=False)
    twice = len(places) - len(set(places)) + len(set(places) ^ set(running))
    report.require("two controllers: tenants placed twice, or with no room of their own", twice, 0, least=False)


def main() -> int:
    """Run it."""
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":  # one core: a second thread of numpy's only waits, and counts
        alone = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        return subprocess.run([sys.executable, *sys.argv], env=alone, check=False).returncode
    given = arguments(__doc__ or "").parse_args()
    report = Report("admission", "generated")
    placements(report, 1000 if given.quick else 5000)
    growth(report, [1000, 10_000] if given.quick else [1000, 3000, 10_000, 30_000, 100_000])
    with tempfile.TemporaryDirectory(prefix="tenancy-bench-") as folder:
        controllers(report, Path(folder), 100 if given.quick else 1000)
        plan(report, Path(folder), *((100, 2000) if given.quick else (1000, 20_000)))
    return report.end(given.json)


if __name__ == "__main__":
    sys.exit(main())
