# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One day of one profile's requests: each kept once, with its time, its id and its parameters."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass

from .._core.errors import StoreError
from .interface import Counts

FORMAT = 1
WHOLE_DAY = 20_000  # requests in the bucket of a day; what is more goes into buckets of an hour


@dataclass(frozen=True)
class Request:
    """A request: milliseconds of the day, id ("" = none), parameters as canonical JSON text."""

    time: int
    id: str
    parameters: str

    @property
    def identity(self) -> tuple[str, int, str]:
        """What makes two requests of a profile and day the same."""
        return (self.id, 0, "") if self.id else ("", self.time, self.parameters)


class RequestDay:
    """The stored form of a day or an hour."""

    def __init__(self, data: bytes | None = None) -> None:
        self.requests: dict[tuple[str, int, str], Request] = {}
        if data is not None:
            self._read(data)

    def _read(self, data: bytes) -> None:
        try:
            if data[0] != FORMAT:
                raise StoreError(f"history in the unknown format {data[0]}", hint="upgrade the collection")
            body = json.loads(zlib.decompress(data[1:]))
            sets = body["sets"]
            rows = zip(body["times"], body["ids"] or [""] * len(body["times"]), body["parameters"])
            requests = [Request(time, key, sets[place]) for time, key, place in rows]
        except (IndexError, KeyError, TypeError, ValueError, zlib.error) as error:
            raise StoreError(f"history is damaged: {error}", hint="restore the store from a backup") from error
        self.requests = {request.identity: request for request in requests}

    def encode(self) -> bytes:
        """The bytes to store."""
        ordered = sorted(self.requests.values(), key=lambda request: (request.time, request.id, request.parameters))
        sets = list(dict.fromkeys(request.parameters for request in ordered))
        place = {text: number for number, text in enumerate(sets)}
        ids = [request.id for request in ordered]
        body = {
            "times": [request.time for request in ordered],
            "ids": ids if any(ids) else [],
            "parameters": [place[request.parameters] for request in ordered],
            "sets": sets,
        }
        return bytes([FORMAT]) + zlib.compress(json.dumps(body, separators=(",", ":")).encode(), 6)

    @property
    def level(self) -> int:
        """Requests are never downsampled."""
        return 1

    def merge(self, part: list[Request], room: int | None = None) -> tuple[Counts, list[Request]]:
        """Take requests in, new ones up to ``room`` in all; returns what was done and the requests left out."""
        each = {request.identity: request for request in part}
        counts, left = Counts(same=len(part) - len(each)), []
        for request in each.values():
            present = self.requests.get(request.identity)
            if present == request:
                counts.same += 1
            elif present is not None:
                self.requests[request.identity] = request
                counts.replaced += 1
            elif room is not None and len(self.requests) >= room:
                left.append(request)
            else:
                self.requests[request.identity] = request
                counts.new += 1
        return counts, left
