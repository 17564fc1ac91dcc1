# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles that behave alike: descriptions of known ones, matches of new ones, and what a match gives a new one.

A profile with a week of history is known: ``features`` of its document hold its description (matching.NAMES), the
radius of its own variation and when they were made. A younger one is matched when its history reaches 1 h, 6 h, 24 h
and 7 d; ``match`` of its document holds the outcome. As long as its own history is too short for a forecast with a
backtest, it gets the forecast of its match at its own level, with a wider margin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

try:
    import numpy as np
except ImportError:  # the plugin that needs it says so (libraries.require)
    pass

from .._model import matching
from .._store.interface import Array, Document, Store
from .usage_series import Usage

if TYPE_CHECKING:
    from .._model.types import Bools, Floats

KNOWN = timedelta(days=7)


@dataclass
class Description:
    """What the history of one profile says of its behaviour, ``age`` seconds after its first sample."""

    values: Floats
    radius: float
    age: float

    def document(self, now: datetime) -> dict[str, Any]:
        """As a profile stores it."""
        values = [float(one) if np.isfinite(one) else None for one in self.values]
        return {"values": values, "radius": self.radius, "days": self.age / matching.DAY, "at": now}


@dataclass
class Known:
    """The known profiles of a store, read once when the first new profile asks."""

    store: Store
    names: list[str] = field(default_factory=list)
    values: list[list[float]] = field(default_factory=list)
    radii: list[float] = field(default_factory=list)
    needs: list[Mapping[str, Any]] = field(default_factory=list)
    read: bool = False

    def load(self) -> None:
        """Read what is known of all profiles."""
        if self.read:
            return
        for document in self.store.find("profiles"):
            features = document.get("features")
            if features and features["days"] * matching.DAY >= KNOWN.total_seconds():
                self.names.append(document["key"])
                self.values.append([float("nan") if one is None else one for one in features["values"]])
                self.radii.append(features["radius"])
                self.needs.append(document.get("dependencies") or {})
        self.read = True


def asks(document: Document, age: float, now: datetime) -> bool:
    """Whether a profile is due to be matched (it is young and has reached another stage) or described (it is known)."""
    if age >= KNOWN.total_seconds():
        features = document.get("features")
        return not features or features["days"] * matching.DAY < KNOWN.total_seconds() or now - features["at"] >= KNOWN
    return matching.stage(age) > int((document.get("match") or {}).get("stage") or 0)


def describe(
    usage: Sequence[Usage], documents: Mapping[str, Document], patterns: Mapping[str, Mapping[str, Any]], now: datetime
) -> dict[str, Description]:
    """The descriptions of the profiles that are due, from their CPU history and what else they have on its grid;
    ``patterns`` by profile are those just learned."""
    by_profile: dict[str, dict[str, Usage]] = {}
    for one in usage:
        by_profile.setdefault(one.profile, {})[one.metric] = one
    found = {}
    for name, metrics in by_profile.items():
        cpu = metrics.get("cpu")
        if cpu is None:
            continue
        age = (len(cpu.values) - int(np.isfinite(cpu.values).argmax())) * cpu.step
        if asks(documents[name], age, now):
            found[name] = _described(metrics, patterns[name].get("cpu") or {}, age)
    return found


def _described(metrics: Mapping[str, Usage], pattern: Mapping[str, Any], age: float) -> Description:
    cpu = metrics["cpu"]
    slots = len(cpu.values)
    arrays = {}
    for metric, one in metrics.items():
        if one.step == cpu.step:
            own = np.full(slots, np.nan)
            length = min(slots, len(one.values))
            own[slots - length :] = one.values[-length:]
            arrays[metric] = own[None, :]
    period = np.array([pattern.get("period") or float("nan")])
    # Under three days a daily cycle cannot have shown.
    strength = np.array([float(bool(pattern.get("period"))) if age >= 3 * matching.DAY else float("nan")])
    begin = cpu.start - slots * cpu.step
    day = round(matching.DAY / cpu.step)
    days = slots // day
    cut = {metric: one[0, slots - days * day :].reshape(days, day) for metric, one in arrays.items()}
    whole = np.isfinite(cut["cpu"]).mean(axis=1) > 0.5
    if not whole.any():
        return Description(matching.features(arrays, cpu.step, begin, period, strength)[0], 0.0, age)
    phase = begin + (slots - days * day) * cpu.step
    each = matching.features(cut, cpu.step, phase, np.repeat(period, days), np.repeat(strength, days))[whole]
    return Description(matching.usual(each), matching.radius(each), age)


