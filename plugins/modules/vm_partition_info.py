#!/usr/bin/python
# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: vm_partition_info
short_description: Measure the tenants of a capacity VM
version_added: 0.1.0
description:
  - Returns the tenants and shadows of the capacity VM where it runs, with their limits, state, measured CPU time,
    memory,
    I/O and pressure.
  - Rates are measured over O(interval). Everything is read in one pass, whatever the number of tenants.
author:
  - predictive.tenancy contributors (@predictive-tenancy)
extends_documentation_fragment:
  - predictive.tenancy.attributes
  - predictive.tenancy.attributes.info
  - predictive.tenancy.resources
options:
  names:
    description: The tenants and shadows to look at. All by default.
    type: list
    elements: str
    default: []
  interval:
    description: How long rates are measured, such as V(2s), at most V(5m). With V(0) rates are V(null).
    type: str
    default: 1s
seealso:
  - module: predictive.tenancy.vm_partition
  - module: predictive.tenancy.workload_observe
"""

EXAMPLES = r"""
- name: Measure all tenants for two seconds
  predictive.tenancy.vm_partition_info:
    interval: 2s
  register: measured

- name: Show the cores in use
  ansible.builtin.debug:
    msg: "{{ measured.tenants | items2dict(key_name='name', value_name='cpu') }}"
"""

RETURN = r"""
tenants:
  description: The tenants.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: The tenant.
      type: str
      returned: always
      sample: web_1
    role:
      description: V(tenant) or V(shadow).
      type: str
      returned: always
      sample: tenant
    state:
      description: V(running), V(paused), V(stopped) or V(failed).
      type: str
      returned: always
      sample: running
    service:
      description: The state of its service as systemd says it.
      type: str
      returned: always
      sample: active (running)
    slice:
      description: The systemd slice that holds it.
      type: str
      returned: always
      sample: tenants-web_1.slice
    runtime:
      description: The sandbox runtime.
      type: str
      returned: always
      sample: gvisor
    priority:
      description: The priority.
      type: int
      returned: always
      sample: 50
    tier:
      description: The tier of a shadow, else empty.
      type: str
      returned: always
      sample: ""
    expires_at:
      description: When a shadow is given up, else empty.
      type: str
      returned: always
      sample: ""
    limits:
      description: The limits that systemd holds; V(null) is no limit.
      type: dict
      returned: always
      sample: {cpu: {cores: 1.0, weight: 100, cpus: ""}, memory: {low: 0, high: null, max: 536870912, swap:
        536870912}, io: {weight: 100, read: null, write: null}, pids: null}
    enforced:
      description: Whether it has a cgroup in which the limits are in force.
      type: bool
      returned: always
      sample: true
    cpu:
      description: CPU time in microseconds since the slice was made, and cores (used, and lost to throttling)
        over the interval.
      type: dict
      returned: always
      sample: {usage_usec: 1200000, throttled_usec: 0, throttled_periods: 0, periods: 12, cores: 0.21, throttled: 0.0}
    memory:
      description: Bytes in memory and in swap, the peak, and how often it met its limits.
      type: dict
      returned: always
      sample: {current: 19922944, peak: 25165824, swap: 0, oom_kills: 0, max_events: 0, high_events: 0}
    io:
      description: Bytes and operations since the slice was made, and bytes per second over the interval.
      type: dict
      returned: always
      sample: {read_bytes: 4096, write_bytes: 0, read_operations: 1, write_operations: 0, read: 0.0, write: 0.0}
    pids:
      description: Processes and threads.
      type: int
      returned: always
      sample: 21
    pressure:
      description: Pressure (PSI) by resource, V(null) where the kernel does not measure it.
      type: dict
      returned: always
      sample: {cpu: {some: {avg10: 0.0, avg60: 0.0, avg300: 0.0, total: 1200.0}}, memory: null, io: null}
