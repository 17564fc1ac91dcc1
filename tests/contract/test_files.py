# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the files promise each other, derived from the files themselves: whoever adds a module or a role is covered."""

from __future__ import annotations

import importlib
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.predictive.tenancy.plugins.module_utils._core import libraries

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = "ansible_collections.predictive.tenancy.plugins"
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
PLAYBOOKS = sorted(path.name for path in (ROOT / "playbooks").glob("*.yml"))
RESULT_KEYS = {"name", "changed", "actions", "diff", "error"}


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def documentation(module: str) -> dict[str, Any]:
    return yaml.safe_load(importlib.import_module(f"{PACKAGE}.modules.{module}").DOCUMENTATION)


def returned(module: str) -> dict[str, Any]:
    return yaml.safe_load(importlib.import_module(f"{PACKAGE}.modules.{module}").RETURN)


def options(module: str) -> dict[str, Any]:
    """The documented options, those of the module's fragments included."""
    docs = documentation(module)
    merged = dict(docs.get("options") or {})
    for fragment in docs.get("extends_documentation_fragment", []):
        _namespace, _collection, name, *part = fragment.split(".")
        source = importlib.import_module(f"{PACKAGE}.doc_fragments.{name}").ModuleDocFragment
        merged.update(yaml.safe_load(getattr(source, (part or ["documentation"])[0].upper())).get("options") or {})
    return merged


class Captured(Exception):
    """Carries what a module gave to AnsibleModule."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        super().__init__("captured")
        self.arguments = arguments


@pytest.fixture
def specification(monkeypatch: pytest.MonkeyPatch):
    """A function that returns what a module's main() gives to AnsibleModule."""

    def capture(_self: AnsibleModule, argument_spec: dict[str, Any], **arguments: Any) -> None:
        raise Captured({"argument_spec": argument_spec, **arguments})

    def read(module: str) -> dict[str, Any]:
        source = importlib.import_module(f"{PACKAGE}.modules.{module}")
        monkeypatch.setattr(AnsibleModule, "__init__", capture)
        with pytest.raises(Captured) as caught:
            source.main()
        return caught.value.arguments

    return read


def same_options(documented: dict[str, Any], spec: dict[str, Any], where: str) -> None:
    assert set(documented) == set(spec), f"{where}: documented and accepted options differ"
    for name, option in spec.items():
        docs, place = documented[name], f"{where}.{name}"
        assert docs["type"] == option.get("type", "str"), f"{place}: type"
        assert docs.get("elements") == option.get("elements"), f"{place}: elements"
        assert docs.get("default") == option.get("default"), f"{place}: default"
        assert docs.get("choices") == option.get("choices"), f"{place}: choices"
        assert bool(docs.get("required")) == bool(option.get("required")), f"{place}: required"
        assert set(docs.get("aliases", [])) == set(option.get("aliases", [])), f"{place}: aliases"
        if "options" in option or "suboptions" in docs:
            same_options(docs.get("suboptions") or {}, option.get("options") or {}, place)


@pytest.mark.parametrize("module", MODULES)
def test_documentation_equals_argument_spec(module: str, specification) -> None:
    same_options(options(module), specification(module)["argument_spec"], module)


@pytest.mark.parametrize("module", MODULES)
def test_check_mode_is_supported_as_documented(module: str, specification) -> None:
    assert specification(module)["supports_check_mode"] is True
    fragments = documentation(module)["extends_documentation_fragment"]
    wanted = "info" if module.endswith("_info") else "state"
    assert "predictive.tenancy.attributes" in fragments
    assert any(name == f"predictive.tenancy.attributes.{wanted}" for name in fragments), f"{module}: which attributes?"


@pytest.mark.parametrize("module", MODULES)
def test_return_values_are_described(module: str) -> None:
    def described(values: dict[str, Any], where: str) -> None:
        for name, value in values.items():
            assert {"description", "returned", "type"} <= set(value), f"{where}.{name}"
            described(value.get("contains") or {}, f"{where}.{name}")

    values = returned(module)
    described(values, module)
    if "results" in values:
        assert set(values["results"]["contains"]) >= RESULT_KEYS, f"{module}: results have not the constant shape"


