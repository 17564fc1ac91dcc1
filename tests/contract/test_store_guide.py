# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/store.md tells the truth: defaults, messages, the schema, the credential type, the playbooks."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.history_arguments import HISTORY
from ansible_collections.predictive.tenancy.plugins.module_utils._store import documents

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "store.md").read_text(encoding="utf-8")
OF_SQLITE = {"database is locked"}


def section(title: str) -> str:
    """The text below a heading."""
    return GUIDE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_retention_is_as_told() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", section("How long"), re.M))
    assert told == {name: option["default"] for name, option in HISTORY["retention"]["options"].items()}


def test_messages_are_in_the_source() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "plugins/module_utils/_store").glob("*.py"))
    told = re.findall(r"^\| `(.+?)` \|", section("When it goes wrong"), re.M)
    assert len(told) >= 6
    assert [message for message in told if message not in source and message not in OF_SQLITE] == []


def test_the_schema_is_the_present_one() -> None:
    assert re.findall(r"The schema is (\d+)", section("Upgrade")) == [str(documents.SCHEMA)]


def test_the_credential_type_sets_the_variable_from_a_secret_field() -> None:
    (text,) = (block for block in re.findall(r"```yaml\n(.*?)```", GUIDE, re.S) if "injectors" in block)
    kind = yaml.safe_load(text)
    (field,) = kind["fields"]["fields"]
    assert field["secret"] is True
    assert kind["injectors"]["env"] == {"TENANCY_STORE": "{{ " + field["id"] + " }}"}


def test_playbooks_and_links_exist() -> None:
    named = set(re.findall(r"predictive\.tenancy\.(store_\w+)", GUIDE))
    assert named == {"store_backup", "store_restore"}
    assert all((ROOT / "playbooks" / f"{name}.yml").is_file() for name in named)
    assert all((ROOT / "docs" / link).exists() for link in re.findall(r"\]\(([^)#]+)\)", GUIDE))
