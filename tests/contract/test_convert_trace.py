# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The converter of real traces, on real traces."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
MIB = 1024**2
SETS = ("bitbrains_consolidation", "azure_functions_apps", "bitbrains_faststorage")


def convert(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tests" / "convert_trace.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def seconds(text: str) -> float:
    return float(np.datetime64(text.rstrip("Z"), "s").astype(float))


@pytest.fixture(scope="module")
def converted(traces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trace")
    sets = [word for name in SETS for word in ("--set", name)]
    done = convert("--data", str(traces), *sets, "--workloads", "12", "--days", "14", "--out", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 14
    return out


@pytest.fixture(scope="module")
def usage(converted: Path) -> dict[str, dict[str, np.ndarray]]:
    rows: dict[str, list[list[float]]] = {}
    for row in table(converted / "usage.csv"):
        moment = seconds(row["time"])
        values = [float(row[name] or "nan") for name in ("cpu", "memory", "io_read")]
        rows.setdefault(row["workload"], []).append([moment, *values])
    arrays = {name: np.array(values) for name, values in rows.items()}
    return {name: dict(zip(("t", "cpu", "memory", "io_read"), values.T)) for name, values in arrays.items()}


def test_the_sets_take_turns_and_periods_are_kept(converted: Path) -> None:
    origin = table(converted / "origin.csv")
    assert [row["set"] for row in origin] == list(SETS) * 4
    assert len({row["workload"] for row in origin}) == 12
    assert [bool(row["known_period_min"]) for row in origin] == [True] * 3 + [False] * 3 + [True] * 3 + [False] * 3


def test_usage_is_the_measured_one_scaled(converted: Path, traces: Path, usage) -> None:
    origin = {row["workload"]: row for row in table(converted / "origin.csv")}
    with np.load(traces / "bitbrains_consolidation" / "faststorage.npz") as packed:
        ids = [str(name) for name in packed["series_id"]]
        for row in origin.values():
            if row["set"] != "bitbrains_consolidation":
                continue
            index = ids.index(row["series"])
            percent = packed["cpu"][index][-14 * 288 :].astype(float)
            expected = percent / 100 * packed["cores"][index] * float(row["cpu_scale"])
            seen = usage[row["workload"]]["cpu"]
            np.testing.assert_allclose(seen[np.isfinite(seen)], expected[percent != 255], atol=1e-5)


def test_usage_fits_a_small_lab(usage) -> None:
    cpu = np.concatenate([one["cpu"] for one in usage.values()])
    peaks = [np.nanquantile(one["cpu"], 0.995) for one in usage.values() if np.isfinite(one["cpu"]).any()]
    assert max(peaks) == pytest.approx(0.6, rel=0.01)
    assert np.nanmin(cpu) >= 0
    assert len(peaks) == 8
    memory = np.concatenate([one["memory"] for one in usage.values()])
    assert np.nanmin(memory) >= 32 * MIB
    assert max(np.nanquantile(one["memory"], 0.99) for one in usage.values()) <= 161 * MIB
    assert any(np.nanmax(one["io_read"], initial=0) > 0 for one in usage.values())


def test_all_end_within_the_same_hour_on_one_step(usage) -> None:
    ends = [one["t"][-1] for one in usage.values()]
    assert max(ends) - min(ends) < 3600
    for one in usage.values():
        assert set(np.unique(one["t"] % 300)) == {0.0}
        assert (np.diff(one["t"]) > 0).all()


def test_requests_are_the_bursts_that_the_set_publishes(traces: Path, tmp_path: Path) -> None:
    words = ("--data", str(traces), "--set", "bitbrains_consolidation", "--workloads", "200", "--days", "31")
    done = convert(*words, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    published = {
        row["series_id"]: int(row["n_bursts"]) for row in table(traces / "bitbrains_consolidation" / "BURSTS.csv")
    }
    ratios = [int(row["requests"]) / published[row["series"]] for row in table(tmp_path / "origin.csv")]
    assert len(ratios) == len(published)
    assert 0.9 <= np.median(ratios) <= 1.05
    daily = [row for row in table(tmp_path / "origin.csv") if row["known_period_min"] == "1440"]
    times: dict[str, list[float]] = {}
    for row in table(tmp_path / "requests.csv"):
        times.setdefault(row["workload"], []).append(seconds(row["time"]))
    concentrated = []
    for row in daily:
        hours = np.histogram(np.array(times[row["workload"]]) % 86400 // 3600, bins=24, range=(0, 24))[0]
        concentrated.append((hours + np.roll(hours, 1)).max() / hours.sum())
    # two hours are 8 % of a day
    assert np.quantile(concentrated, 0.25) >= 0.2
    assert np.median(concentrated) >= 0.35


def test_apps_are_asked_for_when_their_containers_rise(converted: Path, usage) -> None:
    requests = table(converted / "requests.csv")
    app = next(row for row in table(converted / "origin.csv") if row["known_period_min"] == "5")
    times = [seconds(row["time"]) for row in requests if row["workload"] == app["workload"]]
    assert len(times) == int(app["requests"]) > 250
    assert np.median(np.diff(times)) == 300
    assert np.isnan(usage[app["workload"]]["cpu"]).all()


def test_a_fixed_scale_and_days_are_obeyed(traces: Path, tmp_path: Path) -> None:
    words = (
        "--data",
        str(traces),
        "--set",
        "smd",
        "--workloads",
        "2",
        "--days",
        "2",
        "--step",
        "10m",
        "--scale",
        "0.5",
    )
    assert convert(*words, "--memory-scale", "0.1", "--out", str(tmp_path)).returncode == 0
    rows = table(tmp_path / "usage.csv")
    assert len(rows) in range(2 * 287, 2 * 290)
    cpu = [float(row["cpu"]) for row in rows if row["cpu"]]
    assert 0.3 < max(cpu) <= 0.5
    assert {row["cpu_scale"] for row in table(tmp_path / "origin.csv")} == {"0.5"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--set", "nope"), "nope: neither series.csv.gz nor *.npz is here"),
        (("--set", "web_requests"), "web_requests: nothing here is the usage of workloads"),
        (("--set", "smd", "--workloads", "0"), "--workloads and --days must be 1 or more"),
        (("--set", "smd", "--step", "5x"), "unknown unit"),
        (("--set", "smd", "--scale", "big"), "'big' is not a factor"),
    ],
)
def test_bad_input_is_one_message(traces: Path, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    done = convert("--data", str(traces), *words, "--out", str(tmp_path))
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
