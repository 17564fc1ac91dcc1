# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Partitions and shadows in a real VM: what the modules say is checked with systemctl, runsc and the cgroup files.

The tests build on one another, in the order of this file: each start of a sandbox takes seconds in an emulated VM.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from laboratory import Lab

VM = "vm1"
PARTITION = "predictive.tenancy.vm_partition"
MIB = 1024**2
CGROUP = "/sys/fs/cgroup/tenants.slice"


def inside(instance: str, user: str = "0:0") -> str:
    """The command that runs another one in a sandbox, with nothing of our code."""
    return f"runsc --root=/run/tenancy/runsc/{instance} exec -user {user} sandbox"


def tenant(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "cpu": {"cores": 0.4}, "memory": {"max": "64MiB"}, **more}


def sandbox(*command: str, **more: Any) -> dict[str, Any]:
    return {"command": list(command), **more}


BURN = tenant("burn", cpu={"cores": 0.25}, sandbox=sandbox("sh", "-c", "while :; do :; done"))
HOG = tenant(
    "hog",
    memory={"max": "48MiB", "swap": 0},
    sandbox=sandbox("dd", "if=/dev/zero", "of=/fill", "bs=1M", writable=True),
)
GREEDY = tenant(
    "greedy",
    memory={"high": "32MiB", "max": "256MiB"},
    sandbox=sandbox("sh", "-c", "head -c 48000000 /dev/zero > /tmp/data; exec sleep infinity"),
)
BOMB = tenant("bomb", pids=120, sandbox=sandbox("sh", "-c", "f() { f | f & f; }; f"))
STEADY = tenant("steady", memory={"low": "16MiB", "max": "64MiB"}, io={"read": "20MB", "write": "10MB"}, pids=512)
WRONG = tenant("wrong", sandbox=sandbox("sleep", "1", rootfs="/var/lib/tenancy/rootfs/nowhere"))
MISSING = tenant("missing", sandbox=sandbox("/bin/no_such_program"))


def call(lab: Lab, module: str, *words: str, **arguments: Any) -> dict[str, Any]:
    """Run a module of the collection on the VM and return its result, failed or not."""
    return lab.module(VM, f"predictive.tenancy.{module}", *words, **arguments)


def partition(lab: Lab, *tenants: dict[str, Any], check: bool = False, purge: bool = False) -> dict[str, Any]:
    return call(lab, "vm_partition", *(["--check"] if check else []), tenants=list(tenants), purge=purge)


def by_name(results: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in results}


def read(lab: Lab, instance: str, *names: str) -> list[str]:
    """Files of a tenant's cgroup, read without any of our code."""
    paths = " ".join(f"{CGROUP}/tenants-{instance}.slice/{name}" for name in names)
    return lab.ssh(VM, f"for path in {paths}; do tr '\\n' ' ' < $path; echo; done").splitlines()


def read_bytes(lab: Lab, *instances: str) -> list[int]:
    """What each has read from the disk so far."""
    files = " ".join(f"{CGROUP}/tenants-{instance}.slice/io.stat" for instance in instances)
    return [int(number) for number in re.findall(r"rbytes=([0-9]+)", lab.ssh(VM, f"cat {files}"))]


@contextmanager
def meanwhile(lab: Lab, vm: str, begin: str, end: str) -> Iterator[None]:
    """A VM with a trouble, which ends whatever is found in it."""
    try:
        lab.ssh(vm, begin)
        yield
    finally:
        lab.ssh(vm, end)


def used_disk(lab: Lab) -> int:
    """Bytes in use on the VM's disk, after a journal that tenants may have written to is on it."""
    return int(lab.ssh(VM, "sync; df --output=used -B1 / | tail -1"))


def main_pid(lab: Lab, instance: str) -> str:
    """The process id of a sandbox, from systemd."""
    return lab.ssh(VM, f"systemctl show -P MainPID tenancy-gvisor@{instance}.service").strip()


@pytest.fixture(scope="module", autouse=True)
def clean(lab: Lab, request: pytest.FixtureRequest) -> Iterator[None]:
    """No tenant of an earlier run, and none left behind. What vm2 is needed for begins here, if it was asked for."""
    if any("second_vm" in item.fixturenames for item in request.session.items):
        request.getfixturevalue("second_vm")
    lab.ssh(VM, "test -e /var/lib/tenancy/rootfs/base/bin/busybox")
    partition(lab, purge=True)
    call(lab, "shadow_reserve", purge=True)
    yield
    partition(lab, purge=True)
    call(lab, "shadow_reserve", purge=True)


