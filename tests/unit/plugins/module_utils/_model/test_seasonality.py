# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Seasons of usage series on signals whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import InputError
from ansible_collections.predictive.tenancy.plugins.module_utils._model import seasonality
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

SLOTS, STEP = 2016, 300.0


def signal(rng, period, noise=0.7):
    phase = np.arange(SLOTS) / period + rng.random()
    return 10 + np.sin(2 * np.pi * phase) + 0.5 * np.cos(4 * np.pi * phase) + rng.normal(0, noise, SLOTS)


@pytest.mark.parametrize("period", [6, 12, 37, 60, 144, 288, 500])
def test_periods_are_found(period):
    rng = np.random.default_rng(period)
    seasons = seasonality.detect(np.stack([signal(rng, period) for _turn in range(20)]), STEP)
    right = [s.period is not None and abs(s.period / STEP / period - 1) < 0.02 for s in seasons]
    assert np.mean(right) >= 0.9


def test_missing_samples_trends_and_outliers_do_not_hide_a_period():
    rng = np.random.default_rng(1)
    values = np.stack([signal(rng, 144, 0.5) for _turn in range(20)])
    values += np.linspace(0, 3, SLOTS)
    values[rng.random(values.shape) < 0.1] = np.nan
    values[:, 300:420] = np.nan
    values[:, rng.integers(0, SLOTS, 10)] += 30
    seasons = seasonality.detect(values, STEP)
    assert np.mean([s.period is not None and abs(s.period / STEP / 144 - 1) < 0.02 for s in seasons]) >= 0.9


def test_white_noise_has_no_season():
    rng = np.random.default_rng(2)
    seasons = seasonality.detect(rng.normal(size=(200, SLOTS)), STEP)
    assert np.mean([s.period is not None for s in seasons]) <= 0.05


def test_pulses_and_two_seasons():
    rng = np.random.default_rng(3)
    slots = np.arange(8064)
    pulse = 1.0 * (slots % 288 < 4) + rng.normal(0, 0.02, slots.size)
    week = np.where(slots // 288 % 7 < 5, 1.0, 0.2)
    double = (2 + np.sin(2 * np.pi * slots / 288)) * week + rng.normal(0, 0.1, slots.size)
    found = seasonality.detect(np.stack([pulse, double]), STEP)
    assert found[0].period == 86400
    assert {found[1].period, found[1].second_period} == {86400, 604800}


def test_wrong_input_is_refused():
    with pytest.raises(InputError):
        seasonality.detect(np.zeros(5), STEP)
    with pytest.raises(InputError):
        seasonality.detect(np.full((1, 50), np.inf), STEP)


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        float, st.tuples(st.integers(1, 3), st.integers(0, 120)), elements=st.floats(-1e9, 1e9) | st.just(np.nan)
    )
)
def test_any_values_give_seasons_within_the_history(values):
    for season in seasonality.detect(values, STEP):
        assert season.period is None or 0 < season.period <= values.shape[1] * STEP / 3 * 1.05
        assert 0 <= season.strength <= 1


def test_mostly_missing_grids_are_read_where_they_were_measured():
    rng = np.random.default_rng(4)
    daily = 5 + np.sin(2 * np.pi * np.arange(12 * 288) / 288) + rng.normal(0, 0.2, 12 * 288)
    hourly = np.where(np.arange(12 * 288) % 12 == 0, daily, np.nan)
    young = np.full(12 * 288, np.nan)
    young[: 5 * 288] = daily[: 5 * 288]
    again = np.full(12 * 288, np.nan)
    again[:40], again[-5 * 288 :] = daily[:40], daily[-5 * 288 :]
    empty = np.full(12 * 288, np.nan)
    found = seasonality.detect(np.stack([daily, hourly, young, again, empty]), STEP)
    assert [season.period for season in found] == [86400, 86400, 86400, 86400, None]


def test_the_day_is_told_from_its_multiples_and_parts():
    rng = np.random.default_rng(5)
    slots = np.arange(1008)
    week = np.where(slots // 24 % 7 < 5, 1.0, 0.3)
    daily = (1 + np.sin(2 * np.pi * slots / 24)) * week + rng.normal(0, 0.05, slots.size)
    third = np.sin(2 * np.pi * slots / 8) + rng.normal(0, 0.3, slots.size)
    found = seasonality.detect(np.stack([daily, third]), 3600.0)
    assert found[0].period == 86400
    assert found[1].period == 8 * 3600
