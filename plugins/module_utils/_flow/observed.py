# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured of tenants, as the planner's arrays: checks, present use, memory to keep, pressure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from .._planning.demand import RESOURCES
from .._planning.policy import Policy
from .._planning.policy_reader import narrowed
from .._planning.resize import Observed
from .._planning.sizing import margin
from .._store.interface import Document, Store, UsageBatch
from .cells import Picture, limit_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
else:
    try:
        import numpy as np
    except ImportError:  # the plugin that needs it says so (libraries.require)
        pass


def check_count(policy: Policy) -> int:
    """How many checks the rules look back on, those of any profile among them."""
    every = [policy, *(narrowed(policy, profile=one.profile) for one in policy.overrides)]
    return max(max(one.resize.up_after, one.resize.down_after, one.move.hold_of) for one in every)


class Measured:
    """Checks (n, C, R), newest last, and the memory quantile (n,) of n tenants from the stored history.

    A check is the mean over its interval. A tenant's own measurements count before those of its workload as a whole.
    ``keep`` is NaN until ``remember`` has read the days that it looks back on, which takes longer than all else.
    """

    def __init__(self, store: Store, pict: Picture, policy: Policy, now: datetime) -> None:
        self.count = check_count(policy)
        self.policy, self.now = policy, now
        self._store = store
        size = len(pict.entries)
        self.checks: Floats = np.full((size, self.count, len(RESOURCES)), np.nan)
        self._whole: Floats = self.checks.copy()
        self.keep: Floats = np.full(size, np.nan)
        self._entries = pict.entries
        self._by_name = {entry.name: row for row, entry in enumerate(pict.entries)}
        self._by_profile: dict[str, list[int]] = {}
        for row, entry in enumerate(pict.entries):
            self._by_profile.setdefault(entry.profile["key"], []).append(row)
        for batch in self._read(self._by_profile, self.count * policy.resize.check):
            self._take(batch)
        self.checks = np.where(np.isnan(self.checks), self._whole, self.checks)

    def _read(self, profiles: Iterable[str], back: float, **which: Any) -> Iterator[UsageBatch]:
        start, end = self.now - timedelta(seconds=back), self.now + timedelta(seconds=1)
        return self._store.read_usage(sorted(profiles), start, end, **which)

    def _take(self, batch: UsageBatch) -> None:
        rows = [self._by_name[batch.tenant]] if batch.tenant in self._by_name else []
        whole = batch.tenant == ""
        if whole:
            rows = self._by_profile.get(batch.profile, [])
        if not rows:
            return
        times = np.frombuffer(batch.times)
        age = np.floor((self.now.timestamp() - times) / self.policy.resize.check).astype(np.int64)
        recent = (age >= 0) & (age < self.count)
        into = self._whole if whole else self.checks
        for column, metric in enumerate(RESOURCES):
            if metric not in batch.values:
                continue
            values = np.frombuffer(batch.values[metric])
            good = recent & np.isfinite(values)
            if not good.any():
                continue
            slot = self.count - 1 - age[good]
            number = np.bincount(slot, minlength=self.count)
            total = np.bincount(slot, weights=values[good], minlength=self.count)
            with np.errstate(invalid="ignore"):
                into[rows, :, column] = np.where(number > 0, total / number, np.nan)

    def remember(self, rows: Iterable[int]) -> None:
        """Fill in ``keep`` of some tenants: the .99 quantile of their memory over the policy's days, that of their
        workload as a whole for those that were not measured by themselves."""
        wanted: dict[str, dict[str, int]] = {}
        for row in rows:
            wanted.setdefault(self._entries[row].profile["key"], {})[self._entries[row].name] = row
        whole: dict[str, float] = {}
        for batch in self._read(wanted, self.policy.resize.memory_keep, metrics=("memory",)):
            own = wanted[batch.profile].get(batch.tenant)
            if "memory" not in batch.values or (batch.tenant and own is None):
                continue
            memory = np.frombuffer(batch.values["memory"])
            known = memory[np.isfinite(memory)]
            if known.size and own is not None:
                self.keep[own] = np.quantile(known, 0.99)
            elif known.size:
                whole[batch.profile] = float(np.quantile(known, 0.99))
        for profile, most in whole.items():
            rest = [row for row in wanted[profile].values() if np.isnan(self.keep[row])]
            self.keep[rest] = most


def _share(value: Any) -> float:
    """A PSI average in percent as a share, NaN where it is not measured."""
    try:
        return float(value["some"]["avg60"]) / 100.0
    except (TypeError, KeyError, ValueError):
        return math.nan


