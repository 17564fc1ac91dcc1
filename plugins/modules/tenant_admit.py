#!/usr/bin/python
# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: tenant_admit
short_description: Give requests a tenant in a capacity VM
version_added: 0.1.0
description:
  - For each request it finds the matching profile or creates one, chooses the VM by forecast room in every window of
    the horizon, allocates within bounds, sets the priority and records the tenant. A waiting shadow is claimed.
  - VMs that lack an operating system or a library, lie in another zone, or hold a tenant that must stay apart are no
    candidates. Among the others the best fit wins, those near what the tenant depends on first.
  - It is atomic against other runs. Two controllers that admit into the same cell overfill no VM and place nothing
    twice.
  - No room is an answer, not an error. Then RV(results[].vm) is V(null) and RV(results[].reason) names the nearest
    miss.
  - It decides on the controller and touches no VM. RV(desired) is what M(predictive.tenancy.vm_partition) makes real on
    each VM, RV(shadows) what M(predictive.tenancy.shadow_reserve) does.
  - A tenant that a killed run left without room, and the tenants of a lost VM, are placed by the next run. It also
    gives back room that a killed run had taken for a tenant or a shadow that is not there.
author:
  - predictive.tenancy contributors (@predictive-tenancy)
extends_documentation_fragment:
  - predictive.tenancy.attributes
  - predictive.tenancy.attributes.state
  - predictive.tenancy.store
  - predictive.tenancy.cell
  - predictive.tenancy.policy
options:
  requests:
    description: Requests to admit, or to end.
    type: list
    elements: dict
    default: []
    suboptions:
      id:
        description:
          - The id of the request. The same id again changes nothing, in whichever cell its tenant is. Where it is a
            valid name it names the tenant.
          - Without it, a request with the same profile, parameters and time is the same request.
        type: str
      workload:
        description: The code that is asked for. Give this or O(requests[].profile).
        type: str
      profile:
        description: The profile by name.
        type: str
      parameters:
        description: Parameters of the request, by which profiles of one workload are told apart.
        type: dict
      time:
        description: When it was made, as UTC ISO 8601.
        type: str
      priority:
        description: V(0) to V(100). The default is the priority of the profile.
        type: int
      resources:
        description:
          - What the tenant shall get.
          - The default follows from the forecast, or from what is known of other workloads.
        type: dict
        suboptions:
          cpu:
            description: Cores, such as V(0.5).
            type: str
          memory:
            description: Memory, such as V(256MiB).
            type: str
          io_read:
            description: Bytes read per second, such as V(20MB).
            type: str
          io_write:
            description: Bytes written per second.
            type: str
      state:
        description:
          - V(absent) ends the tenant of the request and gives its room back. Where there is none, nothing is changed
            and no profile is made.
        type: str
        choices: [present, absent]
        default: present
  expected:
    description:
      - Also admit what is expected within this time, such as V(1h); one tenant for each profile.
      - That are the profiles whose requests come on a schedule, and workloads without one that use CPU all the time.
    type: str
requirements:
  - numpy >= 1.24
seealso:
  - module: predictive.tenancy.vm_partition
  - module: predictive.tenancy.shadow_reserve
  - module: predictive.tenancy.tenant_rebalance
  - module: predictive.tenancy.workload_profile
"""

EXAMPLES = r"""
- name: Admit two requests into a cell of two VMs
  predictive.tenancy.tenant_admit:
    store: sqlite:////tmp/tenancy-example/store.db
    cell: north
    vms:
      - name: capacity1
        capacity: {cpu: 2, memory: 1400MiB}
      - name: capacity2
        capacity: {cpu: 2, memory: 1400MiB}
    requests:
      - id: order_4711
        workload: web_shop
      - workload: nightly_report
        parameters: {region: eu}
        priority: 70
        resources: {cpu: 0.5, memory: 256MiB}
  register: admitted

- name: Show what each VM shall hold
  ansible.builtin.debug:
    var: admitted.desired

- name: Admit what is expected within the next hour, more tightly packed
  predictive.tenancy.tenant_admit:
    store: sqlite:////tmp/tenancy-example/store.db
    cell: north
    expected: 1h
    policy:
      packing: {fill: 0.95}

- name: End a request
  predictive.tenancy.tenant_admit:
    store: sqlite:////tmp/tenancy-example/store.db
    cell: north
    requests:
      - id: order_4711
        workload: web_shop
        state: absent
