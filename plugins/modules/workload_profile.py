#!/usr/bin/python
# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: workload_profile
short_description: Declare, learn and remove workload profiles
version_added: 0.1.0
description:
  - A profile is what is known and expected of a workload. This module declares what people know of it (priority,
    bounds, dependencies, the sandbox of its tenants), and learns the rest from the history in the store.
  - It runs on the controller.
author:
  - predictive.tenancy contributors (@predictive-tenancy)
extends_documentation_fragment:
  - predictive.tenancy.attributes
  - predictive.tenancy.attributes.state
  - predictive.tenancy.store
options:
  profiles:
    description: The profiles. What an item leaves out stays as it is in the store.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The name, 1 to 48 of a-z, 0-9 and _.
        type: str
        required: true
      workload:
        description: The code that requests ask to run. A new profile has its own name here if it is not given.
        type: str
      parameters:
        description:
          - The parameters that matter. A request belongs to the profile when it carries them all, with these values.
          - Leave it empty for the profile of all other requests for the workload.
        type: dict
      dependencies:
        description: What it needs to run. All three are replaced together.
        type: dict
        suboptions:
          os:
            description: The operating system.
            type: str
          libraries:
            description: Libraries that the VM must provide.
            type: list
            elements: str
          workloads:
            description: Other workloads that it calls.
            type: list
            elements: str
      priority:
        description: V(0) to V(100). A new profile has V(50).
        type: int
      bounds:
        description: The least and the most that a tenant may get. A metric that is given replaces its bounds.
        type: dict
        suboptions:
          cpu:
            description: CPU in cores, like V(0.5).
            type: dict
            suboptions:
              min:
                description: The least; empty for none.
                type: str
              max:
                description: The most; empty for none.
                type: str
          memory:
            description: Memory, like V(512MiB).
            type: dict
            suboptions:
              min:
                description: The least; empty for none.
                type: str
              max:
                description: The most; empty for none.
                type: str
          io_read:
            description: Bytes read per second, like V(20MB).
            type: dict
            suboptions:
              min:
                description: The least; empty for none.
                type: str
              max:
                description: The most; empty for none.
                type: str
          io_write:
            description: Bytes written per second.
            type: dict
            suboptions:
              min:
                description: The least; empty for none.
                type: str
              max:
                description: The most; empty for none.
                type: str
      timezone:
        description: The time zone in which its schedules are kept, like V(Europe/Berlin). A new profile has V(UTC).
        type: str
      sandbox:
        description: The sandbox of its tenants. It is replaced as a whole.
        type: dict
        suboptions:
          runtime:
            description: What isolates it.
            type: str
            choices: [gvisor, kata, runc]
          rootfs:
            description: The folder of its root file system on the VM.
            type: str
          command:
            description: The program and its words.
            type: list
            elements: str
          env:
            description: Environment variables. Their values are in the store; what this module logs and returns
              has the names only.
            type: dict
          network:
            description: V(none), or the network of the VM.
            type: str
            choices: [none, host]
          user:
            description: User and group inside, like V(1000:1000).
            type: str
          writable:
            description: Whether it may write to its root file system.
            type: bool
      shadow:
        description:
          - How the shadows that are planned for it are made ready. It is replaced as a whole.
          - See the options of the same names of M(predictive.tenancy.shadow_reserve) for the tier V(frozen).
        type: dict
        suboptions:
          warmup:
            description: How long its command runs before the shadow waits, such as V(5s).
            type: str
          rehearse:
            description: The command that it runs before it waits, such as V([wget, -qO-, "http://127.0.0.1/"]). With
              gVisor or runc.
            type: list
            elements: str
      affinity:
        description: Profiles whose tenants it wants to be near.
        type: list
        elements: str
      anti_affinity:
        description: Profiles whose tenants it must not share a VM with.
        type: list
        elements: str
      zone:
        description: The zone it must run in; empty for any.
        type: str
  state:
    description:
      - V(present) makes the profiles and brings them to what is given.
      - V(absent) removes them with their history. It refuses a profile that still has tenants.
      - V(learned) recomputes request periodicity and usage patterns from the history until O(now), after it has scored
        the previous forecast against what came. Of O(profiles) only the names count then, and without any, all profiles
        are learned. The same history at the same time changes nothing.
      - A profile with less than a week of history is also matched with the known profiles that it behaves like, again
        when its history reaches 1 hour, 6 hours and 24 hours. Where two are too much alike to choose, none is chosen,
        and a warning names them.
    type: str
    choices: [present, absent, learned]
    default: present
  shard:
    description:
      - With O(state=learned), learn only one part of the profiles, so that several jobs share a large population.
      - A profile stays in its part while O(shard.count) stays the same.
    type: dict
    suboptions:
      index:
        description: Which part, from V(0) to O(shard.count) - 1.
        type: int
        required: true
      count:
        description: How many parts there are.
        type: int
        required: true
  now:
    description: The present time, as UTC ISO 8601. The default is the clock. Replays and tests set it.
    type: str
