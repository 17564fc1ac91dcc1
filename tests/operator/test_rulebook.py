# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rulebook run by a real ansible-rulebook that a real Alertmanager tells of alerts."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_rulebook.collection import has_playbook, has_rulebook
from conftest import PROGRAMS, ROOT

RULEBOOK = ROOT / "extensions" / "eda" / "rulebooks" / "rebalance.yml"
RULES = ROOT / "roles" / "monitoring" / "files" / "tenancy.rules.yml"
# In place of the real playbook, which needs VMs: it says with which variables it was started.
PLAYBOOK = [
    {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "tasks": [
            {
                "ansible.builtin.copy": {
                    "dest": "{{ started }}/{{ rebalance_vm }}-{{ lookup('pipe', 'date +%s%N') }}.json",
                    "content": "{{ {'vm': rebalance_vm, 'cell': tenancy_cell, 'mode': rebalance_mode,"
                    " 'because': rebalance_because} | to_json }}",
                    "mode": "0600",
                }
            }
        ],
    }
]


def wait_for(what: Callable[[], Any], seconds: float, why: Callable[[], str]) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, why()
        time.sleep(0.2)
    return found


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Site:
    """A running Alertmanager and a running rulebook."""

    def __init__(self, home: Path, rulebook_port: int, alertmanager_port: int) -> None:
        self.home = home
        self.alertmanager = f"http://127.0.0.1:{alertmanager_port}"
        self.ports = (rulebook_port, alertmanager_port)
        (home / "started").mkdir()

    def log(self) -> str:
        return "\n".join(path.read_text(encoding="utf-8", errors="replace")[-4000:] for path in self.home.glob("*.log"))

    def started(self) -> list[dict[str, str]]:
        texts = (path.read_text(encoding="utf-8") for path in sorted((self.home / "started").glob("*.json")))
        return [json.loads(text) for text in texts if text]

    def alert(self, name: str, *vms: str, **labels: str) -> None:
        """Tell the Alertmanager of an alert about a tenant of each VM, as Prometheus does."""
        now = datetime.now(timezone.utc).isoformat()
        alerts = [
            {"labels": {"alertname": name, "vm": vm, "cell": "north", **labels}, "startsAt": now, "annotations": {}}
            for vm in vms
        ]
        body = json.dumps(alerts).encode()
        address = f"{self.alertmanager}/api/v2/alerts"
        request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=10).close()


@pytest.fixture
def site(tmp_path: Path, tools: dict[str, str]) -> Iterator[Site]:
    probes = [socket.socket() for _number in range(2)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    site = Site(tmp_path, *ports)
    receivers = [
        {"name": "rulebook", "webhook_configs": [{"url": f"http://127.0.0.1:{ports[0]}/endpoint", "max_alerts": 0}]}
    ]
    route = {"receiver": "rulebook", "group_by": ["alertname"], "group_wait": "1s", "group_interval": "1s"}
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump({"route": route, "receivers": receivers}))
    (tmp_path / "play.yml").write_text(yaml.safe_dump(PLAYBOOK), encoding="utf-8")
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    hosts = {"all": {"hosts": {"localhost": here}, "vars": {"started": f"{tmp_path}/started"}}}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(hosts), encoding="utf-8")
    variables = {
        "tenancy_alerts_port": ports[0],
        "tenancy_rebalance_playbook": str(tmp_path / "play.yml"),
    }
    (tmp_path / "vars.yml").write_text(yaml.safe_dump(variables), encoding="utf-8")
    # The calm is a constant of the rulebook, and ten minutes are long for a test.
    calmed = RULEBOOK.read_text(encoding="utf-8").replace("once_within: 10 minutes", "once_within: 6 seconds")
    (tmp_path / "rulebook.yml").write_text(calmed, encoding="utf-8")
    rulebook = [str(PROGRAMS / "ansible-rulebook"), "-r", str(tmp_path / "rulebook.yml")]
    rulebook += ["-i", str(tmp_path / "hosts.yml")]
    rulebook += ["--vars", str(tmp_path / "vars.yml"), "--print-events"]
    alertmanager = ["prometheus-alertmanager", f"--config.file={tmp_path}/alertmanager.yml"]
    alertmanager += [f"--storage.path={tmp_path}/alerts", f"--web.listen-address=127.0.0.1:{ports[1]}"]
    alertmanager += ["--cluster.listen-address="]
    processes = []
    try:
        for name, command in (("rulebook", rulebook), ("alertmanager", alertmanager)):
            with open(tmp_path / f"{name}.log", "wb") as log:
                processes.append(
                    subprocess.Popen(command, env=tools, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
                )
        wait_for(lambda: all(listens(port) for port in site.ports), 60, site.log)
        yield site
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=30)


def test_alerts_correct_just_their_vm_and_storms_are_calmed(site: Site) -> None:
    many = {"rebalance": "yes", "severity": "warning"}
    for number in range(5):  # a storm about n1, by several tenants and alerts
        site.alert("TenancyCpuPressure", "n1", tenant=f"t{number}", **many)
        site.alert("TenancyThrottled", "n1", tenant=f"t{number}", **many)
    site.alert("TenancyOutOfMemory", "n2", tenant="u1", **many)
    site.alert("TenancyPlanWaits", "n3", severity="info")
    wait_for(lambda: {one["vm"] for one in site.started()} >= {"n1", "n2"}, 60, site.log)
    time.sleep(2)
    started = site.started()
    assert sorted(one["vm"] for one in started) == ["n1", "n2"], "each VM once, and none that no rebalance can help"
    by_vm = {one["vm"]: one for one in started}
    assert by_vm["n2"] == {"vm": "n2", "cell": "north", "mode": "apply", "because": "TenancyOutOfMemory"}
    assert by_vm["n1"]["because"] in ("TenancyCpuPressure", "TenancyThrottled")
    time.sleep(6)
    site.alert("TenancyMemoryPressure", "n1", tenant="later", **many)
    wait_for(lambda: len([one for one in site.started() if one["vm"] == "n1"]) == 2, 60, site.log)


def test_the_rulebook_acts_on_just_what_the_rules_mark() -> None:
    """Labels that the condition and the throttle ask for are those that the rules give or keep."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    marked = [r["alert"] for group in groups for r in group["rules"] if r.get("labels", {}).get("rebalance") == "yes"]
    assert sorted(marked) == [
        "TenancyCpuPressure",
        "TenancyForecastMissed",
        "TenancyMemoryPressure",
        "TenancyOutOfMemory",
        "TenancyThrottled",
    ]
    assert has_playbook("predictive.tenancy", "rebalance_vm"), "the engine does not find it in the collection"
    assert has_rulebook("predictive.tenancy", "rebalance")
    (rule,) = yaml.safe_load(RULEBOOK.read_text(encoding="utf-8"))[0]["rules"]
    assert 'event.labels.rebalance == "yes"' in rule["condition"]
    variables = rule["action"]["run_playbook"]["extra_vars"]
    playbook = (ROOT / "playbooks" / "rebalance_vm.yml").read_text(encoding="utf-8")
    assert not [name for name in variables if not re.search(rf"^#   .*\b{name}\b", playbook, re.M)]
