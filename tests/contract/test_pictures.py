# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of the model's guide are what its script draws, and the guide shows each of them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent.parent
PICTURES = ROOT / "docs" / "pictures"


def headlines(folder: Path) -> dict[str, list[str]]:
    """The title and the headings of each picture; figures in them may differ in their last digit between machines."""
    found = {}
    for path in sorted(folder.glob("*.svg")):
        root = ElementTree.parse(path).getroot()
        texts = [one for one in root.iter() if one.tag.endswith("title") or one.get("class") == "head"]
        found[path.name] = [re.sub(r"[0-9.]+", "#", one.text or "") for one in texts]
    return found


def test_the_committed_pictures_are_what_the_script_draws(tmp_path):
    command = [sys.executable, str(ROOT / "tests" / "pictures.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    drawn = headlines(tmp_path)
    assert drawn == headlines(PICTURES)
    assert all(words and words[0] for words in drawn.values())


def test_the_guide_shows_each_picture_with_words_for_those_who_do_not_see_it():
    shown = dict(
        re.findall(r"!\[([^\]]+)\]\(pictures/([a-z]+\.svg)\)", (ROOT / "docs" / "model.md").read_text("utf-8"))
    )
    assert sorted(shown.values()) == sorted(path.name for path in PICTURES.glob("*.svg"))
    assert all(len(words) > 20 for words in shown)
