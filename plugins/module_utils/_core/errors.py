# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors that logic raises. A module turns them into fail_json, the lookup into AnsibleLookupError."""

from __future__ import annotations


class TenancyError(Exception):
    """What went wrong, on which item, and what to do about it.

    ``item`` names the one thing the error is about (a tenant, a file and line, a VM, a URI without its password);
    ``hint`` says what the reader can do. Both may be empty.
    """

    def __init__(self, message: str, *, item: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.item = item
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.item}: {self.message}" if self.item else self.message
        return f"{text} ({self.hint})" if self.hint else text


class InputError(TenancyError):
    """The caller gave a value that cannot be used."""


class MissingLibrary(TenancyError):
    """A Python library that this plugin needs is absent or too old."""


class CommandError(TenancyError):
    """An outside command failed on the machine where the module runs."""


class StoreError(TenancyError):
    """The store refused or could not do an operation."""


class StoreUnavailable(StoreError):
    """The store cannot be reached or opened."""


class Conflict(StoreError):
    """Another writer was first: read again and decide again."""


class HypervisorError(TenancyError):
    """libvirt refused or could not do an operation."""


class NoRoom(TenancyError):
    """No VM can take a tenant."""
