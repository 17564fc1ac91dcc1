# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sample history is what its documentation says, the same each time, and shaped like real workloads."""

from __future__ import annotations

import numpy as np
import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import InputError
from ansible_collections.predictive.tenancy.plugins.module_utils._core.names import tenant_name
from ansible_collections.predictive.tenancy.plugins.module_utils._flow import sample

END = "2026-03-02T00:00:00Z"
MIB = 1024**2


@pytest.fixture(scope="module")
def histories() -> dict[str, sample.History]:
    grid = sample.span(14, "5m", END)
    return {one.workload.name: one for one in sample.generate(sample.workloads(8, 1), grid, 1)}


def autocorrelation(values: np.ndarray, lag: int) -> float:
    filled = np.where(np.isfinite(values), values, np.nanmean(values))
    centred = filled - filled.mean()
    return float((centred[lag:] * centred[:-lag]).mean() / centred.var())


def test_grid_ends_where_it_is_told() -> None:
    grid = sample.span(2, "10m", "2026-03-02T00:07:31Z")
    assert (grid.slots, grid.step) == (288, 600)
    assert grid.times[0] == grid.start
    assert grid.end == 1772409600
    assert grid.times[-1] == grid.end - 600


@pytest.mark.parametrize(
    ("days", "step", "end", "named"),
    [
        (0, "5m", END, "days"),
        (367, "5m", END, "days"),
        (3, "7m", END, "step"),
        (3, "10s", END, "step"),
        (3, "2h", END, "step"),
        (3, "5x", END, "unit"),
        (3, "5m", "yesterday", "not a time"),
        (3, "5m", "1970-01-02T00:00:00Z", "end"),
    ],
)
def test_bad_spans_are_named(days: int, step: str, end: str, named: str) -> None:
    with pytest.raises(InputError, match=named):
        sample.span(days, step, end)


def test_bad_counts_are_named() -> None:
    with pytest.raises(InputError, match="workloads"):
        sample.workloads(0, 1)
    with pytest.raises(InputError, match="seed"):
        sample.workloads(1, -1)
    with pytest.raises(InputError, match="rows of usage"):
        sample.generate(sample.workloads(400, 1), sample.span(366, "1m", END), 1)


def test_same_arguments_same_history_and_more_workloads_leave_it_alone(histories) -> None:
    grid = sample.span(14, "5m", END)
    again = {one.workload.name: one for one in sample.generate(sample.workloads(20, 1), grid, 1)}
    assert len(again) == 20
    for name, history in histories.items():
        np.testing.assert_array_equal(history.requests, again[name].requests)
        for metric, values in history.usage.items():
            np.testing.assert_array_equal(values, again[name].usage[metric])
    other = sample.generate(sample.workloads(1, 2), grid, 2)[0]
    assert not np.array_equal(other.requests, histories["nightly_report"].requests)


def test_names_can_be_profiles_and_are_unique() -> None:
    names = [tenant_name(workload.name) for workload in sample.workloads(60, 3)]
    assert len(set(names)) == 60


def test_sizes_fit_small_machines(histories) -> None:
    for name, history in histories.items():
        cpu, memory = history.usage["cpu"], history.usage["memory"]
        assert 0.05 <= np.nanmax(cpu) <= 0.62, name
        assert np.nanmin(cpu) >= 0, name
        assert np.nanmin(memory) >= 28 * MIB, name
        assert np.nanmax(memory) <= 160 * MIB, name
        lost = float(np.isnan(cpu).mean())
        assert 0 < lost < 0.01, name


@pytest.mark.parametrize(("name", "period"), [("nightly_report", 86400), ("sync_orders", 900), ("hourly_batch", 3600)])
def test_jobs_come_at_their_period(histories, name: str, period: float) -> None:
    history = histories[name]
    late = (history.requests - history.workload.offset + period / 2) % period - period / 2
    on_time = np.abs(late) < 5 * history.workload.jitter
    assert on_time.mean() > 0.92
    slots = 14 * 86400 / period
    assert 0.97 * slots - 1 <= on_time.sum() <= slots


def test_a_run_uses_cpu_from_its_start_on(histories) -> None:
    history = histories["nightly_report"]
    grid = sample.span(14, "5m", END)
    cpu = history.usage["cpu"]
    for seconds in history.requests:
        slot = int((seconds - grid.start) // grid.step)
        assert np.nanmax(cpu[slot : slot + 4]) > 0.4
        assert np.nanmax(cpu[slot - 6 : slot - 1]) < 0.05


def test_energy_of_a_run_is_its_length() -> None:
    grid = sample.Grid(0.0, 300.0, 10)
    covered = sample._coverage(np.array([150.0, 1000.0]), np.array([400.0, 50.0]), np.array([1.0, 0.5]), grid)
    assert covered.sum() * 300 == pytest.approx(400 + 25)
    np.testing.assert_allclose(covered[:4], [0.5, 250 / 300, 0, 25 / 300])


def test_weekday_job_rests_at_the_weekend(histories) -> None:
    days = ((histories["weekday_digest"].requests // 86400 + 3) % 7).astype(int)
    hours = histories["weekday_digest"].requests % 86400 // 3600
    scheduled = hours == 9
    assert set(days[scheduled]) == {0, 1, 2, 3, 4}
    assert scheduled.mean() > 0.8


def test_services_have_a_daily_rhythm_and_peak_apart(histories) -> None:
    shop, backup = (histories[name].usage["cpu"] for name in ("web_shop", "backup_stream"))
    assert autocorrelation(shop, 288) > 0.6
    assert autocorrelation(backup, 288) > 0.6
    by_hour = [np.nanmean(values.reshape(14, 24, 12), axis=(0, 2)) for values in (shop, backup)]
    assert 12 <= int(by_hour[0].argmax()) <= 16
    assert int(by_hour[1].argmax()) <= 4
    weekday = np.nanmean(shop.reshape(14, 288)[[0, 1, 2, 3, 4, 7, 8, 9, 10, 11]])
    weekend = np.nanmean(shop.reshape(14, 288)[[5, 6, 12, 13]])
    assert weekend < 0.8 * weekday


def test_dev_box_has_no_rhythm_and_relay_is_steady(histories) -> None:
    assert abs(autocorrelation(histories["dev_box"].usage["cpu"], 288)) < 0.25
    gaps = np.diff(histories["dev_box"].requests)
    assert gaps.std() > 0.5 * gaps.mean()
    steady = histories["metrics_relay"].usage["cpu"]
    assert np.nanstd(steady) < 0.15 * np.nanmean(steady)
