# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forecasts for those who ask: the lookup and the planner. From the stored series where they cover the span, else made
now from the history; plain JSON values only."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

try:
    import numpy as np
except ImportError:  # the plugin that needs it says so (libraries.require)
    pass

from .._core.errors import InputError
from .._core.units import format_time
from .._model import arrivals, series
from .._model.forecast import forecast
from .._model.types import LEVELS, METRICS, ArrivalModel, Forecasts
from .._store.interface import Array, Document, Store
from .usage_series import Usage, read

if TYPE_CHECKING:
    from .._model.types import Floats

UNITS = {"cpu": "cores", "memory": "bytes", "io_read": "bytes/s", "io_write": "bytes/s"}
_MOST_NEXT = 1000
_MOST_SLOTS = 100_000
_CACHED = 4096
_TRUST = ("model", "period", "second_period", "mase", "pinball", "coverage", "last_error", "days", "confidence")
# Forecasts made in this process, which is a task of one host, by a digest of all that goes into one.
_cache: dict[str, dict[str, Any]] = {}


@dataclass(frozen=True)
class Span:
    """What is asked for: ``slots`` of ``step`` seconds from ``start`` (UTC seconds) at ``levels``, expected requests
    with intervals of ``level``."""

    start: float
    step: float
    slots: int
    levels: tuple[float, ...]
    level: float = 0.8

    @property
    def end(self) -> float:
        """UTC seconds."""
        return self.start + self.step * self.slots


def span(now: datetime, horizon: float, step: float, quantiles: Sequence[float], level: float = 0.8) -> Span:
    """Check what is asked for: the span from the last whole step before ``now``. Raises InputError."""
    if not (step > 0 and math.isfinite(step)) or not (horizon >= step and math.isfinite(horizon)):
        raise InputError(f"a horizon of {horizon:g} s in steps of {step:g} s has no step")
    slots = math.ceil(round(horizon / step, 6))
    if slots > _MOST_SLOTS:
        raise InputError(f"{slots} steps are too many", hint=f"at most {_MOST_SLOTS}: take a longer step")
    levels = tuple(float(level) for level in quantiles)
    if not levels or any(not 0 < item < 1 for item in levels) or list(levels) != sorted(set(levels)):
        raise InputError(f"quantiles {list(quantiles)} must ascend between 0 and 1", hint="for example [0.5, 0.95]")
    if not 0 < level < 1:
        raise InputError(f"the level {level} must lie between 0 and 1", hint="for example 0.8")
    return Span(math.floor(now.timestamp() / step) * step, step, slots, levels, level)


def forecasts(store: Store, names: Sequence[str], now: datetime, asked: Span) -> list[dict[str, Any]]:
    """One plain dict per profile, in the order of ``names``. Raises InputError for a name without a profile."""
    documents = store.get_many("profiles", names)
    for name in names:
        if name not in documents:
            raise InputError(
                "there is no such profile", item=name, hint="declare it with workload_profile or observe its history"
            )
    arrays = store.get_arrays(
        [f"forecast/{name}/{metric}" for name in names for metric in documents[name].get("patterns") or {}]
    )
    found: dict[tuple[str, str], dict[str, Any]] = {}
    open_names = []
    for name in dict.fromkeys(names):
        for metric, pattern in (documents[name].get("patterns") or {}).items():
            array = arrays.get(f"forecast/{name}/{metric}")
            if array is not None and _covers(pattern, asked):
                found[name, metric] = _from_store(pattern, array, asked)
        if not documents[name].get("patterns") or any((name, m) not in found for m in documents[name]["patterns"]):
            open_names.append(name)
    if open_names:
        found.update(_made(store, open_names, documents, now, asked))
    return [_answer(documents[name], found, asked, now) for name in names]


