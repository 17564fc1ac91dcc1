# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab itself, asked with virsh and ssh: what is there, that it stays, that it heals, and that it goes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.predictive.tenancy.tests.environments import ROOT
from laboratory import ENCLOSURE, Lab

MIB = 1024**2


def summary(shown: str) -> dict[str, dict[str, int]]:
    """The counts of a play's recap, by host."""
    recap = shown.rsplit("PLAY RECAP", 1)[1]
    hosts = re.findall(r"^(\S+)\s+:\s+(.*)$", recap, re.MULTILINE)
    return {host: {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", counts)} for host, counts in hosts}


def named(lab: Lab, name: str) -> list[int]:
    """The ids of the lab's processes of that name."""
    status = [(pid, Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()) for pid in lab.processes()]
    return [pid for pid, comm in status if comm == name]


def kill(pids: list[int]) -> None:
    """End processes as a crash would, and wait until they are gone or dead."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, f"{pids} do not end"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_second_run_changes_nothing(lab: Lab) -> None:
    for host, counts in summary(lab.play("provision")).items():
        assert (counts["changed"], counts["failed"], counts["unreachable"]) == (0, 0, 0), host


def test_check_mode_after_the_fact_changes_nothing(lab: Lab) -> None:
    counts = summary(lab.play("provision", "--check", "--limit", "kvm_hosts"))
    assert (counts["localhost"]["changed"], counts["localhost"]["failed"]) == (0, 0)


@pytest.mark.usefixtures("virtual_machines")
def test_libvirt_has_what_was_described(lab: Lab) -> None:
    assert re.search(r"tenancy\s+active\s+yes", lab.virsh("net-list", "--all"))
    assert re.search(r"tenancy\s+active\s+yes", lab.virsh("pool-list", "--all"))
    leases = lab.virsh("net-dumpxml", "tenancy")
    for vm, address in (("vm1", "192.168.150.11"), ("vm2", "192.168.150.12")):
        assert re.search(f"name='{vm}' ip='{address}'", leases)
        assert address in lab.virsh("domifaddr", vm)
        assert "enable" in lab.virsh("dominfo", vm)


# One connection asks for everything: each costs a second in an emulated machine.
QUESTIONS = {
    "name": "hostname",
    "swap": "swapon --show --noheadings",
    "pressure": "cat /proc/pressure/memory",
    "controllers": "cat /sys/fs/cgroup/cgroup.controllers",
    "failed": "systemctl --failed --plain --no-legend",
    "disk": "df --output=size -B1 / | tail -1",
    "repository": "apt-get install --simulate --reinstall runc",
    "machine-id": "cat /etc/machine-id",
    "host key": "cat /etc/ssh/ssh_host_ed25519_key.pub",
    "boot": "cat /proc/sys/kernel/random/boot_id",
}


@pytest.fixture(scope="module")
def told(lab: Lab) -> dict[str, dict[str, str]]:
    """What each machine answers to the questions."""
    script = "; ".join(f"echo '@@{name}'; {command}" for name, command in QUESTIONS.items())
    answers = {vm: lab.ssh(vm, script).split("@@")[1:] for vm in ("vm1", "vm2")}
    return {
        vm: dict(answer.strip().split("\n", 1) for answer in given if "\n" in answer.strip())
        for vm, given in answers.items()
    }


@pytest.mark.parametrize("vm", ["vm1", "vm2"])
def test_a_machine_can_hold_tenants(told: dict[str, dict[str, str]], vm: str) -> None:
    says = told[vm]
    assert says["name"] == vm
    assert "/dev/zram0" in says["swap"]
    assert "full" in says["pressure"]
    assert {"cpu", "cpuset", "io", "memory", "pids"} <= set(says["controllers"].split())
    units = says.get("failed", "").splitlines()
    assert [unit for unit in units if not unit.startswith(("tenancy-", "tenants-"))] == []  # those are other tests'
    assert int(says["disk"]) > 5 * 1024**3  # the file system has grown to the disk of 6 GiB
    assert "Inst runc" in says["repository"]  # its own package repository answers without any network


def test_machines_differ_in_what_must_be_their_own(told: dict[str, dict[str, str]]) -> None:
    for what in ("machine-id", "host key", "boot"):
        assert told["vm1"][what] != told["vm2"][what]


def test_a_running_machine_is_reshaped(lab: Lab) -> None:
    uri = json.loads(lab.enclosure("status").stdout)["uri"]
    disk = {"target": "vda", "read": "3MB", "write": "50MB"}
    smaller = {"name": "vm1", "memory": "1GiB", "vcpus": 1, "disks": [disk]}
    full = {"name": "vm1", "memory": "1536MiB", "vcpus": 2, "disks": [{"target": "vda", "read": 0, "write": 0}]}
    before = int(lab.ssh("vm1", "awk '/MemTotal/ {print $2}' /proc/meminfo"))
    done = lab.module("localhost", "predictive.tenancy.vm_shape", uri=uri, vms=[smaller])
    try:
        assert done["changed"], done
        assert re.search(r"Used memory:\s+1048576 KiB", lab.virsh("dominfo", "vm1"))
        assert re.search(r"read_bytes_sec\s*: 3000000", lab.virsh("blkdeviotune", "vm1", "vda"))
        assert int(lab.ssh("vm1", "awk '/MemTotal/ {print $2}' /proc/meminfo")) < before - 400 * 1024
        assert lab.ssh("vm1", "nproc").strip() == "1"
        reading = (
            "echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/vda of=/dev/null bs=1M count=24 skip=200 iflag=direct 2>&1"
        )
        rate = float(lab.ssh("vm1", f"{reading} | tail -1 | sed 's/.*, \\([0-9.]*\\) s,.*/\\1/'"))
        assert 6 < rate < 20  # 24 MiB at 3 MB/s take 8 s
        assert not lab.module("localhost", "predictive.tenancy.vm_shape", uri=uri, vms=[smaller])["changed"]
        disk["write"] = "60MB"
        assert lab.module("localhost", "predictive.tenancy.vm_shape", uri=uri, vms=[smaller])["changed"]
        limits = dict(line.split(":") for line in lab.virsh("blkdeviotune", "vm1", "vda").replace(" ", "").splitlines())
        assert (limits["read_bytes_sec"], limits["write_bytes_sec"]) == ("3000000", "60000000")
    finally:
        back = lab.module("localhost", "predictive.tenancy.vm_shape", uri=uri, vms=[full])
    assert back["changed"], back
    assert lab.ssh("vm1", "nproc").strip() == "2"
    assert int(lab.ssh("vm1", "awk '/MemTotal/ {print $2}' /proc/meminfo")) == before


def test_a_killed_libvirtd_comes_back_and_no_machine_notices(lab: Lab) -> None:
    boots = {vm: lab.ssh(vm, "cat /proc/sys/kernel/random/boot_id") for vm in ("vm1", "vm2")}
    kill(named(lab, "libvirtd"))
    deadline = time.monotonic() + 60
    while not json.loads(lab.enclosure("status").stdout)["libvirtd"]:
        assert time.monotonic() < deadline, "the keeper has not started libvirtd again"
    assert lab.virsh("list", "--name").split() == ["vm1", "vm2"]
    # Without its keeper nobody starts it again, until the next run.
    kill(named(lab, "tenancy-keeper") + named(lab, "libvirtd"))
    counts = summary(lab.play("provision", "--limit", "kvm_hosts"))["localhost"]
    assert (counts["changed"], counts["failed"]) == (1, 0)
    assert lab.virsh("list", "--name").split() == ["vm1", "vm2"]
    assert {vm: lab.ssh(vm, "cat /proc/sys/kernel/random/boot_id") for vm in boots} == boots


def test_a_machine_that_does_not_answer_is_named_with_its_console(lab: Lab) -> None:
    script = (ROOT / "roles" / "capacity_vm" / "files" / "wait.py").read_text(encoding="utf-8")
    machines = [{"name": "vm1", "address": "192.168.150.77"}]
    order = {"seconds": 1, "root": str(lab.root / "vms"), "network": "tenancy", "machines": machines}
    words = [sys.executable, str(ENCLOSURE), "exec", str(lab.root / "kvm"), sys.executable, "-c", script]
    done = subprocess.run(words, input=json.dumps(order), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "vm1: no SSH at 192.168.150.77 after 1 s, though it runs" in done.stderr
    assert "the end of its console" in done.stderr
    assert "192.168.150.11" in done.stderr.split("addresses given out", 1)[1]


@pytest.fixture
def another(tmp_path: Path) -> Iterator[Lab]:
    """A second lab on the same machine, without virtual machines, as another checkout would have it: a long path that
    only root may enter."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    second = Lab(
        closed / "a-folder-whose-name-is-so-long-that-a-unix-socket-in-it-would-have-no-room-for-its-path" / "lab"
    )
    yield second
    second.enclosure("down")


def only_the_host(lab: Lab, *arguments: str, check: bool = True) -> str:
    """Provision a lab without virtual machines."""
    machines = json.dumps({"capacity_vm_vms": []})
    previous = os.umask(0o077)  # as some administrators have it
    try:
        return lab.play("provision", "--limit", "kvm_hosts", "-e", machines, *arguments, check=check)
    finally:
        os.umask(previous)


def script(lab: Lab, path: str, order: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """What a script of a role says to an order, in the lab."""
    text = (ROOT / "roles" / path).read_text(encoding="utf-8")
    words = [sys.executable, str(ENCLOSURE), "exec", str(lab.root / "kvm"), sys.executable, "-c", text]
    return subprocess.run(words, input=json.dumps(order), capture_output=True, text=True, check=False)


def provide(lab: Lab, network: str, state: str = "present", root: Path | None = None) -> str:
    """What the script of the role kvm_host says when it shall provide or remove a network and the pool."""
    order = {
        "state": state,
        "check": False,
        "root": str(root or lab.root / "kvm"),
        "network": network,
        "pool": lab.virsh("pool-dumpxml", "tenancy"),
    }
    done = script(lab, "kvm_host/files/objects.py", order)
    return done.stderr or done.stdout


def test_what_is_not_ours_is_left_alone(lab: Lab, tmp_path: Path) -> None:
    """A machine, a disk, a lease and a network that somebody else has made, by the names that are given to us."""
    pool, image = lab.root / "kvm" / "pool", tmp_path / "image"
    image.mkdir()
    (image / "base.raw").write_bytes(b"")
    disk = pool / "stranger.qcow2"
    disk.write_text("theirs", encoding="utf-8")
    definition = tmp_path / "stranger.xml"
    definition.write_text(
        "<domain type='qemu'><name>stranger</name><memory unit='MiB'>64</memory><os><type>hvm</type></os></domain>"
    )
    machine = {"name": "stranger", "mac": "52:54:00:00:00:01", "address": "192.168.150.90", "disk": "1GiB", "xml": ""}
    order = {
        "check": False, "outdated": "rebuild", "image": str(image), "network": "tenancy", "pool": "tenancy",
        "pool_path": str(pool), "root": str(tmp_path / "vms"), "machines": [machine],
    }  # fmt: skip
    lab.virsh("define", str(definition))
    before = lab.virsh("net-dumpxml", "tenancy"), lab.virsh("dumpxml", "stranger")
    try:
        for state in ("present", "absent"):
            done = script(lab, "capacity_vm/files/machines.py", {**order, "state": state})
            assert "a domain named stranger exists that is none of ours" in done.stderr
            assert json.loads(done.stdout)["changed"] is False
        assert (lab.virsh("net-dumpxml", "tenancy"), lab.virsh("dumpxml", "stranger")) == before
    finally:
        lab.virsh("undefine", "stranger")
    done = script(lab, "capacity_vm/files/machines.py", {**order, "state": "present"})
    assert f"{disk} exists, and" in done.stderr
    assert lab.virsh("net-dumpxml", "tenancy") == before[0]
    assert script(lab, "capacity_vm/files/machines.py", {**order, "state": "absent"}).stderr == ""
    assert disk.read_text(encoding="utf-8") == "theirs"
    disk.unlink()
    assert json.loads(provide(lab, before[0], "absent", tmp_path)) == {"changed": False, "actions": []}
    assert "tenancy" in lab.virsh("net-list", "--name")


def test_another_lab_beside_this_one_is_killed_rebuilt_and_removed(lab: Lab, another: Lab) -> None:
    first = summary(only_the_host(another, "--check"))["localhost"]
    assert first["failed"] == 0
    assert first["changed"] > 0
    assert not another.root.exists()
    only_the_host(another)
    assert "tenancy" in another.virsh("net-list", "--name")
    assert another.virsh("list", "--all", "--name").split() == []
    assert lab.virsh("list", "--name").split() == ["vm1", "vm2"]
    kill([pid for pid in another.processes() if pid != os.getpid()])
    assert another.processes() == {}
    counts = summary(only_the_host(another))["localhost"]
    assert (counts["changed"], counts["failed"]) == (1, 0)  # only the enclosure: what lasts has lasted
    assert "tenancy" in another.virsh("net-list", "--name")
    refused = provide(another, another.virsh("net-dumpxml", "tenancy").replace("192.168.150.1'", "192.168.151.1'"))
    assert "a network named tenancy exists and differs: address is '192.168.150.1', wanted '192.168.151.1'" in refused
    # Even after somebody has removed its folder, nothing of it stays.
    shutil.rmtree(another.root)
    assert another.processes() != {}
    another.play("teardown", "-e", json.dumps({"capacity_vm_vms": []}))
    assert another.processes() == {}
    assert not another.root.exists()
    assert list(Path("/run").glob(f"tenancy-{hashlib.sha256(str(another.root).encode()).hexdigest()[:8]}-*")) == []
    assert str(another.root) not in Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    again = summary(another.play("teardown", "-e", json.dumps({"capacity_vm_vms": []})))["localhost"]
    assert (again["changed"], again["failed"]) == (0, 0)