@pytest.fixture(scope="module")
def measured(lab: Lab) -> dict[str, dict[str, Any]]:
    """One measurement of what the hungry tenants do."""
    return by_name(call(lab, "vm_partition_info", interval="8s")["tenants"])


def test_check_do_check_do_and_wrong_tenants_keep_no_others(lab: Lab) -> None:
    planned = partition(lab, STEADY, BURN, check=True)
    assert planned["changed"]
    assert "steady" not in lab.ssh(VM, "ls /etc/systemd/system.control /var/lib/tenancy/places", check=False)
    done = partition(lab, STEADY, WRONG, BURN, HOG, BOMB, MISSING, GREEDY)
    results = by_name(done["results"])
    assert "2 of 7 tenants failed" in done["msg"]
    assert "rootfs/nowhere: no root file system" in results["wrong"]["error"]
    assert "no_such_program" in results["missing"]["error"]
    assert {name: results[name]["error"] for name in ("steady", "burn", "bomb")} == dict.fromkeys(
        ("steady", "burn", "bomb"), ""
    )
    assert results["steady"]["diff"] == by_name(planned["results"])["steady"]["diff"]
    print("cold starts:", {name: item["seconds"] for name, item in results.items() if item["started"]})
    assert not partition(lab, STEADY, BURN, check=True)["changed"]
    assert not partition(lab, STEADY, BURN)["changed"]


def test_systemd_and_the_kernel_hold_the_limits(lab: Lab) -> None:
    shown = lab.ssh(
        VM, "systemctl show -p CPUQuotaPerSecUSec,MemoryMax,TasksMax,IOReadBandwidthMax tenants-steady.slice"
    )
    assert "CPUQuotaPerSecUSec=400ms" in shown
    assert f"MemoryMax={64 * MIB}" in shown
    assert "IOReadBandwidthMax=/var/lib/tenancy 20000000" in shown
    files = read(lab, "steady", "cpu.max", "memory.low", "memory.max", "memory.swap.max", "pids.max", "io.max")
    assert [text.strip() for text in files[:5]] == ["40000 100000", str(16 * MIB), str(64 * MIB), str(64 * MIB), "512"]
    assert "rbps=20000000 wbps=10000000" in files[5]
    assert lab.ssh(VM, f"cat {CGROUP}/memory.low").strip() == str(16 * MIB)
    # Where the VM is out of memory, what is promised does not count against it.
    pid = main_pid(lab, "steady")
    shown = lab.ssh(VM, f"cat /proc/{pid}/oom_score_adj; awk '/MemTotal|SwapTotal/ {{print $2}}' /proc/meminfo")
    adjustment, *sizes = map(int, shown.split())
    assert abs(adjustment - (800 - 1000 * 16 * MIB / (sum(sizes) * 1024))) <= 1.5


def test_a_sandbox_sees_its_own_size(lab: Lab) -> None:
    shown = lab.ssh(VM, f"{inside('steady')} sh -c 'grep -c ^processor /proc/cpuinfo; grep MemTotal /proc/meminfo'")
    assert shown.split()[0] == "1"
    assert int(shown.split()[2]) == 64 * 1024


def test_a_cpu_burner_is_held_to_its_quota(measured: dict[str, dict[str, Any]]) -> None:
    used = measured["burn"]["cpu"]["cores"]
    print(f"cpu.max 0.25 cores: {used:.3f} used, {measured['burn']['cpu']['throttled']:.3f} lost to throttling")
    assert 0.15 <= used <= 0.27  # less where the machine below is busy


def test_a_memory_hog_is_ended_alone(lab: Lab, measured: dict[str, dict[str, Any]]) -> None:
    hog, steady = measured["hog"], measured["steady"]
    print(f"memory.max 48 MiB: peak {hog['memory']['peak'] / MIB:.1f} MiB, ended {hog['memory']['oom_kills']} times")
    assert hog["memory"]["oom_kills"] >= 1
    assert hog["memory"]["peak"] <= 49 * MIB
    assert (steady["state"], steady["memory"]["oom_kills"], steady["memory"]["high_events"]) == ("running", 0, 0)
    assert lab.ssh(VM, "systemctl show -P NRestarts tenancy-gvisor@steady.service").strip() == "0"


