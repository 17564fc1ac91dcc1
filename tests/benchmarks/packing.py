# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Temporal packing against its peers, out of sample: planned on the days before, judged on the day after.

A plan is made anew for each day from the history alone; then the day's real usage runs in it. Overload is the share of
VM-time (VMs in use x slots) in which the sum of the tenants exceeds the VM's CPU or memory. Peers, re-implemented from
their descriptions, all with first-fit decreasing:

* ffd_peak: the maximum of the history, ffd_p95: its 95th percentile;
* coach: the 95th percentile in each of 6 windows of the day (Coach, ASPLOS 2025);
* vpa: the decaying 90th percentile of CPU (half-life a day) plus 15 % (the Kubernetes vertical pod autoscaler);
* nsigma: mean + 3 standard deviations, pooled, without windows (N-sigma, Borg overcommit, EuroSys 2021);
* mean: the mean, which shows what ignoring peaks costs.

Memory is packed by its maximum in all of them. The static part packs sizes that do not change.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _common import Report, arguments, timed
from ansible_collections.predictive.tenancy.plugins.module_utils._planning import demand as dem
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.policy import Packing
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.wholeplan import gap, pack_all

SLOTS = 288
MOST = 0.001  # overloaded VM-time
POLICY = Packing()


@dataclass(frozen=True)
class Trial:
    """One day to judge: ``history`` (n, days, slots, R) before it, ``usage`` (n, slots, R) on it, the VM's capacity."""

    history: np.ndarray
    usage: np.ndarray
    capacity: np.ndarray


