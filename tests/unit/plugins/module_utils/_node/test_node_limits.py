# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.changes import ChangeSet
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import InputError
from ansible_collections.predictive.tenancy.plugins.module_utils._node.cpus import parse_cpus
from ansible_collections.predictive.tenancy.plugins.module_utils._node.limit_fields import FIELDS
from ansible_collections.predictive.tenancy.plugins.module_utils._node.limits import (
    Limits,
    Machine,
    assignments,
    compare_limits,
    io_weight,
    limits_from,
    limits_from_show,
    priority_weight,
    read_live,
    starting,
)
from hypothesis import given
from hypothesis import strategies as st

MIB = 1024 * 1024
MACHINE = Machine(cpus="0-3", device="/var/lib/tenancy", memory=0)


def test_an_item_becomes_plain_numbers():
    item = {
        "priority": 60,
        "cpu": {"cores": "500m"},
        "memory": {"low": "64MiB", "high": "240MiB", "max": "256MiB"},
        "io": {"read": "20MB", "weight": 300},
        "pids": 256,
    }
    assert limits_from(item) == Limits(
        cpu_quota=500_000, cpu_weight=200, memory_low=64 * MIB, memory_high=240 * MIB, memory_max=256 * MIB,
        memory_swap=256 * MIB, pids=256, io_weight=300, io_read=20_000_000,
    )  # fmt: skip


def test_swap_is_bounded_by_the_memory_maximum_unless_told_otherwise():
    assert limits_from({"memory": {"max": "1GiB"}}).memory_swap == 1024 * MIB
    assert limits_from({"memory": {"max": "1GiB", "swap": "0"}}).memory_swap == 0
    assert limits_from({}).memory_swap is None


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"cpu": {"cores": "0.5x"}}, "unknown unit"),
        ({"cpu": {"cores": 0.001}}, "at least 0.01"),
        ({"cpu": {"cores": 1, "weight": 0}}, "cpu.weight"),
        ({"cpu": {"cpus": "0-a"}}, "list of CPUs"),
        ({"memory": {"max": "1MiB"}}, "at least 4MiB"),
        ({"memory": {"high": "2GiB", "max": "1GiB"}}, "low <= high <= max"),
        ({"memory": {"low": "2GiB", "max": "1GiB"}}, "low <= high <= max"),
        ({"memory": {"max": "12 apples"}}, "unknown unit"),
        ({"io": {"read": -1}}, "not negative"),
        ({"pids": 2}, "pids"),
        ({"priority": 101}, "priority"),
        ({"priority": True}, "priority"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_wrong(item, words):
    with pytest.raises(InputError, match=words):
        limits_from(item)


def test_ten_points_of_priority_double_the_weight():
    assert [priority_weight(value) for value in (0, 50, 60, 100)] == [3, 100, 200, 3200]
    assert [io_weight(value) for value in (0, 50, 60, 80, 90, 100)] == [1, 3, 6, 25, 50, 100]


@given(st.sets(st.integers(0, 300), min_size=1))
def test_a_cpu_list_is_normalised_whatever_its_order(cpus):
    text = parse_cpus(" ".join(str(cpu) for cpu in cpus))
    assert parse_cpus(text) == text
    count = sum(int(part.split("-")[-1]) - int(part.split("-")[0]) + 1 for part in text.split(","))
    assert count == len(cpus)


def test_what_systemctl_shows_is_read_in_machine_units():
    shown = {
        "CPUQuotaPerSecUSec": ["1min 1.500000s"], "CPUWeight": ["[not set]"], "AllowedCPUs": ["0-1 3"],
        "MemoryLow": ["0"], "MemoryHigh": ["infinity"], "MemoryMax": ["209715200"], "MemorySwapMax": ["0"],
        "TasksMax": ["200"], "IOWeight": ["250"], "IOReadBandwidthMax": ["/var/lib/tenancy 20000000"],
        "IOWriteBandwidthMax": ["/dev/vdb 1", "/var/lib/tenancy 5"],
    }  # fmt: skip
    limits = limits_from_show(shown, MACHINE)
    assert limits.cpu_quota == 61_500_000
    assert (limits.cpu_weight, limits.io_weight, limits.cpus) == (100, 250, "0-1,3")
    assert (limits.memory_low, limits.memory_high, limits.memory_max, limits.memory_swap) == (0, None, 209715200, 0)
    assert (limits.pids, limits.io_read, limits.io_write) == (200, 20_000_000, -1)


def test_all_cpus_written_out_are_no_restriction():
    assert limits_from_show({"AllowedCPUs": ["0-3"], "CPUQuotaPerSecUSec": ["infinity"]}, MACHINE).cpus == ""


def test_the_kernel_is_read_as_the_kernel_writes(tmp_path):
    files = {"cpu.max": "50000 100000", "cpu.weight": "200", "cpuset.cpus": "", "memory.high": "max",
             "memory.max": "209715200", "pids.max": "max", "io.weight": "default 300\n254:0 50",
             "io.max": "254:0 rbps=20000000 wbps=max riops=max wiops=max"}  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).write_text(text + "\n", encoding="ascii")
    live = read_live(str(tmp_path))
    assert live["cpu_quota"] == 500_000
    assert live["memory_max"] == 209715200
    assert live["memory_high"] is None
    assert live["io_read"] == 20_000_000
    assert live["io_write"] is None
    assert "memory_swap" not in live


