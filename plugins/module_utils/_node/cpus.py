# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of CPUs."""

from __future__ import annotations

import re

from .._core.errors import InputError


def parse_cpus(text: str) -> str:
    """Normalise a CPU list such as ``0-2,5`` or systemd's ``0-2 5``. Raises InputError."""
    cpus: set[int] = set()
    for part in re.split(r"[,\s]+", text.strip()):
        match = re.fullmatch(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", part)
        if match is None:
            if part:
                raise InputError(f"{text!r} is not a list of CPUs", hint="write it like 0-1,3")
            continue
        cpus.update(range(int(match.group(1)), int(match.group(2) or match.group(1)) + 1))
    ranges: list[list[int]] = []
    for cpu in sorted(cpus):
        if ranges and ranges[-1][1] == cpu - 1:
            ranges[-1][1] = cpu
        else:
            ranges.append([cpu, cpu])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)


def expand_cpus(text: str) -> list[int]:
    """The CPUs of a normalised list."""
    ranges = [part.partition("-") for part in text.split(",") if part]
    return [cpu for low, _dash, high in ranges for cpu in range(int(low), int(high or low) + 1)]
