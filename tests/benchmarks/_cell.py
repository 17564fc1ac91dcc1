# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A large cell in a store: VMs full of tenants, each with a profile, a learned forecast and measured usage."""

from __future__ import annotations

from array import array
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
from _common import product

interface = product("_store.interface")
profiles = product("_flow.profiles")
NOW = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
OLD = NOW - timedelta(days=9)
LEVELS = [0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99]
SPREAD = np.array([0.9, 0.95, 1.0, 1.05, 1.1, 1.12, 1.2])[:, None]
SLOTS = np.arange(288)
CAPACITY = {"cpu": 4.0, "memory": 8e9, "io_read": None, "io_write": None}
GROWN = 0.02  # share of the tenants that use more than their limit expects
BATCH = 2000


class Maker:
    """Writes profiles, tenants and usage in batches; ``allocations`` per VM for the VMs' documents."""

    def __init__(self, store: Any, seed: int) -> None:
        self.store = store
        self.rng = np.random.default_rng(seed)
        self.allocations: dict[str, dict[str, Any]] = {}
        profiles.ensure(store, {"name": "template"}, NOW, dry=False)
        self.template = {key: value for key, value in store.get("profiles", "template").items() if key != "version"}

    def profile(self, number: int) -> tuple[dict[str, Any], list[Any], np.ndarray, float]:
        """A profile's document, its forecast arrays, the median of its CPU over the day, and its memory."""
        phase = self.rng.uniform(0, 288)
        cpu = self.rng.gamma(2, 0.04) * (1 + 0.6 * np.cos(2 * np.pi * (SLOTS - phase) / 288))
        memory = float(self.rng.gamma(4, 20e6) + 30e6)
        patterns, arrays = {}, []
        for metric, median in (("cpu", cpu), ("memory", np.full(288, memory))):
            values = (SPREAD * median).astype("<f4")
            key = f"forecast/p{number}/{metric}"
            arrays.append(interface.Array(key, "<f4", values.shape, values.tobytes()))
            patterns[metric] = {
                "start": NOW, "step": 300.0, "horizon": 288, "quantiles": LEVELS, "model": "bench", "period": 86400.0,
                "days": 20.0, "confidence": 0.9, "level": float(median.mean()), "peak": float(values[-1].max()),
            }  # fmt: skip
        key = {"key": f"p{number}", "workload": f"w{number // 4}", "patterns": patterns}
        return {**self.template, **key}, arrays, cpu, memory

    def tenant(self, number: int, vm: str, cpu: np.ndarray, memory: float) -> dict[str, Any]:
        """A tenant's document; its VM gets its allocation."""
        cores = max(round(float(cpu.max()) * 1.12 * 1.26, 2), 0.05)
        most = max(int(memory * 1.2 * 1.21), 68 * 1024**2)
        held = {"profile": f"p{number}", "priority": 50, "kind": "tenant", "since": OLD}
        limits = {"cpu": cores, "memory": most, "io_read": None, "io_write": None}
        self.allocations.setdefault(vm, {})[f"t{number}"] = {**held, **limits}
        return {
            "key": f"t{number}", "profile": f"p{number}", "request": None, "vm": vm, "cell": "north",
            "state": "running", "priority": 50, "cpu": {"cores": cores, "weight": 100},
            "memory": {"low": 0, "high": most * 15 // 16, "max": most},
            "io": {"weight": 100, "read": None, "write": None}, "pids": 256, "sandbox": {}, "claim": None,
            "admitted_at": OLD, "placed_at": OLD, "resized_at": None, "moved_at": None, "moving_to": None,
            "moves": [], "sized_by": "the forecast", "limits": [],
        }  # fmt: skip

    def usage(self, number: int, times: array, cpu: np.ndarray, memory: float) -> Any:
        """What a tenant used lately."""
        slots = ((np.frombuffer(times) - NOW.timestamp()) // 300).astype(int) % 288
        factor = 1.9 if self.rng.uniform() < GROWN else self.rng.uniform(0.9, 1.1)
        values = {"cpu": array("d", cpu[slots] * factor), "memory": array("d", np.full(len(times), memory))}
        return interface.UsageBatch(f"p{number}", f"t{number}", times, values)


def vm_documents(allocations: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The VMs of the cell."""
    return [
        {
            "key": key, "cell": "north", "zone": f"z{number % 3}", "host": f"h{number // 8}", "capacity": CAPACITY,
            "provides": {"os": None, "libraries": []}, "labels": {}, "state": "ready", "allocations": held,
            "shadows": {},
        }
        for number, (key, held) in enumerate(sorted(allocations.items()))
    ]  # fmt: skip


def fill(store: Any, vms: int, tenants: int, days: float = 1.0, seed: int = 1) -> None:
    """Write a cell of so many VMs with so many tenants, each with ``days`` of usage every five minutes."""
    maker = Maker(store, seed)
    times = array("d", NOW.timestamp() - 60 - 300.0 * np.arange(int(days * 288))[::-1])
    for begin in range(0, tenants, BATCH):
        documents, arrays, placed, used = [], [], [], []
        for number in range(begin, min(begin + BATCH, tenants)):
            document, made, cpu, memory = maker.profile(number)
            documents.append(document)
            arrays += made
            placed.append(maker.tenant(number, f"v{number % vms:04d}", cpu, memory))
            used.append(maker.usage(number, times, cpu, memory))
        store.put_many("profiles", documents)
        store.put_arrays(arrays)
        store.put_many("tenants", placed)
        store.append_usage(used)
    store.put_many("vms", vm_documents(maker.allocations))
