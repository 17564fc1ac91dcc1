# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forecasts with quantiles: accuracy where the truth is known, and what must hold for any input."""

from __future__ import annotations

import numpy as np
import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import InputError
from ansible_collections.predictive.tenancy.plugins.module_utils._model import candidates, intervals, online, series
from ansible_collections.predictive.tenancy.plugins.module_utils._model.forecast import forecast
from ansible_collections.predictive.tenancy.plugins.module_utils._model.types import LEVELS, pattern_document
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

STEP, DAY = 3600.0, 24


def daily(rng, days, noise=0.1, rows=1):
    slots = np.arange(days * DAY)
    base = 5 + 2 * np.sin(2 * np.pi * slots / DAY)
    return base + rng.normal(0, noise, (rows, slots.size))


def test_a_daily_pattern_is_forecast_with_its_noise():
    rng = np.random.default_rng(1)
    values = daily(rng, 15, rows=200)
    result = forecast(values[:, :-DAY], STEP, 0.0, DAY)
    actual = values[:, -DAY:]
    assert np.abs(result.values[:, 2] - actual).mean() < 0.11
    assert 0.92 <= (actual <= result.values[:, 5]).mean() <= 0.99
    assert 0.85 <= (actual <= result.values[:, 4]).mean() <= 0.95
    assert all(trust.mase is not None and trust.mase < 1 for trust in result.trust)
    assert {trust.period for trust in result.trust} == {86400.0}


def test_a_level_shift_is_followed():
    rng = np.random.default_rng(2)
    values = daily(rng, 14, rows=50)
    values[:, 7 * DAY :] += 4
    result = forecast(values[:, :-DAY], STEP, 0.0, DAY)
    assert np.abs(result.values[:, 2] - values[:, -DAY:]).mean() < 0.25