def test_a_full_disk_is_the_tenants_own_memory(lab: Lab) -> None:
    """The hog above fills its root: neither the disk nor the root file system that others share has any of it."""
    assert "no" in lab.ssh(VM, "test -e /var/lib/tenancy/rootfs/base/fill || echo no")
    before = used_disk(lab)
    lab.ssh(VM, "sleep 4")
    grown = used_disk(lab) - before
    print(f"the disk has grown by {grown / MIB:.1f} MiB while the hog wrote")
    assert grown < 8 * MIB


def test_memory_high_slows_and_swaps_and_ends_nothing(lab: Lab) -> None:
    swap = f"{CGROUP}/tenants-greedy.slice/memory.swap.current"
    lab.ssh(VM, f"for _ in $(seq 120); do [ $(cat {swap}) -gt 4000000 ] && break; sleep 0.5; done")
    files = ("memory.current", "memory.swap.current", "memory.events")
    held, swapped, events = read(lab, "greedy", *files)
    counts = dict(zip(events.split()[::2], map(int, events.split()[1::2])))
    print(f"memory.high 32 MiB: {int(held) / MIB:.1f} MiB held, {int(swapped) / MIB:.1f} in swap")
    assert int(held) <= 36 * MIB
    assert int(swapped) > 4_000_000
    assert (counts["high"] > 0, counts["oom_kill"]) == (True, 0)


def test_a_neighbours_hunger_leaves_protected_memory(lab: Lab) -> None:
    """One tenant takes 150 MB more, while all of them together may hold no more than they do now."""
    names = ("steady", "burn")
    limit = f"{CGROUP}/memory.high"
    # Those that end and begin again would make all figures random.
    lab.ssh(VM, "systemctl stop " + " ".join(f"tenancy-gvisor@{name}.service" for name in ("hog", "bomb", "missing")))
    before = {name: int(read(lab, name, "memory.current")[0]) for name in names}
    feed = "head -c 150000000 /dev/zero | tail -n 1 | sleep 99"
    eat = f"systemd-run -q -u eater --slice=tenants-greedy.slice sh -c '{feed}'"
    sizes = [f"{CGROUP}/tenants-greedy.slice/memory.{name}" for name in ("current", "swap.current")]
    press = f"cat {CGROUP}/memory.current > {limit}; echo max > {CGROUP}/tenants-greedy.slice/memory.high; {eat}"
    grown = f"[ $(($(cat {sizes[0]}) + $(cat {sizes[1]}))) -gt 150000000 ]"
    wait = f"for _ in $(seq 120); do {grown} && break; sleep 0.5; done; cat {' '.join(sizes)}"
    with meanwhile(lab, VM, press, f"systemctl stop eater; echo max > {limit}"):
        held, swapped = map(int, lab.ssh(VM, wait).split())
        after = {name: int(read(lab, name, "memory.current")[0]) for name in names}
    print(f"greedy: {(held + swapped) / MIB:.0f} MiB taken, of which it holds {held / MIB:.1f}")
    for name, protected in zip(names, ("16 MiB", "nothing")):
        print(f"{name}: {protected} protected, {before[name] / MIB:.1f} MiB before, {after[name] / MIB:.1f} MiB after")
    assert held + swapped > 150_000_000
    assert after["steady"] >= 0.95 * min(before["steady"], 16 * MIB)
    assert after["burn"] < 0.7 * before["burn"]


def test_a_pid_bomb_is_held(lab: Lab, measured: dict[str, dict[str, Any]]) -> None:
    print(f"pids.max 120: {measured['bomb']['pids']} processes and threads")
    assert measured["bomb"]["pids"] <= 120
    lab.ssh(VM, f"{inside('steady')} true")
    gone = partition(lab, STEADY, purge=True)
    actions = {name: item["actions"] for name, item in by_name(gone["results"]).items() if name != "steady"}
    assert all(done == ["remove"] for done in actions.values())
    assert {"bomb", "burn", "greedy", "hog"} <= set(actions) <= {"bomb", "burn", "greedy", "hog", "missing", "wrong"}
    assert "msg" not in gone


