# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On libvirt's own test driver, a whole hypervisor in memory."""

from __future__ import annotations

import itertools
from dataclasses import replace

import libvirt
import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import HypervisorError
from ansible_collections.predictive.tenancy.plugins.module_utils._hypervisor import client
from ansible_collections.predictive.tenancy.plugins.module_utils._hypervisor.reshape import Order, reshape

MIB = 1024**2
XML = """
<domain type='test'>
  <name>{name}</name>
  <memory unit='MiB'>2048</memory>
  <currentMemory unit='MiB'>1024</currentMemory>
  <vcpu current='2'>4</vcpu>
  <os><type>hvm</type></os>
  <devices>
    <disk type='file'><source file='/{name}'/><target dev='vda' bus='virtio'/></disk>
    <memballoon model='virtio'/>
  </devices>
</domain>
"""
NUMBERS = itertools.count()
WRITES = ("setVcpusFlags", "setMemoryFlags", "setBlockIoTune")


class Recorder:
    """A real domain that notes the writing calls made on it."""

    def __init__(self, domain, calls):
        self._domain, self._calls = domain, calls

    def __getattr__(self, name):
        if name in WRITES:
            self._calls.append(name)
        return getattr(self._domain, name)


class Recording:
    """A real connection whose domains note what is written to them."""

    def __init__(self, connection, kind=Recorder):
        self.connection, self.kind, self.calls = connection, kind, []

    def __getattr__(self, name):
        assert name == "lookupByName"
        return lambda domain: self.kind(self.connection.lookupByName(domain), self.calls)


@pytest.fixture
def connection():
    with client.connect("test:///default") as opened:
        yield opened


@pytest.fixture
def vm(connection):
    name = f"vm{next(NUMBERS)}"
    connection.defineXML(XML.format(name=name)).create()
    yield name
    domain = connection.lookupByName(name)
    if domain.isActive():
        domain.destroy()
    domain.undefine()


@pytest.fixture
def wish(vm):
    return {
        "name": vm,
        "vcpus": 3,
        "memory": "1536MiB",
        "disks": [{"target": "vda", "read": "20MB", "write_iops": 100}],
    }


def test_check_do_do_again_check_again(connection, wish):
    recording = Recording(connection)
    check, do = Order(check=True), Order()
    (first,) = reshape(recording, [wish], check)
    assert (first["changed"], first["error"], recording.calls) == (True, "", [])
    assert first["live"]["vcpus"] == 2
    (second,) = reshape(recording, [wish], do)
    assert second["changed"]
    assert second["diff"] == first["diff"]
    assert sorted(recording.calls) == sorted(WRITES * 2)
    for shape in (second["live"], second["persistent"]):
        assert (shape["vcpus"], shape["memory"]) == (3, 1536 * MIB)
        assert shape["disks"]["vda"] == {"read": 20000000, "write": None, "read_iops": None, "write_iops": 100}
    recording.calls.clear()
    for order in (do, check):
        (item,) = reshape(recording, [wish], order)
        assert not item["changed"]
        assert item["error"] == ""
    assert recording.calls == []


def test_down_again(connection, wish):
    reshape(connection, [wish], Order())
    smaller = {"name": wish["name"], "vcpus": 1, "memory": "512MiB", "disks": [{"target": "vda", "read": 0}]}
    (item,) = reshape(connection, [smaller], Order())
    assert item["actions"] == ["resize", "limit"]
    assert (item["live"]["vcpus"], item["live"]["memory"]) == (1, 512 * MIB)
    assert item["live"]["disks"]["vda"]["read"] is None
    assert item["live"]["disks"]["vda"]["write_iops"] == 100


@pytest.mark.parametrize(("where", "live", "persistent"), [("live", 4, None), ("persistent", None, 4)])
def test_only_where_it_is_asked_for(connection, vm, where, live, persistent):
    (item,) = reshape(connection, [{"name": vm, "vcpus": 4}], Order(where=where))
    domain = connection.lookupByName(vm)
    assert domain.vcpusFlags(libvirt.VIR_DOMAIN_AFFECT_LIVE) == (live or 2)
    assert domain.vcpusFlags(libvirt.VIR_DOMAIN_AFFECT_CONFIG) == (persistent or 2)
    assert (item["live"] is None, item["persistent"] is None) == (live is None, persistent is None)


def test_a_machine_that_is_off_gets_its_definition_changed(connection, vm):
    connection.lookupByName(vm).destroy()
    (item,) = reshape(connection, [{"name": vm, "memory": "2GiB"}], Order())
    assert item["changed"]
    assert item["live"] is None
    assert item["persistent"]["memory"] == 2048 * MIB
    (item,) = reshape(connection, [{"name": vm, "memory": "1GiB"}], Order(where="live"))
    assert "it does not run" in item["error"]


def test_an_error_names_its_machine_and_leaves_the_others_done(connection, vm):
    items = reshape(
        connection,
        [
            {"name": "nobody", "vcpus": 1},
            {"name": vm, "vcpus": 9},
            {"name": "unit", "memory": "1 potato"},
            {"name": vm, "vcpus": 4},
            {"name": vm, "memory": "1GiB"},
        ],
        Order(where="persistent"),
    )
    assert [bool(item["error"]) for item in items] == [True, True, True, True, True]
    assert "nobody: looking up the domain" in items[0]["error"]
    assert f"{vm}: 9 vCPUs are wanted, its persistent maximum is 4" in items[1]["error"]
    assert "unit: '1 potato' has the unknown unit" in items[2]["error"]
    assert "listed twice" in items[3]["error"]
    assert len({tuple(item) for item in items}) == 1
    (item,) = reshape(connection, [{"name": vm, "vcpus": 4}], Order(where="persistent"))
    assert (item["changed"], item["error"]) == (True, "")


def test_a_wish_that_cannot_be_met_changes_nothing(connection, vm):
    recording = Recording(connection)
    (item,) = reshape(recording, [{"name": vm, "vcpus": 4, "disks": [{"target": "sdz", "read": 1}]}], Order())
    assert "it has no disk sdz" in item["error"]
    assert not item["changed"]
    assert recording.calls == []


class Stuck(Recorder):
    """A domain whose guest gives no memory back."""

    def info(self):
        return [1, 2048 * 1024, 1024 * 1024, 2, 0]


def test_a_balloon_that_does_not_move_is_an_error(connection, vm):
    slept = []
    order = replace(Order(), patience=1.0, sleep=slept.append)
    (item,) = reshape(Recording(connection, Stuck), [{"name": vm, "memory": "512MiB"}], order)
    assert "its guest holds 1GiB of memory, 512MiB are wanted" in item["error"]
    assert 0.9 < sum(slept) < 1.3


def test_a_connection_that_cannot_be_made_says_where():
    words = r"test:///nowhere: connecting to libvirt: .*is libvirtd running"
    with pytest.raises(HypervisorError, match=words), client.connect("test:///nowhere"):
        raise AssertionError("connected")
