# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._planning import sizing as siz
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.demand import RESOURCES
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.policy import Resize, Sizing
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.resize import Observed, Resized, resize
from hypothesis import given, settings
from hypothesis import strategies as st

MIB = 1024.0**2
NAN = float("nan")


def observed(
    limits: list[float],
    *,
    lead: list[float] | None = None,
    ahead: list[float] | None = None,
    checks: list[list[float]] | None = None,
    pressure: list[float] | None = None,
    throttled: float = NAN,
    keep: float = NAN,
    bounds: tuple[list[float], list[float]] | None = None,
    since: float = 1e9,
) -> Observed:
    unknown = [NAN] * 4
    checks = checks if checks is not None else [unknown] * 6
    least, most = bounds or (unknown, unknown)
    return Observed(
        limits=np.array([limits]),
        lead=np.array([lead or unknown]),
        ahead=np.array([ahead or lead or unknown]),
        checks=np.array([checks]),
        use=np.array([checks[-1]]),
        keep=np.array([keep]),
        pressure=np.array([pressure or [NAN] * 3]),
        throttled=np.array([throttled]),
        margins=np.array([[1.2, 1.15, 2.0, 2.0]]),
        least=np.array([least]),
        most=np.array([most]),
        since=np.array([since]),
    )


def run(seen: Observed, **policy: object) -> Resized:
    return resize(seen, Resize(**policy), Sizing())  # the keywords are fields of Resize


BASE = [1.0, 256 * MIB, float("inf"), float("inf")]


def use(cpu: float, memory: float = 200 * MIB, count: int = 6) -> list[list[float]]:
    return [[cpu, memory, 0.0, 0.0]] * count


def test_a_forecast_above_the_high_watermark_raises_the_limit_before_it_is_needed() -> None:
    done = run(observed(BASE, lead=[0.95, 200 * MIB, 0, 0]))
    assert done.target[0, 0] == pytest.approx(1.14)
    assert done.target[0, 1] == 256 * MIB
    assert "forecast to reach 95%" in done.reasons[0][0]


def test_two_checks_above_raise_one_does_not() -> None:
    assert run(observed(BASE, checks=[*use(0.5, count=4), *use(0.95, count=2)])).target[0, 0] == pytest.approx(1.14)
    assert not run(observed(BASE, checks=[*use(0.7, count=5), *use(0.95, count=1)])).changed.any()


def test_throttling_raises_by_half_without_any_forecast() -> None:
    done = run(observed(BASE, checks=use(0.7), throttled=0.4))
    assert done.target[0, 0] == pytest.approx(1.5)
    assert done.reasons[0] == ("CPU is under pressure at its limit",)


def test_cpu_pressure_of_a_tenant_far_below_its_limit_is_its_neighbours() -> None:
    assert not run(observed(BASE, checks=use(0.61), pressure=[0.5, 0, 0])).changed[0, 1:].any()
    assert run(observed(BASE, checks=use(0.61), pressure=[0.5, 0, 0])).changed[0, 0]
    assert run(observed(BASE, checks=use(0.3), pressure=[0.5, 0, 0])).target[0, 0] <= 1.0


def test_shrinking_needs_quiet_checks_and_a_quiet_forecast_and_is_one_quarter_at_most() -> None:
    quiet = observed(BASE, lead=[0.1, 200 * MIB, 0, 0], checks=use(0.1))
    done = run(quiet)
    assert done.target[0, 0] == pytest.approx(0.75)
    assert "resize.step_down" in done.bites[0]
    assert not run(observed(BASE, lead=[0.1, 200 * MIB, 0, 0], checks=use(0.1, count=5))).changed.any()
    assert not run(
        observed(BASE, lead=[0.1, 200 * MIB, 0, 0], ahead=[0.7, 200 * MIB, 0, 0], checks=use(0.1))
    ).changed.any()
    assert run(observed(BASE, lead=[0.1, 200 * MIB, 0, 0], checks=use(0.1), since=60)).bites[0] == (
        "resize.step_down",
        "resize.cooldown",
    )


def test_memory_is_never_shrunk_below_what_was_used() -> None:
    seen = observed(BASE, lead=[0.9, 20 * MIB, 0, 0], checks=use(0.7, 100 * MIB), keep=210 * MIB)
    done = run(seen)
    assert done.target[0, 1] == 210 * MIB
    assert "resize.memory_keep" in done.bites[0]


