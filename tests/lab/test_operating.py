# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator runs, on real VMs: admit, measure, correct one VM, reconcile; metrics and a schedule by systemd."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from laboratory import Lab, changed_tasks

MEASURING, LEARNING = "Take the measurements into the history", "Learn the profiles"


class Site:
    """A cell of the lab's VMs with a store of its own."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        self.store = f"sqlite://{folder}/store.db"

    def play(self, name: str, **variables: Any) -> str:
        """Run a playbook of the collection; what it printed."""
        return self.lab.play(name, "-e", json.dumps({"tenancy_store": self.store, **variables}))

    def documents(self, kind: str) -> list[dict[str, Any]]:
        """What the store keeps."""
        with open_store(self.store, read_only=True) as store:
            return list(store.find(kind))

    def quota(self, vm: str) -> float:
        """The cores that the tenant may use, from the kernel."""
        quota, period = self.lab.ssh(vm, "cat /sys/fs/cgroup/tenants.slice/tenants-web.slice/cpu.max").split()
        return int(quota) / int(period)


@pytest.fixture(scope="module")
def site(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(lab, tmp_path_factory.mktemp("site"))
    yield made
    lab.ansible(
        "ansible", "capacity_vms", "-m", "predictive.tenancy.vm_partition", "-a", '{"tenants": [], "purge": true}'
    )


@pytest.fixture(scope="module")
def vm(site: Site) -> str:
    """Where the one tenant of the cell was admitted."""
    request = {"id": "web", "profile": "web", "resources": {"cpu": 0.3, "memory": "96MiB"}}
    site.play("admit", admit_requests=[request])
    assert changed_tasks(site.play("admit", admit_requests=[request])) == set()
    (tenant,) = site.documents("tenants")
    assert site.quota(tenant["vm"]) == 0.3
    return str(tenant["vm"])


def test_an_alert_about_one_vm_corrects_it(site: Site, vm: str) -> None:
    loops = "for turn in 1 2; do timeout 60 sh -c 'while :; do :; done' & done; wait"
    run = f'systemd-run -q --collect --unit=loops runsc --root=/run/tenancy/runsc/web exec sandbox /bin/sh -c "{loops}"'
    site.lab.ssh(vm, f"{run}; sleep 3")
    shown = site.play("rebalance_vm", rebalance_vm=vm, rebalance_mode="apply", rebalance_because="throttled")
    print(f"0.3 cores and two loops: {site.quota(vm):g} cores now")
    assert site.quota(vm) > 0.3
    assert '"because": "throttled"' in shown
    (plan,) = site.documents("plans")
    assert (plan["state"], [action["kind"] for action in plan["actions"]]) == ("applied", ["resize"])
    site.play("measure", measure_interval="2s")
    end = datetime.now(timezone.utc) + timedelta(minutes=1)
    with open_store(site.store, read_only=True) as store:
        (series,) = store.read_usage(["web"], end - timedelta(hours=1), end, tenant="web")
    assert len(series.times) == 2  # one for each measurement


def test_reconciling_again_changes_nothing_but_measurements(site: Site, vm: str) -> None:
    site.lab.ssh(vm, "while systemctl is-active -q loops; do sleep 1; done")
    site.play("reconcile", reconcile_mode="apply")
    metrics = site.folder / "tenancy.prom"
    for _turn in range(2):
        quota = site.quota(vm)
        again = site.play("reconcile", reconcile_mode="apply", reconcile_metrics=str(metrics))
        if LEARNING not in changed_tasks(again):
            break  # else five minutes of the history were over meanwhile, with the loops in them: a new forecast
    assert changed_tasks(again) <= {MEASURING, LEARNING}
    assert site.quota(vm) == quota
    assert 'tenant="web"' in metrics.read_text(encoding="utf-8")


def test_metrics_of_tenants_come_by_a_timer(site: Site, vm: str) -> None:
    given = {"tenant_metrics_packages": [], "tenant_metrics_interval": 5}  # the lab has no node_exporter's package
    site.lab.role("tenant_metrics", vm, **given)
    assert changed_tasks(site.lab.role("tenant_metrics", vm, **given)) == set()
    path = "/var/lib/prometheus/node-exporter/tenancy_tenants.prom"
    shown = site.lab.ssh(vm, f"for _ in $(seq 60); do test -e {path} && break; sleep 0.5; done; cat {path}")
    limit = re.search(r'^tenancy_tenant_cpu_limit_cores\{.*tenant="web".*\} (\S+)$', shown, re.MULTILINE)
    assert limit, shown
    assert float(limit[1]) == site.quota(vm)
    site.lab.role("tenant_metrics", vm, tenant_metrics_state="absent")
    left = site.lab.ssh(vm, f"systemctl list-units --all 'tenancy-metrics*'; ls {path}", check=False)
    assert "tenancy" not in left


def test_systemd_runs_a_schedule(second_vm: dict[str, Future[None]]) -> None:
    """The story of schedule.py, which vm2 has gone through meanwhile."""
    second_vm["schedule"].result(timeout=1200)
