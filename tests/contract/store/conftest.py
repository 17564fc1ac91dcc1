# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stores that the contract suite runs on. A server that cannot start fails the run; nothing is left out."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pymongo
import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from ansible_collections.predictive.tenancy.plugins.module_utils._store.interface import Store
from servers import Server, secured

ENVIRONMENT = os.environ.get("TENANCY_TEST_MONGO_URI", "")
EMBEDDED = ["sqlite-wal", "sqlite-delete"]
SERVERS = ["mongo", "mongo-auth-tls", *(["mongo-environment"] if ENVIRONMENT else [])]


@pytest.fixture(scope="session")
def plain_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without a password, which can be told to fail."""
    server = Server(tmp_path_factory.mktemp("mongo"), "--enable-test-commands").start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def secured_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with users that speaks TLS."""
    server = secured(tmp_path_factory.mktemp("mongo-secured"))
    yield server
    server.stop()


def _uri(name: str, request: pytest.FixtureRequest, folder: Path) -> str:
    if name.startswith("sqlite"):
        return f"sqlite://{folder}/store.db?journal={name.split('-')[1]}"
    database = f"tenancy_{uuid.uuid4().hex[:12]}"
    if name == "mongo-environment":
        return re.sub(r"^(mongodb(?:\+srv)?://[^/?]+)/?[^?]*", rf"\1/{database}", ENVIRONMENT)
    fixture = {"mongo": "plain_server", "mongo-auth-tls": "secured_server"}[name]
    return request.getfixturevalue(fixture).uri(database)


def _dispose(name: str, uri: str) -> None:
    """What the tests put on a server of somebody else's goes; servers of their own end with their data."""
    if name == "mongo-environment":
        with pymongo.MongoClient(uri) as client:
            client.drop_database(client.get_default_database().name)


@pytest.fixture(params=[*EMBEDDED, *SERVERS])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URI of an empty store, on every kind of store."""
    made = _uri(request.param, request, tmp_path)
    yield made
    _dispose(request.param, made)


@pytest.fixture(params=[*EMBEDDED, "mongo", *SERVERS[2:]])
def one_uri(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The same, with one plain server: for what takes long and does not depend on users or TLS."""
    made = _uri(request.param, request, tmp_path)
    yield made
    _dispose(request.param, made)


@pytest.fixture(scope="module", params=[*EMBEDDED, "mongo", *SERVERS[2:]])
def one_uri_kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The name of each kind of store, and the URI of one that the tests of a module share."""
    made = _uri(request.param, request, tmp_path_factory.mktemp(request.param))
    yield request.param, made
    _dispose(request.param, made)


@pytest.fixture
def store(uri: str) -> Iterator[Store]:
    """An empty store, on every kind of store."""
    with open_store(uri) as opened:
        yield opened
