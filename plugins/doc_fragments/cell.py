# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """The cell, its VMs and the time; module_utils/_flow/vms.py holds the argument spec."""

    DOCUMENTATION = r"""
options:
  cell:
    description: The cell, the VMs that are planned together; up to about a thousand.
    type: str
    default: default
  vms:
    description:
      - VMs of the cell to make known or to change. What an item leaves out stays as it is in the store.
      - VMs that are not listed stay in the cell.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The VM, by its inventory name.
        type: str
        required: true
      zone:
        description: The zone that it is in.
        type: str
      host:
        description: The KVM host that it runs on.
        type: str
      capacity:
        description: What its tenants may use together; leave out what the VM needs for itself. A new VM needs one.
        type: dict
        suboptions:
          cpu:
            description: CPU in cores, such as V(2).
            type: str
            required: true
          memory:
            description: Memory, such as V(1400MiB).
            type: str
            required: true
          io_read:
            description: Bytes read per second, such as V(200MB). Unlimited by default.
            type: str
          io_write:
            description: Bytes written per second. Unlimited by default.
            type: str
      provides:
        description: What tenants find there.
        type: dict
        suboptions:
          os:
            description: The operating system. A tenant that asks for another is not placed there.
            type: str
          libraries:
            description: Libraries. A tenant that asks for one that is not listed is not placed there.
            type: list
            elements: str
      labels:
        description: Labels; C(group) is the one by which a policy selects VMs.
        type: dict
      state:
        description:
          - V(ready) takes tenants, V(draining) takes no new ones.
          - V(lost) is gone; its tenants are placed again.
        type: str
        choices: [ready, draining, lost]
  now:
    description: The present time, as UTC ISO 8601. The default is the clock. Replays and tests set it.
    type: str
"""
