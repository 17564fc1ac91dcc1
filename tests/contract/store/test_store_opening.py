# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening: older and newer stores, stores of others, read-only ones, fork, passwords, files that cannot be used."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import (
    InputError,
    StoreError,
    StoreUnavailable,
    TenancyError,
)
from ansible_collections.predictive.tenancy.plugins.module_utils._store import documents, sqlite_connection
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from ansible_collections.predictive.tenancy.plugins.module_utils._store.interface import (
    Counts,
    RequestBatch,
    Store,
    UsageBatch,
)
from ansible_collections.predictive.tenancy.plugins.module_utils._store.uri import redact
from servers import PASSWORD, USER, Server

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=timezone.utc)
ALWAYS = (datetime(1970, 1, 1, tzinfo=timezone.utc), datetime(2200, 1, 1, tzinfo=timezone.utc))
COUNT = 510  # more than a page


def fill(store: Store) -> None:
    store.put_many("profiles", [{"key": f"p{number:04}", "workload": f"w{number}"} for number in range(COUNT)])
    store.put_many("tenants", [{"key": "t", "profile": "p0000", "vm": "vm1"}])
    times = array("d", [NOW.timestamp() + 300 * slot for slot in range(10)])
    store.append_usage([UsageBatch("p0000", "", times, {"cpu": array("d", [1.0] * 10)})])
    store.append_requests([RequestBatch("p0000", times)])


def next_schema(document: dict[str, Any]) -> dict[str, Any]:
    """What a next version could do to profiles: a field moves into another."""
    fields = {name: value for name, value in document.items() if name != "workload"}
    return {**fields, "code": {"image": document["workload"]}}


