# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin read by ansible-inventory from a real store, and the example site."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from module_process import run_module

ROOT = Path(__file__).resolve().parent.parent.parent
NOW = "2026-03-02T00:00:00Z"
EXAMPLE = ROOT / "inventories" / "example"


def vm(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "capacity": {"cpu": 4, "memory": "8GiB"}, **fields}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two cells: north with a VM that drains, one that is lost and a tenant; south in another zone."""
    scratch = tmp_path_factory.mktemp("inventory")
    uri = f"sqlite://{scratch}/store.db"
    north = [
        vm("n1", zone="hall-a", host="kvm1", labels={"address": "192.0.2.11"}),
        vm("n2", zone="hall-b", host="kvm2", state="draining"),
        vm("n3", zone="hall-b", host="kvm2", state="lost"),
    ]
    request = {"id": "order_1", "workload": "order", "resources": {"cpu": "0.2", "memory": "128MiB"}}
    common = {"store": uri, "now": NOW}
    for cell in ({"cell": "north", "vms": north, "requests": [request]}, {"cell": "south", "vms": [vm("s1")]}):
        done = run_module("tenant_admit", {**common, **cell}, scratch)
        assert not done.get("failed"), done
    return uri


def listed(source: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["ansible-inventory", "-i", str(source), *(arguments or ("--list",))]
    env = {**os.environ, "ANSIBLE_INVENTORY_UNPARSED_FAILED": "true", **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def plainly(item: dict[str, Any]) -> Any:
    """ansible-inventory marks texts that are never templates; what matters here is what they say."""
    return item["__ansible_unsafe"] if set(item) == {"__ansible_unsafe"} else item


def inventory(folder: Path, store: str, **options: Any) -> dict[str, Any]:
    source = folder / "site.tenancy.yml"
    source.write_text(yaml.safe_dump({"plugin": "predictive.tenancy.tenancy", **options}), encoding="utf-8")
    done = listed(source, TENANCY_STORE=store)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout, object_hook=plainly)


def members(shown: dict[str, Any], group: str) -> list[str]:
    return sorted(shown.get(group, {}).get("hosts", []))


def test_vms_and_hosts_by_cell_zone_and_state(tmp_path: Path, store: str) -> None:
    shown = inventory(tmp_path, store)
    assert members(shown, "capacity_vms") == ["n1", "n2", "s1"], "the lost one is left out"
    assert members(shown, "kvm_hosts") == ["kvm1", "kvm2"]
    assert members(shown, "cell_north") == ["kvm1", "kvm2", "n1", "n2"]
    assert members(shown, "cell_south") == ["s1"]
    assert members(shown, "zone_hall_b") == ["kvm2", "n2"]
    assert members(shown, "state_draining") == ["n2"]
    assert members(shown, "on_kvm1") == ["n1"]
    assert members(shown, "tenants") == []
    variables = shown["_meta"]["hostvars"]
    assert variables["kvm2"]["tenancy_host"] == {"vms": ["n2"]}
    assert variables["s1"]["tenancy_cell"] == "south"


def test_choices_and_composed_variables(tmp_path: Path, store: str) -> None:
    options = {"cells": ["north"], "zones": ["hall-a", "hall-b"], "states": ["ready", "lost"], "hosts": False}
    compose = {"compose": {"ansible_host": "tenancy_vm.labels.address | default(inventory_hostname)"}}
    shown = inventory(tmp_path, store, **options, **compose)
    assert members(shown, "capacity_vms") == ["n1", "n3"]
    assert members(shown, "kvm_hosts") == []
    hosts = {name: one["ansible_host"] for name, one in shown["_meta"]["hostvars"].items()}
    assert hosts == {"n1": "192.0.2.11", "n3": "n3"}


def test_tenants_if_asked(tmp_path: Path, store: str) -> None:
    shown = inventory(tmp_path, store, tenants=True)
    assert members(shown, "tenants") == members(shown, "cell_north_tenants") == ["order_1"]
    tenant = shown["_meta"]["hostvars"]["order_1"]["tenancy_tenant"]
    assert (tenant["vm"], tenant["state"]) == ("n1", "running")
    assert members(shown, "tenants_on_n1") == ["order_1"]


def test_what_it_lists_is_what_the_planner_takes(tmp_path: Path, store: str) -> None:
    shown = inventory(tmp_path, store, cells=["north"], states=["ready", "draining", "lost"])
    vms = [shown["_meta"]["hostvars"][name]["tenancy_vm"] for name in members(shown, "capacity_vms")]
    done = run_module("tenant_admit", {"store": store, "cell": "north", "vms": vms, "now": NOW}, tmp_path)
    assert done["changed"] is False, done


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"states": ["gone"]}, "gone"),
        ({"store": "mysql://user:secret@db/x"}, "not the URI of a store"),
    ],
)
def test_bad_options_are_told(tmp_path: Path, store: str, options: dict[str, Any], message: str) -> None:
    source = tmp_path / "site.tenancy.yml"
    source.write_text(yaml.safe_dump({"plugin": "predictive.tenancy.tenancy", **options}), encoding="utf-8")
    done = listed(source, TENANCY_STORE=store)
    assert done.returncode != 0
    assert message in done.stderr
    assert "secret" not in done.stderr


def test_an_absent_store_is_an_empty_inventory(tmp_path: Path) -> None:
    shown = inventory(tmp_path, f"sqlite://{tmp_path}/none.db")
    assert shown["_meta"]["hostvars"] == {}
    assert not (tmp_path / "none.db").exists()


def test_the_example_site_is_two_cells() -> None:
    done = listed(EXAMPLE)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    cells = {name for name in shown if name.startswith("cell_")}
    assert cells == {"cell_north", "cell_south"}
    variables = shown["_meta"]["hostvars"]
    vms = listed(EXAMPLE, "--graph", "capacity_vms").stdout
    for name, host in variables.items():
        if f"--{name}\n" in vms:
            assert host["tenancy_cell"] in ("north", "south")
            assert "tenancy_vm" in host, f"{name} has no capacity"


@pytest.mark.parametrize("cell", ["north", "south"])
def test_a_cell_of_the_example_site_can_be_planned(tmp_path: Path, cell: str) -> None:
    """What the playbooks make of the example, worked out by ansible-core, is what the planner takes."""
    common = {"store": f"sqlite://{tmp_path}/store.db", "cell": cell, "vms": "{{ tenancy_vms }}"}
    planned = {**common, "policy": "{{ tenancy_cell_policy }}"}
    tasks = [
        {"predictive.tenancy.tenant_admit": planned},
        {"predictive.tenancy.tenant_rebalance": {**planned, "mode": "observe"}, "register": "observed"},
        {
            "ansible.builtin.debug": {
                "msg": "fill {{ (tenancy_cell_policy.packing | default({})).fill | default(0.9) }}"
            }
        },
    ]
    vars_files = [str(ROOT / "playbooks" / "vars" / "cell.yml")]
    playbook = [{"hosts": "localhost", "gather_facts": False, "vars_files": vars_files, "tasks": tasks}]
    (tmp_path / "play.yml").write_text(yaml.safe_dump(playbook), encoding="utf-8")
    command = ["ansible-playbook", "-i", str(EXAMPLE), "-e", f"tenancy_cell={cell}", str(tmp_path / "play.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"north": "fill 0.9", "south": "fill 0.95"}[cell] in done.stdout
    shown = inventory(tmp_path, common["store"])
    wanted = [f"tenants-{cell}-{number}" for number in ((1, 2, 3, 4) if cell == "north" else (1, 2, 3))]
    assert members(shown, "capacity_vms") == members(shown, f"cell_{cell}")[-len(wanted) :] == wanted
