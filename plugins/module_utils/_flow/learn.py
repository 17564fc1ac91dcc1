# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Learning: from the history in the store to the arrival model and the forecasts of profiles.

The previous forecast is scored against what came before a new one is made. A profile's pattern is the demand of one
tenant: where tenants were measured, the mean over them, elsewhere the workload as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

try:
    import numpy as np
except ImportError:  # the plugin that needs it says so (libraries.require)
    pass

from .._core.changes import ChangeSet
from .._core.errors import Conflict, InputError
from .._model import arrivals, calendars
from .._model.forecast import forecast
from .._model.types import LEVELS, Forecasts, pattern_document
from .._store.interface import Array, Document, Store
from . import likeness
from .usage_series import Usage, read, scored

if TYPE_CHECKING:
    from .._model.types import Floats

AHEAD = 36 * 3600.0
REQUESTS_BACK = 800 * 86400.0
_BATCH = 256
_REQUESTS = 2048
_ATTEMPTS = 5
_FIELDS = ("arrival", "patterns", "confidence", "learned_at", "features", "match")


@dataclass
class Learned:
    """What learning did to one profile; ``error`` where it could not be learned."""

    name: str
    changes: ChangeSet
    document: Document | None = None
    error: str = ""


def learn(store: Store, names: Sequence[str], now: datetime, *, dry: bool = False) -> Iterator[Learned]:
    """Learn the profiles ``names`` as of ``now``, a few hundred at a time, in their order; nothing is written if
    ``dry``. The same history at the same time again changes nothing.

    While one batch is computed the next one is read, both at most in memory; the store is used by this thread only.
    """
    known = likeness.Known(store)
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting: tuple[list[str], _Run, Future[None]] | None = None
        for begin in range(0, len(names), _BATCH):
            part = list(names[begin : begin + _BATCH])
            run = _Run(store, part, now, dry)
            following = (part, run, pool.submit(run.compute))
            if waiting is not None:
                yield from _finished(*waiting, known)
            waiting = following
        if waiting is not None:
            yield from _finished(*waiting, known)


def _finished(part: list[str], run: _Run, computed: Future[None], known: likeness.Known) -> list[Learned]:
    computed.result()
    run.match(known)
    results = {one.name: one for one in run.write()}
    unknown = "there is no such profile (observe its history first)"
    return [results.get(name) or Learned(name, ChangeSet(name), error=f"{name}: {unknown}") for name in part]


