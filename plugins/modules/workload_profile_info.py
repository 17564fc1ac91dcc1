#!/usr/bin/python
# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: workload_profile_info
short_description: Read profiles with their patterns and how well they were predicted
version_added: 0.1.0
description:
  - Returns profiles as the store has them, with what was learned about them. The forecasts themselves come from the
    lookup P(predictive.tenancy.forecast#lookup).
  - A large population is read in pages with O(after) and O(limit), in bounded memory.
  - It runs on the controller.
author:
  - predictive.tenancy contributors (@predictive-tenancy)
extends_documentation_fragment:
  - predictive.tenancy.attributes
  - predictive.tenancy.attributes.info
  - predictive.tenancy.store
options:
  names:
    description: Only these profiles. One that does not exist is an error.
    type: list
    elements: str
  workload:
    description: Only the profiles of this workload.
    type: str
  after:
    description: Only profiles whose names sort after this one.
    type: str
  limit:
    description: At most this number of profiles; V(0) is all of them.
    type: int
    default: 0
seealso:
  - module: predictive.tenancy.workload_profile
"""

EXAMPLES = r"""
- name: Profiles, a thousand at a time
  predictive.tenancy.workload_profile_info:
    store: sqlite:////tmp/tenancy/store.db
    limit: 1000
  register: page

- name: How well they were predicted
  ansible.builtin.debug:
    msg: "{{ page.profiles | map(attribute='patterns') }}"
"""

RETURN = r"""
profiles:
  description: The profiles, sorted by name.
  returned: success
  type: list
  elements: dict
  sample:
    - name: nightly_report
      version: 3190447021586347
      workload: registry.example.org/report
      parameters: {size: large}
      dependencies: {os: null, libraries: [], workloads: []}
      priority: 50
      bounds: {cpu: {min: null, max: 2.0}, memory: {min: null, max: null}, io_read: {min: null, max: null},
        io_write: {min: null, max: null}}
      timezone: UTC
      sandbox: {}
      shadow: {}
      affinity: []
      anti_affinity: []
      zone: null
      origin: given
      created_at: "2026-03-02T10:00:00Z"
      learned_at: "2026-03-02T11:00:00Z"
      confidence: 0.97
      arrival: {kind: periodic, period: 86400.0, jitter: 40.0, fill: 1.0, confidence: 0.97}
      patterns: {cpu: {model: seasonal, period: 86400.0, mase: 0.71, coverage: 0.95, days: 14.0}}
      features: null
      match: null
  contains:
    name:
      description: The name.
      returned: always
      type: str
      sample: nightly_report
    version:
      description: A number that each write of the stored profile raises by one. It begins anywhere.
      returned: always
      type: int
      sample: 3190447021586347
    workload:
      description: The code that requests ask to run.
      returned: always
      type: str
      sample: registry.example.org/report
    parameters:
      description: The parameters that matter, see M(predictive.tenancy.workload_profile).
      returned: always
      type: dict
      sample: {size: large}
    dependencies:
      description: Operating system, libraries and other workloads that it needs.
      returned: always
      type: dict
      sample: {os: null, libraries: [], workloads: []}
    priority:
      description: 0 to 100.
      returned: always
      type: int
      sample: 50
    bounds:
      description: The least and the most that a tenant of it may get, by metric, in base units.
      returned: always
      type: dict
      sample: {cpu: {min: null, max: 2.0}}
    timezone:
      description: The time zone of its schedules.
      returned: always
      type: str
      sample: UTC
    sandbox:
      description: The sandbox of its tenants. Of the environment only the names are shown.
      returned: always
      type: dict
      sample: {runtime: gvisor}
    shadow:
      description: How the shadows that are planned for it are made ready.
      returned: always
      type: dict
      sample: {warmup: 5s}
    affinity:
      description: Profiles whose tenants it wants to be near.
      returned: always
      type: list
      elements: str
      sample: []
    anti_affinity:
      description: Profiles whose tenants it must not share a VM with.
      returned: always
      type: list
      elements: str
      sample: []
    zone:
      description: The zone that it must run in.
      returned: always
      type: str
      sample: null
    origin:
      description: V(given) by a playbook, or V(observed) as an unknown workload.
      returned: always
      type: str
      sample: given
    created_at:
      description: When it was made.
      returned: always
      type: str
      sample: "2026-03-02T10:00:00Z"
    learned_at:
      description: When it was learned last, null before that.
      returned: always
      type: str
      sample: "2026-03-02T11:00:00Z"
    confidence:
      description: From 0 to 1, null before it was learned.
      returned: always
      type: float
      sample: 0.97
    arrival:
      description: When its requests come, null before it was learned.
      returned: always
      type: dict
      sample: {kind: periodic, period: 86400.0}
    patterns:
      description: By metric the model, its period, its backtest errors, the realised coverage and the days of history.
      returned: always
      type: dict
      sample: {cpu: {model: seasonal, mase: 0.71, coverage: 0.95, days: 14.0}}
    features:
      description:
        - How it behaves, which is what the behaviour of unknown workloads is compared with; null before it has a week
          of history. The values (level, variability, daily shape and so on), the radius within which another one is
          like it, and the days of history behind them.
      returned: always
      type: dict
      sample: null
    match:
      description: What its behaviour was matched with while it had less than a week of history, null before that.
      returned: always
      type: dict
      sample: {profile: null, distance: 0.21, ambiguous: [web_shop, web_blog], stage: 2,
        checked_at: "2026-03-02T11:00:00Z"}
      contains:
        profile:
          description: The profile that it behaves like and whose forecast it began with, null where none was chosen.
          returned: always
          type: str
          sample: null
        distance:
          description: How far the nearest profile is, null where nothing can be compared. Differences of 0.1 are none.
          returned: always
          type: float
          sample: 0.21
        ambiguous:
          description: Profiles that it behaves like alike, so that none was chosen, the nearest first.
          returned: always
          type: list
          elements: str
          sample: [web_shop, web_blog]
        stage:
          description: How many of 1 hour, 6 hours, 24 hours and 7 days its history had reached.
          returned: always
          type: int
          sample: 2
        checked_at:
          description: When it was matched.
          returned: always
          type: str
          sample: "2026-03-02T11:00:00Z"
next:
  description: The value of O(after) for the next page; empty when there is no more.
  returned: success
  type: str
  sample: ""
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import InputError, TenancyError
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.arguments import store_spec, store_uri
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.profiles import described
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from ansible_collections.predictive.tenancy.plugins.module_utils._store.interface import Store

ARGUMENTS: dict[str, dict[str, Any]] = {
    **store_spec(),
    "names": {"type": "list", "elements": "str"},
    "workload": {"type": "str"},
    "after": {"type": "str"},
    "limit": {"type": "int", "default": 0},
}


def named(store: Store, names: list[str]) -> list[dict[str, Any]]:
    """The profiles of these names. Raises InputError when one is missing."""
    found = store.get_many("profiles", names)
    missing = sorted(set(names) - set(found))
    if missing:
        raise InputError("there is no such profile", item=", ".join(missing[:20]))
    return [found[name] for name in sorted(found)]


def run(module: AnsibleModule) -> None:
    """Read and return."""
    params = module.params
    if params["limit"] < 0:
        raise InputError("it must not be negative", item="limit")
    with open_store(store_uri(params["store"]), read_only=True) as store:
        if params["names"] is not None:
            documents, more = named(store, params["names"]), False
        else:
            where = {"workload": params["workload"]} if params["workload"] else None
            limit = params["limit"] + 1 if params["limit"] else None
            documents = list(store.find("profiles", where, after=params["after"], limit=limit))
            more = limit is not None and len(documents) == limit
            documents = documents[: params["limit"]] if more else documents
    module.exit_json(
        changed=False,
        profiles=[described(document) for document in documents],
        next=documents[-1]["key"] if more else "",
    )


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS, supports_check_mode=True, mutually_exclusive=[("names", "workload")]
    )
    try:
        run(module)
    except TenancyError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
