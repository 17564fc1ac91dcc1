# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._planning import demand as dem
from ansible_collections.predictive.tenancy.plugins.module_utils._planning import wholeplan
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.packing import Packer
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.wholeplan import gap, least_vms, pack_all
from hypothesis import given, settings
from hypothesis import strategies as st

ROOM = np.array([1.0, 1.0, np.inf, np.inf])


def demand_of(sizes: np.ndarray) -> dem.Demand:
    """``sizes`` (n, windows, 2) of CPU and memory."""
    mean = np.zeros((*sizes.shape[:2], 4))
    mean[..., :2] = sizes
    return dem.Demand(tuple(str(i) for i in range(len(sizes))), mean, np.zeros_like(mean), np.arange(len(sizes)))


def fewest(sizes: np.ndarray) -> int:
    """The fewest VMs by trying everything."""
    best = len(sizes)

    def place(item: int, loads: list[np.ndarray]) -> None:
        nonlocal best
        if len(loads) >= best:
            return
        if item == len(sizes):
            best = len(loads)
            return
        for index, load in enumerate(loads):
            if (load + sizes[item] <= 1 + 1e-9).all():
                place(item + 1, [*loads[:index], load + sizes[item], *loads[index + 1 :]])
        place(item + 1, [*loads, sizes[item].copy()])

    place(0, [])
    return best


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 3))
def test_no_plan_beats_the_bound_and_every_plan_fits(seed: int, count: int, windows: int) -> None:
    sizes = np.random.default_rng(seed).uniform(0.02, 0.95, (count, windows, 2))
    demand = demand_of(sizes)
    best = fewest(sizes.astype(float))
    assert dem.lower_bound(demand, ROOM) <= best
    assignment = pack_all(demand, ROOM, fill=1.0, sigma=0.0)
    assert (assignment >= 0).all()
    used = int(assignment.max()) + 1
    assert best <= used <= best + 1
    for vm in range(used):
        assert (sizes[assignment == vm].sum(axis=0) <= 1 + 1e-5).all()
    assert gap(assignment, demand, ROOM) >= 0


def test_the_bound_knows_that_large_tenants_share_with_few() -> None:
    sizes = np.array([[[0.1, 0.99]]] * 3 + [[[0.5, 0.02]]] * 6)
    assert dem.lower_bound(demand_of(sizes), ROOM) == 6 == fewest(sizes)


def test_a_tenant_that_fits_no_vm_is_left_out_and_said() -> None:
    sizes = np.array([[[1.5, 0.1]], [[0.5, 0.1]]])
    assert pack_all(demand_of(sizes), ROOM, fill=1.0, sigma=0.0).tolist() == [-1, 0]
    assert pack_all(demand_of(sizes[:0]), ROOM).tolist() == []


def test_the_search_empties_vms_of_a_bad_plan() -> None:
    demand = demand_of(np.random.default_rng(11).uniform(0.05, 0.6, (40, 4, 2)))
    options = {"fill": 1.0, "sigma": 0.0, "correlation": 0.3}
    alone = np.arange(40)
    searched = wholeplan._emptied(demand, ROOM, alone, options)
    good = pack_all(demand, ROOM, fill=1.0, sigma=0.0)
    assert int(searched.max()) <= int(good.max()) + 2
    assert sorted(np.unique(searched)) == list(range(int(searched.max()) + 1))


def test_many_tenants_take_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wholeplan, "BIN_CENTRIC", 10)
    sizes = np.random.default_rng(5).uniform(0.01, 0.2, (200, 2, 2))
    demand = demand_of(sizes)
    assert gap(pack_all(demand, ROOM, fill=1.0, sigma=0.0), demand, ROOM) <= 0.1


def test_tenants_that_were_high_on_the_same_day_are_not_put_together() -> None:
    usage = np.zeros((4, 4, 48, 4))
    usage[..., 0] = 0.1
    usage[:2, 0, :, 0] = 0.6
    usage[2:, 1, :, 0] = 0.6
    mean, variance = dem.from_history(usage, 4)
    assert mean.shape == (4, 16, 4)
    assignment = pack_all(dem.Demand(("a", "b", "c", "d"), mean, variance, np.arange(4)), ROOM, fill=0.9, sigma=1.0)
    assert assignment[0] != assignment[1]
    assert assignment[2] != assignment[3]
    assert int(assignment.max()) == 1


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.5))
def test_missing_samples_change_little_and_break_nothing(seed: int, missing: float) -> None:
    rng = np.random.default_rng(seed)
    usage = np.full((3, 2, 24, 4), 0.4)
    usage[rng.uniform(size=usage.shape) < missing] = np.nan
    mean, variance = dem.from_history(usage, 6)
    assert np.isfinite(mean).all()
    assert np.isfinite(variance).all()
    known = np.isfinite(usage).any(axis=(1, 2))
    assert np.allclose(np.moveaxis(mean, 1, 2)[known], 0.4)


def test_a_short_history_counts_for_more() -> None:
    mean, variance = np.ones((2, 3, 4)), np.ones((2, 3, 4))
    wide, spread = dem.widened(mean, variance, np.array([0.0, 7.0]), 0.14)
    assert np.allclose(wide[:, 0, 0], [1.14, 1.02])
    assert np.allclose(spread[:, 0, 0], [1.14**2, 1.02**2])


def test_the_least_number_of_unequal_vms() -> None:
    mean = np.zeros((3, 2, 4))
    mean[:, 0, 0], mean[:, 1, 0] = 1.0, 2.0
    mean[:, :, 1] = 1.0
    demand = dem.Demand(("a", "b", "c"), mean, np.zeros_like(mean), np.arange(3))
    capacity = np.array([[2.0, 9.0, np.inf, np.inf], [5.0, 9.0, np.inf, np.inf], [1.0, 9.0, np.inf, np.inf]])
    packer = Packer(demand, capacity)
    assert least_vms(packer) == 0
    packer.fill_in(np.array([0, 1, 2]))
    assert least_vms(packer) == 2, "6 cores in the busiest window: the VM of 5 and another"
    packer.remove(2)
    assert least_vms(packer) == 1
