#!/usr/bin/python
# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: tenant_rebalance_info
short_description: Read plans with what was predicted of them and what came
version_added: 0.1.0
description:
  - Returns the plans of a cell as M(predictive.tenancy.tenant_rebalance) keeps them, to review one before it is
    applied, or to see what came of those that were.
  - The states are those in the store. A plan stays V(recommended) past RV(plans[].expires_at) until the next run of
    M(predictive.tenancy.tenant_rebalance) expires it; it cannot be applied any more.
  - It runs on the controller.
author:
  - predictive.tenancy contributors (@predictive-tenancy)
extends_documentation_fragment:
  - predictive.tenancy.attributes
  - predictive.tenancy.attributes.info
  - predictive.tenancy.store
options:
  cell:
    description: The cell whose plans are read.
    type: str
    default: default
  ids:
    description: Only these plans. One that the cell does not have is an error.
    type: list
    elements: str
  states:
    description: Only plans in one of these states.
    type: list
    elements: str
    choices: [recommended, applying, applied, failed, superseded, expired]
  limit:
    description: At most this number of plans, the newest; V(0) is all of them.
    type: int
    default: 0
  now:
    description:
      - The present time, as UTC ISO 8601, from which the 30 days of RV(trust) are counted back. The default is the
        clock.
    type: str
seealso:
  - module: predictive.tenancy.tenant_rebalance
  - module: predictive.tenancy.tenancy_report
"""

EXAMPLES = r"""
- name: The plans that wait for a review
  predictive.tenancy.tenant_rebalance_info:
    store: sqlite:////tmp/tenancy-example/store.db
    cell: north
    states: [recommended]
  register: waiting

- name: Show what they would do, and why
  ansible.builtin.debug:
    msg: "{{ waiting.plans | map(attribute='actions') }}"

- name: The last ten plans that were carried out
  predictive.tenancy.tenant_rebalance_info:
    store: sqlite:////tmp/tenancy-example/store.db
    cell: north
    states: [applied, failed]
    limit: 10
  register: past

- name: Show what was predicted beside what came
  ansible.builtin.debug:
    msg: "{{ past.plans | map(attribute='realised') }}"
"""

RETURN = r"""
plans:
  description: The plans, newest first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The id by which M(predictive.tenancy.tenant_rebalance) applies it.
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
    realised:
      description:
        - What was predicted beside what came, for each action that was judged; empty before RV(plans[].verified_at).
      type: list
      elements: dict
      returned: always
      contains:
        action:
          description: The id of the action.
          type: str
          returned: always
          sample: a1
        kind:
          description: Its kind.
          type: str
          returned: always
          sample: move
        tenant:
          description: Its tenant, empty for a shadow.
          type: str
          returned: always
          sample: web_1
        rule:
          description: The rule that asked for it.
          type: str
          returned: always
          sample: relieve
        verdict:
          description: V(good), V(useless), V(worse), or V(unknown) where nothing was measured.
          type: str
          returned: always
          sample: good
        predicted:
          description: What was expected of it, its RV(plans[].actions[].effect).
          type: dict
          returned: always
          sample: {peak_before: 1.02, peak_after: 0.84, target_peak_after: 0.7, gain: 0.31, move_seconds: 6.28}
        realised:
          description: What was measured of it, its RV(plans[].actions[].realised).
          type: dict
          returned: always
          sample: {peak_after: 0.81, target_peak_after: 0.66, gain: 0.28}
trust:
  description:
    - How far each rule is trusted after the verdicts of the last 30 days, V(0.2) to V(1). A rule that is trusted less
      needs a larger gain, a better ratio, a wider dead band or a higher confidence to act.
  type: dict
  returned: success
  sample: {resize: 1.0, relieve: 0.8, empty: 1.0, shadow: 1.0}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import TenancyError
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.arguments import (
    present_time,
    store_spec,
    store_uri,
)
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.plans import read_plans
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.plan import STATES
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store

ARGUMENTS: dict[str, dict[str, Any]] = {
    **store_spec(),
    "cell": {"type": "str", "default": "default"},
    "ids": {"type": "list", "elements": "str"},
    "states": {"type": "list", "elements": "str", "choices": list(STATES)},
    "limit": {"type": "int", "default": 0},
    "now": {"type": "str"},
}


def run(module: AnsibleModule) -> None:
    """Read and return."""
    params = module.params
    now = present_time(params["now"])
    with open_store(store_uri(params["store"]), read_only=True) as store:
        chosen = {name: params[name] for name in ("ids", "states", "limit")}
        found = read_plans(store, params["cell"], now, **chosen)
    module.exit_json(changed=False, **found)


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        run(module)
    except TenancyError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
