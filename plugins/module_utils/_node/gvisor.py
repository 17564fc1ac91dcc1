# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""gVisor: runsc with the systrap platform (nested KVM is slower and needs the device)."""

from __future__ import annotations

from .host import Paths
from .sandboxes import OOM_SCORE_ADJ, Sandbox

FOOTPRINT = 20 * 1024**2  # bytes that a start takes, whatever the program in it

_TEMPLATE = """# Made by predictive.tenancy.
[Unit]
Description=Tenant sandbox %i (gVisor)
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
Slice=tenants-%i.slice
Type=forking
PIDFile={run}/runsc/%i/pid
RuntimeDirectory=tenancy/runsc/%i
RuntimeDirectoryMode=0711
Environment=OOM_SCORE_ADJ={oom}
EnvironmentFile=-{places}/%i/oom
EnvironmentFile={places}/%i/settings
ExecStart=/usr/bin/choom -n ${{OOM_SCORE_ADJ}} -- \\
  {runsc} --root={run}/runsc/%i --platform=systrap --network=${{NETWORK}} --overlay2=root:memory \\
  $VERB --pid-file={run}/runsc/%i/pid --bundle={places}/%i/bundle sandbox
KillMode=mixed
SuccessExitStatus=143
TimeoutStartSec=120
TimeoutStopSec=10
Restart=always
RestartSec=1
OOMPolicy=kill
"""

VERBS = {"run": "run --detach", "create": "create", "restore": "restore --detach --image-path={place}/checkpoint"}


def template(runsc: str, paths: Paths) -> str:
    """The unit of all gVisor sandboxes. The sandbox itself is the service's main process: systemd sees it end, and no
    supervisor of ours costs the tenant memory. Each has a folder of its own for the runtime's state, which systemd
    removes whenever the service stops or fails, so that nothing stale stands in the way of the next start."""
    return _TEMPLATE.format(runsc=runsc, run=paths.run, places=paths.places, oom=OOM_SCORE_ADJ)


def settings(sandbox: Sandbox, verb: str, place: str) -> str:
    """What differs between sandboxes; every value is one of a fixed few, or the sandbox's own folder."""
    return f"NETWORK={sandbox.network}\nVERB={VERBS[verb].format(place=place)}\n"


def start_created(runsc: str, paths: Paths, sandbox: Sandbox, instance: str) -> list[str]:
    """The command that starts the program of a sandbox which was only created."""
    return [runsc, f"--root={paths.run}/runsc/{instance}", f"--network={sandbox.network}", "start", "sandbox"]


def execute(runsc: str, paths: Paths, sandbox: Sandbox, instance: str) -> list[str]:
    """The beginning of a command that runs another one in a sandbox, as its own user."""
    user = ":".join(map(str, sandbox.user))
    return [runsc, f"--root={paths.run}/runsc/{instance}", "exec", "--user", user, "sandbox"]


def checkpoint(runsc: str, paths: Paths, instance: str, folder: str) -> list[str]:
    """The command that writes a running sandbox to disk and ends it."""
    return [runsc, f"--root={paths.run}/runsc/{instance}", "checkpoint", f"--image-path={folder}", "sandbox"]
