# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sample history of requests and usage, for trying the collection before real measurements are there.

Nothing here is a measurement: it is drawn from a seeded generator, the same for the same arguments. The workloads are
those that share small VMs in practice: scheduled jobs with jitter, missed and extra runs, services with a daily and a
weekly rhythm, one that is busy by night, one that is steady, and a development box that nobody can predict.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

try:
    import numpy as np
except ImportError:  # the plugin that needs it says so (libraries.require)
    pass

from .._core.errors import InputError
from .._core.units import parse_duration, parse_time

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MIB = 1024**2
DAY = 86400
MAX_ROWS = 5_000_000
# Share of samples that a collector loses, as in traces of real clusters.
LOST_SAMPLES = 0.002
MISSED_RUNS = 0.01
EXTRA_RUNS = 0.02


@dataclass(frozen=True)
class Workload:
    """One workload of the sample. CPU in cores, memory in bytes, I/O in bytes per second, times in seconds.

    ``kind``: ``job`` (a run every ``period`` at ``offset``; ``weekdays`` leaves Saturday and Sunday out), ``service``
    (a daily rhythm with its peak at ``offset`` after midnight, ``weekend`` the share left on Saturday and Sunday),
    ``steady`` (a level with noise) or ``interactive`` (sessions at exponential gaps of mean ``period``).
    """

    name: str
    kind: str
    cpu: tuple[float, float]
    memory: tuple[int, int]
    io: tuple[float, float] = (0.0, 0.0)
    period: float = 0.0
    offset: float = 0.0
    jitter: float = 0.0
    runtime: float = 0.0
    weekdays: bool = False
    weekend: float = 1.0

    def describe(self) -> dict[str, Any]:
        """What is true of it, to compare with what is learned: period and jitter in seconds, None without a period."""
        periodic = self.kind == "job"
        return {
            "name": self.name,
            "kind": self.kind,
            "period": self.period if periodic else None,
            "jitter": self.jitter if periodic else None,
            "weekdays": self.weekdays,
        }


@dataclass(frozen=True)
class Grid:
    """``slots`` samples at ``start``, ``start + step``, ...; start in UTC seconds, step in seconds."""

    start: float
    step: float
    slots: int

    @property
    def end(self) -> float:
        """One step after the last sample."""
        return self.start + self.slots * self.step

    @property
    def times(self) -> list[float]:
        """The UTC seconds of the samples."""
        return [self.start + index * self.step for index in range(self.slots)]


@dataclass(frozen=True)
class History:
    """The sample of one workload: ``requests`` UTC seconds (m,); ``cpu`` cores, ``memory`` bytes, ``io_read`` and
    ``io_write`` bytes per second, each (slots,), NaN where the sample is lost."""

    workload: Workload
    requests: Floats
    usage: dict[str, Floats]


BUILT_IN = (
    Workload("nightly_report", "job", (0.004, 0.56), (32 * MIB, 150 * MIB), (9e6, 2e6), DAY, 7800, 45, 1320),
    Workload("sync_orders", "job", (0.01, 0.3), (36 * MIB, 64 * MIB), (4e5, 6e5), 900, 120, 6, 75),
    Workload("web_shop", "service", (0.05, 0.42), (72 * MIB, 144 * MIB), (3e5, 1.5e5), offset=50400, weekend=0.6),
    Workload("hourly_batch", "job", (0.006, 0.45), (48 * MIB, 128 * MIB), (2e6, 3e6), 3600, 1200, 90, 420),
    Workload("weekday_digest", "job", (0.004, 0.5), (32 * MIB, 112 * MIB), (3e6, 4e5), DAY, 32400, 40, 900, True),
    Workload("backup_stream", "service", (0.03, 0.38), (40 * MIB, 96 * MIB), (8e6, 1e5), offset=7200),
    Workload("dev_box", "interactive", (0.01, 0.5), (40 * MIB, 160 * MIB), (5e5, 8e5), 32400, runtime=3000),
    Workload("metrics_relay", "steady", (0.05, 0.09), (52 * MIB, 60 * MIB), (2e4, 9e4)),
)


