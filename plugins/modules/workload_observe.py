#!/usr/bin/python
# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: workload_observe
short_description: Append the history of requests and usage
version_added: 0.1.0
description:
  - Takes requests for workloads and measurements of their usage into the store, given in the playbook, in CSV and
    JSON-lines files, or by Prometheus. M(predictive.tenancy.workload_profile) learns forecasts from this history.
  - The same sample twice changes nothing, so a file can be read again, and a run that was stopped is repeated.
    Samples may come late, in any order, and more than once; another value at the same time replaces the first one.
  - A record that cannot be used is named with its file and line. The good records are kept, and the task then fails
    with the list.
  - A record belongs to the profile of its workload, see the notes. An unknown workload gets a new profile.
  - CPU is kept in millionths of a core, memory and I/O in whole bytes.
  - It runs on the controller.
author:
  - predictive.tenancy contributors (@predictive-tenancy)
extends_documentation_fragment:
  - predictive.tenancy.attributes
  - predictive.tenancy.attributes.state
  - predictive.tenancy.store
options:
  requests:
    description: Requests, given here.
    type: list
    elements: dict
    default: []
    suboptions:
      workload:
        description: What was asked for. Either this or O(requests[].profile) is needed.
        type: str
      profile:
        description: The profile it belongs to, if that is known.
        type: str
      time:
        description: When, as UTC ISO 8601 or UTC seconds.
        type: str
        required: true
      id:
        description:
          - An identifier. Requests of one profile and day with the same O(requests[].id) are one request.
          - Without one, requests of the same time and parameters are one.
        type: str
      parameters:
        description: The parameters of the request.
        type: dict
  usage:
    description:
      - Measurements, given here. What M(predictive.tenancy.vm_partition_info) measured can be given with a tenant and
        without a workload, because the store knows the profile of its tenants.
    type: list
    elements: dict
    default: []
    suboptions:
      workload:
        description: What was measured. One of this, O(usage[].profile) and O(usage[].tenant) is needed.
        type: str
      profile:
        description: The profile it belongs to, if that is known.
        type: str
      tenant:
        description: The tenant that was measured; without it the measurement is of the workload as a whole.
        type: str
      time:
        description: When, as UTC ISO 8601 or UTC seconds.
        type: str
        required: true
      cpu:
        description: Cores in use, like V(0.25) or V(250m).
        type: str
      memory:
        description: Bytes in use, like V(134217728) or V(128MiB).
        type: str
      io_read:
        description: Bytes read per second, like V(2000000) or V(2MB).
        type: str
      io_write:
        description: Bytes written per second.
        type: str
  files:
    description:
      - Files on the controller, plain or gzip.
      - A CSV file starts with a header. Of requests its columns are C(workload) or C(profile), C(time), C(id) and
        C(parameters) (a JSON object); of usage C(workload), C(profile) or C(tenant), C(time), C(cpu), C(memory),
        C(io_read) and C(io_write). An empty cell is a missing sample.
      - A JSON-lines file has one object per line, with the same names.
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
  prometheus:
    description:
      - Measurements that Prometheus has. Ranges are cut into parts that it accepts (11,000 points per series).
      - Points lie at multiples of O(prometheus[].step), so ranges that overlap give the same samples.
    type: list
    elements: dict
    default: []
    suboptions:
      url:
        description: Its address, like V(https://prometheus.example.org). A password in it is in no message.
        type: str
        required: true
      queries:
        description: What to ask for.
        type: list
        elements: dict
        required: true
        suboptions:
          metric:
            description: What the query measures, in cores, bytes or bytes per second.
            type: str
            choices: [cpu, memory, io_read, io_write]
            required: true
          query:
            description: PromQL that gives one series per workload or tenant. Several of one are added up.
            type: str
            required: true
          counter:
            description:
              - Whether the query gives counters, like seconds of CPU. Then their increase per second is kept, at the
                end of each step. A counter that falls was reset, and no rate is told over a gap.
            type: bool
            default: false
          scale:
            description: What the values are multiplied with to be in the unit of the metric.
            type: float
            default: 1.0
          workload:
            description: The workload of all series.
            type: str
          profile:
            description: The profile of all series.
            type: str
          workload_label:
            description: The label that holds the workload of a series.
            type: str
          tenant_label:
            description: The label that holds the tenant of a series.
            type: str
      start:
        description: Where the range starts, as a time or as a duration before its end.
        type: str
        default: 1d
      end:
        description: Where the range ends. The default is O(now).
        type: str
      step:
        description: The time between two points.
        type: str
        default: 5m
      username:
        description: A user, for basic authentication.
        type: str
      password:
        description: The user's password.
        type: str
      token:
        description: A bearer token.
        type: str
      ca_path:
        description: A file with the certificates of the authorities to trust.
        type: path
      validate_certs:
        description: Whether the server's certificate is checked.
        type: bool
        default: true
      timeout:
        description: How long one answer may take.
        type: str
        default: 60s
  rebase:
    description:
      - A time. All times of this run's input are moved by the same whole number of hours, so that the newest record
        lies in the hour after it, and records after it are left out. This is for trying old traces as if they were
        measured today. Schedules keep their minute, and the history ends now.
    type: str
  create_profiles:
    description: Whether an unknown workload gets a profile. If not, its records are refused.
    type: bool
    default: true
  max_skew:
    description: How far in the future a record may be because clocks differ. Later ones are refused.
    type: str
    default: 5m
  retention:
    description:
      - How long history is kept. It is brought to this in every run, counted from the newest record of the store
        or from O(now), whichever is earlier, in whole days (UTC).
    type: dict
    default: {}
    suboptions:
      samples:
        description: Usage older than this is downsampled to the mean and the maximum of each hour.
        type: str
        default: 100d
      hourly:
        description: Usage older than this is removed.
        type: str
        default: 800d
      requests:
        description: Requests older than this are removed.
        type: str
        default: 800d
      plans:
        description:
          - Plans that came to their end, decisions, and tenants that left, are removed when they are older than this.
            Samples of a removed tenant need their workload or profile again.
        type: str
        default: 90d
  now:
    description: The present time, as UTC ISO 8601. The default is the clock. Replays and tests set it.
    type: str
notes:
  - The profile of a record is the one of its workload whose parameters (see
    O(predictive.tenancy.workload_profile#module:profiles[].parameters)) it all carries, of several the one with the
    most. If two profiles fit alike the record is refused as ambiguous. If none fits, the record counts as of an unknown
    workload (see O(create_profiles)), even where that workload has profiles with other parameters.
  - A sample whose hour was already downsampled is left out and counted in RV(results[].late).
seealso:
  - module: predictive.tenancy.workload_profile
  - module: predictive.tenancy.workload_sample
"""

EXAMPLES = r"""
- name: Take in what was measured
  predictive.tenancy.workload_observe:
    store: sqlite:////tmp/tenancy/store.db
    now: "2026-03-02T10:00:00Z"
    requests:
      - {workload: registry.example.org/report, time: "2026-03-02T09:00:00Z", id: r-17, parameters: {size: large}}
    usage:
      - {workload: registry.example.org/report, time: "2026-03-02T09:00:00Z", cpu: 250m, memory: 96MiB}
      - {workload: registry.example.org/report, time: "2026-03-02T09:05:00Z", cpu: 0.31, memory: 101MiB, io_read: 2MB}

- name: Take in the last hour that Prometheus measured of the tenants' slices
  predictive.tenancy.workload_observe:
    store: sqlite:////tmp/tenancy/store.db
    prometheus:
      - url: http://127.0.0.1:9090
        start: 1h
        step: 1m
        queries:
          - metric: cpu
            query: >-
              label_replace(container_cpu_usage_seconds_total{id=~"/tenants.slice/tenants-.+.slice"},
              "tenant", "$1", "id", "/tenants.slice/tenants-(.+).slice")
            counter: true
            tenant_label: tenant
          - metric: memory
            query: >-
              label_replace(container_memory_usage_bytes{id=~"/tenants.slice/tenants-.+.slice"},
              "tenant", "$1", "id", "/tenants.slice/tenants-(.+).slice")
            tenant_label: tenant

- name: Write two weeks of a sample history
  predictive.tenancy.workload_sample:
    dest: /tmp/tenancy

- name: Take in an old trace as if it ended now
  predictive.tenancy.workload_observe:
    store: sqlite:////tmp/tenancy/store.db
    files:
      - {path: /tmp/tenancy/requests.csv, kind: requests}
      - {path: /tmp/tenancy/usage.csv, kind: usage}
    rebase: "{{ now(utc=true).isoformat() }}"
"""

RETURN = r"""
results:
  description: One entry per source (V(requests), V(usage), each file, each query), and one for V(retention).
  returned: always
  type: list
  elements: dict
  sample:
    - name: /tmp/tenancy/usage.csv
      changed: true
      actions: [append]
      diff: {before: {new: 0}, after: {new: 32256}}
      error: ""
      kind: usage
      records: 32256
      new: 32256
      same: 0
      replaced: 0
      late: 0
      expired: 0
      refused: 0
  contains:
    name:
      description: The source.
      returned: always
      type: str
      sample: /tmp/tenancy/usage.csv
    changed:
      description: Whether the history was, or in check mode would be, changed.
      returned: always
      type: bool
      sample: true
    actions:
      description: V(append), V(replace), and for V(retention) V(downsample) and V(remove).
      returned: always
      type: list
      elements: str
      sample: [append]
    diff:
      description:
        - Numbers of records by what became of them. For V(retention), of days of a series that were downsampled and
          removed, of plans and decisions (C(plans)), and of tenants that had left (C(tenants)), that were removed.
      returned: always
      type: dict
      sample: {before: {new: 0}, after: {new: 32256}}
    error:
      description: The first 20 records that were refused, each with its place and the reason; empty if there are none.
      returned: always
      type: str
      sample: ""
    kind:
      description: V(requests), V(usage) or V(retention).
      returned: always
      type: str
      sample: usage
    records:
      description: Records that were read.
      returned: always
      type: int
      sample: 32256
    new:
      description: Records that were not there before, or that filled in a missing value.
      returned: always
      type: int
      sample: 32256
    same:
      description: Records that were there already, or had no value at all.
      returned: always
      type: int
      sample: 0
    replaced:
      description: Records that replaced another value of the same time.
      returned: always
      type: int
      sample: 0
    late:
      description: Records left out because their hour was already downsampled.
      returned: always
      type: int
      sample: 0
    expired:
      description: Records left out because they are older than the retention.
      returned: always
      type: int
      sample: 0
    refused:
      description: Records that could not be used.
      returned: always
      type: int
      sample: 0
profiles_created:
  description: Profiles that were, or in check mode would be, made for unknown workloads.
  returned: always
  type: list
  elements: str
  sample: [web_shop]
"""

from datetime import datetime
from functools import partial
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.predictive.tenancy.plugins.module_utils._core.changes import summary
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import TenancyError
from ansible_collections.predictive.tenancy.plugins.module_utils._core.module import TenancyModule
from ansible_collections.predictive.tenancy.plugins.module_utils._flow import prometheus_source
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.arguments import (
    present_time,
    store_spec,
    store_uri,
)
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.history_arguments import HISTORY
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.history_reader import read_file, read_inline
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.observe import Observation, Source, settings
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store


def sources(params: dict[str, Any], now: datetime) -> list[Source]:
    """What is to be taken in, in this order."""
    inline = [
        Source(kind, kind, partial(read_inline, params[kind], kind)) for kind in ("requests", "usage") if params[kind]
    ]
    files = [
        Source(item["path"], item["kind"], partial(read_file, item["path"], item["kind"], item["format"]))
        for item in params["files"]
    ]
    measured = [
        Source(name, "usage", records)
        for number, options in enumerate(params["prometheus"])
        for name, records in prometheus_source.sources(options, number, now)
    ]
    return inline + files + measured


def run(module: AnsibleModule) -> None:
    """Take the sources in and report."""
    params = module.params
    for options in params["prometheus"]:
        module.no_log_values.update(prometheus_source.secrets(options))
    wanted = settings(params, present_time(params["now"]), module.check_mode)
    with open_store(store_uri(params["store"]), read_only=module.check_mode) as store:
        observation = Observation(store, wanted)
        outcome = summary(observation.run(sources(params, wanted.now)))
    outcome["profiles_created"] = sorted(observation.profiles.created)
    expired = sum(item["expired"] for item in outcome["results"])
    if expired:
        module.warn(f"{expired} records are older than the retention and were left out")
    refused = [item for item in outcome["results"] if item["error"]]
    if refused:
        count = sum(item["refused"] for item in refused)
        text = "; ".join(item["error"] for item in refused)
        module.fail_json(msg=f"{count} records were refused, the others were taken in: {text}", **outcome)
    module.exit_json(**outcome)


def main() -> None:
    """Entry point."""
    module = TenancyModule(argument_spec={**store_spec(), **HISTORY}, supports_check_mode=True)
    try:
        run(module)
    except TenancyError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
