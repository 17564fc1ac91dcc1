# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python libraries that only the controller needs, checked before they are used."""

from __future__ import annotations

import re
from importlib import metadata

from .errors import MissingLibrary

# Name of the distribution: least version. requirements.txt says the same; a contract test compares them.
MINIMUM = {"numpy": "1.24", "pymongo": "4.6", "libvirt-python": "7.0"}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]+", version)[:3])


def require(*names: str) -> None:
    """Raise MissingLibrary for the first of ``names`` that is absent or older than MINIMUM."""
    for name in names:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            version = ""
        if not version or _numbers(version) < _numbers(MINIMUM[name]):
            raise MissingLibrary(
                f"the Python library {name} >= {MINIMUM[name]} is needed" + (f", {version} is here" if version else ""),
                hint=f"install it for the Python that runs this, for example: pip install '{name}>={MINIMUM[name]}'",
            )
