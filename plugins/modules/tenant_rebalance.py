#!/usr/bin/python
# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: tenant_rebalance
short_description: Correct sizes and places of tenants by a reviewed plan
version_added: 0.1.0
description:
  - Reads measured usage, forecasts and the state of the cell and proposes a plan. It resizes first, then moves
    tenants out of VMs that are or will be too full, then empties VMs that are not needed, then asks for a new VM; and
    it holds the shadows that pay.
  - A plan is data. It has an id, a state and an expiry; each action has its reason, confidence, expected effect and
    the limits that applied. It is applied by its id, so that what was reviewed is what runs.
  - Nothing worth doing is an answer. Then RV(plan) is V(null), and a plan that was recommended before is superseded.
    A plan that would only ask for a new VM again is none for twelve hours after one with the same request was applied.
  - It decides on the controller and touches no VM. With O(mode=apply) each call returns in RV(desired) what every VM
    shall hold for the next step; M(predictive.tenancy.vm_partition) makes it real, and its results are given to the
    next call as O(results), until RV(state) is no longer V(applying).
  - A tenant that moves is on both VMs until the target says that it runs, then the source lets it go. A run that is
    killed at any point loses no tenant; the next call goes on from there. An action that can no longer be finished,
    because its request has ended or its VM is lost, fails and leaves the tenant where it is.
  - Some time after a plan was applied, what was realised is kept beside what was predicted. What made things worse is
    proposed to be taken back, moves of no use are remembered, and the rule that asked for them is trusted less.
author:
  - predictive.tenancy contributors (@predictive-tenancy)
extends_documentation_fragment:
  - predictive.tenancy.attributes
  - predictive.tenancy.attributes.state
  - predictive.tenancy.store
  - predictive.tenancy.cell
  - predictive.tenancy.policy
