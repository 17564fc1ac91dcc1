#!/usr/bin/python
# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: tenancy_report
short_description: Write a report of tenants, forecasts and plans as one HTML page
version_added: 0.1.0
description:
  - Reads the store and writes one self-contained HTML page, readable offline and on paper, and returns a short table
    for the terminal.
  - The page shows when workloads will be asked for within the next day, what each VM has promised its tenants and how
    many it held over time, the plan with its reasons and the guardrails that bit, how well each workload was predicted,
    forecast against actual usage, the shadows, and measurements that are given in O(measurements).
  - The same store, options and O(now) give the same bytes. The store is only read.
  - It runs on the controller.
author:
  - predictive.tenancy contributors (@predictive-tenancy)
extends_documentation_fragment:
  - predictive.tenancy.attributes
  - predictive.tenancy.attributes.state
  - predictive.tenancy.store
options:
  dest:
    description:
      - The HTML file, as an absolute path. Its folder is made if it is missing.
      - It is replaced as a whole, and only when its content differs.
    type: path
    required: true
  cell:
    description: Only the VMs, tenants, shadows and plans of this cell; without it those of all cells.
    type: str
  title:
    description: The heading of the page.
    type: str
    default: Tenancy report
  now:
    description:
      - The moment that the report is about, ISO 8601; the default is the present time.
      - Forecasts are drawn from it on, measured usage up to it.
    type: str
  hours:
    description: How much measured usage the charts show before O(now), 1 to 744 hours.
    type: int
    default: 48
  charts:
    description:
      - How many workloads get charts of forecast against actual usage.
      - Those with tenants come first, then those that are expected soonest. The tables show all, up to 100.
    type: int
    default: 20
  measurements:
    description:
      - Measurements to show, one dictionary each, in any number of groups.
      - C(name) is what was measured, C(group) the heading under which it stands, C(unit) the unit of its numbers,
        V(s), V(bytes), V(bytes/s) or any text; every other key becomes a column.
      - Pairs of numbers are also drawn as bars, C(claim) beside C(cold) for latencies, C(measured) beside C(limit) for
        limits in force, C(ours) beside C(theirs) and C(value) beside C(beside) for anything else.
    type: list
    elements: dict
    default: []
requirements:
  - numpy >= 1.24
seealso:
  - module: predictive.tenancy.tenant_rebalance
  - module: predictive.tenancy.workload_profile_info
"""

EXAMPLES = r"""
- name: A page about everything in the store
  predictive.tenancy.tenancy_report:
    dest: /tmp/tenancy-report.html
  register: report

- name: Show the short table
  ansible.builtin.debug:
    var: report.table

- name: A page with what was measured in the VMs
  predictive.tenancy.tenancy_report:
    dest: /tmp/tenancy-report.html
    title: Tenancy of the lab
    measurements:
      - {group: start latency, name: nightly_report, claim: 0.34, cold: 2.5, unit: s}
      - {group: limits in force, name: CPU of a tenant that burns, measured: 0.21, limit: 0.2, unit: cores}
"""

RETURN = r"""
table:
  description: The report for the terminal, lines of at most 100 characters.
  returned: success
  type: list
  elements: str
  sample:
    - Tenancy report, 2026-03-02 00:00 UTC
    - 6 tenants in 2 VMs; 4 of 8 workloads are asked for on a schedule. Next is sync_orders, in 2m.
results:
  description: One entry, for the page.
  returned: success
  type: list
  elements: dict
  sample:
    - name: /tmp/tenancy-report.html
      changed: true
      actions: [create]
      diff:
        before: {bytes: null, sha256: null}
        after: {bytes: 412207, sha256: 5d41402abc4b2a76b9719d911017c59228b60ce5f2e3f4b6d7a8c9e0f1a2b3c4}
      error: ""
  contains:
    name:
      description: The path of the page.
      returned: always
      type: str
      sample: /tmp/tenancy-report.html
    changed:
      description: Whether its content was, or in check mode would be, changed.
      returned: always
      type: bool
      sample: true
    actions:
      description: V(create), V(update) or nothing.
      returned: always
      type: list
      elements: str
      sample: [create]
    diff:
      description: Size and SHA-256 before and after, where they differ.
      returned: always
      type: dict
      sample:
        before: {bytes: null, sha256: null}
        after: {bytes: 412207, sha256: 5d41402abc4b2a76b9719d911017c59228b60ce5f2e3f4b6d7a8c9e0f1a2b3c4}
    error:
      description: Why the page could not be written; empty, since the run fails then.
      returned: always
      type: str
      sample: ""
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.predictive.tenancy.plugins.module_utils._core import libraries
from ansible_collections.predictive.tenancy.plugins.module_utils._core.changes import result, summary
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import TenancyError
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.arguments import (
    present_time,
    store_spec,
    store_uri,
)
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.files import compare_file, replace_file
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.report_data import collect
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.report_html import render
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.report_text import terminal_table
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store

ARGUMENTS: dict[str, dict[str, Any]] = {
    **store_spec(),
    "dest": {"type": "path", "required": True},
    "cell": {"type": "str"},
    "title": {"type": "str", "default": "Tenancy report"},
    "now": {"type": "str"},
    "hours": {"type": "int", "default": 48},
    "charts": {"type": "int", "default": 20},
    "measurements": {"type": "list", "elements": "dict", "default": []},
}


def run(module: AnsibleModule) -> None:
    """Read the store, compare the page, write it unless in check mode."""
    libraries.require("numpy")
    params = module.params
    with open_store(store_uri(params["store"]), read_only=True) as store:
        report = collect(
            store,
            now=present_time(params["now"]),
            cell=params["cell"],
            title=params["title"],
            hours=params["hours"],
            charts=params["charts"],
            measurements=params["measurements"],
        )
    data = render(report)
    changes = compare_file(params["dest"], data)
    if changes.changed and not module.check_mode:
        replace_file(params["dest"], data)
    module.exit_json(**summary([result(changes)]), table=terminal_table(report))


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        run(module)
    except TenancyError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
