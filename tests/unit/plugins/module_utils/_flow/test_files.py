# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files are compared by content, replaced as a whole, and written in the documented format."""

from __future__ import annotations

import csv
import io
import math
import os
from pathlib import Path

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import InputError
from ansible_collections.predictive.tenancy.plugins.module_utils._flow import files
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.history_files import requests_csv, usage_csv


def test_compare_then_replace_then_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "deep" / "a.csv")
    first = files.compare_file(path, b"one")
    assert first.actions == ["create"]
    assert not os.path.exists(path)
    files.replace_file(path, b"one")
    assert not files.compare_file(path, b"one").changed
    second = files.compare_file(path, b"three")
    assert second.actions == ["update"]
    assert second.diff["before"]["bytes"], second.diff["after"]["bytes"] == (3, 5)
    files.replace_file(path, b"three")
    assert Path(path).read_bytes() == b"three"
    assert os.listdir(tmp_path / "deep") == ["a.csv"]


def test_same_length_other_content_is_a_change(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    assert set(files.compare_file(str(path), b"two").diff["before"]) == {"sha256"}


def test_permissions_stay(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    path.chmod(0o640)
    files.replace_file(str(path), b"two")
    assert path.stat().st_mode & 0o777 == 0o640
    before = os.umask(0o027)
    try:
        files.replace_file(str(tmp_path / "new"), b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(files.FileError, match=r"file/a\.csv: cannot be written"):
        files.replace_file(str(tmp_path / "file" / "a.csv"), b"x")
    with pytest.raises(files.FileError, match="cannot be read"):
        files.compare_file(str(tmp_path), b"x")
    with pytest.raises(InputError, match="not an absolute path"):
        files.compare_file("a.csv", b"x")


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    # /dev/full refuses every write as a full disk does; the scratch file is made to be it.
    real, opened = files.tempfile.mkstemp, []

    def full(**arguments: str) -> tuple[int, str]:
        handle, name = real(**arguments)
        os.close(handle)
        opened.append(name)
        return os.open("/dev/full", os.O_WRONLY), name

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files.tempfile, "mkstemp", full)
        with pytest.raises(files.FileError, match="No space left"):
            files.replace_file(str(path), b"new")
    assert path.read_bytes() == b"old"
    assert opened
    assert not os.path.exists(opened[0])


def test_requests_are_in_order_with_ids_per_workload() -> None:
    data, rows = requests_csv([("b", 60.0), ("a", 61.5), ("b", 0.0)])
    assert rows == 3
    assert data.decode().splitlines() == [
        "workload,time,id",
        "b,1970-01-01T00:00:00Z,b-00001",
        "b,1970-01-01T00:01:00Z,b-00002",
        "a,1970-01-01T00:01:01.500Z,a-00001",
    ]


def test_missing_samples_are_empty_cells_and_empty_rows_are_left_out() -> None:
    values = {"cpu": [0.25, math.nan, math.nan], "memory": [1e9, 5.0, math.nan]}
    data, rows = usage_csv([("a", [0.0, 300.0, 600.0], values)])
    assert rows == 2
    table = list(csv.DictReader(io.StringIO(data.decode())))
    assert list(table[0]) == ["workload", "time", "cpu", "memory", "io_read", "io_write"]
    assert list(table[0].values()) == ["a", "1970-01-01T00:00:00Z", "0.25", "1000000000", "", ""]
    assert (table[1]["cpu"], table[1]["memory"]) == ("", "5")
