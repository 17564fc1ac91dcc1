# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dynamic consolidation on PlanetLab days, a decision every five minutes, against its peers.

Everybody starts without any history, knows only the past, and has hosts of 16 times the size of a tenant. Overload is
the share of host-time in which the demand exceeds a host. Peers, re-implemented from their descriptions:

* neat: OpenStack Neat (Beloglazov and Buyya, 2015): a host above .8 is overloaded and tenants leave it by minimum
  migration time (all have the same memory, so in the order of the list) until it is not; a host whose last two
  measurements average below .5 is emptied if all of it fits; targets by best-fit decreasing to .8;
* watcher: OpenStack Watcher's basic server consolidation: every hour, by the hour's mean CPU and up to the whole
  capacity, from the least loaded host to the most loaded that has room.

Ours is the product's planner in its simulation, with a policy for hosts that may be filled to the brim.

Stability: a month of enterprise VMs (bitbrains_consolidation), a decision every 15 minutes, with noise of 10 % on every
sample, under the default policy; and the same tenants with a load that never changes, which must not be moved at all
once the first day has shown how little they stray.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from _common import Report, arguments, product, timed

SIZE = 16.0
STEP = 300.0
POLICY: dict[str, Any] = {
    "packing": {"fill": 0.96, "sigma": 2.0, "strategy": "even"},
    "move": {
        "quantile": 0.99, "high": 1.0, "low": 0.95, "per_run": 0.2, "per_hour": 0.3, "per_day": 0.5, "inflow": 20,
        "min_gain": 0.0, "cooldown": "2h",
    },
    "consolidation": {"headroom": False, "ratio": 0.1},
}  # fmt: skip


def days(folder: Path) -> dict[str, np.ndarray]:
    """CPU (tenants, slots) of each published day, 1 is a whole tenant."""
    found = {}
    for path in sorted((folder / "planetlab").glob("*.npz")):
        with np.load(path) as packed:
            cpu = packed["cpu"].astype(float)
        cpu[cpu == 255] = 0.0
        found[path.stem] = cpu / 100
    return found


def loads(place: np.ndarray, usage: np.ndarray, hosts: int) -> np.ndarray:
    """The load of each host."""
    return np.bincount(place, weights=usage, minlength=hosts)


def best_fit(items: list[int], usage: np.ndarray, load: np.ndarray, most: float, barred: set[int]) -> dict[int, int]:
    """Best-fit decreasing into hosts in use, then into an empty one; the load is changed."""
    found = {}
    for item in sorted(items, key=lambda one: -usage[one]):
        free = most - load
        fits = free >= usage[item] - 1e-9
        fits[list(barred)] = False
        used = np.flatnonzero(fits & (load > 0))
        empty = np.flatnonzero(fits & (load <= 0))
        if len(used):
            host = int(used[np.argmin(free[used])])
        elif len(empty):
            host = int(empty[0])
        else:
            continue
        load[host] += usage[item]
        found[item] = host
    return found


class Neat:
    """Overload .8, minimum migration time, best-fit decreasing, underload .5."""

    def __init__(self, usage: np.ndarray, hosts: int) -> None:
        self.hosts = hosts
        self.place = np.zeros(len(usage), dtype=np.int64)
        for item, host in best_fit(list(range(len(usage))), usage, np.zeros(hosts), 0.8 * SIZE, set()).items():
            self.place[item] = host
        self.before = loads(self.place, usage, hosts)

    def step(self, usage: np.ndarray) -> int:
        """One decision; returns the moves."""
        load = loads(self.place, usage, self.hosts)
        hot = {int(host) for host in np.flatnonzero(load > 0.8 * SIZE)}
        leaving = []
        for host in hot:
            for item in np.flatnonzero(self.place == host):
                if load[host] <= 0.8 * SIZE:
                    break
                load[host] -= usage[item]
                leaving.append(int(item))
        moves = self._move(best_fit(leaving, usage, load, 0.8 * SIZE, hot))
        moves += self._empty(usage, hot)
        self.before = loads(self.place, usage, self.hosts)
        return moves

    def _move(self, found: dict[int, int]) -> int:
        moves = sum(int(self.place[item] != host) for item, host in found.items())
        for item, host in found.items():
            self.place[item] = host
        return moves

    def _empty(self, usage: np.ndarray, hot: set[int]) -> int:
        moves = 0
        while True:
            load = loads(self.place, usage, self.hosts)
            used = [int(host) for host in np.unique(self.place) if int(host) not in hot]
            if len(used) < 2:
                return moves
            host = min(used, key=lambda one: load[one])
            if (load[host] + self.before[host]) / 2 >= 0.5 * SIZE:
                return moves
            items = [int(item) for item in np.flatnonzero(self.place == host)]
            others = {one for one in range(self.hosts) if one not in used or one == host}
            found = best_fit(items, usage, load, 0.8 * SIZE, others)
            if len(found) < len(items):
                return moves
            moves += self._move(found)


