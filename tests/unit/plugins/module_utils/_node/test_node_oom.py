# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel goes by when a whole machine is out of memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._node import oom, partition, shadows
from ansible_collections.predictive.tenancy.plugins.module_utils._node.caps import Cap

MIB = 1024 * 1024


def tenant(name, low, **more):
    return {"name": name, "memory": {"low": low, "max": "900MiB"}, **more}


def run(systemd, *items, check=False):
    returned = partition.run(systemd.host(), list(items), False, check)
    return {item["name"]: item for item in returned["results"]}


def kept(systemd, instance):
    with open(os.path.join(systemd.paths.place(instance), "oom"), encoding="ascii") as handle:
        return int(handle.read().strip().removeprefix("OOM_SCORE_ADJ="))


@pytest.fixture
def machine(systemd):
    """1000 MiB of memory and swap together."""
    sizes = {"MemTotal": 600, "SwapTotal": 400, "MemAvailable": 600}
    lines = [f"{name}: {size * 1024} kB\n" for name, size in sizes.items()]
    systemd._write(os.path.join(systemd.paths.root, "proc/meminfo"), "".join(lines))
    return systemd


def process(machine, instance, number):
    """A process in a sandbox; where its oom_score_adj is."""
    inner = os.path.join(machine.paths.slice(instance), "tenancy.service")
    folder = os.path.join(machine.paths.root, "proc", str(number))
    for path in (inner, folder):
        os.makedirs(path, exist_ok=True)
    listing = os.path.join(inner, "cgroup.procs")
    there = Path(listing).read_text(encoding="ascii").split() if os.path.exists(listing) else []
    machine._write(listing, "\n".join([*there, str(number), "4000000"]))  # the last one has ended
    machine._write(os.path.join(folder, "oom_score_adj"), "0")
    return os.path.join(folder, "oom_score_adj")


def read(path):
    with open(path, encoding="ascii") as handle:
        return int(handle.read())


def test_what_is_promised_is_not_held_against_a_tenant(machine):
    run(machine, tenant("none", 0), tenant("some", "250MiB"), tenant("all", "1000MiB", memory={"low": "1GiB"}))
    assert {name: kept(machine, name) for name in ("none", "some", "all")} == {"none": 800, "some": 550, "all": 3}


def test_it_follows_the_promise_of_a_running_tenant(machine):
    run(machine, tenant("a", "250MiB"))
    path = process(machine, "a", 77)
    assert not run(machine, tenant("a", "250MiB"))["a"]["changed"]
    for check in (True, False):
        changed = run(machine, tenant("a", "500MiB"), check=check)["a"]
        assert changed["actions"] == ["resize"]
        assert (changed["diff"]["before"]["oom_score_adj"], changed["diff"]["after"]["oom_score_adj"]) == (550, 300)
        assert (read(path), kept(machine, "a")) == ((0, 550) if check else (300, 300))
    assert not run(machine, tenant("a", "500MiB"))["a"]["changed"]
    os.unlink(os.path.join(machine.paths.place("a"), "oom"))
    assert run(machine, tenant("a", "500MiB"))["a"]["diff"]["before"] == {"oom_score_adj": None}
    assert kept(machine, "a") == 300


def test_somebodys_hand_is_repaired(machine):
    run(machine, tenant("a", "250MiB"))
    path = process(machine, "a", 1)  # the service's main process
    for check in (True, False):
        changed = run(machine, tenant("a", "250MiB"), check=check)["a"]
        assert changed["actions"] == ["repair"]
        assert changed["diff"] == {"before": {"oom_score_adj": 0}, "after": {"oom_score_adj": 550}}
        assert read(path) == (0 if check else 550)
    assert not run(machine, tenant("a", "250MiB"))["a"]["changed"]


