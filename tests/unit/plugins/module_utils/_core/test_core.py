# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import collections
from datetime import datetime, timezone

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core import changes, libraries, module, names, plain
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import (
    InputError,
    MissingLibrary,
    TenancyError,
)


@pytest.mark.parametrize("name", ["a", "nightly_report_1", "x" * 48])
def test_names(name: str) -> None:
    assert names.tenant_name(name) == name


@pytest.mark.parametrize("name", ["", "x" * 49, "my-app", "../etc", "A", "a.service", "a b", "a\n", None, 7, "é"])
def test_names_that_would_leave_their_place(name: object) -> None:
    with pytest.raises(InputError) as caught:
        names.tenant_name(name)
    assert caught.value.item == repr(name)


def test_an_error_says_what_on_which_and_what_to_do() -> None:
    assert str(TenancyError("it is full", item="vm1", hint="free some")) == "vm1: it is full (free some)"
    assert str(TenancyError("it is full")) == "it is full"


def test_changed_diff_and_actions_come_from_one_place() -> None:
    item = changes.ChangeSet("web")
    assert not item.compare("resize", "cpu.cores", 0.5, 0.5)
    assert changes.result(item) == {
        "name": "web",
        "changed": False,
        "actions": [],
        "diff": {"before": {}, "after": {}},
        "error": "",
    }
    assert item.compare("resize", "cpu.cores", 0.5, 0.75)
    item.compare("resize", "memory.max", None, 1)
    item.add("start")
    same = changes.result(changes.ChangeSet("db"))
    outcome = changes.summary([changes.result(item, seconds=1.5), same])
    assert outcome["changed"]
    assert outcome["results"][0]["actions"] == ["resize", "start"]
    assert outcome["results"][0]["seconds"] == 1.5
    assert [entry["before_header"] for entry in outcome["diff"]] == ["web"]
    assert outcome["diff"][0]["after"] == {"cpu.cores": 0.75, "memory.max": 1}
    assert not changes.summary([same])["changed"]


class Tagged(str):
    """A string as ansible-core tags it."""


class Lazy(collections.UserDict):
    """A mapping that drivers refuse."""


def test_values_become_plain_all_the_way_down() -> None:
    moment = datetime(2026, 1, 1, tzinfo=timezone.utc)
    value = plain.plain(Lazy({Tagged("a"): (Tagged("b"), [True, None, 1.5, moment])}))
    assert value == {"a": ["b", [True, None, 1.5, moment]]}
    assert [type(key) for key in value] == [str]
    assert value["a"][0].__class__ is str
    with pytest.raises(TypeError, match="object cannot be made plain"):
        plain.plain([object()])


def test_options_are_shown_without_values_of_environments() -> None:
    item = {"name": "web", "sandbox": {"env": {"TOKEN": "s3cret", "STAGE": 1}, "command": ["x"]}, "pids": None}
    assert module.without_secrets({"tenants": [item, {"env": None}, {"env": "A=s3cret"}], "purge": True}) == {
        "tenants": [
            {**item, "sandbox": {"env": {"TOKEN": "(hidden)", "STAGE": "(hidden)"}, "command": ["x"]}},
            {"env": None},
            {"env": "(hidden)"},
        ],
        "purge": True,
    }
    assert item["sandbox"]["env"]["TOKEN"] == "s3cret"


def test_a_missing_or_old_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    libraries.require("numpy")
    monkeypatch.setitem(libraries.MINIMUM, "numpy", "999.0")
    with pytest.raises(MissingLibrary, match=r"numpy >= 999\.0 is needed"):
        libraries.require("numpy")
    monkeypatch.setitem(libraries.MINIMUM, "surely-absent", "1")
    with pytest.raises(MissingLibrary, match="surely-absent >= 1"):
        libraries.require("surely-absent")