def test_small_changes_stay_undone_and_are_named() -> None:
    done = run(observed(BASE, lead=[0.86, 200 * MIB, 0, 0]))
    assert not done.changed.any()
    assert done.bites[0] == ("resize.dead_band",)


def test_bounds_hold_and_are_named() -> None:
    done = run(observed(BASE, lead=[0.99, 200 * MIB, 0, 0], bounds=([0, 0, 0, 0], [1.1, NAN, NAN, NAN])))
    assert not done.changed.any() or done.target[0, 0] <= 1.1
    assert "bounds" in done.bites[0]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.floats(0.01, 8), min_size=4, max_size=4), st.floats(0.5, 4), st.booleans())
def test_no_limit_exceeds_its_bound_and_one_at_its_bound_rests(scales: list[float], wanted: float, sized: bool) -> None:
    most = [round(scale * unit, 6) for scale, unit in zip(scales, (0.1, 64e6, 1e5, 1e5))]
    limits = [one / 2 for one in most]
    if sized:
        bounds = {name: (None, one) for name, one in zip(RESOURCES, most)}
        known = siz.Knowledge(peaks={name: wanted * one for name, one in zip(RESOURCES, most)}, bounds=bounds)
        made, _bites, _source = siz.limits_of(known, Sizing())
        limits = [made[name] or 0.0 for name in RESOURCES]
        assert all(limit <= one for limit, one in zip(limits, most))
        told = siz.tenant_limits(made, 0.0, 50, Sizing())
        assert (told["cpu"]["cores"], told["memory"]["max"]) == (limits[0], int(limits[1]))
    for _run in range(6):
        seen = observed(limits, lead=[one * wanted for one in most], bounds=([NAN] * 4, most))
        done = run(seen)
        assert (done.target[0] <= most).all()
        limits = done.target[0].tolist()
    assert not done.changed.any()


def test_bounds_finer_than_the_units_of_limits_are_kept() -> None:
    most = {"cpu": 0.125, "memory": 100e6, "io_read": 20e3, "io_write": 20e3}
    bounds = {name: (None, one) for name, one in most.items()}
    known = siz.Knowledge(peaks={"cpu": 1.0, "memory": 1e9, "io_read": 1e6}, bounds=bounds)
    assert siz.limits_of(known, Sizing())[0] == most
    pressed = observed([0.1, 64 * MIB, 15e3, 15e3], lead=[1.0, 1e9, 1e6, 1e6], bounds=([NAN] * 4, list(most.values())))
    done = run(pressed, dead_band_cpu=0.0, dead_band_memory=0, dead_band_io=0)
    assert done.target[0].tolist() == list(most.values())


def test_growth_is_doubling_at_most() -> None:
    done = run(observed(BASE, lead=[5.0, 200 * MIB, 0, 0]))
    assert done.target[0, 0] == 2.0
    assert "resize.step_up" in done.bites[0]


def test_unlimited_io_stays_unlimited() -> None:
    done = run(observed(BASE, lead=[0.7, 200 * MIB, 1e9, 1e9], checks=[[0.7, 200 * MIB, 1e9, 1e9]] * 6))
    assert not done.changed.any()


