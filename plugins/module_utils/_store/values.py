# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that both stores keep alike: checked, made plain, and written as JSON or with keys that BSON takes."""

from __future__ import annotations

import json
import math
import re
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from .._core.errors import InputError
from .._core.plain import plain

MAX_BYTES = 12 * 1024 * 1024  # MongoDB takes 16 MiB a document; both stores refuse before that
MAX_DEPTH = 60
MAX_KEY = 512
_INT64 = 2**63
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)
_SPECIAL = re.compile(r"[%.$]")
_ESCAPED = re.compile(r"%(25|2E|24)")
_RESERVED = ("key", "version", "schema", "_id")


def first_version() -> int:
    """The version that a document or a bucket begins with: a number that no earlier one of its key has been at, since
    who read that one must not overwrite this one. Readers of JSON keep it (53 bits), with room for all later ones."""
    return 1 + secrets.randbits(52)


def to_milliseconds(moment: datetime) -> int:
    """Whole milliseconds since 1970 of an aware time."""
    return (moment - _EPOCH) // _MILLISECOND


def from_milliseconds(milliseconds: int) -> datetime:
    """The aware UTC time of whole milliseconds since 1970."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def _time(value: datetime, path: str) -> datetime:
    if value.tzinfo is None:
        raise InputError("a time without a zone cannot be stored", item=path, hint="give an aware UTC datetime")
    return from_milliseconds(to_milliseconds(value))


def check_text(value: str, path: str) -> str:
    """The text, if it is Unicode that both stores take. Raises InputError."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"the text cannot be stored: {error.reason}", item=path) from None
    return value


def _name(value: object, path: str) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise InputError(f"the field name {value!r} cannot be stored", item=path, hint="use text without NUL")
    return check_text(str(value), path)


def check_number(value: float, path: str) -> float:
    """The number, if both stores take it. Raises InputError."""
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise InputError(f"the integer {value} is beyond 64 bits", item=path)
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{value} cannot be stored", item=path, hint="leave the value out or use null")
    return value


def _clean(value: Any, path: str, depth: int) -> Any:
    if value is None or value is True or value is False:
        return value
    if value.__class__ is str:
        return check_text(value, path)
    if value.__class__ in (int, float):
        return check_number(value, path)
    if isinstance(value, datetime):
        return _time(value, path)
    if depth > MAX_DEPTH:
        raise InputError(f"nested deeper than {MAX_DEPTH} levels", item=path)
    if isinstance(value, Mapping):
        return {_name(name, path): _clean(item, f"{path}.{name}", depth + 1) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
    if isinstance(value, (str, int, float)):
        return _clean(plain(value), path, depth)
    raise InputError(f"a {type(value).__name__} cannot be stored", item=path)


def _common(value: Any, depth: int) -> Any:
    """What ``_clean`` gives, for values of the usual types; raises ValueError for all others, the wrong ones too."""
    kind = type(value)
    if kind is str:
        return value if value.isascii() else _encodable(value)
    if kind is float:
        return value if math.isfinite(value) else _unusual()
    if kind is int:
        return value if -_INT64 <= value < _INT64 else _unusual()
    if kind is bool or value is None:
        return value
    if depth > MAX_DEPTH:
        return _unusual()
    if kind is dict:
        if value and not _are_names(value):
            _unusual()
        return {name: _common(item, depth + 1) for name, item in value.items()}
    return [_common(item, depth + 1) for item in value] if kind is list else _unusual()


def _encodable(text: str) -> str:
    text.encode()  # UnicodeEncodeError is a ValueError
    return text


def _are_names(names: dict[Any, Any]) -> bool:
    if set(map(type, names)) != {str} or "" in names:
        return False
    text = "".join(names)
    return text.isascii() and "\0" not in text


def _unusual() -> Any:
    raise ValueError("to be looked at closely")


def _cleaned(value: Any, path: str) -> Any:
    try:
        return _common(value, 1)
    except ValueError:
        return _clean(value, path, 1)


def clean_key(key: object, kind: str) -> str:
    """A key that both stores take: 1 to 512 bytes of UTF-8 without NUL. Raises InputError."""
    if not isinstance(key, str) or not key or "\0" in key or len(check_text(key, kind).encode()) > MAX_KEY:
        raise InputError(f"{key!r} is no key", item=kind, hint=f"use 1 to {MAX_KEY} bytes of text without NUL")
    return str(key)


def clean_document(kind: str, document: Mapping[str, Any]) -> tuple[str, int | None, dict[str, Any]]:
    """``(key, version or None, the other fields)`` of a document to be written, as plain values. Raises InputError."""
    key = clean_key(document.get("key"), kind)
    version = document.get("version")
    if version is not None and (isinstance(version, bool) or not isinstance(version, int)):
        raise InputError(f"the version {version!r} is no integer", item=f"{kind}/{key}")
    path = f"{kind}/{key}"
    # Field by field, since only few of a document's fields are times or otherwise unusual.
    fields = {
        _name(name, path): _cleaned(item, f"{path}.{name}") for name, item in document.items() if name not in _RESERVED
    }
    return key, version, fields


def escape(value: Any) -> Any:
    """The same value with field names in which ``%``, ``.`` and ``$`` are written as %25, %2E and %24."""
    if isinstance(value, dict):
        return {
            _SPECIAL.sub(lambda match: f"%{ord(match.group()):02X}", name): escape(item) for name, item in value.items()
        }
    if isinstance(value, list):
        return [escape(item) for item in value]
    return value


def unescape(value: Any) -> Any:
    """The inverse of ``escape``."""
    if isinstance(value, dict):
        return {
            _ESCAPED.sub(lambda match: chr(int(match.group(1), 16)), name): unescape(item)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [unescape(item) for item in value]
    return value


def _object(pairs: dict[str, Any]) -> Any:
    return from_milliseconds(pairs["$date"]) if "$date" in pairs else pairs


def encode(fields: dict[str, Any], item: str) -> str:
    """JSON text of cleaned fields, in which a time is {"$date": milliseconds}. Raises InputError when it is larger than
    MAX_BYTES."""
    times = 0

    def time(value: Any) -> Any:  # only times come here
        nonlocal times
        times += 1
        return {"$date": to_milliseconds(value)}

    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=time)
    # A "$" that is no time of ours, or a "%", may be of a field name.
    if "%" in text or text.count("$") != times:
        text = json.dumps(escape(fields), ensure_ascii=False, separators=(",", ":"), default=time)
    check_size(len(text) if text.isascii() else len(text.encode()), item)
    return text


def decode(text: str) -> dict[str, Any]:
    """The fields that ``encode`` wrote."""
    fields: dict[str, Any] = json.loads(text, object_hook=_object) if '"$date"' in text else json.loads(text)
    return unescape(fields) if "%2" in text else fields


def check_size(size: int, item: str) -> None:
    """Raise InputError when something is too large for one document."""
    if size > MAX_BYTES:
        raise InputError(f"{size} bytes are too large for one document", item=item, hint=f"at most {MAX_BYTES} bytes")
