# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy: every number that a decision depends on, with its default.

A field's metadata names its kind, from which the reader (policy_reader.py) derives the argument spec, the parsing and
the range check. ``plugins/doc_fragments/policy.py`` says why each default is what it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


def _is(kind: str) -> dict[str, str]:
    """A field's metadata. Kinds: share, count, number, duration, bytes, rate, cores, flag, names, spans or a choice
    a|b."""
    return {"kind": kind}


@dataclass(frozen=True)
class Packing:
    """How a VM's room is judged and the VM of a tenant chosen."""

    windows: int = field(default=24, metadata=_is("count"))
    horizon: float = field(default=86400.0, metadata=_is("duration"))
    fill: float = field(default=0.9, metadata=_is("share"))
    sigma: float = field(default=3.0, metadata=_is("number"))
    correlation: float = field(default=0.3, metadata=_is("share"))
    novelty: float = field(default=0.12, metadata=_is("share"))
    memory_overcommit: float = field(default=1.5, metadata=_is("number"))
    strategy: str = field(default="pack", metadata=_is("pack|even|spread"))
    proximity: float = field(default=0.2, metadata=_is("share"))
    incumbent: float = field(default=0.05, metadata=_is("share"))


@dataclass(frozen=True)
class Sizing:
    """How a tenant's limits follow from its forecast."""

    cpu_quantile: float = field(default=0.95, metadata=_is("share"))
    memory_quantile: float = field(default=0.99, metadata=_is("share"))
    cpu_margin: float = field(default=0.2, metadata=_is("number"))
    memory_margin: float = field(default=0.15, metadata=_is("number"))
    io_margin: float = field(default=1.0, metadata=_is("number"))
    distrust: float = field(default=0.5, metadata=_is("number"))
    cpu_floor: float = field(default=0.05, metadata=_is("cores"))
    memory_floor: int = field(default=64 * 1024**2, metadata=_is("bytes"))
    io_floor: int = field(default=1000**2, metadata=_is("rate"))
    unknown_cpu: float = field(default=0.25, metadata=_is("cores"))
    unknown_memory: int = field(default=128 * 1024**2, metadata=_is("bytes"))
    class_quantile: float = field(default=0.9, metadata=_is("share"))
    pids: int = field(default=256, metadata=_is("count"))


@dataclass(frozen=True)
class Resize:
    """When a tenant's limits change in place, and by how much."""

    enabled: bool = field(default=True, metadata=_is("flag"))
    lead: float = field(default=1800.0, metadata=_is("duration"))
    high: float = field(default=0.85, metadata=_is("share"))
    low: float = field(default=0.6, metadata=_is("share"))
    check: float = field(default=300.0, metadata=_is("duration"))
    up_after: int = field(default=2, metadata=_is("count"))
    down_after: int = field(default=6, metadata=_is("count"))
    dead_band: float = field(default=0.1, metadata=_is("share"))
    dead_band_cpu: float = field(default=0.02, metadata=_is("cores"))
    dead_band_memory: int = field(default=8 * 1024**2, metadata=_is("bytes"))
    dead_band_io: int = field(default=500 * 1000, metadata=_is("rate"))
    step_up: float = field(default=1.0, metadata=_is("number"))
    step_down: float = field(default=0.25, metadata=_is("share"))
    memory_keep: float = field(default=7 * 86400.0, metadata=_is("duration"))
    memory_keep_margin: float = field(default=1.15, metadata=_is("number"))
    pressure_cpu: float = field(default=0.2, metadata=_is("share"))
    pressure_memory: float = field(default=0.1, metadata=_is("share"))
    pressure_io: float = field(default=0.2, metadata=_is("share"))
    throttled: float = field(default=0.1, metadata=_is("share"))
    cooldown: float = field(default=600.0, metadata=_is("duration"))


@dataclass(frozen=True)
class Move:
    """When tenants change VM, and how many of them."""

    enabled: bool = field(default=True, metadata=_is("flag"))
    lead: float = field(default=1800.0, metadata=_is("duration"))
    quantile: float = field(default=0.9, metadata=_is("share"))
    high: float = field(default=0.95, metadata=_is("share"))
    low: float = field(default=0.6, metadata=_is("share"))
    hold: int = field(default=3, metadata=_is("count"))
    hold_of: int = field(default=5, metadata=_is("count"))
    per_run: float = field(default=0.05, metadata=_is("share"))
    per_hour: float = field(default=0.1, metadata=_is("share"))
    per_day: float = field(default=0.5, metadata=_is("share"))
    inflow: int = field(default=2, metadata=_is("count"))
    cooldown: float = field(default=6 * 3600.0, metadata=_is("duration"))
    return_within: float = field(default=86400.0, metadata=_is("duration"))
    return_gain: float = field(default=0.0, metadata=_is("number"))
    min_gain: float = field(default=0.05, metadata=_is("share"))
    give_up_after: int = field(default=2, metadata=_is("count"))
    backoff: float = field(default=3600.0, metadata=_is("duration"))
    freeze: tuple[str, ...] = field(default=(), metadata=_is("spans"))
    pins: tuple[str, ...] = field(default=(), metadata=_is("names"))