def test_a_running_tenant_is_resized_in_place_both_ways(lab: Lab) -> None:
    before = main_pid(lab, "steady")
    up = partition(lab, {**STEADY, "cpu": {"cores": 1.5}, "memory": {"high": "180MiB", "max": "200MiB"}})
    assert up["results"][0]["actions"] == ["resize"]
    assert up["results"][0]["diff"]["after"]["memory.max"] == "200MiB"
    assert read(lab, "steady", "cpu.max", "memory.max")[0].strip() == "150000 100000"
    lab.ssh(VM, f"{inside('steady')} sh -c 'head -c 41943040 /dev/urandom > /tmp/data; md5sum < /tmp/data > /tmp/sum'")
    held = int(read(lab, "steady", "memory.current")[0])
    assert held > 48 * MIB
    down = partition(lab, {**STEADY, "cpu": {"cores": 0.4}, "memory": {"max": "40MiB", "swap": "64MiB"}})
    assert down["results"][0]["notes"] == []
    current, most = (int(text) for text in read(lab, "steady", "memory.current", "memory.max"))
    print(f"shrunk from {held / MIB:.1f} MiB in use to {current / MIB:.1f} MiB below a maximum of {most // MIB} MiB")
    assert current <= most == 40 * MIB
    assert main_pid(lab, "steady") == before
    lab.ssh(VM, f"{inside('steady')} sh -c 'md5sum < /tmp/data | cmp - /tmp/sum && rm /tmp/data'")


def test_what_cannot_shrink_is_reported_and_lives(lab: Lab) -> None:
    before = main_pid(lab, "steady")
    partition(lab, {**STEADY, "memory": {"max": "40MiB", "swap": 0}})
    lab.ssh(VM, f"{inside('steady')} sh -c 'head -c 12000000 /dev/urandom > /tmp/data'")
    kept = partition(lab, {**STEADY, "memory": {"max": "6MiB", "swap": 0}})
    print(kept["results"][0]["notes"])
    assert "cannot shrink to 6MiB yet" in kept["results"][0]["notes"][0]
    assert read(lab, "steady", "memory.max")[0].strip() == str(40 * MIB)
    assert main_pid(lab, "steady") == before
    lab.ssh(VM, f"{inside('steady')} rm /tmp/data")
    partition(lab, STEADY)


def test_limits_outlive_a_daemon_reload(lab: Lab) -> None:
    names = ("cpu.max", "memory.max", "pids.max", "io.max", "cpu.weight")
    before = read(lab, "steady", *names)
    lab.ssh(VM, "systemctl daemon-reload")
    assert read(lab, "steady", *names) == before


def test_drift_is_repaired(lab: Lab) -> None:
    before = main_pid(lab, "steady")
    lab.ssh(
        VM,
        # In this order: systemd writes all limits of a slice again a moment after it was told of one.
        "systemctl set-property tenants-steady.slice CPUWeight=7; sleep 2; "
        f"echo max > {CGROUP}/tenants-steady.slice/memory.max",
    )
    repaired = partition(lab, STEADY)["results"][0]
    assert repaired["diff"]["before"] == {"memory.max": "infinity", "cpu.weight": 7}
    assert [text.strip() for text in read(lab, "steady", "memory.max", "cpu.weight")] == [str(64 * MIB), "100"]
    assert main_pid(lab, "steady") == before
    lab.ssh(VM, f"echo 0 > /proc/{before}/oom_score_adj")
    repaired = partition(lab, STEADY)["results"][0]
    assert (repaired["actions"], repaired["diff"]["before"]) == (["repair"], {"oom_score_adj": 0})
    assert int(lab.ssh(VM, f"cat /proc/{before}/oom_score_adj")) == repaired["diff"]["after"]["oom_score_adj"]
    lab.ssh(
        VM, "systemctl stop tenancy-gvisor@steady.service; echo x >> /var/lib/tenancy/places/steady/bundle/config.json"
    )
    assert partition(lab, STEADY)["results"][0]["started"] == "cold"
    assert not partition(lab, STEADY, check=True)["changed"]


