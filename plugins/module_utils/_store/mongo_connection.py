# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection to a MongoDB store: one client per process, every operation repeated until the store is back.

Writes are acknowledged by a majority with their journal, so what was acknowledged survives the loss of a server. A
write whose answer was lost is simply sent again: each carries a token that is kept in the document, so that it is
neither done twice nor taken for another writer's (see mongo_writes.py).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timezone
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus

try:
    import pymongo
    from bson.codec_options import CodecOptions, TypeDecoder, TypeRegistry
    from bson.errors import BSONError, InvalidDocument
    from bson.int64 import Int64
    from pymongo import errors, read_concern, read_preferences, write_concern
    from pymongo.uri_parser import parse_uri
except ImportError:  # open_store() says so (libraries.require)
    pass

from .._core.errors import InputError, StoreError, StoreUnavailable
from .uri import redact

T = TypeVar("T")
DATABASE = "tenancy"
WAIT = 45.0  # seconds for which a store may be away, if the URI has no serverSelectionTimeoutMS
_SELECT = 3.0
_AUTHENTICATION = (11, 13, 18, 334)

# What a child of fork inherited: unused, and never closed by it, since its sockets are its parent's.
_inherited: list[Any] = []


def _codec() -> Any:
    """How values come back: 64-bit integers as int, not as a class of the driver's; times aware and in UTC."""

    class Plain(TypeDecoder):
        bson_type = Int64

        def transform_bson(self, value: Any) -> int:
            return int(value)

    return CodecOptions(tz_aware=True, tzinfo=timezone.utc, type_registry=TypeRegistry([Plain()]))


class Connection:
    """One MongoDB database in one process. ``read_only``: nothing is created, migrated or written."""

    def __init__(self, uri: str, *, read_only: bool = False) -> None:
        self.read_only = read_only
        self.name = redact(uri)
        self._uri = uri
        self._closed = False
        self._client: Any = None
        self._pid = 0
        login = uri.partition("://")[2].rpartition("@")[0]
        self._secrets = [secret for secret in (uri, login, login.partition(":")[2]) if secret]
        try:
            with self._errors():
                parsed = parse_uri(uri, warn=False)
        except (ValueError, TypeError, OSError) as error:
            raise InputError(f"the URI cannot be used: {self._safe(error)}", item=self.name) from None
        if parsed.get("password"):
            self._secrets += [form(parsed["password"]) for form in (str, quote, quote_plus)]
        self.database_name = parsed.get("database") or DATABASE
        # parse_uri gives seconds
        self.wait = float(parsed["options"].get("serverSelectionTimeoutMS", WAIT))
        self._codec = _codec()

    def _safe(self, error: BaseException) -> str:
        text = (
            str(error).partition(", Timeout:")[0].partition(", full error:")[0].partition(" (configured timeouts:")[0]
        )
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (errors.ConfigurationError, errors.InvalidURI) as error:
            raise InputError(f"the URI cannot be used: {self._safe(error)}", item=self.name) from None
        except errors.ConnectionFailure as error:
            raise StoreUnavailable(
                f"the server cannot be reached: {self._safe(error)}",
                item=self.name,
                hint="check that it runs and that host, port and TLS options are right",
            ) from None
        except errors.OperationFailure as error:
            raise self._refused(error) from None
        except (InvalidDocument, BSONError, OverflowError, errors.DocumentTooLarge) as error:
            raise InputError(f"it cannot be stored: {self._safe(error)}", item=self.name) from None
        except errors.PyMongoError as error:
            raise StoreError(self._safe(error), item=self.name) from None

    def _refused(self, error: Any) -> StoreError:
        if error.code in _AUTHENTICATION:
            hint = "check user, password and authSource in the URI, and the roles of the user"
            return StoreError(f"the server refused the user: {self._safe(error)}", item=self.name, hint=hint)
        if (
            error.timeout
            or error.has_error_label("RetryableWriteError")
            or isinstance(error, (errors.WriteConcernError, errors.ExecutionTimeout))
        ):
            text = f"the write is not confirmed by a majority: {self._safe(error)}"
            return StoreUnavailable(text, item=self.name, hint="check the members of the replica set")
        return StoreError(f"the server refused: {self._safe(error)}", item=self.name)

    def _connect(self) -> Any:
        given = self._uri.lower()
        waits = {"socketTimeoutMS": 30_000, "connectTimeoutMS": 5_000}
        options: dict[str, Any] = {name: value for name, value in waits.items() if name.lower() not in given}
        options.update(serverSelectionTimeoutMS=int(min(_SELECT, self.wait) * 1000), appname="predictive.tenancy")
        return pymongo.MongoClient(self._uri, **options)

    def database(self) -> Any:
        """The database through the client of this process; a child of fork gets its own."""
        if self._closed:
            raise StoreError("the store is closed", item=self.name)
        if self._client is not None and self._pid != os.getpid():
            _inherited.append(self._client)
            self._client = None
        if self._client is None:
            self._client, self._pid = self._connect(), os.getpid()
        return self._client.get_database(
            self.database_name,
            codec_options=self._codec,
            read_preference=read_preferences.ReadPreference.PRIMARY,
            write_concern=write_concern.WriteConcern(w="majority", j=True),
            read_concern=read_concern.ReadConcern("majority"),
        )

    def run(self, operation: Callable[[Any], T]) -> T:
        """The result of an operation on the database, which is tried until the store has been away for too long."""
        deadline = time.monotonic() + self.wait
        while True:
            results = self._try(operation, last=time.monotonic() >= deadline)
            if results:
                return results[0]
            time.sleep(0.2)

    def _try(self, operation: Callable[[Any], T], *, last: bool) -> list[T]:
        try:
            with self._errors():
                return [operation(self.database())]
        except StoreUnavailable:
            if last:
                raise
            return []

    def write(self, operation: Callable[[Any], T]) -> T:
        """``run`` for an operation that writes."""
        if self.read_only:
            raise StoreError("the store was opened for reading only", item=self.name)
        return self.run(operation)

    def close(self) -> None:
        """Close the client, if it is of this process."""
        if self._client is not None and self._pid == os.getpid():
            self._client.close()
        self._client, self._closed = None, True
