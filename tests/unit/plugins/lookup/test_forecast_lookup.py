# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup through real ansible-core: options from everywhere, plain results, clear refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from array import array
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._flow import learn, profiles
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from ansible_collections.predictive.tenancy.plugins.module_utils._store.interface import RequestBatch, UsageBatch

NOW = datetime(2026, 2, 2, tzinfo=timezone.utc)
COLLECTIONS = Path(learn.__file__).absolute().parents[6]

PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  vars:
    tenancy_now: "2026-02-02T00:00:00Z"
    numbers: "{{ (range(24) | list) * 10 }}"
    samples:
      - {time: "2026-02-01T20:00:00Z", value: 2}
      - {time: "2026-02-01T18:00:00Z", value: "{{ 3 }}"}
      - {time: "2026-02-01T22:00:00Z", value: ""}
      - {time: "2026-02-01T23:00:00Z", value: 2.5}
    times: ["2026-01-30T09:00:00+01:00", "2026-01-31T09:00:00+01:00", "2026-02-01T09:00:00+01:00",
            "2026-01-27T09:00:00+01:00", "2026-01-28T09:00:00+01:00", "2026-01-29T09:00:00+01:00"]
  tasks:
    - ansible.builtin.copy:
        dest: "{{ out }}"
        mode: "0600"
        content: "{{ answers | to_json }}"
      vars:
        answers:
          stored: "{{ query('predictive.tenancy.forecast', 'web', 'batch') }}"
          every: "{{ query('predictive.tenancy.forecast', horizon='1h') | map(attribute='name') }}"
          quantiles: "{{ lookup('predictive.tenancy.forecast', 'web').cpu.quantiles.keys() | list }}"
          inline: "{{ lookup('predictive.tenancy.forecast', series=numbers, step='1h') }}"
          two: "{{ query('predictive.tenancy.forecast', series={'a': samples, 'b': samples | reverse | list}) }}"
          requests: "{{ lookup('predictive.tenancy.forecast', requests=times, horizon='1d') }}"
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lookup")
    uri = f"sqlite://{folder}/store.db"
    with open_store(uri) as store:
        for name in ("web", "batch"):
            profiles.ensure(store, {"name": name}, NOW, dry=False)
        times = NOW.timestamp() - 7 * 86400 + np.arange(7 * 288) * 300.0
        cpu = 1 + np.sin(2 * np.pi * times / 86400)
        store.append_usage([UsageBatch("web", "", array("d", times), {"cpu": array("d", cpu)})])
        store.append_requests([RequestBatch("batch", array("d", NOW.timestamp() - 900.0 * np.arange(1, 99)[::-1]))])
        list(learn.learn(store, ["web", "batch"], NOW))
    return folder, uri


def environment(folder, **more):
    (folder / "ansible.cfg").write_text("[predictive_tenancy]\nforecast_horizon = 2h\n")
    return {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        **more,
    }


def play(folder, text, **more):
    book = folder / "book.yml"
    book.write_text(text)
    return subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-e", f"out={folder}/out.json", book],
        env=environment(folder, **more),
        capture_output=True,
        text=True,
        check=False,
    )


def test_options_come_from_environment_ini_and_variables(world):
    folder, uri = world
    done = play(folder, PLAYBOOK, TENANCY_STORE=uri, TENANCY_FORECAST_QUANTILES="0.5,0.9")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "unsupported in variable storage" not in done.stdout + done.stderr
    answers = json.loads((folder / "out.json").read_text())
    web, batch = answers["stored"]
    assert web["name"] == "web"
    assert web["cpu"]["source"] == "stored"
    assert web["cpu"]["start"] == "2026-02-02T00:00:00Z"
    assert len(web["cpu"]["quantiles"]["0.9"]) == 24  # two hours from ansible.cfg
    assert batch["requests"]["kind"] == "periodic"
    assert batch["requests"]["next"][0]["expected"] == "2026-02-02T00:00:00Z"
    assert answers["every"] == ["batch", "web"]
    assert answers["quantiles"] == ["0.5", "0.9"]
    assert answers["inline"]["period"] == 86400
    assert answers["inline"]["quantiles"]["0.5"] == pytest.approx([0, 1], abs=0.6)
    first, second = answers["two"]
    assert {**first, "name": ""} == {**second, "name": ""}
    assert [item["expected"] for item in answers["requests"]["requests"]["next"]] == ["2026-02-02T08:00:00Z"]


REFUSED = [
    (["web"], {"horizn": "1h"}, "there is no option 'horizn'"),
    (["nobody"], {}, "nobody: there is no such profile"),
    (["web"], {"horizon": "soon"}, "soon"),
    (["web"], {"quantiles": [0.9, 0.5]}, "must ascend"),
    (["web"], {"series": [1, 2]}, "exclude each other"),
    ([], {"series": [1, "x"]}, "series series, sample 1"),
    ([], {"series": {}}, "series is empty"),
    ([], {"series": [""]}, "it has no value"),
    ([], {"series": [{"time": "2026-01-01", "valeu": 1}]}, "unknown key 'valeu'"),
    ([], {"requests": ["noon"]}, "requests, item 0"),
    ([], {"requests": ["2026-01-01"], "timezone": "Mars/Base"}, "Mars/Base"),
    (["web"], {"store": "ftp://x"}, "not the URI of a store"),
]

ASK = """
import json, sys
from ansible.errors import AnsibleLookupError
from ansible.plugins.loader import init_plugin_loader, lookup_loader

init_plugin_loader()
said = []
for terms, options in json.load(sys.stdin):
    try:
        lookup_loader.get("predictive.tenancy.forecast").run(terms, variables={}, **options)
        said.append("no refusal")
    except AnsibleLookupError as error:
        said.append(str(error))
print(json.dumps(said))
"""


def test_refusals_say_what_and_where(world):
    folder, uri = world
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        input=json.dumps([[terms, options] for terms, options, _message in REFUSED]),
        env=environment(folder, TENANCY_STORE=uri),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert len(said) == len(REFUSED)
    for (terms, options, message), text in zip(REFUSED, said):
        assert message in text, (terms, options)


OPENED = """
import json
from ansible.plugins.loader import init_plugin_loader, lookup_loader

init_plugin_loader()
from ansible_collections.predictive.tenancy.plugins.module_utils._store import connect

opened = []
real = connect.open_store
connect.open_store = lambda *args, **more: opened.append(args) or real(*args, **more)
answers = []
for turn in range(5):
    plugin = lookup_loader.get("predictive.tenancy.forecast")
    answers.append(plugin.run(["web"], variables={"tenancy_now": "2026-02-02T00:00:00Z"}, horizon="7d", step="1h"))
print(json.dumps([len(opened), all(answer == answers[0] for answer in answers), answers[0][0]["cpu"]["source"]]))
"""


def test_a_run_opens_the_store_once_and_answers_the_same(world):
    folder, uri = world
    done = subprocess.run(
        [sys.executable, "-c", OPENED],
        env=environment(folder, TENANCY_STORE=uri),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [1, True, "computed"]
