# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What would a policy have done: the planner run over recorded usage, one step after the other, knowing only the past.

Each step estimates every tenant's level and how far it strays from it within the lead time, relieves VMs that become
too full and empties those that are not needed, with the same rules, guardrails and budgets as a real run. It is judged
by what really came: overload, VMs, slack, moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from . import moves
from .admission import Cell, Guest, Vm
from .demand import MEMORY, Demand
from .guard import Guard, Past
from .packing import Packer
from .policy import Policy
from .policy_reader import narrowed
from .wholeplan import pack_all

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
    Ints = NDArray[np.int64]
else:
    try:
        import numpy as np
    except ImportError:  # the plugin that needs it says so (libraries.require)
        pass

_DAY = 86400.0
_PRIOR = 1.7  # how much more the totals of VMs stray than those of independent tenants, until it is known
_FIRST = 0.3  # how far the first level is drawn to that of all tenants


class Levels:
    """Exponentially weighted levels (n, R) and the variance of what came within the lead time against them.

    ``half`` is the half-life in steps. The variance is learned from the residuals of the level ``lead`` steps ago.
    """

    def __init__(self, first: Floats, lead: int, half: float = 6.0, memory: float = 144.0) -> None:
        # One sample says little: levels start between it and the population's, with the population's variance.
        self.level = (1 - _FIRST) * np.array(first, dtype=np.float64) + _FIRST * np.mean(first, axis=0)
        self.variance = np.broadcast_to(_FIRST * np.var(first, axis=0), first.shape).astype(np.float64)
        self._lead = max(1, lead)
        self._past: list[Floats] = [self.level.copy()]
        self._gain = 1.0 - 0.5 ** (1.0 / half)
        self._forget = 1.0 - 0.5 ** (1.0 / memory)
        self._seen = 0

    @property
    def reference(self) -> Floats:
        """The levels that the next step is compared with."""
        return self._past[0]

    def see(self, usage: Floats) -> None:
        """Take the next step's usage (n, R); NaN where nothing was measured."""
        usage = np.where(np.isfinite(usage), usage, self.level)
        self._seen += 1
        weight = max(self._forget, 1.0 / (self._seen + 6.0))
        self.variance += weight * ((usage - self.reference) ** 2 - self.variance)
        self.level += self._gain * (usage - self.level)
        self._past.append(self.level.copy())
        if len(self._past) > self._lead:
            self._past.pop(0)


class Trust:
    """How far VMs' totals really stray, against what independent tenants would: correlation shows here.

    ``factor`` multiplies the variances; it is the decaying mean of squared residuals of VMs in their own deviations.
    """

    def __init__(self, memory: float = 288.0) -> None:
        self.factor = _PRIOR
        self._forget = 1.0 - 0.5 ** (1.0 / memory)
        self._seen = 0

    def see(self, levels: Levels, usage: Floats, assignment: Ints, vms: int) -> None:
        """Compare a step's CPU (n, R) with the levels before it."""
        used = np.bincount(assignment, minlength=vms) > 1
        missed = np.nan_to_num(usage[:, 0] - levels.reference[:, 0])
        total = np.bincount(assignment, weights=missed, minlength=vms)[used]
        expected = np.bincount(assignment, weights=levels.variance[:, 0], minlength=vms)[used]
        if not used.any() or not expected.sum() > 0:
            return
        self._seen += 1
        weight = max(self._forget, 1.0 / (self._seen + 24.0))
        self.factor += weight * (float((total**2).sum() / expected.sum()) - self.factor)
        self.factor = float(np.clip(self.factor, 1.0, 9.0))


@dataclass
class Record:
    """What happened in a simulation. ``hosts`` and ``over`` per step; ``moved`` as (step, tenant, source, target)."""

    step: float
    tenants: int
    hosts: list[int] = field(default_factory=list)
    over: list[int] = field(default_factory=list)
    slack: list[float] = field(default_factory=list)
    moved: list[tuple[int, int, int, int]] = field(default_factory=list)
    stuck: int = 0
    bites: dict[str, int] = field(default_factory=dict)

    @property
    def days(self) -> float:
        """The length of the simulation."""
        return len(self.hosts) * self.step / _DAY

    def returns(self, within: float = _DAY) -> int:
        """Moves that took a tenant back to where it had come from within that time."""
        left: dict[tuple[int, int], int] = {}
        count = 0
        for at, tenant, source, target in self.moved:
            before = left.get((tenant, target))
            count += before is not None and (at - before) * self.step <= within
            left[(tenant, source)] = at
        return count

    def figures(self) -> dict[str, float]:
        """VMs in use (mean and most), overloaded VM-time, slack (free share of the VMs in use), moves per tenant and
        day, moves back within a day, VMs that could not be relieved."""
        hosts = sum(self.hosts)
        return {
            "vms": hosts / max(1, len(self.hosts)),
            "vms_most": float(max(self.hosts, default=0)),
            "overload": sum(self.over) / max(1, hosts),
            "slack": sum(self.slack) / max(1, len(self.slack)),
            "moves_per_tenant_day": len(self.moved) / max(1, self.tenants) / max(self.days, 1e-9),
            "returns": float(self.returns()),
            "stuck": float(self.stuck),
        }


@dataclass
class Scenario:
    """``usage`` (n, T, R) every ``step`` seconds, NaN where missing; ``capacity`` (V, R); ``guests``; ``start`` in UTC
    seconds; ``assignment`` (n,) to begin with, else the planner's own; ``vms`` where they differ in more than size."""

    usage: Floats
    capacity: Floats
    guests: Sequence[Guest]
    step: float
    start: float = 0.0
    assignment: Ints | None = None
    vms: Sequence[Vm] = ()


