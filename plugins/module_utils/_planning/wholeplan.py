# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole plans: all tenants into as few equal VMs as possible.

Two constructions, of which the better one is kept: bin-centric dot product (fill one VM after the other with the
tenant whose demand points most the way of its residual; Panigrahy et al., Heuristics for Vector Bin Packing, 2011) and
best fit in decreasing order. Then a local search empties the weakest VM as long as its tenants fit elsewhere, pushing a
smaller tenant on to a third VM where that helps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .demand import Demand, lower_bound
from .packing import Packer

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

BIN_CENTRIC = 3000  # up to so many tenants the bin-centric construction and the search are tried: they are quadratic
_PUSHED = 8  # tenants of a VM that are tried to be pushed on
_HOSTS = 16  # VMs in which room is made that way


def pack_all(
    demand: Demand,
    capacity: Floats,
    *,
    fill: float = 0.9,
    sigma: float = 3.0,
    correlation: float = 0.3,
    search: bool = True,
) -> Ints:
    """The VM (numbered from 0) of each tenant, with as few VMs of ``capacity`` (resources,) as found; -1 for a tenant
    that does not fit an empty VM."""
    count = len(demand)
    if not count:
        return np.zeros(0, dtype=np.int64)
    options = {"fill": fill, "sigma": sigma, "correlation": correlation}
    order = _decreasing(demand, capacity, sigma)
    best = _best_fit(demand, capacity, order, options)
    if count <= BIN_CENTRIC:
        other = _bin_centric(demand, capacity, options)
        if _used(other) < _used(best):
            best = other
    if search and count <= BIN_CENTRIC:
        best = _emptied(demand, capacity, best, options)
    return _renumbered(best)


def gap(assignment: Ints, demand: Demand, capacity: Floats, fill: float = 1.0) -> float:
    """How far a plan is above the lower bound of VMs, as a share of the bound."""
    bound = lower_bound(demand, capacity, fill)
    return _used(assignment) / bound - 1.0 if bound else 0.0


def least_vms(packer: Packer) -> int:
    """The least number of a cell's VMs, of whatever sizes, that could hold the means of all that is placed: in the
    busiest window, of the scarcest resource, the largest VMs first."""
    capacity = np.where(np.isfinite(packer.capacity), packer.capacity, 0.0)
    need = (packer.used(0.0) * capacity[:, None, :]).sum(axis=0)
    room = np.cumsum(-np.sort(-capacity, axis=0), axis=0)
    least = 0
    for column in np.flatnonzero(capacity.any(axis=0)):
        most = float(need[:, column].max())
        least = max(least, int(np.searchsorted(room[:, column], most * (1 - 1e-6))) + 1 if most > 0 else 0)
    return min(least, len(capacity))


def _used(assignment: Ints) -> int:
    return len(np.unique(assignment[assignment >= 0]))


def _renumbered(assignment: Ints) -> Ints:
    result = np.full(len(assignment), -1, dtype=np.int64)
    placed = assignment >= 0
    result[placed] = np.unique(assignment[placed], return_inverse=True)[1]
    return result


def _decreasing(demand: Demand, capacity: Floats, sigma: float) -> Ints:
    """The largest first: by the greatest share of a VM in any window, then by the mean over all."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.nan_to_num((demand.mean + sigma * np.sqrt(demand.variance)) / capacity)
    flat = share.reshape(len(demand), -1)
    return np.argsort(-(flat.max(axis=1) + flat.mean(axis=1)), kind="stable")


def _packer(demand: Demand, capacity: Floats, vms: int, options: dict[str, float]) -> Packer:
    return Packer(
        demand,
        np.tile(np.asarray(capacity, dtype=float), (vms, 1)),
        fill=options["fill"],
        sigma=options["sigma"],
        correlation=options["correlation"],
    )


def _best_fit(demand: Demand, capacity: Floats, order: Ints, options: dict[str, float]) -> Ints:
    """Open a VM only where no open one has room; the packer starts small and is doubled when it is full."""
    vms = max(4, 2 * lower_bound(demand, capacity, options["fill"]))
    packer = _packer(demand, capacity, vms, options)
    opened = 0
    eligible = np.zeros(vms, dtype=bool)
    for tenant in order:
        vm = packer.choose(int(tenant), eligible) if opened else -1
        if vm < 0:
            if opened == vms:
                vms *= 2
                larger = _packer(demand, capacity, vms, options)
                larger.fill_in(packer.assignment)
                packer, eligible = larger, np.arange(vms) < opened
            if not packer.fits(int(tenant), np.array([opened]))[0]:
                continue
            vm = opened
            eligible[vm] = True
            opened += 1
        packer.place(int(tenant), vm)
    return packer.assignment


def _bin_centric(demand: Demand, capacity: Floats, options: dict[str, float]) -> Ints:
    assignment = np.full(len(demand), -1, dtype=np.int64)
    left = np.ones(len(demand), dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.nan_to_num(demand.mean / capacity).reshape(len(demand), -1).astype(np.float32)
    vm = 0
    while left.any():
        packer = _packer(demand, capacity, 1, options)
        fitting = left.copy()
        while fitting.any():
            rows = np.flatnonzero(fitting)
            score = share[rows] @ packer.residual(0)
            tenant = int(rows[int(np.argmax(score))])
            fitting[tenant] = False
            if packer.fits(tenant, np.array([0]))[0]:
                packer.place(tenant, 0)
                assignment[tenant] = vm
                left[tenant] = False
        if not packer.members[0]:
            break  # what is left fits no empty VM
        vm += 1
    return assignment


def _emptied(demand: Demand, capacity: Floats, assignment: Ints, options: dict[str, float]) -> Ints:
    """Empty the weakest VM again and again, until one cannot be emptied."""
    best = _renumbered(assignment)
    bound = lower_bound(demand, capacity, options["fill"])
    while _used(best) > max(1, bound):
        packer = _packer(demand, capacity, _used(best), options)
        packer.fill_in(best)
        load = packer.used().max(axis=2).mean(axis=1)
        for vm in np.argsort(load, kind="stable")[:3]:
            if _empty(packer, int(vm)):
                break
            packer.fill_in_again(best)
        else:
            return best
        best = _renumbered(packer.assignment.copy())
    return best


def _empty(packer: Packer, weakest: int) -> bool:
    """Move all tenants of a VM elsewhere; False when one finds no place."""
    members = sorted(packer.members[weakest], key=lambda one: -float(packer.mean[one].sum()))
    for tenant in members:
        packer.remove(tenant)
        vm = packer.choose(tenant, avoid=(weakest,))
        if vm >= 0:
            packer.place(tenant, vm)
        elif not _push(packer, tenant, weakest):
            return False
    return True


def _push(packer: Packer, tenant: int, weakest: int) -> bool:
    """Make room for a tenant by pushing a smaller one from its VM on to another."""
    size = float(packer.mean[tenant].sum())
    for vm in np.argsort(-packer.scores(tenant), kind="stable")[:_HOSTS]:
        if vm == weakest:
            continue
        smaller = [one for one in packer.members[int(vm)] if float(packer.mean[one].sum()) < size]
        for other in sorted(smaller, key=lambda one: -float(packer.mean[one].sum()))[:_PUSHED]:
            packer.remove(other)
            if packer.fits(tenant, np.array([int(vm)]))[0]:
                place = packer.choose(other, avoid=(weakest, int(vm)))
                if place >= 0:
                    packer.place(other, place)
                    packer.place(tenant, int(vm))
                    return True
            packer.place(other, int(vm))
    return False
