# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replay: what policies would have done with the history of a store, each step knowing only what came before it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

from .._core.errors import InputError
from .._core.units import parse_bytes, parse_cores, parse_duration, parse_rate
from .._model import series
from .._planning import waiting
from .._planning.admission import Guest, Vm
from .._planning.demand import RESOURCES
from .._planning.policy import Policy
from .._planning.policy_reader import narrowed, read_policy
from .._planning.shadows import GIB, price
from .._planning.simulate import Record, Scenario, simulate
from .._store.interface import Document, Store
from .cells import Entry, capacities, planner_guest, planner_vm
from .history_reader import read_file
from .observe import Observation, Settings, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
else:
    try:
        import numpy as np
    except ImportError:  # the plugin that needs it says so (libraries.require)
        pass

_BEFORE = timedelta(days=60)  # requests before the replay that shadows learn from
_MOST_SLOTS = 20_000
_READERS = {"cpu": parse_cores, "memory": parse_bytes, "io_read": parse_rate, "io_write": parse_rate}


@dataclass(frozen=True)
class History:
    """What is replayed: ``names`` (n,) of tenants, ``profiles`` (n,) their documents, ``usage`` (n, T, R) in slots of
    ``step`` seconds from ``start`` (UTC seconds), ``requests`` {profile: UTC seconds} with those before it."""

    names: list[str]
    profiles: list[Document]
    usage: Floats
    start: float
    step: float
    requests: dict[str, Floats]
    known: dict[str, Document]


@dataclass
class Outcome:
    """What one policy would have done: the simulation's record, and its figures by name."""

    name: str
    record: Record
    figures: dict[str, float] = field(default_factory=dict)


def given(store: Store, files: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """Take history files into a store of their own. Raises InputError naming the first records that are wrong."""
    sources = [
        Source(one["path"], one["kind"], partial(read_file, one["path"], one["kind"], one["format"])) for one in files
    ]
    ages = Settings(now, samples=36500 * 86400.0, hourly=36500 * 86400.0, requests=36500 * 86400.0)
    wrong = [row["error"] for row in Observation(store, ages).run(sources) if row["error"]]
    if wrong:
        raise InputError("; ".join(wrong), hint="correct the records, or leave them out")


def read(store: Store, span: float, step: float, now: datetime, only: Sequence[str]) -> History:
    """The last ``span`` seconds of history up to ``now``, of the profiles ``only`` or of all. Raises InputError."""
    if not step > 0 or span < 2 * step or span / step > _MOST_SLOTS:
        raise InputError(f"{span:g} s in steps of {step:g} s cannot be replayed", hint=f"2 to {_MOST_SLOTS} steps")
    known = {str(one["key"]): one for one in store.find("profiles")}
    missing = sorted(set(only) - set(known))
    if missing:
        raise InputError("there is no such profile", item=missing[0])
    slots = round(span / step)
    end = math.floor(_end(store, sorted(set(only) or known), now) / step) * step
    start = end - slots * step
    first, last = _moment(start), _moment(end)
    found: dict[tuple[str, str], Floats] = {}
    for batch in store.read_usage(sorted(set(only) or known), first, last):
        rows = np.full((slots, len(RESOURCES)), np.nan)
        for column, metric in enumerate(RESOURCES):
            if metric in batch.values:
                values = np.frombuffer(batch.values[metric])
                rows[:, column] = series.grid(np.frombuffer(batch.times), values, start, step, slots)
        found[batch.profile, batch.tenant] = rows
    measured = {profile for profile, tenant in found if tenant}
    # A workload that was measured as a whole is one tenant, unless its tenants were measured.
    kept = sorted(key for key in found if key[1] or key[0] not in measured)
    if not kept:
        raise InputError("there is no usage in that time", hint="replay a longer span, or give files")
    read_back = store.read_requests(sorted(set(only) or known), first - _BEFORE, last)
    return History(
        [tenant or profile for profile, tenant in kept],
        [known[profile] for profile, _tenant in kept],
        np.stack([found[key] for key in kept]),
        start,
        step,
        {batch.profile: np.frombuffer(batch.times) for batch in read_back},
        known,
    )


def _end(store: Store, names: Sequence[str], now: datetime) -> float:
    """The newest sample at or before ``now``: an old trace ends when it ended."""
    newest = store.newest()
    reach = min(now, newest) if newest is not None else now
    times = [batch.times[-1] for batch in store.read_usage(names, reach - timedelta(days=2), reach) if batch.times]
    return max(times, default=reach.timestamp())


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=timezone.utc)


