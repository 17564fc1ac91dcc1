# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn sets of real workload traces into the requests.csv and usage.csv that workload_observe reads.

    python tests/convert_trace.py --data DIR --set bitbrains_consolidation --set azure_functions_apps
        --workloads 12 --days 14 --out OUT

DIR holds one folder per set: series.csv.gz (series_id, timestamp, then cpu, memory, io or value) or *.npz (cpu in
uint8 percent), META.csv, and optionally LABELS.csv and BURSTS.csv. What is converted, and how:

* cpu: percent of the VM x its cores (META, else 1); sets whose values stay below 5 count cores already; sets in units
  of their own (whole pools) count their peak as one core. Times --scale, one factor for all workloads, so that their
  proportions stay; `auto` makes the greatest 99.5 % quantile 0.6 cores, which fits a small lab.
* memory: percent of the VM x its size (META, else 1 GiB), or a fraction of it; times --memory-scale; `auto` makes the
  greatest quantile 128 MiB. 32 MiB are added for the sandbox, which no VM of the trace had.
* io: KB/s become io_read in bytes per second; the traces do not say which part was written.
* Usage is brought to --step: the mean of cpu and io, the greatest memory.
* requests of on/off tenants (a set with BURSTS.csv): the starts of their bursts, where the cpu rises above the level
  that the published on-share implies and was not above it in the two samples before. Apps (values that count containers
  in use): the minutes in which that count rises. Other VMs: one request, at their first sample.
* Each series is moved by whole hours so that all end within the same hour; nothing is repeated or made up. origin.csv
  says which series became which workload, with the factors, the shift and the period that the set publishes.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import importlib
import io
import itertools
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
DAY = 86400
HOUR = 3600
MIB = 1024**2
SANDBOX = 32 * MIB
AUTO_CORES = 0.6
AUTO_MEMORY = 128 * MIB


def collection(name: str) -> ModuleType:
    """A utility of the collection, from build/python, where the tooling shows this tree under its import name."""
    checkout = str(ROOT / "build" / "python")
    if checkout not in sys.path:
        sys.path.insert(0, checkout)
    return importlib.import_module(f"ansible_collections.predictive.tenancy.plugins.module_utils.{name}")


errors = collection("_core.errors")
units = collection("_core.units")
files = collection("_flow.files")
history_files = collection("_flow.history_files")


@dataclass
class Series:
    """One series of a set: ``t`` UTC seconds (n,), ``columns`` (n,) each with NaN where missing; ``meta``, ``labels``
    and ``bursts`` are its rows of META.csv, LABELS.csv (cpu or value) and BURSTS.csv."""

    set_name: str
    name: str
    t: np.ndarray
    columns: dict[str, np.ndarray]
    meta: dict[str, str]
    labels: dict[str, str]
    bursts: dict[str, str]

    @property
    def period(self) -> float | None:
        """The period in minutes that the set publishes, None without one."""
        text = self.bursts.get("known_period_min") or self.labels.get("known_period_min")
        return float(text) if text else None


@dataclass
class Workload:
    """A converted series: request times (m,) in UTC seconds, usage (n,) in base units."""

    name: str
    source: Series
    requests: np.ndarray
    t: np.ndarray
    usage: dict[str, np.ndarray]
    shift: int = 0


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, none if it is not there."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def read_set(folder: Path) -> list[Series]:
    """Every series of one set. Raises InputError when the folder is not in the format above."""
    meta = {row.get("series_id", ""): row for row in rows(folder / "META.csv")}
    labels = {row["series_id"]: row for row in rows(folder / "LABELS.csv") if row.get("metric") in ("cpu", "value")}
    bursts = {row["series_id"]: row for row in rows(folder / "BURSTS.csv")}
    packed = sorted(folder.glob("*.npz"))
    plain = folder / "series.csv.gz"
    if not packed and not plain.exists():
        raise errors.InputError(
            "neither series.csv.gz nor *.npz is here", item=str(folder), hint="name a set of --data"
        )
    found = itertools.chain.from_iterable(map(_packed, packed)) if packed else _plain(plain)
    return [
        Series(folder.name, name, t, columns, {**meta.get(name, {}), **own}, labels.get(name, {}), bursts.get(name, {}))
        for name, t, columns, own in found
    ]


