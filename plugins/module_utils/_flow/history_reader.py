# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""History files as records: CSV and JSON lines, plain or gzip, with the line of each record."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, cast

from .._core.errors import InputError

COLUMNS = {
    "requests": ("workload", "profile", "time", "id", "parameters"),
    "usage": ("workload", "profile", "tenant", "time", "cpu", "memory", "io_read", "io_write"),
}
_LONGEST = 1_000_000  # characters in one line of JSON


@dataclass(frozen=True)
class Record:
    """One record: where it stands (``file:line``), its fields, or what is wrong with it."""

    place: str
    fields: dict[str, Any]
    error: str = ""


def _open(path: str) -> IO[str]:
    with open(path, "rb") as probe:
        packed = probe.read(2) == b"\x1f\x8b"
    if packed:
        return cast("IO[str]", gzip.open(path, "rt", encoding="utf-8-sig", newline=""))
    return open(path, encoding="utf-8-sig", newline="")


def _header(names: list[str], kind: str, path: str) -> tuple[list[str], str]:
    """The columns by place ("" = not read), and what is wrong with the header. Raises InputError if it is hopeless."""
    stripped = [name.strip() for name in names]
    known = COLUMNS[kind]
    columns = [name if name in known else "" for name in stripped]
    hint = "the columns are " + ", ".join(known)
    if "time" not in columns or not {"workload", "profile", "tenant"} & set(columns):
        missing = "time" if "time" not in columns else "workload"
        raise InputError(f"the column {missing!r} is missing in the header", item=f"{path}:1", hint=hint)
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        raise InputError(f"the column {twice[0]!r} is there twice", item=f"{path}:1", hint=hint)
    unknown = [name for name in stripped if name not in known]
    return columns, f"unknown column {', '.join(map(repr, unknown))} ({hint})" if unknown else ""


def _csv(handle: IO[str], kind: str, path: str) -> Iterator[Record]:
    reader = csv.reader(handle, strict=True)
    first = next(reader, None)
    if first is None:
        raise InputError("the file is empty", item=path, hint="the first line is the header")
    columns, wrong = _header(first, kind, path)
    if wrong:
        yield Record(f"{path}:1", {}, wrong)
    for row in reader:
        if len(row) == len(columns):
            yield Record(f"{path}:{reader.line_num}", dict(zip(columns, row)))
        elif row:
            yield Record(f"{path}:{reader.line_num}", {}, f"{len(row)} cells where the header has {len(columns)}")


def _lines(handle: IO[str], kind: str, path: str) -> Iterator[Record]:
    number = 0
    while line := handle.readline(_LONGEST):
        number += 1
        if line.strip():
            yield _line(line, kind, f"{path}:{number}")


def _line(line: str, kind: str, place: str) -> Record:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Record(place, {}, f"no JSON: {error}")
    if not isinstance(fields, dict):
        return Record(place, {}, "no JSON object")
    unknown = [name for name in fields if name not in COLUMNS[kind]]
    wrong = f"unknown key {', '.join(map(repr, unknown))} (the keys are {', '.join(COLUMNS[kind])})" if unknown else ""
    return Record(place, fields, wrong)


def read_file(path: str, kind: str, layout: str) -> Iterator[Record]:
    """The records of a file; ``layout`` is csv or jsonl. Raises InputError when the file as a whole cannot be read."""
    try:
        with _open(path) as handle:
            yield from (_csv if layout == "csv" else _lines)(handle, kind, path)
    except UnicodeDecodeError:
        raise InputError("the file is not UTF-8 text", item=path) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"the gzip file is damaged: {error}", item=path) from None
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", item=path) from None
    except csv.Error as error:
        raise InputError(f"no CSV: {error}", item=path) from None


def read_inline(items: list[dict[str, Any]], kind: str) -> Iterator[Record]:
    """The records that a playbook gives, ``requests[0]`` and so on."""
    for number, item in enumerate(items):
        yield Record(f"{kind}[{number}]", {name: value for name, value in item.items() if value is not None})
