# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.changes import ChangeSet
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import HypervisorError, InputError
from ansible_collections.predictive.tenancy.plugins.module_utils._hypervisor.shape import (
    Shape,
    Step,
    compare,
    count_cpus,
    report,
    shape_of,
    wish_of,
)
from hypothesis import given
from hypothesis import strategies as st

GIB = 1024**3
XML = """
<domain type='qemu'>
  <name>vm1</name>
  <memory unit='GiB'>2</memory>
  <currentMemory unit='KiB'>1572864</currentMemory>
  <vcpu placement='static' current='2'>4</vcpu>
  <devices>
    <disk type='file'>
      <target dev='vda' bus='virtio'/>
      <iotune>
        <read_bytes_sec>1000000</read_bytes_sec>
        <read_bytes_sec_max>1000000</read_bytes_sec_max>
        <write_iops_sec>0</write_iops_sec>
        <group_name>g</group_name>
      </iotune>
    </disk>
    <disk type='file'><target dev='vdb' bus='virtio'/></disk>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>
  </devices>
</domain>
"""
SHAPE = Shape(2, 4, GIB, 2 * GIB, {"vda": {}})


def test_a_shape_is_read_in_base_units():
    assert shape_of(XML) == Shape(
        vcpus=2,
        max_vcpus=4,
        memory=1536 * 1024**2,
        max_memory=2 * GIB,
        disks={"vda": {"read_bytes_sec": 1000000, "read_bytes_sec_max": 1000000}, "vdb": {}},
        agent=True,
    )


def test_what_libvirt_leaves_out_means_all_of_it():
    shape = shape_of("<domain><memory>1024</memory><vcpu>3</vcpu></domain>")
    assert (shape.vcpus, shape.max_vcpus, shape.memory, shape.max_memory) == (3, 3, 1024**2, 1024**2)
    assert not shape.agent


@pytest.mark.parametrize("text", ["<domain><vcpu>1</vcpu></domain>", "<domain><memory>1</memory></domain>"])
def test_a_domain_without_vcpus_or_memory_is_refused(text):
    with pytest.raises(HypervisorError, match="has no"):
        shape_of(text)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "vm1", "vcpus": 0}, "vm1: vcpus is 0"),
        ({"name": "vm1", "memory": "2 elephants"}, "vm1: .*unknown unit"),
        ({"name": "vm1", "memory": 0}, "vm1: memory is 0"),
        ({"name": "vm1", "disks": [{"target": "vda", "read": "fast"}]}, "vm1: 'fast' is not a rate"),
        ({"name": "vm1", "disks": [{"target": "vda", "read_iops": -1}]}, "vm1: read_iops is -1"),
        ({"name": "vm1", "disks": [{"target": "vda"}, {"target": "vda"}]}, "vm1: the disk vda is listed twice"),
        ({"name": ""}, "has no name"),
    ],
)
def test_a_bad_wish_names_the_machine(options, words):
    with pytest.raises(InputError, match=words):
        wish_of(options)


def test_memory_is_rounded_up_to_whole_mebibytes():
    assert wish_of({"name": "vm1", "memory": "1000000KB"}).memory == 954 * 1024**2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"vcpus": 5}, "vm1: 5 vCPUs are wanted, its live maximum is 4"),
        ({"memory": "3GiB"}, "vm1: 3GiB of memory are wanted, its live maximum is 2GiB"),
        ({"disks": [{"target": "sda", "read": 1}]}, "vm1: it has no disk sda .its disks are vda"),
    ],
)
def test_what_a_machine_cannot_have_is_refused_before_anything_is_done(options, words):
    changes = ChangeSet("vm1")
    with pytest.raises(InputError, match=words):
        compare(wish_of({"name": "vm1", **options}), "live", SHAPE, changes)
    assert not changes.changed


def test_steps_and_changes_say_the_same():
    changes = ChangeSet("vm1")
    wish = wish_of({"name": "vm1", "vcpus": 3, "memory": "1536MiB", "disks": [{"target": "vda", "read": "20MB"}]})
    assert compare(wish, "persistent", SHAPE, changes) == [
        Step("vcpus", False, 3),
        Step("memory", False, 1536 * 1024**2),
        Step("disk", False, disk="vda", limits={"read_bytes_sec": 20000000, "read_bytes_sec_max": 20000000}),
    ]
    assert changes.diff == {
        "before": {"persistent.vcpus": 2, "persistent.memory": "1GiB", "persistent.vda.read": "infinity"},
        "after": {"persistent.vcpus": 3, "persistent.memory": "1.5GiB", "persistent.vda.read": "20MB/s"},
    }


def test_a_limit_that_is_not_named_stays_though_libvirt_would_drop_it():
    has = {"read_bytes_sec": 50, "read_bytes_sec_max": 60, "write_bytes_sec": 10, "read_iops_sec": 7}
    wish = wish_of({"name": "vm1", "disks": [{"target": "vda", "write": 20}]})
    (step,) = compare(wish, "live", Shape(2, 4, GIB, 2 * GIB, {"vda": has}), ChangeSet("vm1"))
    written = {"write_bytes_sec": 20, "write_bytes_sec_max": 20}
    assert step.limits == {"read_bytes_sec": 50, "read_bytes_sec_max": 60, **written}


def test_a_limit_of_one_direction_replaces_the_total_that_excludes_it():
    changes = ChangeSet("vm1")
    has = Shape(2, 4, GIB, 2 * GIB, {"vda": {"total_bytes_sec": 5000000}})
    wish = wish_of({"name": "vm1", "disks": [{"target": "vda", "write": "1MB"}]})
    (step,) = compare(wish, "live", has, changes)
    assert step.limits == {
        "write_bytes_sec": 1000000,
        "write_bytes_sec_max": 1000000,
        "total_bytes_sec": 0,
        "total_bytes_sec_max": 0,
    }


def test_zero_takes_a_limit_away():
    has = Shape(2, 4, GIB, 2 * GIB, {"vda": {"read_iops_sec": 100}})
    (step,) = compare(
        wish_of({"name": "vm1", "disks": [{"target": "vda", "read_iops": 0}]}), "live", has, ChangeSet("")
    )
    assert step.limits == {"read_iops_sec": 0, "read_iops_sec_max": 0}


@given(st.integers(1, 4), st.integers(1, 2048), st.sampled_from([0, 1, 20000000]))
def test_an_equal_shape_needs_no_step(vcpus, mebibytes, rate):
    disks = {"vda": {"read_bytes_sec": rate} if rate else {}}
    shape = Shape(vcpus, 4, mebibytes * 1024**2, 2 * GIB, disks)
    options = {"name": "vm1", "vcpus": vcpus, "memory": f"{mebibytes}MiB", "disks": [{"target": "vda", "read": rate}]}
    changes = ChangeSet("vm1")
    assert compare(wish_of(options), "live", shape, changes) == []
    assert not changes.changed


@pytest.mark.parametrize(("listed", "count"), [("0-1", 2), ("0", 1), ("0,2-3", 3), ("", 0), ("0-3,8", 5)])
def test_a_list_of_cpus_is_counted(listed, count):
    assert count_cpus(listed) == count


def test_a_report_has_one_form():
    assert report(None) is None
    shown = report(shape_of(XML))
    assert shown is not None
    assert shown["disks"]["vda"] == {"read": 1000000, "write": None, "read_iops": None, "write_iops": None}
