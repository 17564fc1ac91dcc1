# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a schedule keeps between its ticks: how the last run ended, failures in a row, logs, metrics for Prometheus."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, BinaryIO

from .._core.units import format_time, parse_time
from .exposition import Family, expose
from .files import replace_file

_FILE = "state.json"
_LOG = re.compile(r"run-[0-9TZ]+(-[0-9]+)?\.log")
OUTCOMES = (
    "succeeded",
    "failed",
    "time limit",
    "lease lost",
    "stopped",
    "no store",
    "paused",
    "backing off",
    "overlap",
)


@dataclass
class State:
    """Times are UTC ISO 8601 text, "" for never; ``runs`` counts ticks by outcome."""

    started_at: str = ""
    ended_at: str = ""
    succeeded_at: str = ""
    outcome: str = ""
    status: int = 0
    seconds: float = 0.0
    failures: int = 0
    not_before: str = ""
    paused: bool = False
    runs: dict[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: str) -> State:
        """The state in a folder. One that is absent or cut short is a new one: it decides nothing but the back-off."""
        try:
            with open(os.path.join(folder, _FILE), encoding="utf-8") as handle:
                values = json.load(handle)
        except (FileNotFoundError, ValueError):
            return cls()
        known = asdict(cls())
        return cls(**{key: value for key, value in values.items() if key in known})

    def write(self, folder: str) -> None:
        """Keep it; whole or not at all."""
        text = json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"
        replace_file(os.path.join(folder, _FILE), text.encode())

    def document(self) -> dict[str, Any]:
        """For people and programs."""
        return asdict(self)

    def skipped(self, outcome: str) -> None:
        """A tick that ran nothing."""
        self.paused = outcome == "paused"
        self.runs[outcome] = self.runs.get(outcome, 0) + 1

    def ended(self, outcome: str, status: int, begin: datetime, end: datetime) -> None:
        """A run, or one that the store was away from or refused."""
        self.skipped(outcome)
        self.started_at, self.ended_at = format_time(begin), format_time(end)
        self.outcome, self.status = outcome, status
        self.seconds = round((end - begin).total_seconds(), 3)
        self.failures = self.failures + 1 if status else 0
        self.not_before = ""
        if not status:
            self.succeeded_at = self.ended_at

    def open_log(self, folder: str, moment: str, most: int) -> BinaryIO:
        """A new log; of the older ones the newest ``most - 1`` stay."""
        logs = os.path.join(folder, "logs")
        os.makedirs(logs, exist_ok=True)
        known = sorted(name for name in os.listdir(logs) if _LOG.fullmatch(name))
        for name in known[: max(0, len(known) - most + 1)]:
            os.unlink(os.path.join(logs, name))
        return open(os.path.join(logs, f"run-{re.sub(r'[^0-9TZ]', '', moment)}.log"), "ab", buffering=0)

    def export(self, path: str, cell: str) -> None:
        """Write the metrics for node_exporter's textfile collector."""
        replace_file(path, expose(self.families(cell)).encode())

    def families(self, cell: str) -> list[Family]:
        """The metrics of the schedule."""
        labels = {"cell": cell}
        runs = Family("tenancy_reconcile_ticks_total", "counter", "Ticks of the schedule by what came of them.")
        for outcome in OUTCOMES:
            runs.add(self.runs.get(outcome, 0), outcome=outcome.replace(" ", "_"), **labels)

        def gauge(name: str, text: str, value: float) -> Family:
            family = Family(f"tenancy_reconcile_{name}", "gauge", text)
            family.add(value, **labels)
            return family

        def moment(text: str) -> float:
            return parse_time(text).timestamp() if text else 0.0

        return [
            runs,
            gauge("last_end_timestamp_seconds", "When the last run ended.", moment(self.ended_at)),
            gauge("last_success_timestamp_seconds", "When the last run succeeded.", moment(self.succeeded_at)),
            gauge("last_duration_seconds", "How long the last run took.", self.seconds),
            gauge("last_exit_status", "Exit status of the last run; 124 is the time limit.", self.status),
            gauge("consecutive_failures", "Runs that failed one after another.", self.failures),
            gauge("paused", "Whether the last tick found the schedule paused.", int(self.paused)),
        ]