class Watcher:
    """Every hour, by the hour's mean, up to the whole capacity."""

    def __init__(self, usage: np.ndarray, hosts: int) -> None:
        self.hosts = hosts
        self.place = np.zeros(len(usage), dtype=np.int64)
        for item, host in best_fit(list(range(len(usage))), usage, np.zeros(hosts), SIZE, set()).items():
            self.place[item] = host
        self.seen: list[np.ndarray] = []

    def step(self, usage: np.ndarray) -> int:
        """One decision; returns the moves."""
        self.seen.append(usage)
        if len(self.seen) % 12:
            return 0
        mean = np.mean(self.seen[-12:], axis=0)
        moves = 0
        for host in sorted(np.unique(self.place), key=lambda one: loads(self.place, mean, self.hosts)[one]):
            load = loads(self.place, mean, self.hosts)
            if load[host] <= 0:
                continue
            for item in np.flatnonzero(self.place == host):
                fits = np.flatnonzero((load > load[host]) & (load + mean[item] <= SIZE))
                if len(fits):
                    target = int(fits[np.argmax(load[fits])])
                    load[host] -= mean[item]
                    load[target] += mean[item]
                    self.place[item] = target
                    moves += 1
        return moves


def run_peer(kind: type[Neat] | type[Watcher], cpu: np.ndarray) -> dict[str, float]:
    """One peer through one day."""
    hosts = len(cpu)
    peer = kind(cpu[:, 0], hosts)
    used = over = moves = 0
    for slot in range(cpu.shape[1]):
        load = loads(peer.place, cpu[:, slot], hosts)
        active = np.unique(peer.place)
        used += len(active)
        over += int((load[active] > SIZE + 1e-9).sum())
        moves += peer.step(cpu[:, slot])
    length = cpu.shape[1] * STEP / 86400
    return {"hosts": used / cpu.shape[1], "overload_%": 100 * over / used, "moves": moves / len(cpu) / length}


def run_ours(cpu: np.ndarray) -> dict[str, float]:
    """The product's simulation through one day."""
    simulate, admission = product("_planning.simulate"), product("_planning.admission")
    usage = np.zeros((*cpu.shape, 4))
    usage[..., 0] = cpu
    hosts = int(np.ceil(cpu.sum(axis=0).max() / SIZE * 2)) + 4
    scenario = simulate.Scenario(
        usage,
        np.tile([SIZE, np.inf, np.inf, np.inf], (hosts, 1)),
        [admission.Guest(f"t{number}", f"p{number}") for number in range(len(cpu))],
        STEP,
    )
    figures = simulate.simulate(scenario, product("_planning.policy_reader").read_policy(POLICY)).figures()
    return {
        "hosts": figures["vms"],
        "overload_%": 100 * figures["overload"],
        "moves": figures["moves_per_tenant_day"],
        "returns": figures["returns"],
    }