def _covers(pattern: Mapping[str, Any], asked: Span) -> bool:
    start, levels = pattern["start"].timestamp(), pattern["quantiles"]
    end = start + pattern["step"] * pattern["horizon"]
    inside = levels[0] <= asked.levels[0] and asked.levels[-1] <= levels[-1]
    return bool(start <= asked.start and asked.end <= end and inside)


def _from_store(pattern: Mapping[str, Any], array: Array, asked: Span) -> dict[str, Any]:
    stored = np.frombuffer(array.data, dtype=array.dtype).reshape(array.shape).astype(float)
    values = series.at_levels(stored, pattern["quantiles"], asked.levels)
    start = pattern["start"].timestamp()
    values = series.at_slots(values, start, float(pattern["step"]), asked.start, asked.step, asked.slots)
    return {**_described(values, asked), **{name: pattern.get(name) for name in _TRUST}, "source": "stored"}


def _described(values: Floats, asked: Span) -> dict[str, Any]:
    values = np.maximum.accumulate(values, axis=0)
    middle = min(range(len(values)), key=lambda row: abs(asked.levels[row] - 0.5))
    return {
        "start": _time(asked.start),
        "step": asked.step,
        "quantiles": {f"{level:g}": row.tolist() for level, row in zip(asked.levels, values)},
        "mean": float(values[middle].mean()),
        "peak": float(values[-1].max()),
    }


def _time(seconds: float) -> str:
    return format_time(datetime.fromtimestamp(round(seconds, 3), tz=timezone.utc))


