# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Matching by behaviour: like goes to like, and what is unlike or ambiguous is not guessed."""

from __future__ import annotations

import numpy as np
import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._model import matching
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

STEP, DAY = 300.0, 288
MONDAY = 1767571200.0
KINDS = {
    "web": (2.0, 12, 2e9),
    "night": (4.0, 2, 8e9),
    "flat": (0.5, None, 1e9),
    "small": (0.02, 15, 5e7),
}


def usage(rng, kind, days):
    level, peak, memory = KINDS[kind]
    slots = np.arange(round(days * DAY))
    wave = 1.0 if peak is None else 1 + 0.9 * np.cos(2 * np.pi * (slots / DAY - peak / 24))
    cpu = level * wave * rng.gamma(20, 1 / 20, slots.size)
    return {"cpu": cpu[None, :], "memory": memory * rng.normal(1, 0.02, slots.size)[None, :]}


def described(rng, kind, days):
    unknown = np.array([np.nan])
    return matching.features(usage(rng, kind, days), STEP, MONDAY, unknown, unknown)[0]


def known(rng, kinds):
    days = [np.array([described(rng, kind, 1) for _day in range(14)]) for kind in kinds]
    return np.array([matching.usual(each) for each in days]), np.array([matching.radius(each) for each in days])


@pytest.mark.parametrize("days", [0.25, 1])
def test_a_new_workload_is_matched_with_what_it_is_like(days):
    rng = np.random.default_rng(1)
    kinds = list(KINDS)
    values, radii = known(rng, kinds)
    right = wrong = 0
    for kind in kinds * 10:
        found = matching.match(described(rng, kind, days)[None, :], values, radii)[0]
        right += found.index == kinds.index(kind)
        wrong += found.index is not None and found.index != kinds.index(kind)
    assert right >= 0.85 * 40
    assert wrong == 0


def test_two_alike_are_ambiguous_and_nothing_is_guessed():
    rng = np.random.default_rng(2)
    values, radii = known(rng, ["web", "web", "night"])
    found = matching.match(described(rng, "web", 1)[None, :], values, radii * 2)[0]
    assert found.index is None
    assert set(found.ambiguous) == {0, 1}


def test_a_runner_up_that_is_too_near_is_named_even_outside_its_own_radius():
    asked = np.zeros((1, len(matching.NAMES)))
    values = np.array([np.full(asked.size, gap) for gap in (0.9, 0.11, 0.1)])
    assert matching.match(asked, values, np.array([1.0, 0.05, 0.5])) == [
        matching.Match(None, pytest.approx(0.1), (2, 1))
    ]
    assert matching.match(asked, values, np.array([1.0, 0.05, 0.09])) == [matching.Match(None, pytest.approx(0.1))]
    assert matching.match(asked, values[[0, 2]], np.array([1.0, 0.5])) == [matching.Match(1, pytest.approx(0.1))]


def test_what_is_unlike_all_has_no_match():
    rng = np.random.default_rng(3)
    values, radii = known(rng, ["web", "night"])
    found = matching.match(described(rng, "small", 1)[None, :], values, radii)[0]
    assert found == matching.Match(None, found.distance)
    assert matching.match(values, np.empty((0, len(matching.NAMES))), np.empty(0)) == [matching.Match(None, None)] * 2


def test_hard_filters_come_first():
    rng = np.random.default_rng(4)
    values, radii = known(rng, ["web", "night"])
    allowed = np.array([[False, True]])
    assert matching.match(described(rng, "web", 1)[None, :], values, radii, allowed)[0].index is None


def test_stages_and_the_first_margin():
    assert [matching.stage(age) for age in (0, 3600, 6 * 3600, 86400, 8 * 86400)] == [0, 1, 2, 3, 4]
    series = np.array([[1.0], [2.0], [4.0]])
    assert matching.starting(series, (0.1, 0.5, 0.95), 0.5).tolist() == [[1.0], [2.0], [8.0]]
    assert matching.starting(series, (0.1, 0.5, 0.95), 10).tolist() == [[1.0], [2.0], [4.2]]


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(float, st.tuples(st.integers(1, 4), st.integers(1, 400)), elements=st.floats(0, 1e6) | st.just(np.nan))
)
def test_any_usage_has_a_description_without_infinities(values):
    unknown = np.full(len(values), np.nan)
    found = matching.features({"cpu": values}, STEP, MONDAY, unknown, unknown)
    assert found.shape == (len(values), len(matching.NAMES))
    assert not np.isinf(found).any()


def test_the_usual_day_is_the_median_of_what_days_tell():
    rng = np.random.default_rng(3)
    for count in range(1, 12):
        days = rng.normal(size=(count, 24))
        days[:, 1:][rng.random((count, 23)) < 0.4] = np.nan
        told = np.isfinite(days).any(axis=0)
        found = matching.usual(days)
        np.testing.assert_allclose(found[told], np.nanmedian(days[:, told], axis=0))
        assert np.isnan(found[~told]).all()
    assert np.isnan(matching.usual(np.empty((0, 24)))).all()