shadows:
  description: The shadows.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: The shadow.
      type: str
      returned: always
      sample: web_1
    role:
      description: V(tenant) or V(shadow).
      type: str
      returned: always
      sample: shadow
    state:
      description: V(running), V(paused), V(stopped), V(failed), or V(stored) for a checkpoint.
      type: str
      returned: always
      sample: running
    service:
      description: The state of its service as systemd says it.
      type: str
      returned: always
      sample: active (running)
    slice:
      description: The systemd slice that holds it.
      type: str
      returned: always
      sample: tenants-web_1.slice
    runtime:
      description: The sandbox runtime.
      type: str
      returned: always
      sample: gvisor
    priority:
      description: The priority.
      type: int
      returned: always
      sample: 50
    tier:
      description: The tier of a shadow, else empty.
      type: str
      returned: always
      sample: ""
    expires_at:
      description: When a shadow is given up, else empty.
      type: str
      returned: always
      sample: ""
    limits:
      description: The limits that systemd holds; V(null) is no limit.
      type: dict
      returned: always
      sample: {cpu: {cores: 1.0, weight: 100, cpus: ""}, memory: {low: 0, high: null, max: 536870912, swap:
        536870912}, io: {weight: 100, read: null, write: null}, pids: null}
    enforced:
      description: Whether it has a cgroup in which the limits are in force.
      type: bool
      returned: always
      sample: true
    cpu:
      description: CPU time in microseconds since the slice was made, and cores (used, and lost to throttling)
        over the interval.
      type: dict
      returned: always
      sample: {usage_usec: 1200000, throttled_usec: 0, throttled_periods: 0, periods: 12, cores: 0.21, throttled: 0.0}
    memory:
      description: Bytes in memory and in swap, the peak, and how often it met its limits.
      type: dict
      returned: always
      sample: {current: 19922944, peak: 25165824, swap: 0, oom_kills: 0, max_events: 0, high_events: 0}
    io:
      description: Bytes and operations since the slice was made, and bytes per second over the interval.
      type: dict
      returned: always
      sample: {read_bytes: 4096, write_bytes: 0, read_operations: 1, write_operations: 0, read: 0.0, write: 0.0}
    pids:
      description: Processes and threads.
      type: int
      returned: always
      sample: 21
    pressure:
      description: Pressure (PSI) by resource, V(null) where the kernel does not measure it.
      type: dict
      returned: always
      sample: {cpu: {some: {avg10: 0.0, avg60: 0.0, avg300: 0.0, total: 1200.0}}, memory: null, io: null}
vm:
  description: The VM as a whole, memory in bytes, pressure as for a tenant. C(io_weights) is what shares the disk of
    the tenants by their weights, V(bfq) or V(iocost); where it is empty, weights of I/O have no effect.
  type: dict
  returned: success
  sample: {cpus: 2, io_weights: bfq, memory: {total: 1541599232, available: 1379926016}, pressure: {cpu: null, memory:
      null, io: null}}
measured_at:
  description: When, in UTC.
  type: str
  returned: success
  sample: "2026-03-02T03:00:00.125Z"
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import InputError, TenancyError
from ansible_collections.predictive.tenancy.plugins.module_utils._core.units import parse_duration
from ansible_collections.predictive.tenancy.plugins.module_utils._node import usage
from ansible_collections.predictive.tenancy.plugins.module_utils._node.adapter import host_for
from ansible_collections.predictive.tenancy.plugins.module_utils._node.host import require_unified


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "default": []},
            "interval": {"type": "str", "default": "1s"},
        },
        supports_check_mode=True,
    )
    try:
        interval = parse_duration(module.params["interval"])
        if interval > 300:
            raise InputError("interval is longer than 5 minutes", item=module.params["interval"])
        host = host_for(module)
        require_unified(host.paths)
        measured = usage.measure(host, interval, module.params["names"])
    except TenancyError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **measured)


if __name__ == "__main__":
    main()