def test_a_sandbox_that_is_killed_comes_back_by_itself(lab: Lab) -> None:
    before = main_pid(lab, "steady")
    lab.ssh(VM, f"kill -9 {before}")
    wait = "for _ in $(seq 120); do systemctl is-active -q tenancy-gvisor@steady.service && break; sleep 0.5; done"
    lab.ssh(VM, f"sleep 1; {wait}")
    assert main_pid(lab, "steady") not in (before, "0")
    assert [text.strip() for text in read(lab, "steady", "cpu.max", "memory.max")] == ["40000 100000", str(64 * MIB)]


def test_pause_and_resume(lab: Lab) -> None:
    before = main_pid(lab, "steady")
    partition(lab, {**STEADY, "state": "paused"})
    assert "frozen 1" in read(lab, "steady", "cgroup.events")[0]
    assert not partition(lab, {**STEADY, "state": "paused"}, check=True)["changed"]
    partition(lab, STEADY)
    assert "frozen 0" in read(lab, "steady", "cgroup.events")[0]
    assert main_pid(lab, "steady") == before


def test_a_paused_sandbox_that_is_killed_waits_for_the_next_run(lab: Lab) -> None:
    paused = {**STEADY, "state": "paused"}
    partition(lab, paused)
    lab.ssh(VM, f"kill -9 {main_pid(lab, 'steady')}; sleep 3; timeout 10 systemctl show -P SubState tenants.slice")
    assert partition(lab, paused)["results"][0]["actions"] == ["start"]
    assert "frozen 1" in read(lab, "steady", "cgroup.events")[0]
    partition(lab, STEADY)


def test_a_shadow_holds_little_and_is_sooner_than_a_cold_start(lab: Lab) -> None:
    shadow = tenant("waiting", ttl="30m", rehearse=["true"])
    made = call(lab, "shadow_reserve", shadows=[shadow])["results"][0]
    assert not call(lab, "shadow_reserve", "--check", shadows=[shadow])["changed"]
    held, first = int(read(lab, "waiting.1", "memory.current")[0]), read(lab, "waiting.1", "cpu.stat")[0]
    lab.ssh(VM, "sleep 1")
    assert read(lab, "waiting.1", "cpu.stat")[0].split()[1] == first.split()[1], "a frozen shadow uses no CPU time"
    claimed = call(lab, "vm_partition", tenants=[tenant("claimed", claim="waiting")])["results"][0]
    print(f"shadow: {held / MIB:.2f} MiB held; cold start {made['seconds']:.2f} s, claim {claimed['seconds']:.3f} s")
    assert (held <= 4 * MIB, made["notes"]) == (True, [])
    assert claimed["started"] == "claimed"
    assert claimed["seconds"] * 4 <= made["seconds"]
    lab.ssh(VM, f"{inside('waiting.1')} true")
    assert not partition(lab, tenant("claimed", claim="waiting"), check=True)["changed"]


def test_the_kernel_ends_shadows_first_and_then_who_is_beyond_its_guarantee(lab: Lab) -> None:
    """Its own choice, asked for as when a machine has no memory left (sysrq f)."""

    def ended() -> list[str]:
        shown = lab.ssh(VM, "dmesg -C; echo f > /proc/sysrq-trigger; sleep 2; dmesg")
        return re.findall(r"oom-kill:.*task_memcg=/tenants\.slice/tenants-(\S+?)\.slice", shown)

    large = sandbox("sh", "-c", "head -c 16000000 /dev/zero > /tmp/data; exec sleep infinity")
    within = tenant("within", memory={"low": "48MiB", "max": "64MiB"}, sandbox=large)
    partition(lab, within, tenant("beyond"), purge=True)
    call(lab, "shadow_reserve", shadows=[tenant("first")])
    before = main_pid(lab, "within")
    held = {name: int(read(lab, name, "memory.current")[0]) / MIB for name in ("first.1", "beyond", "within")}
    print("MiB held: " + ", ".join(f"{name} {size:.1f}" for name, size in held.items()))
    assert ended() == ["first.1"]
    # systemd would hang if it started what is to stand still.
    shown = lab.ssh(VM, "timeout 10 systemctl show -P SubState tenancy-gvisor@first.1.service; cat /proc/1/wchan")
    assert shown.split() == ["auto-restart-queued", "do_epoll_wait"]
    again = call(lab, "shadow_reserve", shadows=[tenant("first")])["results"][0]
    assert (again["error"], again["state"], again["changed"]) == ("", "waiting", True)
    call(lab, "shadow_reserve", shadows=[], purge=True)
    assert ended() == ["beyond"]
    assert held["beyond"] < held["within"]
    assert main_pid(lab, "within") == before
    partition(lab, STEADY, purge=True)


