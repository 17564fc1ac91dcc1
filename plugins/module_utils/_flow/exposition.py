# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics as Prometheus' text exposition format, for node_exporter's textfile collector."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

Sample = tuple[dict[str, str], float]


@dataclass
class Family:
    """One metric: its name, ``gauge`` or ``counter``, what it says, and its samples."""

    name: str
    kind: str
    text: str
    samples: list[Sample] = field(default_factory=list)

    def add(self, value: float | None, **labels: str) -> None:
        """Add a sample; a value that is unknown (None, NaN) is left out, since an absent series says just that."""
        if value is not None and not math.isnan(value):
            self.samples.append((labels, float(value)))


def _label(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)


def expose(families: Iterable[Family]) -> str:
    """The text of all families that have a sample, in the order given; the same samples give the same text."""
    lines: list[str] = []
    for family in families:
        if not family.samples:
            continue
        lines += [f"# HELP {family.name} {family.text}", f"# TYPE {family.name} {family.kind}"]
        for labels, value in family.samples:
            told = ",".join(f'{key}="{_label(text)}"' for key, text in sorted(labels.items()))
            lines.append(f"{family.name}{{{told}}} {_number(value)}" if told else f"{family.name} {_number(value)}")
    return "\n".join([*lines, ""])
