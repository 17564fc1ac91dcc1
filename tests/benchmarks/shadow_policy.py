# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which shadows to hold, for how long: cold starts against waste, out of sample, beside fixed keep-alives and the
hybrid histogram.

A run is the time in which a tenant is busy; what counts is the gap from its end to the next run. Every method decides
at the end of each run from the runs before it alone, and is judged on the later part of the trace (the days after the
first week, or the second half of a single day); what all tenants have in common comes from the part before. Waste is
the time that shadows waited, in seconds, and in GiB-seconds where tenants' memory is known.

* bitbrains: enterprise VMs with bursts, busy while they use 10 % of their CPU or more;
* azure: serverless apps, busy in minutes with at least one container.

Peers, re-implemented from their descriptions:

* keep 10 min, keep 1 h: a fixed keep-alive;
* hybrid: the hybrid histogram (Shahrad et al., Serverless in the Wild, USENIX ATC 2020): a histogram of gaps in
  minutes up to 4 h; from 90 % of its 5th to 110 % of its 99th percentile where it is concentrated (the coefficient of
  variation of its bins is at least 2), else for 4 h from the start; where most gaps are longer than 4 h, 15 % around a
  forecast of the gap (there by ARIMA, here by the mean of the last 20).

Ours is the product's rule at several prices of a cold start. It is compared at the hybrid histogram's number of cold
starts, between the two prices around it.
"""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _common import Report, arguments, load, product, rows, timed

waiting = product("_planning.waiting")
MINUTE, DAY = 60.0, 86400.0
RANGE = 240  # minutes of the hybrid histogram
PRICES = np.geomspace(30.0, 200_000.0, 36)
MOST = 0.65  # of the hybrid histogram's waste, at its cold starts


@dataclass(frozen=True)
class Tenant:
    """Runs from ``starts`` to ``ends`` (seconds), judged from ``since`` on, with ``memory`` in GiB."""

    starts: np.ndarray
    ends: np.ndarray
    since: float
    memory: float

    @property
    def gaps(self) -> np.ndarray:
        """The time before each run but the first."""
        return self.starts[1:] - self.ends[:-1]

    @property
    def judged(self) -> np.ndarray:
        """Which of the gaps count."""
        return self.starts[1:] >= self.since


def runs(busy: np.ndarray, step: float, since: float, memory: float) -> Tenant:
    """A tenant from the slots in which it is busy."""
    edges = np.diff(np.concatenate([[0], busy.astype(int), [0]]))
    return Tenant(np.flatnonzero(edges == 1) * step, np.flatnonzero(edges == -1) * step, since, memory)


def bitbrains(folder: Path) -> list[Tenant]:
    """The tenants that BURSTS.csv lists."""
    names = {row["series_id"] for row in rows(folder / "bitbrains_consolidation" / "BURSTS.csv")}
    found = []
    for path in sorted((folder / "bitbrains_consolidation").glob("*.npz")):
        with np.load(path) as packed:
            cpu = np.where(packed["cpu"] == 255, 0, packed["cpu"]).astype(float)
            for row, name in enumerate(packed["series_id"]):
                if str(name) in names:
                    memory = float(packed["mem_mb"][row]) / 1024
                    found.append(runs(cpu[row] >= 10, float(packed["step"]), 7 * DAY, memory))
    return [one for one in found if one.judged.any()]


def azure(folder: Path) -> list[Tenant]:
    """Every app that is idle at least once in the second half of the day."""
    place = folder / "azure_functions_apps"
    sizes: dict[str, float] = {}
    if (place / "META.csv").is_file():
        with (place / "META.csv").open(newline="") as handle:
            sizes = {row["series_id"]: float(row["avg_mem_mb"] or 170) for row in csv.DictReader(handle)}
    found = []
    for name, series in load(place).items():
        memory = sizes.get(name, 170.0) / 1024
        found.append(runs(np.nan_to_num(series["value"]) > 0, MINUTE, DAY / 2, memory))
    return [one for one in found if one.judged.any()]


def fixed(tenant: Tenant, keep: float) -> tuple[float, float]:
    """Cold starts and seconds held of a keep-alive."""
    gaps = tenant.gaps[tenant.judged]
    return float((gaps > keep).sum()), float(np.minimum(gaps, keep).sum())


def _hybrid_window(histogram: np.ndarray, longer: int, last: np.ndarray) -> tuple[float, float]:
    seen = histogram.sum()
    if seen + longer > 0 and longer > 0.5 * (seen + longer):
        mean = float(last.mean())
        return 0.85 * mean, 1.15 * mean
    if seen >= 2 and histogram.std() / histogram.mean() >= 2:
        share = np.cumsum(histogram) / seen
        first, final = int(np.searchsorted(share, 0.05)), int(np.searchsorted(share, 0.99)) + 1
        return 0.9 * first * MINUTE, 1.1 * final * MINUTE
    return 0.0, RANGE * MINUTE


def hybrid(tenant: Tenant) -> tuple[float, float]:
    """Cold starts and seconds held of the hybrid histogram."""
    cold = held = 0.0
    histogram, longer = np.zeros(RANGE), 0
    for number, (gap, judged) in enumerate(zip(tenant.gaps, tenant.judged)):
        if judged:
            begin, end = _hybrid_window(histogram, longer, tenant.gaps[max(0, number - 20) : number])
            cold += float(gap < begin or gap > end)
            held += max(0.0, min(gap, end) - begin)
        if gap < RANGE * MINUTE:
            histogram[int(gap // MINUTE)] += 1
        else:
            longer += 1
    return cold, held


def peers(tenants: list[Tenant], *, weighted: bool) -> dict[str, dict[str, float]]:
    """Cold starts and waste of all tenants together."""
    methods = {
        "keep 10 min": lambda one: fixed(one, 600.0),
        "keep 1 h": lambda one: fixed(one, 3600.0),
        "hybrid": hybrid,
    }
    found = {}
    for name, method in methods.items():
        each = [(method(one), one.memory if weighted else 1.0) for one in tenants]
        found[name] = {"cold": sum(one[0] for one, _m in each), "waste": sum(one[1] * m for one, m in each)}
    return found


def ours(tenants: list[Tenant], *, weighted: bool) -> tuple[np.ndarray, np.ndarray]:
    """Cold starts and waste (prices,) of the product's rule."""
    prior = waiting.common(one.gaps[~one.judged] for one in tenants)
    cold, waste = np.zeros(len(PRICES)), np.zeros(len(PRICES))
    usual = float(np.median([one.memory for one in tenants]))
    for one in tenants:
        # A cold start is worth the same everywhere, a second of waiting costs what the tenant holds.
        memory, price = (one.memory, PRICES * usual / one.memory) if weighted else (1.0, PRICES)
        kept = waiting.replay(one.starts, one.ends, price, prior, one.since)
        cold += kept.cold
        waste += memory * kept.held
    return cold, waste


