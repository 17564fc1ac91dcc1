# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups by the module and by the playbooks, on every kind of store and from one kind to the other."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import uuid
from array import array
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._store.backup import TABLES, content
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from ansible_collections.predictive.tenancy.plugins.module_utils._store.interface import (
    METRICS,
    Array,
    RequestBatch,
    Store,
    UsageBatch,
)
from servers import Server

from playbooks import Play, run_playbook

ROOT = Path(__file__).resolve().parents[3]
MODULE = "ansible_collections.predictive.tenancy.plugins.modules.store_backup"
NOW = datetime(2026, 3, 2, 9, 0, 0, 1000, tzinfo=timezone.utc)
ALWAYS = (datetime(1970, 1, 1, tzinfo=timezone.utc), datetime(2200, 1, 1, tzinfo=timezone.utc))


def fill(store: Store) -> None:
    """Something of everything, old and downsampled history too."""
    odd = {"a.b": [1, 2.0, None, {"$c": NOW}], "%2E": "ü\0\n", "n": 2**60}
    for kind in TABLES[:8]:
        store.put_many(kind, [{"key": f"{kind}{number}", "odd": odd, "at": NOW} for number in range(3)])
    store.update("plans", {**store.get("plans", "plans1"), "state": "applied"})
    store.put_arrays([Array(f"forecast/p{number}/cpu", "<f4", (1, 2), os.urandom(8)) for number in range(4)])
    times = array("d", [NOW.timestamp() + 300 * slot for slot in range(900)])
    cpu = array("d", [slot / 7 for slot in range(900)])
    store.append_usage(
        [UsageBatch(name, tenant, times, {"cpu": cpu}) for name in ("b", "a_1", "a") for tenant in ("", "t")]
    )
    store.append_requests([RequestBatch("a", times, [f"id{slot}" for slot in range(900)])])
    store.compact(NOW + timedelta(days=2), NOW - timedelta(days=9), NOW - timedelta(days=9))
    store.append_usage([UsageBatch("a", "", times[-3:], {"memory": array("d", [1.0, 2.0, 3.0])})])


def everything(uri: str) -> dict[str, Any]:
    """All that a store gives through its interface."""
    with open_store(uri) as store:
        return {
            "documents": {kind: list(store.find(kind)) for kind in TABLES[:8] if kind != "leases"},
            "arrays": store.get_arrays([f"forecast/p{number}/cpu" for number in range(4)]),
            "usage": [
                (
                    batch.profile,
                    batch.tenant,
                    batch.times,
                    *(bytes(batch.values.get(metric, b"")) for metric in METRICS),
                )
                for batch in store.read_usage(["a", "a_1", "b"], *ALWAYS)
            ],
            "requests": list(store.read_requests(["a"], *ALWAYS)),
        }


