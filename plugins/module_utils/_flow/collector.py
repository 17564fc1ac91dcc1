# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of history made samples and requests: times, units and the profile they belong to.

A record is checked as a whole when it is taken: the store takes what a collector gives it, so that one bad record costs
no other.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from .._core.errors import InputError
from .._core.names import tenant_name
from .._core.plain import plain
from .._core.units import parse_bytes, parse_cores, parse_rate, parse_time
from .._store.events import canonical
from .._store.interface import METRICS, RequestBatch, Store, UsageBatch
from .profiles import Profiles

_PARSERS = {"cpu": parse_cores, "memory": parse_bytes, "io_read": parse_rate, "io_write": parse_rate}
_DECIMALS = {"cpu": 6, "memory": 0, "io_read": 0, "io_write": 0}  # millionths of a core, whole bytes
_LARGEST = 2.0**53


@lru_cache(maxsize=65536)
def _text_seconds(text: str) -> float:
    return parse_time(text).timestamp()


def seconds(value: object) -> float:
    """UTC seconds of a time as it stands in a record. Raises InputError."""
    return _text_seconds(value) if isinstance(value, str) else parse_time(value).timestamp()


def number(value: object, metric: str) -> float:
    """A measured value in the base unit of its metric, NaN for an empty one. Raises InputError."""
    if value is None or value == "":
        return math.nan
    try:
        parsed = float(value) if isinstance(value, (str, int, float)) and value is not True else math.nan
    except (ValueError, OverflowError):
        parsed = math.nan
    if not 0 <= parsed <= _LARGEST:
        # With a unit, or wrong: the parser of the unit says what is wrong.
        try:
            parsed = float(_PARSERS[metric](value))
        except InputError as error:
            raise InputError(f"{metric}: {error.message}", hint=error.hint) from None
    return round(parsed, _DECIMALS[metric])


def parameters(value: object) -> dict[str, Any]:
    """The parameters of a request: a mapping, or its JSON text. Raises InputError."""
    if value is None or value == "":
        return {}
    try:
        mapping = json.loads(value) if isinstance(value, str) else value
        if not isinstance(mapping, Mapping):
            raise InputError("parameters: not a mapping of names to values", hint='write {"name": "value"}')
        return {str(name): plain(item) for name, item in mapping.items()}
    except ValueError:
        raise InputError(f"parameters: {str(value)[:60]!r} is no JSON", hint='write {"name": "value"}') from None
    except RecursionError:
        raise InputError("parameters: they are nested too deeply") from None


class Collector:
    """Samples and requests on their way to the store, by series. ``offset`` seconds are added to each time."""

    def __init__(self, store: Store, profiles: Profiles, offset: float = 0.0) -> None:
        self.store = store
        self.profiles = profiles
        self.offset = offset
        self.usage: dict[tuple[str, str], UsageBatch] = {}
        self.requests: dict[str, RequestBatch] = {}
        self.rows = 0
        self._names: dict[tuple[str, ...], str | InputError] = {}
        self._tenants: dict[str, str | None] = {}

    def _profile(self, *key: str) -> str:
        """The profile's name for what a record says, looked up once; errors are the same again."""
        if key not in self._names:
            try:
                self._names[key] = str(self._look_up(*key)["key"])
            except InputError as error:
                self._names[key] = error
        found = self._names[key]
        if isinstance(found, InputError):
            raise InputError(found.message, item=found.item, hint=found.hint)
        return found

    def _look_up(self, what: str, name: str, given: str = "") -> dict[str, Any]:
        if what == "profile":
            return self.profiles.by_name(name)
        if what == "usage":
            return self.profiles.of_usage(name)
        return self.profiles.of_request(name, json.loads(given))

    def _tenant(self, name: str) -> str | None:
        if name not in self._tenants:
            document = self.store.get("tenants", name)
            self._tenants[name] = document["profile"] if document else None
        return self._tenants[name]

    def _of_usage(self, fields: Mapping[str, Any], tenant: str) -> str:
        if fields.get("profile"):
            return self._profile("profile", str(fields["profile"]))
        profile = self._tenant(tenant) if tenant else None
        if profile is not None:
            return profile
        if fields.get("workload"):
            return self._profile("usage", str(fields["workload"]))
        if tenant:
            raise InputError(f"there is no tenant {tenant!r} in the store", hint="give its workload or profile too")
        raise InputError("neither workload nor profile nor tenant is given")

    def add_usage(self, fields: Mapping[str, Any], moment: float) -> None:
        """Take one sample. Raises InputError, and takes nothing then."""
        tenant = str(fields.get("tenant") or "")
        if tenant:
            tenant_name(tenant)
        values = [number(fields.get(metric), metric) for metric in METRICS]
        key = (self._of_usage(fields, tenant), tenant)
        batch = self.usage.get(key)
        if batch is None:
            batch = self.usage[key] = UsageBatch(*key, values={metric: array("d") for metric in METRICS})
        batch.times.append(moment)
        for metric, value in zip(METRICS, values):
            batch.values[metric].append(value)
        self.rows += 1

    def add_request(self, fields: Mapping[str, Any], moment: float) -> None:
        """Take one request. Raises InputError, and takes nothing then."""
        given = parameters(fields.get("parameters"))
        text = canonical(given, "parameters")
        if fields.get("profile"):
            name = self._profile("profile", str(fields["profile"]))
        elif fields.get("workload"):
            name = self._profile("request", str(fields["workload"]), text)
        else:
            raise InputError("neither workload nor profile is given")
        batch = self.requests.setdefault(name, RequestBatch(name))
        batch.times.append(moment)
        batch.ids.append(str(fields.get("id") or ""))
        batch.parameters.append(given)
        self.rows += 1

    def take_usage(self) -> list[UsageBatch]:
        """The samples so far, which are forgotten here."""
        batches = list(self.usage.values())
        for batch in batches:
            batch.values = {
                metric: column for metric, column in batch.values.items() if not all(map(math.isnan, column))
            }
        self.usage, self.rows = {}, 0
        return batches

    def take_requests(self) -> list[RequestBatch]:
        """The requests so far, which are forgotten here."""
        batches = list(self.requests.values())
        self.requests, self.rows = {}, 0
        return batches
