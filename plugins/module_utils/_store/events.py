# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Request batches cut into days and put together again."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

from .._core.errors import InputError
from .._core.names import tenant_name
from .._core.plain import plain
from .interface import RequestBatch
from .request_day import Request, RequestDay
from .samples import milliseconds
from .usage_day import DAY


def canonical(parameters: dict[str, Any], item: str) -> str:
    """Parameters as JSON text that is the same for the same parameters. Raises InputError."""
    try:
        return (
            json.dumps(plain(parameters), sort_keys=True, separators=(",", ":"), allow_nan=False)
            if parameters
            else "{}"
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"the parameters cannot be stored: {error}", item=item, hint="use JSON values") from None


def split_requests(batch: RequestBatch) -> Iterator[tuple[int, list[Request]]]:
    """``(day since 1970, its requests)``. Raises InputError for what cannot be stored."""
    item = f"requests of {tenant_name(batch.profile)}"
    times = milliseconds(batch.times, item)
    for what, given in (("ids", batch.ids), ("parameters", batch.parameters)):
        if given and len(given) != len(times):
            raise InputError(f"{len(given)} {what} for {len(times)} times", item=item)
    ids = batch.ids or [""] * len(times)
    texts = [canonical(each, item) for each in batch.parameters] or ["{}"] * len(times)
    days: dict[int, list[Request]] = {}
    for time, key, text in zip(times, ids, texts):
        days.setdefault(time // DAY, []).append(Request(time % DAY, key, text))
    yield from days.items()


def join_requests(
    profile: str, days: Sequence[tuple[int, bytes]], first: int, last: int, newest: int | None
) -> RequestBatch:
    """The stored requests that lie in [first, last) milliseconds, in time order; of them the ``newest`` ones."""
    found: list[tuple[int, Request]] = []
    place = len(days)
    while place and (newest is None or len(found) < newest):
        # A day and its hours together, from the newest day back; two writers at once may have put a request in both.
        day = days[place - 1][0]
        each: dict[tuple[str, int, str], Request] = {}
        while place and days[place - 1][0] == day:
            place -= 1
            each.update(RequestDay(days[place][1]).requests)
        found += [(day * DAY + request.time, request) for request in each.values()]
    found = [entry for entry in found if first <= entry[0] < last]
    found.sort(key=lambda entry: (entry[0], entry[1].id, entry[1].parameters))
    found = found[max(0, len(found) - newest) :] if newest is not None else found
    texts = {entry[1].parameters: json.loads(entry[1].parameters) for entry in found}
    return RequestBatch(
        profile,
        array("d", [time / 1000 for time, _request in found]),
        [request.id for _time, request in found],
        [texts[request.parameters] for _time, request in found],
    )
