# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store beside the plain driver doing the same writes, on SQLite and on a MongoDB wire server; sizes and memory.

The plain driver packs a day of a series with zlib and writes it, and checks nothing: neither values nor versions nor
what is there already. A second peer keeps every sample as a row or document of its own, which is what one would write
first. Writes are confirmed alike (the disk, or a majority with its journal). Samples are those of a real set of traces.
Turns of ours and the peer alternate, and the best of each counts, so that a busy machine slows both.
"""

from __future__ import annotations

import importlib
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import _common
import numpy as np
import pymongo
from bson.raw_bson import RawBSONDocument
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "contract" / "store"))
connect = _common.product("_store.connect")
interface = _common.product("_store.interface")
# Of the contract suite: a wire server, and processes that write at once.
servers, crowd = (importlib.import_module(name) for name in ("servers", "crowd"))

SET = "bitbrains_faststorage"
ALWAYS = (datetime(1970, 1, 1, tzinfo=timezone.utc), datetime(2200, 1, 1, tzinfo=timezone.utc))
MIDNIGHT = datetime(2026, 1, 1, tzinfo=timezone.utc).timestamp()
GIB = 1024**3
TURNS = 5
BATCH = 400  # buckets in one write, as the store does it
LISTING = """
import json, sys, time
sys.path[:0] = json.loads(sys.argv[3])
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
def peak():  # not ru_maxrss: that begins with what the parent had
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
start = time.perf_counter()
with open_store(sys.argv[1], read_only=True) as store:
    before = peak()
    count = sum(1 for _profile in store.find("profiles")) if sys.argv[2] == "find" else len(store.keys("profiles"))
    print(json.dumps({"count": count, "seconds": time.perf_counter() - start, "mebibytes": peak() - before}))