def test_action_groups_name_every_module() -> None:
    groups = load(ROOT / "meta" / "runtime.yml")["action_groups"]
    assert groups["all"] == MODULES
    assert groups["store"] == [module for module in MODULES if "store" in options(module)]


def test_libraries_and_requirements_agree() -> None:
    listed = re.findall(r"^([a-z-]+)>=([0-9.]+)$", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.M)
    # jmespath is needed by the json_query filter of playbooks, not by a plugin of ours
    assert {name: version for name, version in listed if name != "jmespath"} == libraries.MINIMUM


@pytest.mark.parametrize("role", ROLES)
def test_role_specification_equals_defaults(role: str) -> None:
    base = ROOT / "roles" / role
    spec = load(base / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
    defaults = load(base / "defaults" / "main.yml") or {}
    for name, option in spec.items():
        assert name.startswith(f"{role}_"), f"{role}: {name} does not carry the role's name"
        assert option.get("description"), f"{role}: {name} has no description"
        assert option.get("type"), f"{role}: {name} has no type"
        if option.get("required"):
            assert name not in defaults, f"{role}: {name} is required and has a default"
        elif "default" in option:
            assert name in defaults, f"{role}: {name} has a documented default and none in defaults/main.yml"
            assert defaults[name] == option["default"], f"{role}: {name}: the two defaults differ"
    optional = {name for name, option in spec.items() if not option.get("required")}
    assert set(defaults) <= optional, f"{role}: defaults that are not specified: {set(defaults) - optional}"


@pytest.mark.parametrize("role", ROLES)
def test_role_is_documented(role: str) -> None:
    base = ROOT / "roles" / role
    readme = (base / "README.md").read_text(encoding="utf-8")
    spec = load(base / "meta" / "argument_specs.yml")["argument_specs"]["main"]
    assert spec["short_description"]
    assert load(base / "meta" / "main.yml")["galaxy_info"]["license"] == "GPL-3.0-or-later"
    missing = [name for name in spec["options"] if name not in readme]
    assert not missing, f"roles/{role}/README.md says nothing about {missing}"


@pytest.mark.parametrize("role", ROLES)
def test_role_uses_only_its_own_variables(role: str) -> None:
    """A variable that a role sets is its own: public with the role's name, private with two underscores before it."""
    for path in (ROOT / "roles" / role / "tasks").glob("*.yml"):
        for task in _tasks(load(path) or []):
            names = [task["register"]] if "register" in task else []
            names += list(task.get("ansible.builtin.set_fact") or {})
            wrong = [name for name in names if not name.startswith((f"{role}_", f"__{role}_")) and name != "cacheable"]
            assert not wrong, f"{path.name}: {wrong}"


def _tasks(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for task in tasks:
        found.append(task)
        for part in ("block", "rescue", "always"):
            found += _tasks(task.get(part) or [])
    return found


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_playbook_syntax(playbook: str) -> None:
    inventory = ROOT / "inventories" / "lab"
    command = ["ansible-playbook", "--syntax-check", "-i", str(inventory), str(ROOT / "playbooks" / playbook)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_ignored() -> None:
    assert not list((ROOT / "tests").glob("sanity/ignore*"))
    lint = ROOT / ".ansible-lint"
    settings = load(lint) if lint.exists() else {}
    assert not {"skip_list", "warn_list", "enable_list"} & set(settings or {})


def test_licence_is_stated_once_and_everywhere_the_same() -> None:
    assert load(ROOT / "galaxy.yml")["license_file"] == "LICENSE"
    assert "license" not in load(ROOT / "galaxy.yml")
    line = "# SPDX-License-Identifier: GPL-3.0-or-later"
    files = [path for part in ("plugins", "tests") for path in (ROOT / part).rglob("*.py") if path.stat().st_size]
    without = [str(path.relative_to(ROOT)) for path in files if line not in path.read_text(encoding="utf-8")[:600]]
    assert not without
