# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """What runs on capacity VMs needs."""

    DOCUMENTATION = r"""
requirements:
  - systemd 247 or newer as PID 1
  - the unified cgroup hierarchy (cgroup v2) with the controllers cpu, io, memory and pids
  - the sandbox runtime that is asked for, see P(predictive.tenancy.gvisor#role) and P(predictive.tenancy.kata#role)
notes:
  - It must run as root.
  - Limits are systemd's, on one slice for each tenant below C(tenants.slice); a runtime's own limits are not used.
options: {}
"""