def _plain(path: Path):
    with gzip.open(path, "rt", encoding="utf-8", newline="") as handle:
        reader = csv.reader(handle)
        columns = (next(reader, None) or [])[2:]
        table: dict[str, list[list[str]]] = {}
        for name, *values in reader:
            table.setdefault(name, []).append([value or "nan" for value in values])
    for name, values in table.items():
        array = np.array(values, dtype=float)
        yield name, array[:, 0], {column: array[:, 1 + index] for index, column in enumerate(columns)}, {}


def _packed(path: Path):
    with np.load(path) as packed:
        arrays = {key: packed[key] for key in packed.files}
    step, slots = float(arrays["step"]), arrays["cpu"].shape[1]
    t = float(arrays["t0"]) + step * np.arange(slots)
    for index, name in enumerate(arrays["series_id"]):
        columns = {"cpu": _percent(arrays["cpu"][index])}
        if "memory_hourly_max" in arrays:
            columns["memory"] = np.repeat(_percent(arrays["memory_hourly_max"][index]), round(3600 / step))[:slots]
        own = {key: str(arrays[key][index]) for key in ("cores", "mem_mb") if key in arrays}
        yield str(name), t, columns, own


def _percent(values: np.ndarray) -> np.ndarray:
    return np.where(values == 255, np.nan, values.astype(float))


def top(values: np.ndarray) -> float:
    """The 99.5 % quantile of what was measured, 0 if nothing was."""
    return float(np.nanquantile(values, 0.995)) if np.isfinite(values).any() else 0.0


def candidates(series: list[Series]) -> list[Series]:
    """The series that can become workloads, those with a published period and the others taking turns."""
    name = series[0].set_name
    if all(not one.columns.keys() & {"cpu", "value"} for one in series) or (
        "value" in series[0].columns and "cpu" not in series[0].columns and not counts_containers(series[0])
    ):
        hint = "a set needs cpu, or values that META.csv says are containers in use"
        raise errors.InputError("nothing here is the usage of workloads", item=name, hint=hint)
    tenants = [one for one in series if one.bursts] or series
    main = "cpu" if "cpu" in series[0].columns else "value"
    alive = [one for one in tenants if top(one.columns[main]) > 0]
    known = [one for one in alive if one.period]
    other = [one for one in alive if not one.period]
    turns = itertools.chain.from_iterable(itertools.zip_longest(known, other))
    return [one for one in turns if one is not None]


def counts_containers(series: Series) -> bool:
    """Whether the value column counts the containers of an app."""
    return "containers in use" in series.meta.get("units", "")


def choose(sets: list[list[Series]], count: int) -> list[Series]:
    """``count`` series, the sets taking turns."""
    turns = itertools.chain.from_iterable(itertools.zip_longest(*sets))
    return [one for one in turns if one is not None][:count]


def burst_starts(t: np.ndarray, cpu: np.ndarray, on_share: float) -> np.ndarray:
    """When an on/off tenant was switched on: above its level now, not in the two samples before."""
    known = np.isfinite(cpu)
    on = known & (cpu > np.quantile(cpu[known], 1 - on_share))
    before = np.concatenate([[False, False], on[:-2]]) | np.concatenate([[False], on[:-1]])
    return t[on & ~before]


def cores(series: Series, ceiling: float) -> np.ndarray:
    """The cpu column in cores; ``ceiling`` is the greatest value of the set and tells its unit."""
    cpu = series.columns["cpu"]
    if ceiling <= 5:
        return cpu
    if ceiling <= 200:
        return cpu / 100 * float(series.meta.get("cores") or 1)
    return cpu / max(top(cpu), 1e-9)


def memory(series: Series, ceiling: float) -> np.ndarray:
    """The memory column in bytes; ``ceiling`` is the greatest value of the set and tells its unit."""
    held = series.columns["memory"]
    size = float(series.meta.get("mem_mb") or 1024) * MIB
    if ceiling <= 5:
        return held * size
    if ceiling <= 200:
        return held / 100 * size
    return held / max(top(held), 1e-9) * size