def bitbrains(folder: Path, days: int = 7) -> list[Trial]:
    """Each day that has ``days`` before it: CPU in cores of 528 enterprise VMs and their hourly maxima of memory in GB,
    into VMs of 64 cores and 512 GB."""
    trials: list[Trial] = []
    for path in sorted((folder / "bitbrains_consolidation").glob("*.npz")):
        with np.load(path) as packed:
            cpu = packed["cpu"].astype(np.float32)
            memory = packed["memory_hourly_max"].astype(np.float32)
            cores, size = packed["cores"].astype(np.float32), packed["mem_mb"].astype(np.float32) / 1024
        cpu[cpu == 255], memory[memory == 255] = np.nan, np.nan
        whole = cpu.shape[1] // SLOTS
        usage = np.zeros((len(cpu), whole, SLOTS, 4), np.float32)
        usage[..., 0] = (cpu / 100 * cores[:, None])[:, : whole * SLOTS].reshape(len(cpu), whole, SLOTS)
        hourly = np.repeat(memory / 100 * size[:, None], SLOTS // 24, axis=1)
        usage[..., 1] = hourly[:, : whole * SLOTS].reshape(len(cpu), whole, SLOTS)
        capacity = np.array([64.0, 512.0, np.inf, np.inf])
        trials += [Trial(usage[:, day - days : day], usage[:, day], capacity) for day in range(days, whole)]
    return trials


def planetlab(folder: Path) -> list[Trial]:
    """Each published day after another one, with the VMs of both, into VMs of 16 times their size."""
    loaded = []
    for path in sorted((folder / "planetlab").glob("*.npz")):
        with np.load(path) as packed:
            cpu = packed["cpu"].astype(np.float32)
            cpu[cpu == 255] = np.nan
            loaded.append(({str(name): row for row, name in enumerate(packed["series_id"])}, cpu / 100))
    trials = []
    for (first, before), (second, after) in zip(loaded, loaded[1:]):
        both = sorted(set(first) & set(second))
        usage = np.zeros((len(both), 2, SLOTS, 4), np.float32)
        usage[:, 0, :, 0] = before[[first[name] for name in both]][:, :SLOTS]
        usage[:, 1, :, 0] = after[[second[name] for name in both]][:, :SLOTS]
        trials.append(Trial(usage[:, :1], usage[:, 1], np.array([16.0, np.inf, np.inf, np.inf])))
    return trials


def first_fit(sizes: np.ndarray, capacity: np.ndarray) -> np.ndarray:
    """First-fit decreasing of ``sizes`` (n, features), all of which must fit into ``capacity`` (features,)."""
    order = np.argsort(-(sizes / capacity).max(axis=1), kind="stable")
    load = np.zeros((len(sizes), sizes.shape[1]))
    used = 0
    assignment = np.zeros(len(sizes), dtype=np.int64)
    for item in order:
        fits = (load[: used + 1] + sizes[item] <= capacity + 1e-6).all(axis=1)
        vm = int(np.argmax(fits)) if fits.any() else used
        load[vm] += sizes[item]
        assignment[item] = vm
        used = max(used, vm + 1)
    return assignment


def _flat(trial: Trial) -> tuple[np.ndarray, np.ndarray]:
    """CPU (n, days * slots) and the maximum of memory (n,) of the history."""
    cpu = trial.history[..., 0].reshape(len(trial.history), -1)
    return cpu, np.nanmax(np.nan_to_num(trial.history[..., 1]), axis=(1, 2))


def _by(size: Callable[[np.ndarray], np.ndarray]) -> Callable[[Trial], np.ndarray]:
    def plan(trial: Trial) -> np.ndarray:
        cpu, memory = _flat(trial)
        return first_fit(np.stack([size(cpu), memory], axis=1), trial.capacity[:2])

    return plan


def coach(trial: Trial) -> np.ndarray:
    """The 95th percentile in 6 windows of the day."""
    _cpu, memory = _flat(trial)
    shape = (len(trial.history), trial.history.shape[1], 6, SLOTS // 6)
    windows = np.moveaxis(trial.history[..., 0].reshape(shape), 2, 1).reshape(len(memory), 6, -1)
    sizes = np.concatenate([np.nanpercentile(windows, 95, axis=2), memory[:, None]], axis=1)
    return first_fit(sizes, np.r_[np.full(6, trial.capacity[0]), trial.capacity[1]])


def vpa(trial: Trial) -> np.ndarray:
    """The decaying 90th percentile plus 15 %; memory by its peak plus 15 %."""
    cpu, memory = _flat(trial)
    age = (cpu.shape[1] - 1 - np.arange(cpu.shape[1])) / SLOTS
    order = np.argsort(np.nan_to_num(cpu), axis=1)
    weight = np.cumsum((0.5**age)[order], axis=1)
    at = (weight >= 0.9 * weight[:, -1:]).argmax(axis=1)
    level = np.nan_to_num(cpu)[np.arange(len(cpu)), order[np.arange(len(cpu)), at]]
    sizes = np.minimum(1.15 * np.stack([level, memory], axis=1), trial.capacity[:2])
    return first_fit(sizes, trial.capacity[:2])


def nsigma(trial: Trial) -> np.ndarray:
    """Mean + 3 standard deviations, pooled over the tenants of a VM, first fit."""
    cpu, memory = _flat(trial)
    mean, variance = np.nanmean(cpu, axis=1), np.nanvar(cpu, axis=1)
    order = np.argsort(-(mean + 3 * np.sqrt(variance)), kind="stable")
    load = np.zeros((len(cpu), 3))
    each = np.stack([mean, variance, memory], axis=1)
    assignment = np.zeros(len(cpu), dtype=np.int64)
    for item in order:
        after = load + each[item]
        peak = after[:, 0] + 3 * np.sqrt(after[:, 1])
        vm = int(np.argmax((peak <= trial.capacity[0]) & (after[:, 2] <= trial.capacity[1]) | (load[:, 0] == 0)))
        load[vm], assignment[item] = after[vm], vm
    return assignment


def ours(trial: Trial) -> np.ndarray:
    """The product's whole plan with its default policy, from the windows of the days before."""
    mean, variance = dem.from_history(trial.history, POLICY.windows)
    count, days = len(mean), float(trial.history.shape[1])
    mean, variance = dem.widened(mean, variance, np.full(count, days), POLICY.novelty)
    demand = dem.Demand(tuple(str(number) for number in range(count)), mean, variance, np.arange(count))
    return pack_all(demand, trial.capacity, fill=POLICY.fill, sigma=POLICY.sigma, correlation=0.0)


METHODS: dict[str, Callable[[Trial], np.ndarray]] = {
    "ours": ours,
    "ffd_peak": _by(lambda cpu: np.nanmax(cpu, axis=1)),
    "ffd_p95": _by(lambda cpu: np.nanpercentile(cpu, 95, axis=1)),
    "coach": coach,
    "vpa": vpa,
    "nsigma": nsigma,
    "mean": _by(lambda cpu: np.nanmean(cpu, axis=1)),
}


def judge(trial: Trial, assignment: np.ndarray) -> tuple[int, int, int]:
    """VMs used, overloaded VM-slots, all VM-slots. A tenant without a VM (it is larger than one) gets its own."""
    alone = assignment < 0
    assignment = np.where(alone, assignment.max(initial=-1) + np.cumsum(alone), assignment)
    load = np.zeros((int(assignment.max()) + 1, *trial.usage.shape[1:]))
    np.add.at(load, assignment, np.nan_to_num(trial.usage))
    over = (load > trial.capacity + 1e-6).any(axis=2)
    return len(load), int(over.sum()), over.size


def dynamic(report: Report, name: str, trials: list[Trial]) -> None:
    """All methods over all days of one set."""
    shown: dict[str, dict[str, float]] = {}
    for method, plan in METHODS.items():
        judged, clock = timed(lambda plan=plan: [judge(trial, plan(trial)) for trial in trials])
        vms, over, total = (sum(one[part] for one in judged) for part in range(3))
        shown[method] = {
            "vms": vms / len(trials),
            "overload_%": 100 * over / total,
            "seconds_a_plan": clock.wall / len(trials),
        }
    report.table(f"{name}: {len(trials)} days, {len(trials[0].usage)} tenants on the first", shown)
    for method, row in shown.items():
        target = report.figures if method == "ours" else report.peers.setdefault(method, {})
        target.update({f"{name}_{key}": value for key, value in row.items()})
    good = [row["vms"] for method, row in shown.items() if method != "ours" and row["overload_%"] <= 100 * MOST]
    report.require(f"{name}: overloaded VM-time in %", shown["ours"]["overload_%"], 100 * MOST, least=False)
    if good:
        report.require(
            f"{name}: VMs, against the best peer within the overload", shown["ours"]["vms"], min(good), least=False
        )


def static(report: Report, folder: Path) -> None:
    """Sizes that do not change: how far above the lower bound."""
    rows: dict[str, dict[str, float]] = {}
    for name, (sizes, capacity) in static_sets(folder).items():
        mean = np.zeros((len(sizes), 1, 4))
        mean[:, 0, : sizes.shape[1]] = sizes
        demand = dem.Demand(
            tuple(str(number) for number in range(len(sizes))), mean, np.zeros_like(mean), np.arange(len(sizes))
        )
        room = np.r_[capacity, np.full(4 - len(capacity), np.inf)]
        assignment, clock = timed(lambda d=demand, c=room: pack_all(d, c, fill=1.0, sigma=0.0, correlation=0.0))
        bound = dem.lower_bound(demand, room)
        above = 100 * gap(assignment, demand, room)
        ffd = int(first_fit(sizes, capacity).max()) + 1
        rows[name] = {
            "tenants": len(sizes),
            "bound": bound,
            "vms": bound * (1 + above / 100),
            "gap_%": above,
            "ffd_gap_%": 100 * (ffd / bound - 1),
            "seconds": clock.wall,
        }
        report.figures[f"static_{name}_gap_%"] = above
        report.peers.setdefault("ffd", {})[f"static_{name}_gap_%"] = rows[name]["ffd_gap_%"]
        report.require(f"static {name}: gap to the lower bound in %", above, 1.0, least=False)
    report.table("static sizes", rows)


def static_sets(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Sizes (n, resources) and the capacity of a VM: provisioned cores and GB, and P95 of CPU."""
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for path in sorted((folder / "bitbrains_consolidation").glob("*.npz")):
        with np.load(path) as packed:
            sizes = np.stack([packed["cores"], packed["mem_mb"] / 1024], axis=1).astype(float)
        found["bitbrains"] = (sizes, np.array([64.0, 512.0]))
    levels = []
    for path in sorted((folder / "planetlab").glob("*.npz")):
        with np.load(path) as packed:
            levels.append(np.percentile(packed["cpu"].astype(float) / 100, 95, axis=1))
    if levels:
        found["planetlab"] = (np.maximum(np.concatenate(levels), 0.001)[:, None], np.array([4.0]))
    return found


def main() -> int:
    """Run it."""
    parser = arguments(__doc__ or "")
    given = parser.parse_args()
    report = Report("packing", str(given.data))
    for name, trials in (("bitbrains", bitbrains(given.data)), ("planetlab", planetlab(given.data))):
        if trials:
            dynamic(report, name, trials[:6] if given.quick else trials)
    static(report, given.data)
    return report.end(given.json)


if __name__ == "__main__":
    sys.exit(main())
