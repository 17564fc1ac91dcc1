# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cell in a real store for tests of the planner: profiles with forecasts, VMs, measured usage, VMs that obey."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._flow import cells, profiles, vms
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.admission import admit_requests
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.rebalance import rebalance
from ansible_collections.predictive.tenancy.plugins.module_utils._model.types import ArrivalModel, Schedule
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.policy_reader import read_policy
from ansible_collections.predictive.tenancy.plugins.module_utils._store.interface import Array, Store, UsageBatch

MIB = 1024**2
NOW = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
LATER = NOW + timedelta(minutes=20)
EASY = {"move": {"per_run": 1, "per_hour": 1, "per_day": 1, "inflow": 9}, "consolidation": {"headroom": False}}
LEVELS = [0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99]
SPREAD = np.array([0.9, 0.95, 1.0, 1.05, 1.1, 1.12, 1.2])[:, None]


def vm(name: str, cpu: float = 2, memory: str = "1400MiB", **fields: Any) -> dict[str, Any]:
    """An item of the option ``vms``."""
    return {"name": name, "capacity": {"cpu": cpu, "memory": memory}, **fields}


def flat(level: float) -> np.ndarray:
    """The same level in all 288 slots of a day."""
    return np.full(288, level)


def admit(store: Store, now: datetime = NOW, *, dry: bool = False, **options: Any) -> dict[str, Any]:
    """One run of tenant_admit."""
    defaults: dict[str, Any] = {"cell": "north", "vms": [], "requests": [], "expected": None, "policy": None}
    return admit_requests(store, {**defaults, **options}, now, dry=dry)


def balance(
    store: Store, mode: str = "recommend", now: datetime = NOW, *, dry: bool = False, **options: Any
) -> dict[str, Any]:
    """One run of tenant_rebalance."""
    defaults: dict[str, Any] = {"cell": "north", "vms": [], "plan": None, "results": [], "measured": {}, "policy": None}
    answer = rebalance(store, {**defaults, "mode": mode, **options}, now, dry=dry)
    assert answer["changed"] == bool(answer["diff"])
    if not options.get("vms"):
        assert answer["changed"] == any(row["changed"] for row in answer["results"])
    return answer


def forecast(store: Store, name: str, cpu: np.ndarray, memory: float = 100 * MIB, start: datetime = NOW) -> None:
    """Give a profile a forecast of 288 slots: the median ``cpu`` with a tenth around it, and constant memory."""
    document = store.get("profiles", name)
    assert document is not None
    series = {"cpu": SPREAD * cpu[None], "memory": SPREAD * np.full((1, 288), memory)}
    for metric, values in series.items():
        data = values.astype("<f4")
        store.put_arrays([Array(f"forecast/{name}/{metric}", "<f4", data.shape, data.tobytes())])
        document["patterns"][metric] = {
            "start": start, "step": 300.0, "horizon": 288, "quantiles": LEVELS, "model": "test", "period": 86400.0,
            "days": 20.0, "confidence": 1.0, "level": float(values[2].mean()), "peak": float(values[-1].max()),
        }  # fmt: skip
    store.update("profiles", document)


def learned(
    store: Store, name: str, cpu: np.ndarray, memory: float = 100 * MIB, *, period: float | None = None, **fields: Any
) -> None:
    """A profile with a forecast, and with a schedule if a period is given."""
    profiles.ensure(store, {"name": name, **fields}, NOW, dry=False)
    forecast(store, name, cpu, memory)
    if period is None:
        return
    document = store.get("profiles", name)
    assert document is not None
    residuals = (-9.0, -8.0, -7.0, -3.0, 0.0, 3.0, 7.0, 8.0, 9.0)
    schedule = Schedule(
        period, NOW.timestamp() - period / 2, jitter=5.0, fill=1.0, share=1.0, confidence=0.95, drifting=False,
        used=99, residuals=residuals,
    )  # fmt: skip
    model = ArrivalModel(
        "periodic", period=period, phase=0.0, fill=1.0, confidence=0.95, events=99, schedules=(schedule,)
    )
    store.update("profiles", {**document, "arrival": model.document()})


def used(
    store: Store, profile: str, tenant: str, cpu: Sequence[float], memory: float = 100 * MIB, now: datetime = NOW
) -> None:
    """Measurements every five minutes, the newest a minute before ``now``."""
    times = array("d", [now.timestamp() - 60 - 300 * age for age in reversed(range(len(cpu)))])
    values = {"cpu": array("d", cpu), "memory": array("d", [memory] * len(cpu))}
    store.append_usage([UsageBatch(profile, tenant, times, values)])