def matched(
    known: Known, described: Mapping[str, Description], documents: Mapping[str, Document], now: datetime
) -> dict[str, dict[str, Any]]:
    """The outcome for each young profile that is due, as its document stores it."""
    young = [name for name, one in described.items() if one.age < KNOWN.total_seconds()]
    if not young:
        return {}
    known.load()
    asked = np.array([described[name].values for name in young])
    values = np.array(known.values).reshape(len(known.names), len(matching.NAMES))
    found = matching.match(asked, values, np.array(known.radii), _allowed(known, young, documents))
    return {
        name: {
            "profile": None if one.index is None else known.names[one.index],
            "distance": one.distance,
            "ambiguous": [known.names[index] for index in one.ambiguous],
            "checked_at": now,
            "stage": matching.stage(described[name].age),
        }
        for name, one in zip(young, found)
    }


def _allowed(known: Known, young: Sequence[str], documents: Mapping[str, Document]) -> Bools:
    allowed = np.ones((len(young), len(known.names)), dtype=bool)
    for row, name in enumerate(young):
        needs = documents[name].get("dependencies") or {}
        for column, other in enumerate(known.names):
            allowed[row, column] = other != name and _compatible(needs, known.needs[column])
    return allowed


def _compatible(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether what two profiles need can be of one workload: where both say something, it has something in common."""
    systems = {needs.get("os") for needs in (one, other) if needs.get("os")}
    if len(systems) > 1:
        return False
    both = ((set(one.get(name) or ()), set(other.get(name) or ())) for name in ("libraries", "workloads"))
    return all(not mine or not theirs or mine & theirs for mine, theirs in both)


def doubt(name: str, match: Mapping[str, Any] | None) -> str:
    """What to tell of a match that was ambiguous; empty for any other."""
    alike = (match or {}).get("ambiguous") or []
    return f"{name} behaves like {' and '.join(alike)}, too much alike to choose; it was matched with none" * bool(
        alike
    )


def started(
    store: Store, patterns: Mapping[str, dict[str, Any]], matches: Mapping[str, str]
) -> list[tuple[str, dict[str, Any], Array]]:
    """The forecasts that new profiles get from their matches (profile: match) for metrics of which they have too short
    a history: (array key, pattern, array)."""
    made: list[tuple[str, dict[str, Any], Array]] = []
    others = store.get_many("profiles", set(matches.values()))
    keys = [f"forecast/{other}/{metric}" for other in others for metric in others[other].get("patterns") or {}]
    arrays = store.get_arrays(keys)
    for name, other in matches.items():
        for metric, pattern in patterns[name].items():
            like = ((others.get(other) or {}).get("patterns") or {}).get(metric)
            array = arrays.get(f"forecast/{other}/{metric}")
            if pattern["model"] != "flat" or not like or array is None or like["step"] != pattern["step"]:
                continue
            one = _begun(pattern, like, array, other)
            if one is not None:
                key = f"forecast/{name}/{metric}"
                made.append((key, one[0], Array(key, "<f4", one[1].shape, one[1].tobytes())))
    return made


def _begun(
    pattern: Mapping[str, Any], like: Mapping[str, Any], array: Array, other: str
) -> tuple[dict[str, Any], Floats] | None:
    """The forecast of a match from the slot at which the new profile's begins, at the new profile's own level."""
    series = np.frombuffer(array.data, dtype=array.dtype).reshape(array.shape).astype(float)
    step, day = float(pattern["step"]), round(matching.DAY / float(pattern["step"]))
    if series.shape[1] < day or list(like["quantiles"]) != list(pattern["quantiles"]) or like["level"] <= 0:
        return None
    late = round((pattern["start"] - like["start"]).total_seconds() / step)
    slots = (late + np.arange(int(pattern["horizon"]))) % day
    values = matching.starting(series[:, slots], pattern["quantiles"], float(pattern["days"]))
    values = np.maximum.accumulate(values * (float(pattern["level"]) / float(like["level"])), axis=0)
    values = np.ascontiguousarray(values, dtype="<f4")
    made = {**pattern, "model": f"like {other}", "period": like["period"], "second_period": like["second_period"]}
    made["confidence"] = 0.5 * float(like["confidence"])
    made["peak"] = float(values[-1].max())
    return made, values


def fields(
    described: Mapping[str, Description], matches: Mapping[str, dict[str, Any]], name: str, now: datetime
) -> dict[str, Any]:
    """What changes in the document of one profile."""
    changed: dict[str, Any] = {}
    one = described.get(name)
    if one is not None and one.age >= KNOWN.total_seconds():
        changed["features"] = one.document(now)
    if name in matches:
        changed["match"] = matches[name]
    return changed


def shown(match: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a diff shows of a match."""
    if not match:
        return {}
    return {key: match[key] for key in ("profile", "ambiguous", "stage")}
