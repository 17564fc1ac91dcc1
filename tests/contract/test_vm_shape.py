# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as ansible-core runs it, on libvirt's test driver, whose domain ``test`` has 2 vCPUs and 8 GiB at most."""

from __future__ import annotations

from pathlib import Path

from module_process import run_module

URI = "test:///default"


def test_it_shapes_and_says_what_it_did(tmp_path: Path) -> None:
    arguments = {"uri": URI, "vms": [{"name": "test", "vcpus": 1, "memory": "4GiB"}]}
    predicted = run_module("vm_shape", arguments, tmp_path, check=True)
    done = run_module("vm_shape", arguments, tmp_path)
    assert predicted["changed"]
    assert predicted["diff"] == done["diff"]
    (before,), (after,) = predicted["results"], done["results"]
    assert (before["live"]["vcpus"], after["live"]["vcpus"]) == (2, 1)
    assert after["persistent"]["memory"] == 4 * 1024**3


def test_it_changes_nothing_that_is_as_listed(tmp_path: Path) -> None:
    arguments = {"uri": URI, "vms": [{"name": "test", "vcpus": 2}]}
    assert not run_module("vm_shape", arguments, tmp_path)["changed"]


def test_one_bad_machine_fails_and_the_others_are_done(tmp_path: Path) -> None:
    arguments = {"uri": URI, "vms": [{"name": "absent", "vcpus": 1}, {"name": "test", "memory": "1GiB"}]}
    done = run_module("vm_shape", arguments, tmp_path)
    assert done["failed"]
    assert done["msg"].startswith("1 of 2 machines: absent: looking up the domain")
    assert done["results"][1]["live"]["memory"] == 1024**3


def test_no_libvirt_is_one_message(tmp_path: Path) -> None:
    done = run_module("vm_shape", {"uri": "test:///no/such/file", "vms": []}, tmp_path)
    assert done["failed"]
    assert "test:///no/such/file: connecting to libvirt" in done["msg"]
