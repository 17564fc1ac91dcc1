# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import InputError
from ansible_collections.predictive.tenancy.plugins.module_utils._planning import demand as dem
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.packing import Packer
from hypothesis import given, settings
from hypothesis import strategies as st

GIB = 1024.0**3


def random_demand(rng: np.random.Generator, tenants: int, windows: int = 6) -> dem.Demand:
    mean = rng.uniform(0, 0.4, (tenants, windows, 4)) * [2.0, 2 * GIB, 50e6, 50e6]
    variance = (rng.uniform(0, 0.3, mean.shape) * mean) ** 2
    variance[..., dem.MEMORY] = 0
    groups = rng.integers(0, max(1, tenants // 3), tenants)
    return dem.Demand(tuple(f"t{i}" for i in range(tenants)), mean, variance, groups)


def exact_peak(demand: dem.Demand, members: list[int], sigma: float, rho: float) -> np.ndarray:
    """The definition, in float64 and without any shortcut."""
    mean = demand.mean[members].sum(axis=0)
    sd = np.sqrt(demand.variance[members])
    variance = np.zeros_like(mean)
    for i, a in enumerate(members):
        for j, b in enumerate(members):
            if i == j:
                variance += sd[i] * sd[j]
            elif demand.groups[a] == demand.groups[b]:
                variance += rho * sd[i] * sd[j]
    return mean + sigma * np.sqrt(variance)


CAPACITY = np.array([[2.0, 2 * GIB, 100e6, np.inf], [4.0, 4 * GIB, 200e6, 100e6], [1.0, GIB, np.inf, np.inf]])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(0, 4))
def test_what_fits_is_what_the_definition_says(seed: int, rho: float, sigma: float) -> None:
    rng = np.random.default_rng(seed)
    demand = random_demand(rng, 12)
    limits = demand.mean[..., dem.MEMORY].max(axis=1)
    packer = Packer(
        demand, CAPACITY, fill=0.9, sigma=sigma, correlation=rho, limits=limits, limit_capacity=CAPACITY[:, 1]
    )
    for tenant in range(12):
        mask = packer.fits(tenant, np.arange(3))
        for vm in range(3):
            members = [*packer.members[vm], tenant]
            peak = exact_peak(demand, members, sigma, rho)
            room = 0.9 * CAPACITY[vm] - peak
            clear = np.abs(room[:, np.isfinite(CAPACITY[vm])] / CAPACITY[vm][np.isfinite(CAPACITY[vm])]).min() > 2e-3
            if clear:
                fits = bool((room > 0).all()) and limits[members].sum() <= CAPACITY[vm, 1]
                assert mask[vm] == fits
        chosen = packer.choose(tenant)
        assert (chosen >= 0) == bool(mask.any())
        if chosen >= 0:
            assert mask[chosen]
            packer.place(tenant, chosen)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["pack", "spread"]), st.floats(0, 1))
def test_the_choice_is_the_best_score_of_all_that_fit(seed: int, strategy: str, rho: float) -> None:
    """However full the VMs are: what is sifted out before the exact check could never have had room."""
    rng = np.random.default_rng(seed)
    vms = 70
    demand = random_demand(rng, 90)
    capacity = np.tile([1.0, GIB, 60e6, np.inf], (vms, 1)) * rng.uniform(0.5, 3.0, (vms, 1))
    packer = Packer(demand, capacity, correlation=rho, strategy=strategy)
    packer.fill_in(np.where(np.arange(90) < 80, rng.integers(0, vms, 90), -1))
    for tenant in range(80, 90):
        eligible = rng.uniform(size=vms) < 0.9
        score = packer.scores(tenant)
        good = eligible & packer.fits(tenant, np.arange(vms))
        chosen = packer.choose(tenant, eligible)
        assert (chosen >= 0) == bool(good.any())
        if chosen >= 0:
            assert good[chosen]
            assert score[chosen] == score[good].max()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.tuples(st.integers(0, 9), st.integers(-1, 2)), max_size=40))
def test_any_sequence_of_moves_ends_in_the_same_state_as_filling_in_its_end(
    seed: int, moves: list[tuple[int, int]]
) -> None:
    demand = random_demand(np.random.default_rng(seed), 10)
    walked = Packer(demand, CAPACITY)
    for tenant, vm in moves:
        if vm >= 0:
            walked.place(tenant, vm)
        elif walked.assignment[tenant] >= 0:
            walked.remove(tenant)
    filled = Packer(demand, CAPACITY)
    filled.fill_in(walked.assignment)
    np.testing.assert_allclose(walked.used(), filled.used(), rtol=1e-4, atol=1e-6)
    assert walked.members == filled.members
    for vm in range(3):
        members = sorted(walked.members[vm])
        exact = exact_peak(demand, members, 3.0, 0.3) / CAPACITY[vm] if members else np.zeros((6, 4))
        np.testing.assert_allclose(walked.used_of(vm), exact, rtol=1e-3, atol=1e-5)


def pattern(*values: float) -> np.ndarray:
    mean = np.zeros((len(values), 4))
    mean[:, dem.CPU] = values
    return mean


def demand_of(*patterns: np.ndarray) -> dem.Demand:
    mean = np.stack(patterns)
    return dem.Demand(tuple(f"t{i}" for i in range(len(patterns))), mean, np.zeros_like(mean), np.arange(len(patterns)))


