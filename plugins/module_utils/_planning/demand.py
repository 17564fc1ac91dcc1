# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tenants will need: means and variances over windows of the planning horizon, from quantile forecasts.

Resources are always in the order of RESOURCES: cores, bytes, bytes per second, bytes per second. Memory cannot be
compressed, so its mean is a high quantile's maximum in the window and its variance is zero: it adds up by maxima.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from .._core.errors import InputError

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

RESOURCES = ("cpu", "memory", "io_read", "io_write")
CPU, MEMORY, IO_READ, IO_WRITE = range(4)
_THRESHOLDS = 50  # sizes of large tenants that the lower bound tries


@dataclass(frozen=True)
class Demand:
    """The demand of n tenants: ``mean`` and ``variance`` (n, windows, resources), ``groups`` (n,) ids of the workload.

    Tenants of one group are correlated. ``names`` are the tenants'.
    """

    names: tuple[str, ...]
    mean: Floats
    variance: Floats
    groups: Ints

    def __len__(self) -> int:
        return len(self.names)

    def take(self, index: Sequence[int] | Ints) -> Demand:
        """The demand of the tenants at ``index``, in that order."""
        chosen = np.asarray(index, dtype=np.int64)
        names = tuple(self.names[i] for i in chosen)
        return Demand(names, self.mean[chosen], self.variance[chosen], self.groups[chosen])


