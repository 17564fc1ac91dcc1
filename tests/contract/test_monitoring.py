# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role monitoring: rules by promtool, the expressions of rules and dashboards against a real Prometheus that holds
what our exporters really wrote, the role by its own checks."""

from __future__ import annotations

import grp
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.exposition import expose
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.schedule_state import State
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from cgroup_tree import machine
from module_process import run_module

from playbooks import HERE, run_playbook

ROOT = Path(__file__).resolve().parent.parent.parent
ROLE = ROOT / "roles" / "monitoring"
RULES = ROLE / "files" / "tenancy.rules.yml"
DASHBOARDS = sorted((ROLE / "files" / "dashboards").glob("*.json"))
NAME = re.compile(r"\btenancy[_:][a-zA-Z0-9_:]+")
SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$")
MINUTES = 30


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


RECORDED = {rule["record"] for rule in rules() if "record" in rule}
ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}


def panels() -> list[tuple[str, str]]:
    """(where, expression) of every target of every dashboard."""
    found = []
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            found += [(f"{path.stem}: {panel['title']}", target["expr"]) for target in panel["targets"]]
    return found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What our exporters write about one small site that has seen everything: a page of the VM for each minute, one of
    the store, one of the schedule."""
    scratch = tmp_path_factory.mktemp("pages")
    source = ROOT / "roles" / "tenant_metrics" / "files" / "tenant_metrics.py"
    spec = importlib.util.spec_from_file_location("tenant_metrics", source)
    assert spec is not None
    assert spec.loader is not None
    exporter = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(exporter)
    found = {}
    for minute in range(MINUTES + 1):
        machine(scratch / "vm", 600.0 + 40 * minute)
        found[f"vm {minute}"] = exporter.collect(str(scratch / "vm"))
    now = datetime.now(timezone.utc).replace(microsecond=0)
    found["store"] = store_page(scratch, now)
    state = State(runs={"succeeded": 7})
    state.ended("failed", 4, now - timedelta(minutes=3), now - timedelta(minutes=2))
    state.succeeded_at = state.started_at
    found["schedule"] = expose(state.families("north"))
    return found


def store_page(scratch: Path, now: datetime) -> str:
    """tenancy_metrics on a store that the modules filled: history, tenants (web_1 is one), a plan that was begun."""
    common = {"store": f"sqlite://{scratch}/store.db", "now": now.isoformat()}
    sample = run_module("workload_sample", {"dest": str(scratch), "days": 7, "workloads": 5}, scratch)
    files = [{"path": item["name"], "kind": item["kind"], "format": "csv"} for item in sample["results"]]
    vms = [{"name": name, "capacity": {"cpu": 2, "memory": "2GiB"}} for name in ("vm1", "vm2")]
    (always,) = [one["name"] for one in sample["workloads"] if one["name"] == "web_shop"]
    request = {"id": "web_1", "profile": always, "resources": {"cpu": "0.2", "memory": "128MiB"}}
    cell = {**common, "cell": "north"}
    measured = {
        "name": "web_1",
        "cpu": {"cores": 0.2, "throttled": 0.4},
        "memory": {"current": 50_000_000},
        "io": {"read": 0.0, "write": 0.0},
        "pressure": {"cpu": None, "memory": None, "io": None},
    }
    steps: list[tuple[str, dict[str, Any]]] = [
        ("workload_observe", {**common, "files": files, "rebase": common["now"]}),
        ("workload_profile", {**common, "state": "learned"}),
        ("tenant_admit", {**cell, "vms": vms, "requests": [request], "expected": "3h"}),
        ("tenant_rebalance", {**cell, "measured": {name: [measured] for name in ("vm1", "vm2")}}),
        ("tenant_rebalance", {**cell, "mode": "apply"}),
    ]
    for module, arguments in steps:
        done = run_module(module, arguments, scratch)
        assert not done.get("failed"), done
    scored_once(common["store"])
    dest = scratch / "tenancy.prom"
    done = run_module("tenancy_metrics", {**cell, "dest": str(dest)}, scratch)
    assert not done.get("failed"), done
    text = dest.read_text(encoding="utf-8")
    # The modules placed web_1 where they liked; the VM whose cgroups are read here is called vm1.
    return re.sub(r'(tenancy_tenant_assigned\{.*tenant="web_1",vm=)"vm2"', r'\1"vm1"', text)