def machines(
    documents: Mapping[str, Document], capacity: Mapping[str, Any] | None, history: History
) -> tuple[Floats, list[Vm]]:
    """The VMs to replay in: as many as may be needed of a given ``capacity``, which provide all that is asked for, else
    the cell's own."""
    if capacity is None:
        if not documents:
            raise InputError("the cell has no VM", hint="give capacity, the size of the VMs to replay in")
        ordered = [documents[key] for key in sorted(documents) if documents[key]["state"] != "lost"]
        return capacities(ordered), [planner_vm(one) for one in ordered]
    size = np.array([_amount(name, capacity.get(name)) for name in RESOURCES])
    most = np.nan_to_num(history.usage).sum(axis=0).max(axis=0)
    count = 4 + 3 * math.ceil(float((most / size).max()))
    return np.tile(size, (min(count, len(history.names)), 1)), []


def _amount(name: str, value: Any) -> float:
    if value is None:
        return math.inf
    try:
        amount = float(_READERS[name](value))
    except InputError as error:
        raise InputError(error.message, item=f"capacity.{name}", hint=error.hint) from error
    if amount <= 0:
        raise InputError("must be above zero", item=f"capacity.{name}")
    return amount


def policies(items: Iterable[Mapping[str, Any]], cell: str) -> dict[str, Policy]:
    """The policies by name. Raises InputError for one that is wrong, with its name."""
    found: dict[str, Policy] = {}
    for item in items or [{"name": "default"}]:
        name = str(item["name"])
        if name in found:
            raise InputError("is listed twice", item=name)
        try:
            found[name] = read_policy(item.get("policy"), cell=cell)
        except InputError as error:
            raise InputError(error.message, item=f"{name}: {error.item}", hint=error.hint) from error
    return found


def replay(history: History, capacity: Floats, vms: Sequence[Vm], name: str, policy: Policy) -> Outcome:
    """What a policy would have done."""
    guests = []
    for tenant, profile in zip(history.names, history.profiles):
        guest = planner_guest(Entry(tenant, profile, {}, int(profile["priority"])), policy)
        guests.append(guest if vms else replace(guest, os="", libraries=frozenset(), zone=""))
    record = simulate(_scenario(history, capacity, vms, guests), policy)
    return Outcome(name, record, {**record.figures(), **shadowed(history, policy)})


def _scenario(history: History, capacity: Floats, vms: Sequence[Vm], guests: Sequence[Guest]) -> Scenario:
    return Scenario(history.usage, capacity, guests, history.step, history.start, vms=vms)


def shadowed(history: History, policy: Policy) -> dict[str, float]:
    """Requests in the replayed time, those that would have found no shadow, and GiB-hours that shadows waited.

    Every request is taken to start its tenant anew, and each decision knows the requests before it alone.
    """
    gaps = {name: np.diff(times[times < history.start]) for name, times in history.requests.items()}
    prior = waiting.common(gaps.values())
    requests = cold = held = 0.0
    for name, times in history.requests.items():
        rule, profile = narrowed(policy, profile=name).shadow, history.known[name]
        worth = price(rule, int(profile["priority"]), float(rule.memory)) if rule.enabled else 0.0
        kept = waiting.replay(times, times, np.array([worth]), prior, history.start)
        first = float(len(times) > 0 and times[0] >= history.start)  # nothing is known before the first one
        requests += kept.requests + first
        cold += float(kept.cold[0]) + first
        held += float(kept.held[0]) * rule.memory / GIB / 3600.0
    share = cold / requests if requests else 0.0
    return {"requests": requests, "cold_starts": cold, "cold_share": share, "waste_gib_hours": held}


def options(params: Mapping[str, Any]) -> tuple[float, float]:
    """The span and the step in seconds. Raises InputError."""
    return parse_duration(params["span"]), parse_duration(params["step"])
