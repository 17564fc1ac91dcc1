# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until machines answer over SSH. Reads ``{"seconds", "root", "network", "machines": [{"name",
"address"}]}`` from stdin, prints ``{"seconds": {name: seconds}}``. A machine that stops or stays silent is named with
the end of its console."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def answers(address: str) -> bool:
    """Whether an SSH server greets there."""
    try:
        with socket.create_connection((address, 22), 2) as link:
            link.settimeout(20)
            return link.recv(4) == b"SSH-"
    except OSError:
        return False


def console(root: str, name: str) -> str:
    """The end of what the machine wrote to its console, and of what QEMU said."""
    parts = []
    for title, path in (
        ("console", Path(root) / name / "console.log"),
        ("QEMU", Path(f"/var/log/libvirt/qemu/{name}.log")),
    ):
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-25:]
        except OSError as error:
            lines = [str(error)]
        parts.append(f"--- the end of its {title} ({path}):\n" + "\n".join(lines))
    return "\n".join(parts)


def virsh(*words: str) -> str:
    """What libvirt says, an error included."""
    done = subprocess.run(["virsh", "-q", "-c", "qemu:///system", *words], capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip()


def main() -> int:
    """Ask each in turn until all have answered."""
    order: dict[str, Any] = json.load(sys.stdin)
    began = time.monotonic()
    waiting = {machine["name"]: machine["address"] for machine in order["machines"]}
    seconds: dict[str, float] = {}
    failed: dict[str, str] = {}
    asked = began
    while waiting:
        for name in [name for name, address in waiting.items() if answers(address)]:
            seconds[name] = round(time.monotonic() - began, 1)
            del waiting[name]
        now = time.monotonic()
        if waiting and now - asked > 5:
            asked = now
            for name in list(waiting):
                found = virsh("domstate", "--reason", name)
                if not found.startswith("running"):
                    failed[name] = f"it does not run: {found}"
                elif now - began > order["seconds"]:
                    failed[name] = f"no SSH at {waiting[name]} after {order['seconds']} s, though it runs"
                else:
                    continue
                del waiting[name]
        time.sleep(0.1)
    sys.stdout.write(json.dumps({"seconds": seconds}) + "\n")
    for name, reason in failed.items():
        sys.stderr.write(f"{name}: {reason}\n{console(order['root'], name)}\n")
    if failed:
        sys.stderr.write(f"--- addresses given out:\n{virsh('net-dhcp-leases', order['network'])}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
