# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the prediction model says, as values, and how a profile stores it.

Times are UTC seconds (float) in these classes and aware UTC datetimes in documents. Durations are seconds.

``profile["arrival"]`` is ``ArrivalModel.document()``::

    {kind: periodic | calendar | several | aperiodic | unknown, period: s or None, phase: s or None, jitter: s,
     fill: 0..1, confidence: 0..1, timezone: str, rate: arrivals per second, burst: requests per arrival,
     events: int, since: datetime or None, last: datetime or None,
     schedules: [{period, anchor, jitter, fill, share, confidence, drifting, used: int, residuals: [s, ...],
                  days: [0 = Monday, ...], hours: [...]}, ...],
     rules: [{days: [0 = Monday, ...], second: s of the local day, jitter, fill, confidence, residuals}, ...]}

``profile["patterns"][metric]`` (metric is cpu, memory, io_read or io_write) is ``pattern_document(...)``::

    {start: datetime of the first slot, step: s, horizon: slots, quantiles: [level, ...], model: str,
     period: s or None, second_period: s or None, mase: float or None, pinball: float or None,
     coverage: 0..1 or None, last_error: float or None, days: float, samples: int, confidence: 0..1,
     level: float, peak: float, inputs: str,
     online: {scored: slots, coverage: 0..1 or None, pinball: float or None, widen: float}}

and the quantile series itself is the array ``forecast/<profile>/<metric>`` of the store: float32, shape
(levels, horizon), in the unit of the metric (cores, bytes, bytes per second). ``level`` is the mean of the median
series, ``peak`` the maximum of the highest quantile series. ``last_error`` is the mean absolute error of the previous
forecast's median against what came since, in the unit of the metric; ``online`` follows such scores over the last days:
the coverage of the .95 quantile, the pinball loss, and the factor by which the spread above the median is widened
because of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]
    Ints = NDArray[np.int64]

METRICS = ("cpu", "memory", "io_read", "io_write")
# The levels that are stored and backtested; others are interpolated between them.
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
# The levels of the residuals that a schedule keeps, from which every interval of an expected arrival is read.
RESIDUAL_LEVELS = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)