def test_a_child_that_was_forked_meanwhile_has_it_too(machine, monkeypatch):
    run(machine, tenant("a", "250MiB"))
    first, wrote = process(machine, "a", 77), oom._set

    def fork(path, value):
        changed = wrote(path, value)
        if path == first and changed:
            process(machine, "a", 78)  # before its parent's value was set
        return changed

    monkeypatch.setattr(oom, "_set", fork)
    oom.apply(machine.host(), "a", 300)
    assert read(os.path.join(machine.paths.root, "proc/78/oom_score_adj")) == 300


def test_kata_is_left_to_containerd(machine):
    machine.programs["containerd-shim-kata-v2"] = "/usr/bin/shim"
    machine._write(os.path.join(machine.paths.root, "proc/meminfo"), "MemTotal: 2000000 kB\nMemAvailable: 2000000 kB\n")
    os.makedirs(os.path.join(machine.paths.root, "dev"))
    machine._write(os.path.join(machine.paths.root, "dev/kvm"), "")
    machine.programs["ctr"] = "/usr/bin/ctr"
    got = run(machine, tenant("k", "250MiB", sandbox={"runtime": "kata"}))["k"]
    assert (got["error"], got["started"]) == ("", "cold")
    path = process(machine, "k", 1)
    assert set(run(machine, tenant("k", "500MiB", sandbox={"runtime": "kata"}))["k"]["diff"]["after"]) == {"memory.low"}
    assert read(path) == 0
    assert not os.path.exists(os.path.join(machine.paths.place("k"), "oom"))


def test_a_run_that_was_killed_between_is_repeated(machine, monkeypatch):
    run(machine, tenant("a", "250MiB"))
    path = process(machine, "a", 79)

    def killed(*_arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(oom, "write_text", killed)
        with pytest.raises(KeyboardInterrupt):
            oom.apply(machine.host(), "a", 300)
    assert (read(path), kept(machine, "a")) == (300, 550)
    assert run(machine, tenant("a", "500MiB"))["a"]["changed"]
    assert (read(path), kept(machine, "a")) == (300, 300)


def test_shadows_go_first_and_their_tenants_do_not(machine):
    shadow = tenant("s", "250MiB", tier="frozen")
    shadows.run(machine.host(), [shadow], [], False, Cap(), False)
    assert kept(machine, "s.1") == 1000
    path = process(machine, "s.1", 78)
    claimed = run(machine, tenant("a", "250MiB", claim="s"))["a"]
    assert (claimed["error"], claimed["started"]) == ("", "claimed")
    assert (read(path), kept(machine, "s.1")) == (550, 550)
    assert not run(machine, tenant("a", "250MiB", claim="s"))["a"]["changed"]


def test_a_little_more_memory_after_a_boot_changes_nothing(machine):
    run(machine, tenant("a", "250MiB"))
    text = f"MemTotal: {602 * 1024} kB\nSwapTotal: {400 * 1024} kB\nMemAvailable: {600 * 1024} kB\n"
    machine._write(os.path.join(machine.paths.root, "proc/meminfo"), text)
    assert not run(machine, tenant("a", "250MiB"))["a"]["changed"]


def test_a_checkpoint_stays_whole_when_only_the_value_changes(machine):
    shadow = tenant("s", "250MiB", tier="checkpointed")

    def reserve():
        return shadows.run(machine.host(), [shadow], [], False, Cap(), False)["results"][0]

    reserve()
    os.unlink(os.path.join(machine.paths.place("s.1"), "oom"))
    assert reserve()["actions"] == ["resize"]
    assert not reserve()["changed"]
    assert run(machine, tenant("a", "250MiB", claim="s"))["a"]["started"] == "claimed"


def test_odd_sizes_are_the_same_to_all_calls(machine):
    both = [tenant("a", "10MB"), tenant("b", "16MiB")]
    run(machine, *both)
    for items in (both[1:], both, both[:1], both):
        returned = partition.run(machine.host(), items, False, False)
        assert not returned["changed"]
