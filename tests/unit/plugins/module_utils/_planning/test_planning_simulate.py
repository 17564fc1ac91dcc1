# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.admission import Guest
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.policy import Policy
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.policy_reader import read_policy
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.simulate import (
    Levels,
    Record,
    Scenario,
    Trust,
    simulate,
)

SLOTS = 96
EVEN = read_policy({"packing": {"strategy": "even"}, "consolidation": {"headroom": False}, "move": {"low": 0.9}})


def scenario(cpu: np.ndarray, vms: int = 6, cores: float = 2.0) -> Scenario:
    usage = np.zeros((*cpu.shape, 4))
    usage[..., 0] = cpu
    usage[..., 1] = 1.0
    guests = [Guest(f"t{i}", f"p{i}") for i in range(len(cpu))]
    return Scenario(usage, np.tile([cores, 1000.0, np.inf, np.inf], (vms, 1)), guests, 900.0)


@pytest.mark.parametrize("policy", [Policy(), EVEN])
def test_a_constant_load_is_placed_once_and_never_moved(policy: Policy) -> None:
    record = simulate(scenario(np.full((12, SLOTS), 0.25)), policy)
    assert record.moved == []
    figures = record.figures()
    assert figures["overload"] == 0
    assert figures["vms"] <= 4


def test_growth_is_followed_and_what_is_left_is_emptied() -> None:
    level = np.interp(np.arange(SLOTS), [0, 20, 40, 60, 80], [0.1, 0.1, 0.3, 0.3, 0.1])
    cpu = np.tile(level, (12, 1)) * np.random.default_rng(3).uniform(0.95, 1.05, (12, SLOTS))
    generous = {"per_run": 0.5, "per_hour": 0.5, "per_day": 1.0, "cooldown": "1h", "inflow": 9, "low": 0.9}
    policy = read_policy(
        {"packing": {"strategy": "even"}, "move": generous, "consolidation": {"headroom": False, "ratio": 0.1}}
    )
    record = simulate(scenario(cpu), policy)
    idle = simulate(scenario(cpu), read_policy({"packing": {"strategy": "even"}, "move": {"enabled": False}}))
    assert idle.figures()["overload"] > 0.3
    assert record.figures()["overload"] < 0.03
    assert max(record.hosts) > record.hosts[0]
    assert record.hosts[-1] < max(record.hosts)
    assert record.moved


def test_budgets_hold_and_nobody_goes_back_within_a_day() -> None:
    rng = np.random.default_rng(5)
    cpu = 0.2 * np.abs(rng.normal(1, 0.5, (30, 4 * SLOTS)))
    record = simulate(scenario(cpu, vms=8), EVEN)
    figures = record.figures()
    assert figures["moves_per_tenant_day"] <= 0.5
    assert figures["returns"] == 0
    per_run = np.bincount([at for at, *_rest in record.moved], minlength=1)
    assert per_run.max() <= max(1, int(0.05 * 30))


def test_without_moves_there_are_none() -> None:
    cpu = np.tile(np.linspace(0.1, 0.6, SLOTS), (8, 1))
    record = simulate(scenario(cpu), read_policy({"move": {"enabled": False}}))
    assert record.moved == []
    assert record.stuck > 0
    assert record.figures()["overload"] > 0


def test_missing_samples_are_taken_for_the_level() -> None:
    cpu = np.full((6, SLOTS), 0.3)
    cpu[np.random.default_rng(1).uniform(size=cpu.shape) < 0.3] = np.nan
    assert simulate(scenario(cpu), Policy()).moved == []


def test_returns_are_counted_within_their_time() -> None:
    record = Record(3600.0, 2, hosts=[1] * 60)
    record.moved = [(0, 0, 1, 2), (5, 0, 2, 1), (6, 1, 1, 2), (50, 1, 2, 1)]
    assert record.returns() == 1
    assert record.figures()["moves_per_tenant_day"] == pytest.approx(4 / 2 / 2.5)


def test_levels_learn_how_far_they_stray() -> None:
    rng = np.random.default_rng(2)
    series = rng.normal(1.0, 0.2, (800, 5, 1))
    levels = Levels(series[0], lead=2)
    for step in series[1:]:
        levels.see(step)
    assert np.allclose(levels.level, 1.0, atol=0.15)
    assert np.allclose(np.sqrt(levels.variance), 0.21, atol=0.06)


def test_correlated_tenants_lower_the_trust_in_pooling() -> None:
    rng = np.random.default_rng(4)
    together, apart = rng.normal(0, 0.2, (400, 1, 1)), rng.normal(0, 0.2, (400, 20, 1))
    factors = []
    for noise in (np.broadcast_to(together, apart.shape), apart):
        series = 1.0 + noise
        levels, trust = Levels(series[0], lead=1), Trust()
        for step in series[1:]:
            trust.see(levels, step, np.zeros(20, dtype=np.int64), 1)
            levels.see(step)
        factors.append(trust.factor)
    assert factors[0] > 5
    assert 0.9 < factors[1] < 1.8
