# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Periodic trains in batches of event times: candidates from gaps, tracked backwards from the newest event.

Everything works on ``ages``: seconds before the newest event, ascending, padded with inf, one row per workload. A
candidate period is followed from the newest eight events into the past in windows that double, and is refined by
least squares in each. So the cost is linear in the events, a period error never grows past a quarter of a cycle, and
a change of schedule shows as the window beyond which the older half no longer fits.

Significance: the Rayleigh test of phase coherence (Mardia and Jupp, Directional Statistics, 2000, section 6.3), whose
threshold is raised for small samples because the period itself was chosen from the data.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, cast

try:
    import numpy as np
except ImportError:  # the plugin that needs it says so (libraries.require)
    pass

from .gaps import LEAST, candidates

if TYPE_CHECKING:
    from .types import Bools, Floats, Ints

WINDOWS = (8, 16, 32, 64, 128, 256)
KEPT = 512
# Periods that people choose, in seconds; a refined period within its own error of one of them is that one.
_MINUTES = (60, 120, 180, 240, 300, 360, 600, 720, 900, 1200, 1800)
CALENDAR = (*_MINUTES, 3600, 5400, 7200, 10800, 14400, 21600, 28800, 43200, 86400, 172800, 604800)
INLIER = 0.25
_MATCH = 0.65


