# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a profile may set for itself is what its tenants get."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from ansible_collections.predictive.tenancy.plugins.module_utils._store.interface import Store
from ansible_collections.predictive.tenancy.tests.unit.plugins.module_utils._flow.planner_cell import (
    MIB,
    NOW,
    admit,
    flat,
    learned,
    vm,
)

SELECTORS = [{"profile": "web"}, {"cell": "north", "profile": "web"}]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened


@pytest.mark.parametrize("selectors", SELECTORS)
def test_a_profile_is_sized_by_its_own_quantiles(store: Store, selectors: dict[str, str]) -> None:
    for name in ("web", "job"):
        learned(store, name, flat(0.31), 100 * MIB)
    sizing = {"cpu_quantile": 0.5, "memory_quantile": 0.9}
    requests = [{"id": name, "profile": name} for name in ("web", "job")]
    policy = {"overrides": [{**selectors, "set": {"sizing": sizing}}]}
    items = {one["name"]: one for one in admit(store, vms=[vm("a")], requests=requests, policy=policy)["desired"]["a"]}
    assert items["web"]["cpu"]["cores"] == pytest.approx(0.38)
    assert items["web"]["memory"]["max"] == 127 * MIB
    assert items["job"]["cpu"]["cores"] == pytest.approx(0.42)
    assert items["job"]["memory"]["max"] == 138 * MIB


@pytest.mark.parametrize("selectors", SELECTORS)
def test_a_profile_needs_room_for_its_own_floor(store: Store, selectors: dict[str, Any]) -> None:
    learned(store, "web", flat(0.01), 10 * MIB)
    requests = [{"id": f"web_{number}", "profile": "web"} for number in range(7)]
    policy = {"overrides": [{**selectors, "set": {"sizing": {"memory_floor": "200MiB"}}}]}
    rows = admit(store, NOW, vms=[vm("a")], requests=requests, policy=policy)["results"]
    assert [row["vm"] for row in rows].count("a") == 6, "nine tenths of 1400 MiB hold six times 200 MiB"