"""


def traces(data: Path) -> tuple[str, list[dict[str, np.ndarray]]]:
    """The series of the preferred set, else of the first one that has CPU in 5-minute steps."""
    for folder in [data / SET, *sorted(data.iterdir())]:
        found = [series for series in _common.load(folder).values() if "cpu" in series and len(series["t"]) > 1000]
        if found and _common.step_of(found[0]["t"]) == 300:
            return folder.name, found
    raise SystemExit(f"{data} has no set with CPU in 5-minute steps")


def history(found: list[dict[str, np.ndarray]], count: int, days: int) -> list[Any]:
    """Series as usage batches: cores of 4, bytes of 4 GiB, bytes/s; the set is repeated when it has too few."""
    batches = []
    for number in range(count):
        series = found[number % len(found)]
        chosen = series["t"] < series["t"][0] + days * 86400
        columns = {"cpu": np.round(series["cpu"][chosen] * 0.04, 6)}
        for metric, column, scale in (("memory", "memory", 4 * GIB / 100), ("io_read", "io", 1000.0)):
            if column in series:
                columns[metric] = np.round(series[column][chosen] * scale)
        arrays = {metric: array("d", column.tolist()) for metric, column in columns.items()}
        batches.append(interface.UsageBatch(f"w{number:05d}", "", array("d", series["t"][chosen].tolist()), arrays))
    return batches


def profile(number: int) -> dict[str, Any]:
    """A profile as learning leaves it."""
    pattern = {
        "step": 300.0,
        "horizon": 288,
        "quantiles": [0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99],
        "model": "seasonal",
    }
    pattern.update(
        period=86400.0, mase=0.71, pinball=0.02, coverage=0.95, last_error=0.1, days=30.0, level=0.2, peak=0.9
    )
    return {
        "key": f"p{number:06d}",
        "workload": f"registry.example.org/team{number % 100}/app{number}",
        "parameters": {"size": "large"},
        "priority": 50,
        "bounds": {metric: {"min": None, "max": 1.5} for metric in interface.METRICS},
        "timezone": "Europe/Berlin",
        "patterns": dict.fromkeys(("cpu", "memory"), pattern),
        "arrival": {"kind": "periodic", "period": 3600.0, "phase": 12.0, "jitter": 3.0, "fill": 0.98},
        "learned_at": datetime(2026, 3, 2, tzinfo=timezone.utc),
    }


def rate(count: int, work: Callable[[], Any]) -> float:
    """How many per second."""
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


def turns(ours: Callable[[list[Any]], Any], peer: Callable[[list[Any]], Any], items: list[Any]) -> tuple[float, float]:
    """The best rates of both over the same items, a part of them in each turn."""
    best = [0.0, 0.0]
    size = len(items) // TURNS
    for turn in range(TURNS):
        part = items[turn * size : (turn + 1) * size]
        for place, work in enumerate((ours, peer)):
            best[place] = max(best[place], rate(len(part), partial(work, part)))
    return best[0], best[1]


def packed(batches: list[Any]) -> list[bytes]:
    """The bytes of each day of each series, as one packs them without much thought."""
    blobs = []
    for batch in batches:
        begin = 0
        while begin < len(batch.times):
            end = bisect_left(batch.times, (batch.times[begin] // 86400 + 1) * 86400)
            columns = [column[begin:end].tobytes() for column in (batch.times, *batch.values.values())]
            blobs.append(zlib.compress(b"".join(columns), 1))
            begin = end
    return blobs


class PlainSQLite:
    """The standard library's driver, with the store's journal and durability."""

    def __init__(self, folder: Path) -> None:
        self.count = 0
        self.connection = sqlite3.connect(folder / "plain.db", isolation_level=None)
        for statement in ("journal_mode=WAL", "synchronous=EXTRA", "cache_size=-16384"):
            self.connection.execute(f"PRAGMA {statement}")
        self.connection.execute(
            "CREATE TABLE bucket (id INTEGER PRIMARY KEY, day INT, level INT, version INT, data BLOB)"
        )
        columns = "series TEXT, time REAL, cpu REAL, memory REAL, io REAL, PRIMARY KEY (series, time)"
        self.connection.execute(f"CREATE TABLE sample ({columns})")
        self.connection.execute("CREATE TABLE document (key TEXT PRIMARY KEY, version INT, body TEXT)")

    def many(self, statement: str, rows: list[tuple[Any, ...]], size: int) -> None:
        for begin in range(0, len(rows), size):
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.executemany(statement, rows[begin : begin + size])
            self.connection.execute("COMMIT")

    def buckets(self, blobs: list[bytes]) -> None:
        rows = [(self.count + number, number % 30, 1, 1, blob) for number, blob in enumerate(blobs)]
        self.count += len(rows)
        self.many("INSERT INTO bucket VALUES (?, ?, ?, ?, ?)", rows, BATCH)

    def samples(self, rows: list[tuple[Any, ...]]) -> None:
        self.many("INSERT OR IGNORE INTO sample VALUES (?, ?, ?, ?, ?)", rows, 100_000)

    def documents(self, documents: list[dict[str, Any]]) -> None:
        rows = [(document["key"], json.dumps(document, default=str)) for document in documents]
        self.many("INSERT INTO document VALUES (?, 1, ?)", rows, 1000)

    def read(self, keys: list[str]) -> None:
        for key in keys:
            row = self.connection.execute("SELECT key, version, body FROM document WHERE key = ?", (key,)).fetchone()
            json.loads(row[2])

    def claim(self, documents: list[dict[str, Any]]) -> None:
        for document in documents:
            self.connection.execute("BEGIN IMMEDIATE")
            statement = "UPDATE document SET version = version + 1, body = ? WHERE key = ? AND version = 1"
            self.connection.execute(statement, (json.dumps(document, default=str), document["key"]))
            self.connection.execute("COMMIT")

    def close(self) -> None:
        self.connection.close()


class PlainMongo:
    """pymongo with the store's confirmation."""

    def __init__(self, uri: str) -> None:
        self.count = 0
        self.client = pymongo.MongoClient(uri.replace("/bench?", "/plain?"))
        self.database = self.client.get_default_database().with_options(
            write_concern=WriteConcern(w="majority", j=True), read_concern=ReadConcern("majority")
        )
        self.database.bucket.create_index([("p", 1), ("d", 1), ("_id", 1)])
        self.database.bucket.create_index([("l", 1), ("d", 1)])
        for name in ("workload", "zone", "origin"):
            self.database.document.create_index([(name, 1), ("_id", 1)])

    def many(self, name: str, rows: list[dict[str, Any]], size: int) -> None:
        for begin in range(0, len(rows), size):
            self.database[name].insert_many(rows[begin : begin + size], ordered=False)

    def buckets(self, blobs: list[bytes]) -> None:
        rows = [
            {"_id": f"w/{number:07d}", "p": f"w{number // 30}", "t": "", "d": number % 30, "l": 1, "v": 1, "b": blob}
            for number, blob in enumerate(blobs, start=self.count)
        ]
        self.count += len(rows)
        self.many("bucket", rows, BATCH)

    def samples(self, rows: list[tuple[Any, ...]]) -> None:
        names = ("s", "t", "cpu", "memory", "io")
        self.many("sample", [dict(zip(names, row, strict=True)) for row in rows], 10_000)

    def documents(self, documents: list[dict[str, Any]]) -> None:
        self.many("document", [{"_id": document["key"], **document, "version": 1} for document in documents], 1000)

    def read(self, keys: list[str]) -> None:
        for key in keys:
            self.database.document.find_one({"_id": key})

    def claim(self, documents: list[dict[str, Any]]) -> None:
        for document in documents:
            fields = {name: item for name, item in document.items() if name not in ("key", "version")}
            change = {"$set": fields, "$inc": {"version": 1}}
            self.database.document.update_one({"_id": document["key"], "version": 1}, change)

    def close(self) -> None:
        self.client.close()