@dataclass
class Trains:
    """The best train of each row. ``phase`` is the age of its newest slot in [0, period); ``used`` events were fitted,
    ``share`` of them lie within a quarter period of a slot, in ``slots`` different ones; ``found`` says whether the
    train is believed."""

    period: Floats
    phase: Floats
    jitter: Floats
    fill: Floats
    share: Floats
    coherence: Floats
    used: Ints
    slots: Ints
    found: Bools

    def rows(self, index: Ints | Bools) -> Trains:
        """The trains of some rows."""
        return Trains(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    def put(self, row: int, other: Trains, index: int) -> None:
        """Replace the train of one row by that of a row of ``other``."""
        for field in fields(self):
            getattr(self, field.name)[row] = getattr(other, field.name)[index]


def _fit(ages: Floats, valid: Bools, period: Floats, phase: Floats) -> tuple[Floats, Floats, Bools, Floats]:
    """One robust least-squares step: returns period, phase, the inliers and the residuals (cycles) before it."""
    cycles = (ages - phase[:, None]) / period[:, None]
    slot = np.rint(cycles)
    rest = cycles - slot
    near = (np.abs(rest) < INLIER) & valid
    weight = near.astype(float)
    total = np.maximum(weight.sum(axis=1), 1.0)
    mean_slot = (weight * slot).sum(axis=1) / total
    mean_rest = (weight * rest).sum(axis=1) / total
    centred = weight * (slot - mean_slot[:, None])
    spread = (centred * slot).sum(axis=1)
    slope = np.where(spread > 0, (centred * rest).sum(axis=1) / np.maximum(spread, 1e-9), 0.0)
    slope = np.clip(slope, -0.1, 0.1)
    return period * (1 + slope), phase + period * (mean_rest - slope * mean_slot), near, rest


def track(ages: Floats, counts: Ints, period: Floats, start: int = WINDOWS[0]) -> tuple[Floats, Floats, Ints]:
    """Follow each row's candidate period backwards from its newest ``start`` events. Returns period, phase and the
    number of newest events it holds for (a window of WINDOWS or all events)."""
    period = period.copy()
    used = np.minimum(counts, start)
    newest = ages[:, :start]
    valid = np.arange(newest.shape[1])[None, :] < counts[:, None]
    newest = np.where(valid, newest, 0.0)
    turn = np.where(valid, np.exp(2j * np.pi * newest / period[:, None]), 0).sum(axis=1)
    phase = np.angle(turn) / (2 * np.pi) * period
    for _turn in range(2):
        period, phase, _near, _rest = _fit(newest, valid, period, phase)
    going = np.arange(len(period))
    for window in (item for item in WINDOWS if item > start):
        going = going[(counts[going] > window // 2) & (used[going] == window // 2)]
        if not going.size or ages.shape[1] <= window // 2:
            break
        part = ages[going, :window]
        valid = np.arange(part.shape[1])[None, :] < counts[going, None]
        part = np.where(valid, part, 0.0)
        fitted, moved, near, rest = _fit(part, valid, period[going], phase[going])
        half = window // 2
        # What comes before must lie as close to the slots as what came after, as far as the period is known.
        newer = np.where(near[:, :half], rest[:, :half], 0.0)
        jitter = np.sqrt((newer * newer).sum(axis=1) / np.maximum(near[:, :half].sum(axis=1), 1))
        close = np.abs(rest[:, half:]) < np.clip(4 * jitter + 0.03, 0.05, INLIER)[:, None]
        older = valid[:, half:].sum(axis=1)
        agrees = (close & valid[:, half:]).sum(axis=1) >= _MATCH * older
        # Half as dense as before: another schedule, or one that rests at night.
        last = np.minimum(counts[going], window) - 1
        reach = part[np.arange(len(going)), last] - part[:, half - 1]
        before = (part[:, half - 1] - part[:, 0]) / (half - 1)
        agrees &= reach <= 2.5 * before * older + 3 * period[going]
        keep = going[agrees]
        period[keep], phase[keep] = fitted[agrees], moved[agrees]
        used[keep] = np.minimum(counts[keep], window)
        going = keep
    return period, phase, used


def empty(rows: int) -> Trains:
    """No train in any row."""
    period, phase, jitter, fill, share, coherence = np.zeros((6, rows))
    return Trains(
        period + 1,
        phase,
        jitter,
        fill,
        share,
        coherence,
        np.zeros(rows, dtype=np.int64),
        np.zeros(rows, dtype=np.int64),
        np.zeros(rows, dtype=bool),
    )


def windows(used: Ints) -> list[Ints]:
    """Row indices in groups of like ``used``, so that a short one does not pay for a long one."""
    group = np.searchsorted(np.array(WINDOWS), used)
    return [np.nonzero(group == item)[0] for item in np.unique(group)]


def measure(ages: Floats, period: Floats, phase: Floats, used: Ints) -> Trains:
    """How well each row's train explains its newest ``used`` events."""
    result = empty(len(period))
    for rows in windows(used):
        part = _measure(ages[rows, : int(used[rows].max(initial=1))], period[rows], phase[rows], used[rows])
        for field in fields(Trains):
            getattr(result, field.name)[rows] = getattr(part, field.name)
    return result


def _measure(ages: Floats, period: Floats, phase: Floats, used: Ints) -> Trains:
    width = int(used.max(initial=1))
    part = ages[:, :width]
    valid = np.arange(part.shape[1])[None, :] < used[:, None]
    cycles = (np.where(valid, part, 0.0) - phase[:, None]) / period[:, None]
    slot = np.rint(cycles)
    rest = cycles - slot
    near = (np.abs(rest) < INLIER) & valid
    total = np.maximum(used, 1)
    inside = np.maximum(near.sum(axis=1), 1)
    coherence = np.where(valid, np.cos(2 * np.pi * rest), 0.0).sum(axis=1) / total
    jitter = np.sqrt(np.where(near, rest * rest, 0.0).sum(axis=1) / inside)
    # Slots ascend with age: a new one is a step up among the inliers.
    seen = np.maximum.accumulate(np.where(near, slot, -np.inf), axis=1)
    filled = 1 + (seen[:, 1:] > np.maximum(seen[:, :-1], -1e18)).sum(axis=1) - (~near[:, 0] & near.any(axis=1))
    first = np.where(near, slot, np.inf).min(axis=1)
    span = np.where(near.any(axis=1), seen[:, -1] - first + 1, 1)
    return Trains(
        period=period,
        phase=phase % period,
        jitter=jitter * period,
        fill=np.clip(filled / np.maximum(span, 1), 0.0, 1.0),
        share=near.sum(axis=1) / total,
        coherence=np.clip(coherence, 0.0, 1.0),
        used=used,
        slots=filled.astype(np.int64),
        found=np.zeros(len(period), dtype=bool),
    )


def significance(coherence: Floats, used: Ints) -> Floats:
    """Minus the logarithm of the chance that unrelated phases are this coherent: nR^2 (Rayleigh), and for few, tightly
    aligned phases the exact tail's power of 1 - R^2, which the former underrates."""
    square = np.clip(coherence, 0.0, 1 - 1e-9) ** 2
    return cast("Floats", np.maximum(used * square, -0.5 * (used - 1) * np.log1p(-square)))


def believe(trains: Trains, tries: int) -> Bools:
    """Whether a train is more than chance and fills its slots."""
    strong = significance(trains.coherence, trains.used) > 6 + np.log(tries) + 12.0 / np.sqrt(trains.used)
    steady = (trains.coherence >= 0.7) & (trains.fill >= 0.7) & (trains.used >= LEAST)
    # Many arrivals a slot are a rhythm of the day, or bursts, not a train.
    steady &= trains.slots >= 0.55 * trains.used
    return cast("Bools", strong & steady)


def snap(trains: Trains) -> Floats:
    """The periods, with those that are within three standard errors of a calendar period moved onto it."""
    calendar = np.array(CALENDAR, dtype=float)
    nearest = calendar[np.abs(np.log(trains.period[:, None] / calendar)).argmin(axis=1)]
    error = trains.jitter * np.sqrt(12.0) / np.maximum(trains.used, 2) ** 1.5
    return np.where(np.abs(nearest - trains.period) <= 3 * error + 1e-5 * nearest, nearest, trains.period)


def find(ages: Floats, counts: Ints) -> Trains:
    """The shortest believed train of each row, else its most coherent candidate with ``found`` False.

    A start at the newest eight events follows recent changes best; where that leads nowhere, because some of the eight
    are chance arrivals, sixteen and thirty-two are tried.
    """
    guesses = candidates(ages, counts)
    trains = _find(ages, counts, guesses, WINDOWS[0])
    for start in WINDOWS[1:3]:
        open_rows = np.nonzero(~trains.found & (counts > start // 2))[0]
        again = _find(ages[open_rows], counts[open_rows], guesses[open_rows], start)
        better = again.found | (again.coherence > trains.coherence[open_rows])
        for field in fields(Trains):
            getattr(trains, field.name)[open_rows[better]] = getattr(again, field.name)[better]
    return trains


def _find(ages: Floats, counts: Ints, guesses: Floats, start: int) -> Trains:
    rows, tries = guesses.shape
    flat = np.isfinite(guesses)
    owner = np.nonzero(flat)[0]
    period, phase, used = track(ages[owner], counts[owner], guesses[flat], start)
    trains = measure(ages[owner], period, phase, used)
    moved = snap(trains)
    shifted = moved != period
    if shifted.any():
        rows_moved = owner[shifted]
        phase = _rephase(ages[rows_moved], moved[shifted], phase[shifted], used[shifted])
        again = measure(ages[rows_moved], moved[shifted], phase, used[shifted])
        for field in fields(Trains):
            getattr(trains, field.name)[shifted] = getattr(again, field.name)
    trains.found = believe(trains, tries)
    # Believed first, then by length; among the others by coherence.
    order = np.lexsort((np.where(trains.found, trains.period, 2 - trains.coherence), ~trains.found, owner))
    place = np.minimum(np.searchsorted(owner[order], np.arange(rows)), max(len(owner) - 1, 0))
    first = order[place] if len(owner) else place
    return _spread(trains, owner, first, rows)


def _rephase(ages: Floats, period: Floats, phase: Floats, used: Ints) -> Floats:
    """The phase of a period that was moved onto the calendar: the mean residual of the inliers, twice."""
    phase = phase.copy()
    for rows in windows(used):
        part = ages[rows, : int(used[rows].max(initial=1))]
        valid = np.arange(part.shape[1])[None, :] < used[rows, None]
        part = np.where(valid, part, 0.0)
        for _turn in range(2):
            cycles = (part - phase[rows, None]) / period[rows, None]
            rest = cycles - np.rint(cycles)
            near = (np.abs(rest) < INLIER) & valid
            phase[rows] += period[rows] * (rest * near).sum(axis=1) / np.maximum(near.sum(axis=1), 1)
    return phase


def _spread(trains: Trains, owner: Ints, first: Ints, rows: int) -> Trains:
    """The chosen candidate of each row, with an empty train where a row had none."""
    result = empty(rows)
    has = np.unique(owner)
    for field in fields(Trains):
        getattr(result, field.name)[has] = getattr(trains, field.name)[first[has]]
    return result
