# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Series and request times that are given with a question instead of coming from the store."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

try:
    import numpy as np
except ImportError:  # the plugin that needs it says so (libraries.require)
    pass

from .._core.errors import InputError
from .._core.units import parse_time

if TYPE_CHECKING:
    from .._model.types import Floats

_HINT = "give a list of numbers, one per step up to now, or of {time: ..., value: ...}"


def _number(value: Any, item: str) -> float:
    if value is None or value == "":
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise InputError(f"{value!r} is not a number", item=item, hint=_HINT)
    try:
        return float(value)
    except ValueError:
        raise InputError(f"{value!r} is not a number", item=item, hint=_HINT) from None


def _moment(time: Any, item: str) -> float:
    try:
        return parse_time(time).timestamp()
    except InputError as error:
        raise InputError(error.message, item=item, hint=error.hint) from error


def _sample(sample: Any, item: str) -> tuple[float, float]:
    if isinstance(sample, Mapping):
        unknown = sorted(set(sample) - {"time", "value"})
        if unknown or set(sample) != {"time", "value"}:
            what = f"unknown key {unknown[0]!r}" if unknown else "time or value is missing"
            raise InputError(what, item=item, hint=_HINT)
        time, value = sample["time"], sample["value"]
    elif isinstance(sample, list) and len(sample) == 2:
        time, value = sample
    else:
        raise InputError(f"{sample!r} is no sample", item=item, hint=_HINT)
    return _moment(time, item), _number(value, item)


def read_series(name: str, given: Any) -> tuple[Floats | None, Floats]:
    """Times (UTC seconds; None when only values were given) and values (NaN = missing) of one series, made plain.
    Raises InputError naming the series and the sample."""
    if not isinstance(given, list) or not given:
        raise InputError("it is not a list of samples, or an empty one", item=f"series {name}", hint=_HINT)
    if all(not isinstance(sample, (Mapping, list)) for sample in given):
        numbers = [_number(value, f"series {name}, sample {index}") for index, value in enumerate(given)]
        return None, np.array(numbers)
    samples = [_sample(sample, f"series {name}, sample {index}") for index, sample in enumerate(given)]
    return np.array([time for time, _value in samples]), np.array([value for _time, value in samples])


def named(given: Any) -> dict[str, Any]:
    """The series by name: a mapping of series, or one series, which is called ``series``."""
    if isinstance(given, Mapping):
        if not given:
            raise InputError("series is empty", hint=_HINT)
        return {str(name): series for name, series in given.items()}
    return {"series": given}


def read_times(given: Any) -> Floats:
    """Request times (UTC seconds) from a list of times, made plain. Raises InputError naming the one that is bad."""
    if not isinstance(given, list):
        raise InputError("requests is not a list of times", hint="for example [2026-01-31T09:00:00Z]")
    return np.array([_moment(time, f"requests, item {index}") for index, time in enumerate(given)])
