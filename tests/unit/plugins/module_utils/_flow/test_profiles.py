# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import InputError
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.profiles import Profiles, ensure, name_for
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from ansible_collections.predictive.tenancy.plugins.module_utils._store.interface import Store

NOW = datetime(2026, 3, 2, tzinfo=timezone.utc)
LARGE, SMALL = {"size": "large"}, {"size": "small"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened


@pytest.mark.parametrize("dry", [False, True])
def test_a_profile_whose_parameters_a_request_lacks_does_not_get_it(store: Store, dry: bool) -> None:
    ensure(store, {"name": "report", "parameters": LARGE}, NOW, dry=False)
    profiles = Profiles(store, NOW, dry=dry)
    made = profiles.of_request("report", SMALL)
    assert made["key"] == name_for("report", unique=True)
    assert made["parameters"] == {}
    assert profiles.created == [made["key"]]
    assert profiles.of_request("report", LARGE)["key"] == "report"
    assert profiles.of_request("report", {}) == made


def test_no_name_is_left_for_the_request(store: Store) -> None:
    for name in ("report", name_for("report", unique=True)):
        ensure(store, {"name": name, "workload": "report", "parameters": {"name": name}}, NOW, dry=False)
    with pytest.raises(InputError, match="no free name"):
        Profiles(store, NOW).of_request("report", SMALL)


@pytest.mark.parametrize("dry", [False, True])
def test_a_profile_made_by_name_hides_no_other_of_its_workload(store: Store, dry: bool) -> None:
    ensure(store, {"name": "web_large", "workload": "web", "parameters": LARGE}, NOW, dry=False)
    profiles = Profiles(store, NOW, dry=dry)
    assert profiles.by_name("web")["parameters"] == {}
    assert profiles.of_request("web", LARGE)["key"] == "web_large"
    assert profiles.of_request("web", SMALL)["key"] == "web"
    assert profiles.created == ["web"]


def test_two_runs_make_the_same_profile(store: Store) -> None:
    first, second = Profiles(store, NOW), Profiles(store, NOW)
    for one in (first, second):
        assert one._named("web") is None  # both have looked before either makes it
        one._of("web")
    assert first.of_request("web", SMALL)["version"] == second.of_request("web", SMALL)["version"]
    assert (first.created, second.created) == (["web"], [])
    ensure(store, {"name": "web_large", "workload": "web", "parameters": LARGE}, NOW, dry=False)
    assert Profiles(store, NOW).of_request("web", LARGE)["key"] == "web_large"


def test_a_name_that_another_run_took_for_another_workload_is_still_the_named_profile(store: Store) -> None:
    profiles = Profiles(store, NOW)
    assert profiles._named("web") is None
    ensure(store, {"name": "web", "workload": "other"}, NOW, dry=False)
    assert profiles.by_name("web")["workload"] == "other"
    assert profiles.of_request("web", {})["key"] == name_for("web", unique=True)