def check_cell(store: Store, *, moving: bool = False) -> None:
    """No VM overfilled, no tenant in two VMs, every tenant has its room and all room has its tenant."""
    documents = vms.read(store, "north")
    pict = cells.picture(store, documents, {}, [], read_policy(None), NOW)
    assert float(pict.cell.packer.used().max(initial=0)) <= 0.9 + 1e-4
    tenants = {one["key"]: one for one in store.find("tenants") if one["state"] != "absent"}
    held = sorted((key, name) for key, one in documents.items() for name in one["allocations"])
    places = sorted((one["vm"], name) for name, one in tenants.items())
    if moving:
        assert set(places) <= set(held)
    else:
        assert places == held
    for key, one in documents.items():
        memory = sum(item["memory"] for item in one["allocations"].values())
        assert memory <= 1.5 * one["capacity"]["memory"], key


class Machines:
    """VMs that do what ``vm_partition`` would be told, and say so. ``broken``: (vm, tenant) that fail there."""

    def __init__(self) -> None:
        self.tenants: dict[str, dict[str, dict[str, Any]]] = {}
        self.broken: set[tuple[str, str]] = set()

    def partition(
        self, desired: Mapping[str, Sequence[Mapping[str, Any]]], *, named: bool = True
    ) -> list[dict[str, Any]]:
        """Make the lists real (without purge); returns the results of all VMs in one list."""
        results = []
        for name, items in desired.items():
            here = self.tenants.setdefault(name, {})
            for item in items:
                error = "it does not start" if (name, item["name"]) in self.broken and item["state"] != "absent" else ""
                if item["state"] == "absent":
                    here.pop(item["name"], None)
                elif not error:
                    here[item["name"]] = dict(item)
                told = {"name": item["name"], "state": "" if error else item["state"], "error": error}
                results.append({**told, "vm": name} if named else told)
        return results

    def where(self, tenant: str) -> list[str]:
        """The VMs on which a tenant runs."""
        return sorted(name for name, here in self.tenants.items() if tenant in here)


def hot_cell(store: Store) -> None:
    """Three tenants in a, of which one has grown; b is empty."""
    for name in ("one", "two", "three"):
        learned(store, name, flat(0.3))
    admit(store, vms=[vm("a"), vm("b")], requests=[{"id": name, "profile": name} for name in ("one", "two", "three")])
    for name in ("one", "two", "three"):
        forecast(store, name, flat(0.75))
        tenant = store.get("tenants", name)
        document = store.get("vms", "a")
        assert tenant is not None
        assert document is not None
        store.update("tenants", {**tenant, "cpu": {**tenant["cpu"], "cores": 1.2}})
        document["allocations"][name]["cpu"] = 1.2
        store.update("vms", document)


def emptying_cell(store: Store) -> Machines:
    """Two tenants in c that fit into a and b; what makes them leave is a new policy."""
    for name, level in (("one", 0.6), ("two", 0.7), ("three", 0.2), ("four", 0.1)):
        learned(store, name, flat(level))
    for name, place in (("one", "a"), ("two", "b"), ("three", "c"), ("four", "c")):
        states = [vm(key, state="ready" if key == place else "draining") for key in "abc"]
        admit(store, vms=states, requests=[{"id": name, "profile": name}])
    machines = Machines()
    machines.partition(admit(store, vms=[vm(key, state="ready") for key in "abc"])["desired"])
    return machines


def finish(store: Store, machines: Machines, plan: str, *, named: bool = True, **options: Any) -> dict[str, Any]:
    """Carry a plan on until it has come to its end."""
    results: list[dict[str, Any]] = []
    for _step in range(8):
        step = balance(store, "apply", LATER, plan=plan, results=results, **options)
        if step["state"] != "applying":
            return step
        results = machines.partition(step["desired"], named=named)
    raise AssertionError("the plan does not end")


def kill_at(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException | None = None
) -> Callable[[], int]:
    """Let the run die right after its write of that number; returns how many writes there were."""
    writes = [0]

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def write(*arguments: Any, **named: Any) -> Any:
            result = real(*arguments, **named)
            writes[0] += 1
            if writes[0] == number:
                raise error or KeyboardInterrupt
            return result

        return write

    for name in ("update", "insert", "put_many", "delete"):
        monkeypatch.setattr(store, name, dying(getattr(store, name)))
    return lambda: writes[0]