def test_priorities_share_a_contended_cpu_and_io_keeps_its_limit(lab: Lab) -> None:
    folder, loop = "/var/lib/tenancy/rootfs/io", ("sh", "-c", "while :; do :; done")
    lab.ssh(VM, f"cp -a /var/lib/tenancy/rootfs/base {folder}; head -c 20000000 /dev/urandom > {folder}/big; sync")
    busy = [
        tenant(name, priority=priority, cpu={"cores": 1, "cpus": "0"}, sandbox=sandbox(*loop))
        for name, priority in (("low", 50), ("high", 65))
    ]
    reader = tenant("reader", priority=100, cpu={"cores": 1, "cpus": "1"}, io={"read": "4MB"})
    reader["sandbox"] = sandbox("sleep", "infinity", rootfs=folder)
    disk = {"slow": 0, "fast": 8000}  # where on it they read
    # Each with a CPU of its own: an emulated one is what such a process waits for, else.
    shared = [
        tenant("slow", priority=50, cpu={"cores": 1, "cpus": "0"}),
        tenant("fast", priority=65, cpu={"cores": 1, "cpus": "1"}),
    ]
    assert "msg" not in partition(lab, STEADY, *busy, reader, *shared)
    timed = "sh -c 'time -f %e dd if=/big of=/dev/null bs=1M'"
    spent = lab.ssh(VM, f"echo 3 > /proc/sys/vm/drop_caches; {inside('reader')} {timed} 2>&1").split()[-1]
    used = by_name(call(lab, "vm_partition_info", interval="6s", names=["low", "high"])["tenants"])
    ratio = used["high"]["cpu"]["cores"] / used["low"]["cpu"]["cores"]
    total = used["low"]["cpu"]["cores"] + used["high"]["cpu"]["cores"]
    share = used["low"]["cpu"]["cores"] / total
    print(f"priorities 65 and 50 on one CPU: {ratio:.2f} to 1 (weights 283 to 100); 20 MB at 4 MB/s: {spent} s")
    print(f"the lower one is guaranteed {100 / 383:.2f} of the {total:.2f} cores that there were, and got {share:.2f}")
    assert 2.1 <= ratio <= 3.6
    assert share >= 0.85 * 100 / 383
    assert total <= 1.05  # both are pinned to one CPU of two
    assert [text.strip() for text in read(lab, "low", "cpuset.cpus.effective", "cpuset.cpus")] == ["0", "0"]
    assert float(spent) >= 4
    partition(lab, *({**one, "state": "paused"} for one in busy))
    # The disk, held to less than an emulated CPU can read: processes in the slices read it past every cache.
    dd = "dd if=/dev/vda of=/dev/null bs=256k iflag=direct skip"
    runs = [f"systemd-run -q -u io_{name} --slice=tenants-{name}.slice {dd}={at}" for name, at in disk.items()]
    lab.virsh("blkdeviotune", VM, "vda", "--read-bytes-sec", "8000000", "--live")
    try:
        lab.ssh(VM, "; ".join(["systemctl reset-failed 'io_*' || true", *runs, "sleep 2"]))
        first = read_bytes(lab, *disk)
        lab.ssh(VM, "sleep 6")
        slow, fast = (last - before for before, last in zip(first, read_bytes(lab, *disk)))
        lab.ssh(VM, "systemctl stop io_slow io_fast")
    finally:
        lab.virsh("blkdeviotune", VM, "vda", "--read-bytes-sec", "0", "--live")
    print(f"the same priorities on a disk of 8 MB/s: {fast / max(slow, 1):.2f} to 1 (weights 9 to 3)")
    assert fast > 1.5 * slow
    assert [read(lab, name, "io.weight")[0].split() for name in disk] == [["default", "3"], ["default", "9"]]
    assert call(lab, "vm_partition_info", interval="0")["vm"]["io_weights"] == "bfq"
    lab.ssh(VM, f"rm -r {folder}")
    partition(lab, STEADY, purge=True)