"""

RETURN = r"""
results:
  description: What became of each request, and of tenants that a killed run had left without room.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: The tenant.
      type: str
      returned: always
      sample: order_4711
    changed:
      description: Whether anything was changed for it.
      type: bool
      returned: always
      sample: true
    actions:
      description: What was done; V(admit), V(claim), V(remove), V(create) of a profile.
      type: list
      elements: str
      returned: always
      sample: [admit, create]
    diff:
      description: What differs, as before and after.
      type: dict
      returned: always
      sample: {before: {vm: null, profile: null}, after: {vm: capacity1, profile: web_shop}}
    error:
      description: What is wrong with this request, empty if nothing is.
      type: str
      returned: always
      sample: ""
    profile:
      description: Its profile; where a request ends that nobody knows, the one that it would have.
      type: str
      returned: always
      sample: web_shop
    created_profile:
      description: Whether the profile was made for it.
      type: bool
      returned: always
      sample: true
    vm:
      description: The VM that it has room in; V(null) if there is no room, or no longer.
      type: str
      returned: always
      sample: capacity1
    claim:
      description: The shadow that it claims.
      type: str
      returned: always
      sample:
    reason:
      description: Why this VM, or why none and what the nearest one lacks.
      type: str
      returned: always
      sample: "best fit of 2 candidates: the peak of capacity1 becomes 43% of its CPU at 2026-01-31T14:00Z"
    limits:
      description: Guardrails that bit.
      type: list
      elements: str
      returned: always
      sample: [sizing.memory_floor]
    sized_by:
      description: Where its size comes from.
      type: str
      returned: always
      sample: the forecast
desired:
  description: For each VM the tenants that it shall hold, as M(predictive.tenancy.vm_partition) takes them.
  type: dict
  returned: success
  sample:
    capacity1:
      - name: order_4711
        state: running
        priority: 50
        cpu: {cores: 0.5, weight: 100}
        memory: {low: 67108864, high: 125829120, max: 134217728}
        io: {weight: 100}
        pids: 256
        sandbox: {runtime: gvisor}
    capacity2: []
shadows:
  description: For each VM the shadows that shall wait there, as M(predictive.tenancy.shadow_reserve) takes them.
  type: dict
  returned: success
  sample: {capacity1: [], capacity2: []}
shadow_results:
  description: The shadows that wait now.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: The shadow.
      type: str
      returned: always
      sample: shadow_sync_orders_5d0a91c2
    profile:
      description: The profile whose request it waits for.
      type: str
      returned: always
      sample: sync_orders
    vm:
      description: The VM that holds it.
      type: str
      returned: always
      sample: capacity1
    tier:
      description: How it waits.
      type: str
      returned: always
      sample: frozen
    expected_at:
      description: When the request is expected.
      type: str
      returned: always
      sample: "2026-01-31T14:17:00Z"
    expires_at:
      description: When it is given up.
      type: str
      returned: always
      sample: "2026-01-31T14:24:10Z"
    chance:
      description: How likely the request comes.
      type: float
      returned: always
      sample: 0.96
    changed:
      description: Whether this run made it.
      type: bool
      returned: always
      sample: true
refused_shadows:
  description: Shadows that would have paid and are not held, with the guardrail or the reason.
  type: list
  elements: str
  returned: success
  sample: ["dev_box: shadow.cap"]
vm_results:
  description: What was changed about VMs.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: The VM.
      type: str
      returned: always
      sample: capacity1
    changed:
      description: Whether it was made known or changed.
      type: bool
      returned: always
      sample: true
    actions:
      description: What was done, V(create) or V(update).
      type: list
      elements: str
      returned: always
      sample: [create]
    diff:
      description: What differs, as before and after.
      type: dict
      returned: always
      sample: {before: {state: absent}, after: {state: ready}}
    error:
      description: Always empty; a VM that cannot be read ends the run.
      type: str
      returned: always
      sample: ""
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import TenancyError
from ansible_collections.predictive.tenancy.plugins.module_utils._core.libraries import require
from ansible_collections.predictive.tenancy.plugins.module_utils._core.module import TenancyModule
from ansible_collections.predictive.tenancy.plugins.module_utils._core.plain import plain
from ansible_collections.predictive.tenancy.plugins.module_utils._flow import requests, vms
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.admission import admit_requests
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.arguments import (
    present_time,
    store_spec,
    store_uri,
)
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.policy_reader import option_spec
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store

SHOWN = 20
ARGUMENTS: dict[str, Any] = {
    **store_spec(),
    "cell": {"type": "str", "default": "default"},
    "vms": {**vms.vm_spec(), "default": []},
    "requests": {**requests.request_spec(), "default": []},
    "expected": {"type": "str"},
    "policy": option_spec(),
    "now": {"type": "str"},
}


def run(module: AnsibleModule) -> None:
    """Admit, and end with what became of each request."""
    require("numpy")
    options = plain(module.params)
    now = present_time(options["now"])
    with open_store(store_uri(options["store"]), read_only=module.check_mode) as store:
        answer = admit_requests(store, options, now, dry=module.check_mode)
    failed = [row for row in answer["results"] if row["error"]]
    if failed:
        text = "; ".join(row["error"] for row in failed[:SHOWN]) + ("; ..." if len(failed) > SHOWN else "")
        module.fail_json(msg=f"{len(failed)} requests failed, the others were done: {text}", **answer)
    module.exit_json(**answer)


def main() -> None:
    """Entry point."""
    module = TenancyModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        run(module)
    except TenancyError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
