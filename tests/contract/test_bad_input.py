# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input ends with one clear message that names the item and says what to do; what was fine is done, nothing is
half-written, and the same run completes once the cause is gone."""

from __future__ import annotations

import json
import os
import random
import re
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from module_process import run_module

NOW = "2026-03-02T00:00:00Z"
VM = {"name": "vm1", "capacity": {"cpu": 2, "memory": "2GiB"}}
SIZED = {"cpu": "0.2", "memory": "128MiB"}
# What tells that a person is shown a program's inside.
INSIDE = re.compile(r"Traceback|\b\w+(?:Error|Exception)\b|object at 0x|MODULE FAILURE|\\n")


def clear(message: str, *fragments: str) -> None:
    """One line for people, which says what is wrong with what, and what to do."""
    assert "\n" not in message
    assert not INSIDE.search(message), message
    assert len(message) < 1500, message
    missing = [fragment for fragment in fragments if fragment not in message]
    assert not missing, f"{missing} in: {message}"


def rows(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """What became of each item, VMs included."""
    return [*answer.get("results", []), *answer.get("vm_results", [])]


def uri(folder: Path) -> str:
    """A store in a folder."""
    return f"sqlite://{folder}/store.db"


# Module, the two lists of arguments (bad, then corrected), and what the message must say.
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    "a wrong unit": (
        "workload_profile",
        {"profiles": [{"name": "good"}, {"name": "bad", "bounds": {"memory": {"max": "1GX"}}}, {"name": "last"}]},
        {"profiles": [{"name": "good"}, {"name": "bad", "bounds": {"memory": {"max": "1GB"}}}, {"name": "last"}]},
        ("bad: bounds.memory.max: '1GX' has the unknown unit", "512MiB"),
    ),
    "an unknown key": (
        "workload_profile",
        {"profiles": [{"name": "good"}, {"name": "bad", "prioriti": 7}]},
        {"profiles": [{"name": "good"}, {"name": "bad", "priority": 7}]},
        ("profiles[1] (bad): ", "prioriti", "Supported parameters include: affinity", "run again"),
    ),
    "a value of another type": (
        "workload_profile",
        {"profiles": [{"name": "good"}, {"name": "bad", "priority": "high"}]},
        {"profiles": [{"name": "good"}, {"name": "bad", "priority": 70}]},
        ("profiles[1] (bad): ", "'priority'", "'high'", "run again"),
    ),
    "a missing key": (
        "workload_profile",
        {"profiles": [{"name": "good"}, {"priority": 7}]},
        {"profiles": [{"name": "good"}, {"name": "bad", "priority": 7}]},
        ("profiles[1]: ", "missing required arguments: name", "run again"),
    ),
    "a profile twice": (
        "workload_profile",
        {"profiles": [{"name": "good"}, {"name": "bad"}, {"name": "bad"}]},
        {"profiles": [{"name": "good"}, {"name": "bad"}]},
        ("profile bad: it is there twice", "once"),
    ),
    "an unknown profile": (
        "workload_profile",
        {"profiles": [{"name": "nobody"}], "state": "learned"},
        {"profiles": [], "state": "learned"},
        ("nobody: there is no such profile", "observe its history"),
    ),
    "a request of a wrong unit": (
        "tenant_admit",
        {"vms": [VM], "requests": [{"id": "good", "workload": "w"}, {"id": "bad", "workload": "w", "resources": {
            "cpu": "1x"}}, {"id": "last", "workload": "w"}]},
        {"vms": [VM], "requests": [{"id": "good", "workload": "w"}, {"id": "bad", "workload": "w", "resources": SIZED},
                                   {"id": "last", "workload": "w"}]},
        ("1 requests failed, the others were done: bad: resources.cpu: '1x' has the unknown unit", "0.5"),
    ),
    "a request with an unknown key": (
        "tenant_admit",
        {"vms": [VM], "requests": [{"id": "good", "workload": "w"}, {"id": "bad", "workload": "w", "size": "big"}]},
        {"vms": [VM], "requests": [{"id": "good", "workload": "w"}, {"id": "bad", "workload": "w"}]},
        ("requests[1] (bad): ", "size", "Supported parameters include: id", "run again"),
    ),
    "an unknown key of a policy": (
        "tenant_admit",
        {"vms": [VM], "policy": {"resize": {"hihg": 0.5}}},
        {"vms": [VM], "policy": {"resize": {"high": 0.9}}},
        ("hihg", "policy", "resize", "Supported parameters include: ", "high"),
    ),
    "an unknown key of an override": (
        "tenant_admit",
        {"vms": [VM], "policy": {"overrides": [{"profile": "w", "set": {"resize": {"hihg": 0.5}}}]}},
        {"vms": [VM], "policy": {"overrides": [{"profile": "w", "set": {"resize": {"high": 0.9}}}]}},
        ("policy overrides[0] resize: unknown key 'hihg'", "known: ", "high"),
    ),
    "a VM twice": (
        "tenant_admit",
        {"vms": [VM, {**VM, "name": "vm2"}, VM]},
        {"vms": [VM, {**VM, "name": "vm2"}]},
        ("vm1: is listed twice", "list each VM once"),
    ),
    "a VM of a wrong unit": (
        "tenant_admit",
        {"vms": [VM, {"name": "vm2", "capacity": {"cpu": 2, "memory": "2GX"}}]},
        {"vms": [VM, {"name": "vm2", "capacity": {"cpu": 2, "memory": "2GiB"}}]},
        ("vm2: capacity.memory: '2GX' has the unknown unit", "512MiB"),
    ),
    "an unknown plan": (
        "tenant_rebalance",
        {"vms": [VM], "mode": "apply", "plan": "north-1"},
        {"vms": [VM], "mode": "apply"},
        ("north-1: there is no such plan", "take the id of a recommended plan"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_one_message_and_the_corrected_run_completes(tmp_path: Path, name: str) -> None:
    module, bad, corrected, fragments = CASES[name]
    common = {"store": uri(tmp_path), "now": NOW}
    answer = run_module(module, {**common, **bad}, tmp_path)
    assert answer["failed"] is True
    assert "exception" not in answer, "ansible-core 2.18 would show it beside the message"
    clear(answer["msg"], *fragments)
    done = {row["name"] for row in rows(answer) if not row["error"]}
    left = {row["name"] for row in rows(answer) if row["error"]}
    again = run_module(module, {**common, **corrected}, tmp_path)
    assert again.get("failed") is None, again
    changed = {row["name"] for row in rows(again) if row["changed"]}
    assert changed == {row["name"] for row in rows(again)} - done, "what was fine was done the first time"
    assert not left or left - {"nobody"} <= changed


def test_a_bad_line_and_a_missing_column(tmp_path: Path) -> None:
    lines = ["workload,time,cpu,memory", *(f"web,{1772300000 + 300 * slot},0.{slot},64MiB" for slot in range(1, 9))]
    wrong = [*lines[:6], lines[6].replace("64MiB", "64MiX"), *lines[7:]]
    texts = {"usage": wrong, "short": ["workload,cpu", "web,1"], "fine": [line.replace("web", "db") for line in lines]}
    for stem, content in texts.items():
        (tmp_path / f"{stem}.csv").write_text("\n".join(content) + "\n", encoding="utf-8")
    files = [{"path": f"{tmp_path}/{stem}.csv", "kind": "usage"} for stem in texts]
    given = {"store": uri(tmp_path), "now": NOW, "files": files}
    answer = run_module("workload_observe", given, tmp_path)
    assert answer["failed"] is True
    clear(
        answer["msg"],
        "2 records were refused, the others were taken in",
        f"{tmp_path}/usage.csv:7: memory: '64MiX' has the unknown unit 'mix' (write a size like 512MiB)",
        f"{tmp_path}/short.csv:1: the column 'time' is missing in the header (the columns are ",
    )
    assert [(row["new"], row["refused"]) for row in answer["results"]] == [(7, 1), (0, 1), (8, 0), (0, 0)]
    (tmp_path / "usage.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "short.csv").write_text("workload,time,cpu\nshort,1772300000,1\n", encoding="utf-8")
    again = run_module("workload_observe", given, tmp_path)
    assert again.get("failed") is None, again
    assert [(row["new"], row["same"]) for row in again["results"]] == [(1, 7), (1, 0), (0, 8), (0, 0)]
    assert run_module("workload_observe", given, tmp_path)["changed"] is False


# -- stores that cannot be opened -----------------------------------------------------------------------------------
Undo = Callable[[], Any]
PROFILE = {"profiles": [{"name": "web"}], "now": NOW}


def a_folder(path: Path) -> tuple[Undo, list[str]]:
    path.mkdir()
    return path.rmdir, []


def no_permission(path: Path) -> tuple[Undo, list[str]]:
    # Root may write anywhere; without this capability it may not.
    through = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    path.parent.chmod(0o500)
    return lambda: path.parent.chmod(0o700), through


def no_database(path: Path) -> tuple[Undo, list[str]]:
    path.write_text("these are my notes\n" * 300, encoding="utf-8")

    def undo() -> None:
        assert path.read_text(encoding="utf-8") == "these are my notes\n" * 300
        path.unlink()

    return undo, []


def a_foreign_database(path: Path) -> tuple[Undo, list[str]]:
    with closing(sqlite3.connect(path)) as opened:
        opened.execute("CREATE TABLE mine (value TEXT)")
    return path.unlink, []


def a_newer_store(path: Path) -> tuple[Undo, list[str]]:
    run_module("workload_observe", {"store": f"sqlite://{path}"}, path.parent)
    with closing(sqlite3.connect(path)) as opened:
        version = opened.execute("PRAGMA user_version").fetchone()[0]
        opened.execute(f"PRAGMA user_version={version + 1}")

    def undo() -> None:
        with closing(sqlite3.connect(path)) as changed:
            changed.execute(f"PRAGMA user_version={version}")

    return undo, []


def a_locked_store(path: Path) -> tuple[Undo, list[str]]:
    run_module("workload_observe", {"store": f"sqlite://{path}"}, path.parent)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    return holder.close, []


UNOPENED: dict[str, tuple[Callable[[Path], tuple[Undo, list[str]]], tuple[str, ...]]] = {
    "a folder": (a_folder, ("unable to open database file", "check that it is a file")),
    "no permission": (no_permission, ("Permission denied", "check that", "this user may write there")),
    "no database": (no_database, ("file is not a database", "restore it from a backup")),
    "a foreign database": (a_foreign_database, ("no store of predictive.tenancy", "name another file")),
    "a newer store": (a_newer_store, ("the store is of schema", "upgrade the collection")),
    "a locked store": (a_locked_store, ("database is locked", "raise timeout=")),
}


@pytest.mark.parametrize("name", UNOPENED)
def test_a_store_that_cannot_be_opened(tmp_path: Path, name: str) -> None:
    prepare, fragments = UNOPENED[name]
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    path = folder / "store.db"
    undo, through = prepare(path)
    given = {**PROFILE, "store": f"sqlite://{path}?timeout=1"}
    answer = run_module("workload_profile", given, tmp_path, through=through)
    assert answer["failed"] is True
    clear(answer["msg"], f"{path}: ", *fragments)
    undo()
    again = run_module("workload_profile", given, tmp_path, through=through)
    assert again["changed"] is True, again


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{probe.getsockname()[1]}"
        store = f"mongodb://ops:s3cr3t@{place}/tenancy?serverSelectionTimeoutMS=300"
        answer = run_module("workload_profile", {**PROFILE, "store": store}, tmp_path)
    assert answer["failed"] is True
    clear(answer["msg"], f"mongodb store at {place}/tenancy: the server cannot be reached", "check that it runs")
    assert "s3cr3t" not in json.dumps(answer)


@pytest.mark.parametrize(
    ("store", "fragments"),
    [
        ("postgres://host/db", ("postgres store at host/db: not the URI of a store", "write sqlite:///path/store.db")),
        ("sqlite://store.db", ("sqlite store at store.db: the path of the file must be absolute", "write sqlite:///")),
        ("/var/lib/store.db", ("the store: not the URI of a store", "write sqlite:///path/store.db")),
        ("sqlite:///tmp/x.db?mode=ro", ("sqlite store at /tmp/x.db: unknown option 'mode'", "journal=wal|delete")),
    ],
)
def test_no_uri_of_a_store(tmp_path: Path, store: str, fragments: tuple[str, ...]) -> None:
    answer = run_module("workload_profile", {**PROFILE, "store": store}, tmp_path)
    assert answer["failed"] is True
    clear(answer["msg"], *fragments)


@pytest.mark.parametrize(
    ("module", "given"),
    [
        ("workload_profile_info", {}),
        ("workload_observe", {"requests": [{"workload": "web", "time": NOW}]}),
        ("tenant_admit", {"vms": [VM]}),
        ("tenant_rebalance", {"vms": [VM]}),
        ("tenant_rebalance_info", {}),
        ("tenancy_report", {"dest": "/dev/null/report.html"}),
    ],
)
def test_every_module_says_it(tmp_path: Path, module: str, given: dict[str, Any]) -> None:
    path = tmp_path / "store.db"
    path.write_text("these are my notes\n" * 300, encoding="utf-8")
    answer = run_module(module, {**given, "store": f"sqlite://{path}"}, tmp_path)
    assert answer["failed"] is True
    clear(answer["msg"], f"{path}: ", "file is not a database", "restore it from a backup")
    assert path.read_text(encoding="utf-8") == "these are my notes\n" * 300


# -- a full disk ----------------------------------------------------------------------------------------------------
class SmallDisk:
    """A file system of one MiB in a mount namespace that a process of ours holds; modules enter it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        root = os.geteuid() == 0
        apart = ["unshare", "--mount"] if root else ["unshare", "--user", "--map-root-user", "--mount"]
        mount = 'mount -t tmpfs -o size=1m none "$1" && echo ready && read -r _'
        command = [*apart, "sh", "-c", mount, "sh", str(folder)]
        self._holder = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.works = self._holder.stdout is not None and self._holder.stdout.readline() == "ready\n"
        enter = ["--mount"] if root else ["--user", "--preserve-credentials", "--mount"]
        self.through = ["nsenter", f"--target={self._holder.pid}", *enter]
        self.seen = Path(f"/proc/{self._holder.pid}/root{folder}")

    def fill(self, left: int) -> None:
        """Fill it but for ``left`` bytes."""
        fill = 'cat /dev/zero > "$1" 2>/dev/null; truncate --size=-"$2" "$1"'
        ballast = [str(self.folder / "ballast"), str(left)]
        subprocess.run([*self.through, "sh", "-c", fill, "sh", *ballast], check=True)

    def make_room(self) -> None:
        """Make it large, and take the ballast out."""
        make = 'rm "$1"/ballast && mount -o remount,size=64m "$1"'
        subprocess.run([*self.through, "sh", "-c", make, "sh", str(self.folder)], check=True)

    def close(self) -> None:
        """The file system goes with its last process."""
        self._holder.communicate()


