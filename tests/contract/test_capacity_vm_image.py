# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guest image's recipe: all its files are in it, and its name follows from its inputs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.predictive.tenancy.tests.environments import ROOT

ROLE = ROOT / "roles" / "capacity_vm"


def recipe(cache: Path, files: dict[str, str], check: bool = False) -> dict[str, Any]:
    """Run the script that puts a recipe on a host."""
    order = json.dumps({"cache": str(cache), "check": check, "files": files})
    command = [sys.executable, str(ROLE / "files" / "recipe.py")]
    done = subprocess.run(command, input=order, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def test_the_recipe_lists_every_file_of_the_image() -> None:
    listed = yaml.safe_load((ROLE / "vars" / "main.yml").read_text(encoding="utf-8"))["__capacity_vm_recipe"]
    folder = ROLE / "files" / "image"
    assert listed == sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_equal_inputs_find_the_same_image_and_others_do_not(tmp_path: Path) -> None:
    first = recipe(tmp_path, {"a": "one", "b/c": "#!/bin/sh\n"})
    again = recipe(tmp_path, {"b/c": "#!/bin/sh\n", "a": "one"})
    assert (first["changed"], again["changed"]) == (True, False)
    assert first["image"] == again["image"]
    assert {recipe(tmp_path, files)["image"] for files in ({"a": "two"}, {"b": "one"})}.isdisjoint({first["image"]})


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    said = recipe(tmp_path, {"a": "one"}, check=True)
    assert said["changed"]
    assert list(tmp_path.iterdir()) == []
    assert recipe(tmp_path, {"a": "one"})["image"] == said["image"]


def test_a_recipe_that_was_killed_half_way_is_written_again(tmp_path: Path) -> None:
    said = recipe(tmp_path, {"a": "one"}, check=True)
    draft = Path(said["script"]).parent.with_suffix(".new")
    draft.mkdir(parents=True)
    (draft / "rest").write_text("of a killed run", encoding="utf-8")
    folder = Path(recipe(tmp_path, {"a": "one", "b/c": "#!/bin/sh\n"})["script"]).parent
    assert (folder / "b" / "c").stat().st_mode & 0o777 == 0o755
    folder = Path(recipe(tmp_path, {"a": "one"})["script"]).parent
    assert [path.name for path in folder.iterdir()] == ["a"]
    assert (folder / "a").stat().st_mode & 0o777 == 0o644


def test_an_image_counts_only_when_it_is_whole(tmp_path: Path) -> None:
    image = Path(recipe(tmp_path, {"a": "one"})["image"])
    assert not recipe(tmp_path, {"a": "one"})["present"]
    image.mkdir()
    (image / "base.raw").touch()
    assert recipe(tmp_path, {"a": "one"})["present"]
