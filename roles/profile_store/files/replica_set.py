# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a replica set, its administrator, and a user that may read and write one database; run on a member of it.

The settings come as JSON on the standard input:
{"host", "port", "tls": {"ca"} or null, "replica_set": {"name", "members": ["host:port"]} or null,
 "admin": {"name", "password"}, "database", "user": {"name", "password"}}.
It prints {"changed", "actions"} and works with the drivers of all supported distributions (pymongo 3.11 and later).
"""

from __future__ import annotations

import json
import sys
import time

from pymongo import MongoClient
from pymongo.errors import AutoReconnect, OperationFailure

UNAUTHORIZED, FAILED, NO_USER, NOT_INITIATED = 13, 18, 11, 94
WAIT = 60.0


class Server:
    """The server on this host, as one who has logged in or not."""

    def __init__(self, settings):
        self.settings = settings

    def client(self, login=None, source="admin"):
        """A client of this member alone."""
        options = {"directConnection": True, "serverSelectionTimeoutMS": 20000}
        if self.settings.get("tls"):
            # The certificate is for the name of the host; here it is reached over the loopback.
            options.update(tls=True, tlsCAFile=self.settings["tls"]["ca"], tlsAllowInvalidHostnames=True)
        if login:
            options.update(username=login["name"], password=login["password"], authSource=source)
        return MongoClient(self.settings["host"], int(self.settings["port"]), **options)

    def accepts(self, login, source="admin"):
        """Whether a user can log in."""
        client = self.client(login, source)
        try:
            client[source].command("ping")
        except OperationFailure as error:
            if error.code in (FAILED, NO_USER):
                return False
            raise
        finally:
            client.close()
        return True


def initiated(server):
    """Whether the replica set is there; a server that asks who we are has its users, and so its replica set."""
    try:
        server.client().admin.command("replSetGetStatus")
    except OperationFailure as error:
        if error.code == NOT_INITIATED:
            return False
        if error.code != UNAUTHORIZED:
            raise
    return True


def initiate(server):
    """Make the replica set of the members."""
    wanted = server.settings["replica_set"]
    members = [{"_id": number, "host": host} for number, host in enumerate(wanted["members"])]
    server.client().admin.command("replSetInitiate", {"_id": wanted["name"], "members": members})


def primary(server):
    """Wait until this member can be written to."""
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        try:
            state = server.client().admin.command("isMaster")
        except AutoReconnect:
            state = {}
        if state.get("ismaster"):
            return
        if state.get("primary"):
            sys.exit(f"{state['primary']} is the primary: run the role with that host first")
        time.sleep(0.5)
    sys.exit(f"no member became primary within {WAIT:.0f} s; are all members reachable from each other?")


def make_admin(server):
    """The first user, which only a client on the host itself may make, and only while there is no other."""
    admin = server.settings["admin"]
    try:
        server.client().admin.command("createUser", admin["name"], pwd=admin["password"], roles=["root"])
    except OperationFailure as error:
        if error.code == UNAUTHORIZED:
            sys.exit("the server has an administrator already, whose name or password is another one")
        raise


def make_user(server):
    """Bring the user of the store to its one role and its password; what was done."""
    user, database = server.settings["user"], server.settings["database"]
    roles = [{"role": "readWrite", "db": database}]
    target = server.client(server.settings["admin"])[database]
    found = target.command("usersInfo", {"user": user["name"], "db": database})["users"]
    if not found:
        target.command("createUser", user["name"], pwd=user["password"], roles=roles)
        return ["create user"]
    actions = []
    if [{"role": role["role"], "db": role["db"]} for role in found[0]["roles"]] != roles:
        target.command("updateUser", user["name"], roles=roles)
        actions.append("set roles")
    if not server.accepts(user, database):
        target.command("updateUser", user["name"], pwd=user["password"])
        actions.append("set password")
    return actions


def main():
    """Do what is missing, in this order."""
    server = Server(json.load(sys.stdin))
    actions = []
    if server.settings.get("replica_set"):
        if not initiated(server):
            initiate(server)
            actions.append("initiate")
        primary(server)
    if not server.accepts(server.settings["admin"]):
        make_admin(server)
        actions.append("create administrator")
    actions += make_user(server)
    print(json.dumps({"changed": bool(actions), "actions": actions}))


if __name__ == "__main__":
    main()