def test_tenants_whose_peaks_do_not_coincide_share_a_vm() -> None:
    day, night = pattern(0.8, 0.1), pattern(0.1, 0.8)
    packer = Packer(demand_of(day, night, day, night), np.tile([1.0, GIB, np.inf, np.inf], (4, 1)))
    chosen = []
    for tenant in range(4):
        vm = packer.choose(tenant)
        packer.place(tenant, vm)
        chosen.append(vm)
    assert chosen[0] == chosen[1]
    assert chosen[2] == chosen[3]
    assert chosen[0] != chosen[2]


def test_spreading_takes_the_emptiest_vm() -> None:
    flat = pattern(0.2, 0.2)
    packer = Packer(demand_of(flat, flat, flat), np.tile([1.0, GIB, np.inf, np.inf], (3, 1)), strategy="spread")
    for tenant in range(3):
        packer.place(tenant, packer.choose(tenant))
    assert sorted(packer.assignment.tolist()) == [0, 1, 2]


def test_no_room_names_the_nearest_miss_in_units() -> None:
    capacity = np.array([[1.0, GIB, np.inf, np.inf], [2.0, GIB, np.inf, np.inf]])
    packer = Packer(demand_of(pattern(0.5, 2.0)), capacity, fill=0.9)
    assert packer.choose(0) == -1
    miss = packer.nearest_miss(0, np.ones(2, dtype=bool))
    assert miss is not None
    assert (miss.vm, miss.resource, miss.window) == (1, "cpu", 1)
    assert miss.lack == pytest.approx(0.2, abs=1e-5)


def test_the_sum_of_memory_limits_is_bounded() -> None:
    demand = demand_of(pattern(0.1), pattern(0.1))
    packer = Packer(
        demand, np.array([[1.0, GIB, np.inf, np.inf]]), limits=np.full(2, GIB), limit_capacity=np.array([1.5 * GIB])
    )
    packer.place(0, packer.choose(0))
    assert packer.choose(1) == -1
    miss = packer.nearest_miss(1, np.ones(1, dtype=bool))
    assert miss is not None
    assert miss.resource == "memory limit"
    assert miss.lack == pytest.approx(GIB / 2)


def test_what_shadows_hold_is_not_room() -> None:
    held = np.array([[0.5, 0, 0, 0]])
    packer = Packer(demand_of(pattern(0.6)), np.array([[1.0, GIB, np.inf, np.inf]]), held=held)
    assert packer.choose(0) == -1
    packer.hold(0, -held[0])
    assert packer.choose(0) == 0


def test_a_tenant_that_needs_no_cpu_fits_a_vm_whose_cpu_is_overfull() -> None:
    packer = Packer(demand_of(pattern(5.0), pattern(0.0)), np.array([[1.0, GIB, np.inf, np.inf]]))
    packer.place(0, 0)
    assert packer.choose(1) == 0


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.integers(1, 48), st.integers(0, 2**32 - 1))
def test_windows_keep_the_total_variance_and_the_maximum(slots: int, windows: int, seed: int) -> None:
    series = np.random.default_rng(seed).uniform(0, 1, (3, slots))
    mean, peak = dem.windowed(series, windows), dem.windowed(series, windows, "max")
    assert mean.shape == peak.shape == (3, windows)
    np.testing.assert_allclose(peak.max(axis=1), series.max(axis=1))
    assert (mean <= peak + 1e-12).all()
    if slots >= windows:
        edges = np.append(np.arange(windows) * slots // windows, slots)
        weight = np.diff(edges) / slots
        total = (dem.windowed(series, windows, "var") * weight).sum(axis=1)
        between = (weight * (mean - series.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
        np.testing.assert_allclose(total + between, series.var(axis=1), rtol=1e-6, atol=1e-9)


def test_the_variance_of_a_normal_forecast_is_found_again() -> None:
    rng = np.random.default_rng(5)
    sigma = rng.uniform(0.1, 1, (4, 1)) * np.ones((1, 48))
    mean, variance = dem.from_quantiles(np.ones((4, 48)), 1 + 1.6448536269514722 * sigma, 0.95, 24)
    np.testing.assert_allclose(mean, 1)
    np.testing.assert_allclose(variance, sigma[:, :24] ** 2, rtol=1e-9)
    with pytest.raises(InputError, match=r"0\.4 is no upper quantile"):
        dem.from_quantiles(mean, mean, 0.4, 24)


def test_memory_adds_up_by_maxima() -> None:
    peaks = np.array([[1.0, 5.0, 2.0, 3.0]])
    mean, variance = dem.from_quantiles(peaks, peaks, 0.95, 2, peaks=peaks)
    assert mean.tolist() == [[5.0, 3.0]]
    assert not variance.any()


def test_the_lower_bound_is_that_of_the_scarcest_resource_in_the_busiest_window() -> None:
    demand = demand_of(pattern(0.9, 0.1), pattern(0.9, 0.1), pattern(0.3, 0.1))
    assert dem.lower_bound(demand, np.array([1.0, GIB, np.inf, np.inf])) == 3
    assert dem.lower_bound(demand, np.array([2.1, GIB, np.inf, np.inf])) == 1