class Quota:
    """The same by a limit on the size of files, which needs no rights."""

    def __init__(self, folder: Path) -> None:
        self.folder = self.seen = folder
        self.through: list[str] = []

    def fill(self, left: int) -> None:
        """No file may become larger than ``left`` bytes."""
        self.through = ["prlimit", f"--fsize={left}"]

    def make_room(self) -> None:
        """No limit."""
        self.through = []

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture(params=["a small disk", "a limit"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk | Quota]:
    """A place that can be full. Where no file system may be mounted, the limit stands in for the small disk."""
    folder = tmp_path / "disk"
    folder.mkdir()
    small = SmallDisk(folder) if request.param == "a small disk" else None
    chosen = small if small is not None and small.works else Quota(folder)
    yield chosen
    chosen.close()


def noise(path: Path, count: int) -> str:
    """Usage that no compression makes small."""
    values = random.Random(5)
    lines = [f"web,{1772000000 + 10 * slot},{values.random():.6f}\n" for slot in range(count)]
    path.write_text("workload,time,cpu\n" + "".join(lines), encoding="utf-8")
    return str(path)


def test_history_into_a_store_on_a_full_disk(tmp_path: Path, disk: SmallDisk | Quota) -> None:
    store = uri(disk.folder)
    files = [{"path": noise(tmp_path / "usage.csv", 30_000), "kind": "usage"}]
    given = {"store": store, "now": NOW, "files": files}
    assert run_module("workload_profile", {**PROFILE, "store": store}, tmp_path, through=disk.through)["changed"]
    disk.fill(70_000)
    answer = run_module("workload_observe", given, tmp_path, through=disk.through)
    assert answer["failed"] is True
    clear(answer["msg"], f"{disk.folder}/store.db: ", "make room on the disk", "nothing was half-written")
    disk.make_room()
    again = run_module("workload_observe", given, tmp_path, through=disk.through)
    assert again.get("failed") is None, again
    assert again["results"][0]["new"] + again["results"][0]["same"] == 30_000
    assert again["results"][0]["new"] > 0
    assert run_module("workload_observe", given, tmp_path, through=disk.through)["changed"] is False
    assert (
        run_module("workload_profile", {**PROFILE, "store": store}, tmp_path, through=disk.through)["changed"] is False
    )


def test_a_new_store_on_a_full_disk(tmp_path: Path, disk: SmallDisk | Quota) -> None:
    given = {"store": uri(disk.folder / "state"), "now": NOW, "vms": [VM]}
    disk.fill(0)
    answer = run_module("tenant_admit", given, tmp_path, through=disk.through)
    assert answer["failed"] is True
    clear(answer["msg"], f"{disk.folder}/state/store.db: ", "make room on the disk", "nothing was half-written")
    disk.make_room()
    again = run_module("tenant_admit", given, tmp_path, through=disk.through)
    assert [row["actions"] for row in again["vm_results"]] == [["create"]], again


def test_a_page_on_a_full_disk(tmp_path: Path, disk: SmallDisk | Quota) -> None:
    given = {"store": uri(tmp_path), "now": NOW, "dest": f"{disk.folder}/report.html"}
    assert run_module("tenancy_report", given, tmp_path, through=disk.through)["changed"] is True
    before = (disk.seen / "report.html").read_bytes()
    disk.fill(0)
    other = {**given, "title": "Another title"}
    answer = run_module("tenancy_report", other, tmp_path, through=disk.through)
    assert answer["failed"] is True
    clear(answer["msg"], f"{disk.folder}/report.html: cannot be written", "make room", "nothing was changed")
    assert (disk.seen / "report.html").read_bytes() == before
    assert {path.name for path in disk.seen.iterdir()} <= {"report.html", "ballast"}
    disk.make_room()
    assert run_module("tenancy_report", other, tmp_path, through=disk.through)["changed"] is True
    assert b"Another title" in (disk.seen / "report.html").read_bytes()


def test_one_of_two_files_on_a_full_disk(tmp_path: Path, disk: SmallDisk | Quota) -> None:
    given = {"dest": str(disk.folder), "days": 14}
    disk.fill(400_000)
    answer = run_module("workload_sample", given, tmp_path, through=disk.through)
    assert answer["failed"] is True
    clear(answer["msg"], f"{disk.folder}/usage.csv: cannot be written", "make room")
    assert [bool(row["error"]) for row in answer["results"]] == [False, True]
    assert {path.name for path in disk.seen.iterdir()} - {"ballast"} == {"requests.csv"}
    disk.make_room()
    again = run_module("workload_sample", given, tmp_path, through=disk.through)
    assert [row["changed"] for row in again["results"]] == [False, True], again


# -- the lookup -----------------------------------------------------------------------------------------------------
LOOKUPS: dict[str, tuple[str, ...]] = {
    "'nobody'": ("nobody: there is no such profile", "declare it with workload_profile or observe its history"),
    "'web', horizont='24h'": ("there is no option 'horizont'", "the options are horizon, level, now, quantiles"),
    "'web', horizon='5 parsecs'": ("'5 parsecs' has the unknown unit 'parsecs'", "5m"),
    "'web', quantiles=[0.9, 0.1]": ("quantiles [0.9, 0.1] must ascend between 0 and 1", "for example [0.5, 0.95]"),
    "'web', now='soon'": ("'soon' is not a time", "write UTC ISO 8601"),
    "'web', store='/etc/store.db'": ("the store: not the URI of a store", "write sqlite:///path/store.db"),
    "'web', store='sqlite:///etc/hostname'": ("/etc/hostname: file is not a database", "restore it from a backup"),
    "series=[1, 'two', 3]": ("series series, sample 1: 'two' is not a number", "give a list of numbers"),
    "requests=['2026-01-01', 'later']": ("requests, item 1: 'later' is not a time", "write UTC ISO 8601"),
}


def test_the_lookup(tmp_path: Path) -> None:
    run_module("workload_profile", {**PROFILE, "store": uri(tmp_path)}, tmp_path)
    asked = [*LOOKUPS, "'web'"]
    tasks: list[dict[str, Any]] = [
        {
            "ansible.builtin.debug": {"msg": "{{ query('predictive.tenancy.forecast', " + words + ") }}"},
            "register": f"answer_{number}",
            "ignore_errors": True,
        }
        for number, words in enumerate(asked)
    ]
    answers = ", ".join(f"answer_{number}" for number in range(len(asked)))
    content = "{{ [" + answers + "] | map(attribute='msg') | to_json }}"
    tasks.append({"ansible.builtin.copy": {"content": content, "dest": f"{tmp_path}/answers.json", "mode": "0600"}})
    plays = [{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]
    playbook = tmp_path / "lookups.yml"
    playbook.write_text(yaml.safe_dump(plays), encoding="utf-8")
    env = {**os.environ, "TENANCY_STORE": uri(tmp_path)}
    done = subprocess.run(
        ["ansible-playbook", str(playbook)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    messages = json.loads((tmp_path / "answers.json").read_text(encoding="utf-8"))
    assert [profile["name"] for profile in messages.pop()] == ["web"]
    for message, fragments in zip(messages, LOOKUPS.values()):
        clear(message, "predictive.tenancy.forecast: ", *fragments)
