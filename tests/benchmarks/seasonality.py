# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Seasons of usage series: hits within 5 % and false alarms, on generated series and on real ones with labels."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import _common
import numpy as np
import periodicity_detection
import pyriodicity

seasonality = _common.product("_model.seasonality")

SLOTS, STEP = 2016, 300.0
PERIODS = (6, 12, 24, 36, 48, 60, 72, 96, 144, 168, 288, 336, 672)
_WITHIN = 0.05
Detector = Callable[[np.ndarray], "float | None"]


@dataclass
class Case:
    """A series on a grid, its step (s), its period (s; None where it has none), and the set it is from."""

    group: str
    values: np.ndarray
    step: float
    period: float | None
    also: float | None = None


def _wave(rng: np.random.Generator, period: int) -> np.ndarray:
    phase = (np.arange(SLOTS) / period + rng.random()) % 1
    shapes = (
        np.sin(2 * np.pi * phase),
        1.5 * (phase < 0.3),
        2 * np.exp(-(((phase - 0.5) / 0.1) ** 2)),
        np.sin(2 * np.pi * phase) + 0.6 * np.sin(4 * np.pi * phase + 1),
    )
    values = shapes[rng.integers(4)] + rng.normal(0, rng.uniform(0.2, 1.5), SLOTS)
    if rng.random() < 0.3:
        values = values + np.linspace(0, rng.uniform(-3, 3), SLOTS)
    if rng.random() < 0.2:
        values[SLOTS // 2 :] += rng.uniform(-3, 3)
    if rng.random() < 0.2:
        values[rng.integers(0, SLOTS, 10)] += 15
    return values


def _noise(rng: np.random.Generator, kind: int) -> np.ndarray:
    fresh = rng.normal(size=SLOTS)
    if kind == 0:
        return fresh
    if kind == 1:
        memory, values = rng.uniform(0.5, 0.98), np.zeros(SLOTS)
        for slot in range(1, SLOTS):
            values[slot] = memory * values[slot - 1] + fresh[slot]
        return values
    if kind == 2:
        return np.cumsum(fresh)
    steps = np.repeat(3 * rng.normal(size=120), rng.poisson(SLOTS / 40, 120) + 1)[:SLOTS]
    return steps + 0.5 * fresh


def generated(rng: np.random.Generator, count: int) -> list[Case]:
    """Thirteen periods under noise, trends, shifts, gaps and outliers (65 %); white noise, AR(1), random walks and
    steps without a period (35 %)."""
    cases = []
    for index in range(count):
        period = PERIODS[index % len(PERIODS)] if index < 0.65 * count else None
        values = _noise(rng, index % 4) if period is None else _wave(rng, period)
        if rng.random() < 0.3:
            values[rng.random(SLOTS) < 0.05] = np.nan
        cases.append(Case("generated", values + 20, STEP, None if period is None else period * STEP))
    return cases


def labelled(folder: Path, group: str, file: str = "LABELS.csv") -> list[Case]:
    """The series of a set whose labels state a period, or that there is no daily one."""
    series, steps = _common.load(folder / group), {}
    for row in _common.rows(folder / group / "META.csv"):
        steps[row["series_id"]] = float(row["step_s"])
    cases = []
    for label in _common.rows(folder / group / file):
        one, metric = series.get(label["series_id"]), label.get("metric", "cpu")
        known, none = label["known_period_min"], "no daily" in label.get("label_source", "")
        if one is None or metric not in one or not (known or none):
            continue
        step = max(steps.get(label["series_id"], _common.step_of(one["t"])), STEP if group == "smd" else 0.0)
        values = _common.on_grid(one["t"], one[metric], step)
        second = label.get("second_period_min") or ""
        also = 60 * float(second) if second else None
        cases.append(Case(group, values, step, 60 * float(known) if known else None, also))
    return cases


def peers(quick: bool) -> dict[str, Detector]:
    """What can be installed, each as a function from values without gaps to a period in slots."""

    def first(found: object) -> float | None:
        values = np.atleast_1d(np.asarray(found if found is not None else [], dtype=float))
        return float(values[0]) if values.size and values[0] > 1 else None

    chosen: dict[str, Detector] = {
        "find_length": lambda values: first(periodicity_detection.find_length(values)),
        "fft (periodicity)": lambda values: first(periodicity_detection.fft(values)),
        "acf (pyriodicity)": lambda values: first(pyriodicity.ACFPeriodicityDetector.detect(values)),
        "fft (pyriodicity)": lambda values: first(pyriodicity.FFTPeriodicityDetector.detect(values)),
    }
    if not quick:
        # Their cost grows with the square of the length: the newest two weeks.
        chosen["findfrequency"] = lambda values: first(periodicity_detection.findfrequency(values[-4032:]))
        chosen["sazed"] = lambda values: first(pyriodicity.SAZED.detect(values[-4032:]))
        chosen["autoperiod"] = lambda values: first(pyriodicity.Autoperiod.detect(values, seed=0))
        chosen["cfd autoperiod"] = lambda values: first(pyriodicity.CFDAutoperiod.detect(values, seed=0))
    return chosen


def whole(values: np.ndarray) -> np.ndarray:
    """Gaps bridged by lines: no peer takes missing samples."""
    known = np.isfinite(values)
    at = np.arange(len(values))
    return np.interp(at, at[known], values[known])


def attempt(detector: Detector, case: Case) -> float | None:
    """What a peer says in seconds; a peer that fails on a series finds nothing in it."""
    try:
        slots = detector(whole(case.values))
    except (ValueError, IndexError, ZeroDivisionError, TypeError, FloatingPointError):
        return None
    return None if slots is None else slots * case.step


def hit(found: float | None, truth: float | None) -> bool:
    """Whether a period is right."""
    return found is not None and truth is not None and abs(found / truth - 1) <= _WITHIN


def score(found: list[float | None], cases: list[Case]) -> dict[str, float]:
    """F1 and recall of right periods, false alarms where there is none (a daily one, for real series)."""
    real = [case for case in cases if case.period is not None]
    right = sum(hit(one, case.period) for one, case in zip(found, cases))
    claims = sum(one is not None for one, case in zip(found, cases) if case.period is not None)
    none = [(one, case) for one, case in zip(found, cases) if case.period is None]
    if cases[0].group == "generated":
        false = [one is not None for one, _case in none]
        claims += sum(false)
    else:
        # The label of a real series only says that it has no daily cycle.
        false = [hit(one, 86400.0) for one, _case in none]
    result = {"f1": 2 * right / max(claims + len(real), 1), "recall": right / max(len(real), 1)}
    if false:
        result["false_alarms"] = float(np.mean(false))
    return result


def ours(cases: list[Case]) -> list[float | None]:
    """Our main period of each case."""
    groups: dict[tuple[int, float], list[int]] = {}
    for index, case in enumerate(cases):
        groups.setdefault((len(case.values), case.step), []).append(index)
    found: list[float | None] = [None] * len(cases)
    for (_length, step), index in groups.items():
        seasons = seasonality.detect(np.stack([cases[one].values for one in index]), step)
        for one, season in zip(index, seasons):
            found[one] = season.period
    return found


REAL = (
    "cran_seasonal",
    "m4_hourly",
    "bitbrains_consolidation",
    "bitbrains_faststorage",
    "bitbrains_rnd",
    "asd",
    "cloudcluster_pools",
    "google2019_tasks",
    "smd",
    "web_requests",
    "huawei_coldstarts",
    "nab",
)
BEAT = ("cran_seasonal", "m4_hourly", "bitbrains_consolidation")


def main() -> int:
    """Run it."""
    options = _common.arguments(__doc__ or "").parse_args()
    warnings.simplefilter("ignore")
    report = _common.Report("seasonality", str(options.data))
    rng = np.random.default_rng(7)
    groups = {"generated": generated(rng, 120 if options.quick else 400)}
    for name in REAL:
        file = "BURSTS.csv" if name == "bitbrains_consolidation" else "LABELS.csv"
        cases = labelled(options.data, name, file)
        if any(case.period is not None for case in cases):
            groups[name] = cases
    rivals = peers(options.quick)
    report.peers = {name: {} for name in rivals}
    for group, everything in groups.items():
        # Everyone is scored on the same series: of sets that no bar names, on about forty of them.
        whole_set = group in (*BEAT, "generated")
        cases = everything if whole_set else everything[:: max(len(everything) // 40, 1)]
        table = {"ours": score(ours(cases), cases)}
        for name, detector in rivals.items():
            table[name] = score([attempt(detector, case) for case in cases], cases)
            report.peers[name].update({f"{group}: {key}": value for key, value in table[name].items()})
        report.figures.update({f"{group}: {key}": value for key, value in table["ours"].items()})
        report.table(f"{group} ({len(cases)} series)", table)

    many = np.stack([whole(case.values) for case in generated(rng, 400)])
    _found, took = _common.timed(lambda: seasonality.detect(many, STEP), 2 if options.quick else 4)
    report.figures["series_per_second"] = len(many) / took.wall
    report.figures["series_per_cpu_second"] = len(many) / took.cpu
    rates = {"ours": {"series/s": len(many) / took.wall}}
    for name, detector in rivals.items():
        _found, slow = _common.timed(lambda chosen=detector: [chosen(values) for values in many[::20]])
        rates[name] = {"series/s": 20 / slow.wall}
        report.peers[name]["series_per_second"] = 20 / slow.wall
    report.table("speed at 2,016 points", rates)

    made = report.figures
    report.require("F1 on generated series", made["generated: f1"], 0.90)
    report.require("false alarms on generated series", made["generated: false_alarms"], 0.05, least=False)
    report.require("series/s at 2,016 points", made["series_per_second"], 1000)
    for group in groups:
        best = max(rivals, key=lambda name: report.peers[name][f"{group}: f1"])
        theirs = report.peers[best][f"{group}: f1"]
        report.loses(f"F1 on {group}", made[f"{group}: f1"], best, theirs, most=True)
        if group in BEAT:
            # More than the best peer; where that one is right everywhere, as right.
            lead = made[f"{group}: f1"] - theirs
            report.require(f"F1 on {group} above the best peer", lead, 0.0 if theirs == 1 else 0.0001)
    if options.plots:
        _common.page(report, options.plots, plots(report, list(groups)))
    return report.end(options.json)


def plots(report: _common.Report, groups: list[str]) -> dict[str, object]:
    """Figures for people: F1 of everyone on every set, and the speed."""
    names = ["ours", *report.peers]
    table = np.array(
        [[(report.figures if n == "ours" else report.peers[n])[f"{group}: f1"] for n in names] for group in groups]
    )
    everyone, axes = _common.figure(1, 0.4 * len(groups) + 1.5)
    axis = axes[0][0]
    axis.imshow(table, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    axis.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8)
    axis.set_yticks(range(len(groups)), groups, fontsize=8)
    for row, column in np.ndindex(table.shape):
        shade = "white" if table[row, column] > 0.6 else "black"
        axis.text(column, row, f"{table[row, column]:.2f}", ha="center", va="center", fontsize=8, color=shade)
    speed, axes = _common.figure(1)
    rates = {"ours": report.figures["series_per_second"]}
    rates.update({name: report.peers[name]["series_per_second"] for name in report.peers})
    _common.bars_of(axes[0][0], "series per second at 2,016 points", rates)
    axes[0][0].set_xscale("log")
    return {"F1 of right periods": everyone, "Speed": speed}


if __name__ == "__main__":
    sys.exit(main())