options:
  mode:
    description:
      - V(observe) only says what it would propose.
      - V(recommend) keeps the proposal as a plan; one that was recommended before and says something else is
        superseded. While a plan is being applied, that plan is returned. It also verifies the plans whose time has
        come.
      - V(apply) carries a plan on by one step.
    type: str
    choices: [observe, recommend, apply]
    default: recommend
  plan:
    description:
      - The id of the plan to apply. The default is the one that is being applied, else the newest recommended one.
      - It is carried on under the policy that it was made with; O(policy) is that of a new proposal.
    type: str
  results:
    description:
      - What M(predictive.tenancy.vm_partition) returned on all VMs after the call before, in one list.
      - An entry may name its VM as C(vm). Without it, a tenant that is on two VMs in a step needs an entry from each.
    type: list
    elements: dict
    default: []
  measured:
    description:
      - For each VM the RV(predictive.tenancy.vm_partition_info#module:tenants) of it; it adds pressure, throttling
        and the present use to what the store knows.
    type: dict
    default: {}
  only:
    description:
      - Correct only these VMs; the cell is not consolidated and no shadows are proposed. For a correction between
        scheduled runs, when an alert names a VM.
      - Such a plan supersedes no other that waits for review.
      - Tenants that leave one of them may go to any VM of the cell. With O(mode=apply) it has no effect.
    type: list
    elements: str
    default: []
requirements:
  - numpy >= 1.24
seealso:
  - module: predictive.tenancy.tenant_rebalance_info
  - module: predictive.tenancy.tenant_admit
  - module: predictive.tenancy.vm_partition
  - module: predictive.tenancy.vm_partition_info
  - module: predictive.tenancy.workload_observe
"""

EXAMPLES = r"""
- name: Make two VMs known
  predictive.tenancy.tenant_admit:
    store: sqlite:////tmp/tenancy-example/store.db
    cell: north
    vms:
      - name: capacity1
        capacity: {cpu: 2, memory: 1400MiB}
      - name: capacity2
        capacity: {cpu: 2, memory: 1400MiB}

- name: Propose a plan, with moves by night only
  predictive.tenancy.tenant_rebalance:
    store: sqlite:////tmp/tenancy-example/store.db
    cell: north
    policy:
      move: {freeze: ["06:00-22:00"]}
  register: proposed

- name: Show it
  ansible.builtin.debug:
    msg: "{{ proposed.plan.actions | default([]) }}"

- name: Take its first step
  predictive.tenancy.tenant_rebalance:
    store: sqlite:////tmp/tenancy-example/store.db
    cell: north
    mode: apply
    plan: "{{ proposed.plan.id | default(omit) }}"
  register: step
"""

RETURN = r"""
plan:
  description: The plan, V(null) if nothing is worth doing.
  type: dict
  returned: success
  contains:
    id:
      description: The id by which it is applied.
      type: str
      returned: always
      sample: north-20260131T120000-4f2a91
    cell:
      description: The cell.
      type: str
      returned: always
      sample: north
    state:
      description: V(recommended), V(applying), V(applied), V(failed), V(superseded) or V(expired).
      type: str
      returned: always
      sample: recommended
    mode:
      description: The mode in which it was made.
      type: str
      returned: always
      sample: recommend
    digest:
      description: Equal for plans that would do the same.
      type: str
      returned: always
      sample: 4f2a91c07b3d
    created_at:
      description: When it was made.
      type: str
      returned: always
      sample: "2026-01-31T12:00:00Z"
    expires_at:
      description: Until when it can be applied.
      type: str
      returned: always
      sample: "2026-01-31T13:00:00Z"
    started_at:
      description: When it was begun to be applied.
      type: str
      returned: always
      sample:
    applied_at:
      description: When its last action came to its end.
      type: str
      returned: always
      sample:
    verified_at:
      description: When its effect was judged.
      type: str
      returned: always
      sample:
    verdict:
      description:
        - The verdict on it, empty until then. V(good), V(useless), V(worse), or V(unknown) where nothing was measured.
      type: str
      returned: always
      sample: ""
    policy:
      description: The policy that it was made with.
      type: dict
      returned: always
      sample: {move: {high: 0.95, low: 0.6}}
    score:
      description:
        - The VMs in use plus forty times what their peaks exceed the fill by, before and after; lower is better.
        - Beside it the VMs in use before and after, and the least number that could hold the mean demand at all.
      type: dict
      returned: always
      sample: {before: 3.9, after: 2.0, vms_before: 3, vms_after: 2, vms_least: 2}
    limits:
      description: How often each guardrail held something back.
      type: dict
      returned: always
      sample: {resize.dead_band: 3, move.cooldown: 1}
    notes:
      description: What else is to be said.
      type: list
      elements: str
      returned: always
      sample: []
    actions:
      description: The actions.
      type: list
      elements: dict
      returned: always
      contains:
        id:
          description: The action.
          type: str
          returned: always
          sample: a1
        kind:
          description: V(resize), V(move), V(consolidate), V(shadow) or V(vm), which asks for a new VM.
          type: str
          returned: always
          sample: resize
        tenant:
          description: The tenant, empty for a shadow or a VM.
          type: str
          returned: always
          sample: web_1
        profile:
          description: Its profile.
          type: str
          returned: always
          sample: web
        group:
          description: Actions of a group belong together.
          type: str
          returned: always
          sample: ""
        rule:
          description:
            - The rule that asked for it, V(resize), V(relieve), V(empty), V(shadow), or V(rollback) to take something
              back.
          type: str
          returned: always
          sample: resize
        reason:
          description: Why.
          type: str
          returned: always
          sample: CPU is under pressure at its limit
        confidence:
          description: V(1) where it was measured, else the trust in the forecast, V(0) to V(1).
          type: float
          returned: always
          sample: 1.0
        from:
          description: What is now.
          type: dict
          returned: always
          sample: {cpu: {cores: 0.5}}
        to:
          description: What shall be.
          type: dict
          returned: always
          sample: {cpu: {cores: 0.75}}
        effect:
          description: What is expected of it.
          type: dict
          returned: always
          sample: {vm: capacity1}
        limits:
          description: The guardrails that bit.
          type: list
          elements: str
          returned: always
          sample: [resize.step_up]
        state:
          description:
            - V(proposed), V(requested), V(reserved), V(switched), V(abandoned), then V(applied), V(failed) or
              V(noted).
          type: str
          returned: always
          sample: proposed
        error:
          description: Why it failed, empty otherwise.
          type: str
          returned: always
          sample: ""
        verdict:
          description: The verdict on it, as for the plan.
          type: str
          returned: always
          sample: ""
        realised:
          description:
            - What was measured of it. Of moves the peaks of both VMs and the gain against the places as they were,
              under the load of that time; of a resize the highest use as a share of the new limit; of a shadow
              whether it was claimed.
          type: dict
          returned: always
          sample: {}
state:
  description: The state of the plan, V(none) without one.
  type: str
  returned: success
  sample: recommended
results:
  description: One entry for each action, and one for each other plan whose state or verdict this run has changed.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: The action, its kind and tenant; or the id of a plan.
      type: str
      returned: always
      sample: a1 resize web_1
    changed:
      description: Whether this run recorded it in a plan, or carried it on.
      type: bool
      returned: always
      sample: false
    actions:
      description: Its kind; of a plan V(verify), or its new state.
      type: list
      elements: str
      returned: always
      sample: [resize]
    diff:
      description: What differs, as before and after.
      type: dict
      returned: always
      sample: {before: {cpu: {cores: 0.5}}, after: {cpu: {cores: 0.75}}}
    error:
      description: Why it failed, empty otherwise.
      type: str
      returned: always
      sample: ""
    state:
      description: Its state.
      type: str
      returned: always
      sample: proposed
verified:
  description: The plans that this run has verified, like RV(plan).
  type: list
  elements: dict
  returned: success
  sample: [{id: north-20260131T100000-91c07b, verdict: good}]
trust:
  description:
    - How far each rule is trusted after the verdicts of the last 30 days, V(0.2) to V(1). A rule that is trusted less
      needs a larger gain, a better ratio, a wider dead band or a higher confidence to act.
  type: dict
  returned: success
  sample: {resize: 1.0, relieve: 0.8, empty: 1.0, shadow: 1.0}
desired:
  description: For each VM the tenants that it shall hold now, as M(predictive.tenancy.vm_partition) takes them.
  type: dict
  returned: success
  sample: {capacity1: [{name: web_1, state: running}], capacity2: [{name: web_1, state: absent}]}
shadows:
  description: For each VM the shadows that shall wait there, as M(predictive.tenancy.shadow_reserve) takes them.
  type: dict
  returned: success
  sample: {capacity1: [], capacity2: []}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import TenancyError
from ansible_collections.predictive.tenancy.plugins.module_utils._core.libraries import require
from ansible_collections.predictive.tenancy.plugins.module_utils._core.module import TenancyModule
from ansible_collections.predictive.tenancy.plugins.module_utils._core.plain import plain
from ansible_collections.predictive.tenancy.plugins.module_utils._flow import vms
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.arguments import (
    present_time,
    store_spec,
    store_uri,
)
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.rebalance import rebalance
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.policy_reader import option_spec
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store

ARGUMENTS: dict[str, Any] = {
    **store_spec(),
    "cell": {"type": "str", "default": "default"},
    "vms": {**vms.vm_spec(), "default": []},
    "mode": {"type": "str", "choices": ["observe", "recommend", "apply"], "default": "recommend"},
    "plan": {"type": "str"},
    "results": {"type": "list", "elements": "dict", "default": []},
    "measured": {"type": "dict", "default": {}},
    "only": {"type": "list", "elements": "str", "default": []},
    "policy": option_spec(),
    "now": {"type": "str"},
}


def run(module: AnsibleModule) -> None:
    """Observe, recommend or apply."""
    require("numpy")
    options = plain(module.params)
    now = present_time(options["now"])
    with open_store(store_uri(options["store"]), read_only=module.check_mode) as store:
        answer = rebalance(store, options, now, dry=module.check_mode)
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