def group_ids(keys: Sequence[str]) -> Ints:
    """Number the distinct keys in order of appearance."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def join(parts: Sequence[Demand]) -> Demand:
    """Several demands of one shape behind each other; their group ids must come from one numbering."""
    return Demand(
        tuple(name for part in parts for name in part.names),
        np.concatenate([part.mean for part in parts]),
        np.concatenate([part.variance for part in parts]),
        np.concatenate([part.groups for part in parts]),
    )


def windowed(series: Floats, windows: int, how: str = "mean") -> Floats:
    """Reduce the last axis (slots) to ``windows`` windows by mean, max or var; slots need not divide evenly.

    Shape (..., slots) to (..., windows). Fewer slots than windows repeats slots.
    """
    slots = series.shape[-1]
    if slots == 0:
        raise InputError("a demand series has no slots")
    if slots < windows:
        index = np.arange(windows) * slots // windows
        return series[..., index] if how != "var" else np.zeros((*series.shape[:-1], windows), series.dtype)
    edges = np.arange(windows) * slots // windows
    counts = np.diff(np.append(edges, slots))
    if how == "max":
        return np.maximum.reduceat(series, edges, axis=-1)
    mean = np.add.reduceat(series, edges, axis=-1) / counts
    if how == "mean":
        return mean
    centred = series - np.repeat(mean, counts, axis=-1)
    return np.add.reduceat(centred * centred, edges, axis=-1) / counts


def from_quantiles(
    median: Floats, upper: Floats, level: float, windows: int, *, peaks: Floats | None = None
) -> tuple[Floats, Floats]:
    """Mean and variance per window (n, windows) of one resource from its quantile series (n, slots).

    ``upper`` is the quantile at ``level``. The variance of a window is the forecast's own, read from the distance
    between the two quantiles as for a normal distribution, plus the spread of the median within the window (law of
    total variance). With ``peaks`` (n, slots), the resource adds up by maxima: mean is the window's maximum of
    ``peaks`` and the variance zero.
    """
    if peaks is not None:
        mean = windowed(peaks, windows, "max")
        return mean, np.zeros_like(mean)
    if not 0.5 < level < 1:
        raise InputError(f"{level} is no upper quantile level", hint="use one between .5 and 1")
    sigma = np.maximum(upper - median, 0.0) / NormalDist().inv_cdf(level)
    within = windowed(median, windows, "var")
    return windowed(median, windows), windowed(sigma * sigma, windows) + within


def from_history(usage: Floats, windows: int) -> tuple[Floats, Floats]:
    """Mean and variance in each window of each past day, as windows of their own: (n, days * windows, R).

    ``usage`` (n, days, slots, R), NaN where a sample is missing. What was high on the same day for several tenants
    stays together, so that they are not packed together: a pooled variance alone takes them for independent. A missing
    sample counts as the mean of its slot on the other days, else of the whole series.
    """
    with np.errstate(invalid="ignore"):
        known = np.isfinite(usage)
        total = np.where(known, usage, 0.0)
        slot = total.sum(axis=1) / known.sum(axis=1)
        whole = total.sum(axis=(1, 2)) / np.maximum(known.sum(axis=(1, 2)), 1)
    slot = np.where(np.isfinite(slot), slot, whole[:, None, :])
    filled = np.where(known, usage, slot[:, None])
    series = np.moveaxis(filled, 3, 2)  # (n, days, R, slots)
    shape = (len(usage), usage.shape[1] * windows, usage.shape[3])
    mean = np.moveaxis(windowed(series, windows), 3, 2).reshape(shape)
    variance = np.moveaxis(windowed(series, windows, "var"), 3, 2).reshape(shape)
    peak = np.moveaxis(windowed(series[:, :, MEMORY : MEMORY + 1], windows, "max"), 3, 2).reshape(*shape[:2], 1)
    mean[..., MEMORY : MEMORY + 1] = peak
    variance[..., MEMORY] = 0.0
    return mean, variance


def widened(mean: Floats, variance: Floats, days: Floats, novelty: float) -> tuple[Floats, Floats]:
    """Demands (n, windows, R) that know how short their history is: 1 + novelty / days times as much.

    Load changes from day to day as a whole; one day says nothing about how much.
    """
    factor = (1.0 + novelty / np.maximum(days, 1.0))[:, None, None]
    return mean * factor, variance * factor * factor


def flat(values: Floats, windows: int, spread: float = 0.0) -> tuple[Floats, Floats]:
    """Demand of tenants without a forecast: ``values`` (n, resources) in every window.

    ``spread`` is the coefficient of variation assumed for the resources that can be compressed.
    """
    mean = np.repeat(values[:, None, :], windows, axis=1)
    variance = (spread * mean) ** 2
    variance[..., MEMORY] = 0.0
    return mean, variance


def lower_bound(demand: Demand, capacity: Floats, fill: float = 1.0) -> int:
    """The least number of VMs of one ``capacity`` (resources,) that could hold the means.

    The maximum over windows and resources of the total over the capacity, rounded up; and where some tenants need more
    than half of one resource, a VM for each of those and for what cannot stand beside them (after Martello and Toth's
    L2, with what they leave as a knapsack).
    """
    if not len(demand):
        return 0
    share = np.asarray(demand.mean, dtype=float) / (np.asarray(capacity, dtype=float) * fill)
    total = np.nan_to_num(share).sum(axis=0)
    bound = int(np.ceil(total.max() - 1e-9))
    window = int(np.argmax(total.max(axis=1)))
    return max(bound, _exclusive_bound(np.nan_to_num(share[:, window])))


def _exclusive_bound(share: Floats) -> int:
    """The bound in one window (n, resources): the tenants that need more than half of one resource have a VM each, and
    what they leave of it can hold only so much of the others (a fractional knapsack)."""
    best = 0
    for column in range(share.shape[1]):
        sizes = share[:, column]
        for size in np.unique(sizes[sizes > 0.5])[-_THRESHOLDS:]:
            large = sizes >= size
            count = int(large.sum())
            beside = _beside(share[~large], column, count - float(sizes[large].sum()), 1.0 - float(size))
            rest = share[~large].sum(axis=0) - np.minimum(beside, count - share[large].sum(axis=0))
            best = max(best, count + int(np.ceil(rest.max(initial=0.0) - 1e-9)))
    return best


def _beside(small: Floats, column: int, room: float, most: float) -> Floats:
    """The most of each resource that fits into ``room`` of one, if tenants could be cut; none larger than ``most``."""
    fitting = small[small[:, column] <= most + 1e-9]
    need = fitting[:, column]
    found = np.zeros(small.shape[1])
    for other in range(small.shape[1]):
        order = np.argsort(-fitting[:, other] / np.maximum(need, 1e-12), kind="stable")
        used = np.cumsum(need[order])
        part = np.clip((room - (used - need[order])) / np.maximum(need[order], 1e-12), 0.0, 1.0)
        found[other] = float((fitting[order, other] * part).sum())
    return found