@settings(max_examples=150, deadline=None)
@given(st.floats(0.001, 4), st.floats(1, 2000), st.floats(0.05, 8), st.integers(64, 4096), st.booleans(), st.booleans())
def test_a_constant_load_comes_to_rest_and_stays_there(
    cpu: float, memory: float, cores: float, limit: int, forecast: bool, measured: bool
) -> None:
    level = [cpu, memory * MIB, 0.0, 0.0]
    limits = np.array([cores, limit * MIB, np.inf, np.inf])
    history = []
    for _run in range(40):
        seen = observed(limits.tolist(), lead=level if forecast else None, checks=[level] * 6 if measured else None)
        after = run(seen).target[0]
        history.append(tuple(after))
        limits = after
    assert history[-1] == history[-2] == history[-3]
    if measured:
        directions = np.sign(np.diff([h[:2] for h in history], axis=0))
        assert not ((directions > 0).any(axis=0) & (directions < 0).any(axis=0)).any(), "it went up and down"


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_change_breaks_a_guardrail(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, policy = 20, Resize()
    limits = np.stack(
        [rng.uniform(0.05, 4, n), rng.uniform(64, 2048, n) * MIB, rng.uniform(1e6, 1e8, n), rng.uniform(1e6, 1e8, n)], 1
    )

    def some(scale: float) -> np.ndarray:
        values = limits * rng.uniform(0, scale, limits.shape)
        return np.where(rng.uniform(size=limits.shape) < 0.2, np.nan, values)

    checks = np.stack([some(1.0) for _turn in range(6)], axis=1)
    seen = Observed(
        limits, some(3), some(3), checks, checks[:, -1], some(1.0)[:, 1], rng.uniform(0, 0.4, (n, 3)),
        rng.uniform(0, 0.2, n), np.full((n, 4), 1.2), np.full((n, 4), np.nan), limits * 1.5, rng.uniform(0, 2000, n),
    )  # fmt: skip
    done = resize(seen, policy, Sizing())
    assert (done.target <= limits * 2 * 1.01 + [0.011, MIB, 1e5, 1e5]).all()
    assert (done.target >= limits * 0.75 - 1e-6).all()
    assert (done.target <= limits * 1.5 + [0.011, MIB, 1e5, 1e5]).all()
    used = np.nan_to_num(checks[:, -1, 1]) * policy.memory_keep_margin
    assert (done.target[:, 1] >= np.minimum(used, limits[:, 1]) - 1).all()
    assert (np.abs(done.target - limits)[done.changed] >= (limits * 0.099)[done.changed]).all()
    for row in range(n):
        assert bool(done.reasons[row]) == bool(done.changed[row].any())


def test_sizes_come_from_the_request_the_forecast_the_class_or_the_policy() -> None:
    sizing = Sizing()
    asked, _bites, source = siz.limits_of(siz.Knowledge(asked={"cpu": 0.3, "memory": 100 * MIB}), sizing)
    assert (asked["cpu"], asked["memory"], source) == (0.3, 100 * MIB, "the request")
    known = siz.Knowledge(peaks={"cpu": 0.5, "memory": 100 * MIB}, confidence=1.0)
    forecast, _bites, source = siz.limits_of(known, sizing)
    assert (forecast["cpu"], forecast["memory"], source) == (0.6, 115 * MIB, "the forecast")
    doubted, _bites, _source = siz.limits_of(siz.Knowledge(peaks=known.peaks, confidence=0.0), sizing)
    assert doubted["cpu"] == pytest.approx(0.9)
    classes = {"cpu": [0.1, 0.2, 0.4], "memory": [64 * MIB] * 3}
    fresh, _bites, source = siz.limits_of(siz.Knowledge(days=0), sizing, classes)
    assert (fresh["cpu"], source) == (0.8, "its class of workloads")
    older, _bites, _source = siz.limits_of(siz.Knowledge(days=4), sizing, classes)
    assert older["cpu"] == pytest.approx(0.5)
    unknown, _bites, _source = siz.limits_of(siz.Knowledge(), sizing)
    assert unknown == {"cpu": 0.25, "memory": 128 * MIB, "io_read": None, "io_write": None}


def test_floors_and_bounds_bite_by_name() -> None:
    known = siz.Knowledge(peaks={"cpu": 0.001, "memory": MIB}, confidence=1.0, bounds={"cpu": (0.2, 1.0)})
    limits, bites, _source = siz.limits_of(known, Sizing())
    assert limits["cpu"] == 0.2
    assert limits["memory"] == 64 * MIB
    assert bites == ["bounds", "sizing.memory_floor"]


@given(st.integers(0, 100), st.floats(64, 4096), st.floats(0, 4096))
def test_memory_limits_are_ordered(priority: int, maximum: float, level: float) -> None:
    limits = {"cpu": 0.5, "memory": siz.rounded("memory", maximum * MIB), "io_read": None, "io_write": None}
    item = siz.tenant_limits(limits, level * MIB, priority, Sizing())
    assert 0 <= item["memory"]["low"] < item["memory"]["high"] <= item["memory"]["max"]
    assert 1 <= item["cpu"]["weight"] <= 10000
