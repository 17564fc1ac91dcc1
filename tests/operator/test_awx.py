# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/awx.yml by the real collection awx.awx against a server that behaves as AWX, and what its templates run by
ansible-runner, as AWX runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ansible_collections.awx.awx as awx_collection
import ansible_runner
import pytest
import yaml
from awx_server import Awx, start
from conftest import PROGRAMS, ROOT

STORE = "mongodb://tenancy:s3cret@store-1/tenancy"
CELLS = [
    {"name": "north", "inventory_path": "north.tenancy.yml", "instance_groups": ["north hall"], "slices": 4},
    {"name": "south", "inventory_path": "south.tenancy.yml", "interval_minutes": 30},
]
TEMPLATES = yaml.safe_load((ROOT / "playbooks" / "vars" / "awx.yml").read_text(encoding="utf-8"))["awx_job_templates"]


@dataclass
class Done:
    """An AWX that was set up with two cells and then again with one of them, and the two runs."""

    awx: Awx
    first: str
    writes: list[str]
    again: str
    writes_again: list[str]


def run(url: str, folder: Path, cells: list[dict[str, Any]]) -> str:
    variables = {
        "awx_cells": cells,
        "awx_project_url": "https://git.example.org/tenancy.git",
        "awx_image": "registry.example.org/tenancy-ee:1",
        "awx_store": STORE,
    }
    (folder / "variables.json").write_text(json.dumps(variables), encoding="utf-8")
    command = [str(PROGRAMS / "ansible-playbook"), "-e", f"@{folder}/variables.json"]
    command.append(str(ROOT / "playbooks" / "awx.yml"))
    collections = Path(awx_collection.__path__[0]).parent.parent.parent
    env = {
        "PATH": f"{PROGRAMS}:/usr/bin:/bin",
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_PIPELINING": "1",
        "CONTROLLER_HOST": url,
        "CONTROLLER_OAUTH_TOKEN": "token-of-a-test",
    }
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    folder = tmp_path_factory.mktemp("awx")
    awx = Awx(f"playbooks/{path.name}" for path in (ROOT / "playbooks").glob("*.yml"))
    server = start(awx)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        first, writes = run(url, folder, CELLS), list(awx.writes)
        awx.writes.clear()
        yield Done(awx, first, writes, run(url, folder, CELLS[:1]), list(awx.writes))
    finally:
        server.shutdown()


def test_a_second_run_changes_nothing(done: Done) -> None:
    assert "changed=0" not in done.first
    assert len(done.writes) > 30
    assert done.writes_again == []
    assert "changed=0" in done.again


def test_the_secret_is_injected_and_told_nowhere(done: Done) -> None:
    (kind,) = done.awx.named("credential_types").values()
    assert kind["injectors"] == {"env": {"TENANCY_STORE": "{{ store }}"}}
    (credential,) = done.awx.named("credentials").values()
    assert done.awx.secrets[credential["id"]] == {"store": STORE}
    assert "s3cret" not in done.first + done.again


def test_each_cell_has_its_templates(done: Done) -> None:
    templates = done.awx.named("job_templates")
    assert set(templates) == {f"tenancy {cell['name']} {one['name']}" for cell in CELLS for one in TEMPLATES}
    for cell in CELLS:
        for one in TEMPLATES:
            name = f"tenancy {cell['name']} {one['name']}"
            made = templates[name]
            assert made["playbook"] == f"playbooks/{one['playbook']}"
            assert json.loads(made["extra_vars"]) == {"tenancy_cell": cell["name"], **one.get("variables", {})}
            assert done.awx.linked("job_templates", name, "credentials") == ["tenancy store"]
            survey = done.awx.surveys.get(made["id"], {}).get("spec", [])
            assert [question["variable"] for question in survey] == [q["variable"] for q in one.get("survey", [])]
    assert templates["tenancy north measure"]["job_slice_count"] == 4
    assert templates["tenancy north recommend"]["job_slice_count"] == 1, "a cell is planned as a whole"
    assert done.awx.linked("job_templates", "tenancy north apply", "instance_groups") == ["north hall"]


def test_a_person_stands_between_recommending_and_applying(done: Done) -> None:
    awx = done.awx
    nodes = {
        one["identifier"]: one
        for one in awx.objects["workflow_job_template_nodes"].values()
        if one["workflow_job_template"] == awx.named("workflow_job_templates")["tenancy north reconcile"]["id"]
    }
    steps, at = [], "recommend"
    while True:
        node = nodes[at]
        steps.append(awx.template(node["unified_job_template"])["name"])
        following = awx.links.get(("workflow_job_template_nodes", node["id"], "success_nodes"), [])
        if not following:
            break
        at = next(name for name, one in nodes.items() if one["id"] == following[0])
    assert steps == ["tenancy north recommend", "tenancy north review the plan", "tenancy north apply"]
    assert awx.type(nodes["review"]) == "workflow_approval"


def test_schedules_and_inventories(done: Done) -> None:
    schedules = done.awx.named("schedules")
    assert set(schedules) == {f"tenancy {c['name']} {kind}" for c in CELLS for kind in ("reconcile", "measure")}
    assert schedules["tenancy south reconcile"]["rrule"].endswith("INTERVAL=30")
    source = done.awx.named("inventory_sources")["tenancy north"]
    assert (source["source"], source["source_path"]) == ("scm", "north.tenancy.yml")


def test_every_question_is_a_variable_that_its_playbook_documents() -> None:
    for one in TEMPLATES:
        text = (ROOT / "playbooks" / one["playbook"]).read_text(encoding="utf-8")
        head = text[: text.index("- name:")]
        for variable in [question["variable"] for question in one.get("survey", [])] + list(one.get("variables", {})):
            assert f"#   {variable}" in head, f"{one['playbook']} does not document {variable}"


# What is about one VM, or about a history, says so when there is none.
REFUSALS = {"rebalance VM": "none could not be measured", "replay": "there is no usage in that time"}


@pytest.mark.parametrize("template", TEMPLATES, ids=[one["name"] for one in TEMPLATES])
def test_the_runner_runs_each_template_on_a_cell_without_vms(template: dict[str, Any], tmp_path: Path) -> None:
    """As AWX does: a private folder with inventory, extra variables and the environment of the credential. The parts on
    VMs have no hosts here; they run in the lab."""
    if template["playbook"] == "rebalance_vm.yml":
        expected = {"rebalance_vm": "none", "rebalance_mode": "recommend"}
    else:
        expected = {question["variable"]: question["default"] for question in template.get("survey", [])}
    here = f"ansible_connection=local ansible_python_interpreter={sys.executable}"
    inventory = f"localhost {here}\n[capacity_vms]\n[cell_north]\n"
    done = ansible_runner.run(
        private_data_dir=str(tmp_path),
        project_dir=str(ROOT),
        playbook=f"playbooks/{template['playbook']}",
        inventory=inventory,
        extravars={"tenancy_cell": "north", **template.get("variables", {}), **expected},
        envvars={"TENANCY_STORE": f"sqlite://{tmp_path}/store.db", "ANSIBLE_PIPELINING": "1"},
        quiet=True,
    )
    text = done.stdout.read()
    if template["name"] in REFUSALS:
        assert done.rc == 2
        assert REFUSALS[template["name"]] in " ".join(text.split()), text
        return
    assert (done.status, done.rc) == ("successful", 0), text
    if template["name"] == "recommend":
        stats = [event for event in done.events if event["event"] == "playbook_on_stats"]
        assert stats[0]["event_data"]["artifact_data"] == {"reconcile_plan": ""}, (
            "what the next step of a workflow gets"
        )