def requests_of(series: Series) -> np.ndarray:
    """When the workload of a series was asked for, UTC seconds."""
    if series.bursts:
        return burst_starts(series.t, series.columns["cpu"], float(series.bursts["on_share"]))
    if "cpu" in series.columns:
        return series.t[:1]
    count = np.nan_to_num(series.columns["value"])
    return series.t[np.diff(count, prepend=count[0]) > 0]


def usage_of(series: Series, ceilings: dict[str, float]) -> dict[str, np.ndarray]:
    """Usage in base units; ``ceilings`` are the greatest values of the set per column."""
    if "cpu" not in series.columns:
        containers = series.columns["value"]
        return {"memory": containers * float(series.meta.get("avg_mem_mb") or 128) * MIB}
    usage = {"cpu": cores(series, ceilings["cpu"])}
    if "memory" in series.columns:
        usage["memory"] = memory(series, ceilings["memory"])
    if "io" in series.columns:
        usage["io_read"] = series.columns["io"] * 1000
    return usage


def convert(series: Series, ceilings: dict[str, float], days: int) -> Workload:
    """The requests and the usage of the last ``days`` of one series, in base units."""
    start = series.t[-1] - days * DAY
    kept = series.t > start
    requests = requests_of(series)
    if "cpu" not in series.columns or series.bursts:
        requests = requests[requests > start]
    else:
        requests = np.maximum(requests, series.t[kept][0])
    usage = {name: values[kept] for name, values in usage_of(series, ceilings).items()}
    return Workload("", series, requests, series.t[kept], usage)


def resample(workload: Workload, step: float) -> None:
    """Bring usage to ``step``: the mean of what was measured in a slot, for memory the greatest."""
    slot = np.floor(workload.t / step).astype(np.int64)
    slots, place = np.unique(slot, return_inverse=True)
    for name, values in workload.usage.items():
        known = np.isfinite(values)
        count = np.bincount(place[known], minlength=len(slots))
        if name == "memory":
            out = np.full(len(slots), -np.inf)
            np.maximum.at(out, place[known], values[known])
        else:
            out = np.bincount(place[known], values[known], minlength=len(slots)) / np.maximum(count, 1)
        workload.usage[name] = np.where(count > 0, out, np.nan)
    workload.t = slots * step