def test_weekends_are_told_from_working_days():
    rng = np.random.default_rng(3)
    slots = np.arange(29 * DAY)
    values = np.where(slots // DAY % 7 < 5, 4.0, 1.0) + rng.normal(0, 0.1, (20, slots.size))
    for end in (26, 27, 28):
        result = forecast(values[:, : end * DAY], STEP, 0.0, DAY)
        assert np.abs(result.values[:, 2] - values[:, end * DAY : (end + 1) * DAY]).mean() < 0.3


@pytest.mark.parametrize("samples", [1, 3, 20, 30, 60])
def test_short_histories_get_a_wide_flat_forecast_or_their_cycle(samples):
    rng = np.random.default_rng(4)
    result = forecast(daily(rng, 4)[:, :samples], STEP, 0.0, 36)
    assert np.isfinite(result.values).all()
    assert result.trust[0].samples == samples
    if samples < 2 * DAY:
        assert result.trust[0].model == "flat"
        assert (result.values[0] == result.values[0][:, :1]).all()
        assert result.values[0, -1, 0] > result.values[0, 2, 0]


def test_chance_usage_gets_a_flat_forecast_that_covers():
    rng = np.random.default_rng(5)
    values = rng.gamma(1.0, 1.0, (100, 15 * DAY))
    result = forecast(values[:, :-DAY], STEP, 0.0, DAY)
    assert 0.92 <= (values[:, -DAY:] <= result.values[:, 5]).mean() <= 0.985
    assert all(trust.period is None for trust in result.trust[:20])


def day_means(values):
    """(series, levels, days) of values (series, levels, slots)."""
    return values.reshape(*values.shape[:2], -1, DAY).mean(axis=3)


def test_a_stationary_series_keeps_its_median_for_a_week_and_only_spreads():
    means = day_means(forecast(daily(np.random.default_rng(13), 21, noise=0.3), STEP, 0.0, 7 * DAY).values)[0]
    np.testing.assert_allclose(means[2], means[2, 0], rtol=1e-5)
    wider = np.sqrt(1 + 0.25 * np.arange(7))
    np.testing.assert_allclose(means - means[2], (means[:, :1] - means[2, :1]) * wider, rtol=1e-4, atol=1e-5)


def test_levels_on_one_side_of_the_median_are_those_of_all_levels():
    values = daily(np.random.default_rng(14), 14, noise=0.5, rows=3)
    every = forecast(values, STEP, 0.0, 2 * DAY).values
    np.testing.assert_allclose(forecast(values, STEP, 0.0, 2 * DAY, (0.9, 0.99)).values, every[:, [4, 6]], rtol=1e-5)
    np.testing.assert_allclose(forecast(values, STEP, 0.0, 2 * DAY, (0.05, 0.25)).values, every[:, :2], rtol=1e-5)


def test_the_incumbent_stays_unless_clearly_beaten():
    rng = np.random.default_rng(6)
    values = daily(rng, 14, noise=0.5, rows=40)
    first = forecast(values, STEP, 0.0, DAY)
    again = forecast(values, STEP, 0.0, DAY, incumbents=[trust.model for trust in first.trust])
    assert [trust.model for trust in again.trust] == [trust.model for trust in first.trust]


def test_the_sorting_network_gives_the_median():
    rng = np.random.default_rng(7)
    for count in range(1, 30):
        lanes = rng.normal(size=(count, 4, 5)).astype(np.float32)
        np.testing.assert_allclose(candidates.median(list(lanes)), np.median(lanes, axis=0), rtol=1e-6)


def test_gaps_are_bridged_and_not_scored():
    rng = np.random.default_rng(8)
    values = daily(rng, 14, rows=20)
    values[:, 100:160] = np.nan
    values[rng.random(values.shape) < 0.2] = np.nan
    result = forecast(values[:, :-DAY], STEP, 0.0, DAY)
    assert np.nanmean(np.abs(result.values[:, 2] - values[:, -DAY:])) < 0.2


def test_an_outage_that_covers_the_backtest_gives_a_flat_forecast():
    rng = np.random.default_rng(11)
    values = daily(rng, 20, rows=2)
    values[0, 6 * DAY : -3] = np.nan
    values[1, 6 * DAY :] = np.nan
    result = forecast(values, STEP, 0.0, DAY)
    assert np.isfinite(result.values).all()
    assert [trust.model for trust in result.trust] == ["flat", "flat"]
    assert (result.values[:, 5] > result.values[:, 2]).all()


def test_an_hour_of_history_does_not_pretend_to_know_the_day():
    values = np.full((1, 12), 3.0)
    early = forecast(values, 300.0, 0.0, 12).values[0]
    assert early[5, 0] >= 3.0 + 0.8 * 3.0
    later = forecast(np.full((1, 288), 3.0), 300.0, 0.0, 12).values[0]
    assert later[5, 0] == pytest.approx(3.0, abs=0.05)


def test_an_aperiodic_series_gets_a_band_as_wide_as_itself():
    rng = np.random.default_rng(12)
    walk = 50 + np.cumsum(rng.normal(0, 1, (60, 15 * DAY)), axis=1)
    result = forecast(walk[:, :-DAY], STEP, 0.0, DAY)
    covered = (walk[:, -DAY:] <= result.values[:, 5]).mean()
    assert 0.85 <= covered <= 0.99
    assert ((walk[:, -DAY:] >= result.values[:, 0]) | (result.values[:, 0] == 0)).mean() >= 0.85


def test_online_scores_widen_what_was_too_narrow():
    levels = list(LEVELS)
    narrow = np.repeat(np.linspace(0.9, 1.1, len(levels))[:, None], 288, axis=1)
    actual = np.random.default_rng(9).normal(1, 0.5, 288)
    score = online.score(levels, narrow, actual)
    assert score["coverage"] < 0.8
    state = online.follow({}, score, 300.0)
    assert state["widen"] > 1.2
    wider = online.widened(narrow[None], np.array(levels), np.array([state["widen"]]))
    assert (wider[0, -1] > narrow[-1]).all()
    np.testing.assert_allclose(wider[0, :3], narrow[:3])
    assert online.score(levels, narrow, np.full(288, np.nan)) is None


def test_a_pattern_document_says_it_all():
    result = forecast(daily(np.random.default_rng(10), 10), STEP, 1.7e9, DAY)
    document = pattern_document(result, 0, inputs="x")
    assert document["start"].timestamp() == 1.7e9
    assert document["quantiles"] == list(LEVELS)
    assert document["peak"] == result.values[0, -1].max()
    assert {"model", "period", "mase", "pinball", "coverage", "last_error", "days", "confidence"} <= set(document)


@pytest.mark.parametrize(
    ("values", "options"),
    [
        (np.zeros(4), {}),
        (np.full((1, 4), np.inf), {}),
        (np.full((1, 4), 1e40), {}),
        (np.zeros((1, 4)), {"levels": [0.9, 0.5]}),
        (np.zeros((1, 4)), {"levels": [1.5]}),
    ],
)
def test_wrong_input_is_refused(values, options):
    with pytest.raises(InputError):
        forecast(values, STEP, 0.0, 4, **options)
    with pytest.raises(InputError):
        forecast(np.zeros((1, 4)), STEP, 0.0, 0)


histories = hnp.arrays(
    float,
    st.tuples(st.integers(1, 3), st.integers(1, 150)),
    elements=st.floats(0, 1e12) | st.just(np.nan) | st.just(0.0),
)


@settings(max_examples=80, deadline=None)
@given(histories, st.integers(1, 60), st.sampled_from([300.0, 3600.0, 7200.0, 86400.0]))
def test_any_history_gives_finite_ordered_bounded_quantiles(values, horizon, step):
    upper = np.full(len(values), 2e12)
    result = forecast(values, step, 0.0, horizon, upper=upper)
    assert result.values.shape == (len(values), len(LEVELS), horizon)
    assert np.isfinite(result.values).all()
    assert (np.diff(result.values, axis=1) >= 0).all()
    assert result.values.min() >= 0
    assert result.values.max() <= 2e12
    for trust in result.trust:
        assert 0 <= trust.confidence <= 1
        assert trust.coverage is None or 0 <= trust.coverage <= 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 1e6), st.floats(0, 1e3))