requirements:
  - numpy >= 1.24, for O(state=learned)
seealso:
  - module: predictive.tenancy.workload_observe
  - module: predictive.tenancy.workload_profile_info
  - plugin: predictive.tenancy.forecast
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: What people know of two workloads
  predictive.tenancy.workload_profile:
    store: sqlite:////tmp/tenancy/store.db
    profiles:
      - name: nightly_report
        workload: registry.example.org/report
        parameters: {size: large}
        priority: 70
        bounds:
          cpu: {min: 0.1, max: 2}
          memory: {min: 64MiB, max: 1GiB}
        timezone: Europe/Berlin
        sandbox:
          runtime: gvisor
          rootfs: /var/lib/tenancy/rootfs/base
          command: [sleep, infinity]
        shadow:
          rehearse: ["true"]
      - name: web_shop

- name: Learn the patterns of all profiles
  predictive.tenancy.workload_profile:
    store: sqlite:////tmp/tenancy/store.db
    state: learned

- name: One that is not needed any more
  predictive.tenancy.workload_profile:
    store: sqlite:////tmp/tenancy/store.db
    profiles:
      - name: web_shop
    state: absent
"""

RETURN = r"""
results:
  description: One entry per profile.
  returned: always
  type: list
  elements: dict
  sample:
    - name: nightly_report
      changed: true
      actions: [update]
      diff: {before: {priority: 50}, after: {priority: 70}}
      error: ""
  contains:
    name:
      description: The profile.
      returned: always
      type: str
      sample: nightly_report
    changed:
      description: Whether it was, or in check mode would be, changed.
      returned: always
      type: bool
      sample: true
    actions:
      description: V(create), V(update), V(remove), V(learn), V(match) or nothing.
      returned: always
      type: list
      elements: str
      sample: [update]
    diff:
      description: The fields that differ, in base units. Values of environment variables are hidden.
      returned: always
      type: dict
      sample: {before: {priority: 50}, after: {priority: 70}}
    error:
      description: Why this profile could not be done, empty if it was.
      returned: always
      type: str
      sample: ""