def run(scratch: Path, uri: str, path: Path, state: str, *, check: bool = False) -> dict[str, Any]:
    arguments = {"store": uri, "path": str(path), "state": state, "_ansible_check_mode": check}
    (scratch / "arguments.json").write_text(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}), encoding="utf-8")
    command = [sys.executable, "-m", MODULE, str(scratch / "arguments.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    return json.loads(done.stdout)


def test_saved_and_restored_into_the_other_kind(one_uri: str, tmp_path: Path, plain_server: Server) -> None:
    with open_store(one_uri) as store:
        fill(store)
    before = everything(one_uri)
    path = tmp_path / "store.backup"
    checked = run(tmp_path, one_uri, path, "saved", check=True)
    assert not path.exists()
    saved = run(tmp_path, one_uri, path, "saved")
    assert saved["changed"] is True
    assert saved["results"] == checked["results"]
    assert saved["results"][0]["rows"]["requests"] == 4
    assert path.stat().st_mode & 0o077 == 0
    assert run(tmp_path, one_uri, path, "saved")["changed"] is False
    other = f"sqlite://{tmp_path}/other.db"
    if one_uri.startswith("sqlite"):
        other = plain_server.uri(f"tenancy_{uuid.uuid4().hex[:12]}")
    checked = run(tmp_path, other, path, "restored", check=True)
    restored = run(tmp_path, other, path, "restored")
    assert restored["changed"] is True, restored
    assert restored["results"] == checked["results"]
    assert everything(other) == before
    assert run(tmp_path, other, path, "restored")["changed"] is False
    assert run(tmp_path, other, path, "saved")["changed"] is False, "both stores hold the same"
    with open_store(other) as store:
        store.increment("plans", "plans1", "n")
        assert list(store.find("leases")) == []
    refused = run(tmp_path, other, path, "restored")
    assert refused["failed"] is True
    assert "the store is not empty" in refused["msg"]
    assert run(tmp_path, other, path, "saved")["results"][0]["actions"] == ["replace"]


def test_a_restore_that_was_broken_off_goes_on(tmp_path: Path) -> None:
    source, target, path = f"sqlite://{tmp_path}/a.db", f"sqlite://{tmp_path}/b.db", tmp_path / "backup"
    with open_store(source) as store:
        fill(store)
    digest = run(tmp_path, source, path, "saved")["results"][0]["digest"]
    with open_store(source) as first, open_store(target) as second:
        second.acquire("restore", digest, 600, NOW)
        second.put_rows("profiles", first.rows("profiles"))
        second.put_rows("usage", list(first.rows("usage"))[:5])
    done = run(tmp_path, target, path, "restored")
    assert done["changed"] is True, done
    assert everything(target) == everything(source)


@pytest.mark.parametrize("damage", ["cut", "bytes", "row", "other", "newer", "none"])
def test_a_damaged_backup_is_refused_and_nothing_is_restored(tmp_path: Path, damage: str) -> None:
    source, target, path = f"sqlite://{tmp_path}/a.db", f"sqlite://{tmp_path}/b.db", tmp_path / "backup"
    with open_store(source) as store:
        fill(store)
    run(tmp_path, source, path, "saved")
    data = path.read_bytes()
    lines = gzip.decompress(data).splitlines(keepends=True)
    header = {**json.loads(lines[0]), "schema": 99}
    damaged = {
        "cut": data[: len(data) // 2],
        "bytes": data[:500] + b"\0" * 100 + data[600:],
        "row": gzip.compress(b"".join(lines[:5] + lines[6:])),
        "other": b"these are my notes\n",
        "newer": gzip.compress(json.dumps(header).encode() + b"\n" + b"".join(lines[1:])),
        "none": None,
    }[damage]
    path.unlink() if damaged is None else path.write_bytes(damaged)
    done = run(tmp_path, target, path, "restored")
    assert done["failed"] is True
    assert str(path) in done["msg"]
    with open_store(target) as store:
        assert content(store).empty
    if damaged is not None:
        assert run(tmp_path, source, path, "saved")["failed"] is True, "a file that is no good backup is not replaced"
        assert path.read_bytes() == damaged


def play(name: str, tmp_path: Path, uri: str, **variables: Any) -> str:
    """Run a playbook with the store named by the environment; its output."""
    env = {**os.environ, "TENANCY_STORE": uri, "ANSIBLE_LOCALHOST_WARNING": "0", "ANSIBLE_NOCOLOR": "1"}
    env.update(ANSIBLE_COLLECTIONS_PATH=str(ROOT / "build" / "python"), ANSIBLE_LOCAL_TEMP=str(tmp_path / "ansible"))
    command = ["ansible-playbook", "-vvv", str(ROOT / "playbooks" / name), "-e", json.dumps(variables)]
    command[0] = str(Path(sys.executable).parent / "ansible-playbook")
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_playbooks_on_a_secured_server(tmp_path: Path, secured_server: Server) -> None:
    first, second = (secured_server.uri(f"tenancy_{uuid.uuid4().hex[:12]}") for _store in range(2))
    with open_store(first) as store:
        fill(store)
    path = str(tmp_path / "store.backup")
    outputs = [play("store_backup.yml", tmp_path, first, store_backup_path=path, store_backup_keep=2)]
    with open_store(first) as store:
        store.increment("plans", "plans1", "n")
    outputs.append(play("store_backup.yml", tmp_path, first, store_backup_path=path, store_backup_keep=2))
    assert sorted(item.name for item in tmp_path.glob("store.backup*")) == ["store.backup", "store.backup.1"]
    outputs.append(play("store_backup.yml", tmp_path, first, store_backup_path=path, store_backup_keep=2))
    assert "changed=0" in outputs[-1]
    outputs.append(play("store_restore.yml", tmp_path, second, store_backup_path=path))
    assert everything(second) == everything(first)
    outputs.append(play("store_restore.yml", tmp_path, second, store_backup_path=path))
    assert "changed=0" in outputs[-1]
    password = first.partition(":")[2].partition(":")[2].partition("@")[0]
    assert len(password) > 5
    assert all(password not in output for output in outputs), "the password is printed"


def keep_two(tmp_path: Path, uri: str, *through: str) -> Play:
    path = tmp_path / "kept" / "store.backup"
    given = {"store_backup_path": str(path), "store_backup_keep": 2}
    return run_playbook(
        ROOT / "playbooks" / "store_backup.yml", tmp_path / "play", given, through=through, TENANCY_STORE=uri
    )


def kept(tmp_path: Path) -> dict[str, str]:
    """The backups beside each other, each by the one profile that it holds."""
    found = {}
    for path in sorted((tmp_path / "kept").iterdir()):
        rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()[1:]]
        found[path.name] = next(row[1]["key"] for row in rows if row[0] == "profiles")
    return found


def holds(uri: str, name: str, size: int = 0) -> None:
    """Let the store hold one profile of a name, and so much that cannot be compressed."""
    with open_store(uri) as store:
        for profile in store.find("profiles"):
            store.delete("profiles", profile["key"])
        store.insert("profiles", {"key": name})
        store.put_arrays([Array("forecast/p/cpu", "<f4", (size // 4,), os.urandom(size))])


def test_older_backups_stay_when_saving_fails(tmp_path: Path) -> None:
    """A disk that is full: in a mount namespace, a folder of 64 KiB."""
    uri, folder = f"sqlite://{tmp_path}/store.db", tmp_path / "kept"
    folder.mkdir()
    holds(uri, "first")
    assert keep_two(tmp_path, uri).failed == 0
    holds(uri, "second", 1 << 17)
    script = f"""
        cp {folder}/store.backup {tmp_path}/before
        mount -t tmpfs -o size=64k none {folder} && cp {tmp_path}/before {folder}/store.backup
        "$@"; status=$?
        ls -A {folder} > {tmp_path}/listing; cmp {folder}/store.backup {tmp_path}/before || exit 99
        exit $status
    """
    root = [] if os.geteuid() == 0 else ["--map-root-user"]
    done = keep_two(tmp_path, uri, "unshare", "--mount", *root, "sh", "-c", script, "sh")
    assert done.failed == 1, done.text
    assert "No space left" in done.text
    assert (tmp_path / "listing").read_text(encoding="utf-8").split() == ["store.backup"]


def test_a_rotation_that_was_killed_is_finished(tmp_path: Path) -> None:
    """Wherever it was killed; three stay, the oldest goes."""
    uri, folder = f"sqlite://{tmp_path}/store.db", tmp_path / "kept"
    folder.mkdir()
    for name in ("a", "b", "c"):
        holds(uri, name)
        assert keep_two(tmp_path, uri).failed == 0
    wanted = {"store.backup": "d", "store.backup.1": "c", "store.backup.2": "b"}
    assert kept(tmp_path) == {"store.backup": "c", "store.backup.1": "b", "store.backup.2": "a"}
    holds(uri, "d")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    run(tmp_path, uri, tmp_path / "new", "saved")
    new = (tmp_path / "new").read_bytes()
    last, first, second = (before[f"store.backup{end}"] for end in ("", ".1", ".2"))
    for names in (
        {"store.backup.new": new, "store.backup": last, "store.backup.1": first, "store.backup.2": second},
        {"store.backup.new": new, "store.backup": last, "store.backup.2": first},
        {"store.backup.new": new, "store.backup.1": last, "store.backup.2": first},
    ):
        for path in folder.iterdir():
            path.unlink()
        for name, data in names.items():
            (folder / name).write_bytes(data)
        done = keep_two(tmp_path, uri)
        assert done.failed == 0, done.text
        assert kept(tmp_path) == wanted
    assert keep_two(tmp_path, uri).changed == 0
