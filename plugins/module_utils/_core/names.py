# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that become parts of paths, unit names and keys."""

from __future__ import annotations

import re

from .errors import InputError

# No dash: in a systemd slice name a dash is a level of the hierarchy.
_TENANT = re.compile(r"[a-z0-9_]{1,48}")


def tenant_name(value: object) -> str:
    """Return a valid tenant, shadow or profile name. Raises InputError."""
    if not isinstance(value, str) or not _TENANT.fullmatch(value):
        raise InputError("not a valid name", item=repr(value), hint="use 1 to 48 of a-z, 0-9 and _")
    return value
