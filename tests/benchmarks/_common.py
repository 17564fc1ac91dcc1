# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmarks share: arguments, reading traces, bars, the report for people and as JSON."""

from __future__ import annotations

import argparse
import base64
import csv
import gzip
import html
import importlib
import io
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent


def arguments(text: str) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(description=text)
    folder = os.environ.get("TENANCY_TEST_DATA") or str(ROOT.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, default=Path(folder), help="a folder of workload traces")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    parser.add_argument("--quick", action="store_true", help="fewer series, no slow peers")
    parser.add_argument("--plots", type=Path, help="write a self-contained page with tables and plots there")
    return parser


@dataclass
class Report:
    """Figures of ours and of the peers, and the bars, printed for people and as JSON."""

    benchmark: str
    data: str
    figures: dict[str, float] = field(default_factory=dict)
    peers: dict[str, dict[str, float]] = field(default_factory=dict)
    bars: list[dict[str, Any]] = field(default_factory=list)
    tables: list[tuple[str, dict[str, dict[str, float]]]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def loses(self, where: str, ours: float, peer: str, theirs: float, *, most: bool) -> None:
        """Record where a peer did better: ``most`` when more is better."""
        if (theirs > ours) if most else (theirs < ours):
            self.lost.append(f"{where}: {ours:.4g}, and {peer} {theirs:.4g}")

    def require(self, name: str, value: float, bound: float, *, least: bool = True) -> None:
        """Record whether a value holds its bar: at least that, or at most."""
        holds = bool(value >= bound if least else value <= bound)
        self.bars.append({"name": name, "value": round(float(value), 4), "bar": bound, "holds": holds})

    def table(self, title: str, rows: dict[str, dict[str, float]]) -> None:
        """Print rows of figures, one per competitor."""
        self.tables.append((title, rows))
        columns = list(dict.fromkeys(name for row in rows.values() for name in row))
        print(f"\n{title}")
        width = max([16, *(len(name) + 2 for name in columns)])
        print(f"  {'':24}" + "".join(f"{name:>{width}}" for name in columns))
        for name, row in rows.items():
            cells = (f"{row[column]:{width}.4g}" if column in row else " " * width for column in columns)
            print(f"  {name:24}" + "".join(cells))

    def end(self, as_json: bool) -> int:
        """Print the bars (and the JSON object); the exit status."""
        if self.lost:
            print("\nwhere a peer does better")
            print("\n".join(f"  {line}" for line in self.lost))
        print("\nbars")
        for one in self.bars:
            print(f"  {'holds' if one['holds'] else 'FAILS':6} {one['name']}: {one['value']:.4g} (bar {one['bar']})")
        if as_json:
            machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()}
            machine["load"] = round(os.getloadavg()[0], 2)
            shown = {name: round(float(value), 5) for name, value in self.figures.items()}
            peers = {name: {k: round(float(v), 5) for k, v in row.items()} for name, row in self.peers.items()}
            result = {"benchmark": self.benchmark, "data": self.data, "machine": machine, "figures": shown}
            print(json.dumps({**result, "peers": peers, "bars": self.bars}), flush=True)
        return 0 if all(one["holds"] for one in self.bars) else 1


def page(report: Report, path: Path, plots: dict[str, Any]) -> None:
    """Write the report as one HTML page without anything from outside; ``plots`` are matplotlib figures by caption."""
    parts = [f"<h1>{html.escape(report.benchmark)}</h1><p>Data: {html.escape(report.data)}</p><h2>Bars</h2><table>"]
    for one in report.bars:
        cells = ("holds" if one["holds"] else "FAILS", one["name"], f"{one['value']:.4g}", f"{one['bar']:g}")
        parts.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    parts.append("</table>")
    if report.lost:
        parts.append("<h2>Where a peer does better</h2><ul>")
        parts += [f"<li>{html.escape(line)}</li>" for line in report.lost]
        parts.append("</ul>")
    for caption, figure in plots.items():
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=110, bbox_inches="tight")
        data = base64.b64encode(picture.getvalue()).decode("ascii")
        parts.append(
            f'<h2>{html.escape(caption)}</h2><img alt="{html.escape(caption)}" src="data:image/png;base64,{data}">'
        )
    for title, rows_of in report.tables:
        columns = list(dict.fromkeys(name for row in rows_of.values() for name in row))
        parts.append(f"<h2>{html.escape(title)}</h2><table><tr><th></th>")
        parts += [f"<th>{html.escape(column)}</th>" for column in columns]
        for name, row in rows_of.items():
            parts.append(f"</tr><tr><th>{html.escape(name)}</th>")
            parts += [f"<td>{row[column]:.4g}</td>" if column in row else "<td></td>" for column in columns]
        parts.append("</tr></table>")
    style = "body{font:15px/1.5 system-ui;max-width:1100px;margin:2em auto}td,th{padding:2px 12px;text-align:right}"
    style += "img{max-width:100%}"
    head = f'<!doctype html><meta charset="utf-8"><title>{html.escape(report.benchmark)}</title><style>{style}</style>'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(head + "".join(parts), encoding="utf-8")