"""

import zlib
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.predictive.tenancy.plugins.module_utils._core.changes import ChangeSet, result, summary
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import (
    Conflict,
    InputError,
    TenancyError,
)
from ansible_collections.predictive.tenancy.plugins.module_utils._core.libraries import require
from ansible_collections.predictive.tenancy.plugins.module_utils._core.module import TenancyModule
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.arguments import (
    present_time,
    store_spec,
    store_uri,
)
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.learn import learn
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.likeness import doubt
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.profiles import ensure, remove
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from ansible_collections.predictive.tenancy.plugins.module_utils._store.interface import Store

LIMITS = {"type": "dict", "options": {"min": {"type": "str"}, "max": {"type": "str"}}}
NAMES = {"type": "list", "elements": "str"}
SHOWN = 20  # warnings
PROFILE: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "workload": {"type": "str"},
    "parameters": {"type": "dict"},
    "dependencies": {"type": "dict", "options": {"os": {"type": "str"}, "libraries": NAMES, "workloads": NAMES}},
    "priority": {"type": "int"},
    "bounds": {"type": "dict", "options": {"cpu": LIMITS, "memory": LIMITS, "io_read": LIMITS, "io_write": LIMITS}},
    "timezone": {"type": "str"},
    "sandbox": {
        "type": "dict",
        "options": {
            "runtime": {"type": "str", "choices": ["gvisor", "kata", "runc"]},
            "rootfs": {"type": "str"},
            "command": NAMES,
            "env": {"type": "dict"},
            "network": {"type": "str", "choices": ["none", "host"]},
            "user": {"type": "str"},
            "writable": {"type": "bool"},
        },
    },
    "shadow": {"type": "dict", "options": {"warmup": {"type": "str"}, "rehearse": NAMES}},
    "affinity": NAMES,
    "anti_affinity": NAMES,
    "zone": {"type": "str"},
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    **store_spec(),
    "profiles": {"type": "list", "elements": "dict", "default": [], "options": PROFILE},
    "state": {"type": "str", "choices": ["present", "absent", "learned"], "default": "present"},
    "shard": {
        "type": "dict",
        "options": {"index": {"type": "int", "required": True}, "count": {"type": "int", "required": True}},
    },
    "now": {"type": "str"},
}


def one(module: AnsibleModule, store: Store, item: dict[str, Any]) -> dict[str, Any]:
    """Bring one profile to its state; an error of its own stays with it."""
    try:
        if module.params["state"] == "absent":
            changes = remove(store, item["name"], dry=module.check_mode)
        else:
            changes, _profile = ensure(store, item, present_time(module.params["now"]), dry=module.check_mode)
        return result(changes)
    except (InputError, Conflict) as error:
        return result(ChangeSet(item["name"]), f"{item['name']}: {error}")


def shard(names: list[str], part: dict[str, int] | None) -> list[str]:
    """The names of one part; which part a name is in depends on nothing but the name and the number of parts."""
    if part is None:
        return names
    if not 0 <= part["index"] < part["count"]:
        raise InputError("the index must be from 0 to count - 1", item=f"shard {part['index']} of {part['count']}")
    return [name for name in names if zlib.crc32(name.encode()) % part["count"] == part["index"]]


def learned(module: AnsibleModule, store: Store, names: list[str]) -> list[dict[str, Any]]:
    """Learn the named profiles, all if none is named."""
    require("numpy")
    chosen = shard(names or store.keys("profiles"), module.params["shard"])
    results, doubts = [], []
    for item in learn(store, chosen, present_time(module.params["now"]), dry=module.check_mode):
        results.append(result(item.changes, item.error))
        if "match" in item.changes.actions:
            doubts.append(doubt(item.name, (item.document or {}).get("match")))
    doubts = [text for text in doubts if text]
    for text in doubts[:SHOWN]:
        module.warn(text)
    if len(doubts) > SHOWN:
        module.warn(f"{len(doubts) - SHOWN} more profiles behave like several others")
    return results


def run(module: AnsibleModule) -> None:
    """Do every profile, report, and fail at the end if one could not be done."""
    params = module.params
    if params["shard"] and params["state"] != "learned":
        raise InputError("only state=learned knows parts", item="shard")
    names = [item["name"] for item in params["profiles"]]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError("it is there twice", item=f"profile {twice[0]}", hint="list each profile once")
    with open_store(store_uri(params["store"]), read_only=module.check_mode) as store:
        if params["state"] == "learned":
            outcome = summary(learned(module, store, names))
        else:
            outcome = summary([one(module, store, item) for item in params["profiles"]])
    failed = [item["error"] for item in outcome["results"] if item["error"]]
    if failed:
        module.fail_json(msg="; ".join(failed), **outcome)
    module.exit_json(**outcome)


def main() -> None:
    """Entry point."""
    module = TenancyModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        run(module)
    except TenancyError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
