# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Would a thorough lane pay? Holt-Winters (statsmodels) for the series whose fast backtest is poor, kept where it wins.

For each series with a backtested MASE above .8, Holt-Winters of the hourly means replaces the hourly level of our
forecast (alone, and averaged with it) at the newest origin and three before. It is kept where it was 5 % better on the
three; what that would have changed on the newest day is the answer. The product has no such lane while this says no.
"""

from __future__ import annotations

import sys
import warnings
from concurrent.futures import ProcessPoolExecutor

import _common
import forecast as bench
import numpy as np
from statsmodels.tsa.holtwinters import ExponentialSmoothing

ORIGINS = 4
POOR = 0.8


def holt_winters(history: np.ndarray, each: int) -> np.ndarray:
    """The next 24 hourly means, from those of the last two weeks; ``each`` samples make an hour."""
    values = bench.whole(history)
    hours = values[len(values) % each :].reshape(-1, each).mean(axis=1)[-14 * 24 :]
    scale = max(float(hours.std()), 1e-12)
    model = ExponentialSmoothing(
        hours / scale, trend="add", damped_trend=True, seasonal="add", seasonal_periods=24
    ).fit()
    return scale * np.asarray(model.forecast(24))


def tried(case: bench.Case) -> list[tuple[float, float, float]] | None:
    """Scaled errors of ours, of the lane and of their mean at each origin, the newest first; None where it fails."""
    warnings.simplefilter("ignore")
    day, each, marks = case.day, case.day // 24, []
    for origin in range(ORIGINS):
        cut = len(case.history) - origin * day
        history, came = case.history[:cut], case.actual if not origin else case.history[cut : cut + day]
        middle = bench.forecast.forecast(history[None], case.step, 0.0, day, bench.LEVELS).values[0][2]
        try:
            hours = holt_winters(history, each)
        except (ValueError, ZeroDivisionError, np.linalg.LinAlgError):
            return None
        lane = np.maximum(middle + np.repeat(hours - middle.reshape(-1, each).mean(axis=1), each), 0.0)
        errors = [np.nanmean(np.abs(came - one)) / case.scale for one in (middle, lane, (middle + lane) / 2)]
        marks.append((float(errors[0]), float(errors[1]), float(errors[2])))
    return marks


def poor(everything: list[bench.Case], most: int) -> list[bench.Case]:
    """The series of the common draw whose backtest is poor, ``most`` of them."""
    chosen = []
    for place in bench.subset(everything, 4 * most):
        case = everything[place]
        if case.day % 24 == 0 and len(case.history) >= 8 * case.day and len(chosen) < most:
            trust = bench.forecast.forecast(case.history[None], case.step, 0.0, case.day, bench.LEVELS).trust[0]
            if trust.mase is not None and trust.mase > POOR:
                chosen.append(case)
    return chosen


def main() -> int:
    """Run it."""
    parser = _common.arguments(__doc__ or "")
    parser.add_argument("--most", type=int, default=100, help="series to try it on")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    report = _common.Report("thorough", str(options.data))
    series = poor(bench.cases(options.data, 60, 3), 12 if options.quick else options.most)
    with ProcessPoolExecutor(max_workers=2) as pool:
        marks = np.array([one for one in pool.map(tried, series) if one is not None])
    before = np.nanmean(marks[:, 1:], axis=1)
    rows = {"ours": {"MASE": float(np.nanmean(marks[:, 0, 0]))}}
    for name, place in (("Holt-Winters", 1), ("mean with Holt-Winters", 2)):
        kept = before[:, place] < 0.95 * before[:, 0]
        rows[name] = {
            "MASE": float(np.nanmean(marks[:, 0, place])),
            "kept": float(kept.mean()),
            "MASE of ours there": float(np.nanmean(marks[kept, 0, 0])) if kept.any() else float("nan"),
            "MASE of it there": float(np.nanmean(marks[kept, 0, place])) if kept.any() else float("nan"),
            "MASE with the lane": float(np.nanmean(np.where(kept, marks[:, 0, place], marks[:, 0, 0]))),
        }
        report.figures.update({f"{name}: {key}": value for key, value in rows[name].items()})
    report.figures["MASE"] = rows["ours"]["MASE"]
    report.table(f"{len(marks)} series with a backtested MASE above {POOR}", rows)
    report.require(
        "MASE without the lane", rows["ours"]["MASE"], rows["Holt-Winters"]["MASE with the lane"], least=False
    )
    if options.plots:
        _common.page(report, options.plots, {})
    return report.end(options.json)


if __name__ == "__main__":
    sys.exit(main())
