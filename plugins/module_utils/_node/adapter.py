# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Joins the node logic to Ansible: a Host made from a module, and the options that two modules share."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from .._core.units import parse_time
from .host import Host

# PATH of a root login: sudo and ssh commands often have less.
_PATH = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]


def host_for(module: AnsibleModule, now: str | None = None) -> Host:
    """This machine, as seen through a module."""

    def run(words: Sequence[str]) -> tuple[int, str, str]:
        try:
            code, out, err = module.run_command(
                list(words), environ_update={"LC_ALL": "C.UTF-8"}, handle_exceptions=False
            )
        except OSError as error:  # no memory for a process: what was done so far must not be lost with it
            return error.errno or 1, "", f"{words[0]} cannot be run: {error.strerror}"
        return int(code), str(out), str(err)

    def which(name: str) -> str | None:
        found = module.get_bin_path(name, opt_dirs=_PATH)
        return str(found) if found else None

    moment = parse_time(now) if now else datetime.now(timezone.utc)
    return Host(run=run, which=which, clock=time.monotonic, sleep=time.sleep, now=moment, cpus=os.cpu_count() or 1)


def resource_spec() -> dict[str, Any]:
    """The limits and the sandbox of a tenant or shadow."""
    return {
        "priority": {"type": "int", "default": 50},
        "cpu": {
            "type": "dict",
            "options": {"cores": {"type": "raw"}, "weight": {"type": "int"}, "cpus": {"type": "str"}},
        },
        "memory": {
            "type": "dict",
            "options": {key: {"type": "raw"} for key in ("low", "high", "max", "swap")},
        },
        "io": {
            "type": "dict",
            "options": {"weight": {"type": "int"}, "read": {"type": "raw"}, "write": {"type": "raw"}},
        },
        "pids": {"type": "int"},
        "sandbox": {
            "type": "dict",
            "options": {
                "runtime": {"type": "str", "choices": ["gvisor", "kata", "runc"], "default": "gvisor"},
                "rootfs": {"type": "path"},
                "image": {"type": "path"},
                "command": {"type": "list", "elements": "str"},
                "env": {"type": "dict"},
                "network": {"type": "str", "choices": ["none", "host"], "default": "none"},
                "user": {"type": "str", "default": "65534:65534"},
                "writable": {"type": "bool", "default": False},
            },
        },
    }


def tenant_spec() -> dict[str, Any]:
    """One tenant."""
    return {
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["running", "paused", "absent"], "default": "running"},
        "claim": {"type": "str"},
        **resource_spec(),
    }


def shadow_spec() -> dict[str, Any]:
    """One shadow."""
    return {
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "tier": {"type": "str", "choices": ["created", "frozen", "checkpointed"], "default": "frozen"},
        "warmup": {"type": "str"},
        "rehearse": {"type": "list", "elements": "str"},
        "ttl": {"type": "str"},
        "expires_at": {"type": "str"},
        **resource_spec(),
    }


def cap_spec() -> dict[str, Any]:
    """The cap on all shadows."""
    return {"count": {"type": "int"}, "memory": {"type": "raw"}, "min_available": {"type": "raw"}}


def failed(results: Sequence[Mapping[str, Any]], of: str) -> str:
    """One message for the items that failed; empty where none did."""
    wrong = [item for item in results if item["error"]]
    if not wrong:
        return ""
    texts = [str(item["error"]) for item in wrong]
    more = f" (and {len(texts) - 5} more)" if len(texts) > 5 else ""
    return f"{len(wrong)} of {len(results)} {of} failed: " + "; ".join(texts[:5]) + more


def finish(module: AnsibleModule, returned: dict[str, Any], results: Sequence[Mapping[str, Any]], of: str) -> None:
    """Leave the module: what could not be done is said, what was done stays."""
    for item in results:
        for note in item["notes"]:
            module.warn(f"{item['name']}: {note}")
    message = failed(results, of)
    if message:
        module.fail_json(msg=message, **returned)
    module.exit_json(**returned)
