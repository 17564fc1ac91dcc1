#!/usr/bin/python
# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: policy_replay
short_description: Say what a policy would have done with the history
version_added: 0.1.0
description:
  - Goes through recorded usage and requests, one step after the other, each knowing only what came before it, under one
    policy or several. Returns side by side how many VMs would have been used, how often they would have been
    overloaded, their slack, the moves, the cold starts and what shadows would have held.
  - The history is the one of the store, or that of files, which are then read into a store of their own.
  - The VMs are those of the cell, or as many of one size as are needed.
  - Every step relieves and empties VMs with the planner's rules, guardrails and budgets. There are no forecasts in it.
    For the lead time of moves a tenant is taken to stay at its level so far, which forgets within hours, as far as it
    strayed from it before.
  - Shadows follow the gaps between requests alone, without schedules. Every request is taken to start its tenant anew.
  - Limits of tenants are not replayed; a tenant uses what it used.
  - So a replay does not look at C(packing.windows), C(packing.horizon), C(packing.correlation), C(packing.novelty),
    C(packing.memory_overcommit), C(packing.incumbent), C(sizing), C(resize), C(move.give_up_after), C(move.backoff),
    C(consolidation.lead), C(shadow.cap), C(shadow.lead), C(shadow.ahead), C(shadow.ttl), C(shadow.confidence),
    C(preempt) and C(plan). Where policies differ in one of them, a warning and RV(unseen) say so.
  - It runs on the controller, reads the store only, and touches no VM.
author:
  - predictive.tenancy contributors (@predictive-tenancy)
extends_documentation_fragment:
  - predictive.tenancy.attributes
  - predictive.tenancy.attributes.state
  - predictive.tenancy.store
options:
  cell:
    description: The cell whose VMs are replayed in; overrides of the policies for a cell mean this one.
    type: str
    default: default
  policies:
    description: The policies to compare. The default is one with all defaults.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What to call it.
        type: str
        required: true
      policy:
        description: The policy, as M(predictive.tenancy.tenant_rebalance) takes it.
        type: dict
        default: {}
  span:
    description: How much of the history is replayed, up to its newest sample before O(now).
    type: str
    default: 7d
  step:
    description: The time between two decisions. Usage is the mean over it.
    type: str
    default: 15m
  profiles:
    description: Only these profiles. The default is all that have usage.
    type: list
    elements: str
    default: []
  capacity:
    description: Replay in as many VMs of this size as are needed, which provide all that is asked for.
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
        description: Bytes read per second. Unlimited by default.
        type: str
      io_write:
        description: Bytes written per second. Unlimited by default.
        type: str
  files:
    description: Replay the history in these files, as M(predictive.tenancy.workload_observe) reads them.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The file.
        type: path
        required: true
      kind:
        description: What it holds.
        type: str
        choices: [requests, usage]
        required: true
      format:
        description: How it is written.
        type: str
        choices: [csv, jsonl]
        default: csv
  dest:
    description:
      - Where to write the comparison as an SVG picture, as an absolute path. Its folder is made if it is missing.
      - It is replaced as a whole, and only when its content differs.
    type: path
  now:
    description: The present time, as UTC ISO 8601. The default is the clock.
    type: str
requirements:
  - numpy >= 1.24
seealso:
  - module: predictive.tenancy.tenant_rebalance
  - module: predictive.tenancy.workload_observe
  - module: predictive.tenancy.workload_sample
"""

EXAMPLES = r"""
- name: Write a sample history
  predictive.tenancy.workload_sample:
    dest: /tmp/tenancy

- name: Compare two policies on it
  predictive.tenancy.policy_replay:
    files:
      - {path: /tmp/tenancy/requests.csv, kind: requests}
      - {path: /tmp/tenancy/usage.csv, kind: usage}
    capacity: {cpu: 0.6, memory: 400MiB}
    policies:
      - name: as it is
      - name: tighter
        policy:
          packing: {fill: 0.95, sigma: 2}
          move: {high: 0.98}
          shadow: {second_cost: 5}
    dest: /tmp/tenancy/replay.svg
  register: replayed

- name: Show the table
  ansible.builtin.debug:
    var: replayed.table

- name: Keep the history in a store
  predictive.tenancy.workload_observe:
    store: sqlite:////tmp/tenancy/replay.db
    files:
      - {path: /tmp/tenancy/usage.csv, kind: usage}

- name: What would no moves at all have cost
  predictive.tenancy.policy_replay:
    store: sqlite:////tmp/tenancy/replay.db
    capacity: {cpu: 2, memory: 1400MiB}
    span: 2d
    policies:
      - name: default
      - {name: still, policy: {move: {enabled: false}, consolidation: {enabled: false}}}
