# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrival periodicity: hits and false alarms on generated request times whose truth is known, intervals, speed.

No public trace has request times with a known schedule, so they are generated, seeded: 5 % jitter, 5 % missing, 10 %
extra. Where the data folder has on/off tenants, the begins of their bursts are tried as real arrivals too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import _common
import numpy as np
import periodicity_detection
import pyriodicity

arrivals = _common.product("_model.arrivals")
calendars = _common.product("_model.calendars")

DAY = 86400.0
MONDAY = 1767571200.0  # 2026-01-05
PERIODS = (30.0, 47.0, 60.0, 133.7, 300.0, 600.0, 777.0, 900.0, 1800.0, 3600.0, 5000.0, 21600.0, 43200.0, 86400.0)
COUNTS = (24, 40, 100, 300, 1000)
_WITHIN = 0.05
_AHEAD = 20
LEVELS = (0.5, 0.8, 0.9, 0.95)


def train(rng: np.random.Generator, period: float, count: int, jitter: float = 0.05) -> np.ndarray:
    """A periodic schedule with jitter, 5 % missing and 10 % extra arrivals."""
    times = MONDAY + np.arange(count) * period + rng.uniform(0, period) + rng.normal(0, jitter * period, count)
    times = times[rng.random(count) >= 0.05]
    extra = rng.uniform(times.min(), times.max(), rng.poisson(0.1 * count))
    return np.sort(np.concatenate([times, extra]))


def chance(rng: np.random.Generator, count: int) -> np.ndarray:
    """Poisson arrivals over minutes to months."""
    return np.sort(MONDAY + rng.uniform(0, 10 ** rng.uniform(3, 7), count))


def rhythm(rng: np.random.Generator, count: int) -> np.ndarray:
    """Chance arrivals that are dense by day and rare by night."""
    times = MONDAY + rng.uniform(0, 20 * DAY, 2 * count)
    return np.sort(times[rng.random(2 * count) < (1 + np.cos(times % DAY / DAY * 2 * np.pi)) / 2])


def judged(series: list[np.ndarray], zones: list[str] | None = None) -> list[object]:
    """The model of each series as of its own end."""
    found = []
    for index, times in enumerate(series):
        zone = [zones[index]] if zones else None
        found += arrivals.detect([times], now=float(times[-1]) + 1.0, timezones=zone)
    return found


def hit(period: float | None, truth: float) -> bool:
    """Whether a period is right."""
    return period is not None and abs(period / truth - 1) <= _WITHIN


def score(found: list[float | None], truth: list[float | None]) -> dict[str, float]:
    """F1 of right periods, and false alarms among series without one."""
    right = sum(hit(period, real) for period, real in zip(found, truth) if real is not None)
    claimed = sum(period is not None for period in found)
    real = sum(item is not None for item in truth)
    false = [period is not None for period, item in zip(found, truth) if item is None]
    return {"f1": 2 * right / max(claimed + real, 1), "false_alarms": float(np.mean(false)) if false else 0.0}


def modal_gap(times: np.ndarray) -> float | None:
    """What a simple detector does: the median gap, if most gaps are within 20 % of it."""
    gaps = np.diff(times)
    middle = float(np.median(gaps))
    return middle if np.mean(np.abs(gaps - middle) < 0.2 * middle) > 0.5 else None


def spectrum_of_counts(times: np.ndarray) -> float | None:
    """What a detector for usage series does: the strongest frequency of counts in 512 bins, if it stands out."""
    counts, edges = np.histogram(times, bins=512)
    power = np.abs(np.fft.rfft(counts - counts.mean())) ** 2
    best = int(power[2:].argmax()) + 2
    step = float(edges[1] - edges[0])
    return 512 * step / best if power[best] > 12 * power[1:].mean() else None


