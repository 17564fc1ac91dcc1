# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cold starts and claims of shadows on the machine that this runs on, each until a first command has run in it.

shadow.py brings it into a virtual machine: with nothing between the modules' logic and the first command, no connection
that is made or ended beside it is measured.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from ansible_collections.predictive.tenancy.plugins.module_utils._node import partition, shadows
from ansible_collections.predictive.tenancy.plugins.module_utils._node.caps import Cap
from ansible_collections.predictive.tenancy.plugins.module_utils._node.host import Host

LIMITS = {"cpu": {"cores": 1}, "memory": {"max": "64MiB"}}
ABSENT = [{"name": name, "state": "absent"} for name in ("claimed", "cold")]


def run(words: Sequence[str]) -> tuple[int, str, str]:
    """A command's exit code and what it printed."""
    done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    return done.returncode, done.stdout, done.stderr


def host() -> Host:
    """This machine now."""
    now = datetime.now(timezone.utc)
    return Host(run=run, which=shutil.which, clock=time.monotonic, sleep=time.sleep, now=now, cpus=os.cpu_count() or 1)


def start(kind: str, wish: dict[str, Any], instance: str) -> dict[str, float]:
    """Seconds of one start: ``ready`` as the module says, ``first`` of the first command, ``call`` of both and of all
    else that the module does."""
    begin = time.perf_counter()
    (done,) = partition.run(host(), [{**LIMITS, **wish}], False, False)["results"]
    if done["error"] or done["started"] != kind:
        raise SystemExit(f"{kind}: {done}")
    then = time.perf_counter()
    code, _out, error = run(["runsc", f"--root=/run/tenancy/runsc/{instance}", "exec", "sandbox", "true"])
    end = time.perf_counter()
    if code:
        raise SystemExit(f"{kind}: {error}")
    return {"ready": float(done["seconds"]), "first": end - then, "call": end - begin}


def claim(kind: str) -> dict[str, float]:
    """Make a shadow, leave it alone for a while, and claim it; also the bytes that it held."""
    wish = {"tier": "frozen", "rehearse": ["true"]} if kind == "rehearsed" else {"tier": kind}
    (made,) = shadows.run(host(), [{**LIMITS, "name": "waits", **wish}], [], False, Cap(), False)["results"]
    if made["error"] or made["notes"]:
        raise SystemExit(f"{kind}: {made}")
    time.sleep(1)
    instance = re.sub(r"^tenants-|\.slice$", "", made["slice"])
    return {"held": float(made["held"]), **start("claimed", {"name": "claimed", "claim": "waits"}, instance)}


def clear() -> None:
    """Nothing of an earlier round, or of a run that was killed."""
    partition.run(host(), ABSENT, False, False)
    shadows.run(host(), [{"name": "waits", "state": "absent"}], [], False, Cap(), False)


def main() -> None:
    """Print the figures of one cold start and of one claim of each kind that was asked for, as JSON."""
    clear()
    found = {}
    for kind in sys.argv[1:]:
        found[kind] = claim(kind)
        clear()
    found["cold"] = start("cold", {"name": "cold"}, "cold")
    clear()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