class _Run:
    """One batch of profiles: made by reading, then ``compute`` without the store, then ``write``."""

    def __init__(self, store: Store, names: list[str], now: datetime, dry: bool) -> None:
        self.store, self.now, self.dry = store, now, dry
        self.documents = store.get_many("profiles", names)
        self.names = [name for name in dict.fromkeys(names) if name in self.documents]
        # What is no longer in the history keeps its last forecast.
        self.patterns = {name: dict(self.documents[name].get("patterns") or {}) for name in self.names}
        since = now - timedelta(seconds=REQUESTS_BACK)
        self.times: dict[str, Floats] = {
            batch.profile: np.frombuffer(batch.times)
            for batch in store.read_requests(self.names, since, now, newest=_REQUESTS)
        }
        self.usage = read(store, self.names, now)
        self.previous = store.get_arrays(
            [usage.key for usage in self.usage if self._before(usage).get("inputs") not in (None, usage.digest)]
        )
        self.arrivals: dict[str, dict[str, Any] | None] = dict.fromkeys(self.names)
        self.arrays: dict[str, Array] = {}
        self.described: dict[str, likeness.Description] = {}
        self.matches: dict[str, dict[str, Any]] = {}
        self.errors: dict[str, str] = {}

    def compute(self) -> None:
        """Find schedules, score the previous forecasts, make new ones."""
        self._arrivals()
        groups: dict[tuple[float, int], list[Usage]] = {}
        for usage in self.usage:
            groups.setdefault((usage.step, len(usage.values)), []).append(usage)
        for (step, _slots), group in groups.items():
            self._forecast(group, step)
        self.described = likeness.describe(self.usage, self.documents, self.patterns, self.now)
        self.usage, self.previous = [], {}

    def match(self, known: likeness.Known) -> None:
        """Match young profiles with known ones, and let them begin with the forecast of what they are like."""
        self.matches = likeness.matched(known, self.described, self.documents, self.now)
        like = {}
        for name in self.names:
            other = (self.matches.get(name) or self.documents[name].get("match") or {}).get("profile")
            if other and any(f"forecast/{name}/{metric}" in self.arrays for metric in self.patterns[name]):
                like[name] = str(other)
        if like:
            for key, pattern, array in likeness.started(self.store, self.patterns, like):
                _forecast_key, name, metric = key.split("/")
                self.patterns[name][metric] = pattern
                self.arrays[key] = array

    def _arrivals(self) -> None:
        zones = []
        for name in self.times:
            zone = str(self.documents[name].get("timezone") or "UTC")
            try:
                calendars.zone(zone)
            except InputError as error:
                self.errors[name] = f"{name}: {error}"
                zone = "UTC"
            zones.append(zone)
        models = arrivals.detect(list(self.times.values()), now=self.now.timestamp(), timezones=zones)
        self.arrivals.update({name: model.document() for name, model in zip(self.times, models)})

    def _forecast(self, group: list[Usage], step: float) -> None:
        todo = []
        for usage in group:
            pattern = self._before(usage)
            if pattern.get("inputs") != usage.digest:
                todo.append((usage, pattern, *scored(usage, pattern, self.previous.get(usage.key))))
        if not todo:
            return
        result = forecast(
            np.stack([usage.values for usage, *_rest in todo]),
            step,
            group[0].start,
            max(int(AHEAD / step), 1),
            LEVELS,
            upper=np.array([self._most(usage) for usage, *_rest in todo]),
            incumbents=[str(pattern.get("model", "")) for _usage, pattern, *_rest in todo],
            widen=np.array([state["widen"] for _usage, _pattern, state, _error in todo]),
        )
        for index, (usage, _pattern, state, error) in enumerate(todo):
            self.patterns[usage.profile][usage.metric] = pattern_document(
                result, index, last_error=error, online=state, inputs=usage.digest
            )
            self.arrays[usage.key] = _array(usage.key, result, index)

    def _before(self, usage: Usage) -> dict[str, Any]:
        patterns = self.documents[usage.profile].get("patterns") or {}
        return dict(patterns.get(usage.metric) or {})

    def _most(self, usage: Usage) -> float:
        bounds = (self.documents[usage.profile].get("bounds") or {}).get(usage.metric) or {}
        most = bounds.get("max")
        return float(most) if most is not None else float("nan")

    def write(self) -> list[Learned]:
        """Write what has changed; one entry per profile."""
        results, changed = [], []
        for name in self.names:
            document = self.documents[name]
            learned = _learned(self.arrivals[name], self.patterns[name])
            learned.update(likeness.fields(self.described, self.matches, name, self.now))
            changes = _compare(name, document, learned)
            one = Learned(name, changes, {**document, **learned}, self.errors.get(name, ""))
            results.append(one)
            if changes.changed:
                one.document = {**document, **learned, "learned_at": self.now}
                changed.append(one)
        if not self.dry and changed:
            # Arrays first: a reader that sees the new document finds its arrays.
            self.store.put_arrays(self.arrays.values())
            self._put(changed)
        return results

    def _put(self, changed: list[Learned]) -> None:
        outcomes = self.store.put_many("profiles", [one.document for one in changed if one.document is not None])
        for one, outcome in zip(changed, outcomes):
            one.document = self._retry(one) if isinstance(outcome, Conflict) else outcome

    def _retry(self, one: Learned) -> Document | None:
        """Another writer was first: what was learned goes into the newer document."""
        made = one.document or {}
        learned = {key: made[key] for key in _FIELDS if key in made}
        for _attempt in range(_ATTEMPTS):
            document = self.store.get("profiles", one.name)
            if document is None:
                break
            outcome = self.store.put_many("profiles", [{**document, **learned}])[0]
            if not isinstance(outcome, Conflict):
                return outcome
        one.error = f"{one.name}: others keep changing this profile, or removed it; learn it again"
        return None


def _array(key: str, result: Forecasts, index: int) -> Array:
    values = np.ascontiguousarray(result.values[index], dtype="<f4")
    return Array(key, "<f4", values.shape, values.tobytes())


def _learned(arrival: dict[str, Any] | None, patterns: dict[str, Any]) -> dict[str, Any]:
    trusts = [pattern["confidence"] for pattern in patterns.values()]
    confidence = float(np.mean(trusts)) if trusts else (arrival or {}).get("confidence")
    return {"arrival": arrival, "patterns": patterns, "confidence": confidence}


def _summary(pattern: Mapping[str, Any]) -> dict[str, Any]:
    """What a diff shows of a pattern."""
    return {name: pattern.get(name) for name in ("start", "model", "period", "mase", "coverage", "level", "peak")}


def _compare(name: str, document: Mapping[str, Any], learned: Mapping[str, Any]) -> ChangeSet:
    changes = ChangeSet(name)
    before, after = document.get("arrival") or {}, learned["arrival"] or {}
    if before != after:
        for key in ("kind", "period", "phase", "events", "confidence"):
            changes.compare("learn", f"arrival.{key}", before.get(key), after.get(key))
        if not changes.changed:
            changes.add("learn", "arrival", "other", "as learned")
    old, new = document.get("patterns") or {}, learned["patterns"]
    for metric in sorted({*old, *new}):
        if old.get(metric) != new.get(metric):
            shown = (_text(_summary(item.get(metric) or {})) for item in (old, new))
            changes.add("learn", f"patterns.{metric}", *shown)
    if "match" in learned:
        changes.compare("match", "match", likeness.shown(document.get("match")), likeness.shown(learned["match"]))
    return changes


def _text(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.astimezone(timezone.utc).isoformat() if isinstance(value, datetime) else value
        for name, value in values.items()
        if value is not None
    }
