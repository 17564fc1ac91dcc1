# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tenants are in which VM, and what follows: sums, pooled variances and residuals per window, kept up to date."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .demand import Demand

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

_UNLIMITED = 1e9  # scaled capacity of what has no limit; a tenant needs some thousandths to some units
_ROUNDING = 1e-5  # what single precision leaves of an exact fit


class Ledger:
    """Tenants in VMs. ``assignment`` (n,) holds the VM of each tenant, -1 for none.

    :param demand: all tenants that are or may be placed.
    :param capacity: (VMs, resources), infinite where unlimited.
    :param fill: share of the capacity that the peak may reach, one number or (VMs,).
    :param limits: (n,) hard memory limit of each tenant; their sum in a VM stays within ``limit_capacity`` (VMs,).
    :param held: (VMs, resources) taken by something else, such as shadows.
    """

    def __init__(
        self,
        demand: Demand,
        capacity: Floats,
        *,
        fill: float | Floats = 0.9,
        sigma: float = 3.0,
        correlation: float = 0.3,
        limits: Floats | None = None,
        limit_capacity: Floats | None = None,
        held: Floats | None = None,
        strategy: str = "pack",
    ) -> None:
        vms, resources = capacity.shape
        finite = np.where(np.isfinite(capacity), capacity, 0.0)
        # Every resource in units of the largest VM's: float32 then has digits to spare.
        self._scale = np.maximum(finite.max(axis=0, initial=0.0), 1e-30)
        self._scale[~np.isfinite(capacity).any(axis=0)] = 1.0
        self._scale[self._scale <= 1e-30] = 1.0
        self.names = demand.names
        self.capacity = np.asarray(capacity, dtype=np.float64)
        unlimited = ~np.isfinite(self.capacity)
        self._cap = np.where(unlimited, _UNLIMITED, finite / self._scale).astype(np.float32)
        share = np.broadcast_to(np.asarray(fill, dtype=np.float32), (vms,))
        self._room = self._cap * share[:, None]
        if held is not None:
            self._room = self._room - (held / self._scale).astype(np.float32)
        self.mean = (demand.mean / self._scale).astype(np.float32)
        self.sd = (np.sqrt(np.maximum(demand.variance, 0.0)) / self._scale).astype(np.float32)
        self.groups = demand.groups
        self._z2 = np.float32(sigma * sigma)
        self._z = np.float32(sigma)
        self._z_half = np.float32(sigma / math.sqrt(2.0))
        self._columns = np.arange(resources)
        self._rho = np.float32(correlation)
        self.strategy = strategy
        self.limits = np.zeros(len(demand)) if limits is None else np.asarray(limits, dtype=np.float64)
        self.limit_room = (
            np.full(vms, np.inf) if limit_capacity is None else np.asarray(limit_capacity, dtype=np.float64)
        )
        self._limit_sum = np.zeros(vms)
        self.assignment = np.full(len(demand), -1, dtype=np.int64)
        self.members: list[set[int]] = [set() for _turn in range(vms)]
        windows = demand.mean.shape[1]
        self._sum = np.zeros((vms, windows, resources), np.float32)
        self._var = np.zeros_like(self._sum)
        self._group_sd: dict[int, dict[int, Floats]] = {}
        self._head = np.repeat(self._room[:, None, :], windows, axis=1)
        with np.errstate(divide="ignore"):
            inverse = np.where(~unlimited & (self._cap > 0), 1.0 / self._cap, 0.0).astype(np.float32)
        self._inverse = inverse
        self._weights = np.zeros((vms, windows * resources), np.float32)
        self._norm = np.ones((vms, resources), np.float32)
        # The window with the least room, as a place in a (windows, resources) table, and what is free in it: for means
        # alone, and for means with their deviations, of which a root mean square is at least the sum over sqrt(2).
        self._tight = np.zeros((vms, resources), np.int64)
        self._tight_mean = np.zeros((vms, resources), np.float32)
        self._tight_both = np.zeros((vms, resources), np.float32)
        for vm in range(vms):
            self._refresh(vm)

    def _refresh(self, vm: int) -> None:
        """Derive the residual's row from the sums."""
        self._head[vm] = self._room[vm][None, :] - self._sum[vm]
        deviation = np.sqrt(self._var[vm])
        free = self._head[vm] - self._z * deviation
        tight = free.argmin(axis=0) * free.shape[1] + self._columns
        self._tight[vm] = tight
        self._tight_mean[vm] = np.maximum(free.take(tight), 0.0) + _ROUNDING
        both = self._head[vm].take(tight) - self._z_half * deviation.take(tight)
        self._tight_both[vm] = np.maximum(both, 0.0) + _ROUNDING
        residual = np.maximum(free * self._inverse[vm], 0.0)
        self._weights[vm] = (residual * self._inverse[vm]).ravel()
        self._norm[vm] = (residual * residual).sum(axis=0)

    def place(self, tenant: int, vm: int) -> None:
        """Put a tenant into a VM whether it fits or not; it leaves where it was."""
        if self.assignment[tenant] >= 0:
            self.remove(tenant)
        deviation = self.sd[tenant]
        group = int(self.groups[tenant])
        of_group = self._group_sd.setdefault(group, {})
        before = of_group.get(vm)
        self._sum[vm] += self.mean[tenant]
        self._var[vm] += deviation * deviation
        if before is None:
            of_group[vm] = deviation.copy()
        else:
            self._var[vm] += 2 * self._rho * before * deviation
            of_group[vm] = before + deviation
        self._limit_sum[vm] += self.limits[tenant]
        self.assignment[tenant] = vm
        self.members[vm].add(tenant)
        self._refresh(vm)

    def remove(self, tenant: int) -> int:
        """Take a tenant out of its VM and return that VM; the VM's sums are built anew, so that no error adds up."""
        vm = int(self.assignment[tenant])
        self.assignment[tenant] = -1
        self.members[vm].discard(tenant)
        rest = sorted(self.members[vm])
        self._sum[vm] = self.mean[rest].sum(axis=0)
        self._limit_sum[vm] = self.limits[rest].sum()
        group = int(self.groups[tenant])
        self._group_sd[group].pop(vm)
        kin = [item for item in rest if self.groups[item] == group]
        if kin:
            self._group_sd[group][vm] = self.sd[kin].sum(axis=0)
        self._var[vm] = self._pooled(rest)
        self._refresh(vm)
        return vm

    def _pooled(self, members: list[int]) -> Floats:
        """The pooled variance of some tenants (windows, resources)."""
        deviation = self.sd[members]
        alone: Floats = (deviation * deviation).sum(axis=0)
        if not members or self._rho == 0:
            return alone
        joint = np.zeros_like(alone)
        numbers = self.groups[members]
        for group in np.unique(numbers):
            joint += deviation[numbers == group].sum(axis=0) ** 2
        pooled: Floats = alone + self._rho * (joint - alone)
        return pooled

    def fill_in(self, assignment: Ints) -> None:
        """Place many tenants at once: ``assignment`` (n,) of VMs, -1 to leave out."""
        order = np.argsort(assignment, kind="stable")
        starts = np.searchsorted(assignment[order], np.arange(len(self.members) + 1))
        for vm in range(len(self.members)):
            members = [int(i) for i in order[starts[vm] : starts[vm + 1]]]
            if not members:
                continue
            self.members[vm] = set(members)
            self.assignment[members] = vm
            self._sum[vm] = self.mean[members].sum(axis=0)
            self._var[vm] = self._pooled(members)
            self._limit_sum[vm] = self.limits[members].sum()
            for member in members:
                of_group = self._group_sd.setdefault(int(self.groups[member]), {})
                of_group[vm] = of_group.get(vm, 0) + self.sd[member]
            self._refresh(vm)

    def fill_in_again(self, assignment: Ints) -> None:
        """Place all tenants anew as ``assignment`` says, whatever was before."""
        for vm in range(len(self.members)):
            self.members[vm] = set()
        self.assignment[:] = -1
        self._sum[:], self._var[:], self._limit_sum[:] = 0.0, 0.0, 0.0
        self._group_sd.clear()
        self.fill_in(assignment)
        for vm in range(len(self.members)):
            self._refresh(vm)

    def renew(self, demand: Demand) -> None:
        """Give all tenants another demand; ``fill_in_again`` must follow."""
        self.mean = (demand.mean / self._scale).astype(np.float32)
        self.sd = (np.sqrt(np.maximum(demand.variance, 0.0)) / self._scale).astype(np.float32)

    def change(self, tenants: Sequence[int], demand: Demand, limits: Floats) -> None:
        """Give some tenants another demand (in the order of ``tenants``) and other memory limits, where they are."""
        places = [int(self.assignment[tenant]) for tenant in tenants]
        for tenant, place in zip(tenants, places):
            if place >= 0:
                self.remove(tenant)
        index = np.asarray(tenants, dtype=np.int64)
        self.mean[index] = demand.mean / self._scale
        self.sd[index] = np.sqrt(np.maximum(demand.variance, 0.0)) / self._scale
        self.limits[index] = np.nan_to_num(limits, posinf=0.0)
        for tenant, place in zip(tenants, places):
            if place >= 0:
                self.place(tenant, place)

    def hold(self, vm: int, amount: Floats) -> None:
        """Take ``amount`` (resources,) more of a VM's room for something else; negative gives it back."""
        self._room[vm] = self._room[vm] - (amount / self._scale).astype(np.float32)
        self._refresh(vm)
