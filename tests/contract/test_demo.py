# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make demo` hands to the quickstart, and what it says at its end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import demo
import pytest


@pytest.mark.parametrize("own", [False, True])
def test_the_report_is_named_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], own: bool
) -> None:
    commands: list[list[Any]] = []
    monkeypatch.setattr(demo, "install", lambda _folder: {})
    monkeypatch.setattr(demo, "run", lambda command, **_options: commands.append(command))
    history, folder = tmp_path / "history", tmp_path / "demo"
    history.mkdir()
    demo.demo(str(history) if own else "", folder)
    (command,) = commands
    assert f"quickstart_dir='{folder}'" in command
    assert (f"quickstart_trace='{history}'" in command) is own
    shown = capsys.readouterr()
    assert os.path.relpath(folder / "report.html") in (shown.out + shown.err).splitlines()[-1]