def simulate(scenario: Scenario, policy: Policy, *, every: int = 1, consolidate_every: int = 6) -> Record:
    """Run a policy: plans every ``every`` steps, consolidation every ``consolidate_every`` plans."""
    usage, step = scenario.usage, scenario.step
    count, steps = usage.shape[:2]
    lead = max(1, round(policy.move.lead / step))
    levels = Levels(np.nan_to_num(usage[:, 0]), lead)
    vms = list(scenario.vms) or [Vm(str(number)) for number in range(len(scenario.capacity))]
    quick = replace(policy, packing=replace(policy.packing, windows=1, horizon=max(policy.move.lead, step)))
    trust = Trust()
    cell = _cell(scenario, vms, levels, quick)
    if scenario.assignment is None:
        _first(cell, scenario, _demand(scenario, levels, trust))
        _update(cell, scenario, levels, trust)
    else:
        cell.packer.fill_in(scenario.assignment)
    record = Record(step, count)
    pasts: list[list[Past]] = [[] for _tenant in range(count)]
    rules = [narrowed(policy, profile=guest.profile).move for guest in scenario.guests]
    checks = np.zeros((len(vms), policy.move.hold_of, usage.shape[2]))
    for now in range(steps):
        load = _judge(record, scenario, cell.packer.assignment, now)
        trust.see(levels, usage[:, now], cell.packer.assignment, len(vms))
        levels.see(usage[:, now])
        checks = np.concatenate([checks[:, 1:], load[:, None]], axis=1)
        if now % every or now == steps - 1:
            continue
        _update(cell, scenario, levels, trust)
        guard = Guard(cell.guests, pasts, rules, policy.move, scenario.start + now * step)
        done, stuck = moves.relieve(cell, guard, checks)
        record.stuck += len(stuck)
        if (now // every) % consolidate_every == consolidate_every - 1:
            done += moves.consolidate(cell, guard)
        for one in done:
            for moved in one.moves:
                record.moved.append((now, moved.guest, moved.source, moved.target))
                past = Past(guard.now, vms[moved.source].key, vms[moved.target].key, one.gain)
                pasts[moved.guest] = [*pasts[moved.guest][-4:], past]
        for name, number in guard.bites.items():
            record.bites[name] = record.bites.get(name, 0) + number
    return record


def _demand(scenario: Scenario, levels: Levels, trust: Trust) -> Demand:
    mean = levels.level[:, None, :].copy()
    variance = trust.factor * levels.variance[:, None, :]
    deviation = np.sqrt(variance[..., MEMORY])
    mean[..., MEMORY] += 2.0 * deviation
    variance[..., MEMORY] = 0.0
    names = tuple(guest.name for guest in scenario.guests)
    return Demand(names, mean, variance, np.arange(len(names)))


def _cell(scenario: Scenario, vms: Sequence[Vm], levels: Levels, policy: Policy) -> Cell:
    packer = Packer(
        _demand(scenario, levels, Trust()),
        scenario.capacity,
        fill=np.array([narrowed(policy, group=vm.group).packing.fill for vm in vms]),
        sigma=policy.packing.sigma,
        correlation=0.0,
        strategy=policy.packing.strategy,
    )
    return Cell(vms, scenario.guests, packer, policy)


def _update(cell: Cell, scenario: Scenario, levels: Levels, trust: Trust) -> None:
    assignment = cell.packer.assignment.copy()
    cell.packer.renew(_demand(scenario, levels, trust))
    cell.packer.fill_in_again(assignment)


def _first(cell: Cell, scenario: Scenario, demand: Demand) -> None:
    """Place all tenants by their first level, or what they use at that moment if that is more: into as few VMs as a
    whole plan needs, evenly."""
    packing = cell.policy.packing
    now = np.nan_to_num(scenario.usage[:, :1])
    demand = Demand(demand.names, np.maximum(demand.mean, now), demand.variance, demand.groups)
    cell.packer.renew(demand)
    plan = pack_all(demand, scenario.capacity[0], fill=packing.fill, sigma=packing.sigma, correlation=0.0, search=False)
    opened = np.arange(len(cell.vms)) <= plan.max()
    for guest in np.argsort(-cell.packer.mean.max(axis=(1, 2)), kind="stable"):
        may = cell.eligible(cell.guests[int(guest)])
        vm = cell.packer.choose(int(guest), opened & may)
        if vm < 0:
            vm = cell.packer.choose(int(guest), may)
        if vm < 0:  # nowhere: it is judged where it does least harm
            full = cell.packer.used().max(axis=(1, 2))
            vm = int(np.argmin(np.where(may, full, np.inf) if may.any() else full))
        cell.place(int(guest), vm)


def _judge(record: Record, scenario: Scenario, assignment: Ints, now: int) -> Floats:
    """Count what a step really was; returns the load of the VMs as shares of their capacity (V, R)."""
    load = np.zeros(scenario.capacity.shape)
    np.add.at(load, assignment, np.nan_to_num(scenario.usage[:, now]))
    used = np.bincount(assignment, minlength=len(load)) > 0
    share: Floats = np.where(np.isfinite(scenario.capacity), load / scenario.capacity, 0.0)
    record.hosts.append(int(used.sum()))
    record.over.append(int((share[used] > 1.0 + 1e-9).any(axis=1).sum()))
    record.slack.append(float((1.0 - share[used].max(axis=1)).clip(0.0).mean()) if used.any() else 0.0)
    return share