def test_a_scale_and_a_constant_move_the_forecast_with_them(seed, scale, constant):
    rng = np.random.default_rng(seed)
    values = daily(rng, 8, noise=1.0)
    plain = forecast(values, STEP, 0.0, DAY, lower=None)
    moved = forecast(values * scale + constant * scale, STEP, 0.0, DAY, lower=None)
    np.testing.assert_allclose(moved.values, (plain.values + constant) * scale, rtol=2e-3, atol=2e-3 * scale)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sets(st.floats(0.01, 0.99), max_size=4), st.integers(2, 9), st.floats(0.01, 2.0))
def test_days_beyond_the_first_keep_the_median_whatever_levels_are_asked_for(seed, more, days, noise):
    values = daily(np.random.default_rng(seed), 12, noise=noise)
    levels = sorted({*more, 0.5})
    result = forecast(values, STEP, 0.0, days * DAY, levels, lower=None).values
    means = day_means(result)[0]
    middle = levels.index(0.5)
    np.testing.assert_allclose(means[middle], means[middle, 0], rtol=1e-4)
    assert (np.diff(result, axis=1) >= 0).all()
    away = np.abs(means - means[middle])
    assert (np.diff(away, axis=1) >= -1e-4 * np.abs(values).max()).all()  # nothing narrows with the distance


trials = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 40)),
    elements=st.floats(-1e3, 1e3, width=32) | st.just(np.nan),
)


