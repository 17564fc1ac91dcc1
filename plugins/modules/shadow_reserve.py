#!/usr/bin/python
# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: shadow_reserve
short_description: Keep sandboxes waiting with a minimal footprint
version_added: 0.1.0
description:
  - Keeps the listed shadows waiting on the capacity VM where it runs. A shadow is a sandbox that exists before its
    tenant is needed, holds next to no memory and gets no CPU time.
  - Turns shadows into tenants with O(claim), or with O(predictive.tenancy.vm_partition#module:tenants[].claim).
  - A shadow has the limits that its tenant will have, because a sandbox reads its size when it starts.
  - Shadows are given up when their time is over, when they are more than O(cap) allows, and when the VM is short of
    memory. They do not start with the VM; after a reboot the next run makes them anew.
  - A shadow whose root file system or sandbox has changed is made anew, and is never claimed.
  - One run at a time changes a VM. Another waits until it is done, for at most 15 minutes, and then fails with
    nothing done; check mode waits for none.
author:
  - predictive.tenancy contributors (@predictive-tenancy)
extends_documentation_fragment:
  - predictive.tenancy.attributes
  - predictive.tenancy.attributes.state
  - predictive.tenancy.resources
options:
  shadows:
    description: The shadows of this VM.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The shadow; several tenants may have the same profile, so it is named after what will claim it.
        type: str
        required: true
      state:
        description: Whether it shall wait here.
        type: str
        choices: [present, absent]
        default: present
      tier:
        description:
          - V(frozen) is a sandbox that has started, stands still, and whose memory has been pushed out into
            swap, which should be
            compressed memory (zram; the role P(predictive.tenancy.capacity_vm#role) sets it up).
          - V(created) is a sandbox whose command has not started yet; it holds more memory. Not for Kata.
          - V(checkpointed) is a sandbox that has started and was written to disk. It holds no memory and outlives
            a reboot, but starting from it takes about as long as a cold start. It pays where the program's own
            start is what takes long. For gVisor only. Where the runtime refuses the checkpoint at a claim, the
            tenant starts cold.
        type: str
        choices: [created, frozen, checkpointed]
        default: frozen
      warmup:
        description: How long its command runs before it waits, such as V(5s), so that its own start is done by then.
          At most 5 minutes. Shadows that are made in one run are warmed up together, as far as there is memory for
          them at once. Not for V(tier=created).
        type: str
      rehearse:
        description:
          - A command that is run in it as its tenant will be asked first, such as V([wget, -qO-, "http://127.0.0.1/"]).
          - What it touches stays in memory while the shadow waits, so that the tenant answers it as if it had never
            waited; the shadow holds that much more. It must leave nothing behind that the tenant should not find.
          - It is ended after 30 seconds. That it failed is a note. For V(tier=frozen) with gVisor or runc.
        type: list
        elements: str
      ttl:
        description:
          - A duration after which it is given up, counted from its creation, such as V(30m).
          - A run that still lists it then gives it up and makes a new one; a run that does not list it gives it up.
            Use O(shadows[].expires_at) for a time after which none shall wait.
        type: str
      expires_at:
        description: A time after which it is given up, in UTC ISO 8601. It is stronger than O(shadows[].ttl).
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
            description: What the kernel leaves to it when the VM is short of memory.
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
              - An image on the VM as the root file system, instead of O(shadows[].sandbox.rootfs).
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
  claim:
    description: Shadows that become tenants, before O(shadows) is looked at.
    type: list
    elements: dict
    default: []
    suboptions:
      shadow:
        description: The shadow.
        type: str
        required: true
      tenant:
        description: The tenant as M(predictive.tenancy.vm_partition) takes it.
        type: dict
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
            description: Ignored here; O(claim[].shadow) names the shadow.
            type: str
          priority:
            description: 0 to 100. Where no weight is given, ten points double the share of contended CPU
              time and I/O.
            type: int
            default: 50
          cpu:
            description: CPU time.
            type: dict
            suboptions:
              cores:
                description: The most CPU time that it may use, in cores, such as V(0.5) or V(250m);
                  at least V(0.01). Unlimited by default.
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
                  - An image on the VM as the root file system, instead of O(claim[].tenant.sandbox.rootfs).
                  - It is an OCI layout (a folder or an archive), an archive of C(docker save), or a
                    tar archive of a root, packed with
                    gzip, bzip2, xz or not at all.
                  - The command and the environment of the image are used where none are given.
                type: path
              command:
                description: The program and its arguments, without a shell. The default is the
                  image's, or C([sleep, infinity]).
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
                description: Whether the root can be written to. What is written is kept in the
                  tenant's memory and is gone with the sandbox. For gVisor only.
                type: bool
                default: false
  purge:
    description: Whether shadows that are not listed are given up.
    type: bool
    default: false
  cap:
    description:
      - What all listed shadows together may take; beyond it the lowest priority is given up first.
      - What would be given up at once is not made. What a shadow holds is known once it has run; one that was then
        given up is made again when there is room for what it held, or after an hour.
      - One whose start the VM has no memory for is not made either, with or without a cap; C(notes) says so.
    type: dict
    suboptions:
      count:
        description: How many may wait.
        type: int
      memory:
        description: How much memory they may hold, as a size.
        type: raw
      min_available:
        description: How much memory the VM must still have available, as a size.
        type: raw
  now:
    description: The time that decides what is over, in UTC ISO 8601. The default is the present time.
    type: str
seealso:
  - module: predictive.tenancy.vm_partition
  - module: predictive.tenancy.vm_partition_info
  - module: predictive.tenancy.tenant_admit
"""

EXAMPLES = r"""
- name: A shadow for tonight's report, for at most an hour
  predictive.tenancy.shadow_reserve:
    purge: true
    cap: {count: 8, memory: 64MiB, min_available: 128MiB}
    shadows:
      - name: nightly_report
        tier: frozen
        ttl: 1h
        cpu: {cores: 0.5}
        memory: {high: 240MiB, max: 256MiB}
        sandbox:
          command: [sleep, infinity]

- name: The report is due
  predictive.tenancy.shadow_reserve:
    claim:
      - shadow: nightly_report
        tenant:
          name: nightly_report_1
          cpu: {cores: 0.5}
          memory: {high: 240MiB, max: 256MiB}
          sandbox:
            command: [sleep, infinity]
"""

RETURN = r"""
results:
  description: One entry for each shadow, in the order of O(shadows), then those that were given up.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: The shadow.
      type: str
      returned: always
      sample: nightly_report
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
      sample: [create]
    diff:
      description: What differed, C(before) and C(after), by property.
      type: dict
      returned: always
      sample: {before: {state: absent}, after: {state: running}}
    error:
      description: Why it could not be done; empty where it was.
      type: str
      returned: always
      sample: ""
    tier:
      description: The tier of a shadow that waits, else empty.
      type: str
      returned: always
      sample: frozen
    state:
      description: V(waiting) or V(absent).
      type: str
      returned: always
      sample: waiting
    held:
      description: Bytes in memory that it holds now.
      type: int
      returned: always
      sample: 1310720
    stored:
      description: Bytes on disk of its checkpoint.
      type: int
      returned: always
      sample: 0
    seconds:
      description: What its start took, where this call started it.
      type: float
      returned: always
      sample: 1.31
    expires_at:
      description: When it is given up; empty for never.
      type: str
      returned: always
      sample: "2026-03-02T03:00:00Z"
    slice:
      description: The systemd slice that holds it, else empty.
      type: str
      returned: always
      sample: tenants-nightly_report.1.slice
    notes:
      description: Why it was given up, or not made.
      type: list
      elements: str
      returned: always
      sample: []
claims:
  description: One entry for each of O(claim), as in RV(predictive.tenancy.vm_partition#module:results).
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
"""

from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import TenancyError
from ansible_collections.predictive.tenancy.plugins.module_utils._core.module import TenancyModule
from ansible_collections.predictive.tenancy.plugins.module_utils._core.plain import plain
from ansible_collections.predictive.tenancy.plugins.module_utils._node import shadows
from ansible_collections.predictive.tenancy.plugins.module_utils._node.adapter import (
    cap_spec,
    finish,
    host_for,
    shadow_spec,
    tenant_spec,
)
from ansible_collections.predictive.tenancy.plugins.module_utils._node.caps import cap_from


def main() -> None:
    module = TenancyModule(
        argument_spec={
            "shadows": {"type": "list", "elements": "dict", "default": [], "options": shadow_spec()},
            "claim": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "shadow": {"type": "str", "required": True},
                    "tenant": {"type": "dict", "required": True, "options": tenant_spec()},
                },
            },
            "purge": {"type": "bool", "default": False},
            "cap": {"type": "dict", "options": cap_spec()},
            "now": {"type": "str"},
        },
        supports_check_mode=True,
    )
    given = plain(module.params)
    try:
        returned = shadows.run(
            host_for(module, given["now"]),
            given["shadows"],
            given["claim"],
            given["purge"],
            cap_from(given["cap"]),
            module.check_mode,
        )
    except TenancyError as error:
        module.fail_json(msg=str(error), results=[], claims=[])
    finish(module, returned, returned["results"] + returned["claims"], "shadows and claims")


if __name__ == "__main__":
    main()