def measure(report: Report, name: str, tenants: list[Tenant]) -> None:
    """Both kinds of waste on one set."""
    requests = sum(int(one.judged.sum()) for one in tenants)
    for unit, weighted in (("seconds", False), ("GiB-seconds", True)):
        shown = peers(tenants, weighted=weighted)
        (cold, waste), clock = timed(lambda w=weighted: ours(tenants, weighted=w))
        target = shown["hybrid"]
        report.figures[f"{name}_{unit}_decisions_per_second"] = requests / max(clock.cpu, 1e-9)
        for number in range(0, len(PRICES), 5):
            shown[f"ours, {PRICES[number]:.0f} s"] = {"cold": cold[number], "waste": waste[number]}
        order = np.argsort(cold, kind="stable")
        ours_there = float(np.interp(target["cold"], cold[order], waste[order]))
        shown["ours, as cold as hybrid"] = {"cold": target["cold"], "waste": ours_there}
        for row in shown.values():
            row["cold_%"] = 100 * row["cold"] / requests
            row["of_hybrid"] = row["waste"] / target["waste"]
        report.table(f"{name}: {len(tenants)} tenants, {requests} requests, waste in {unit}", shown)
        report.peers[f"{name} {unit}"] = {key: row["waste"] for key, row in shown.items() if not key.startswith("ours")}
        reached = bool(cold.min() <= target["cold"])
        value = ours_there / target["waste"] if reached else float("inf")
        report.figures[f"{name}_{unit}_of_hybrid"] = value
        report.require(f"{name}: waste at the hybrid histogram's cold starts, {unit}", value, MOST, least=False)


def main() -> int:
    """Run it."""
    given = arguments(__doc__ or "").parse_args()
    report = Report("shadow_policy", str(given.data))
    for name, tenants in (("bitbrains", bitbrains(given.data)), ("azure", azure(given.data))):
        if tenants:
            measure(report, name, tenants[:40] if given.quick else tenants)
    return report.end(given.json)


if __name__ == "__main__":
    sys.exit(main())
