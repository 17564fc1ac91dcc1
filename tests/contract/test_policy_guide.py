# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guide to policies says what the reference says: docs/policies.md holds every key with its default and reason."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.predictive.tenancy.plugins.doc_fragments.policy import ModuleDocFragment
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.replay_reach import named
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.policy import SECTIONS
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.policy_reader import read_policy
from ansible_collections.predictive.tenancy.plugins.modules import policy_replay

GUIDE = (Path(__file__).resolve().parent.parent.parent / "docs" / "policies.md").read_text(encoding="utf-8")
POLICY: dict[str, Any] = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]["policy"]["suboptions"]


def plain(text: str) -> str:
    """The markup of the reference as Markdown."""
    return re.sub(r"[VCO]\(([^)]*)\)", r"`\1`", " ".join(text.split()))


def table(section: str) -> str:
    """The keys of a section as a Markdown table: what it is, the default, why."""
    rows = ["| key | what | default | why |", "|---|---|---|---|"]
    for key, option in POLICY[section]["suboptions"].items():
        what, default = " ".join(option["description"][:-1]), option["description"][-1]
        match = re.fullmatch(r"The default is (V\([^)]*\)|an empty list)\.(.*)", " ".join(default.split()))
        assert match is not None, f"{section}.{key}"
        rows.append(f"| `{key}` | {plain(what)} | {plain(match.group(1))} | {plain(match.group(2))} |")
    return "\n".join(row.replace("  ", " ") for row in rows)


@pytest.mark.parametrize("section", sorted(SECTIONS))
def test_the_guide_has_the_table_of_every_section(section: str) -> None:
    assert table(section) in GUIDE, f"docs/policies.md shall hold:\n{table(section)}"


def test_the_policies_in_the_guide_are_valid() -> None:
    examples = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", GUIDE, re.S)]
    policies = [one["tenancy_policy"] for one in examples if isinstance(one, dict) and "tenancy_policy" in one]
    assert len(policies) >= 2
    for policy in policies:
        read_policy(policy)


def test_the_guide_and_the_module_say_what_a_replay_does_not_look_at() -> None:
    *most, last = named()
    text = ", ".join(f"C({word})" for word in most) + f" and C({last})"
    told = " ".join(yaml.safe_load(policy_replay.DOCUMENTATION)["description"])
    assert f"does not look at {text}." in told
    assert f"does not look at {plain(text)}." in " ".join(GUIDE.split())
