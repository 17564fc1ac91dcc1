# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers of images, unpacked so that nothing in them reaches beyond the folder they are unpacked into."""

from __future__ import annotations

import os
import shutil
import tarfile
from typing import IO

from .._core.errors import CommandError

_HOPS = 40  # as many symbolic links as Linux follows in one path
_DEEPEST = 256  # folders in one another; removing a tree goes through them by recursion
_OPAQUE, _WHITEOUT = ".wh..wh..opq", ".wh."
_BLOCK = 1024 * 1024


def inside(root: str, name: str, follow_last: bool) -> str:
    """Where ``name`` is if ``root`` is ``/``: symbolic links are followed, and none of them leads out.

    Raises CommandError for a loop of links, and for what lies deeper than any program needs."""
    waiting, reached, hops = name.split("/")[::-1], list[str](), 0
    while waiting:
        part = waiting.pop()
        if part in ("", "."):
            continue
        if part == "..":
            reached = reached[:-1]
            continue
        path = os.path.join(root, *reached, part)
        if os.path.islink(path) and (waiting or follow_last):
            hops += 1
            if hops > _HOPS:
                raise CommandError("a symbolic link of this image leads in a circle", item=name)
            target = os.readlink(path)
            reached = [] if target.startswith("/") else reached
            waiting += target.split("/")[::-1]
            continue
        reached.append(part)
        if len(reached) > _DEEPEST:
            raise CommandError(f"this image has more than {_DEEPEST} folders in one another", item=f"{name[:60]}...")
    return os.path.join(root, *reached)


def _clear(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def _place(root: str, name: str) -> str:
    """The path for a member, with its parent folders."""
    folder, _slash, last = name.rstrip("/").rpartition("/")
    parent = inside(root, folder, True)
    if not os.path.isdir(parent):
        _clear(parent)
        os.makedirs(parent, mode=0o755)
    return os.path.join(parent, last)


def _file(member: tarfile.TarInfo, content: IO[bytes], path: str) -> None:
    _clear(path)
    with open(path, "xb") as handle:
        shutil.copyfileobj(content, handle, _BLOCK)
        os.fchmod(handle.fileno(), member.mode & 0o777)  # without set-user-id and the like


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo, root: str, path: str) -> None:
    if member.isdir():
        if not os.path.isdir(path) or os.path.islink(path):
            _clear(path)
            os.mkdir(path)
        os.chmod(path, member.mode & 0o777 | 0o700)
    elif member.isfile():
        content = archive.extractfile(member)
        if content is not None:
            _file(member, content, path)
    elif member.issym():
        _clear(path)
        os.symlink(member.linkname, path)
    elif member.islnk():
        source = inside(root, member.linkname, False)
        if not os.path.lexists(source):
            raise CommandError(f"a layer links to {member.linkname}, which is not in the image", item=member.name)
        if source != path:
            _clear(path)
            os.link(source, path, follow_symlinks=False)


def _whiteout(path: str) -> bool:
    """Remove what a layer says is gone."""
    folder, name = os.path.split(path)
    if name == _OPAQUE:
        for entry in os.listdir(folder):
            _clear(os.path.join(folder, entry))
    elif name.startswith(_WHITEOUT):
        gone = name[len(_WHITEOUT) :]
        if gone in ("", ".", ".."):  # the folder itself, or the one above it: all other images
            raise CommandError(f"a layer removes {gone!r}, which is no file of its folder", item=name)
        _clear(os.path.join(folder, gone))
    else:
        return False
    return True


def apply_layer(stream: IO[bytes], root: str, label: str) -> None:
    """Unpack one layer over ``root``. Devices, sockets and pipes are left out: a sandbox has its own.

    Raises CommandError where it cannot be read or written."""
    try:
        with tarfile.open(fileobj=stream, mode="r|*") as archive:
            for member in archive:
                name = os.path.normpath("/" + member.name)[1:]
                if not name:
                    continue
                path = _place(root, name)
                if os.path.basename(path) in ("", ".", "..") or _whiteout(path):
                    continue
                _member(archive, member, root, path)
    except tarfile.TarError as error:
        hint = "gzip, bzip2 and xz are known; write the image with one of them"
        raise CommandError(f"a layer cannot be read: {error}", item=label, hint=hint) from error
    except OSError as error:
        raise CommandError(f"a layer cannot be unpacked: {error}", item=label, hint="check the free space") from error
    except ValueError as error:  # a NUL character, or what is no text in this machine's encoding
        raise CommandError(f"a layer has a name that no file can have: {error}", item=label) from error
