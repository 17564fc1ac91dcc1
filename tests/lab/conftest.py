# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual machines that lab tests share: brought up once, and removed at the end unless they were up before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import runtimes
import schedule
from ansible_collections.predictive.tenancy.tests.environments import BUILD
from laboratory import Lab


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The lab itself is tested first, before other tests have used its machines."""
    items.sort(key=lambda item: item.path.name != "test_provision.py")


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The lab of this project, with its virtual machines running."""
    made = Lab(BUILD / "lab")
    was_up = json.loads(made.enclosure("status").stdout)["pid"] is not None
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():  # it takes minutes: show how it goes
        made.play("provision")
    yield made
    if not was_up:
        made.play("teardown")
        assert made.processes() == {}
        assert not made.root.exists()


@pytest.fixture(scope="session")
def virtual_machines(lab: Lab) -> None:
    """The lab's virtual machines run."""
    assert lab.virsh("list", "--name").split() == ["vm1", "vm2"]


@pytest.fixture(scope="session")
def second_vm(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[None]]]:
    """What is tested in vm2, one after the other, while other tests use vm1."""
    stories = {"runtimes": runtimes.story, "schedule": schedule.story}
    with ThreadPoolExecutor(1) as pool:
        yield {name: pool.submit(story, lab, tmp_path_factory.mktemp(name)) for name, story in stories.items()}
