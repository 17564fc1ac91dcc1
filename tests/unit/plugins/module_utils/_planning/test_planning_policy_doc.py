# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the policy's documentation says is what the code does."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import pytest
import yaml
from ansible_collections.predictive.tenancy.plugins.doc_fragments.policy import ModuleDocFragment
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.policy import SECTIONS, Policy
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.policy_reader import read_policy

DOCUMENTED: dict[str, Any] = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]["policy"]["suboptions"]


@pytest.mark.parametrize("section", sorted(SECTIONS))
def test_every_default_is_documented_and_read_back_as_itself(section: str) -> None:
    keys = DOCUMENTED[section]["suboptions"]
    assert set(keys) == {item.name for item in fields(SECTIONS[section])}
    for item in fields(SECTIONS[section]):
        told = " ".join(keys[item.name]["description"])
        default = getattr(Policy(), section), item.name
        if getattr(*default) == ():
            assert "The default is an empty list." in told
            continue
        match = re.search(r"The default is V\(([^)]*)\)\. \S+", told)
        assert match is not None, f"{section}.{item.name} says no default with its reason"
        value: Any = match.group(1)
        if item.metadata["kind"] == "flag":
            value = {"true": True, "false": False}[value]
        policy = read_policy({section: {item.name: value}})
        assert getattr(getattr(policy, section), item.name) == getattr(*default), f"{section}.{item.name}"
