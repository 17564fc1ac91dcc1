# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the report shows, as plain values: the page and the terminal table are made from these and nothing else.

Times are UTC seconds. CPU in cores, memory in bytes, I/O in bytes per second. Lists of samples hold NaN where a sample
is missing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Expected = tuple[float, float, float]


@dataclass(frozen=True)
class Line:
    """Samples at ``times``, each ``values`` entry as long as it."""

    times: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Band:
    """A forecast: the median and its 5 % and 95 % quantiles at ``times`` (the middle of each slot)."""

    times: list[float] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    median: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Pattern:
    """What is known of one metric of a workload; None where the history is too short to say."""

    metric: str
    model: str
    period: float | None
    mase: float | None
    coverage: float | None
    days: float
    last_error: float | None
    peak: float
    forecast: Band = Band()
    actual: Line = Line()
    hindcast: Band = Band()


@dataclass(frozen=True)
class Profile:
    """One workload: when it is asked for (``asked`` in words), and how much it uses. ``expected`` are (expected, low,
    high)."""

    name: str
    workload: str
    priority: int
    kind: str
    asked: str
    period: float | None
    jitter: float
    confidence: float
    requests: int
    expected: list[Expected]
    tenants: int
    patterns: dict[str, Pattern]

    def next(self, now: float) -> Expected | None:
        """The first expected request that can still come."""
        return next((one for one in self.expected if one[0] >= now or one[2] >= now), None)


@dataclass(frozen=True)
class Tenant:
    """One allocation."""

    name: str
    profile: str
    vm: str
    state: str
    priority: int
    cores: float
    memory: float
    moving_to: str
    claim: str
    since: float | None


@dataclass(frozen=True)
class Machine:
    """One capacity VM and what it holds; ``held`` is the memory of its waiting shadows."""

    name: str
    zone: str
    host: str
    state: str
    cores: float
    memory: float
    tenants: list[Tenant]
    shadows: int = 0
    held: float = 0.0

    @property
    def used_cores(self) -> float:
        """Cores promised to tenants that run or are paused."""
        return sum(tenant.cores for tenant in self.tenants)

    @property
    def used_memory(self) -> float:
        """Bytes promised to tenants."""
        return sum(tenant.memory for tenant in self.tenants)


@dataclass(frozen=True)
class Action:
    """One action of a plan; ``changes`` are (what, from, to) for people, ``effect`` (what, value)."""

    name: str
    kind: str
    tenant: str
    reason: str
    confidence: float | None
    changes: list[tuple[str, str, str]]
    effect: list[tuple[str, str]]
    limits: list[str]
    state: str
    error: str


@dataclass(frozen=True)
class Plan:
    """One plan; ``score`` and ``limits`` are (what, value) for people."""

    name: str
    state: str
    mode: str
    created: float | None
    expires: float | None
    actions: list[Action]
    score: list[tuple[str, str]]
    limits: list[tuple[str, str]]
    notes: list[str]


@dataclass(frozen=True)
class Shadow:
    """One sandbox that waits, or waited, for its tenant."""

    name: str
    profile: str
    vm: str
    tier: str
    state: str
    expected: float | None
    ready: float | None
    expires: float | None
    memory: float


@dataclass(frozen=True)
class Group:
    """Measurements of one kind as a table: ``columns`` and ``rows`` of cells for people, ``bars`` to draw.

    A bar is (label, text, its value, other text, its value): what was reached beside what it is held against;
    ``scales`` has the greatest value of its unit for each.
    """

    name: str
    columns: list[str]
    rows: list[list[str]]
    bars: list[tuple[str, str, float, str, float]]
    scales: list[float]


@dataclass(frozen=True)
class Report:
    """Everything on the page. ``counts`` are tenants per VM over time: {vm: [(time, tenants), ...]}, steps."""

    title: str
    cell: str
    now: float
    hours: float
    profiles: list[Profile]
    charted: list[Profile]
    machines: list[Machine]
    shadows: list[Shadow]
    plans: list[Plan]
    groups: list[Group]
    counts: dict[str, list[tuple[float, int]]]
    totals: dict[str, Any]