def month(folder: Path, days_kept: int) -> np.ndarray | None:
    """CPU in cores and memory in GB (tenants, slots of 15 minutes, 4) of the enterprise VMs."""
    for path in sorted((folder / "bitbrains_consolidation").glob("*.npz")):
        with np.load(path) as packed:
            cpu = np.where(packed["cpu"] == 255, 0, packed["cpu"]).astype(np.float32) * packed["cores"][:, None] / 100
            share = np.where(packed["memory_hourly_max"] == 255, 0, packed["memory_hourly_max"]).astype(np.float32)
            memory = share / 100 * packed["mem_mb"][:, None] / 1024
        slots = min(cpu.shape[1] // 3, memory.shape[1] * 4, days_kept * 96)
        usage = np.zeros((len(cpu), slots, 4), np.float32)
        usage[..., 0] = cpu[:, : 3 * slots].reshape(len(cpu), slots, 3).mean(axis=2)
        usage[..., 1] = np.repeat(memory, 4, axis=1)[:, :slots]
        return usage
    return None


def stability(report: Report, folder: Path, days_kept: int) -> None:
    """Moves under the default policy in a noisy month, and under a constant load."""
    simulate, admission = product("_planning.simulate"), product("_planning.admission")
    policy = product("_planning.policy").Policy()
    usage = month(folder, days_kept)
    if usage is None:
        return
    noise = np.random.default_rng(1).normal(1.0, 0.1, usage.shape[:2]).clip(0.5, 1.5)
    noisy = usage.copy()
    noisy[..., 0] *= noise
    constant = np.repeat(usage.mean(axis=1, keepdims=True), min(usage.shape[1], 7 * 96), axis=1)
    capacity = np.tile([64.0, 512.0, np.inf, np.inf], (40, 1))
    guests = [admission.Guest(f"t{number}", f"p{number}") for number in range(len(usage))]
    rows = {}
    for name, load in (("a noisy month", noisy), ("a constant load", constant)):
        scenario = simulate.Scenario(load, capacity, guests, 900.0)
        record, clock = timed(lambda one=scenario: simulate.simulate(one, policy))
        late = sum(at >= 96 for at, *_move in record.moved)
        rows[name] = {**record.figures(), "moves_after_a_day": late, "days": record.days, "seconds": clock.cpu}
    report.table("stability, default policy", rows)
    shaky = rows["a noisy month"]
    report.figures.update(
        {f"month_{key}": shaky[key] for key in ("vms", "overload", "moves_per_tenant_day", "returns")}
    )
    report.require("a noisy month: moves per tenant and day", shaky["moves_per_tenant_day"], 0.5, least=False)
    report.require("a noisy month: moves back within a day", shaky["returns"], 0.0, least=False)
    report.require("a constant load: moves after a day", rows["a constant load"]["moves_after_a_day"], 0.0, least=False)


def main() -> int:
    """Run it."""
    given = arguments(__doc__ or "").parse_args()
    report = Report("consolidation", str(given.data))
    stability(report, given.data, 7 if given.quick else 30)
    found = days(given.data)
    if given.quick:
        found = dict(list(found.items())[:2])
    every: dict[str, list[dict[str, float]]] = {}
    for day, cpu in found.items():
        shown = {}
        for name, run in (
            ("ours", run_ours),
            ("neat", lambda cpu: run_peer(Neat, cpu)),
            ("watcher", lambda cpu: run_peer(Watcher, cpu)),
        ):
            shown[name], clock = timed(lambda run=run, cpu=cpu: run(cpu))
            every.setdefault(name, []).append(dict(shown[name]))
            shown[name]["seconds"] = clock.wall
        report.table(f"planetlab {day}: {len(cpu)} tenants, moves per tenant and day", shown)
    means = {name: {key: float(np.mean([one[key] for one in rows])) for key in rows[0]} for name, rows in every.items()}
    report.table("mean over the days", means)
    ours, neat = means.pop("ours"), means["neat"]
    report.figures.update(ours)
    report.peers.update(means)
    report.require("hosts, against neat", ours["hosts"], neat["hosts"], least=False)
    report.require("overloaded host-time in %, against neat", ours["overload_%"], neat["overload_%"], least=False)
    report.require("moves, against a third of neat's", ours["moves"], neat["moves"] / 3, least=False)
    report.require("moves per tenant and day", ours["moves"], 0.5, least=False)
    report.require("moves back within a day", ours["returns"], 0.0, least=False)
    return report.end(given.json)


if __name__ == "__main__":
    sys.exit(main())