def _made(
    store: Store, names: list[str], documents: Mapping[str, Document], now: datetime, asked: Span
) -> dict[tuple[str, str], dict[str, Any]]:
    """Forecasts made now from the history of ``names``; those of unchanged inputs come from the cache."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    groups: dict[tuple[float, float, int], list[tuple[Usage, dict[str, Any], str]]] = {}
    for usage in read(store, names, now):
        pattern = (documents[usage.profile].get("patterns") or {}).get(usage.metric) or {}
        bounds = ((documents[usage.profile].get("bounds") or {}).get(usage.metric) or {}).get("max")
        text = f"{usage.digest} {asked} {bounds} {pattern.get('online')} {pattern.get('model')}"
        digest = hashlib.sha256(text.encode()).hexdigest()
        if digest in _cache:
            found[usage.profile, usage.metric] = _cache[digest]
        else:
            groups.setdefault((usage.step, usage.start, len(usage.values)), []).append(
                (usage, {**pattern, "most": bounds}, digest)
            )
    for (step, start, _slots), group in groups.items():
        result = _forecast(group, step, start, asked)
        for index, (usage, pattern, digest) in enumerate(group):
            answer = _computed(result, index, asked)
            answer["last_error"] = pattern.get("last_error")
            answer["source"] = "computed"
            _remember(digest, answer)
            found[usage.profile, usage.metric] = answer
    return found


def _forecast(
    group: Sequence[tuple[Usage, Mapping[str, Any], str]], step: float, start: float, asked: Span
) -> Forecasts:
    levels = sorted({*LEVELS, *asked.levels})
    return forecast(
        np.stack([usage.values for usage, _pattern, _digest in group]),
        step,
        start,
        max(math.ceil((asked.end - start) / step - 1e-9), 1),
        levels,
        upper=np.array([float("nan") if pattern["most"] is None else pattern["most"] for _u, pattern, _d in group]),
        incumbents=[str(pattern.get("model", "")) for _usage, pattern, _digest in group],
        widen=np.array([(pattern.get("online") or {}).get("widen", 1.0) for _usage, pattern, _digest in group]),
    )


def _computed(result: Forecasts, index: int, asked: Span) -> dict[str, Any]:
    """One series of a fresh forecast on the grid and at the levels that are asked for."""
    values = series.at_levels(result.values[index], result.levels, asked.levels)
    values = series.at_slots(values, result.start, result.step, asked.start, asked.step, asked.slots)
    trust = result.trust[index]
    answer = {name: getattr(trust, name) for name in _TRUST if hasattr(trust, name)}
    return {**_described(values, asked), **answer}


def _remember(digest: str, answer: dict[str, Any]) -> None:
    if len(_cache) >= _CACHED:
        _cache.pop(next(iter(_cache)))
    _cache[digest] = answer


def _answer(
    document: Document, found: Mapping[tuple[str, str], dict[str, Any]], asked: Span, now: datetime
) -> dict[str, Any]:
    name = str(document["key"])
    learned = document.get("learned_at")
    return {
        "name": name,
        "workload": document.get("workload"),
        "learned_at": format_time(learned) if isinstance(learned, datetime) else None,
        "confidence": document.get("confidence"),
        "requests": requests(document.get("arrival"), asked, now),
        **{
            metric: {"unit": UNITS[metric], **found[name, metric]} if (name, metric) in found else None
            for metric in METRICS
        },
    }


def requests(arrival: Mapping[str, Any] | None, asked: Span, now: datetime) -> dict[str, Any] | None:
    """What is known of the requests, and the next expected ones from ``now`` on; None before anything was learned."""
    if not arrival:
        return None
    model = ArrivalModel.from_document(arrival)
    begin = now.timestamp()
    coming = arrivals.next_arrivals(model, begin, max(asked.end, begin), asked.level, most=_MOST_NEXT)
    return {
        "kind": model.kind,
        "period": model.period,
        "jitter": model.jitter,
        "fill": model.fill,
        "confidence": model.confidence,
        "timezone": model.timezone,
        "rate": model.rate,
        "burst": model.burst,
        "events": model.events,
        "last": _time(model.last) if model.last is not None else None,
        "level": asked.level,
        "next": [{"expected": _time(middle), "low": _time(low), "high": _time(high)} for middle, low, high in coming],
    }


def inline(
    name: str, times: Floats | None, values: Floats, asked: Span, now: datetime, most: float | None = None
) -> dict[str, Any]:
    """The forecast of a series that is given with the question: ``values`` at ``times`` (UTC seconds, any order), or
    one per step up to now if ``times`` is None. Raises InputError naming the series."""
    try:
        grid, step, start = _gridded(times, values, asked, now)
        text = f"{step} {start} {asked} {most}"
        digest = hashlib.sha256(text.encode() + np.ascontiguousarray(grid).tobytes()).hexdigest()
        if digest not in _cache:
            _remember(digest, _inline(grid, step, start, asked, most))
    except InputError as error:
        raise InputError(error.message, item=error.item or f"series {name}", hint=error.hint) from error
    return {"name": name, **_cache[digest]}


def _inline(grid: Floats, step: float, start: float, asked: Span, most: float | None) -> dict[str, Any]:
    result = forecast(
        grid[None, :],
        step,
        start,
        max(math.ceil((asked.end - start) / step - 1e-9), 1),
        sorted({*LEVELS, *asked.levels}),
        lower=0.0 if not (grid < 0).any() else None,
        upper=None if most is None else np.array([most]),
    )
    return {**_computed(result, 0, asked), "last_error": None, "source": "inline"}


def _gridded(times: Floats | None, values: Floats, asked: Span, now: datetime) -> tuple[Floats, float, float]:
    if np.isinf(values).any():
        raise InputError("values must be finite or missing")
    if not np.isfinite(values).any():
        raise InputError("it has no value")
    if times is None:
        return values, asked.step, asked.start
    order = np.lexsort((values, times))
    times, values = times[order], values[order]
    if times.size and times[-1] > now.timestamp() + asked.step:
        raise InputError("a sample is later than now", hint="set now, or check the times")
    step = max(series.natural_step(np.unique(times)), asked.step)
    start = math.floor(now.timestamp() / step) * step
    slots = max(math.ceil((start - float(times[0])) / step), 1) if times.size else 1
    if slots > _MOST_SLOTS:
        raise InputError(f"{slots} steps of {step:g} s of history are too many")
    return series.grid(times, values, start - slots * step, step, slots), step, start
