# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One day ahead over every set of several days: accuracy, quantiles and speed, ours beside what people use.

MASE is scaled by the mean error of the seasonal naive forecast over the history that is given. Each series is asked at
up to three origins, two days apart; up to 28 days of history come before each.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import warnings
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import _common
import numpy as np
from statsforecast.models import MSTL, AutoETS
from statsmodels.tsa.holtwinters import ExponentialSmoothing
from statsmodels.tsa.seasonal import MSTL as Decomposition

forecast = _common.product("_model.forecast")
connect = _common.product("_store.connect")
interface = _common.product("_store.interface")
learn = _common.product("_flow.learn")
profile_fields = _common.product("_flow.profile_fields")

SETS = {
    "bitbrains_faststorage": ("cpu", "memory", "io"),
    "bitbrains_rnd": ("cpu", "memory", "io"),
    "bitbrains_consolidation": ("cpu",),
    "cloudcluster_pools": ("cpu", "memory"),
    "google2019_tasks": ("cpu", "memory"),
    "datacenter_aggregates": ("cpu", "memory", "io"),
    "smd": ("cpu", "memory", "io", "value"),
    "asd": ("value",),
    "nab": ("value",),
    "web_requests": ("value",),
    "huawei_coldstarts": ("value",),
    "m4_hourly": ("value",),
}
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
SCORED = (0.5, 0.9, 0.95)
DAYS = 28
Answer = tuple[np.ndarray, list[np.ndarray]]


@dataclass
class Case:
    """A history and the day that followed. ``scale`` is the error of the seasonal naive forecast over the history."""

    group: str
    name: str
    step: float
    day: int
    start: float
    history: np.ndarray
    actual: np.ndarray
    scale: float


def _cut(group: str, name: str, values: np.ndarray, step: float, first: float, origins: int) -> Iterator[Case]:
    day = round(86400 / step)
    for origin in range(origins):
        end = len(values) - 2 * day * origin
        if end < 4 * day:
            return
        begin = max(0, end - (DAYS + 1) * day)
        history, actual = values[begin : end - day], values[end - day : end]
        gaps = np.abs(history[day:] - history[:-day])
        scale = float(np.nanmean(gaps)) if np.isfinite(gaps).any() else 0.0
        enough = np.isfinite(actual).mean() >= 0.5 and np.isfinite(history).sum() >= 3 * day
        # A constant has no scale to measure an error by.
        if enough and scale > 1e-9 * max(1.0, float(np.nanmax(np.abs(history)))):
            yield Case(group, name, step, day, first + (end - day) * step, history, actual, scale)


def cases(folder: Path, most: int, origins: int) -> list[Case]:
    """At most ``most`` series of each set, chosen by a seeded draw."""
    found: list[Case] = []
    for group, metrics in SETS.items():
        series = _common.load(folder / group)
        names = sorted(series)
        if len(names) > most:
            chosen = np.random.default_rng(0).choice(len(names), most, replace=False)
            names = [names[index] for index in sorted(chosen)]
        for name in names:
            one = series[name]
            step = max(300.0, _common.step_of(one["t"]))
            for metric in metrics:
                if metric in one and np.isfinite(one[metric]).any():
                    values = _common.on_grid(one["t"], one[metric], step)
                    values = values[: np.nonzero(np.isfinite(values))[0][-1] + 1]
                    found += _cut(group, f"{name}/{metric}", values, step, float(one["t"][0]), origins)
    return found


def ours(asked: list[Case]) -> list[Answer]:
    """Our forecasts, series of like step and length together."""
    groups: dict[tuple[float, int], list[int]] = {}
    for index, case in enumerate(asked):
        groups.setdefault((case.step, len(case.history)), []).append(index)
    found: list[Answer] = [(np.empty(0), [])] * len(asked)
    for (step, _length), index in groups.items():
        first = asked[index[0]]
        result = forecast.forecast(
            np.stack([asked[one].history for one in index]), step, first.start, first.day, LEVELS
        )
        for place, one in enumerate(index):
            values = result.values[place]
            found[one] = (values[2], [values[LEVELS.index(level)] for level in SCORED])
    return found


