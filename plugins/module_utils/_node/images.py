# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Root file systems from images: an OCI layout (folder or archive), a ``docker save`` archive, a plain tar of a root.

Formats: OCI Image Format Specification 1.1 and Docker Image Specification 1.2. An image is unpacked once, into a folder
that is named by its content; see layers.py for how.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import IO, Any

from .._core.errors import CommandError
from .host import Host, read_text, write_text
from .layers import apply_layer
from .sandboxes import DEFAULT_COMMAND, Sandbox
from .sources import Source, source_of

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_BLOCK = 1024 * 1024
_WORLD_READABLE = 0o755  # a sandbox's users are none of the VM's
_CONTENT = re.compile(r"[0-9a-f]{64}")
_NESTED = 8  # indexes in one another


@dataclass(frozen=True)
class Image:
    """An image that was looked at. ``content`` names its content, ``layers`` are its layers (none: it is one itself),
    each with the SHA-256 that it must have (empty: the format has none)."""

    path: str
    content: str
    command: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    layers: tuple[tuple[str, str], ...] = ()


def _blob(reference: Any, path: str) -> tuple[str, str]:
    """Name and SHA-256 of a blob that a descriptor points at."""
    found = _DIGEST.fullmatch(str(reference.get("digest", ""))) if isinstance(reference, dict) else None
    if found is None:
        raise CommandError("a descriptor has no sha256 digest", item=path)
    return f"blobs/sha256/{found.group(1)}", found.group(1)


def _manifest(source: Source) -> tuple[dict[str, Any], str]:
    """The manifest for this machine, through nested indexes, and its SHA-256."""
    wanted = _MACHINES.get(platform.machine(), platform.machine())
    listed = source.json("index.json")["manifests"]
    for _level in range(_NESTED):
        fitting = [one for one in listed if (one.get("platform") or {}).get("architecture", wanted) == wanted]
        if not fitting:
            raise CommandError(f"the image has nothing for {wanted}", item=source.path)
        name, digest = _blob(fitting[0], source.path)
        manifest = dict(source.json(name, digest))
        if "manifests" not in manifest:
            return manifest, digest
        listed = manifest["manifests"]
    raise CommandError(f"the image has more than {_NESTED} indexes in one another", item=source.path)


def _configured(path: str, content: str, config: dict[str, Any], layers: list[tuple[str, str]]) -> Image:
    given = config.get("config") or {}
    words = [*(given.get("Entrypoint") or []), *(given.get("Cmd") or [])]
    pairs = [text.partition("=") for text in given.get("Env") or []]
    env = tuple(sorted((name, value) for name, _sign, value in pairs if name))
    return Image(path, content, tuple(str(word) for word in words), env, tuple(layers))


