#!/usr/bin/python
# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: tenancy_metrics
short_description: Write what the store knows as metrics for Prometheus
version_added: 0.1.0
description:
  - Writes one file in Prometheus' text format, for the textfile collector of a node_exporter on the controller.
  - It holds forecasts and how far they held (error, coverage), plans with their actions by kind and rule, guardrails
    that bit, starts that found a shadow or were cold, what shadows hold and wasted, and VMs that plans were to empty
    and did empty. C(docs/operating.md) lists all metrics.
  - What happened is told for the day before O(now).
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
      - The file, as an absolute path that ends in C(.prom). Its folder is made if it is missing.
      - It is replaced as a whole, and only when its content differs.
    type: path
    required: true
  cell:
    description: Only this cell; without it all cells. Give each cell a file of its own.
    type: str
  profiles:
    description:
      - At most so many profiles have metrics of their own, those with the most tenants first.
      - Each has about 30 series.
    type: int
    default: 500
  now:
    description: The present time, as UTC ISO 8601. The default is the clock.
    type: str
requirements:
  - numpy >= 1.24
seealso:
  - module: predictive.tenancy.tenancy_report
"""

EXAMPLES = r"""
- name: Metrics of a cell
  predictive.tenancy.tenancy_metrics:
    store: sqlite:////tmp/tenancy-example/store.db
    cell: north
    dest: /tmp/tenancy-example/tenancy_north.prom
"""

RETURN = r"""
series:
  description: How many series the file holds.
  returned: success
  type: int
  sample: 412
results:
  description: One entry, for the file.
  returned: success
  type: list
  elements: dict
  sample:
    - name: /var/lib/prometheus/node-exporter/tenancy_north.prom
      changed: true
      actions: [create]
      diff:
        before: {bytes: null, sha256: null}
        after: {bytes: 41220, sha256: 5d41402abc4b2a76b9719d911017c59228b60ce5f2e3f4b6d7a8c9e0f1a2b3c4}
      error: ""
  contains:
    name:
      description: The path of the file.
      returned: always
      type: str
      sample: /var/lib/prometheus/node-exporter/tenancy_north.prom
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
        after: {bytes: 41220, sha256: 5d41402abc4b2a76b9719d911017c59228b60ce5f2e3f4b6d7a8c9e0f1a2b3c4}
    error:
      description: Why the file could not be written; empty, since the run fails then.
      returned: always
      type: str
      sample: ""
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.predictive.tenancy.plugins.module_utils._core import libraries
from ansible_collections.predictive.tenancy.plugins.module_utils._core.changes import result, summary
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import InputError, TenancyError
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.arguments import (
    present_time,
    store_spec,
    store_uri,
)
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.exposition import expose
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.files import compare_file, replace_file
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.site_metrics import export
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store

ARGUMENTS: dict[str, dict[str, Any]] = {
    **store_spec(),
    "dest": {"type": "path", "required": True},
    "cell": {"type": "str"},
    "profiles": {"type": "int", "default": 500},
    "now": {"type": "str"},
}


def run(module: AnsibleModule) -> None:
    """Read the store, compare the file, write it unless in check mode."""
    libraries.require("numpy")
    params = module.params
    if not params["dest"].endswith(".prom"):
        raise InputError("does not end in .prom", item=params["dest"], hint="the textfile collector reads only those")
    if params["profiles"] < 0:
        raise InputError("it must not be negative", item="profiles")
    with open_store(store_uri(params["store"]), read_only=True) as store:
        families = export(store, present_time(params["now"]), params["cell"], params["profiles"])
    data = expose(families).encode()
    changes = compare_file(params["dest"], data)
    if changes.changed and not module.check_mode:
        replace_file(params["dest"], data)
    module.exit_json(**summary([result(changes)]), series=sum(len(one.samples) for one in families))


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        run(module)
    except TenancyError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