def workloads(count: int, seed: int) -> list[Workload]:
    """The first ``count`` workloads: the built-in ones, then variants of them at other times and sizes.

    Raises InputError when there is none or the seed is negative.
    """
    if count < 1:
        raise InputError(f"{count} workloads are too few", item="workloads", hint="ask for at least 1")
    if seed < 0:
        raise InputError(f"{seed} is negative", item="seed", hint="give 0 or more")
    chosen = list(BUILT_IN[:count])
    for index in range(len(BUILT_IN), count):
        base = BUILT_IN[index % len(BUILT_IN)]
        name = f"{base.name}_{index // len(BUILT_IN) + 1}"
        rng = _generator(name, seed)
        size = rng.uniform(0.5, 1.0)
        cycle = base.period if base.kind == "job" else float(DAY)
        chosen.append(
            replace(
                base,
                name=name,
                cpu=(round(base.cpu[0] * size, 4), round(base.cpu[1] * size, 4)),
                memory=(max(32 * MIB, int(base.memory[0] * size)), max(48 * MIB, int(base.memory[1] * size))),
                offset=float(math.floor((base.offset + rng.uniform(0, cycle)) % cycle / 60) * 60),
            )
        )
    return chosen


def span(days: int, step: str, end: str) -> Grid:
    """The grid of ``days`` that end at ``end``, cut down to a whole step. Raises InputError."""
    seconds = parse_duration(step)
    if not 60 <= seconds <= 3600 or DAY % seconds:
        raise InputError(f"{step!r} does not divide a day into steps of 1m to 1h", item="step", hint="write 5m")
    if not 1 <= days <= 366:
        raise InputError(f"{days} days of history", item="days", hint="ask for 1 to 366")
    last = math.floor(parse_time(end).timestamp() / seconds) * seconds
    if last < days * DAY:
        raise InputError(
            f"the history would start before 1970 with the end {end!r}", item="end", hint="give a later end"
        )
    return Grid(last - days * DAY, seconds, round(days * DAY / seconds))


def generate(chosen: list[Workload], grid: Grid, seed: int) -> list[History]:
    """The histories of ``chosen`` on ``grid``. Raises InputError when that is too much for one file."""
    rows = grid.slots * len(chosen)
    if rows > MAX_ROWS:
        hint = "ask for fewer days or workloads, or a longer step"
        raise InputError(f"{rows} rows of usage are more than {MAX_ROWS}", hint=hint)
    return [_history(workload, grid, seed) for workload in chosen]


def _generator(name: str, seed: int) -> Generator:
    # One stream per name: adding a workload leaves the others as they were.
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def _history(workload: Workload, grid: Grid, seed: int) -> History:
    rng = _generator(workload.name, seed)
    requests, load = {
        "job": _job,
        "interactive": _sessions,
        "service": _service,
        "steady": _steady,
    }[workload.kind](workload, grid, rng)
    usage = _usage(workload, load, rng)
    for values in usage.values():
        values[rng.random(grid.slots) < LOST_SAMPLES] = np.nan
    return History(workload, requests, usage)