@contextmanager
def newer(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Software of the next schema version."""
    with monkeypatch.context() as patched:
        patched.setattr(documents, "MIGRATIONS", {documents.SCHEMA: {"profiles": next_schema}})
        patched.setattr(documents, "SCHEMA", documents.SCHEMA + 1)
        yield documents.SCHEMA


def test_an_older_store_is_migrated_and_a_newer_one_refused(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(uri) as store:
        fill(store)
        first = {found["key"]: found["version"] for found in store.find("profiles")}
    with newer(monkeypatch) as schema:
        with open_store(uri, read_only=True) as store:
            found = store.get("profiles", "p0007")
            assert found["code"] == {"image": "w7"}, "reading upgrades what is not migrated yet"
            assert found["version"] == first["p0007"]
        with open_store(uri) as store:
            migrated = list(store.find("profiles"))
            assert [(found["schema"], found["code"]["image"], found["version"]) for found in migrated] == [
                (schema, f"w{number}", first[f"p{number:04}"] + 1) for number in range(COUNT)
            ]
            assert store.get("tenants", "t")["schema"] == schema
            (batch,) = store.read_usage(["p0000"], *ALWAYS)
            assert len(batch.times) == 10
            store.insert("profiles", {"key": "q", "code": {"image": "w"}})
        with open_store(uri) as store:
            assert store.get("profiles", "p0007")["version"] == first["p0007"] + 1, "a migrated store is left alone"
    with pytest.raises(StoreError, match=r"is of schema \d+, this software knows \d+ \(upgrade the collection"):
        open_store(uri)


def test_a_document_of_newer_software_is_refused(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(uri) as old:
        with newer(monkeypatch), open_store(uri) as new:
            new.insert("profiles", {"key": "q"})
        with pytest.raises(StoreError, match="profiles/q: the document was written in schema"):
            old.get("profiles", "q")


def test_two_migrations_at_once(one_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(one_uri) as store:
        fill(store)
        first = [found["version"] for found in store.find("profiles")]
    with newer(monkeypatch) as schema:
        children = []
        for _child in range(3):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    with open_store(one_uri) as store:
                        status = 0 if store.get("profiles", f"p{COUNT - 1:04}")["schema"] == schema else 2
                finally:
                    os._exit(status)
            children.append(child)
        assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
        with open_store(one_uri) as store:
            assert [found["version"] for found in store.find("profiles")] == [version + 1 for version in first]


def test_a_read_only_store_is_not_touched(uri: str) -> None:
    batch = UsageBatch("web", "", array("d", [NOW.timestamp()] * 2), {"cpu": array("d", [1.0, 1.0])})
    requests = RequestBatch("web", array("d", [NOW.timestamp()]))
    with open_store(uri, read_only=True) as store:
        assert store.get("plans", "p") is None
        assert list(store.find("plans")) == []
        assert store.newest() is None
        assert store.append_usage([batch]) == Counts(new=1, same=1)
        assert store.append_requests([requests]) == Counts(new=1)
        assert list(store.read_usage(["web"], *ALWAYS)) == []
        assert store.compact(NOW, NOW, NOW) == {"downsampled": 0, "removed": 0}
    if uri.startswith("sqlite"):
        assert not Path(uri.partition("?")[0].removeprefix("sqlite://")).exists()
    with open_store(uri) as store:
        inserted = store.insert("plans", {"key": "p"})
        store.append_usage([batch])
        store.append_requests([requests])
    with open_store(uri, read_only=True) as store:
        writes = (
            lambda: store.insert("plans", {"key": "q"}),
            lambda: store.put_many("plans", [{"key": "q"}]),
            lambda: store.delete("plans", "p"),
            lambda: store.delete_many("plans", ["p"]),
            lambda: store.increment("plans", "p", "n"),
            lambda: store.acquire("lease", "me", 60, NOW),
            lambda: store.release("lease", "me"),
            lambda: store.delete_arrays(["a"]),
            lambda: store.delete_history("web"),
        )
        for write in writes:
            with pytest.raises(StoreError, match="for reading only"):
                write()
        assert store.append_usage([batch]) == Counts(same=2)
        day = timedelta(days=1)
        assert store.compact(NOW + day, NOW, NOW) == {"downsampled": 1, "removed": 0}
        assert store.compact(NOW + day, NOW + day, NOW + day) == {"downsampled": 0, "removed": 2}
    with open_store(uri) as store:
        assert store.get("plans", "p") == inserted
        assert len(list(store.read_usage(["web"], *ALWAYS))) == 1


@pytest.mark.parametrize("journal", ["", "PRAGMA journal_mode=WAL"])
def test_a_file_that_another_process_is_still_making_is_an_empty_store(tmp_path: Path, journal: str) -> None:
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute(journal)
        path.touch()
        before = path.read_bytes()
        with open_store(f"sqlite://{path}", read_only=True) as store:
            assert store.get("profiles", "web") is None
            assert list(store.find("tenants", {"cell": "a"})) == []
            times = array("d", [NOW.timestamp()])
            assert store.append_usage([UsageBatch("web", "", times, {"cpu": array("d", [1.0])})]) == Counts(new=1)
            with pytest.raises(StoreError, match="for reading only"):
                store.insert("plans", {"key": "q"})
        assert path.read_bytes() == before
    with open_store(f"sqlite://{path}") as store:
        store.insert("plans", {"key": "q"})
    with open_store(f"sqlite://{path}", read_only=True) as store:
        assert store.keys("plans") == ["q"]


def test_a_migration_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(opened: sqlite3.Connection, _version: int) -> None:
        opened.execute("ROLLBACK")  # as SQLite does by itself then
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(sqlite_connection, "migrate", full)
    with pytest.raises(StoreUnavailable, match=r"database or disk is full \(make room"):
        open_store(f"sqlite://{tmp_path}/store.db")


def test_a_store_is_not_carried_over_fork(one_uri: str) -> None:
    with open_store(one_uri) as store:
        store.insert("plans", {"key": "parent", "n": 0})
        children = []
        for number in range(4):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    for _turn in range(5):
                        store.increment("plans", "parent", "n")
                    store.insert("plans", {"key": f"child{number}"})
                    status = 0
                finally:
                    os._exit(status)
            children.append(child)
        for _turn in range(5):
            store.increment("plans", "parent", "n")
        assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
        assert store.get("plans", "parent")["n"] == 25
        assert store.keys("plans") == ["child0", "child1", "child2", "child3", "parent"]


# -- passwords --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://user:s3cr3t@host/db",
        "mongodb://user:s3cr3t@host:27017,other:27018/db?authSource=admin&tls=true",
        "mongodb://user:s3cr3t%40%2F@host/db",
        "mongodb://user:s3cr3t@/x@host/db",
        "mongodb://user:s3cr3t?x@host/db",
        "mongodb+srv://user:s3cr3t@host/db?tlsCertificateKeyFilePassword=s3cr3t",
        "mongodb://host/db?authMechanismProperties=s3cr3t",
    ],
)
def test_a_uri_prints_without_its_secrets(uri: str) -> None:
    assert "s3cr3t" not in redact(uri)
    assert redact(uri).startswith("mongodb")


def test_no_error_carries_the_password(secured_server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "s3cr3t/p@ss"
    wrong = secured_server.uri("tenancy", wait=2, password=secret)
    cases = [
        wrong,
        wrong.replace("127.0.0.1", "127.0.0.1:1,127.0.0.2").replace("replicaSet=secantus&", ""),
        f"mongodb://user:{quote_plus(secret)}@127.0.0.1:1/db?serverSelectionTimeoutMS=300",
        f"mongodb://user:{secret}@127.0.0.1/db",
        f"mongodb://user:{quote_plus(secret)}@127.0.0.1/db?tls=maybe",
        f"mongodb://user:{quote_plus(secret)}@127.0.0.1/db?tls=true&tlsCAFile=/nowhere/ca.pem",
    ]
    for uri in cases:
        with pytest.raises(TenancyError) as caught:
            open_store(uri)
        error: BaseException | None = caught.value
        while error is not None:
            assert secret not in str(error)
            assert quote_plus(secret) not in str(error)
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    assert secret not in caplog.text


def test_a_wrong_password_and_no_password_are_named(secured_server: Server) -> None:
    with pytest.raises(StoreError, match="check user, password and authSource"):
        open_store(secured_server.uri(password="wrong"))
    with pytest.raises(StoreError, match="check user, password and authSource"):
        open_store(secured_server.uri().replace(f"{USER}:{quote_plus(PASSWORD)}@", ""))


def test_tls_is_checked(secured_server: Server, plain_server: Server) -> None:
    without = secured_server.uri(wait=1).replace(secured_server.uri_options, "")
    with pytest.raises(StoreUnavailable, match="TLS"):
        open_store(without)
    with pytest.raises(StoreUnavailable, match=r"(?i)certificate"):
        open_store(without + "&tls=true")
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        open_store(plain_server.uri(wait=1) + secured_server.uri_options)


def test_a_server_that_is_not_there_is_one_message_within_its_wait() -> None:
    start = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught:
        open_store("mongodb://127.0.0.1:9/tenancy?serverSelectionTimeoutMS=1500")
    assert time.monotonic() - start < 6
    assert str(caught.value).startswith("mongodb store at 127.0.0.1:9/tenancy: the server cannot be reached")


# -- files ------------------------------------------------------------------------------------------------------------


def test_another_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE precious (x)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"no store of predictive\.tenancy"):
        open_store(f"sqlite://{path}")
    assert path.read_bytes() == before


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    uri = f"sqlite://{tmp_path}/store.db?journal=delete"
    with open_store(uri) as store:
        fill(store)
    path = tmp_path / "store.db"
    data = bytearray(path.read_bytes())
    data[4096 : len(data) // 2] = os.urandom(len(data) // 2 - 4096)
    path.write_bytes(data)

    def read_all() -> None:
        with open_store(uri) as store:
            list(store.find("profiles"))
            list(store.read_usage(["p0000"], *ALWAYS))

    with pytest.raises(StoreError, match="restore it from a backup"):
        read_all()


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    with open_store(f"sqlite://{tmp_path}/a/b/store.db") as store:
        fill(store)
        for path in (tmp_path / "a" / "b").iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


def insert(uri: str, key: str) -> None:
    with open_store(uri) as store:
        store.insert("plans", {"key": key})


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_locked_store_delays_and_then_says_so(tmp_path: Path, journal: str) -> None:
    path = tmp_path / "store.db"
    uri = f"sqlite://{path}?journal={journal}"
    insert(uri, "p")
    script = (
        "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN EXCLUSIVE'); print('locked', flush=True); time.sleep(2.5); c.execute('COMMIT')"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(StoreUnavailable, match="raise timeout="):
            insert(uri + "&timeout=0.3", "q")
        insert(uri, "r")
    with open_store(uri) as store:
        assert store.keys("plans") == ["p", "r"]


def test_a_full_disk_is_named_and_nothing_is_half_written(tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk, on any machine and for any user."""
    uri = f"sqlite://{tmp_path}/store.db?journal=delete"
    with open_store(uri) as store:
        store.insert("plans", {"key": "p"})
    size = (tmp_path / "store.db").stat().st_size + 65536
    script = f"""
import resource, signal
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
with open_store({uri!r}) as store:
    try:
        store.put_many("plans", [{{"key": f"q{{n}}", "text": "x" * 1000}} for n in range(900)])
    except Exception as error:
        print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("StoreUnavailable"), done.stdout
    assert "make room on the disk" in done.stdout
    with open_store(uri) as store:
        assert store.keys("plans") == ["p"]


LISTING = """
import sys
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
def peak():  # of this process alone; ru_maxrss begins with its parent's
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
with open_store(sys.argv[1], read_only=True) as store:
    before = peak()
    documents = store.find("profiles")
    count = len(list(documents)) if sys.argv[2] == "kept" else sum(1 for _document in documents)
    print(count, peak() - before)
"""


def test_many_profiles_are_listed_in_bounded_memory(one_uri: str) -> None:
    count, text = 10_000, "x" * 6000  # 60 MB
    with open_store(one_uri) as store:
        for begin in range(0, count, 1000):
            store.put_many("profiles", [{"key": f"p{begin + one}", "text": text} for one in range(1000)])
    grown = {}
    for how in ("kept", "one by one"):
        command = [sys.executable, "-c", LISTING, one_uri, how]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found, kibibytes = map(int, done.stdout.split())
        assert found == count
        grown[how] = kibibytes / 1024
    assert grown["kept"] > 57, "the measurement does not see what is held"
    assert grown["one by one"] < 35, "more than a page and SQLite's cache of 16 MiB"


def test_the_journal_mode_is_kept_and_can_be_changed(tmp_path: Path) -> None:
    path = tmp_path / "store.db"

    def mode() -> str:
        with closing(sqlite3.connect(path)) as raw:
            return str(raw.execute("PRAGMA journal_mode").fetchone()[0])

    for uri, expected in (("", "wal"), ("?journal=delete", "delete"), ("", "delete"), ("?journal=wal", "wal")):
        with open_store(f"sqlite://{path}{uri}") as store:
            store.keys("plans")
        assert mode() == expected


def test_a_copy_of_the_file_is_a_backup(tmp_path: Path) -> None:
    with open_store(f"sqlite://{tmp_path}/store.db") as store:
        fill(store)
    shutil.copy(tmp_path / "store.db", tmp_path / "copy.db")
    with open_store(f"sqlite://{tmp_path}/copy.db") as store:
        assert len(store.keys("profiles")) == COUNT


@pytest.mark.parametrize(
    "uri",
    [
        "store.db",
        "/tmp/store.db",
        "sqlite://store.db",
        "sqlite:///tmp/dir/",
        "sqlite:///tmp/x.db?journal=memory",
        "sqlite:///tmp/x.db?timeout=never",
        "sqlite:///tmp/x.db?timeout=0",
        "sqlite:///tmp/x.db?x",
        "mysql://host/db",
        "mongodb://",
        "mongodb://host:port/db",
        "mongodb://host/db?w=many&ssl=maybe",
    ],
)
def test_a_uri_that_cannot_be_used_is_refused(uri: str) -> None:
    with pytest.raises(InputError):
        open_store(uri)