def scored_once(uri: str) -> None:
    """A day later a forecast has been held against what came: this is what learning keeps of it."""
    with open_store(uri) as store:
        for profile in store.find("profiles"):
            for pattern in profile["patterns"].values():
                pattern["last_error"] = 0.1 * pattern["level"]
                pattern["online"] = {**pattern["online"], "scored": 288, "coverage": 0.9}
            store.update("profiles", profile)


def emitted(pages: dict[str, str]) -> set[str]:
    """The names of all metrics that have a sample on some page."""
    matches = (SAMPLE.match(line) for page in pages.values() for line in page.splitlines())
    return {match.group(1) for match in matches if match}


def named() -> dict[str, set[str]]:
    """The metrics of ours that each rule and panel names."""
    found = {rule.get("record") or rule["alert"]: set(NAME.findall(rule["expr"])) for rule in rules()}
    for where, expression in panels():
        found.setdefault(where, set()).update(NAME.findall(expression))
    return found


def test_every_metric_that_a_rule_or_panel_names_is_really_emitted(pages: dict[str, str]) -> None:
    known = emitted(pages) | RECORDED
    missing = {where: sorted(names - known) for where, names in named().items() if names - known}
    assert not missing


def test_every_metric_is_documented_and_every_documented_metric_is_emitted(pages: dict[str, str]) -> None:
    guides = [ROOT / "docs" / "operating.md", ROOT / "roles" / "tenant_metrics" / "README.md"]
    told = {name for path in guides for name in NAME.findall(path.read_text(encoding="utf-8"))}
    assert emitted(pages) <= told, f"not documented: {sorted(emitted(pages) - told)}"
    ours = re.compile("tenancy_(tenant|shadow|node|reconcile|profile|vm)_.+")
    assert {name for name in told if ours.fullmatch(name)} <= emitted(pages) | RECORDED


def test_promtool_accepts_the_pages(pages: dict[str, str]) -> None:
    for name in ("store", "schedule", "vm 0"):
        command = ["promtool", "check", "metrics"]
        done = subprocess.run(command, input=pages[name], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout + done.stderr) == (0, ""), name


