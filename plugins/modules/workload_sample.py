#!/usr/bin/python
# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: workload_sample
short_description: Write a sample history of requests and usage
version_added: 0.1.0
description:
  - Writes C(requests.csv) and C(usage.csv) in the format that M(predictive.tenancy.workload_observe) reads, for trying
    the collection before measurements of real workloads are there.
  - The history is drawn from a seeded generator and contains no measurement. The same options give the same bytes.
  - The workloads are the ones that share small VMs in practice, of 0.05 to 0.6 cores and 32 to 160 MiB.
  - V(nightly_report) runs every night, V(sync_orders) every 15 minutes, V(hourly_batch) every hour and
    V(weekday_digest) on weekdays in the morning. Runs start a little late, one in a hundred is missed, one in fifty is
    extra.
  - V(web_shop) has a daily and a weekly rhythm, V(backup_stream) is busy by night, V(metrics_relay) is steady, and
    V(dev_box) cannot be predicted.
  - It runs on the controller.
author:
  - predictive.tenancy contributors (@predictive-tenancy)
extends_documentation_fragment:
  - predictive.tenancy.attributes
  - predictive.tenancy.attributes.state
options:
  dest:
    description:
      - The folder that gets the two files, as an absolute path. It is made if it is missing.
      - Each file is replaced as a whole, and only when its content differs.
    type: path
    required: true
  days:
    description: Days of history, 1 to 366.
    type: int
    default: 14
  step:
    description: The time between two samples of usage, V(1m) to V(1h); a day must be a whole number of steps.
    type: str
    default: 5m
  workloads:
    description:
      - How many workloads.
      - The first 8 are the ones described above, the others are variants of them at other times and of smaller sizes.
    type: int
    default: 8
  seed:
    description: The seed of the generator; another one gives another history of the same workloads.
    type: int
    default: 1
  end:
    description:
      - Where the history ends, cut down to a whole step. Times are UTC.
      - The fixed default keeps the files the same whenever they are made.
        O(predictive.tenancy.workload_observe#module:rebase) moves them to the present.
    type: str
    default: "2026-03-02T00:00:00Z"
requirements:
  - numpy >= 1.24
seealso:
  - module: predictive.tenancy.workload_observe
"""

EXAMPLES = r"""
- name: Two weeks of the sample
  predictive.tenancy.workload_sample:
    dest: /tmp/tenancy-sample

- name: Read them as if they had just been measured
  predictive.tenancy.workload_observe:
    store: sqlite:////tmp/tenancy-sample/store.db
    files:
      - {path: /tmp/tenancy-sample/requests.csv, kind: requests, format: csv}
      - {path: /tmp/tenancy-sample/usage.csv, kind: usage, format: csv}
    rebase: "{{ now(utc=true).isoformat() }}"
"""

RETURN = r"""
results:
  description: One entry per file.
  returned: success
  type: list
  elements: dict
  sample:
    - name: /home/ops/tenancy-sample/requests.csv
      changed: true
      actions: [create]
      diff:
        before: {bytes: null, sha256: null}
        after: {bytes: 80518, sha256: 8b3f0a4d5d7f0e0f6d1c4c6f0f3ad0d09a2d2f9c3a0a7a2f4a1a6d1f8e2b7c55}
      error: ""
      kind: requests
      rows: 1751
  contains:
    name:
      description: The path of the file.
      returned: always
      type: str
      sample: /home/ops/tenancy-sample/requests.csv
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
        after: {bytes: 80518, sha256: 8b3f0a4d5d7f0e0f6d1c4c6f0f3ad0d09a2d2f9c3a0a7a2f4a1a6d1f8e2b7c55}
    error:
      description: Why this file could not be written, empty if it could.
      returned: always
      type: str
      sample: ""
    kind:
      description: V(requests) or V(usage), as M(predictive.tenancy.workload_observe) names them.
      returned: always
      type: str
      sample: requests
    rows:
      description: Rows without the header.
      returned: always
      type: int
      sample: 1751
workloads:
  description: What is true of each workload, to compare with what is learned.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: nightly_report, kind: job, period: 86400.0, jitter: 45.0, weekdays: false}
  contains:
    name:
      description: The workload.
      returned: always
      type: str
      sample: nightly_report
    kind:
      description: V(job), V(service), V(steady) or V(interactive).
      returned: always
      type: str
      sample: job
    period:
      description: Seconds between two runs of a job, else null.
      returned: always
      type: float
      sample: 86400.0
    jitter:
      description: Standard deviation in seconds of the time by which a run starts late, else null.
      returned: always
      type: float
      sample: 45.0
    weekdays:
      description: Whether a job leaves Saturday and Sunday out.
      returned: always
      type: bool
      sample: false
start:
  description: The time of the first sample of usage.
  returned: success
  type: str
  sample: "2026-02-16T00:00:00Z"
end:
  description: Where the history ends; the last sample of usage is one step before.
  returned: success
  type: str
  sample: "2026-03-02T00:00:00Z"
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.predictive.tenancy.plugins.module_utils._core import libraries
from ansible_collections.predictive.tenancy.plugins.module_utils._core.changes import ChangeSet, result, summary
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import TenancyError
from ansible_collections.predictive.tenancy.plugins.module_utils._core.units import format_time, parse_time
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.files import compare_file, replace_file
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.history_files import requests_csv, usage_csv
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.sample import generate, span, workloads

ARGUMENTS: dict[str, dict[str, Any]] = {
    "dest": {"type": "path", "required": True},
    "days": {"type": "int", "default": 14},
    "step": {"type": "str", "default": "5m"},
    "workloads": {"type": "int", "default": 8},
    "seed": {"type": "int", "default": 1},
    "end": {"type": "str", "default": "2026-03-02T00:00:00Z"},
}


def place(path: str, kind: str, content: tuple[bytes, int], check_mode: bool) -> dict[str, Any]:
    """Compare one file and write it unless in check mode; an error stays with its file."""
    data, rows = content
    changes = ChangeSet(path)
    try:
        changes = compare_file(path, data)
        if changes.changed and not check_mode:
            replace_file(path, data)
    except TenancyError as error:
        return result(ChangeSet(path), str(error), kind=kind, rows=rows)
    return result(changes, kind=kind, rows=rows)


def run(module: AnsibleModule) -> None:
    """Make the history, write what differs, report."""
    libraries.require("numpy")
    params = module.params
    chosen = workloads(params["workloads"], params["seed"])
    grid = span(params["days"], params["step"], params["end"])
    histories = generate(chosen, grid, params["seed"])
    requests = [(history.workload.name, float(seconds)) for history in histories for seconds in history.requests]
    usage = [(history.workload.name, grid.times, history.usage) for history in histories]
    results = [
        place(os.path.join(params["dest"], "requests.csv"), "requests", requests_csv(requests), module.check_mode),
        place(os.path.join(params["dest"], "usage.csv"), "usage", usage_csv(usage), module.check_mode),
    ]
    outcome = summary(results)
    failed = [item["error"] for item in results if item["error"]]
    if failed:
        module.fail_json(msg="; ".join(failed), **outcome)

    def moment(seconds: float) -> str:
        return format_time(parse_time(seconds))

    truth = [workload.describe() for workload in chosen]
    module.exit_json(**outcome, workloads=truth, start=moment(grid.start), end=moment(grid.end))


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        run(module)
    except TenancyError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
