# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of an image, in a folder or in an archive. An image is not trusted: no name and no link leads out of it."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from lzma import LZMAError
from typing import IO, Any

from .._core.errors import CommandError
from .layers import inside

_HOPS = 8  # links to links in an archive
_MOST_JSON = 8 * 1024 * 1024


class Source:
    """The files of an archive, or of a layout folder."""

    def __init__(self, path: str, archive: tarfile.TarFile | None) -> None:
        self.path = path
        self._archive = archive

    @property
    def packed(self) -> bool:
        """Whether it is an archive, whose names mean nothing outside it."""
        return self._archive is not None

    def open(self, name: str) -> IO[bytes] | None:
        """A file; None where there is none of this name. No name and no link leads out of the image."""
        if self._archive is None:
            path = inside(self.path, name, True)
            return open(path, "rb") if os.path.isfile(path) else None
        members = {os.path.normpath(member.name): member for member in self._archive.getmembers()}
        member = members.get(os.path.normpath(name))
        for _hop in range(_HOPS):  # docker save has links where layers are the same
            if member is None or member.isfile():
                break
            target = os.path.join(os.path.dirname(member.name), member.linkname) if member.issym() else member.linkname
            member = members.get(os.path.normpath(target))
        return self._archive.extractfile(member) if member is not None and member.isfile() else None

    def has(self, name: str) -> bool:
        """Whether there is a file of this name."""
        handle = self.open(name)
        if handle is not None:
            handle.close()
        return handle is not None

    def json(self, name: str, digest: str = "") -> Any:
        """A JSON file, checked against its digest. Raises CommandError."""
        handle = self.open(name)
        if handle is None:
            raise CommandError(f"the image has no {name}", item=self.path)
        with handle:
            data = handle.read(_MOST_JSON)
        if digest and hashlib.sha256(data).hexdigest() != digest:
            raise CommandError(f"{name} is damaged: its SHA-256 is another one", item=self.path)
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise CommandError(f"{name} is no JSON: {error}", item=self.path) from error


@contextmanager
def source_of(path: str) -> Iterator[Source]:
    """Open an image. Raises CommandError for what cannot be read, also while it is read."""
    if os.path.isdir(path):
        yield Source(path, None)
        return
    try:
        with tarfile.open(path, "r:*") as archive:
            yield Source(path, archive)
    except (tarfile.TarError, EOFError, LZMAError, zlib.error) as error:
        hint = "gzip, bzip2 and xz are known; unpack what is packed otherwise"
        raise CommandError(f"is no archive that can be read: {error}", item=path, hint=hint) from error
    except OSError as error:
        raise CommandError(f"cannot read the image: {error.strerror}", item=path) from error