def test_rules_do_what_they_say(tmp_path: Path) -> None:
    for path in (RULES, Path(__file__).parent / "monitoring" / "tenancy_test.yml"):
        shutil.copy(path, tmp_path)
    done = subprocess.run(
        ["promtool", "test", "rules", str(tmp_path / "tenancy_test.yml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested_and_says_what_to_do() -> None:
    cases = (Path(__file__).parent / "monitoring" / "tenancy_test.yml").read_text(encoding="utf-8")
    readme = (ROLE / "README.md").read_text(encoding="utf-8")
    for name, rule in ALERTS.items():
        assert re.search(rf"alertname: {name}\n        eval_time: .*\n        exp_alerts:\n", cases), f"{name}: no test"
        assert {"summary", "action"} <= set(rule["annotations"]), name
        assert rule["labels"]["severity"] in ("info", "warning", "critical"), name
        assert f"`{name}`" in readme, f"{name} is not in the role's README"


def openmetrics(pages: dict[str, str], end: float) -> str:
    """The pages as history that ends now, with the labels that scraping adds; the samples of a family together."""
    types: dict[str, str] = {}
    lines: dict[str, list[str]] = {}
    for minute in range(MINUTES + 1):
        moment = end - 60 * (MINUTES - minute)
        for name, target in ((f"vm {minute}", {"cell": "north", "vm": "vm1"}), ("store", {}), ("schedule", {})):
            for line in pages[name].splitlines():
                if line.startswith("# TYPE"):
                    _hash, _type, metric, kind = line.split()
                    types[metric] = kind
                elif match := SAMPLE.match(line):
                    metric, labels, value = match.groups()
                    told = ",".join(filter(None, [labels, *(f'{key}="{text}"' for key, text in target.items())]))
                    lines.setdefault(metric, []).append(f"{metric}{{{told}}} {value} {moment:.0f}")
    text = []
    for metric, kind in types.items():
        if metric in lines:
            family = metric.removesuffix("_total") if kind == "counter" else metric
            series: dict[str, list[str]] = {}
            for line in lines[metric]:
                series.setdefault(line.partition("}")[0], []).append(line)
            text += [f"# TYPE {family} {kind}", *(line for group in series.values() for line in group)]
    return "\n".join([*text, "# EOF", ""])


@pytest.fixture(scope="module")
def prometheus(pages: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus with that history and our rules."""
    home = tmp_path_factory.mktemp("prometheus")
    (home / "history.txt").write_text(openmetrics(pages, time.time()), encoding="utf-8")
    config = {"global": {"evaluation_interval": "1s"}, "rule_files": [str(RULES)]}
    (home / "config.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    fill = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(home / "history.txt"), str(home / "data")]
    filled = subprocess.run(fill, capture_output=True, text=True, check=False)
    assert filled.returncode == 0, filled.stdout + filled.stderr
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{probe.getsockname()[1]}"
    command = ["prometheus", f"--config.file={home}/config.yml", f"--storage.tsdb.path={home}/data"]
    command += [f"--web.listen-address={url}", "--log.level=error"]
    with open(home / "log", "wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not recorded(f"http://{url}"):
            assert process.poll() is None, (home / "log").read_text(encoding="utf-8")
            assert time.monotonic() < deadline, "the rules were not evaluated"
            time.sleep(0.3)
        yield f"http://{url}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def query(url: str, expression: str) -> list[dict[str, Any]]:
    data = urllib.parse.urlencode({"query": expression}).encode()
    with urllib.request.urlopen(f"{url}/api/v1/query", data, timeout=20) as answer:
        return json.load(answer)["data"]["result"]


def recorded(url: str) -> bool:
    """Whether it answers and the last of our recorded series, which stand on one another, is there."""
    try:
        return bool(query(url, "tenancy:tenant_cpu_over_forecast:ratio") and query(url, "tenancy:vm_cpu_cores:rate5m"))
    except OSError:
        return False


def test_every_recorded_series_and_every_panel_shows_something(prometheus: str) -> None:
    empty = [name for name in RECORDED if not query(prometheus, name)]
    for where, expression in panels():
        if not query(prometheus, re.sub(r"\$(cell|vm|tenant|profile|resource)\b", ".*", expression)):
            empty.append(f"{where}: {expression}")
    assert not empty


def test_figures_are_right(prometheus: str) -> None:
    """40 seconds of CPU time a minute; a twentieth of it waited; a tenth of all periods throttled."""
    (cores,) = query(prometheus, 'tenancy:tenant_cpu_cores:rate5m{tenant="web_1"}')
    assert float(cores["value"][1]) == pytest.approx(40 / 60, rel=0.02)
    assert cores["metric"]["vm"] == "vm1"
    (pressure,) = query(prometheus, 'tenancy:tenant_pressure:ratio5m{tenant="web_1",resource="cpu"}')
    assert float(pressure["value"][1]) == pytest.approx(40 / 60 / 20, rel=0.02)
    (memory,) = query(prometheus, 'tenancy:tenant_memory:ratio{tenant="web_1"}')
    assert float(memory["value"][1]) == 0.5


def test_dashboards_hold_together() -> None:
    for path in DASHBOARDS:
        board = json.loads(path.read_text(encoding="utf-8"))
        assert board["uid"] == path.stem
        numbers = [panel["id"] for panel in board["panels"]]
        assert len(set(numbers)) == len(numbers)
        assert {panel["datasource"]["uid"] for panel in board["panels"]} == {"tenancy"}
        variables = {variable["name"] for variable in board["templating"]["list"]}
        used = set(re.findall(r"\$([a-z]+)", " ".join(t["expr"] for p in board["panels"] for t in p["targets"])))
        assert used <= variables


def test_the_role_writes_what_its_programs_accept(tmp_path: Path) -> None:
    """On this machine, into other folders, with the example site's inventory as its targets."""
    prometheus = tmp_path / "prometheus"
    for folder in (prometheus, tmp_path / "grafana" / "datasources", tmp_path / "grafana" / "dashboards"):
        folder.mkdir(parents=True)
    for name in ("prometheus.yml", "alertmanager.yml"):
        (prometheus / name).write_text("# as the package brings it\n", encoding="utf-8")
    # Only root may give a file to a group that it is not in.
    group = grp.getgrnam("prometheus") if os.geteuid() == 0 else grp.getgrgid(os.getegid())
    site = [{"hosts": "watch-1", "gather_facts": False, "roles": [{"role": "predictive.tenancy.monitoring"}]}]
    (tmp_path / "site.json").write_text(json.dumps(site), encoding="utf-8")
    variables = {
        "monitoring_packages": [],
        "monitoring_prometheus_folder": str(prometheus),
        "monitoring_prometheus_service": "",
        "monitoring_prometheus_group": group.gr_name,
        "monitoring_alertmanager_group": group.gr_name,
        "monitoring_alertmanager_service": "",
        "monitoring_grafana_service": "",
        "monitoring_receiver": {"webhook_configs": [{"url": "http://127.0.0.1:9/chat"}]},
        "monitoring_rulebook_url": "http://127.0.0.1:5050/endpoint",
        "monitoring_grafana": True,
        "monitoring_grafana_folder": f"{tmp_path}/grafana",
        "monitoring_grafana_dashboards": f"{tmp_path}/boards",
    }
    local = " ".join(f"{key}={value}" for key, value in HERE.items())
    (tmp_path / "here.ini").write_text(f"[monitoring]\nwatch-1 {local}\n", encoding="utf-8")
    inventories = {"inventory": ROOT / "inventories" / "example", "arguments": ["-i", str(tmp_path / "here.ini")]}
    done = run_playbook(tmp_path / "site.json", tmp_path / "play", variables, **inventories)
    assert done.failed == 0, done.text
    for name in ("prometheus.yml", "alertmanager.yml"):
        kept = (prometheus / name).stat()
        assert (kept.st_gid, kept.st_mode & 0o777) == (group.gr_gid, 0o640), f"{name}: its program cannot read it"
    config = yaml.safe_load((prometheus / "prometheus.yml").read_text(encoding="utf-8"))
    vms, controllers = config["scrape_configs"]
    targets = {one["labels"]["vm"]: (one["targets"], one["labels"]["cell"]) for one in vms["static_configs"]}
    assert len(targets) == 7
    assert targets["tenants-south-3"] == (["10.20.2.13:9100"], "south")
    assert controllers["static_configs"] == [{"targets": ["control-1:9100"]}]
    route = ["amtool", "config", "routes", "test", f"--config.file={prometheus}/alertmanager.yml"]
    for labels, receivers in (("rebalance=yes", "rulebook,people"), ("severity=info", "people")):
        tested = subprocess.run([*route, labels], capture_output=True, text=True, check=False)
        assert tested.stdout.strip() == receivers, tested.stdout + tested.stderr
    assert sorted(path.name for path in (tmp_path / "boards").iterdir()) == [path.name for path in DASHBOARDS]
    again = run_playbook(
        tmp_path / "site.json", tmp_path / "play", variables, inventory=inventories["inventory"],
        arguments=[*inventories["arguments"], "--check"],
    )  # fmt: skip
    assert (again.failed, again.changed) == (0, 0), again.text
