# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Columns of numbers as few bytes, without loss: what a day of history is written as.

A column of numbers with few decimals (cores in millionths, whole bytes) becomes integers, any other stays float64. The
bytes are transposed (all first bytes, then all second ones, ...) and deflated: neighbouring samples share their high
bytes. NaN, a missing value, is kept.
"""

from __future__ import annotations

import math
import struct
import sys
import zlib
from array import array
from collections.abc import Mapping, Sequence

from .._core.errors import StoreError

FORMAT = 1
_HEAD = struct.Struct("<BcBI")  # column, type, decimals, length
_TYPES = {b"i": 4, b"q": 8, b"d": 8}
_DECIMALS = (0, 3, 6)
_EXACT = 2**53
_FAST = 1  # deflate level: 6 saves 2 % more and takes three times as long


def _transpose(data: bytes, width: int) -> bytes:
    return b"".join(data[place::width] for place in range(width))


def _restore(data: bytes, width: int) -> bytes:
    count = len(data) // width
    result = bytearray(len(data))
    for place in range(width):
        result[place::width] = data[place * count : (place + 1) * count]
    return bytes(result)


def _missing(type_code: str) -> int:
    return -(1 << (31 if type_code == "i" else 63))


def _scaled(values: Sequence[float], scale: int) -> list[int] | None:
    # A few values show in most cases that this scale does not do, for little time.
    for part in (list(values[:4]), list(values)):
        integers = list(map(int, part)) if scale == 1 else [round(value * scale) for value in part]
        if (integers if scale == 1 else [whole / scale for whole in integers]) != part:
            return None
    return integers


def _integers(values: Sequence[float], decimals: int) -> array[int] | None:
    complete = not math.isnan(sum(values))
    integers = _scaled(values if complete else [value for value in values if not math.isnan(value)], 10**decimals)
    if integers is None:
        return None
    largest = max(map(abs, integers)) if integers else 0
    if largest >= _EXACT:
        return None
    code = "i" if largest < 2**31 else "q"
    if complete:
        return array(code, integers)
    left = iter(integers)
    return array(code, [_missing(code) if math.isnan(value) else next(left) for value in values])


def _pack_column(values: Sequence[float]) -> tuple[bytes, int, bytes]:
    if not any(map(math.isinf, values)):
        for decimals in _DECIMALS:
            integers = _integers(values, decimals)
            if integers is not None:
                return integers.typecode.encode(), decimals, _little(integers)
    return b"d", 0, _little(array("d", values))


def _little(values: array[int] | array[float]) -> bytes:
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return _transpose(values.tobytes(), values.itemsize)


def pack(columns: Mapping[int, Sequence[float]]) -> bytes:
    """Bytes of numbered columns (0-255)."""
    parts = []
    for number, values in columns.items():
        code, decimals, data = _pack_column(values)
        parts += [_HEAD.pack(number, code, decimals, len(values)), data]
    return bytes([FORMAT]) + zlib.compress(b"".join(parts), _FAST)


def _numbers(code: str, decimals: int, data: bytes) -> array[float]:
    raw: array[float] = array(code)
    raw.frombytes(_restore(data, raw.itemsize))
    if sys.byteorder == "big":
        raw.byteswap()
    if code == "d":
        return raw
    scale = 10**decimals
    missing = _missing(code)
    if missing in raw:
        return array("d", [math.nan if value == missing else value / scale for value in raw])
    return array("d", [value / scale for value in raw] if decimals else raw)


def unpack(data: bytes) -> dict[int, array[float]]:
    """The columns that ``pack`` wrote. Raises StoreError when the bytes are damaged."""
    try:
        if data[0] != FORMAT:
            raise StoreError(f"history in the unknown format {data[0]}", hint="upgrade the collection")
        body = zlib.decompress(data[1:])
        columns, place = {}, 0
        while place < len(body):
            number, code, decimals, count = _HEAD.unpack_from(body, place)
            place += _HEAD.size
            end = place + count * _TYPES[code]
            columns[number] = _numbers(code.decode(), decimals, body[place:end])
            place = end
    except (IndexError, KeyError, ValueError, struct.error, zlib.error) as error:
        raise StoreError(f"history is damaged: {error}", hint="restore the store from a backup") from error
    return columns