ESCAPES = """
cat /etc/shadow; cat /proc/1/root/etc/shadow; mount -t proc p /tmp; mount -o bind / /tmp;
sh -c "mknod /tmp/disk b 254 0 && dd if=/tmp/disk of=/dev/null count=1";
cat /dev/vda; tee /proc/sysrq-trigger; chroot / id; sysctl -w kernel.panic=1;
ls /sys/fs/cgroup/tenants.slice; nsenter -t 1 -m id; touch /bin/x; ip link add d0 type dummy;
wget -q -T 2 http://192.168.150.1/
"""


def test_the_obvious_ways_out_are_closed(lab: Lab) -> None:
    attempts = [attempt.strip() for attempt in ESCAPES.replace("\n", " ").split(";") if attempt.strip()]
    lines = [f"( timeout 5 {attempt} ) > /tmp/out 2>&1 < /dev/null && echo 'OUT {attempt}'" for attempt in attempts]
    script = "\n".join([*lines, "echo tried", ""])
    shown = lab.ssh(VM, f"{inside('steady', '65534:65534')} sh -s << 'END'\n{script}END\n")
    assert shown.splitlines() == ["tried"]
    status = lab.ssh(VM, f"{inside('steady', '65534:65534')} cat /proc/self/status")
    assert re.findall(r"^Cap(?:Eff|Prm|Bnd):\s*([0-9a-f]+)", status, re.MULTILINE) == ["0" * 16] * 3
    pid = main_pid(lab, "steady")
    outside = lab.ssh(VM, f"cat /proc/{pid}/status; readlink /proc/{pid}/ns/user /proc/1/ns/user")
    assert int(re.search(r"^Uid:\s*([0-9]+)", outside, re.MULTILINE)[1]) >= 0x40000000
    assert len(set(outside.splitlines()[-2:])) == 2
    hostile = [tenant(name) for name in ("../x", "a/b", "a-b.slice", "a\nExecStart=/bin/true", "A", "$(id)", "x" * 49)]
    above = "/var/lib/tenancy/rootfs"
    paths = ("/", "/etc", f"{above}/../../../../etc", f"{above}/link")
    roots = [tenant(f"root{at}", sandbox=sandbox("true", rootfs=path)) for at, path in enumerate(paths)]
    lab.ssh(VM, "ln -sfn / /var/lib/tenancy/rootfs/link; ls /etc/systemd/system /var/lib/tenancy/places > /root/before")
    refused = partition(lab, *hostile, *roots, tenant("env", sandbox=sandbox("true", env={"A\nB": "1"})))
    assert all(item["error"] for item in refused["results"])
    lab.ssh(VM, "rm /var/lib/tenancy/rootfs/link; ls /etc/systemd/system /var/lib/tenancy/places | cmp - /root/before")


def test_everything_outlives_a_reboot(lab: Lab) -> None:
    """Tenants come back with their limits, and a checkpointed shadow still waits."""
    kept = tenant("kept", sandbox=sandbox("sh", "-c", "date > /tmp/born; exec sleep infinity"))
    (made,) = call(lab, "shadow_reserve", shadows=[{**kept, "tier": "checkpointed", "warmup": "1s"}])["results"]
    assert (made["error"], made["held"]) == ("", 0)
    assert made["stored"] > 0
    names = ("cpu.max", "memory.low", "memory.max", "pids.max", "io.max", "cpu.weight")
    before, boot = read(lab, "steady", *names), lab.ssh(VM, "cat /proc/sys/kernel/random/boot_id")
    lab.ansible("ansible", VM, "-m", "ansible.builtin.reboot", "-a", "reboot_timeout=600")
    assert lab.ssh(VM, "cat /proc/sys/kernel/random/boot_id") != boot
    active = "systemctl is-active -q tenancy-gvisor@steady.service"
    lab.ssh(VM, f"for _ in $(seq 120); do {active} && break; sleep 0.5; done; {active}")
    assert read(lab, "steady", *names) == before
    (claimed,) = partition(lab, {**kept, "claim": "kept"})["results"]
    print(f"checkpointed: {made['stored'] / MIB:.1f} MiB on disk; claimed after a reboot in {claimed['seconds']:.2f} s")
    assert (claimed["error"], claimed["started"], claimed["notes"]) == ("", "claimed", [])
    assert lab.ssh(VM, f"{inside('kept.1')} cat /tmp/born").strip()  # what it had done is still there
    assert not partition(lab, STEADY, check=True)["changed"]