def _job(workload: Workload, grid: Grid, rng: Generator) -> tuple[Floats, Floats]:
    first = math.ceil((grid.start - workload.offset) / workload.period)
    last = math.ceil((grid.end - workload.offset) / workload.period)
    due = np.arange(first, last) * workload.period + workload.offset
    if workload.weekdays:
        due = due[(due // DAY + 3) % 7 < 5]  # 1970-01-01 was a Thursday, day 3 of a week that starts on Monday
    due = due[rng.random(len(due)) >= MISSED_RUNS]
    extra = rng.uniform(grid.start, grid.end, rng.poisson(EXTRA_RUNS * len(due)))
    times = np.sort(np.concatenate([due + np.abs(rng.normal(0, workload.jitter, len(due))), extra]))
    times = times[(times >= grid.start) & (times < grid.end)]
    lengths = workload.runtime * rng.normal(1, 0.08, len(times)).clip(0.6, 1.5)
    return times, _coverage(times, lengths, rng.normal(1, 0.06, len(times)), grid)


def _sessions(workload: Workload, grid: Grid, rng: Generator) -> tuple[Floats, Floats]:
    count = int(2 * (grid.end - grid.start) / workload.period) + 10
    times = grid.start + np.cumsum(rng.exponential(workload.period, count))
    times = times[times < grid.end]
    lengths = workload.runtime * rng.lognormal(0, 0.7, len(times))
    load = _coverage(times, lengths, rng.uniform(0.5, 1, len(times)), grid)
    return times, load * rng.beta(2, 2.5, grid.slots) * 1.6


def _coverage(times: Floats, lengths: Floats, heights: Floats, grid: Grid) -> Floats:
    """The mean height per slot of runs at ``times``; a run ends at the latest when the next one starts."""
    if not len(times):
        return np.zeros(grid.slots)
    ends = np.minimum(times + lengths, np.append(times[1:], np.inf))
    done = np.cumsum((ends - times) * heights)
    edges = grid.start + grid.step * np.arange(grid.slots + 1)
    # The integral over time is piecewise linear: it rises in a run and rests between two.
    at = np.column_stack([times, ends]).ravel()
    value = np.column_stack([done - (ends - times) * heights, done]).ravel()
    integral: Floats = np.interp(edges, at, value)
    return np.diff(integral) / grid.step


def _service(workload: Workload, grid: Grid, rng: Generator) -> tuple[Floats, Floats]:
    middle = grid.start + grid.step * (np.arange(grid.slots) + 0.5)
    angle = 2 * np.pi * (middle - workload.offset) / DAY
    # A broad hump by day with a shoulder after it, in 0..1; the night keeps a tenth of it.
    shape = np.exp(1.5 * (np.cos(angle) - 1)) + 0.35 * np.exp(6 * (np.cos(angle - 1.5) - 1))
    weekend = (middle // DAY + 3) % 7 >= 5
    level = shape / 1.1 * np.where(weekend, workload.weekend, 1.0)
    return _deployments(grid, rng), level * (1 + 0.1 * _noise(grid, 3600, rng))


def _steady(_workload: Workload, grid: Grid, rng: Generator) -> tuple[Floats, Floats]:
    return _deployments(grid, rng), 0.5 + 0.12 * _noise(grid, 1800, rng)


def _deployments(grid: Grid, rng: Generator) -> Floats:
    """A service is asked for at its first start and at each deployment, every few days at no particular time."""
    later = grid.start + np.cumsum(rng.exponential(3.5 * DAY, int((grid.end - grid.start) / DAY) + 4))
    times: Floats = np.concatenate([[grid.start + rng.uniform(0, 600)], later[later < grid.end]])
    return times


def _noise(grid: Grid, memory: float, rng: Generator) -> Floats:
    """Gaussian noise of variance 1 that forgets within ``memory`` seconds: an AR(1) process."""
    keep = math.exp(-grid.step / memory)
    shocks = rng.normal(0, math.sqrt(1 - keep * keep), grid.slots)
    out = np.empty(grid.slots)
    value = rng.normal()
    for index in range(grid.slots):
        value = keep * value + shocks[index]
        out[index] = value
    return out


def _usage(workload: Workload, load: Floats, rng: Generator) -> dict[str, Floats]:
    load = load.clip(0, 1)
    slots = len(load)
    idle, busy = workload.cpu
    cpu = idle + (busy - idle) * load
    least, most = workload.memory
    # Memory follows the load with a floor while anything runs: the heap stays.
    held = np.where(load > 0.02, 0.45 + 0.55 * np.sqrt(load), 0.0) if workload.kind != "steady" else load
    memory = least + (most - least) * held
    read, write = workload.io
    return {
        "cpu": (cpu * rng.lognormal(0, 0.05, slots)).clip(0, busy * 1.1).round(4),
        "memory": (memory * rng.normal(1, 0.01, slots)).clip(least * 0.9, most).round(-3),
        "io_read": (read * load * rng.lognormal(0, 0.2, slots)).round(),
        "io_write": (write * load * rng.lognormal(0, 0.2, slots)).round(),
    }
