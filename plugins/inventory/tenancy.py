# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: tenancy
short_description: Capacity VMs, KVM hosts and tenants from the store
version_added: 0.1.0
description:
  - Lists what the store knows, so that a playbook, a schedule or AWX reaches exactly the VMs that are planned.
  - VMs come into the group C(capacity_vms) with the variables C(tenancy_cell) and C(tenancy_vm), as
    M(predictive.tenancy.tenant_admit) takes it in its option O(predictive.tenancy.tenant_admit#module:vms).
  - KVM hosts come into C(kvm_hosts) with C(tenancy_host.vms), the VMs that run on them.
  - Further groups are C(cell_NAME), C(zone_NAME), C(state_NAME) and, for the VMs of a KVM host, C(on_NAME).
  - The store holds no addresses; set them with O(compose) from a label, or let names be resolved.
  - Its file must be called C(tenancy.yml) or C(tenancy.yaml), or end in C(.tenancy.yml) or C(.tenancy.yaml).
author:
  - predictive.tenancy contributors (@predictive-tenancy)
extends_documentation_fragment:
  - predictive.tenancy.store
  - ansible.builtin.constructed
options:
  plugin:
    description: The name of this plugin.
    type: str
    required: true
    choices: [predictive.tenancy.tenancy]
  store:
    env:
      - name: TENANCY_STORE
  cells:
    description: Only these cells; all of them by default. One cell to an inventory is what scales.
    type: list
    elements: str
    default: []
  zones:
    description: Only VMs and KVM hosts of these zones; all of them by default.
    type: list
    elements: str
    default: []
  states:
    description: Only VMs in these states. A V(lost) VM cannot be reached.
    type: list
    elements: str
    choices: [ready, draining, lost]
    default: [ready, draining]
  hosts:
    description: Whether to list KVM hosts.
    type: bool
    default: true
  tenants:
    description:
      - Whether to list the tenants of the listed VMs too, in C(tenants), C(cell_NAME_tenants), C(tenants_on_VM) and
        C(profile_NAME), with the variable C(tenancy_tenant). They are there to be read, not to be connected to.
    type: bool
    default: false
seealso:
  - module: predictive.tenancy.tenant_admit
"""

EXAMPLES = r"""
# north.tenancy.yml: the VMs of one cell, reached by the address in their labels
plugin: predictive.tenancy.tenancy
store: sqlite:////var/lib/tenancy/store.db
cells: [north]
compose:
  ansible_host: tenancy_vm.labels.address | default(inventory_hostname)

# all.tenancy.yml: everything, the store from the environment (TENANCY_STORE), large VMs in a group of their own
# plugin: predictive.tenancy.tenancy
# tenants: true
# groups:
#   large: (tenancy_vm | default({'capacity': {'cpu': 0}})).capacity.cpu >= 16
"""

from typing import Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Constructable
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import TenancyError
from ansible_collections.predictive.tenancy.plugins.module_utils._core.plain import plain
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.arguments import store_uri
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.inventory import Choice, Listed, listing
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store


class InventoryModule(BaseInventoryPlugin, Constructable):
    """The store as an inventory."""

    NAME = "predictive.tenancy.tenancy"

    def verify_file(self, path: str) -> bool:
        """Whether the file is meant for this plugin, by its name."""
        return super().verify_file(path) and path.endswith(("tenancy.yml", "tenancy.yaml"))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Read the store; its content changes with every run, so nothing is cached."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        options = {name: plain(self.get_option(name)) for name in ("cells", "zones", "states", "hosts", "tenants")}
        try:
            with open_store(store_uri(plain(self.get_option("store"))), read_only=True) as store:
                found = listing(store, Choice(**options))
        except TenancyError as error:
            raise AnsibleParserError(f"{path}: {error}") from error
        for one in found:
            self._add(one)

    def _add(self, one: Listed) -> None:
        self.inventory.add_host(one.name)
        for name in one.groups:
            self.inventory.add_child(self.inventory.add_group(self._sanitize_group_name(name)), one.name)
        for key, value in one.variables.items():
            self.inventory.set_variable(one.name, key, value)
        strict = self.get_option("strict")
        variables = self.inventory.get_host(one.name).get_vars()
        self._set_composite_vars(self.get_option("compose"), variables, one.name, strict=strict)
        variables = self.inventory.get_host(one.name).get_vars()
        self._add_host_to_composed_groups(self.get_option("groups"), variables, one.name, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, one.name, strict=strict)