@dataclass(frozen=True)
class Consolidation:
    """When a whole VM is emptied."""

    enabled: bool = field(default=True, metadata=_is("flag"))
    ratio: float = field(default=0.5, metadata=_is("number"))
    lead: float = field(default=1800.0, metadata=_is("duration"))
    per_run: int = field(default=1, metadata=_is("count"))
    headroom: bool = field(default=True, metadata=_is("flag"))
    fixed_cost: float = field(default=5.0, metadata=_is("duration"))
    bandwidth: int = field(default=100 * 1000**2, metadata=_is("rate"))
    priority_cost: float = field(default=10.0, metadata=_is("duration"))
    warmth_cost: float = field(default=30.0, metadata=_is("duration"))


@dataclass(frozen=True)
class Shadow:
    """Which shadows are worth holding, for how long, and how many of them."""

    enabled: bool = field(default=True, metadata=_is("flag"))
    cap: float = field(default=0.1, metadata=_is("share"))
    lead: float = field(default=300.0, metadata=_is("duration"))
    ahead: float = field(default=7200.0, metadata=_is("duration"))
    ttl: float = field(default=7200.0, metadata=_is("duration"))
    cold_start: float = field(default=3.0, metadata=_is("duration"))
    memory: int = field(default=8 * 1024**2, metadata=_is("bytes"))
    confidence: float = field(default=0.5, metadata=_is("share"))
    second_cost: float = field(default=60.0, metadata=_is("number"))


@dataclass(frozen=True)
class Preempt:
    """Who gives way when there is no room."""

    shadows: bool = field(default=True, metadata=_is("flag"))
    tenants: bool = field(default=False, metadata=_is("flag"))
    priority_gap: int = field(default=20, metadata=_is("count"))


@dataclass(frozen=True)
class Plans:
    """How long a plan stands, and how its effect is judged."""

    expires: float = field(default=3600.0, metadata=_is("duration"))
    verify_after: float = field(default=2.0, metadata=_is("number"))
    worse: float = field(default=0.05, metadata=_is("share"))
    rollback: bool = field(default=True, metadata=_is("flag"))


@dataclass(frozen=True)
class Policy:
    """All sections, and the overrides for a cell, a group of VMs or a profile (partial sections, already checked)."""

    packing: Packing = field(default_factory=Packing)
    sizing: Sizing = field(default_factory=Sizing)
    resize: Resize = field(default_factory=Resize)
    move: Move = field(default_factory=Move)
    consolidation: Consolidation = field(default_factory=Consolidation)
    shadow: Shadow = field(default_factory=Shadow)
    preempt: Preempt = field(default_factory=Preempt)
    plan: Plans = field(default_factory=Plans)
    overrides: tuple[Override, ...] = ()


@dataclass(frozen=True)
class Override:
    """Values that replace the policy's for what all its given selectors name.

    ``values`` is ``{section: {key: parsed value}}``.
    """

    cell: str = ""
    group: str = ""
    profile: str = ""
    values: dict[str, dict[str, Any]] = field(default_factory=dict)


SECTIONS: dict[str, type] = {
    "packing": Packing,
    "sizing": Sizing,
    "resize": Resize,
    "move": Move,
    "consolidation": Consolidation,
    "shadow": Shadow,
    "preempt": Preempt,
    "plan": Plans,
}

# A group of VMs has a fill of its own; a profile has what belongs to a tenant, these sections without these keys.
GROUP_KEYS: dict[str, frozenset[str]] = {"packing": frozenset({"fill"})}
PROFILE_BARRED: dict[str, frozenset[str]] = {
    "sizing": frozenset(),
    "resize": frozenset({"lead", "check", "memory_keep"}),
    "move": frozenset(
        {"lead", "quantile", "high", "low", "hold", "hold_of", "per_run", "per_hour", "per_day", "inflow", "min_gain"}
    ),
    "shadow": frozenset({"cap"}),
}
