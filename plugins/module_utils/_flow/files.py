# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that a module makes: compared by content first, then replaced as a whole, so that none is ever half-written."""

from __future__ import annotations

import hashlib
import os
import tempfile

from .._core.changes import ChangeSet
from .._core.errors import InputError, TenancyError


class FileError(TenancyError):
    """A file could not be read or written."""


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _present(path: str) -> bytes | None:
    try:
        with open(path, "rb") as handle:
            return handle.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror}", item=path, hint="give a path of a regular file") from error


def compare_file(path: str, data: bytes) -> ChangeSet:
    """What writing ``data`` to ``path`` would change: create, update or nothing. Raises InputError and FileError.

    The diff carries size and SHA-256, not the content: these files are long.
    """
    if not os.path.isabs(path):
        raise InputError("not an absolute path", item=path, hint="start the path with /")
    changes = ChangeSet(path)
    before = _present(path)
    if before is None:
        changes.add("create", "bytes", None, len(data))
        changes.add("create", "sha256", None, _digest(data))
    elif before != data:
        changes.compare("update", "bytes", len(before), len(data))
        changes.compare("update", "sha256", _digest(before), _digest(data))
    return changes


def replace_file(path: str, data: bytes) -> None:
    """Write ``data`` beside ``path`` and rename it over: whole or not at all, also on a full disk. Raises FileError.

    Missing folders are made. An existing file keeps its permissions, a new one follows the umask.
    """
    folder = os.path.dirname(path)
    scratch = ""
    try:
        os.makedirs(folder, exist_ok=True)
        handle, scratch = tempfile.mkstemp(prefix="." + os.path.basename(path) + ".", dir=folder)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(scratch, _mode(path))
        os.replace(scratch, path)
        scratch = ""
    except OSError as error:
        hint = "make room or choose another folder; nothing was changed"
        raise FileError(f"cannot be written: {error.strerror}", item=path, hint=hint) from error
    finally:
        if scratch and os.path.exists(scratch):
            os.unlink(scratch)


def _mode(path: str) -> int:
    try:
        return os.stat(path).st_mode & 0o7777
    except FileNotFoundError:
        umask = os.umask(0)
        os.umask(umask)
        return 0o666 & ~umask
