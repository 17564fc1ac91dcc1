# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kata Containers through containerd's own client: a VM in the VM."""

from __future__ import annotations

from .host import Paths
from .sandboxes import Sandbox

# ctr ignores containerd's ConfigPath for a runtime, so the role links the configuration to this path.
CONFIGURATION = "/etc/kata-containers/tenancy.toml"

FOOTPRINT = 160 * 1024**2  # bytes that a start takes, whatever the program in it

_TEMPLATE = """# Made by predictive.tenancy.
[Unit]
Description=Tenant sandbox %i (Kata)
Requires=containerd.service
After=containerd.service
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
Slice=tenants-%i.slice
Type=exec
EnvironmentFile={places}/%i/settings
ExecStartPre=-{ctr} --namespace tenancy task delete --force %i
ExecStartPre=-{ctr} --namespace tenancy container delete %i
ExecStart={ctr} --namespace tenancy run --rm --runtime io.containerd.kata.v2 \\
  --runtime-config-path {configuration} --config {places}/%i/bundle/config.json %i
ExecStop=-{ctr} --namespace tenancy task kill --all %i
StandardInput=null
TimeoutStartSec=180
TimeoutStopSec=15
Restart=always
RestartSec=2
OOMPolicy=kill
"""


def template(ctr: str, paths: Paths) -> str:
    """The unit of all Kata sandboxes; the VM is put below the same slice by the bundle's cgroup path."""
    return _TEMPLATE.format(ctr=ctr, places=paths.places, configuration=CONFIGURATION)


def settings(_sandbox: Sandbox, _verb: str, _place: str) -> str:
    """Nothing differs outside the bundle."""
    return ""