def _counts(times: np.ndarray) -> tuple[np.ndarray, float]:
    """Counts in bins of a sixteenth of the median gap, 1,024 at most of the newest, and the length of a bin."""
    step = max(float(np.median(np.diff(times))) / 16, 1e-3)
    newest = times[times > times[-1] - 1024 * step]
    return np.bincount(((newest - newest[0]) // step).astype(int)).astype(float), step


def length_of_counts(times: np.ndarray) -> float | None:
    """periodicity-detection's find_length on counts."""
    counts, step = _counts(times)
    found = periodicity_detection.find_length(counts)
    return float(found) * step if found is not None and found > 1 else None


def autoperiod_of_counts(times: np.ndarray) -> float | None:
    """pyriodicity's Autoperiod on counts; where it fails it finds nothing."""
    counts, step = _counts(times)
    try:
        found = np.atleast_1d(pyriodicity.Autoperiod.detect(counts, seed=0))
    except (ValueError, IndexError, ZeroDivisionError, TypeError):
        return None
    return float(found[0]) * step if found.size and found[0] else None


PEERS = {
    "median gap": modal_gap,
    "spectrum of counts": spectrum_of_counts,
    "find_length of counts": length_of_counts,
    "autoperiod of counts": autoperiod_of_counts,
}


def clock(zone: str, days: tuple[int, ...], hours: np.ndarray, start: float, count: int) -> np.ndarray:
    """The times of a cron-like schedule in a time zone."""
    first = int(start // DAY)
    chosen = [day for day in range(first, first + count) if (day + 3) % 7 in days]
    return np.sort([calendars.to_utc(day * DAY + hour * 3600, zone) for day in chosen for hour in hours])


def foretold(times: np.ndarray, zone: str, part: float = 0.75) -> float:
    """Learn on the first part; the share (F1) of the next expected arrivals and the next real ones that meet within 2 %
    of a day or a quarter of the gap."""
    cut = int(part * len(times))
    seen, later = times[:cut], times[cut : cut + _AHEAD]
    model = judged([seen], [zone])[0]
    if model.burst > 1.5:
        later = times[1:][np.diff(times) > 60.0]
        later = later[later > seen[-1]][:_AHEAD]
    coming = np.array([item[0] for item in arrivals.next_arrivals(model, seen[-1] + 1, later[-1] + 2)])
    if not len(coming):
        return 0.0
    gaps = np.diff(later)
    reach = min(0.25 * float(np.median(gaps)), 0.02 * DAY)
    met = (np.abs(later[:, None] - coming[None, :]).min(axis=1) <= reach).sum()
    real = (np.abs(coming[:, None] - later[None, :]).min(axis=1) <= reach).sum()
    return float((met + real) / (len(later) + len(coming)))


def schedules(rng: np.random.Generator, count: int) -> dict[str, Callable[[], tuple[np.ndarray, str]]]:
    """Kinds of schedules that are more than one train, each with a maker of (times, zone)."""
    spring, autumn = MONDAY + 50 * DAY, MONDAY + 265 * DAY
    work = (0, 1, 2, 3, 4)

    def at(start: float, days: tuple[int, ...], hours: np.ndarray) -> tuple[np.ndarray, str]:
        zone = str(rng.choice(["Europe/Berlin", "America/New_York", "UTC"]))
        return clock(zone, days, hours, start + rng.integers(0, 20) * DAY, count), zone

    def bursts() -> tuple[np.ndarray, str]:
        # Each burst comes as one arrival: what is asked is when the next one begins.
        first = MONDAY + np.arange(200) * 600.0 + rng.normal(0, 15, 200)
        return np.sort(np.concatenate([one + rng.exponential(2, rng.integers(2, 7)).cumsum() for one in first])), "UTC"

    def two() -> tuple[np.ndarray, str]:
        first, second = rng.choice([300.0, 420.0, 660.0, 900.0], 2, replace=False)
        parts = [MONDAY + rng.uniform(0, 300) + np.arange(int(4e5 / p)) * p for p in (first, second)]
        times = np.sort(np.concatenate(parts))
        return times + rng.normal(0, 2, len(times)), "UTC"

    def change() -> tuple[np.ndarray, str]:
        first, second = rng.choice([300.0, 420.0, 900.0, 3600.0], 2, replace=False)
        before = MONDAY + np.arange(300) * first
        return np.concatenate([before, before[-1] + np.arange(1, 200) * second]), "UTC"

    def loop() -> tuple[np.ndarray, str]:
        return MONDAY + np.cumsum(300 + rng.normal(0, 10, 400)), "UTC"

    return {
        "working days at an hour, spring": lambda: at(spring, work, rng.integers(6, 22, 1)),
        "working days at an hour, autumn": lambda: at(autumn, work, rng.integers(6, 22, 1)),
        "daily at two hours, spring": lambda: at(spring, tuple(range(7)), np.array([8, 17.5])),
        "every quarter hour at work": lambda: at(MONDAY, work, np.arange(9, 17, 0.25)),
        "bursts": bursts,
        "two schedules": two,
        "a change of schedule": change,
        "a loop that drifts": loop,
    }


def intervals(rng: np.random.Generator, workloads: int, asked: float) -> float:
    """The part of arrivals that come within their interval of level ``asked``, over many kinds of jitter."""
    inside = total = 0
    for _turn in range(workloads):
        period, count = float(rng.choice(PERIODS)), int(rng.integers(20, 300))
        jitter = period * float(rng.choice([0.005, 0.02, 0.05]))
        times = MONDAY + np.arange(count + 10) * period + rng.normal(0, jitter, count + 10)
        seen, later = times[:count], times[count:]
        model = judged([seen])[0]
        coming = arrivals.next_arrivals(model, seen[-1] + period / 2, later[-1] + period / 2, asked)
        for _expected, low, high in coming:
            nearest = later[np.abs(later - (low + high) / 2).argmin()]
            inside += low <= nearest <= high
            total += 1
    return inside / max(total, 1)


def begins(folder: Path) -> tuple[list[np.ndarray], list[float]]:
    """Begins of bursts of real on/off tenants with a known period, where the folder has them."""
    labels = {row["series_id"]: row["known_period_min"] for row in _common.rows(folder / "BURSTS.csv")}
    series, truth = [], []
    for name, one in _common.load(folder).items():
        if labels.get(name):
            known = np.isfinite(one["cpu"])
            stamps, cpu = one["t"][known], one["cpu"][known]
            on = cpu > np.median(cpu) + 0.3 * (np.quantile(cpu, 0.999) - np.median(cpu))
            edges = stamps[1:][on[1:] & ~on[:-1]]
            if len(edges) >= 6:
                series.append(edges)
                truth.append(60.0 * float(labels[name]))
    return series, truth


def main() -> int:
    """Run it."""
    options = _common.arguments(__doc__ or "").parse_args()
    report = _common.Report("arrivals", str(options.data))
    rng = np.random.default_rng(20260105)
    each = 20 if options.quick else 60
    truth: list[float | None] = [period for period in PERIODS for count in COUNTS for _turn in range(each // 10)]
    sizes = [count for _period in PERIODS for count in COUNTS for _turn in range(each // 10)]
    series = [train(rng, float(period or 1), count) for period, count in zip(truth, sizes)]
    random = [chance(rng, int(count)) for count in rng.choice([8, 12, 20, 50, 200, 1000], 10 * each)]
    daily = [rhythm(rng, int(count)) for count in rng.choice([100, 400, 1000], 2 * each)]
    series += random + daily
    truth += [None] * (len(random) + len(daily))
    found: list[float | None] = [model.period for model in judged(series)]
    ours = score(found, truth)
    poisson = slice(len(series) - len(random) - len(daily), len(series) - len(daily))
    ours["false_alarms_poisson"] = float(np.mean([period is not None for period in found[poisson]]))
    report.figures.update(ours)
    for name, detector in PEERS.items():
        guesses, took = _common.timed(lambda chosen=detector: [chosen(times) for times in series])
        report.peers[name] = score(guesses, truth)
        report.peers[name]["false_alarms_poisson"] = float(np.mean([one is not None for one in guesses[poisson]]))
        report.peers[name]["workloads_per_second"] = len(series) / took.wall
        report.loses("F1 of periods", ours["f1"], name, report.peers[name]["f1"], most=True)
        report.loses("false alarms", ours["false_alarms"], name, report.peers[name]["false_alarms"], most=False)
    report.table("periods of generated request times", {"ours": ours, **report.peers})

    kinds = {}
    for name, make in schedules(rng, 45).items():
        kinds[name] = {"foretold (F1)": float(np.mean([foretold(*make()) for _turn in range(each // 4)]))}
        report.figures[f"foretold: {name}"] = kinds[name]["foretold (F1)"]
    report.table("the next arrivals, learned on the first three quarters", kinds)
    held = {level: intervals(np.random.default_rng(80), 3 * each, level) for level in LEVELS}
    report.figures.update({f"interval_{round(100 * level)}_holds": value for level, value in held.items()})
    print("\n" + ", ".join(f"{level:.0%} intervals hold {value:.3f}" for level, value in held.items()))

    real, periods = begins(options.data / "bitbrains_consolidation")
    if real:
        report.figures["real_bursts_f1"] = score([model.period for model in judged(real)], list(periods))["f1"]
        print(f"begins of real bursts: F1 {report.figures['real_bursts_f1']:.3f} of {len(real)} tenants")

    many = [train(rng, period, 1000) for period in PERIODS * 50][:600] + [chance(rng, 1000) for _turn in range(600)]
    _models, took = _common.timed(lambda: arrivals.detect(many, now=MONDAY), 2 if options.quick else 4)
    report.figures["workloads_per_second"] = len(many) / took.wall
    report.figures["workloads_per_cpu_second"] = len(many) / took.cpu
    print(
        f"\nspeed: {len(many) / took.wall:.0f} workloads/s of 1,000 events ({len(many) / took.cpu:.0f} per CPU second)"
    )
    report.require("F1 of periods", ours["f1"], 0.95)
    report.require("false alarms on Poisson arrivals", ours["false_alarms_poisson"], 0.02, least=False)
    report.require("workloads/s at 1,000 events", report.figures["workloads_per_second"], 5000)
    report.require("80 % intervals hold at least", report.figures["interval_80_holds"], 0.75)
    report.require("80 % intervals hold at most", report.figures["interval_80_holds"], 0.88, least=False)
    if options.plots:
        _common.page(report, options.plots, plots({"ours": ours, **report.peers}, held, kinds))
    return report.end(options.json)


def plots(
    rows: dict[str, dict[str, float]], held: dict[float, float], kinds: dict[str, dict[str, float]]
) -> dict[str, object]:
    """Figures for people."""
    scores, axes = _common.figure(2)
    _common.bars_of(axes[0][0], "F1 of right periods", {name: row["f1"] for name, row in rows.items()})
    _common.bars_of(axes[0][1], "false alarms", {name: row["false_alarms"] for name, row in rows.items()})
    scores.tight_layout()
    told, axes = _common.figure(2)
    _common.bars_of(axes[0][0], "next arrivals (F1)", {name: row["foretold (F1)"] for name, row in kinds.items()})
    axes[0][1].plot([0.4, 1], [0.4, 1], color="#9aa7b4")
    axes[0][1].plot(list(held), list(held.values()), "o-", color="#1f5fbf")
    axes[0][1].set_title("arrivals within their interval, by its level", fontsize=10)
    told.tight_layout()
    return {"Periods": scores, "What is foretold": told}


if __name__ == "__main__":
    sys.exit(main())