def measure(uri: str, plain: Any, batches: list[Any], work: dict[str, int]) -> dict[str, dict[str, float]]:
    """Rates of the store and of the plain driver on one database."""
    ours: dict[str, float] = {}
    peer: dict[str, float] = {}

    def put(figure: str, count: int, rates: tuple[float, float]) -> None:
        ours[figure], peer[figure] = (one * count for one in rates)

    samples = len(batches[0].times)
    with connect.open_store(uri) as store:
        put("ingest samples/s", samples, turns(store.append_usage, lambda part: plain.buckets(packed(part)), batches))
        ours["same again samples/s"] = samples * rate(len(batches), lambda: store.append_usage(batches))
        names = [batch.profile for batch in batches]
        reading = rate(len(batches), lambda: sum(1 for _part in store.read_usage(names, *ALWAYS)))
        ours["history read samples/s"] = samples * reading
        rows = [
            (batch.profile, moment, *(column[place] for column in list(batch.values.values())[:3]))
            for batch in batches
            for place, moment in enumerate(batch.times)
        ][: work["rows"]]
        peer["ingest as rows samples/s"] = rate(len(rows), lambda: plain.samples(rows))

        documents = [profile(number) for number in range(work["documents"])]
        put("profile writes/s", 1, turns(partial(store.put_many, "profiles"), plain.documents, documents))
        keys = [document["key"] for document in documents[: work["reads"]]]
        put("profile reads/s", 1, turns(lambda part: [store.get("profiles", key) for key in part], plain.read, keys))
        found = store.get_many("profiles", keys[: work["claims"]])
        wanted = [{**document, "state": "claimed"} for document in found.values()]

        def claim(part: list[dict[str, Any]]) -> None:
            for document in part:
                store.update("profiles", document)

        put("claims/s", 1, turns(claim, plain.claim, wanted))
    return {"ours": ours, "plain": peer}


def listing(uri: str, how: str) -> dict[str, float]:
    """Open and list in a process of its own: seconds, and how far its memory grew."""
    paths = json.dumps([path for path in sys.path if path])
    command = [sys.executable, "-c", LISTING, uri, how, paths]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # errors are shown
    return json.loads(done.stdout)


