# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role profile_store: its embedded path for real, its users on a real server, its configuration as it is read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pymongo
import pytest
import yaml
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from pymongo.errors import OperationFailure
from servers import Server

from playbooks import HERE, Play, run_playbook

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = ROOT / "roles" / "profile_store" / "files" / "replica_set.py"


def play(tmp_path: Path, tasks: list[dict[str, Any]], *options: str, **variables: Any) -> str:
    """Run tasks on this machine; the output."""
    book = tmp_path / "play.yml"
    book.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    env = {**os.environ, "ANSIBLE_LOCALHOST_WARNING": "0", "ANSIBLE_NOCOLOR": "1"}
    env.update(ANSIBLE_COLLECTIONS_PATH=str(ROOT / "build" / "python"), ANSIBLE_LOCAL_TEMP=str(tmp_path / "ansible"))
    command = [str(Path(sys.executable).parent / "ansible-playbook"), str(book), "-e", json.dumps(variables), *options]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_embedded_store(tmp_path: Path) -> None:
    path = tmp_path / "state" / "store.db"
    tasks = [{"ansible.builtin.include_role": {"name": "predictive.tenancy.profile_store"}}]
    assert "changed=1" in play(tmp_path, tasks, "--check", profile_store_path=str(path))
    assert not path.exists()
    assert "changed=1" in play(tmp_path, tasks, profile_store_path=str(path))
    with open_store(f"sqlite://{path}", read_only=True) as store:
        assert list(store.find("profiles")) == []
    assert path.stat().st_mode & 0o077 == 0
    assert "changed=0" in play(tmp_path, tasks, profile_store_path=str(path))


def test_mongodb_without_its_secrets_is_refused(tmp_path: Path) -> None:
    tasks = [{"ansible.builtin.include_role": {"name": "predictive.tenancy.profile_store"}}]
    with pytest.raises(AssertionError, match="profile_store_cluster_key is needed for MongoDB"):
        play(tmp_path, tasks, profile_store_backend="mongodb")


def test_the_configuration(tmp_path: Path) -> None:
    template = str(ROOT / "roles" / "profile_store" / "templates" / "mongod.conf.j2")
    tasks = [{"ansible.builtin.template": {"src": template, "dest": str(tmp_path / "mongod.conf"), "mode": "0600"}}]
    defaults = yaml.safe_load((ROOT / "roles/profile_store/defaults/main.yml").read_text(encoding="utf-8"))
    play(tmp_path, tasks, **defaults)
    written = yaml.safe_load((tmp_path / "mongod.conf").read_text(encoding="utf-8"))
    assert written["net"]["tls"]["mode"] == "requireTLS"
    assert written["net"]["bindIp"] == "127.0.0.1,localhost"
    assert written["security"] == {"authorization": "enabled", "keyFile": "/etc/mongodb/cluster.key"}
    assert written["replication"]["replSetName"] == "tenancy"
    assert written["storage"]["dbPath"] == "/var/lib/mongodb"


def make(server: Server, password: str, admin: str = "4dmin-s3cret", name: str = "tenancy") -> dict[str, Any]:
    """Run the role's program as the role does."""
    settings = {
        "host": "127.0.0.1",
        "port": server.port,
        "tls": None,
        "replica_set": None,
        "admin": {"name": "admin", "password": admin},
        "database": "tenancy",
        "user": {"name": name, "password": password},
    }
    command = [sys.executable, "-c", PROGRAM.read_text(encoding="utf-8")]
    done = subprocess.run(command, input=json.dumps(settings), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_users_with_least_privilege(tmp_path: Path) -> None:
    server = Server(tmp_path / "mongo").start()
    try:
        assert make(server, "first")["actions"] == ["create administrator", "create user"]
        server.stop()
        server.options.append("--auth")
        server.auth = True
        server.login = ("admin", "4dmin-s3cret")
        server.start()
        assert make(server, "first") == {"changed": False, "actions": []}
        assert make(server, "sec/ond@")["actions"] == ["set password"]
        assert make(server, "sec/ond@")["changed"] is False
        uri = f"mongodb://tenancy:{quote_plus('sec/ond@')}@127.0.0.1:{server.port}/tenancy?replicaSet=secantus"
        with open_store(uri) as store:
            inserted = store.insert("profiles", {"key": "web"})
            assert store.get("profiles", "web") == inserted
        with pymongo.MongoClient(uri) as client:
            for forbidden in ("other", "admin"):
                with pytest.raises(OperationFailure):
                    client[forbidden]["things"].insert_one({"x": 1})
            with pytest.raises(OperationFailure):
                client.tenancy.command("createUser", "mallory", pwd="x", roles=["dbOwner"])
        with server.client() as admin:
            admin.tenancy.command("updateUser", "tenancy", roles=[{"role": "dbOwner", "db": "tenancy"}])
        assert make(server, "sec/ond@")["actions"] == ["set roles"]
    finally:
        server.stop()


# What stands for python3 on a member: it keeps what the role said, leaves TLS out, whose files need the host to
# themselves, and runs the program.
PYTHON = """#!{python}
import json, subprocess, sys
settings = json.load(sys.stdin)
with open("{said}", "w", encoding="utf-8") as handle:
    json.dump(settings, handle)
settings["tls"] = None
sys.exit(subprocess.run([sys.executable, *sys.argv[1:]], input=json.dumps(settings).encode()).returncode)
"""


def members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: int, *first: dict[str, Any]) -> Play:
    """The last part of the role on two hosts, of which one has an address of its own."""
    programs = tmp_path / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "python3").write_text(PYTHON.format(python=sys.executable, said=tmp_path / "said"), encoding="utf-8")
    (programs / "python3").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    hosts = {"db1": HERE, "db2": {**HERE, "profile_store_address": "192.0.2.2"}}
    users = {"ansible.builtin.include_role": {"name": "predictive.tenancy.profile_store", "tasks_from": "users.yml"}}
    book = [{"hosts": "all", "gather_facts": False, "tasks": [*first, users]}]
    (tmp_path / "members.yml").write_text(json.dumps(book), encoding="utf-8")
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}), encoding="utf-8")
    given = {"profile_store_port": port, "profile_store_admin_password": "4dmin", "profile_store_password": "s3cret"}
    return run_playbook(tmp_path / "members.yml", tmp_path, given, inventory=tmp_path / "hosts.json")


def test_the_members_of_the_replica_set_and_its_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(tmp_path / "mongo").start()
    try:
        done = members(tmp_path, monkeypatch, server.port)
        assert (done.failed, done.changed) == (0, 1), done.text
        said = json.loads((tmp_path / "said").read_text(encoding="utf-8"))
        assert said["replica_set"] == {
            "name": "tenancy",
            "members": [f"db1:{server.port}", f"192.0.2.2:{server.port}"],
        }
        assert said["tls"] == {"ca": "/etc/mongodb/ca.pem"}
        with server.client() as client:
            assert [user["user"] for user in client.tenancy.command("usersInfo")["users"]] == ["tenancy"]
        again = members(tmp_path, monkeypatch, server.port)
        assert (again.failed, again.changed) == (0, 0), again.text
    finally:
        server.stop()


def test_a_member_that_failed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {"ansible.builtin.fail": {"msg": "no disk"}, "when": "inventory_hostname == 'db2'"}
    done = members(tmp_path, monkeypatch, 9, broken)
    assert "db2 failed: mend them" in " ".join(done.text.split()), done.text
    assert not (tmp_path / "said").exists()
