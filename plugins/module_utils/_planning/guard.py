# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guardrails on moves: budgets, cooldowns, no way back, giving up, freeze windows, pins.

Each question is answered by the name of the guardrail that says no, or "". What was said is counted, so that a plan
can name the guardrails that bit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from .admission import Guest
from .policy import Move
from .policy_reader import read_span


@dataclass(frozen=True)
class Past:
    """One move of a tenant: when (UTC seconds), from where to where, the gain it promised, whether it was useless.
    ``failed``: the target could not run the tenant, which stayed where it was."""

    at: float
    source: str
    target: str
    gain: float = 0.0
    useless: bool = False
    failed: bool = False


def frozen(spans: Sequence[str], now: float) -> bool:
    """Whether ``now`` (UTC seconds) lies in one of the freeze spans."""
    moment = datetime.fromtimestamp(now, tz=timezone.utc)
    second = moment.hour * 3600 + moment.minute * 60 + moment.second
    for span in spans:
        days, start, end = read_span(span)
        if end > start:
            if moment.weekday() in days and start <= second < end:
                return True
        elif (moment.weekday() in days and second >= start) or ((moment.weekday() - 1) % 7 in days and second < end):
            return True
    return False


class Guard:
    """The guardrails for one run over one cell.

    ``pasts`` are the moves of each guest, oldest first; ``rules`` the move policy of each guest, ``common`` that of the
    cell (budgets).
    """

    def __init__(
        self, guests: Sequence[Guest], pasts: Sequence[Sequence[Past]], rules: Sequence[Move], common: Move, now: float
    ) -> None:
        self.guests, self.pasts, self.rules, self.common, self.now = guests, pasts, rules, common, now
        self.bites: Counter[str] = Counter()
        self.inflow: Counter[int] = Counter()
        self.moved: set[int] = set()
        recent = [past.at for history in pasts for past in history]
        count = len(guests)
        hour = sum(at > now - 3600 for at in recent)
        day = sum(at > now - 86400 for at in recent)
        self._left = {
            "move.per_run": max(1, int(common.per_run * count)),
            "move.per_hour": max(1, int(common.per_hour * count)) - hour,
            "move.per_day": max(1, int(common.per_day * count)) - day,
        }
        self._frozen = frozen(common.freeze, now)

    def _say(self, name: str) -> str:
        if name:
            self.bites[name] += 1
        return name

    def may_leave(self, guest: int) -> str:
        """What keeps a tenant where it is."""
        rule, one = self.rules[guest], self.guests[guest]
        if not rule.enabled:
            return self._say("move.enabled")
        if self._frozen or frozen(rule.freeze, self.now):
            return self._say("move.freeze")
        if one.pinned or one.name in rule.pins or one.profile in rule.pins:
            return self._say("move.pins")
        if guest in self.moved:
            return self._say("move.cooldown")
        return self._say(self._too_soon(guest))

    def _too_soon(self, guest: int) -> str:
        rule, history = self.rules[guest], self.pasts[guest]
        if not history:
            return ""
        if any(self.now - past.at < rule.cooldown for past in history if not past.failed):
            return "move.cooldown"
        useless = 0
        for past in reversed(history):
            if not past.useless:
                break
            useless += 1
        if useless >= rule.give_up_after:
            wait = rule.backoff * 2.0 ** min(useless - rule.give_up_after, 16)
            if self.now - history[-1].at < wait:
                return "move.give_up_after"
        return ""

    def may_enter(self, guest: int, vm: int, key: str, gain: float) -> str:
        """What keeps a tenant out of a VM; ``gain`` is what the move promises."""
        rule = self.rules[guest]
        if self.inflow[vm] >= self.common.inflow:
            return self._say("move.inflow")
        for past in self.pasts[guest]:
            enough = rule.return_gain > 0 and gain >= rule.return_gain * past.gain
            if not past.failed and past.source == key and self.now - past.at < rule.return_within and not enough:
                return self._say("move.return_within")
        return ""

    def room(self, moves: int) -> str:
        """Which budget does not have ``moves`` more moves."""
        for name, left in self._left.items():
            if left < moves:
                return self._say(name)
        return ""

    def spend(self, guest: int, vm: int) -> None:
        """Count one move into a VM."""
        for name in self._left:
            self._left[name] -= 1
        self.inflow[vm] += 1
        self.moved.add(guest)

    def refund(self, guest: int, vm: int) -> None:
        """Take back what was spent on a move that is not made after all."""
        for name in self._left:
            self._left[name] += 1
        self.inflow[vm] -= 1
        self.moved.discard(guest)