def _read(path: str) -> Image:
    """Look at an image without unpacking it."""
    with source_of(path) as source:
        if source.has("oci-layout"):
            manifest, content = _manifest(source)
            layers = [_blob(layer, path) for layer in manifest["layers"]]
            # Named by its manifest: another image may have the same configuration, and layers of its own.
            return _configured(path, content, source.json(*_blob(manifest["config"], path)), layers)
        if source.packed and source.has("manifest.json"):
            (first, *_others) = source.json("manifest.json")
            layers = [(str(name), "") for name in first["Layers"]]
            return _configured(path, _sha256(path), source.json(str(first["Config"])), layers)
        if not source.packed:
            raise CommandError("this folder is no OCI layout: it has no file oci-layout", item=path)
    return Image(path, _sha256(path))


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        for block in iter(lambda: handle.read(_BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()


def _folder(host: Host) -> str:
    return os.path.join(host.paths.rootfs, ".images")


def _stamp(path: str) -> list[int]:
    """What changes when the file of an image does."""
    entry = os.stat(os.path.join(path, "index.json") if os.path.isdir(path) else path)
    return [entry.st_dev, entry.st_ino, entry.st_size, entry.st_mtime_ns]


def _note(host: Host, path: str) -> str:
    """Where it is kept what was found in the image at a path, so that an unchanged one is not read again."""
    return os.path.join(_folder(host), hashlib.sha256(path.encode()).hexdigest()[:32] + ".json")


@contextmanager
def _told(path: str) -> Iterator[None]:
    """What goes wrong with an image is an error of those that use it, and says which path it was."""
    try:
        yield
    except OSError as error:
        hint = "check the free space and that the files can be read"
        raise CommandError(f"cannot use this image: {error}", item=path, hint=hint) from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CommandError(f"the image's index does not follow its format: {error!r}", item=path) from error


def look(host: Host, path: str) -> Image:
    """The image at a path. Raises CommandError that says what is wrong with it."""
    if not os.path.exists(path):
        raise CommandError("there is no image", item=path, hint="copy it to this VM first")
    if os.path.isdir(path) and not os.path.isfile(os.path.join(path, "index.json")):
        raise CommandError("this folder is no OCI layout: it has no index.json", item=path)
    with _told(path):
        return _noted(host, path, _stamp(path)) or _read(path)


def _noted(host: Host, path: str, stamp: list[int]) -> Image | None:
    """What was found in an image that has not changed since."""
    try:
        kept = json.loads(read_text(_note(host, path)) or "{}")
        if kept.get("stamp") == stamp and kept.get("path") == path:
            return Image(path, kept["content"], tuple(kept["command"]), tuple((k, v) for k, v in kept["env"]))
    except (ValueError, KeyError, TypeError):
        pass  # a note that was cut short is made anew
    return None


def _root(host: Host, image: Image) -> str:
    """Where an image is unpacked: a folder of its own."""
    if not _CONTENT.fullmatch(image.content):
        raise CommandError(f"the content of this image has the name {image.content!r}", item=image.path)
    return os.path.join(_folder(host), image.content)


def resolved(host: Host, sandbox: Sandbox) -> Sandbox:
    """A sandbox whose root, command and environment come from its image, where it has one and leaves them out."""
    if not sandbox.image:
        return sandbox
    image = look(host, sandbox.image)
    return replace(
        sandbox,
        rootfs=_root(host, image),
        command=sandbox.command or image.command or DEFAULT_COMMAND,
        env=tuple(sorted({**dict(image.env), **dict(sandbox.env)}.items())),
    )


def _checked(handle: IO[bytes], digest: str, item: str) -> None:
    """Raise CommandError where a layer is not what its manifest says."""
    if not digest:
        return
    found = hashlib.sha256()
    for block in iter(lambda: handle.read(_BLOCK), b""):
        found.update(block)
    if found.hexdigest() != digest:
        raise CommandError(f"layer {digest[:12]} is damaged: its SHA-256 is another one", item=item)
    handle.seek(0)


def unpack(host: Host, sandbox: Sandbox) -> None:
    """Make the root of a sandbox's image, if it is not there yet. It appears in one rename."""
    if not sandbox.image:
        return
    with _told(sandbox.image):
        stamp = _stamp(sandbox.image)
        there = os.path.isdir(sandbox.rootfs)
        image = look(host, sandbox.image) if there else _read(sandbox.image)
        _require_same(host, image, sandbox, stamp)
        if not there:
            new = _make(host, image)
            _require_same(host, image, sandbox, stamp)
            os.rename(new, sandbox.rootfs)
    note = {"path": image.path, "stamp": stamp, "content": image.content}
    text = json.dumps({**note, "command": image.command, "env": image.env})
    if read_text(_note(host, image.path)) != text:
        write_text(_note(host, image.path), text)


def _require_same(host: Host, image: Image, sandbox: Sandbox, stamp: list[int]) -> None:
    """Raise CommandError where an image is another one than when it was looked at: its root has the name of that."""
    if _root(host, image) != sandbox.rootfs or _stamp(image.path) != stamp:
        raise CommandError("the image was changed meanwhile", item=image.path, hint="run again")


def _make(host: Host, image: Image) -> str:
    """Unpack an image into a folder that has no name yet."""
    new = os.path.join(_folder(host), ".new")
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(new, mode=0o755)
    _unpack_layers(image, new)
    for name in ("proc", "dev", "sys", "tmp"):
        if not os.path.lexists(os.path.join(new, name)):
            os.mkdir(os.path.join(new, name), 0o755)
    os.chmod(new, _WORLD_READABLE)
    return new


def _unpack_layers(image: Image, new: str) -> None:
    if not image.layers:
        with open(image.path, "rb") as handle:
            apply_layer(handle, new, image.path)
        return
    with source_of(image.path) as source:
        for name, digest in image.layers:
            content = source.open(name)
            if content is None:
                raise CommandError(f"the image has no layer {name}", item=image.path)
            with content as handle:
                _checked(handle, digest, image.path)
                apply_layer(handle, new, image.path)


def collect(host: Host, used: Iterable[str]) -> None:
    """Remove unpacked images that no sandbox uses."""
    keep = {os.path.basename(path) for path in used}
    try:
        with os.scandir(_folder(host)) as entries:
            gone = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False) and entry.name not in keep]
    except FileNotFoundError:
        return
    try:
        for path in gone:
            shutil.rmtree(path)
    except OSError as error:
        raise CommandError(f"cannot remove an image that nobody uses: {error}", item=_folder(host)) from error