def live(pict: Picture, measured: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[Floats, Floats, Floats]:
    """Use (n, R), pressure (n, 3) and throttled share (n,) from what ``vm_partition_info`` returned per VM, NaN where
    nothing is known. Throttled is the CPU time lost to the limit over that which was wanted."""
    size = len(pict.entries)
    use: Floats = np.full((size, len(RESOURCES)), np.nan)
    pressure: Floats = np.full((size, 3), np.nan)
    throttled: Floats = np.full(size, np.nan)
    rows = {(pict.keys[entry.vm], entry.name): row for row, entry in enumerate(pict.entries) if entry.vm >= 0}
    for vm, tenants in measured.items():
        for tenant in tenants:
            row = rows.get((vm, str(tenant.get("name"))))
            if row is None:
                continue
            cpu, memory, io = (tenant.get(part) or {} for part in ("cpu", "memory", "io"))
            told = (cpu.get("cores"), memory.get("current"), io.get("read"), io.get("write"))
            use[row] = [math.nan if value is None else float(value) for value in told]
            lost = cpu.get("throttled")
            if lost is not None and cpu.get("cores") is not None:
                wanted = float(lost) + float(cpu["cores"])
                throttled[row] = float(lost) / wanted if wanted > 0 else 0.0
            psi = tenant.get("pressure") or {}
            pressure[row] = [_share(psi.get(name)) for name in ("cpu", "memory", "io")]
    return use, pressure, throttled


def observed(
    pict: Picture,
    history: Measured,
    tenants: Mapping[str, Document],
    measured: Mapping[str, Sequence[Mapping[str, Any]]],
    policy: Policy,
    now: datetime,
) -> Observed:
    """Everything that resizing looks at, in the order of ``pict.entries``."""
    entries = pict.entries
    use, pressure, throttled = live(pict, measured)
    use = np.where(np.isnan(use), history.checks[:, -1], use)
    forecast = pict.forecast
    rows = np.array([forecast.row[entry.profile["key"]] for entry in entries], dtype=np.int64)
    known = forecast.known[rows]
    slots = max(1, math.ceil(policy.resize.lead / forecast.step))
    lead = forecast.lead[:, :slots].max(axis=1)[rows]
    ahead = forecast.size.max(axis=1)[rows]
    least, most = _bounds(entries, "min"), _bounds(entries, "max")
    return Observed(
        limits=limit_rows(entries),
        lead=np.where(known, lead, np.nan),
        ahead=np.where(known, ahead, np.nan),
        checks=history.checks,
        use=use,
        keep=history.keep,
        pressure=pressure,
        throttled=throttled,
        margins=_margins(entries, policy),
        least=least,
        most=most,
        since=np.array([_since(tenants.get(entry.name), now) for entry in entries]),
    )


def _bounds(entries: Sequence[Any], side: str) -> Floats:
    rows = []
    for entry in entries:
        bounds = entry.profile.get("bounds") or {}
        row = [(bounds.get(resource) or {}).get(side) for resource in RESOURCES]
        rows.append([math.nan if value is None else float(value) for value in row])
    return np.array(rows, dtype=float).reshape(len(entries), len(RESOURCES))


def _margins(entries: Sequence[Any], policy: Policy) -> Floats:
    """The factor above the forecast for each tenant and resource, wider where the forecast deserves less trust."""
    known: dict[str, list[float]] = {}
    for entry in entries:
        key = entry.profile["key"]
        if key not in known:
            patterns = entry.profile.get("patterns") or {}
            sizing = narrowed(policy, profile=key).sizing
            trust = {name: float((patterns.get(name) or {}).get("confidence") or 0.0) for name in RESOURCES}
            known[key] = [margin(sizing, name, trust[name]) for name in RESOURCES]
    return np.array([known[entry.profile["key"]] for entry in entries]).reshape(len(entries), len(RESOURCES))


def _since(tenant: Mapping[str, Any] | None, now: datetime) -> float:
    moments = [tenant.get("resized_at"), tenant.get("placed_at")] if tenant else []
    known = [moment for moment in moments if moment is not None]
    return (now - max(known)).total_seconds() if known else math.inf


def vm_checks(pict: Picture, checks: Floats) -> Floats:
    """The measured use of each VM in shares of its capacity (VMs, C, R): the sum over its tenants, NaN where none was
    measured."""
    capacity = pict.cell.packer.capacity
    total = np.zeros((len(pict.keys), checks.shape[1], len(RESOURCES)))
    known = np.zeros(total.shape, dtype=bool)
    for row, entry in enumerate(pict.entries):
        if entry.vm >= 0:
            total[entry.vm] += np.nan_to_num(checks[row])
            known[entry.vm] |= np.isfinite(checks[row])
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(np.isfinite(capacity)[:, None, :], total / capacity[:, None, :], np.nan)
    return np.where(known, share, np.nan)
