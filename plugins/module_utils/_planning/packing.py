# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Temporal packing: which VM has room for a tenant in every window, and which of them fits it best.

A VM's peak in a window is the sum of the means plus ``sigma`` standard deviations of the pooled variance: tenants of
different workloads are independent, two tenants of one workload have the given correlation. So
``variance = sum s^2 + correlation * sum over groups ((sum s)^2 - sum s^2)``.

The best fit maximises ``residual . demand / |residual|^2`` over windows and resources, in shares of the VM's capacity:
the residual points the same way as the demand (Panigrahy et al., Heuristics for Vector Bin Packing, 2011) and there is
little of it (best fit). The norm weighs each resource by its part of the demand, so that plenty of a resource that the
tenant hardly needs does not hide how tight the others are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .demand import RESOURCES
from .ledger import Ledger

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]
else:
    try:
        import numpy as np
    except ImportError:  # the plugin that needs it says so (libraries.require)
        pass

_CHUNK = 8  # candidates checked exactly at first, best score first; eight times as many if none has room


@dataclass(frozen=True)
class Miss:
    """How near a VM came to having room: ``lack`` of ``resource`` in ``window``, in the unit of the resource."""

    vm: int
    resource: str
    window: int
    lack: float


class Packer(Ledger):
    """The ledger with its questions: does a tenant fit, where best, and how far is it from fitting?"""

    def _needed(self, tenant: int, vms: Ints) -> Floats:
        """The square of what must stay free above the means in each of ``vms`` (len(vms), windows, resources)."""
        deviation = self.sd[tenant]
        needed: Floats = self._z2 * (self._var[vms] + deviation * deviation)
        of_group = self._group_sd.get(int(self.groups[tenant]))
        if of_group and self._rho:
            rows = np.full(len(self.members), -1, dtype=np.int64)
            rows[vms] = np.arange(len(vms))
            for vm, kin in of_group.items():
                if rows[vm] >= 0:
                    needed[rows[vm]] += 2 * self._z2 * self._rho * kin * deviation
        return needed

    def fits(self, tenant: int, vms: Ints) -> Bools:
        """Whether the tenant has room in each of ``vms`` in every window and resource."""
        mean = self.mean[tenant]
        slack = self._head[vms] - mean
        spare = (slack >= -1e-6) & (slack * slack >= self._needed(tenant, vms) - 1e-7)
        # A tenant that needs nothing of a resource cannot fail by it, however full the VM is.
        spare |= (mean <= 0) & (self.sd[tenant] <= 0)
        limit = self._limit_sum[vms] + self.limits[tenant] <= self.limit_room[vms] * (1 + 1e-9)
        return np.asarray(spare.all(axis=(1, 2)) & limit)

    def _may_fit(self, tenant: int) -> Bools:
        """VMs with room for the tenant's means and, roughly, deviations in their own tightest windows: no other can
        have room (VMs,). It sifts out most of the full ones at a tenth of the price of ``fits``."""
        mean = self.mean[tenant]
        some = mean.take(self._tight) <= self._tight_mean
        more = (mean + self._z_half * self.sd[tenant]).take(self._tight) <= self._tight_both
        return np.asarray((some & more).all(axis=1))

    def residual(self, vm: int) -> Floats:
        """What is free of a VM as shares of its capacity, flat over windows and resources."""
        free = np.maximum(self._head[vm] - self._z * np.sqrt(self._var[vm]), 0.0) * self._inverse[vm]
        return np.asarray(free.ravel())

    def scores(self, tenant: int) -> Floats:
        """How well the tenant suits each VM (VMs,), higher is better."""
        dot: Floats = self._weights @ self.mean[tenant].ravel()
        if self.strategy != "pack":
            return dot
        share = self.mean[tenant].sum(axis=0)
        share = share / max(float(share.sum()), 1e-12)
        tight: Floats = dot / np.maximum(self._norm @ share, np.float32(1e-6))
        return tight

    def choose(
        self, tenant: int, eligible: Bools | None = None, factor: Floats | None = None, avoid: Iterable[int] = ()
    ) -> int:
        """The eligible VM with room and the best score, -1 if there is none. ``factor`` (VMs,) scales the scores.

        With the strategy ``even`` a VM without any tenant is only taken where no other has room.
        """
        score = self.scores(tenant)
        if factor is not None:
            score = score * factor
        barred = np.zeros(len(score), dtype=bool) if eligible is None else ~eligible
        barred[list(avoid)] = True
        if self.strategy != "even":
            return self._first_with_room(tenant, np.where(barred, -np.inf, score))
        used = np.array([bool(members) for members in self.members])
        vm = self._first_with_room(tenant, np.where(barred | ~used, -np.inf, score))
        return vm if vm >= 0 else self._first_with_room(tenant, np.where(barred | used, -np.inf, score))

    def _first_with_room(self, tenant: int, score: Floats) -> int:
        """The VM with room and the highest finite score, -1 if there is none; exact checks in chunks, best first."""
        candidates = np.flatnonzero(self._may_fit(tenant) & np.isfinite(score))
        score = score[candidates]
        size = _CHUNK
        while len(candidates):
            best = np.argpartition(-score, size - 1) if size < len(score) else np.arange(len(score))
            best, rest = best[:size], best[size:]
            best = best[np.argsort(-score[best], kind="stable")]
            room = self.fits(tenant, candidates[best])
            if room.any():
                return int(candidates[best[int(room.argmax())]])
            candidates, score, size = candidates[rest], score[rest], size * 8
        return -1

    def used(self, sigma: float | None = None) -> Floats:
        """The peak of each VM as a share of its capacity (VMs, windows, resources); 0 where unlimited."""
        z = self._z if sigma is None else np.float32(sigma)
        peak = (self._sum + z * np.sqrt(self._var)) * self._inverse[:, None, :]
        return np.asarray(peak, dtype=np.float64)

    def used_of(self, vm: int) -> Floats:
        """The peak of one VM as a share of its capacity (windows, resources)."""
        peak = (self._sum[vm] + self._z * np.sqrt(self._var[vm])) * self._inverse[vm]
        return np.asarray(peak, dtype=np.float64)

    def used_without(self, vm: int, tenants: Sequence[int]) -> Floats:
        """The peak of a VM as a share of its capacity if one of ``tenants`` were not there (tenants, windows, R)."""
        rows = np.asarray(tenants, dtype=np.int64)
        deviation = self.sd[rows]
        less = deviation * deviation
        if self._rho:
            kin = np.stack([self._group_sd[int(group)][vm] for group in self.groups[rows]])
            less = less + 2 * self._rho * (kin - deviation) * deviation
        variance = np.maximum(self._var[vm] - less, 0.0)
        return np.asarray((self._sum[vm] - self.mean[rows] + self._z * np.sqrt(variance)) * self._inverse[vm])

    def need(self, tenant: int) -> Floats:
        """The mean demand of a tenant in the units of the resources (windows, resources)."""
        return np.asarray(self.mean[tenant] * self._scale, dtype=np.float64)

    def nearest_miss(self, tenant: int, eligible: Bools) -> Miss | None:
        """The eligible VM whose greatest lack of anything is the smallest, None if no VM is eligible."""
        vms = np.flatnonzero(eligible)
        if not len(vms):
            return None
        peak = self.mean[tenant] + np.sqrt(self._needed(tenant, vms))
        lack = peak - self._head[vms]
        inverse = self._inverse[vms][:, None, :]
        relative = np.where(inverse > 0, lack * inverse, -np.inf)
        worst = relative.reshape(len(vms), -1).max(axis=1)
        over = self._limit_sum[vms] + self.limits[tenant] - self.limit_room[vms]
        limit_room = np.where(np.isfinite(self.limit_room[vms]), np.maximum(self.limit_room[vms], 1.0), 1.0)
        by_limit = np.where(over > 0, over / limit_room, -np.inf)
        row = int(np.argmin(np.maximum(worst, by_limit)))
        if by_limit[row] > worst[row]:
            return Miss(int(vms[row]), "memory limit", 0, float(over[row]))
        window, resource = np.unravel_index(int(np.argmax(relative[row])), relative[row].shape)
        amount = float(lack[row, window, resource]) * float(self._scale[resource])
        return Miss(int(vms[row]), RESOURCES[int(resource)], int(window), amount)
