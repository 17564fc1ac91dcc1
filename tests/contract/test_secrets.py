# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of sandboxes' environments may be secrets: no module writes them to the machine's log or into its result."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from module_process import PACKAGE, run_module

MODULES = sorted(path.stem for path in (Path(__file__).parents[2] / "plugins" / "modules").glob("*.py"))
SECRET = "s3cret-of-a-tenant"
SANDBOX = {"sandbox": {"command": ["sleep", "1"], "env": {"TOKEN": SECRET, "STAGE": "1"}}}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "vm_partition": {"tenants": [{"name": "web", **SANDBOX}]},
    "shadow_reserve": {
        "shadows": [{"name": "web", **SANDBOX}],
        "claim": [{"shadow": "web", "tenant": {"name": "web_1", **SANDBOX}}],
    },
    "workload_profile": {"profiles": [{"name": "web", "workload": "web", **SANDBOX}]},
}
# Runs the module with what goes to syslog in a file.
LOGGING = """
import runpy, sys, syslog
from ansible.module_utils import basic
basic.has_journal = False
lines = open(sys.argv.pop(1), "a", encoding="utf-8")
syslog.syslog = lambda *words: lines.write(" ".join(map(str, words)) + "\\n")
module = sys.argv[3]
sys.argv = [module, sys.argv[4]]
runpy.run_module(module, run_name="__main__")
"""


def takes_environments(options: dict[str, Any]) -> bool:
    return "env" in options or any(takes_environments(option.get("suboptions") or {}) for option in options.values())


def documented(module: str) -> dict[str, Any]:
    source = importlib.import_module(f"{PACKAGE}.{module}")
    return yaml.safe_load(source.DOCUMENTATION).get("options") or {}


@pytest.mark.parametrize("module", [name for name in MODULES if takes_environments(documented(name))])
@pytest.mark.parametrize("accepted", [True, False])
def test_environments_are_neither_logged_nor_returned(tmp_path: Path, module: str, accepted: bool) -> None:
    (tmp_path / "recorded.py").write_text(LOGGING, encoding="utf-8")
    log = tmp_path / "log"
    arguments = {**ARGUMENTS[module], **({} if accepted else {"unknown_option": 1})}
    if module == "workload_profile":
        arguments["store"] = f"sqlite:///{tmp_path}/store.db"
    through = [sys.executable, str(tmp_path / "recorded.py"), str(log)]
    done = run_module(module, arguments, tmp_path, check=True, through=through)
    assert SECRET not in json.dumps(done)
    if accepted:
        said = log.read_text(encoding="utf-8")
        assert "Invoked with" in said
        assert "TOKEN" in said, "the names are shown"
        assert SECRET not in said
