# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small report made by hand, with every part in it."""

from __future__ import annotations

import math

from ansible_collections.predictive.tenancy.plugins.module_utils._flow.report_views import (
    Action,
    Band,
    Group,
    Line,
    Machine,
    Pattern,
    Plan,
    Profile,
    Report,
    Shadow,
    Tenant,
)

NOW = 1772409600.0  # 2026-03-02T00:00:00Z
MIB = 1024**2


def pattern(metric: str, unit: float) -> Pattern:
    times = [NOW + 300 * (index + 0.5) for index in range(-288, 288)]
    before, after = times[:288], times[288:]
    return Pattern(
        metric=metric,
        model="median_14+mean_7",
        period=86400.0,
        mase=0.62,
        coverage=0.951,
        days=14.0,
        last_error=None,
        peak=0.9 * unit,
        forecast=Band(after, [0.1 * unit] * 288, [0.4 * unit] * 288, [0.5 * unit] * 287 + [0.8 * unit]),
        actual=Line(before, [0.3 * unit] * 200 + [math.nan] * 8 + [0.7 * unit] * 80),
        hindcast=Band(before, [0.1 * unit] * 288, [0.4 * unit] * 288, [0.6 * unit] * 288),
    )


def report(name: str = "sync") -> Report:
    """Two workloads (one on a schedule, called ``name``), one VM with two tenants, a plan, a shadow, a measurement."""
    scheduled = Profile(
        name=name,
        workload=name,
        priority=60,
        kind="periodic",
        asked="every 15m",
        period=900.0,
        jitter=6.0,
        confidence=0.95,
        requests=1344,
        expected=[(NOW + 120 + 900 * index, NOW + 110 + 900 * index, NOW + 130 + 900 * index) for index in range(96)],
        tenants=1,
        patterns={"cpu": pattern("cpu", 1.0), "memory": pattern("memory", 120 * MIB * 0.96 / 1.08)},
    )
    free = Profile(
        name="web", workload="web", priority=50, kind="aperiodic", asked="at no fixed time, about 2 a day", period=None,
        jitter=0.0, confidence=0.0, requests=9, expected=[], tenants=1, patterns={},
    )  # fmt: skip
    tenants = [
        Tenant(f"{name}_1", name, "vm1", "running", 60, 0.5, 128.0 * MIB, "", "", NOW - 7200),
        Tenant("web_1", "web", "vm1", "paused", 50, 0.25, 64.0 * MIB, "vm2", "", NOW - 3600),
    ]
    action = Action(
        "a1", "resize", f"{name}_1", f"the forecast of {name} is lower", 0.8, [("cpu.cores", "0.5", "0.4")],
        [("cpu", "-0.1")], ["resize.down_step"], "proposed", "",
    )  # fmt: skip
    return Report(
        title="Tenancy of the lab",
        cell="lab",
        now=NOW,
        hours=24.0,
        profiles=[scheduled, free],
        charted=[scheduled],
        machines=[Machine("vm1", "a", "kvm1", "ready", 2.0, 1024.0 * MIB, tenants, 1, 2.0 * MIB)],
        shadows=[
            Shadow(f"{name}_s", name, "vm1", "frozen", "waiting", NOW + 120, NOW + 60, NOW + 900, 2.0 * MIB)
        ],
        plans=[
            Plan(
                name="p2", state="recommended", mode="recommend", created=NOW - 60, expires=NOW + 1800,
                actions=[action], score=[("after", "1.31")], limits=[("move.per_run", "1")], notes=["a note"],
            ),
            Plan("p1", "applied", "apply", NOW - 3600, None, [], [], [], []),
        ],
        groups=[
            Group(
                name="Start latency", columns=["name", "claim", "cold"], rows=[[name, "340ms", "2.5s"]],
                bars=[(name, "claim 340ms", 0.34, "cold 2.5s", 2.5)], scales=[2.5],
            ),
        ],
        counts={"vm1": [(NOW - 7200, 0), (NOW - 7200, 1), (NOW - 3600, 2)]},
        totals={
            "tenants": 2, "running": 1, "ready": 1, "profiles": 2, "periodic": 1, "cpu": 0.75, "memory": 192.0 * MIB,
            "cpu_share": 0.375, "memory_share": 0.1875, "mase": 0.62, "coverage": 0.951,
        },
    )  # fmt: skip