def test_gvisor_and_kata_are_checked_installed_and_removed(second_vm: dict[str, Future[None]]) -> None:
    """The story of runtimes.py, which vm2 has gone through meanwhile."""
    second_vm["runtimes"].result(timeout=1200)


# Takes the memory of its machine until 16 MB are left, again and again.
HUNGRY = """
import time
taken = []
while True:
    left = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemAvailable"))
    taken.append(b"x" * max(0, (left - 16000) * 768))
    time.sleep(0.2)
"""
# Each service that starts would bring the swap back, else; and its device stays as it is, since making it anew fails
# while udev looks at it.
KEEP = "/run/systemd/system/systemd-zram-setup@zram0.service.d"
NO_SWAP = (
    f"mkdir -p {KEEP}; printf '[Service]\\nExecStart=\\nExecStart=true\\nExecStop=\\n' > {KEEP}/keep.conf; "
    "systemctl mask --runtime dev-zram0.swap; swapoff -a"
)
SWAP = f"rm -r {KEEP}; systemctl unmask --runtime dev-zram0.swap; swapon --priority 100 /dev/zram0"
# How it looks where systemd has mounted the hierarchies of cgroup v1.
LEGACY = """#!/bin/sh
exec unshare -m sh -c 'mount -t tmpfs none /sys/fs/cgroup; exec python3 "$@"' python3 "$@"
"""


def test_a_vm_in_trouble_says_so_once_and_the_others_go_on(lab: Lab, tmp_path: Path) -> None:
    """One does not answer, one has a full disk, the third does its work."""
    more = tmp_path / "more.yml"
    more.write_text("capacity_vms: {hosts: {vm3: {ansible_host: 192.168.150.77, ansible_timeout: 5}}}", "utf-8")
    places = "/var/lib/tenancy/places"
    with meanwhile(lab, "vm2", f"mkdir -p {places}; mount -t tmpfs -o nr_inodes=1 none {places}", f"umount {places}"):
        said = lab.modules("capacity_vms", PARTITION, "-i", str(more), tenants=[STEADY])
    assert said["vm3"]["unreachable"]
    assert (said["vm1"]["changed"], "msg" in said["vm1"]) == (False, False)
    assert said["vm2"]["msg"].startswith("1 of 1 tenants failed: steady: ")
    assert "No space left on device" in said["vm2"]["msg"]
    lab.ssh("vm2", f"cat > /root/legacy << 'END'\n{LEGACY}END\nchmod +x /root/legacy")
    said = lab.module("vm2", PARTITION, "-e", "ansible_python_interpreter=/root/legacy", tenants=[STEADY])
    assert said["msg"].startswith("/sys/fs/cgroup: this machine has no unified cgroup hierarchy (cgroup v2)")
    assert "msg" not in lab.module("vm2", PARTITION, tenants=[], purge=True)


def test_a_vm_without_memory_starts_nothing_and_ends_nothing(lab: Lab) -> None:
    before = main_pid(lab, "steady")
    hungry = "systemd-run -q -u hungry -p OOMScoreAdjust=-1000 python3 /root/hungry.py"
    lab.ssh(VM, f"cat > /root/hungry.py << 'END'\n{HUNGRY}END\n")
    begin, end = f"{NO_SWAP}; {hungry}; sleep 8", f"systemctl stop hungry; {SWAP}"
    with meanwhile(lab, VM, begin, end):
        said = partition(lab, tenant("late"))["msg"]
        killed = lab.ssh(VM, "dmesg | grep -c 'Out of memory' || true").strip()
    print(said)
    assert re.search(r"late: this machine has \S+ of memory left, and the start of a gvisor sandbox takes 20MiB", said)
    assert (killed, main_pid(lab, "steady")) == ("0", before)


def test_purge_leaves_nothing(lab: Lab) -> None:
    partition(lab, purge=True)
    units = "systemctl list-units --all --plain --no-legend 'tenancy-*' 'tenants-*'"
    folders = "ls /var/lib/tenancy/places; ls /etc/systemd/system.control 2>/dev/null"
    left = lab.ssh(VM, f"{folders}; ls /run/tenancy/runsc; {units}; pgrep runsc || true")
    assert [line for line in left.splitlines() if line != "tenants.slice.d"] == []
