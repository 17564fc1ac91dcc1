# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What two VMs measured on its way into the history, by the tasks of the playbooks."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store

from playbooks import HERE, Play, run_playbook

TASKS = Path(__file__).resolve().parents[2] / "playbooks" / "tasks" / "measure.yml"
ALWAYS = (datetime(1970, 1, 1, tzinfo=timezone.utc), datetime(2200, 1, 1, tzinfo=timezone.utc))


def tenant(name: str) -> dict[str, Any]:
    """As vm_partition_info returns it."""
    use = {"cpu": {"cores": 0.25}, "memory": {"current": 1 << 27}, "io": {"read": 0, "write": 0}}
    return {"name": name, "state": "running", **use}


def take(folder: Path, store: str, **measured: str) -> Play:
    """Take in what each VM measured of its one tenant: all tasks but the one that measures, which needs the VM."""
    measure, *tasks = yaml.safe_load(TASKS.read_text(encoding="utf-8"))
    assert "predictive.tenancy.vm_partition_info" in measure
    hosts = {vm: {**HERE, measure["register"]: {"tenants": [tenant(name)]}} for vm, name in measured.items()}
    after = {"name": "Decide", "ansible.builtin.debug": {"msg": "decided"}}
    defaults = {"group/predictive.tenancy.store": {"store": store}}
    play = {"hosts": "all", "gather_facts": False, "module_defaults": defaults, "tasks": [*tasks, after]}
    (folder / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}), encoding="utf-8")
    return run_playbook(folder / "play.yml", folder, inventory=folder / "hosts.json")


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A store that knows the tenant web_1."""
    uri = f"sqlite://{tmp_path}/store.db"
    with open_store(uri) as opened:
        opened.insert("profiles", {"key": "web", "workload": "web", "parameters": {}})
        opened.insert("tenants", {"key": "web_1", "profile": "web"})
    return uri


def test_an_unknown_tenant_is_named_and_stops_nothing(tmp_path: Path, store: str) -> None:
    done = take(tmp_path, store, vm1="made_by_hand", vm2="web_1")
    assert done.failed == 0, done.text
    assert "there is no tenant ''made_by_hand'' in the store" in " ".join(done.text.split()), done.text
    assert "docs/operating.md" in done.text
    assert done.text.count("decided") == 2
    with open_store(store) as opened:
        (batch,) = opened.read_usage(["web"], *ALWAYS, tenant="web_1")
    assert list(batch.values["cpu"]) == [0.25]


def test_nothing_is_said_where_all_are_known(tmp_path: Path, store: str) -> None:
    done = take(tmp_path, store, vm1="web_1")
    assert done.failed == 0, done.text
    assert "docs/operating.md" not in done.text


def test_a_store_that_cannot_be_used_still_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("these are my notes\n", encoding="utf-8")
    done = take(tmp_path, f"sqlite://{tmp_path}/notes", vm1="web_1")
    assert done.failed == 1, done.text
    assert "decided" not in done.text
