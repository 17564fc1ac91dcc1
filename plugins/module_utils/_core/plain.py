# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values made plain at the boundary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from datetime import date, datetime
from typing import Any


def plain(value: Any) -> Any:
    """Return ``value`` as plain dict, list, str, int, float, bool, None, date or datetime, recursively.

    ansible-core 2.19 and later hand lookups lazy containers and tagged scalars (subclasses of the built-in types) that
    drivers and serialisers refuse. A type that is none of these raises TypeError.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (str, bytes)):
        return str(value) if isinstance(value, str) else bytes(value)
    if isinstance(value, (int, float)):
        return int(value) if isinstance(value, int) else float(value)
    if isinstance(value, datetime):
        return datetime.fromisoformat(value.isoformat())
    if isinstance(value, date):
        return date.fromisoformat(value.isoformat())
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (Sequence, Set)):
        return [plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} cannot be made plain")
