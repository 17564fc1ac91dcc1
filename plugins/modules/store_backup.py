#!/usr/bin/python
# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: store_backup
short_description: Save a store to a file, and restore one from it
version_added: 0.1.0
description:
  - Saves everything that a store holds (profiles, history, forecasts, tenants, VMs, plans) to one file, and fills an
    empty store from such a file. Leases are left out.
  - A backup fits both kinds of store, so it also moves an embedded store to MongoDB and back.
  - The file replaces an older one only when it is complete, and only its owner can read it.
  - Of an embedded store all is of one moment. Of MongoDB each document is whole, and documents are of the moments at
    which they were read; save while no plan is being applied. A large site rather uses the tools of MongoDB.
  - It runs on the controller.
author:
  - predictive.tenancy contributors (@predictive-tenancy)
extends_documentation_fragment:
  - predictive.tenancy.attributes
  - predictive.tenancy.attributes.state
  - predictive.tenancy.store
options:
  path:
    description: The file of the backup, on the controller.
    type: path
    required: true
  state:
    description:
      - V(saved) makes the backup equal the store.
      - V(restored) fills an empty store from the backup, and goes on with one that it was filling. A store that holds
        anything else is refused.
    type: str
    choices: [saved, restored]
    default: saved
  now:
    description: The present time, as UTC ISO 8601. The default is the clock.
    type: str
seealso:
  - module: predictive.tenancy.workload_profile
"""

EXAMPLES = r"""
- name: Make the folder of backups
  ansible.builtin.file:
    path: /tmp/tenancy/backups
    state: directory
    mode: "0700"

- name: Save the store
  predictive.tenancy.store_backup:
    store: sqlite:////tmp/tenancy/store.db
    path: /tmp/tenancy/backups/store.backup

- name: Fill another store from it
  predictive.tenancy.store_backup:
    store: sqlite:////tmp/tenancy/restored.db
    path: /tmp/tenancy/backups/store.backup
    state: restored
"""

RETURN = r"""
results:
  description: One entry, for the backup.
  returned: success
  type: list
  elements: dict
  sample:
    - name: /tmp/tenancy/store.backup
      changed: true
      actions: [create]
      diff: {before: {digest: null, rows: null}, after: {digest: 0b5f, rows: {profiles: 12, usage: 168}}}
      error: ""
      rows: {profiles: 12, usage: 168}
      digest: 0b5f
  contains:
    name:
      description: The path of the backup.
      returned: always
      type: str
      sample: /tmp/tenancy/store.backup
    changed:
      description: Whether the backup or the store was, or in check mode would be, changed.
      returned: always
      type: bool
      sample: true
    actions:
      description: V(create), V(replace), V(restore) or nothing.
      returned: always
      type: list
      elements: str
      sample: [create]
    diff:
      description: Digest and numbers of rows before and after.
      returned: always
      type: dict
      sample: {before: {digest: null, rows: null}, after: {digest: 0b5f, rows: {profiles: 12, usage: 168}}}
    error:
      description: Always empty; an error ends the task.
      returned: always
      type: str
      sample: ""
    rows:
      description: How much of what the backup holds.
      returned: always
      type: dict
      sample: {profiles: 12, usage: 168}
    digest:
      description: The SHA-256 of all rows. Two stores of the same content have the same.
      returned: always
      type: str
      sample: 0b5f
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.predictive.tenancy.plugins.module_utils._core.changes import result, summary
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import TenancyError
from ansible_collections.predictive.tenancy.plugins.module_utils._core.module import TenancyModule
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.arguments import (
    present_time,
    store_spec,
    store_uri,
)
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.backups import restored, saved
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store

ARGUMENTS = {
    **store_spec(),
    "path": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["saved", "restored"], "default": "saved"},
    "now": {"type": "str"},
}


def run(module: AnsibleModule) -> None:
    """Save or restore, and report."""
    params, dry = module.params, module.check_mode
    restoring = params["state"] == "restored"
    with open_store(store_uri(params["store"]), read_only=dry or not restoring) as store:
        if restoring:
            changes, content = restored(store, params["path"], present_time(params["now"]), dry=dry)
        else:
            changes, content = saved(store, params["path"], dry=dry)
    rows = {table: count for table, count in content.counts.items() if count}
    module.exit_json(**summary([result(changes, rows=rows, digest=content.digest)]))


def main() -> None:
    """Entry point."""
    module = TenancyModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        run(module)
    except TenancyError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
