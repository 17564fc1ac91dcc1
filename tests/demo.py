# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo` and `make clean`: the main job, run from the built and installed collection as a user would run it."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import environments
from environments import BUILD, ROOT, ToolError, run, say, variables

INVENTORY = ROOT / "inventories" / "lab"
LAB = BUILD / "lab"


def install(folder: Path) -> dict[str, str]:
    """Build the collection, install it below `folder`, and return the environment in which to run it."""
    home = environments.product()
    env = variables(home, ANSIBLE_COLLECTIONS_PATH=folder / "collections")
    del env["PYTHONPATH"]
    staging = folder / "artifact"
    shutil.rmtree(staging, ignore_errors=True)
    run(["ansible-galaxy", "collection", "build", "--output-path", staging, ROOT], env=env)
    (archive,) = staging.glob("*.tar.gz")
    galaxy = ["ansible-galaxy", "collection", "install", "--offline", "--force", "-p", folder / "collections"]
    run([*galaxy, archive], env=env)
    return env


def why_no_lab() -> str:
    """The reason why no virtual machine can run here, or nothing."""
    if os.geteuid() != 0:
        return "not root, so neither libvirt nor a network can be set up"
    if not Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun, so virtual machines would have no network"
    if shutil.which("apt-get") is None:
        return "the guest image is built with Debian's tools, which this machine does not have"
    if not _may_make_namespaces():
        return "this machine allows no mount and network namespaces, in which the lab's libvirt runs"
    return ""


def _may_make_namespaces() -> bool:
    probe = ["unshare", "--mount", "--net", "true"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def demo(trace: str, folder: Path) -> None:
    """Set everything up and run the quickstart; `folder` gets the installed collection, the store and the report."""
    say("setting up: Python environment and collection")
    env = install(folder)
    extra = {"quickstart_dir": str(folder), "tenancy_lab_root": str(LAB)}
    if trace:
        history = Path(trace).expanduser().resolve()
        if not history.is_dir():
            raise ToolError(f"TRACE={trace}: there is no such folder")
        extra["quickstart_trace"] = str(history)
    reason = why_no_lab()
    if reason:
        say(f"no virtual machines: {reason}; the demo goes as far as the plan and the report")
        extra["quickstart_without_lab"] = reason
    arguments = [word for name, value in extra.items() for word in ("-e", f"{name}={_quoted(value)}")]
    arguments += ["--skip-tags", "lab"] if reason else []
    run(["ansible-playbook", "-i", INVENTORY, *arguments, "predictive.tenancy.quickstart"], env=env)
    say(f"the report: {os.path.relpath(folder / 'report.html')}")


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def clean() -> None:
    """Remove what demo, test and bench made: virtual machines, network, processes, and the build folder."""
    if LAB.exists() and os.geteuid() == 0:
        say("removing the virtual machines, their network and their processes")
        home = environments.product()
        env = variables(home)
        lab_root = f"tenancy_lab_root={_quoted(str(LAB))}"
        run(["ansible-playbook", "-i", INVENTORY, "-e", lab_root, ROOT / "playbooks" / "teardown.yml"], env=env)
    say("removing build/")
    shutil.rmtree(BUILD)


def main() -> int:
    """Run one of the two commands."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    the_job = commands.add_parser("demo", help="the main job")
    the_job.add_argument("--trace", default="", metavar="DIR", help="requests and usage (docs/trace-format.md)")
    the_job.add_argument("--folder", type=Path, default=BUILD / "demo", help="for the store and the report")
    commands.add_parser("clean", help="remove what demo, test and bench made")
    arguments = parser.parse_args()
    try:
        if arguments.command == "demo":
            demo(arguments.trace, arguments.folder.resolve())
        elif BUILD.exists():
            clean()
    except ToolError as error:
        print(f"make {arguments.command}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
