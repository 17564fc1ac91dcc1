# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units at the boundary: bytes, bytes per second, cores, durations, times.

Everything behind the boundary is a plain number in the base unit: bytes, bytes per second, cores (float), seconds,
and aware UTC datetimes.
"""

from __future__ import annotations

import math
import re
from datetime import datetime, timezone

from .errors import InputError

# Decimal suffixes are base 1000 and binary ones base 1024, as in SI and IEC 80000-13; a bare K, M, G, T is binary for
# sizes, which is how systemd and libvirt users read them.
_DECIMAL = {"kb": 1000, "mb": 1000**2, "gb": 1000**3, "tb": 1000**4}
_BINARY = {"kib": 1024, "mib": 1024**2, "gib": 1024**3, "tib": 1024**4}
_SIZES = {"": 1, "b": 1, **_DECIMAL, **_BINARY, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_SECONDS = {"": 1, "ms": 0.001, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")
_INT64 = 2**63 - 1


def _quantity(value: object, units: dict[str, float], what: str, example: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise InputError(f"{value!r} is not {what}", hint=f"write it like {example}")
    match = _QUANTITY.fullmatch(str(value)) if isinstance(value, str) else None
    if match is None:
        try:
            number = float(value)
        except (ValueError, OverflowError):
            raise InputError(f"{value!r} is not {what}", hint=f"write it like {example}") from None
        unit = ""
    else:
        number, unit = float(match.group(1)), match.group(2).lower()
    if unit not in units:
        raise InputError(f"{value!r} has the unknown unit {unit!r}", hint=f"write {what} like {example}")
    if not math.isfinite(number) or number < 0 or number * units[unit] > _INT64:
        raise InputError(
            f"{value!r} is not {what}: it must be finite and not negative", hint=f"write it like {example}"
        )
    return number * units[unit]


def parse_bytes(value: object) -> int:
    """Read a size in bytes from ``512MiB``, ``1.5G``, ``20MB`` or a number of bytes. Raises InputError."""
    return round(_quantity(value, dict(_SIZES), "a size", "512MiB"))


def parse_rate(value: object) -> int:
    """Read a rate in bytes per second from ``20MB``, ``20MB/s`` or a number. Suffixes K, M, G are base 1000 here,
    as systemd reads I/O bandwidths. Raises InputError."""
    text = value[:-2] if isinstance(value, str) and value.strip().endswith("/s") else value
    units: dict[str, float] = {**_SIZES, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
    return round(_quantity(text, units, "a rate in bytes per second", "20MB"))


def parse_cores(value: object) -> float:
    """Read a number of CPU cores from ``0.5``, ``2`` or ``250m`` (thousandths). Raises InputError."""
    return _quantity(value, {"": 1, "m": 0.001}, "a number of cores", "0.5")


def parse_duration(value: object) -> float:
    """Read seconds from ``90``, ``5m``, ``24h``, ``7d``, ``1.5h``, ``200ms``. Raises InputError."""
    return _quantity(value, dict(_SECONDS), "a duration", "5m")


def parse_time(value: object) -> datetime:
    """Read an aware UTC datetime, cut to milliseconds, from ISO 8601 text or UTC seconds. Raises InputError.

    Text without an offset is taken as UTC. Milliseconds are what both stores keep.
    """
    try:
        if isinstance(value, datetime):
            moment = value
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            moment = datetime.fromtimestamp(value, tz=timezone.utc)
        elif isinstance(value, str) and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value.strip()):
            moment = datetime.fromtimestamp(float(value), tz=timezone.utc)
        elif isinstance(value, str):
            moment = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", value.strip()))
        else:
            raise ValueError(value)
        moment = moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)
    except (ValueError, OverflowError, OSError):
        raise InputError(f"{value!r} is not a time", hint="write UTC ISO 8601 like 2026-01-31T09:00:00Z") from None
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def format_time(moment: datetime) -> str:
    """Write UTC ISO 8601 with a Z, milliseconds only where there are any."""
    moment = moment.astimezone(timezone.utc)
    spec = "milliseconds" if moment.microsecond else "seconds"
    return moment.isoformat(timespec=spec).replace("+00:00", "Z")


def format_bytes(value: float | None) -> str:
    """Write a size for people: exact binary units where they divide it, else rounded; None is ``infinity``."""
    if value is None:
        return "infinity"
    for name, factor in (("TiB", 1024**4), ("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if value >= factor:
            number = value / factor
            return f"{number:.0f}{name}" if number == int(number) else f"{number:.1f}{name}"
    return f"{value:.0f}B"


def format_rate(value: float | None) -> str:
    """Write a rate for people in decimal units; None is ``infinity``."""
    if value is None:
        return "infinity"
    for name, factor in (("GB/s", 1000**3), ("MB/s", 1000**2), ("kB/s", 1000)):
        if value >= factor:
            return f"{value / factor:.4g}{name}"
    return f"{value:.0f}B/s"


def format_cores(value: float | None) -> str:
    """Write cores for people; None is ``infinity``."""
    return "infinity" if value is None else f"{value:.4g}"


def format_duration(seconds: float) -> str:
    """Write a duration for people with its largest fitting unit."""
    for name, factor in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= factor:
            return f"{seconds / factor:.4g}{name}"
    return f"{seconds:.4g}s" if seconds >= 1 or seconds == 0 else f"{seconds * 1000:.4g}ms"
