# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guides tell people to type: it exists, its variables are documented where it is, and the quickstart runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.predictive.tenancy.plugins.inventory import tenancy as inventory
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.policy_reader import option_spec

from playbooks import run_playbook

ROOT = Path(__file__).resolve().parent.parent.parent
GUIDES = [*sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("roles/*/README.md"))]
GUIDES += [ROOT / "README.md", ROOT / "extensions" / "README.md"]
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)")
PLAYBOOK = re.compile(r"predictive\.tenancy\.([a-z_]+)((?: -e \S+)*)")


def commands(program: str) -> Iterator[tuple[str, str]]:
    """(guide, command) of all that begin with ``program``, in blocks, in tables or in the text."""
    for path in GUIDES:
        for line in path.read_text(encoding="utf-8").splitlines():
            for found in re.findall(rf"(?:^|`)({program}[^`#]*)", line):
                yield path.name, found.strip()


@pytest.mark.parametrize("path", GUIDES, ids=[str(path.relative_to(ROOT)) for path in GUIDES])
def test_links_lead_somewhere(path: Path) -> None:
    missing = [link for link in LINK.findall(path.read_text(encoding="utf-8")) if not (path.parent / link).exists()]
    assert not missing


def test_playbooks_and_their_variables_exist() -> None:
    seen = 0
    for guide, command in commands("ansible-playbook "):
        for name, variables in PLAYBOOK.findall(command):
            seen += 1
            path = ROOT / "playbooks" / f"{name}.yml"
            assert path.is_file(), f"{guide}: {command}"
            head = path.read_text(encoding="utf-8").partition("- name:")[0]
            for variable in re.findall(r"-e ([a-z_]+)=", variables):
                assert re.search(rf"^#   .*\b{variable}\b", head, re.M), f"{guide}: {name} does not document {variable}"
    assert seen > 8


def test_commands_of_the_schedule_exist() -> None:
    program = (ROOT / "roles" / "reconcile_schedule" / "files" / "reconcile.py").read_text(encoding="utf-8")
    known = set(re.findall(r'add_parser\("([a-z]+)"', program))
    words = {command.split()[1] for _guide, command in commands("tenancy-reconcile-[A-Za-z]+ ")}
    assert words == known


def test_rules_of_the_policy_exist() -> None:
    """Everything that the operator's guide names as part of a policy, in tables and text."""
    spec: dict[str, Any] = option_spec()["options"]
    text = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    named = set(re.findall(rf"`((?:{'|'.join(spec)})\.[a-z_]+)", text))
    assert len(named) > 6
    for name in named:
        part, _dot, key = name.partition(".")
        assert key in spec[part]["options"], name


def test_the_inventory_of_the_guide_has_only_real_options() -> None:
    text = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(plugin: .*?)```", text, re.S)
    known = yaml.safe_load(inventory.DOCUMENTATION)["options"]
    assert set(yaml.safe_load(block)) <= set(known) | {"compose", "groups", "keyed_groups", "strict"}


def test_the_quickstart_runs(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.S)
    assert block.count("/tmp/tenancy-quickstart") == 5
    (tmp_path / "quickstart.yml").write_text(block.replace("/tmp/tenancy-quickstart", str(tmp_path)), encoding="utf-8")
    done = run_playbook(tmp_path / "quickstart.yml", tmp_path / "play")
    assert done.failed == 0, done.text
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert re.search(r"\d+ tenants in \d+ VMs", done.text), done.text