def moment(seconds: float | None) -> datetime | None:
    """UTC seconds as an aware UTC datetime in milliseconds, as documents keep times."""
    if seconds is None:
        return None
    value = datetime.fromtimestamp(round(seconds * 1000) / 1000, tz=timezone.utc)
    return value.replace(microsecond=value.microsecond // 1000 * 1000)


@dataclass(frozen=True)
class Schedule:
    """One train of arrivals: ``anchor + k * period`` plus a residual.

    ``anchor`` is the newest expected arrival at or before the newest seen one (UTC seconds). ``drifting`` says that
    the next arrival counts from the last one (a loop that sleeps) and not from a clock, so that uncertainty grows with
    every period ahead. ``days`` and ``hours`` (local time; empty means all) are those in which the schedule is active,
    as in ``*/5 9-17 * * 1-5``. ``used`` arrivals were fitted. ``share`` is the part of all arrivals that the train
    explains, ``fill`` the part of its slots in which an arrival came, ``jitter`` the standard deviation around the slot
    (of the gap, when drifting). ``residuals`` are the quantiles RESIDUAL_LEVELS of arrival minus slot.
    """

    period: float
    anchor: float
    jitter: float
    fill: float
    share: float
    confidence: float
    drifting: bool
    used: int
    residuals: tuple[float, ...]
    days: tuple[int, ...] = ()
    hours: tuple[int, ...] = ()

    @property
    def phase(self) -> float:
        """Seconds after a multiple of the period since 1970-01-01 UTC."""
        return self.anchor % self.period


@dataclass(frozen=True)
class CalendarRule:
    """A cron-like rule: on ``days`` (0 is Monday) at ``second`` of the local day, wall clock."""

    days: tuple[int, ...]
    second: float
    jitter: float
    fill: float
    confidence: float
    residuals: tuple[float, ...]


def _tuples(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in item.items()}


@dataclass(frozen=True)
class ArrivalModel:
    """When requests for one workload come.

    ``kind``: ``periodic`` (one schedule), ``calendar`` (rules in local time), ``several`` (more than one schedule, or
    schedules and rules), ``aperiodic`` (enough arrivals, and no schedule explains them), ``unknown`` (fewer than six).
    ``period``, ``phase``, ``jitter`` and ``fill`` are those of the main schedule; a calendar rule has the period of a
    day, or of a week when it leaves days out, and the phase of its local second of day.
    """

    kind: str
    timezone: str = "UTC"
    period: float | None = None
    phase: float | None = None
    jitter: float = 0.0
    fill: float = 0.0
    confidence: float = 0.0
    rate: float = 0.0
    burst: float = 1.0
    events: int = 0
    since: float | None = None
    last: float | None = None
    schedules: tuple[Schedule, ...] = ()
    rules: tuple[CalendarRule, ...] = ()

    @property
    def expects(self) -> bool:
        """Whether the model expects arrivals at known times."""
        return bool(self.schedules or self.rules)

    def document(self) -> dict[str, Any]:
        """The shape that ``profile["arrival"]`` stores."""
        fields = asdict(self)
        fields["since"], fields["last"] = moment(self.since), moment(self.last)
        for part in ("schedules", "rules"):
            fields[part] = [
                {name: list(value) if isinstance(value, tuple) else value for name, value in item.items()}
                for item in fields[part]
            ]
        return fields

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> ArrivalModel:
        """Read what ``document()`` wrote."""
        fields = dict(document)
        for name in ("since", "last"):
            value = fields.get(name)
            fields[name] = value.timestamp() if isinstance(value, datetime) else value
        fields["schedules"] = tuple(Schedule(**_tuples(item)) for item in fields.get("schedules", ()))
        fields["rules"] = tuple(CalendarRule(**_tuples(item)) for item in fields.get("rules", ()))
        return cls(**fields)


@dataclass(frozen=True)
class Season:
    """The periodicity of one usage series; ``period`` is None where none can be claimed.

    ``period`` and ``second_period`` in seconds, ``strength`` the part of the detrended variance that the phase profile
    explains (0..1), ``score`` the comb score in standard errors above the AR(1) null.
    """

    period: float | None = None
    second_period: float | None = None
    strength: float = 0.0
    score: float = 0.0


@dataclass(frozen=True)
class Trust:
    """How far a forecast may be trusted; part of every answer.

    ``mase`` and ``pinball`` (in the unit of the series, mean over the levels .5, .9, .95) are of the rolling-origin
    backtest, ``coverage`` the part of its actual values at or below the .95 quantile. ``days`` is the history used.
    A value that the history is too short for is None. ``confidence`` (0..1) joins them for the planner's margins.
    """

    model: str
    period: float | None
    second_period: float | None
    mase: float | None
    pinball: float | None
    coverage: float | None
    days: float
    samples: int
    confidence: float


@dataclass(frozen=True)
class Forecasts:
    """Quantile forecasts of n series: ``values`` (n, levels, horizon), non-decreasing along the levels.

    Slot h covers ``start + h * step`` to one step later (UTC seconds; ``start`` is one for all series). ``trust`` has
    one entry per series.
    """

    start: float
    step: float
    levels: tuple[float, ...]
    values: Floats
    trust: tuple[Trust, ...]


def pattern_document(
    forecasts: Forecasts,
    index: int,
    *,
    last_error: float | None = None,
    online: Mapping[str, Any] | None = None,
    inputs: str = "",
) -> dict[str, Any]:
    """The shape that ``profile["patterns"][metric]`` stores, for series ``index``."""
    trust, series = forecasts.trust[index], forecasts.values[index]
    median = min(range(len(forecasts.levels)), key=lambda i: abs(forecasts.levels[i] - 0.5))
    return {
        "start": moment(forecasts.start),
        "step": forecasts.step,
        "horizon": int(series.shape[1]),
        "quantiles": list(forecasts.levels),
        **asdict(trust),
        "last_error": last_error,
        "level": float(series[median].mean()) if series.size else 0.0,
        "peak": float(series[-1].max()) if series.size else 0.0,
        "online": dict(online) if online else {"scored": 0, "coverage": None, "pinball": None, "widen": 1.0},
        "inputs": inputs,
    }