def days(found: list[dict[str, np.ndarray]], number: int, first: int, count: int) -> Any:
    """Whole days of a tenant from the day ``first`` of 2026 on: a trace from its first midnight on, again and again."""
    series = found[number % len(found)]
    slots = (np.arange(first * 288, (first + count) * 288)) % (len(series["t"]) // 288 * 288)
    times = array("d", (MIDNIGHT + 300.0 * np.arange(first * 288, (first + count) * 288)).tolist())
    columns = {"cpu": np.round(series["cpu"][slots] * 0.04, 6)}
    for metric, column, scale in (("memory", "memory", 4 * GIB / 100), ("io_read", "io", 1000.0)):
        if column in series:
            columns[metric] = np.round(series[column][slots] * scale)
    arrays = {metric: array("d", column.tolist()) for metric, column in columns.items()}
    return interface.UsageBatch(f"app{number % 500}", f"t{number:05d}", times, arrays)


def hours(whole: list[Any]) -> Iterator[list[Any]]:
    """A day of tenants by the hour, as runs on a schedule take it in."""
    for begin in range(0, 288, 12):
        yield [
            interface.UsageBatch(
                one.profile,
                one.tenant,
                one.times[begin : begin + 12],
                {metric: column[begin : begin + 12] for metric, column in one.values.items()},
            )
            for one in whole
        ]


def written() -> int:
    """Bytes that this process has given to write calls."""
    with open("/proc/self/io", encoding="ascii") as counters:
        return next(int(line.split()[1]) for line in counters if line.startswith("wchar"))


def by_the_hour(folder: Path, uri: str, found: list[dict[str, np.ndarray]], tenants: int) -> dict[str, float]:
    """One day of many tenants, taken in by the hour: bucket writes, bytes and the time of a run, as they are."""
    whole = [days(found, number, 0, 1) for number in range(tenants)]
    path = folder / "day.db"
    seconds = []
    with connect.open_store(f"sqlite://{path}") as store:
        before = written()
        for part in hours(whole):
            start = time.perf_counter()
            store.append_usage(part)
            seconds.append(time.perf_counter() - start)
    given = written() - before
    with closing(sqlite3.connect(path)) as raw:
        buckets, writes = raw.execute("SELECT count(*), sum(version) FROM usage").fetchone()
    served = whole[: min(tenants, 200)]
    with connect.open_store(uri) as store:
        for part in hours(served):
            store.append_usage(part)
    with pymongo.MongoClient(uri, document_class=RawBSONDocument) as client:
        sizes = [len(row.raw) for row in client.get_default_database().usage.find()]
    return {
        f"day of {tenants} tenants: samples": 288.0 * tenants,
        f"day of {tenants} tenants: buckets": buckets,
        f"day of {tenants} tenants: bucket writes": writes,
        f"day of {tenants} tenants: MB given to the disk, sqlite": given / 1e6,
        f"day of {tenants} tenants: MB of the file, sqlite": path.stat().st_size / 1e6,
        f"day of {tenants} tenants: slowest hourly run, s, sqlite": max(seconds),
        "bytes per tenant-day, sqlite": path.stat().st_size / buckets,
        "bytes per tenant-day, BSON": sum(sizes) / len(sizes),
    }


def year(folder: Path, found: list[dict[str, np.ndarray]], tenants: int) -> dict[str, float]:
    """A year of some tenants under the usual retention (100 days of samples, then hourly values), as a file."""
    path = folder / "year.db"
    with connect.open_store(f"sqlite://{path}?journal=delete") as store:
        for first in range(0, 365, 5):
            store.append_usage(days(found, number, first, 5) for number in range(tenants))
            store.compact(store.newest() - timedelta(days=100), *ALWAYS[:1] * 2)
    with closing(sqlite3.connect(path)) as raw:
        levels = dict(raw.execute("SELECT level, avg(length(data)) FROM usage GROUP BY level"))
    size = path.stat().st_size
    return {
        "bytes of a day, 5 min": levels[1],
        "bytes of a day, hourly": levels[0],
        "bytes per 5-min value": levels[1] / 288 / len(found[0].keys() & {"cpu", "memory", "io"}),
        f"year of {tenants} tenants, MB of the file": size / 1e6,
        "year of 10,000 tenants, GB": size / 1e9 * 10_000 / tenants,
    }


def together(report: Any, folder: Path, mongo: Any, *, quick: bool) -> None:
    """Eight processes at once, then clients and servers that are killed: acknowledged writes, and how many are lost."""
    rows = {}
    stores = {"sqlite": (f"sqlite://{folder}/crowd.db", 100), "mongodb": (mongo.uri("crowd", wait=60), 20)}
    for kind, (uri, count) in stores.items():
        results = crowd.together(uri, count // 5 if quick else count)
        rows[f"{kind}, 8 processes"] = dict(
            zip(("acknowledged", "lost"), crowd.lost_of_crowd(uri, results), strict=True)
        )
        rows[f"{kind}, clients killed"] = killed(uri, 2 if quick else 5, None)
    rows["mongodb, server killed"] = killed(stores["mongodb"][0], 2 if quick else 5, mongo)
    for name, row in rows.items():
        for figure, value in row.items():
            report.figures[f"{name}: {figure}"] = value
        report.require(f"{name}: writes lost of {row['acknowledged']:.0f}", row["lost"], 0, least=False)
    report.table("acknowledged writes", rows)


def killed(uri: str, times: int, mongo: Any) -> dict[str, float]:
    """Writers in whose middle they, or the server, are killed with kill -9."""
    total = lost = 0
    for _turn in range(1 if mongo else times):
        with crowd.writers(uri, 4) as (workers, acknowledged):
            crowd.wait_for(acknowledged, 3)
            for _kill in range(times if mongo else 0):
                mongo.kill()
                mongo.start()
                crowd.wait_for(acknowledged, 2)
            for worker in workers:
                worker.kill()
        lost += sum(crowd.lost_turns(uri, number, lines) for number, lines in enumerate(acknowledged))
        total += 3 * sum(map(len, acknowledged))  # a document, an array and a day of history each
    return {"acknowledged": total, "lost": lost}


@contextmanager
def server(folder: Path) -> Iterator[Any]:
    """A MongoDB wire server."""
    started = servers.Server(folder / "mongo").start()
    try:
        yield started
    finally:
        started.stop()


def main() -> int:
    """Run everything, print, and say whether the bars hold."""
    options = _common.arguments(__doc__ or "").parse_args()
    name, found = traces(options.data)
    report = _common.Report("store", f"{options.data}/{name}")
    quick = options.quick
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        batches = history(found, 20 if quick else 100, 14)
        work = {"rows": 50_000, "documents": 2000 if quick else 10_000, "reads": 2000, "claims": 300}
        stores = {}
        shares: dict[str, dict[str, float]] = {}
        with server(folder) as mongo:
            uri = mongo.uri("bench", wait=60)
            stores["sqlite"] = (f"sqlite://{folder}/store.db", PlainSQLite(folder), work)
            served = {"rows": 10_000, "documents": 1000 if quick else 3000, "reads": 500, "claims": 60}
            stores["mongodb"] = (uri, PlainMongo(uri), served)
            for kind, (where, plain, amounts) in stores.items():
                rates = measure(where, plain, batches, amounts)
                plain.close()
                report.table(kind, rates)
                for figure, value in rates["ours"].items():
                    report.figures[f"{kind} {figure}"] = value
                report.peers[f"{kind} plain driver"] = rates["plain"]
                for figure in ("ingest samples/s", "profile writes/s", "profile reads/s", "claims/s"):
                    share = rates["ours"][figure] / rates["plain"][figure]
                    subject = figure.partition("/")[0]
                    report.figures[f"{kind} {subject}, ours / plain"] = share
                    shares.setdefault(kind, {})[subject] = share
            report.table("of the plain driver's rate", shares)
            lists(report, folder, uri, 10_000 if quick else 100_000)
            together(report, folder, mongo, quick=quick)
            sizes = by_the_hour(folder, mongo.uri("day"), found, 500 if quick else 10_000)
        sizes.update(year(folder, found, 5 if quick else 40))
        report.figures.update(sizes)
        print("\nusage history: sizes and writes")
        for figure, value in sizes.items():
            print(f"  {figure:60}{value:16,.1f}")
    bars(report)
    return report.end(options.json)


def lists(report: Any, folder: Path, uri: str, count: int) -> None:
    """100,000 profiles: made once, then opened and listed."""
    rows: dict[str, dict[str, float]] = {}
    for kind, where in (("sqlite", f"sqlite://{folder}/many.db"), ("mongodb", uri.replace("/bench?", "/many?"))):
        with connect.open_store(where) as store:
            for begin in range(0, count, 5000):
                store.put_many("profiles", [profile(number) for number in range(begin, begin + 5000)])
        for how in ("find", "keys"):
            found = listing(where, how)
            if found["count"] != count:
                raise SystemExit(f"{kind}: {found['count']} of {count} profiles were listed")
            rows[f"{kind} {how}"] = {"seconds": found["seconds"], "MiB more": found["mebibytes"]}
            report.figures[f"{kind} {how} of {count} profiles, s"] = found["seconds"]
            report.figures[f"{kind} {how} of {count} profiles, MiB"] = found["mebibytes"]
    report.table(f"{count} profiles opened and listed", rows)


def bars(report: Any) -> None:
    """What must hold on any machine."""
    figures = report.figures
    for kind, ingest in (("sqlite", 0.1), ("mongodb", 0.4)):
        report.require(
            f"{kind}: ingest, ours / plain driver with ready bytes",
            figures[f"{kind} ingest samples, ours / plain"],
            ingest,
        )
        rows = figures[f"{kind} ingest samples/s"] / report.peers[f"{kind} plain driver"]["ingest as rows samples/s"]
        report.figures[f"{kind} ingest, ours / plain rows"] = rows
        report.require(f"{kind}: ingest, ours / plain driver with a row a sample", rows, 1.0)
        report.require(
            f"{kind}: profile reads, ours / plain driver", figures[f"{kind} profile reads, ours / plain"], 0.4
        )
        report.require(f"{kind}: claims, ours / plain driver", figures[f"{kind} claims, ours / plain"], 0.4)
    for name, value in figures.items():
        if name.endswith("MiB") and "find" in name:
            report.require(f"{name} more", value, 64, least=False)
    report.require("bytes per 5-min value", figures["bytes per 5-min value"], 8, least=False)


if __name__ == "__main__":
    sys.exit(main())
