# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lags at which a series resembles itself more than an AR(1) process would by chance: whitened autocorrelation at
several resolutions. Used by seasonality.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

try:
    import numpy as np
except ImportError:  # the plugin that needs it says so (libraries.require)
    pass

if TYPE_CHECKING:
    from .types import Bools, Floats, Ints

_TEETH = 5
_ERRORS = 4.5
BAND = 16
_TOOTH = 1.5
_FINEST = 4032


def search(rest: Floats, mask: Bools) -> tuple[Floats, Floats, Floats]:
    """Candidate lags (rows, candidates) in slots, NaN where there is none, their scores in standard errors, and the
    length of a slot at the resolution at which each was found.

    The finest resolution looks at every lag, for pulses; each coarser one, of means over two, four, eight... slots, at
    lags of 16 to 32 of its slots, where noise from sample to sample no longer hides a smooth cycle.
    """
    slots = rest.shape[1]
    lags, scores, factors = [], [], []
    values, known, factor = rest, mask, 1
    # What is only seen sample by sample is short: the newest part of a long history shows it, for a part of the cost.
    finest = slice(max(slots - _FINEST, 0), slots)
    while True:
        fine = factor == 1 and slots > _FINEST
        part, seen = (values[:, finest], known[:, finest]) if fine else (values, known)
        longest = int(part.shape[1] / 2.8)
        low, high = (2, longest) if factor == 1 else (BAND, min(2 * BAND, longest))
        found, score = _scale(part, seen, low, high, 3 if factor == 1 else 1)
        lags.append(found * factor)
        scores.append(score)
        factors += [float(factor)] * found.shape[1]
        if longest < 2 * BAND or slots // (2 * factor) < 3 * BAND:
            break
        values, known = _halve(values, known)
        factor *= 2
    found_lags = np.concatenate(lags, axis=1)
    found_lags[found_lags > slots / 3 * 1.02] = np.nan
    return found_lags, np.concatenate(scores, axis=1), np.array(factors)


def _halve(values: Floats, known: Bools) -> tuple[Floats, Bools]:
    """Means of pairs of slots."""
    even = values.shape[1] // 2 * 2
    pairs = known[:, :even:2].astype(float) + known[:, 1:even:2]
    total = values[:, :even:2] + values[:, 1:even:2]
    return total / np.maximum(pairs, 1.0), pairs > 0


def _scale(values: Floats, known: Bools, low: int, high: int, most: int) -> tuple[Floats, Floats]:
    """The best ``most`` lags in [low, high] of rows at one resolution, refined, with their scores; NaN where none."""
    rows, slots = values.shape
    if high < low + 2:
        return np.full((rows, most), np.nan), np.zeros((rows, most))
    white, seen = whiten(values, known)
    correlation = autocorrelation(white, seen)
    # Neighbours that move against each other are noise of the samples, not a cycle of two slots.
    correlation[:, 1] = np.maximum(correlation[:, 1], 0.0)
    known_part = np.maximum(seen.mean(axis=1), 1e-3)[:, None]
    lags = np.arange(low, high + 1)
    score, comb = _comb(correlation, lags, slots, known_part)
    peak = np.ones_like(score, dtype=bool)
    peak[:, 1:] &= comb[:, 1:] > comb[:, :-1]
    peak[:, :-1] &= comb[:, :-1] >= comb[:, 1:]
    peak &= (score > _ERRORS) & (comb > 0.1)
    ranked = np.where(peak, score, -np.inf)
    found, scores = [], []
    top = np.where(peak, comb, -np.inf).max(axis=1, keepdims=True)
    for near in (1.0, 0.85, 0.6)[:most]:
        # The strongest comb, and the shortest lags that come near it.
        best = (np.isfinite(ranked) & (comb >= near * top)).argmax(axis=1)
        value = ranked[np.arange(rows), best]
        lag = _refine(correlation, lags[best].astype(float), slots)
        found.append(np.where(np.isfinite(value), lag, np.nan))
        scores.append(np.where(np.isfinite(value), value, 0.0))
        # What is found takes its neighbours along.
        ranked[np.abs(lags[None, :] - lags[best][:, None]) < 2] = -np.inf
    return np.stack(found, axis=1), np.stack(scores, axis=1)


