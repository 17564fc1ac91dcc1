# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shadows: which are worth holding, from when, until when, in which tier, within which cap.

The newsvendor rule: holding is worth it while what a cold start costs (its seconds x priority x the chance that the
request comes) exceeds what waiting costs (memory x seconds). Per workload the window around the predicted arrival is
chosen that would have cost least on its last gaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .policy import Shadow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
else:
    try:
        import numpy as np
    except ImportError:  # the plugin that needs it says so (libraries.require)
        pass

GIB = 1024.0**3
GAPS = 400  # the newest gaps that a choice looks at
_KEEP = (0.0, 60.0, 300.0, 600.0, 1200.0, 3600.0)


@dataclass(frozen=True)
class Window:
    """Hold a shadow from ``start`` to ``end`` seconds after the last arrival (or around the expected one).

    ``cold`` is the share of the gaps with a cold start, ``waste`` the mean seconds held per gap, ``cost`` their sum.
    """

    start: float
    end: float
    cold: float
    waste: float
    cost: float

    @property
    def holds(self) -> bool:
        """Whether anything is held at all."""
        return self.end > self.start


@dataclass(frozen=True)
class Wish:
    """A shadow that would be worth holding: for profile ``profile``, ready by ``ready_by`` and given up at
    ``expires_at`` (UTC seconds), ``value`` what it is expected to save over what it costs."""

    profile: str
    expected_at: float
    ready_by: float
    expires_at: float
    tier: str
    memory: float
    value: float
    chance: float


def cold_cost(policy: Shadow, priority: int, cold_start: float | None = None) -> float:
    """What one cold start costs, in GB-seconds: its seconds x twice the priority's share x the exchange rate."""
    seconds = policy.cold_start if cold_start is None else cold_start
    return seconds * policy.second_cost * priority / 50.0


def held_cost(memory: float) -> float:
    """What a second of waiting costs, in GB-seconds."""
    return memory / GIB


def window_costs(
    gaps: Floats, starts: Floats, ends: Floats, under: float, over: float
) -> tuple[Floats, Floats, Floats]:
    """Cold share, mean seconds held and mean cost of holding in [start, end] after each arrival, per candidate.

    A gap shorter than ``start`` is a cold start that held nothing, one within is a hit that held gap - start, a longer
    one a cold start that held end - start in vain.
    """
    gap, start, end = gaps[None, :], starts[:, None], ends[:, None]
    cold = ((gap < start) | (gap > end)).mean(axis=1)
    waste = np.clip(np.minimum(gap, end) - start, 0.0, None).mean(axis=1)
    return cold, waste, cold * under + waste * over


def candidates(gaps: Floats, ttl: float) -> tuple[Floats, Floats]:
    """About thirty windows: keep-alives, ranges between quantiles of the gaps, and the modes of their histogram.

    Every window is at most ``ttl`` long. The first one holds nothing.
    """
    starts, ends = [0.0], [-1.0]
    for keep in _KEEP[1:]:
        starts.append(0.0)
        ends.append(min(keep, ttl))
    low = np.quantile(gaps, [0.01, 0.05, 0.1, 0.25])
    high = np.quantile(gaps, [0.5, 0.75, 0.9, 0.95, 0.99])
    for first in low:
        for last in high:
            if last >= first:
                slack = 1.0 + 0.05 * float(last - first)
                begin = max(0.0, float(first) - slack)
                starts.append(begin)
                ends.append(min(float(last) + slack, begin + ttl))
    logs = np.log(np.maximum(gaps, 1.0))
    counts, edges = np.histogram(logs, bins=np.arange(logs.min(), logs.max() + 0.1, 0.05))
    for index in np.argsort(-counts, kind="stable")[:2]:
        begin = float(np.exp(edges[index] - 0.03))
        starts.append(begin)
        ends.append(min(float(np.exp(edges[index + 1] + 0.03)), begin + ttl))
    return np.array(starts), np.array(ends)


def choose_window(gaps: Sequence[float] | Floats, policy: Shadow, priority: int, memory: float) -> Window:
    """The window that would have cost least on the last gaps (seconds); one that holds nothing without any gaps."""
    last = np.asarray(gaps, dtype=float)[-GAPS:]
    under, over = cold_cost(policy, priority), held_cost(memory)
    if not len(last):
        return Window(0.0, -1.0, 1.0, 0.0, under)
    starts, ends = candidates(last, policy.ttl)
    cold, waste, cost = window_costs(last, starts, ends, under, over)
    best = int(np.argmin(cost))
    return Window(float(starts[best]), float(ends[best]), float(cold[best]), float(waste[best]), float(cost[best]))


def tier(wait: float, policy: Shadow) -> str:
    """The tier for an expected wait: none beyond the reach, else frozen with its memory reclaimed.

    Measured, a frozen sandbox holds less and wakes faster than one that is created but not started, and a checkpoint on
    disk is no faster to restore than a cold start, so there is no case for another tier.
    """
    return "frozen" if wait <= policy.ahead else "none"


def wish(
    profile: str,
    expected: tuple[float, float, float],
    chance: float,
    *,
    now: float,
    priority: int,
    policy: Shadow,
    cold_start: float | None = None,
) -> Wish | None:
    """A shadow, made now, for one expected arrival (expected, low, high: UTC seconds) that comes with ``chance``.

    None where it does not pay. It is due ``lead`` before the earliest expected moment and given up ``lead`` after the
    latest, or after its time to live.
    """
    centre, low, high = expected
    kind = tier(max(0.0, low - now), policy)
    expires = min(high + policy.lead, now + policy.ttl)
    if not policy.enabled or kind == "none" or chance < policy.confidence or expires <= max(now, low):
        return None
    memory = float(policy.memory)
    saved = chance * cold_cost(policy, priority, cold_start)
    held = held_cost(memory) * (chance * max(0.0, centre - now) + (1 - chance) * (expires - now))
    if saved <= held:
        return None
    return Wish(profile, centre, max(now, low - policy.lead), expires, kind, memory, saved - held, chance)


def within_cap(wishes: Sequence[Wish], cap: float) -> tuple[list[Wish], list[Wish]]:
    """The wishes that fit into ``cap`` bytes, the most valuable per byte first, and those that do not."""
    kept: list[Wish] = []
    refused: list[Wish] = []
    left = cap
    for one in sorted(wishes, key=lambda item: (-item.value / max(item.memory, 1.0), item.expected_at, item.profile)):
        if one.memory <= left:
            left -= one.memory
            kept.append(one)
        else:
            refused.append(one)
    return kept, refused


def pool_size(demand: Floats, hit_rate: float) -> int:
    """The smallest stock of a pool whose demand over the lead time (samples) is met with ``hit_rate``."""
    if not len(demand):
        return 0
    return int(np.ceil(np.quantile(demand, hit_rate, method="higher")))
