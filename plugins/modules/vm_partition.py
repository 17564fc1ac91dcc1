#!/usr/bin/python
# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: vm_partition
short_description: Make the tenants of a capacity VM equal a list
version_added: 0.1.0
description:
  - Makes each listed tenant real on the capacity VM where it runs, a slice that holds its limits and a sandbox
    inside it.
  - Running tenants are resized in place. Memory that is in use is never cut off, which would end the tenant; it is
    reclaimed as far as it goes, and the rest is reported in RV(results[].notes).
  - Limits are set before a sandbox starts, outlive a reboot, and are put back where somebody changed them.
  - All tenants of a VM belong into one call, which costs a few milliseconds for a tenant that is as it should be.
  - One run at a time changes a VM. Another waits until it is done, for at most 15 minutes, and then fails with
    nothing done; check mode waits for none.
  - An error of one tenant is in its RV(results[].error); the others are done, and then the module fails.
author:
  - predictive.tenancy contributors (@predictive-tenancy)
extends_documentation_fragment:
  - predictive.tenancy.attributes
  - predictive.tenancy.attributes.state
  - predictive.tenancy.resources
options:
  tenants:
    description: The tenants of this VM.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The tenant.
        type: str
        required: true
      state:
        description: V(running), V(paused) (it exists and gets no CPU time), or V(absent).
        type: str
        choices: [running, paused, absent]
        default: running
      claim:
        description:
          - A shadow of M(predictive.tenancy.shadow_reserve) that becomes this tenant, if the tenant does
            not exist yet.
          - Where no such shadow with the same sandbox waits, the tenant starts cold and RV(results[].notes) says why.
        type: str
      priority:
        description: 0 to 100. Where no weight is given, ten points double the share of contended CPU time and I/O.
        type: int
        default: 50
      cpu:
        description: CPU time.
        type: dict
        suboptions:
          cores:
            description: The most CPU time that it may use, in cores, such as V(0.5) or V(250m); at least
              V(0.01). Unlimited by default.
            type: raw
          weight:
            description: Share of contended CPU time, 1 to 10000. The default follows from the priority.
            type: int
          cpus:
            description: The only CPUs that it may run on, such as V(0-1,3). All by default.
            type: str
      memory:
        description: Memory, as sizes such as V(256MiB).
        type: dict
        suboptions:
          low:
            description:
              - What the kernel leaves to it when the VM is short of memory.
              - Where a VM is out of memory, the kernel ends who is furthest beyond this.
            type: raw
          high:
            description: Beyond this it is slowed down and its memory is reclaimed.
            type: raw
          max:
            description: Beyond this it is ended, alone. At least V(4MiB). Unlimited by default.
            type: raw
          swap:
            description: The most swap that it may use. The default is the same as the maximum of memory.
            type: raw
      io:
        description: Reads and writes of the disk that holds C(/var/lib/tenancy).
        type: dict
        suboptions:
          weight:
            description: Share of contended I/O, 1 to 10000. The default follows from the priority.
            type: int
          read:
            description: The most bytes per second that it may read, such as V(20MB).
            type: raw
          write:
            description: The most bytes per second that it may write.
            type: raw
      pids:
        description: The most processes and threads, at least 16. A gVisor sandbox needs about 60 of its own.
        type: int
      sandbox:
        description: What runs in it. Another sandbox than the present one means that it starts anew.
        type: dict
        suboptions:
          runtime:
            description:
              - V(gvisor) has a kernel of its own in user space, V(kata) a virtual machine of its own.
              - V(runc) shares the kernel of the VM and is only for code that is trusted.
            type: str
            choices: [gvisor, kata, runc]
            default: gvisor
          rootfs:
            description:
              - The root file system, a folder below C(/var/lib/tenancy/rootfs) that only root can change.
              - The default is C(/var/lib/tenancy/rootfs/base), which the role
                P(predictive.tenancy.gvisor#role) makes.
            type: path
          image:
            description:
              - An image on the VM as the root file system, instead of O(tenants[].sandbox.rootfs).
              - It is an OCI layout (a folder or an archive), an archive of C(docker save), or a tar
                archive of a root, packed with
                gzip, bzip2, xz or not at all.
              - The command and the environment of the image are used where none are given.
            type: path
          command:
            description: The program and its arguments, without a shell. The default is the image's, or
              C([sleep, infinity]).
            type: list
            elements: str
          env:
            description: Environment of the command. On the VM the values are in files that only root can
              read. What this module logs and returns has the names only.
            type: dict
          network:
            description: V(none) has a loopback interface only, V(host) is the network of the VM.
            type: str
            choices: [none, host]
            default: none
          user:
            description: The user and group inside, as numbers.
            type: str
            default: "65534:65534"
          writable:
            description: Whether the root can be written to. What is written is kept in the tenant's
              memory and is gone with the sandbox. For gVisor only.
            type: bool
            default: false
  purge:
    description:
      - Whether tenants that are not listed are removed.
      - Shadows are not; see M(predictive.tenancy.shadow_reserve).
    type: bool
    default: false
seealso:
  - module: predictive.tenancy.vm_partition_info
  - module: predictive.tenancy.shadow_reserve
  - module: predictive.tenancy.tenant_admit
  - module: predictive.tenancy.vm_shape
"""

EXAMPLES = r"""
- name: Two tenants, and no other
  predictive.tenancy.vm_partition:
    purge: true
    tenants:
      - name: nightly_report_1
        priority: 70
        cpu: {cores: 0.5}
        memory: {low: 64MiB, high: 240MiB, max: 256MiB}
        io: {read: 20MB, write: 10MB}
        pids: 256
      - name: web_1
        cpu: {cores: 1, weight: 400}
        memory: {max: 512MiB}
        sandbox:
          command: [httpd, -f, -p, "8080"]
          env: {STAGE: production}

- name: Stop a tenant where it is, without ending it
  predictive.tenancy.vm_partition:
    tenants:
      - name: web_1
        state: paused
        cpu: {cores: 1, weight: 400}
        memory: {max: 512MiB}
        sandbox:
          command: [httpd, -f, -p, "8080"]
          env: {STAGE: production}

- name: Remove a tenant
  predictive.tenancy.vm_partition:
    tenants:
      - name: nightly_report_1
        state: absent
"""

RETURN = r"""
results:
  description: One entry for each tenant, in the order of O(tenants), then those that were purged.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: The tenant.
      type: str
      returned: always
      sample: web_1
    changed:
      description: Whether it was changed.
      type: bool
      returned: always
      sample: true
    actions:
      description: What was done, in order.
      type: list
      elements: str
      returned: always
      sample: [resize]
    diff:
      description: What differed, C(before) and C(after), by property.
      type: dict
      returned: always
      sample: {before: {memory.max: 256MiB}, after: {memory.max: 512MiB}}
    error:
      description: Why it could not be done; empty where it was.
      type: str
      returned: always
      sample: ""
    state:
      description: V(running), V(paused) or V(absent); empty after an error.
      type: str
      returned: always
      sample: running
    started:
      description: V(cold) or V(claimed) where a sandbox was started or a shadow claimed by this call, else empty.
      type: str
      returned: always
      sample: cold
    seconds:
      description: What that took, from the first step for this tenant until its sandbox ran.
      type: float
      returned: always
      sample: 1.24
    slice:
      description: The systemd slice that holds it.
      type: str
      returned: always
      sample: tenants-web_1.slice
    notes:
      description: What could not be done and is no failure, such as memory that is still in use and cannot be
        taken back yet.
      type: list
      elements: str
      returned: always
      sample: []
node:
  description: What all tenants share, the systemd units and the memory that C(tenants.slice) protects for them.
  type: dict
  returned: always
  sample: {name: tenants.slice, changed: false, actions: [], diff: {before: {}, after: {}}, error: ""}
"""

from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import TenancyError
from ansible_collections.predictive.tenancy.plugins.module_utils._core.module import TenancyModule
from ansible_collections.predictive.tenancy.plugins.module_utils._core.plain import plain
from ansible_collections.predictive.tenancy.plugins.module_utils._node import partition
from ansible_collections.predictive.tenancy.plugins.module_utils._node.adapter import finish, host_for, tenant_spec


def main() -> None:
    module = TenancyModule(
        argument_spec={
            "tenants": {"type": "list", "elements": "dict", "required": True, "options": tenant_spec()},
            "purge": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    try:
        returned = partition.run(
            host_for(module), plain(module.params["tenants"]), module.params["purge"], module.check_mode
        )
    except TenancyError as error:
        module.fail_json(msg=str(error), results=[])
    finish(module, returned, returned["results"], "tenants")


if __name__ == "__main__":
    main()