def autocorrelation(rest: Floats, mask: Bools) -> Floats:
    """The linear autocorrelation (rows, lags up to the length); 0 where fewer than three pairs are known."""
    slots = rest.shape[1]
    size = 1 << (2 * slots - 1).bit_length()
    spectrum = np.fft.rfft(rest, size, axis=1)
    covariance = np.fft.irfft(spectrum.real**2 + spectrum.imag**2, size, axis=1)[:, :slots]
    if mask.all():
        pairs = np.broadcast_to(slots - np.arange(slots, dtype=float), rest.shape)
    else:
        known = np.fft.rfft(mask.astype(float), size, axis=1)
        pairs = np.rint(np.fft.irfft(known.real**2 + known.imag**2, size, axis=1)[:, :slots])
    variance = np.maximum(covariance[:, :1] / np.maximum(pairs[:, :1], 1), 1e-300)
    return np.where(pairs >= 3, covariance / np.maximum(pairs, 1) / variance, 0.0)


def whiten(rest: Floats, mask: Bools) -> tuple[Floats, Bools]:
    """The innovations of an AR(1) process fitted to each row, and where they are known."""
    both = mask[:, 1:] & mask[:, :-1]
    square = (rest * rest).sum(axis=1)
    first = (rest[:, 1:] * rest[:, :-1] * both).sum(axis=1)
    memory = np.clip(first / np.maximum(square, 1e-300), 0.0, 0.999)
    white = np.zeros_like(rest)
    white[:, 1:] = np.where(both, rest[:, 1:] - memory[:, None] * rest[:, :-1], 0.0)
    seen = np.zeros_like(mask)
    seen[:, 1:] = both
    return white, seen


def _comb(correlation: Floats, lags: Ints, slots: int, known: Floats) -> tuple[Floats, Floats]:
    """The score of each lag in standard errors of white noise, and the comb itself: mean correlation at multiples of
    the lag minus that half-way. ``known`` (rows, 1) is the part of slots that is known.

    One coincidence of two spikes makes one tooth: the first two must both stand out for a lag to score.
    """
    total = np.zeros((len(correlation), len(lags)))
    least = np.full_like(total, np.inf)
    teeth, variance = np.zeros(len(lags)), np.zeros(len(lags))
    limit = int(slots * 0.75)
    for tooth in range(1, _TEETH + 1):
        part = lags[lags * tooth <= limit]
        if not part.size:
            break
        at, half = part * tooth, (part * (2 * tooth - 1)) // 2
        height = correlation[:, at] - correlation[:, half]
        error = 1.0 / (slots - at) + 1.0 / (slots - half)
        total[:, : part.size] += height
        variance[: part.size] += error
        teeth[: part.size] += 1
        if tooth <= 2:
            least[:, : part.size] = np.minimum(least[:, : part.size], height / np.sqrt(error))
    score = total / np.sqrt(np.maximum(variance, 1e-12)) * known
    score[least * known < _TOOTH] = 0.0
    return score, total / np.maximum(teeth, 1)


def _refine(correlation: Floats, lag: Floats, slots: int) -> Floats:
    """Sharpen a lag on its highest usable multiple, doubling so that no cycle is lost."""
    rows = np.arange(len(lag))
    lag = lag.copy()
    multiple = 1
    while multiple <= 64:
        centre = lag * multiple
        usable = centre * 1.0 + 2 <= slots * 0.6
        if not usable.any():
            break
        reach = np.maximum(np.rint(lag * 0.25), 1).astype(np.int64)
        span = int(min(reach[usable].max(), 24))
        offset = np.arange(-span, span + 1)
        index = np.clip(np.rint(centre).astype(np.int64)[:, None] + offset[None, :], 1, slots - 2)
        window = np.where(np.abs(offset)[None, :] <= reach[:, None], correlation[rows[:, None], index], -np.inf)
        top = index[rows, window.argmax(axis=1)]
        left, middle, right = (correlation[rows, top + shift] for shift in (-1, 0, 1))
        curve = left - 2 * middle + right
        shift = np.where(curve < -1e-12, 0.5 * (left - right) / np.where(curve < -1e-12, curve, -1.0), 0.0)
        found = (top + np.clip(shift, -0.5, 0.5)) / multiple
        lag = np.where(usable, found, lag)
        multiple *= 2
    return lag