def figure(columns: int, height: float = 3.6) -> tuple[Any, Any]:
    """A matplotlib figure with that many charts side by side. Only who asks for plots needs matplotlib."""
    use = importlib.import_module("matplotlib")
    use.use("Agg")
    return importlib.import_module("matplotlib.pyplot").subplots(1, columns, figsize=(11, height), squeeze=False)


def bars_of(axis: Any, title: str, values: dict[str, float]) -> None:
    """A bar for each competitor, ours in another colour."""
    names = list(values)
    axis.barh(names[::-1], [values[name] for name in names[::-1]], color=["#9aa7b4"] * (len(names) - 1) + ["#1f5fbf"])
    axis.set_title(title, fontsize=10)
    axis.tick_params(labelsize=8)


@dataclass
class Timed:
    """Seconds and CPU seconds of a piece of work."""

    wall: float = 0.0
    cpu: float = 0.0


def timed(work: Callable[[], Any], repeat: int = 1) -> tuple[Any, Timed]:
    """The result and the shortest of ``repeat`` times."""
    best, result = Timed(float("inf"), float("inf")), None
    for _turn in range(repeat):
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        best.wall = min(best.wall, time.perf_counter() - wall)
        best.cpu = min(best.cpu, time.process_time() - cpu)
    return result, best


def rows(path: Path) -> list[dict[str, str]]:
    """A CSV file as dicts; none where there is no such file."""
    if not path.is_file():
        return []
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def _table(path: Path) -> Iterator[tuple[str, np.ndarray, list[str]]]:
    with gzip.open(path, "rt") as handle:
        reader = csv.reader(handle)
        columns = next(reader, [])[2:]
        found: dict[str, list[list[str]]] = {}
        for series, stamp, *values in reader:
            found.setdefault(series, []).append([stamp, *(value or "nan" for value in values)])
    for series, lines in found.items():
        yield series, np.array(lines, dtype=float), columns


def load(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """Every series of one set: {series: {"t": seconds, column: values}}; empty where the set is absent."""
    found: dict[str, dict[str, np.ndarray]] = {}
    packed = sorted(folder.glob("*.npz"))
    for path in packed:
        with np.load(path) as arrays:
            prefix = f"{path.stem}/" if len(packed) > 1 else ""
            for index, series in enumerate(arrays["series_id"]):
                cpu = arrays["cpu"][index].astype(float)
                cpu[cpu == 255] = np.nan
                stamps = int(arrays["t0"]) + int(arrays["step"]) * np.arange(len(cpu))
                found[prefix + str(series)] = {"t": stamps.astype(float), "cpu": cpu}
    plain = folder / "series.csv.gz"
    if not packed and plain.is_file():
        for series, lines, columns in _table(plain):
            table = lines[np.argsort(lines[:, 0], kind="stable")]
            found[series] = {"t": table[:, 0], **{name: table[:, 1 + i] for i, name in enumerate(columns)}}
    return found


def on_grid(stamps: np.ndarray, values: np.ndarray, step: float) -> np.ndarray:
    """Means on a regular grid of ``step`` seconds; NaN where nothing was measured."""
    place = ((stamps - stamps[0]) // step).astype(int)
    known = np.isfinite(values)
    size = int(place.max()) + 1
    count = np.bincount(place[known], minlength=size)
    total = np.bincount(place[known], weights=values[known], minlength=size)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def step_of(stamps: np.ndarray) -> float:
    """The usual distance of samples in seconds."""
    return float(np.median(np.diff(stamps))) if len(stamps) > 1 else 300.0


def product(name: str) -> Any:
    """A part of the collection's module_utils, also where the benchmark is run without `make bench`."""
    built = ROOT / "build" / "python"
    if not any((Path(entry) / "ansible_collections").is_dir() for entry in sys.path):
        sys.path.insert(0, str(built))
    return importlib.import_module(f"ansible_collections.predictive.tenancy.plugins.module_utils.{name}")
