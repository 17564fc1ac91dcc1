# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import InputError
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.policy import SECTIONS, Policy
from ansible_collections.predictive.tenancy.plugins.module_utils._planning.policy_reader import (
    narrowed,
    option_spec,
    policy_document,
    read_policy,
    read_span,
)


def test_the_defaults_do_not_contradict_themselves_and_survive_the_store() -> None:
    policy = read_policy(None)
    assert policy == Policy()
    assert read_policy(policy_document(policy)) == policy


def test_units_are_read() -> None:
    policy = read_policy(
        {
            "resize": {"lead": "45m", "dead_band_memory": "4MiB", "enabled": False},
            "consolidation": {"bandwidth": "1GB"},
            "move": {"freeze": ["mon-fri 08:00-18:00"], "pins": ["web"]},
            "packing": {"strategy": "spread"},
            "sizing": {"cpu_floor": "100m"},
        }
    )
    assert policy.resize.lead == 2700
    assert policy.resize.dead_band_memory == 4 * 1024**2
    assert policy.consolidation.bandwidth == 10**9
    assert policy.sizing.cpu_floor == pytest.approx(0.1)
    assert policy.move.pins == ("web",)
    assert read_policy(policy_document(policy)) == policy


@pytest.mark.parametrize(
    ("value", "item", "message"),
    [
        ({"resise": {}}, "policy", "unknown section 'resise'"),
        ({"resize": {"hihg": 1}}, "policy resize", "unknown key 'hihg'"),
        ({"resize": 3}, "policy resize", "not a dictionary"),
        ({"resize": {"high": 1.2}}, "policy resize.high", "1.2 is not a share"),
        ({"resize": {"high": "much"}}, "policy resize.high", "'much' is not a number"),
        ({"resize": {"up_after": 1.5}}, "policy resize.up_after", "1.5 is not a whole number"),
        ({"resize": {"enabled": "yes"}}, "policy resize.enabled", "'yes' is not a boolean"),
        ({"resize": {"lead": "5 lightyears"}}, "policy resize.lead", "unknown unit"),
        ({"packing": {"strategy": "pile"}}, "policy packing.strategy", "'pile' is not one of pack, even, spread"),
        ({"move": {"freeze": ["late"]}}, "policy move.freeze", "'late' is not a span of time"),
        ({"move": {"pins": "web"}}, "policy move.pins", "'web' is not a list of names"),
        ({"resize": {"high": 0.5}}, "policy resize.low, resize.high", "contradiction: the low watermark"),
        ({"move": {"hold": 9}}, "policy move.hold, move.hold_of", "contradiction: more checks must agree"),
        ({"move": {"high": 0.8}}, "policy move.high, packing.fill", "contradiction: admission would fill"),
        ({"packing": {"memory_overcommit": 0.5}}, "policy packing.memory_overcommit", "contradiction"),
        ({"sizing": {"memory_floor": "16MiB"}}, "policy sizing.memory_floor", "contradiction: a gVisor sandbox"),
        ({"overrides": [{"set": {}}]}, "policy overrides[0]", "names nothing to override"),
        ({"overrides": [{"cell": "a"}]}, "policy overrides[0]", "not an override"),
        ({"overrides": [{"cel": "a", "set": {}}]}, "policy overrides[0]", "unknown key 'cel'"),
        ({"overrides": [{"cell": "a", "set": {"x": {}}}]}, "policy overrides[0]", "unknown section 'x'"),
        (
            {"overrides": [{"group": "a", "set": {"packing": {"sigma": 2}}}]},
            "policy overrides[0]",
            "a group of VMs has no",
        ),
        ({"overrides": [{"profile": "a", "set": {"move": {"high": 1}}}]}, "policy overrides[0]", "a profile has no"),
        ({"overrides": [{"profile": "a", "set": {"plan": {"worse": 1}}}]}, "policy overrides[0]", "a profile has no"),
        (
            {"overrides": [{"profile": "a", "set": {"resize": {"low": 0.9}}}]},
            "policy resize.low, resize.high",
            "contradiction",
        ),
    ],
)
def test_a_bad_policy_is_refused_by_name(value: dict[str, Any], item: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_policy(value)
    assert caught.value.item == item
    assert message in caught.value.message


def test_overrides_apply_to_what_all_their_selectors_name() -> None:
    policy = read_policy(
        {
            "resize": {"step_up": 0.5},
            "overrides": [
                {"cell": "north", "set": {"packing": {"fill": 0.8}}},
                {"group": "gpu", "set": {"packing": {"fill": 0.7}}},
                {"cell": "north", "profile": "web", "set": {"resize": {"step_up": 0.2}}},
            ],
        },
        cell="north",
    )
    assert policy.packing.fill == 0.8
    assert narrowed(policy, group="gpu").packing.fill == 0.7
    assert narrowed(policy, profile="web").resize.step_up == 0.2
    assert narrowed(policy, profile="other").resize.step_up == 0.5
    assert read_policy(policy_document(policy), cell="north") == policy


def test_overrides_of_other_cells_do_not_apply() -> None:
    value = {"overrides": [{"cell": "north", "profile": "web", "set": {"resize": {"step_up": 0.2}}}]}
    policy = read_policy(value, cell="south")
    assert narrowed(policy, profile="web").resize.step_up == 1.0
    assert policy_document(policy)["overrides"] == []


@pytest.mark.parametrize(("web_first", "wanted"), [(True, 0.5), (False, 0.2)])
def test_the_later_override_wins_whatever_its_selectors(web_first: bool, wanted: float) -> None:
    overrides: list[dict[str, Any]] = [
        {"profile": "web", "set": {"resize": {"step_up": 0.2, "high": 0.8}}},
        {"cell": "north", "set": {"resize": {"step_up": 0.5}}},
    ]
    policy = read_policy({"overrides": overrides if web_first else overrides[::-1]}, cell="north")
    assert policy.resize.step_up == 0.5
    for read in (policy, read_policy(policy_document(policy), cell="north")):
        rule = narrowed(read, profile="web").resize
        assert (rule.step_up, rule.high) == (wanted, 0.8)


def test_overrides_are_judged_as_they_apply_together() -> None:
    apart = [
        {"cell": "north", "set": {"resize": {"high": 0.5, "low": 0.4}}},
        {"cell": "south", "set": {"resize": {"low": 0.7}}},
    ]
    assert read_policy({"overrides": apart}, cell="north").resize.low == 0.4
    together = [
        {"cell": "north", "set": {"resize": {"high": 0.7}}},
        {"profile": "web", "set": {"resize": {"low": 0.75}}},
    ]
    with pytest.raises(InputError, match="low watermark"):
        read_policy({"overrides": together}, cell="north")


def test_every_key_has_an_option_with_a_type() -> None:
    options = option_spec()["options"]
    assert set(options) == {*SECTIONS, "overrides"}
    for section in SECTIONS:
        assert all(
            option["type"] in ("str", "float", "int", "bool", "list") for option in options[section]["options"].values()
        )


def test_spans_of_time() -> None:
    assert read_span("22:00-06:00") == (frozenset(range(7)), 79200, 21600)
    assert read_span("fri-mon 00:00-24:00") == (frozenset({4, 5, 6, 0}), 0, 86400)
    assert read_span("wed 08:30-09:00") == (frozenset({2}), 30600, 32400)