def whole(values: np.ndarray) -> np.ndarray:
    """Gaps bridged by lines: no peer takes missing samples."""
    known = np.isfinite(values)
    at = np.arange(len(values))
    return np.interp(at, at[known], values[known])


def _around(middle: np.ndarray, errors: np.ndarray) -> Answer:
    """A forecast with the quantiles of its own past errors."""
    return middle, [middle + float(np.quantile(errors, level)) for level in SCORED]


def seasonal_naive(case: Case) -> Answer:
    """Yesterday again."""
    days = whole(case.history)[-(len(case.history) // case.day) * case.day :].reshape(-1, case.day)[::-1]
    return _around(days[0], (days[:-1] - days[1:])[:7])


def median_of_week(case: Case) -> Answer:
    """The median of the last seven days in the same slot."""
    days = whole(case.history)[-(len(case.history) // case.day) * case.day :].reshape(-1, case.day)[::-1]
    past = range(min(7, len(days) - 1))
    errors = np.array([days[index] - np.median(days[index + 1 : index + 8], axis=0) for index in past])
    return _around(np.median(days[:7], axis=0), errors)


def decayed_histogram(case: Case) -> Answer:
    """As the Kubernetes Vertical Pod Autoscaler: quantiles of all samples, half as heavy after each day."""
    values = whole(case.history)
    weight = 0.5 ** (np.arange(len(values))[::-1] / case.day)
    order = np.argsort(values)
    share = np.cumsum(weight[order]) / weight.sum()
    flat = [np.full(case.day, values[order][min(np.searchsorted(share, level), len(values) - 1)]) for level in SCORED]
    return flat[0], flat


def holt_winters(case: Case) -> Answer:
    """statsmodels, additive, damped, on the last seven days."""
    values = whole(case.history)[-7 * case.day :]
    start = "estimated" if case.day <= 24 else "heuristic"
    model = ExponentialSmoothing(
        values, trend="add", damped_trend=True, seasonal="add", seasonal_periods=case.day, initialization_method=start
    ).fit(optimized=True)
    return _around(model.forecast(case.day), values - model.fittedvalues)


def _statsforecast(model: Any, values: np.ndarray, day: int) -> Answer:
    found = model.forecast(y=values, h=day, level=[80, 90])
    return found["mean"], [found["mean"], found["hi-80"], found["hi-90"]]


def mstl(case: Case) -> Answer:
    """statsforecast MSTL, on the last seven days."""
    return _statsforecast(MSTL(season_length=case.day), whole(case.history)[-7 * case.day :], case.day)


def mstl_statsmodels(case: Case) -> Answer:
    """statsmodels MSTL with damped exponential smoothing of what is not seasonal, on the last seven days."""
    values = whole(case.history)[-7 * case.day :]
    seasonal = np.asarray(Decomposition(values, periods=(case.day,)).fit().seasonal).reshape(len(values))
    rest = values - seasonal
    model = ExponentialSmoothing(rest, trend="add", damped_trend=True, initialization_method="estimated").fit()
    return _around(np.asarray(model.forecast(case.day)) + seasonal[-case.day :], rest - model.fittedvalues)


def auto_ets(case: Case) -> Answer:
    """statsforecast AutoETS, on the last seven days; it has no season longer than 24."""
    season = case.day if case.day <= 24 else 1
    return _statsforecast(AutoETS(season_length=season), whole(case.history)[-7 * case.day :], case.day)


FAST: dict[str, Callable[[Case], Answer]] = {
    "seasonal naive": seasonal_naive,
    "median of 7 days": median_of_week,
    "decayed histogram (VPA)": decayed_histogram,
}
SLOW: dict[str, Callable[[Case], Answer]] = {
    "Holt-Winters": holt_winters,
    "MSTL": mstl,
    "MSTL (statsmodels)": mstl_statsmodels,
    "AutoETS": auto_ets,
}


def judge(case: Case, answer: Answer) -> tuple[float, float, float]:
    """MASE, scaled pinball loss (summed over the scored levels), coverage of the .95 quantile."""
    known = np.isfinite(case.actual)
    actual, (middle, quantiles) = case.actual[known], answer
    error = float(np.abs(actual - middle[known]).mean()) / case.scale
    loss = 0.0
    for level, series in zip(SCORED, quantiles):
        gap = actual - series[known]
        loss += float(np.maximum(gap * level, gap * (level - 1)).mean()) / case.scale
    return error, loss, float((actual <= quantiles[-1][known]).mean())


def summary(asked: list[Case], answers: list[Answer]) -> dict[str, float]:
    """The figures of one competitor over cases."""
    marks = np.array([judge(case, answer) for case, answer in zip(asked, answers)])
    by_series: dict[str, list[float]] = {}
    for case, mark in zip(asked, marks):
        by_series.setdefault(f"{case.group}/{case.name}", []).append(float(mark[2]))
    covered = np.array([np.mean(values) for values in by_series.values()])
    return {
        "MASE": float(marks[:, 0].mean()),
        "median MASE": float(np.median(marks[:, 0])),
        "pinball": float(marks[:, 1].mean()),
        "coverage": float(marks[:, 2].mean()),
        "worst tenth": float(np.quantile(covered, 0.1)),
    }


def _ask(task: tuple[str, Case]) -> Answer | None:
    """One slow peer on one case, in a process of its own; None where it fails, which the report counts."""
    warnings.simplefilter("ignore")
    name, case = task
    try:
        middle, quantiles = SLOW[name](case)
    except (ValueError, ZeroDivisionError, np.linalg.LinAlgError):
        return None
    return (middle, quantiles) if np.isfinite(middle).all() else None


def store_of(folder: str, profiles: int, days: int) -> tuple[object, list[str], datetime]:
    """A store with that many profiles of CPU history at five minutes."""
    now = datetime(2026, 2, 2, tzinfo=timezone.utc)
    stamps = array("d", now.timestamp() - days * 86400 + 300.0 * np.arange(days * 288))
    rng = np.random.default_rng(1)
    names = [f"profile_{index:06d}" for index in range(profiles)]
    store = connect.open_store(f"sqlite://{folder}/store.db")
    phase = 2 * np.pi * np.arange(days * 288) / 288
    for begin in range(0, profiles, 500):
        part = names[begin : begin + 500]
        store.put_many("profiles", [{"key": name, **profile_fields.defaults(name)} for name in part])
        values = 2 + np.sin(phase + rng.uniform(0, 6, (len(part), 1))) + rng.gamma(1, 0.3, (len(part), len(stamps)))
        store.append_usage(
            interface.UsageBatch(name, "", stamps, {"cpu": array("d", row)}) for name, row in zip(part, values)
        )
    return store, names, now


def learned(profiles: int, days: int) -> dict[str, float]:
    """Seconds and MiB to learn that many profiles from the store, previous forecasts scored as well."""
    with tempfile.TemporaryDirectory(dir=_common.ROOT / "build") as folder:
        store, names, now = store_of(folder, profiles, days)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        changed, took = _common.timed(lambda: sum(one.changes.changed for one in learn.learn(store, names, now)))
        store.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"learned": changed, "seconds": took.wall, "cpu_seconds": took.cpu, "peak_mib": max(peak, before) / 1024}


def main() -> int:
    """Run it."""
    parser = _common.arguments(__doc__ or "")
    parser.add_argument("--most", type=int, default=60, help="series of each set for ours and the fast peers")
    parser.add_argument("--slow", type=int, default=240, help="cases for the slow peers")
    parser.add_argument("--profiles", type=int, default=20000, help="profiles to learn from a store; 0 for none")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    report = _common.Report("forecast", str(options.data))
    if options.profiles and not options.quick:
        figures = learned(options.profiles, 7)
        report.figures.update({f"learn {name}": value for name, value in figures.items()})
        print(f"{options.profiles} profiles learned from the store in {figures['seconds']:.1f} s", end=" ")
        print(f"({figures['cpu_seconds']:.1f} CPU s), peak {figures['peak_mib']:.0f} MiB")
        report.require(
            "seconds to learn 20,000 profiles", figures["seconds"] * 20000 / options.profiles, 60, least=False
        )
        report.require("peak MiB of it", figures["peak_mib"], 1024, least=False)

    everything = cases(options.data, 12 if options.quick else options.most, 3)
    answers = ours(everything)
    fast = {name: [peer(case) for case in everything] for name, peer in FAST.items()}
    rows = {"ours": summary(everything, answers)}
    rows.update({name: summary(everything, said) for name, said in fast.items()})
    report.table(f"all: {len(everything)} forecasts of {len({(c.group, c.name) for c in everything})} series", rows)
    by_set(everything, answers, fast, report)
    report.figures.update({f"all: {key}": value for key, value in rows["ours"].items()})

    slow = [] if options.quick else subset(everything, options.slow)
    if slow:
        rows = against_slow(slow, [answers[place] for place in slow], everything, report)
    report.peers = {name: row for name, row in rows.items() if name != "ours"}
    report.figures.update({f"common: {key}": value for key, value in rows["ours"].items()})
    for name, row in report.peers.items():
        for key in ("MASE", "median MASE", "pinball"):
            report.loses(f"{key} on the common series", rows["ours"][key], name, row[key], most=False)
    speed(everything, report, options.quick)
    bars(report, rows["ours"])
    if options.plots:
        _common.page(report, options.plots, plots(rows, everything, answers, fast))
    return report.end(options.json)


def by_set(
    everything: list[Case], answers: list[Answer], fast: dict[str, list[Answer]], report: _common.Report
) -> None:
    """Ours and the fast peers on each set."""
    for group in SETS:
        index = [place for place, case in enumerate(everything) if case.group == group]
        if not index:
            continue
        part = [everything[place] for place in index]
        table = {"ours": summary(part, [answers[place] for place in index])}
        table.update({name: summary(part, [said[place] for place in index]) for name, said in fast.items()})
        report.table(f"{group} ({len(part)})", table)
        best = min(fast, key=lambda name: table[name]["MASE"])
        report.figures[f"{group}: MASE against the best fast peer"] = table["ours"]["MASE"] / table[best]["MASE"]
        report.loses(f"MASE on {group}", table["ours"]["MASE"], best, table[best]["MASE"], most=False)


def plots(
    rows: dict[str, dict[str, float]], everything: list[Case], answers: list[Answer], fast: dict[str, list[Answer]]
) -> dict[str, Any]:
    """Figures for people: the common series, all forecasts against the best fast peer, and some of them to look at."""
    scores, axes = _common.figure(3)
    for axis, key in zip(axes[0], ("MASE", "median MASE", "pinball")):
        _common.bars_of(axis, key, {name: row[key] for name, row in rows.items()})
    scores.tight_layout()
    mine = np.array([judge(case, answer) for case, answer in zip(everything, answers)])
    best = min(fast, key=lambda name: summary(everything, fast[name])["MASE"])
    theirs = np.array([judge(case, answer)[0] for case, answer in zip(everything, fast[best])])
    against, axes = _common.figure(2, 4)
    axes[0][0].loglog(np.maximum(theirs, 0.01), np.maximum(mine[:, 0], 0.01), ".", markersize=3, color="#1f5fbf")
    axes[0][0].plot([0.01, 100], [0.01, 100], color="#9aa7b4")
    axes[0][0].set_title(f"MASE of each forecast: ours (up) against {best} (right)", fontsize=10)
    axes[0][1].hist(mine[:, 2], bins=40, color="#1f5fbf")
    axes[0][1].axvline(0.95, color="#17703f")
    axes[0][1].set_title("coverage of the .95 quantile, forecasts", fontsize=10)
    against.tight_layout()
    found = {"On the series that every peer could do": scores, "All forecasts": against}
    lead = mine[:, 0] - theirs
    chosen = {"where ours is best": int(lead.argmin()), "where ours is worst": int(lead.argmax())}
    for words, place in {**chosen, "in the middle": int(np.argsort(lead)[len(lead) // 2])}.items():
        found[f"A forecast {words}: {everything[place].group}/{everything[place].name}"] = _day(
            everything[place], answers[place], best, fast[best][place]
        )
    return found


def _day(case: Case, answer: Answer, peer: str, other: Answer) -> Any:
    drawn, axes = _common.figure(1, 3)
    axis, hours = axes[0][0], 24 / case.day
    past = case.history[-2 * case.day :]
    axis.plot((np.arange(len(past)) - len(past)) * hours, past, color="black", linewidth=0.7, label="history")
    ahead = np.arange(case.day) * hours
    axis.fill_between(ahead, answer[0], answer[1][-1], color="#1f5fbf", alpha=0.25, label="median to .95")
    axis.plot(ahead, answer[0], color="#1f5fbf", label="ours")
    axis.plot(ahead, other[0], color="#9aa7b4", linewidth=0.9, label=peer)
    axis.plot(ahead, case.actual, color="#b3261e", linewidth=0.7, label="what came")
    axis.set_xlabel("hours", fontsize=8)
    axis.legend(fontsize=7, ncols=5, loc="upper left")
    return drawn


def subset(everything: list[Case], most: int) -> list[int]:
    """A seeded draw of cases for the slow peers, each series at most once."""
    order = np.random.default_rng(2).permutation(len(everything))
    seen: set[tuple[str, str]] = set()
    chosen = []
    for place in order.tolist():
        key = (everything[place].group, everything[place].name)
        if key not in seen and len(chosen) < most:
            seen.add(key)
            chosen.append(place)
    return chosen


def against_slow(
    index: list[int], answers: list[Answer], everything: list[Case], report: _common.Report
) -> dict[str, dict[str, float]]:
    """Everyone on the cases that every peer could do."""
    part = [everything[place] for place in index]
    said: dict[str, list[Answer | None]] = {}
    with ProcessPoolExecutor(max_workers=2) as pool:
        for name in SLOW:
            found, took = _common.timed(lambda chosen=name: list(pool.map(_ask, [(chosen, case) for case in part])))
            said[name] = found
            report.figures[f"{name}: series_per_second on two processes"] = len(part) / took.wall
            print(f"{name}: {len(part) / took.wall:.2f} series/s, failed on {sum(one is None for one in found)}")
    done = [place for place in range(len(part)) if all(said[name][place] is not None for name in SLOW)]
    asked = [part[place] for place in done]
    rows = {"ours": summary(asked, [answers[place] for place in done])}
    rows.update({name: summary(asked, [peer(case) for case in asked]) for name, peer in FAST.items()})
    for name in SLOW:
        rows[name] = summary(asked, [one for place, one in enumerate(said[name]) if place in set(done) and one])
    report.table(f"common to all peers: {len(asked)} series", rows)
    mine = np.array([judge(case, answers[place])[0] for case, place in zip(asked, done)])
    for name in SLOW:
        theirs = np.array([judge(part[place], said[name][place] or answers[place])[0] for place in done])
        report.figures[f"{name}: 5 % better than ours on this part"] = float(np.mean(theirs < 0.95 * mine))
        report.figures[f"{name}: MASE if the better were always known"] = float(np.minimum(mine, theirs).mean())
    return rows


def speed(everything: list[Case], report: _common.Report, quick: bool) -> None:
    """Series per second end to end (season, backtest, quantiles) at 2,016 points of five minutes."""
    usable = [case.history[-2016:] for case in everything if case.step == 300 and len(case.history) >= 2016]
    if not usable:
        return
    many = np.stack((usable * (1000 // len(usable) + 1))[:1000])
    _result, took = _common.timed(lambda: forecast.forecast(many, 300.0, 0.0, 288, LEVELS), 2 if quick else 4)
    report.figures["series_per_second"] = len(many) / took.wall
    report.figures["series_per_cpu_second"] = len(many) / took.cpu
    print(f"\nspeed: {len(many) / took.wall:.0f} series/s at 2,016 points ({len(many) / took.cpu:.0f} per CPU second)")
    report.require("series/s end to end at 2,016 points", len(many) / took.wall, 1000)


def bars(report: _common.Report, mine: dict[str, float]) -> None:
    """The bars of the model."""
    for key in ("MASE", "median MASE"):
        best = min(row[key] for row in report.peers.values())
        report.require(f"{key} against the best single peer", mine[key] / best, 0.95, least=False)
    best = min(row["pinball"] for row in report.peers.values())
    report.require("summed pinball loss against the best single peer", mine["pinball"] / best, 1.0, least=False)
    report.require("coverage of q95, at least", report.figures["all: coverage"], 0.93)
    report.require("coverage of q95, at most", report.figures["all: coverage"], 0.97, least=False)
    report.require("coverage of q95, worst tenth of series", report.figures["all: worst tenth"], 0.85)


if __name__ == "__main__":
    sys.exit(main())
