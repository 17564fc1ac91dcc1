# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which VMs are or will be too full, by forecast or by measurement."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from .admission import Cell
from .policy import Policy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
else:
    try:
        import numpy as np
    except ImportError:  # the plugin that needs it says so (libraries.require)
        pass


@dataclass(frozen=True)
class Hot:
    """A VM (by index) that its tenants should leave: why, its peak, and whether that was measured or is a forecast."""

    vm: int
    why: str
    peak: float
    measured: bool = False


def _deviations(quantile: float) -> float:
    """The quantile of the standard normal distribution, within what single precision can pool."""
    return NormalDist().inv_cdf(min(max(quantile, 0.5), 0.999999))


def lead_windows(policy: Policy, lead: float) -> int:
    """How many of the packer's windows the lead time reaches into."""
    return min(policy.packing.windows, max(1, math.ceil(lead * policy.packing.windows / policy.packing.horizon)))


def hot(cell: Cell, checks: Floats | None) -> list[Hot]:
    """VMs to relieve, the fullest first.

    By forecast: the pooled peak at the quantile within the lead time is above the high watermark. By measurement:
    ``checks`` (VMs, C, resources) in shares of the capacity were above it in ``hold`` of the last ``hold_of``.
    """
    rule = cell.policy.move
    ahead = cell.packer.used(_deviations(rule.quantile))[:, : lead_windows(cell.policy, rule.lead)]
    peak = ahead.max(axis=tuple(range(1, ahead.ndim)), initial=0.0)
    measured = np.zeros(len(peak))
    held = np.zeros(len(peak), dtype=bool)
    if checks is not None and checks.shape[1]:
        last = np.nan_to_num(checks[:, -rule.hold_of :])
        held = ((last > rule.high).sum(axis=1) >= rule.hold).any(axis=1)
        measured = last.max(axis=tuple(range(1, last.ndim)), initial=0.0)
    found: list[Hot] = []
    for vm in np.flatnonzero((peak > rule.high) | held):
        if held[vm]:
            why = f"measured above {rule.high:.0%} in {rule.hold} of {rule.hold_of} checks"
        else:
            why = f"forecast to reach {peak[vm]:.0%} within {rule.lead / 60:.0f} minutes"
        found.append(Hot(int(vm), why, float(max(peak[vm], measured[vm])), bool(held[vm])))
    return sorted(found, key=lambda one: (-one.peak, one.vm))
