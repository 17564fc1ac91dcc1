# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command of a cell's schedule: tick (what the timer runs), pause, resume, status. SETTINGS is the file that the
role writes; the collection is found through PYTHONPATH."""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import time
import uuid

from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import TenancyError
from ansible_collections.predictive.tenancy.plugins.module_utils._core.units import parse_duration
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.arguments import store_uri
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.scheduled import FOREVER, Scheduler, Settings

RUN_FAILED_TO_START = 2


def settings(path):
    """The settings in a file; without a store of their own, the one that all plugins take."""
    with open(path, encoding="utf-8") as handle:
        given = json.load(handle)
    return Settings(**{**given, "store": store_uri(given.get("store"))})


def launch(command, environment, log):
    """Start a run, in a session of its own so that all that it starts can be ended with it."""
    streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": subprocess.STDOUT}
    return subprocess.Popen(list(command), env=environment, start_new_session=True, **streams)


def tell(text):
    """One line for the journal, at once."""
    print(text, flush=True)


def main():
    """Do what the command line says; the exit status is that of the run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", metavar="SETTINGS")
    commands = parser.add_subparsers(dest="command", required=True)
    tick = commands.add_parser("tick", help="run if it is due and nothing speaks against it")
    tick.add_argument("--jitter", type=float, default=0.0, help="wait up to so many seconds first")
    pause = commands.add_parser("pause", help="let no run start on any controller")
    pause.add_argument("--for", dest="duration", default="", help="how long, like 2h; until resumed without it")
    commands.add_parser("resume", help="end a pause, and forget failures")
    commands.add_parser("status", help="say what is known, as JSON")
    options = parser.parse_args()
    person = os.environ.get("SUDO_USER") or os.environ.get("USER") or str(os.getuid())
    owner = f"{socket.gethostname()}/{person}/{os.getpid()}-{uuid.uuid4().hex[:8]}"
    try:
        scheduler = Scheduler(settings(options.settings), owner, tell, launch)
        if options.command == "tick":
            time.sleep(random.uniform(0, options.jitter))
            return scheduler.tick()
        if options.command == "pause":
            scheduler.pause(parse_duration(options.duration) if options.duration else FOREVER)
        elif options.command == "resume":
            scheduler.resume()
        else:
            print(json.dumps(scheduler.status(), indent=1, sort_keys=True))
    except TenancyError as error:
        print(f"error: {error}", file=sys.stderr)
        return RUN_FAILED_TO_START
    return 0


if __name__ == "__main__":
    sys.exit(main())