"""

RETURN = r"""
results:
  description: One entry per policy; and one for O(dest), whose figures are empty.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: The policy, or the file.
      type: str
      returned: always
      sample: tighter
    changed:
      description: Whether the file was, or in check mode would be, written. Always V(false) for a policy.
      type: bool
      returned: always
      sample: false
    actions:
      description: What was done, V(create) or V(update) of the file.
      type: list
      elements: str
      returned: always
      sample: []
    diff:
      description: What differs, as before and after.
      type: dict
      returned: always
      sample: {before: {}, after: {}}
    error:
      description: Always empty; what is wrong ends the run.
      type: str
      returned: always
      sample: ""
    figures:
      description:
        - C(vms) in use at the mean and C(vms_most); C(overload), the share of VM-time above the capacity; C(slack), the
          mean free share of the VMs in use; C(moves_per_tenant_day); C(returns), moves back within a day; C(stuck),
          how often a VM could not be relieved; C(requests), C(cold_starts) and their C(cold_share);
          C(waste_gib_hours) that shadows waited.
      type: dict
      returned: always
      sample: {vms: 2.0, overload: 0.0, cold_starts: 3}
    limits:
      description: How often each guardrail held something back.
      type: dict
      returned: always
      sample: {move.cooldown: 4}
table:
  description: The figures as lines of a table, a column per policy.
  type: list
  elements: str
  returned: success
  sample: ["                  as it is  tighter  difference", "VMs in use, mean      2.00     1.00       -50 %"]
unseen:
  description: The keys in which the policies differ and that a replay does not look at; they make no difference here.
  type: list
  elements: str
  returned: success
  sample: [shadow.confidence]
tenants:
  description: How many tenants were replayed.
  type: int
  returned: success
  sample: 12
start:
  description: Where the replayed time begins.
  type: str
  returned: success
  sample: "2026-01-24T12:00:00Z"
end:
  description: Where it ends.
  type: str
  returned: success
  sample: "2026-01-31T12:00:00Z"
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.predictive.tenancy.plugins.module_utils._core.changes import ChangeSet, result, summary
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import TenancyError
from ansible_collections.predictive.tenancy.plugins.module_utils._core.libraries import require
from ansible_collections.predictive.tenancy.plugins.module_utils._core.module import TenancyModule
from ansible_collections.predictive.tenancy.plugins.module_utils._core.plain import plain
from ansible_collections.predictive.tenancy.plugins.module_utils._flow import replay, replay_reach, replay_view, vms
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.arguments import (
    present_time,
    store_spec,
    store_uri,
)
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.files import compare_file, replace_file
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.history_arguments import HISTORY
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.report_text import when
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from ansible_collections.predictive.tenancy.plugins.module_utils._store.interface import Store

TEXT = {"type": "str"}
NEEDED = {"type": "str", "required": True}
ARGUMENTS: dict[str, Any] = {
    **store_spec(),
    "cell": {"type": "str", "default": "default"},
    "policies": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"name": NEEDED, "policy": {"type": "dict", "default": {}}},
    },
    "span": {"type": "str", "default": "7d"},
    "step": {"type": "str", "default": "15m"},
    "profiles": {"type": "list", "elements": "str", "default": []},
    "capacity": {"type": "dict", "options": {"cpu": NEEDED, "memory": NEEDED, "io_read": TEXT, "io_write": TEXT}},
    "files": HISTORY["files"],
    "dest": {"type": "path"},
    "now": {"type": "str"},
}


@contextmanager
def source(module: AnsibleModule, options: dict[str, Any]) -> Iterator[Store]:
    """The store with the history: the one that is asked for, or one that is made of the files and thrown away."""
    if not options["files"]:
        with open_store(store_uri(options["store"]), read_only=True) as store:
            yield store
        return
    scratch = tempfile.TemporaryDirectory(prefix="replay-", dir=module.tmpdir)
    with scratch as folder, open_store(f"sqlite:///{folder}/store.db") as store:
        replay.given(store, options["files"], present_time(options["now"]))
        yield store


def run(module: AnsibleModule) -> None:
    """Replay, compare, and write the picture where one is asked for."""
    require("numpy")
    options = plain(module.params)
    policies = replay.policies(options["policies"], options["cell"])
    unseen = replay_reach.unseen(list(policies.values()))
    if unseen:
        module.warn(f"a replay does not look at {', '.join(unseen)}, in which the policies differ")
    span, step = replay.options(options)
    with source(module, options) as store:
        history = replay.read(store, span, step, present_time(options["now"]), options["profiles"])
        capacity, machines = replay.machines(vms.read(store, options["cell"]), options["capacity"], history)
    outcomes = [replay.replay(history, capacity, machines, name, policy) for name, policy in policies.items()]
    rows = [
        result(ChangeSet(one.name), figures=one.figures, limits=dict(sorted(one.record.bites.items())))
        for one in outcomes
    ]
    end = history.start + history.usage.shape[1] * history.step
    if options["dest"]:
        title = f"Replay of {len(history.names)} tenants"
        data = replay_view.picture(outcomes, title, history.start, end).encode()
        changes = compare_file(options["dest"], data)
        if changes.changed and not module.check_mode:
            replace_file(options["dest"], data)
        rows.append(result(changes, figures={}, limits={}))
    spec = "%Y-%m-%dT%H:%M:%SZ"
    module.exit_json(
        **summary(rows),
        table=replay_view.table(outcomes),
        unseen=unseen,
        tenants=len(history.names),
        start=when(history.start, spec),
        end=when(end, spec),
    )


def main() -> None:
    """Entry point."""
    module = TenancyModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        run(module)
    except TenancyError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
