# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""runc: a plain container with a user namespace, for those who ask for it. It shares the VM's kernel."""

from __future__ import annotations

from .host import Paths
from .sandboxes import OOM_SCORE_ADJ, Sandbox

FOOTPRINT = 4 * 1024**2  # bytes that a start takes, whatever the program in it

_TEMPLATE = """# Made by predictive.tenancy.
[Unit]
Description=Tenant container %i (runc)
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
Slice=tenants-%i.slice
Type=forking
PIDFile={run}/runc/%i/pid
RuntimeDirectory=tenancy/runc/%i
RuntimeDirectoryMode=0711
Environment=OOM_SCORE_ADJ={oom}
EnvironmentFile=-{places}/%i/oom
EnvironmentFile={places}/%i/settings
ExecStart=/usr/bin/choom -n ${{OOM_SCORE_ADJ}} -- \\
  {runc} --root {run}/runc/%i --systemd-cgroup $VERB --pid-file {run}/runc/%i/pid \\
  --bundle {places}/%i/bundle sandbox
KillMode=mixed
SuccessExitStatus=143
TimeoutStartSec=120
TimeoutStopSec=10
Restart=always
RestartSec=1
OOMPolicy=kill
"""


def template(runc: str, paths: Paths) -> str:
    """The unit of all runc containers; runc asks systemd for a scope beside the service, below the same slice."""
    return _TEMPLATE.format(runc=runc, run=paths.run, places=paths.places, oom=OOM_SCORE_ADJ)


def start_created(runc: str, paths: Paths, _sandbox: Sandbox, instance: str) -> list[str]:
    """The command that starts the program of a container which was only created."""
    return [runc, "--root", f"{paths.run}/runc/{instance}", "--systemd-cgroup", "start", "sandbox"]


def execute(runc: str, paths: Paths, sandbox: Sandbox, instance: str) -> list[str]:
    """The beginning of a command that runs another one in a container, as its own user."""
    user = ":".join(map(str, sandbox.user))
    return [runc, "--root", f"{paths.run}/runc/{instance}", "--systemd-cgroup", "exec", "--user", user, "sandbox"]


def settings(_sandbox: Sandbox, verb: str, _place: str) -> str:
    """What differs between containers; the network is in the bundle."""
    return f"VERB={'run --detach' if verb == 'run' else 'create'}\n"