def test_equal_limits_are_no_change_and_the_kernels_rounding_is_none():
    wanted = limits_from({"cpu": {"cores": 0.5}, "memory": {"max": 100_000_001}})
    changes = ChangeSet("a")
    live = {"cpu_quota": 500_000, "memory_max": 100_000_001 // 4096 * 4096, "cpus": "0-3"}
    assert compare_limits(changes, wanted, wanted, live) == []
    assert not changes.changed


def test_a_limit_changed_in_the_kernel_by_hand_is_repaired():
    wanted = limits_from({"memory": {"max": "256MiB"}})
    changes = ChangeSet("a")
    assert compare_limits(changes, wanted, wanted, {"memory_max": None}) == ["memory_max"]
    assert changes.actions == ["repair"]
    assert changes.diff == {"before": {"memory.max": "infinity"}, "after": {"memory.max": "256MiB"}}


def test_a_difference_is_told_in_human_units():
    changes = ChangeSet("a")
    names = compare_limits(changes, Limits(cpu_quota=750_000, io_read=5_000_000), Limits(cpu_quota=500_000), {})
    assert names == ["cpu_quota", "io_read"]
    assert changes.diff["before"] == {"cpu.cores": "0.5", "io.read": "infinity"}
    assert changes.diff["after"] == {"cpu.cores": "0.75", "io.read": "5MB/s"}


def test_assignments_are_words_for_systemctl():
    limits = Limits(cpu_quota=333_300, memory_max=MIB, io_read=5)
    assert assignments(limits, list(FIELDS), MACHINE) == [
        "CPUQuota=33.33%", "CPUWeight=100", "AllowedCPUs=0-3", "MemoryLow=0", "MemoryHigh=infinity",
        "MemoryMax=1048576", "MemorySwapMax=infinity", "TasksMax=infinity", "IOWeight=100",
        "IOReadBandwidthMax=", "IOReadBandwidthMax=/var/lib/tenancy 5", "IOWriteBandwidthMax=",
    ]  # fmt: skip


@given(st.floats(0.01, 64))
def test_a_quota_survives_the_way_through_systemd(cores):
    quota = limits_from({"cpu": {"cores": cores}}).cpu_quota
    percent = assignments(Limits(cpu_quota=quota), ["cpu_quota"], MACHINE)[0].partition("=")[2].rstrip("%")
    assert round(float(percent) * 10_000) == quota


@pytest.mark.parametrize(
    ("cores", "index", "quota", "cpus"), [(0.2, 0, 1, "0"), (0.2, 5, 1, "1"), (1.5, 3, 2, "0,3"), (4, 0, 4, "")]
)
def test_a_sandbox_starts_with_the_whole_cpus_that_it_will_see(cores, index, quota, cpus):
    first = starting(limits_from({"cpu": {"cores": cores}}), MACHINE, index)
    assert (first.cpu_quota, first.cpus) == (quota * 1_000_000, cpus)


def test_an_unlimited_tenant_starts_as_it_is():
    limits = limits_from({"cpu": {"cpus": "1-2"}})
    assert starting(limits, MACHINE, 1) == limits
