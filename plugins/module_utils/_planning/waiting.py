# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When, after a request, a shadow for the next one is worth holding: for requests that follow no schedule.

The newsvendor rule, slot by slot: hold while the chance per second that the request comes now, if it has not come
before (the hazard), times what a cold start costs exceeds what a second of holding costs. That is the cheapest set of
spans for a distribution of gaps, of which one keep-alive or one window around a quantile are special cases (compare
the hybrid histogram of Shahrad et al., Serverless in the Wild, USENIX ATC 2020).

The distribution is that of the newest gaps on a logarithmic grid. Gaps weigh more the newer they are, the more the gap
before them was like the last one, and the nearer the hour at which they began (a newsvendor with features, after Ban
and Rudin, The Big Data Newsvendor, 2019). What all workloads have in common fills in while there are few gaps.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
else:
    try:
        import numpy as np
    except ImportError:  # the plugin that needs it says so (libraries.require)
        pass

GAPS = 400  # the newest gaps that a decision looks at
_SHORTEST, _LONGEST, _RATIO = 30.0, 8 * 86400.0, 0.06  # the grid of gaps in seconds, and the logarithm of its steps
_SMOOTH = (0.107, 0.786, 0.107)  # a normal kernel of half a step
_HALF = 60.0  # gaps after which a gap weighs half
_LIKE, _LIKE_LEAST = 0.5, 0.15  # standard deviation of the logarithm of the gap before, and what an unlike one weighs
_HOUR, _HOUR_LEAST = 3600.0, 0.3  # the same for the time of day
_FEATURES = 4  # gaps from which the weights by likeness count
_PRIOR = 4.0  # gaps that what all workloads have in common stands for
_EACH = 20  # gaps that one workload adds to it at most


@dataclass(frozen=True)
class Hold:
    """Hold from ``start`` to ``end`` seconds after the last request: ``chance`` that the next one comes within, if it
    has not come by now, and the mean seconds ``held`` until then."""

    start: float
    end: float
    chance: float
    held: float


@dataclass(frozen=True)
class Kept:
    """A replay: ``requests``, and for each price those that found no shadow and the seconds that shadows waited."""

    requests: int
    cold: Floats
    held: Floats


def grid() -> Floats:
    """The edges of the slots in seconds after the last request (slots + 1,); the first is 0."""
    steps = np.arange(np.log(_SHORTEST), np.log(_LONGEST) + _RATIO, _RATIO)
    return np.concatenate([[0.0], np.exp(steps)])


def _counted(lengths: Floats, weights: Floats | None, edges: Floats) -> Floats:
    slots = np.minimum(np.searchsorted(edges, lengths, side="right") - 1, len(edges) - 2)
    counts: Floats = np.bincount(slots, weights=weights, minlength=len(edges) - 1).astype(np.float64)
    return np.convolve(counts, _SMOOTH, "same")


def common(workloads: Iterable[Floats]) -> Floats:
    """What the gaps (seconds) of many workloads have in common: a distribution over the slots (sum 1)."""
    edges = grid()
    total = np.full(len(edges) - 1, 1e-6)
    for lengths in workloads:
        if len(lengths):
            counts = _counted(np.asarray(lengths, dtype=float), None, edges)
            total += counts / counts.sum() * min(len(lengths), _EACH)
    wide = np.exp(-0.5 * (np.arange(-6, 7) / 2.0) ** 2)
    total = np.convolve(total, wide / wide.sum(), "same")
    return np.asarray(total / total.sum())


def _weights(lengths: Floats, began: Floats, before: Floats, at: float) -> Floats:
    """How much each gap says about the one that began at ``at``; ``before`` (n + 1,) are the gaps before each of them
    and before that one."""
    count = len(lengths)
    weights = 0.5 ** ((count - 1 - np.arange(count)) / _HALF)
    if count < _FEATURES:
        return np.asarray(weights)
    logs = np.log(np.maximum(before, _SHORTEST))
    weights = weights * (_LIKE_LEAST + np.exp(-0.5 * ((logs[:-1] - logs[-1]) / _LIKE) ** 2))
    apart = (began - at) / 86400.0
    apart = (apart - np.round(apart)) * 86400.0 / _HOUR
    return np.asarray(weights * (_HOUR_LEAST + np.exp(-0.5 * apart**2)))


