#!/usr/bin/python
# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: vm_shape
short_description: Shape virtual machines through libvirt
version_added: 0.1.0
description:
  - Gives virtual machines the vCPUs, the memory and the disk limits that are listed, in the running instance, in the
    definition that the next start uses, or in both.
  - Memory of a running machine is changed through its balloon; the module waits until the guest has followed.
  - vCPUs of a running machine are plugged in; where its guest agent is connected, the agent takes vCPUs online and
    offline, because guests unplug them reluctantly.
  - A machine that cannot have what is listed is left as it is, with the reason in its result; the others are done.
author: "predictive.tenancy contributors (@predictive-tenancy)"
extends_documentation_fragment:
  - predictive.tenancy.attributes
  - predictive.tenancy.attributes.state
options:
  vms:
    description: The virtual machines and what they shall have. What is not given stays as it is.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the libvirt domain.
        type: str
        required: true
      vcpus:
        description: Number of vCPUs, at most the maximum that the machine was defined with.
        type: int
      memory:
        description:
          - Memory, like V(1536MiB), at most the maximum that the machine was defined with.
          - It is rounded up to whole MiB.
        type: raw
      disks:
        description: Limits of disks.
        type: list
        elements: dict
        suboptions:
          target:
            description: The disk's target in the machine, like V(vda).
            type: str
            required: true
          read:
            description: Bytes per second that may be read, like V(20MB); V(0) is unlimited.
            type: raw
          write:
            description: Bytes per second that may be written, like V(20MB); V(0) is unlimited.
            type: raw
          read_iops:
            description: Read operations per second; V(0) is unlimited.
            type: int
          write_iops:
            description: Write operations per second; V(0) is unlimited.
            type: int
  where:
    description:
      - V(live) changes the running instance, V(persistent) the definition.
      - V(both) changes the definition and, if the machine runs, the running instance.
    type: str
    choices: [both, live, persistent]
    default: both
  uri:
    description: libvirt's connection URI.
    type: str
    default: qemu:///system
requirements:
  - libvirt-python >= 7.0
seealso:
  - module: predictive.tenancy.vm_partition
"""

EXAMPLES = r"""
- name: Give one VM more, and hold the disk of another
  predictive.tenancy.vm_shape:
    vms:
      - name: vm1
        vcpus: 4
        memory: 2GiB
      - name: vm2
        disks:
          - target: vda
            read: 50MB
            write: 20MB

- name: Change only what the next start uses
  predictive.tenancy.vm_shape:
    where: persistent
    vms:
      - name: vm1
        memory: 1536MiB
"""

RETURN = r"""
results:
  description: One entry per virtual machine, in the order of O(vms).
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The virtual machine.
      returned: always
      type: str
      sample: vm1
    changed:
      description: Whether it was (or in check mode would be) changed.
      returned: always
      type: bool
      sample: true
    actions:
      description: What was done, V(resize) for vCPUs and memory, V(limit) for disks.
      returned: always
      type: list
      elements: str
      sample: [resize]
    diff:
      description: What differs, by its path, with values for people.
      returned: always
      type: dict
      sample: {before: {live.vcpus: 2}, after: {live.vcpus: 4}}
    error:
      description: Why it failed; empty if it did not.
      returned: always
      type: str
      sample: ""
    live:
      description:
        - The running instance afterwards, in bytes and bytes per second; in check mode as it is now.
        - V(null) when it does not run or was not asked for.
      returned: always
      type: dict
      sample:
        vcpus: 4
        max_vcpus: 4
        memory: 2147483648
        max_memory: 2147483648
        disks: {vda: {read: null, write: null, read_iops: null, write_iops: null}}
    persistent:
      description: The definition, in the same form; V(null) when there is none or it was not asked for.
      returned: always
      type: dict
      sample:
        vcpus: 4
        max_vcpus: 4
        memory: 2147483648
        max_memory: 2147483648
        disks: {vda: {read: null, write: null, read_iops: null, write_iops: null}}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.predictive.tenancy.plugins.module_utils._core import libraries
from ansible_collections.predictive.tenancy.plugins.module_utils._core.changes import summary
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import TenancyError
from ansible_collections.predictive.tenancy.plugins.module_utils._core.plain import plain
from ansible_collections.predictive.tenancy.plugins.module_utils._hypervisor.client import connect
from ansible_collections.predictive.tenancy.plugins.module_utils._hypervisor.reshape import Order, reshape

DISK = {
    "target": {"type": "str", "required": True},
    "read": {"type": "raw"},
    "write": {"type": "raw"},
    "read_iops": {"type": "int"},
    "write_iops": {"type": "int"},
}
VM = {
    "name": {"type": "str", "required": True},
    "vcpus": {"type": "int"},
    "memory": {"type": "raw"},
    "disks": {"type": "list", "elements": "dict", "options": DISK},
}


def main() -> None:
    """Shape the virtual machines."""
    module = AnsibleModule(
        argument_spec={
            "vms": {"type": "list", "elements": "dict", "required": True, "options": VM},
            "where": {"type": "str", "choices": ["both", "live", "persistent"], "default": "both"},
            "uri": {"type": "str", "default": "qemu:///system"},
        },
        supports_check_mode=True,
    )
    try:
        libraries.require("libvirt-python")
        with connect(module.params["uri"]) as connection:
            order = Order(where=module.params["where"], check=module.check_mode)
            results = reshape(connection, plain(module.params["vms"]), order)
    except TenancyError as error:
        module.fail_json(msg=str(error), results=[])
    failed = [item["error"] for item in results if item["error"]]
    if failed:
        module.fail_json(msg=f"{len(failed)} of {len(results)} machines: {'; '.join(failed)}", **summary(results))
    module.exit_json(**summary(results))


if __name__ == "__main__":
    main()