def align(workloads: list[Workload]) -> None:
    """Move every workload by whole hours, so that all end within the same hour."""
    end = max(float(workload.t[-1]) for workload in workloads)
    for workload in workloads:
        workload.shift = int((end - float(workload.t[-1])) // HOUR)
        workload.t = workload.t + workload.shift * HOUR
        workload.requests = workload.requests + workload.shift * HOUR


def rename(workloads: list[Workload]) -> None:
    """Names that workloads may have, each once."""
    taken: set[str] = set()
    for workload in workloads:
        base = re.sub(r"[^a-z0-9]+", "_", workload.source.name.lower()).strip("_")[:40] or "workload"
        base = base if base[0].isalpha() else f"app_{base}"
        names = itertools.chain([base], (f"{base}_{index}" for index in itertools.count(2)))
        workload.name = next(name for name in names if name not in taken)
        taken.add(workload.name)


def factor(text: str, workloads: list[Workload], metric: str, target: float) -> float:
    """The factor that --scale says, for ``auto`` the one that brings the greatest workload to ``target``."""
    if text != "auto":
        try:
            return float(text)
        except ValueError:
            raise errors.InputError(f"{text!r} is not a factor", hint="give a number or auto") from None
    greatest = max((top(workload.usage[metric]) for workload in workloads if metric in workload.usage), default=0.0)
    return target / greatest if greatest > 0 else 1.0


def scale(workloads: list[Workload], cpu: float, memory_factor: float) -> None:
    """Apply the factors and add what a sandbox holds; values rounded to what the source resolves."""
    for workload in workloads:
        usage = workload.usage
        if "cpu" in usage:
            usage["cpu"] = (usage["cpu"] * cpu).round(5)
        if "memory" in usage:
            usage["memory"] = (usage["memory"] * memory_factor + SANDBOX).round()
        if "io_read" in usage:
            usage["io_read"] = usage["io_read"].round()


def origin_csv(workloads: list[Workload], cpu: float, memory_factor: float) -> bytes:
    """Which series became which workload, and how."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["workload", "set", "series", "known_period_min", "requests", "shift_hours", "cpu_scale", "memory_scale"]
    )
    for workload in workloads:
        source = workload.source
        period = "" if source.period is None else f"{source.period:g}"
        row = [workload.name, source.set_name, source.name, period, len(workload.requests), workload.shift]
        writer.writerow([*row, f"{cpu:.6g}", f"{memory_factor:.6g}"])
    return out.getvalue().encode()


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with one folder per set")
    parser.add_argument("--set", dest="sets", action="append", required=True, help="a set; give it several times")
    parser.add_argument("--workloads", type=int, default=12, help="how many workloads, the sets taking turns")
    parser.add_argument("--days", type=int, default=14, help="the last days of each series")
    parser.add_argument("--step", default="5m", help="the step of usage.csv")
    parser.add_argument("--scale", default="auto", help="factor on cores, or auto")
    parser.add_argument("--memory-scale", default="auto", help="factor on memory, or auto")
    parser.add_argument("--out", type=Path, required=True, help="the folder that gets the files")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> list[Workload]:
    """Convert and write; returns what was written. Raises TenancyError."""
    if options.workloads < 1 or options.days < 1:
        raise errors.InputError("--workloads and --days must be 1 or more")
    sets = [read_set(options.data / name) for name in options.sets]
    chosen = choose([candidates(series) for series in sets], options.workloads)
    ceilings = {
        series[0].set_name: {
            column: max(float(np.nanmax(one.columns[column], initial=0.0)) for one in series)
            for column in series[0].columns
        }
        for series in sets
    }
    workloads = [convert(series, ceilings[series.set_name], options.days) for series in chosen]
    for workload in workloads:
        resample(workload, units.parse_duration(options.step))
    align(workloads)
    rename(workloads)
    cpu = factor(options.scale, workloads, "cpu", AUTO_CORES)
    memory_factor = factor(options.memory_scale, workloads, "memory", AUTO_MEMORY)
    scale(workloads, cpu, memory_factor)
    requests = [(workload.name, float(seconds)) for workload in workloads for seconds in workload.requests]
    usage = [(workload.name, workload.t, workload.usage) for workload in workloads]
    metrics = ("cpu", "memory", "io_read")
    out = options.out.resolve()
    files.replace_file(str(out / "requests.csv"), history_files.requests_csv(requests)[0])
    files.replace_file(str(out / "usage.csv"), history_files.usage_csv(usage, metrics)[0])
    files.replace_file(str(out / "origin.csv"), origin_csv(workloads, cpu, memory_factor))
    return workloads


def describe(workload: Workload) -> str:
    """One line for the terminal."""
    source = workload.source
    peaks = [top(workload.usage[name]) if name in workload.usage else 0.0 for name in ("cpu", "memory")]
    peak = f"{peaks[0]:.3f}" if peaks[0] else "-"
    held = f"{peaks[1] / MIB:.0f}" if peaks[1] else "-"
    period = f"{source.period:g} min" if source.period else "-"
    days = (workload.t[-1] - workload.t[0]) / DAY
    calls = len(workload.requests)
    return f"{workload.name:24.24} {source.set_name:24.24} {calls:6d} {days:6.1f} {peak:>7} {held:>7}  {period}"


def main(arguments: list[str] | None = None) -> int:
    """Entry point; exits 1 with one message when the input cannot be used."""
    options = parse(arguments)
    try:
        workloads = run(options)
    except errors.TenancyError as error:
        print(f"convert_trace: {error}", file=sys.stderr)
        return 1
    print(f"{'workload':24} {'set':24} {'calls':>6} {'days':>6} {'cores':>7} {'MiB':>7}  published period")
    for workload in workloads:
        print(describe(workload))
    print(f"wrote requests.csv, usage.csv and origin.csv to {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
