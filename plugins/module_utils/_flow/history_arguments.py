# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of workload_observe, as its documentation describes them."""

from __future__ import annotations

from typing import Any

ORIGIN = {"workload": {"type": "str"}, "profile": {"type": "str"}, "time": {"type": "str", "required": True}}
MEASURED = {name: {"type": "str"} for name in ("tenant", "cpu", "memory", "io_read", "io_write")}
HISTORY: dict[str, dict[str, Any]] = {
    "requests": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {**ORIGIN, "id": {"type": "str"}, "parameters": {"type": "dict"}},
    },
    "usage": {"type": "list", "elements": "dict", "default": [], "options": {**ORIGIN, **MEASURED}},
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "path", "required": True},
            "kind": {"type": "str", "choices": ["requests", "usage"], "required": True},
            "format": {"type": "str", "choices": ["csv", "jsonl"], "default": "csv"},
        },
    },
    "prometheus": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "url": {"type": "str", "required": True},
            "queries": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "metric": {"type": "str", "choices": ["cpu", "memory", "io_read", "io_write"], "required": True},
                    "query": {"type": "str", "required": True},
                    "counter": {"type": "bool", "default": False},
                    "scale": {"type": "float", "default": 1.0},
                    **{name: {"type": "str"} for name in ("workload", "profile", "workload_label", "tenant_label")},
                },
            },
            "start": {"type": "str", "default": "1d"},
            "end": {"type": "str"},
            "step": {"type": "str", "default": "5m"},
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "token": {"type": "str", "no_log": True},
            "ca_path": {"type": "path"},
            "validate_certs": {"type": "bool", "default": True},
            "timeout": {"type": "str", "default": "60s"},
        },
    },
    "rebase": {"type": "str"},
    "create_profiles": {"type": "bool", "default": True},
    "max_skew": {"type": "str", "default": "5m"},
    "retention": {
        "type": "dict",
        "default": {},
        "options": {
            "samples": {"type": "str", "default": "100d"},
            "hourly": {"type": "str", "default": "800d"},
            "requests": {"type": "str", "default": "800d"},
            "plans": {"type": "str", "default": "90d"},
        },
    },
    "now": {"type": "str"},
}
