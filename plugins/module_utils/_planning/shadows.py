# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shadows: which are worth holding, from when, until when, in which tier, within which cap.

The newsvendor rule: holding is worth it while what a cold start costs (its seconds x priority x the chance that the
request comes) exceeds what waiting costs (memory x seconds). waiting.py says when that is so for requests that follow
no schedule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .policy import Shadow
from .waiting import Hold

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
else:
    try:
        import numpy as np
    except ImportError:  # the plugin that needs it says so (libraries.require)
        pass

GIB = 1024.0**3


@dataclass(frozen=True)
class Wish:
    """A shadow that would be worth holding: for profile ``profile``, ready by ``ready_by`` and given up at
    ``expires_at`` (UTC seconds), ``value`` what it is expected to save over what it costs."""

    profile: str
    expected_at: float
    ready_by: float
    expires_at: float
    tier: str
    memory: float
    value: float
    chance: float


def cold_cost(policy: Shadow, priority: int, cold_start: float | None = None) -> float:
    """What one cold start costs, in GB-seconds: its seconds x twice the priority's share x the exchange rate."""
    seconds = policy.cold_start if cold_start is None else cold_start
    return seconds * policy.second_cost * priority / 50.0


def held_cost(memory: float) -> float:
    """What a second of waiting costs, in GB-seconds."""
    return memory / GIB


def tier(wait: float, policy: Shadow) -> str:
    """The tier for an expected wait: none beyond the reach, else frozen with its memory reclaimed.

    Measured, a frozen sandbox holds less and wakes faster than one that is created but not started, and a checkpoint on
    disk is no faster to restore than a cold start, so there is no case for another tier.
    """
    return "frozen" if wait <= policy.ahead else "none"


def price(policy: Shadow, priority: int, memory: float) -> float:
    """What a cold start costs, in seconds of holding a shadow of ``memory`` bytes."""
    return cold_cost(policy, priority) / held_cost(max(memory, 1.0))


def irregular(
    profile: str, last: float, hold: Hold | None, *, now: float, priority: int, policy: Shadow
) -> Wish | None:
    """A shadow for the request after the one at ``last`` (UTC seconds) that follows no schedule.

    None unless ``hold`` is due within ``lead``. It is given up at the end of the span or of its time to live; the next
    run judges anew whether it still pays.
    """
    if not policy.enabled or hold is None or last + hold.start - policy.lead > now:
        return None
    memory = float(policy.memory)
    value = hold.chance * cold_cost(policy, priority) - held_cost(memory) * hold.held
    begin, end = max(now, last + hold.start), min(last + hold.end, now + policy.ttl)
    if value <= 0 or end <= begin:
        return None
    return Wish(profile, min(begin + hold.held, end), begin, end, "frozen", memory, value, hold.chance)


def wish(
    profile: str,
    expected: tuple[float, float, float],
    chance: float,
    *,
    now: float,
    priority: int,
    policy: Shadow,
    cold_start: float | None = None,
) -> Wish | None:
    """A shadow, made now, for one expected arrival (expected, low, high: UTC seconds) that comes with ``chance``.

    None where it does not pay. It is due ``lead`` before the earliest expected moment and given up ``lead`` after the
    latest, or after its time to live.
    """
    centre, low, high = expected
    kind = tier(max(0.0, low - now), policy)
    expires = min(high + policy.lead, now + policy.ttl)
    if not policy.enabled or kind == "none" or chance < policy.confidence or expires <= max(now, low):
        return None
    memory = float(policy.memory)
    saved = chance * cold_cost(policy, priority, cold_start)
    held = held_cost(memory) * (chance * max(0.0, centre - now) + (1 - chance) * (expires - now))
    if saved <= held:
        return None
    return Wish(profile, centre, max(now, low - policy.lead), expires, kind, memory, saved - held, chance)


def within_cap(wishes: Sequence[Wish], cap: float) -> tuple[list[Wish], list[Wish]]:
    """The wishes that fit into ``cap`` bytes, the most valuable per byte first, and those that do not."""
    kept: list[Wish] = []
    refused: list[Wish] = []
    left = cap
    for one in sorted(wishes, key=lambda item: (-item.value / max(item.memory, 1.0), item.expected_at, item.profile)):
        if one.memory <= left:
            left -= one.memory
            kept.append(one)
        else:
            refused.append(one)
    return kept, refused


def pool_size(demand: Floats, hit_rate: float) -> int:
    """The smallest stock of a pool whose demand over the lead time (samples) is met with ``hit_rate``."""
    if not len(demand):
        return 0
    return int(np.ceil(np.quantile(demand, hit_rate, method="higher")))