def distribution(starts: Floats, ends: Floats, prior: Floats) -> Floats:
    """The weighted counts of the slots (slots,) for the gap that began at the last of ``ends``.

    ``starts`` and ``ends`` (n,) are UTC seconds of runs, or twice the times of requests whose length is not known.
    """
    first = max(0, len(starts) - 1 - GAPS)
    starts, ends = starts[first:], ends[first:]
    lengths = np.maximum(starts[1:] - ends[:-1], 0.0)
    if not len(lengths):
        return _PRIOR * prior
    before = np.concatenate([lengths[:1], lengths])
    weights = _weights(lengths, ends[:-1], before, float(ends[-1]))
    total = weights.sum()
    effective = total * total / (weights * weights).sum()
    return np.asarray(_counted(lengths, weights, grid()) / total * effective + _PRIOR * prior)


def hazard(counts: Floats) -> Floats:
    """The chance per second that the request comes in each slot, if it has not come before."""
    left = np.cumsum(counts[::-1])[::-1]
    return np.asarray(counts / np.maximum(left * np.diff(grid()), 1e-12))


def next_hold(counts: Floats, elapsed: float, price: float) -> Hold | None:
    """The span that is worth holding now, or the next one; None if none is left.

    ``price`` is what a cold start costs over what a second of holding costs, so in seconds.
    """
    edges = grid()
    worth = np.concatenate([[False], hazard(counts) * price >= 1.0, [False]])
    begins = np.flatnonzero(worth[1:] & ~worth[:-1])
    stops = np.flatnonzero(~worth[1:] & worth[:-1])
    for begin, stop in zip(begins, stops):
        start, end = float(edges[begin]), float(edges[stop])
        if end > elapsed:
            chance, held = _expected(counts, edges, max(start, elapsed), end)
            return Hold(start, end, chance, held)
    return None


def _expected(counts: Floats, edges: Floats, start: float, end: float) -> tuple[float, float]:
    """The chance that the request comes in [start, end) if it has not before, and the mean time held until then."""
    width = np.diff(edges)
    inside = np.clip((np.minimum(edges[1:], end) - np.maximum(edges[:-1], start)) / width, 0.0, 1.0)
    later = float((counts * np.clip((edges[1:] - end) / width, 0.0, 1.0)).sum())
    within = counts * inside
    total = float(within.sum()) + later
    if total <= 0:
        return 0.0, end - start
    middle = np.clip((np.maximum(edges[:-1], start) + np.minimum(edges[1:], end)) / 2 - start, 0.0, end - start)
    return float(within.sum()) / total, (float((within * middle).sum()) + later * (end - start)) / total


def replay(starts: Floats, ends: Floats, prices: Floats, prior: Floats, since: float) -> Kept:
    """What holding shadows at each of ``prices`` (P,) would have come to for the runs from ``since`` (UTC seconds) on,
    each decided from the gaps before it alone."""
    edges = grid()
    width = np.diff(edges)
    cold, held = np.zeros(len(prices)), np.zeros(len(prices))
    judged = [number for number in range(1, len(starts)) if starts[number] >= since]
    for number in judged:
        gap = min(max(float(starts[number] - ends[number - 1]), 0.0), float(edges[-1]) - 1e-6)
        rate = hazard(distribution(starts[:number], ends[:number], prior))
        worth = rate[None] * prices[:, None] >= 1.0
        slot = int(np.searchsorted(edges, gap, side="right")) - 1
        held += worth[:, :slot] @ width[:slot] + worth[:, slot] * (gap - edges[slot])
        cold += ~worth[:, slot]
    return Kept(len(judged), cold, held)