@settings(max_examples=80, deadline=None)
@given(trials, st.sets(st.sampled_from([0.01, 0.1, 0.3, 0.5, 0.6, 0.9, 0.999]), min_size=1), st.integers(1, 120))
def test_a_band_lies_around_its_forecast_whatever_the_errors_and_levels(errors, some, horizon):
    errors[:, 0, 0] = 1.0  # something was measured
    rows, _tests, slots = errors.shape
    middle = np.linspace(0, 5, rows * slots, dtype=np.float32).reshape(rows, slots)
    levels = np.array(sorted({*some, 0.5}))
    one = intervals.around(middle, errors, levels)
    assert np.isfinite(one).all()
    np.testing.assert_array_equal(one[:, levels == 0.5][:, 0], middle)
    alone = intervals.around(middle, errors, np.array(sorted(some)))
    np.testing.assert_allclose(alone, one[:, np.isin(levels, sorted(some))], rtol=1e-5, atol=1e-3)
    band = intervals.tile(one, middle, horizon)
    assert band.shape == (rows, len(levels), horizon)
    assert (np.diff(band, axis=1) >= 0).all()
    cycle = np.arange(horizon) // slots
    again = np.arange(horizon) % slots
    wider = np.sqrt(1 + 0.25 * cycle)
    away = (one - middle[:, None, :])[:, :, again] * wider
    np.testing.assert_allclose(band, middle[:, None, again] + away, rtol=1e-5, atol=1e-2)


outages = st.lists(st.tuples(st.integers(0, 11), st.integers(1, 11)), max_size=4)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), outages, st.sampled_from([0.2, 1.0]), st.sampled_from([LEVELS, (0.5,), (0.9, 0.999)]))
def test_long_histories_with_outages_give_finite_ordered_quantiles(seed, missing, part, levels):
    rng = np.random.default_rng(seed)
    values = daily(rng, 12, noise=1.0, rows=2)
    for first, length in missing:
        values[0, first * DAY : (first + length) * DAY] = np.nan
    values[rng.random(values.shape) > part] = np.nan
    result = forecast(values, STEP, 0.0, 3 * DAY, levels, upper=np.array([9.0, np.nan]))
    assert np.isfinite(result.values).all()
    assert (np.diff(result.values, axis=1) >= 0).all()
    assert result.values.min() >= 0
    assert result.values[0].max() <= 9
    assert len(result.trust) == 2


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.permutations(list(range(5))))
def test_each_series_is_forecast_by_itself(seed, order):
    values = daily(np.random.default_rng(seed), 9, noise=1.0, rows=5)
    together = forecast(values, STEP, 0.0, DAY)
    shuffled = forecast(values[order], STEP, 0.0, DAY)
    np.testing.assert_allclose(shuffled.values, together.values[order], rtol=1e-5, atol=1e-5)
    assert [shuffled.trust[place].model for place in range(5)] == [together.trust[row].model for row in order]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 50), st.integers(1, 7), st.floats(0, 3000))
def test_other_grids_keep_the_mean(slots, every, begin):
    rng = np.random.default_rng(slots)
    values = rng.random((2, slots * every + 20))
    same = series.at_slots(values, 0.0, 300.0, begin, 300.0 * every, slots)
    assert same.shape == (2, slots)
    assert same.min() >= values.min() - 1e-9
    assert same.max() <= values.max() + 1e-9
    whole = series.at_slots(values, 0.0, 300.0, 0.0, 300.0 * every, slots)
    np.testing.assert_allclose(whole, values[:, : slots * every].reshape(2, slots, every).mean(axis=2))


@given(st.permutations(list(range(30))))
def test_the_order_of_samples_does_not_matter(order):
    rng = np.random.default_rng(0)
    times, values = np.arange(30) * 200.0, rng.random(30)
    first = series.grid(times, values, 0.0, 300.0, 20)
    second = series.grid(times[order], values[order], 0.0, 300.0, 20)
    np.testing.assert_allclose(first, second)
