# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a libvirt network and storage pool present or absent through virsh, in one call.

Reads ``{"state": present|absent, "check": bool, "root": folder, "network": XML, "pool": XML}`` from stdin, prints
``{"changed": bool, "actions": [...]}``. What exists with an equal definition stays; another definition is an error.
What was defined here is remembered in the folder ``root``: only that is ever removed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

URI = "qemu:///system"


class Failure(Exception):
    """What was tried on which object and why it failed."""


def virsh(*arguments: str, text: str | None = None) -> str:
    """The output of one virsh command. Raises Failure."""
    done = subprocess.run(
        ["virsh", "-q", "-c", URI, *arguments], input=text, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Failure(f"virsh {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def parse(text: str) -> ElementTree.Element:
    """The tree of a definition."""
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.Parse(text, True)
    return builder.close()


def attribute(tree: ElementTree.Element, path: str, name: str) -> str:
    """An attribute, empty where there is none."""
    element = tree.find(path)
    return "" if element is None else element.get(name, "")


def network_model(text: str) -> dict[str, str]:
    """What makes two networks equal; fixed leases belong to the VMs and do not count."""
    tree = parse(text)
    return {
        "forward": attribute(tree, "forward", "mode") or "isolated",
        "bridge": attribute(tree, "bridge", "name"),
        "address": attribute(tree, "ip", "address"),
        "netmask": attribute(tree, "ip", "netmask"),
        "first DHCP address": attribute(tree, "ip/dhcp/range", "start"),
        "last DHCP address": attribute(tree, "ip/dhcp/range", "end"),
    }


def pool_model(text: str) -> dict[str, str]:
    """What makes two pools equal."""
    tree = parse(text)
    return {"type": tree.get("type", ""), "path": (tree.findtext("target/path") or "").rstrip("/")}


MODELS = {"net": ("network", network_model), "pool": ("storage pool", pool_model)}


def differences(kind: str, name: str, wanted: str) -> list[str]:
    """How the object of that name differs from the wanted one."""
    model = MODELS[kind][1]
    there, ours = model(virsh(f"{kind}-dumpxml", "--inactive", name)), model(wanted)
    return [f"{key} is {there[key]!r}, wanted {ours[key]!r}" for key in ours if there[key] != ours[key]]


def run(kind: str, name: str, check: bool) -> list[str]:
    """Start a defined object, now and with libvirt, where it is not. Returns what was (or would be) done."""
    title = MODELS[kind][0]
    lines = (line.split(":", 1) for line in virsh(f"{kind}-info", name).splitlines() if ":" in line)
    state = {key.strip(): value.strip() for key, value in lines}
    missing = [] if state.get("Active") == "yes" or state.get("State") == "running" else ["start"]
    if state.get("Autostart") != "yes":
        missing.append("autostart")
    for verb in missing:
        if not check:
            virsh(f"{kind}-{verb}", name)
    return [f"{verb} {title} {name}" for verb in missing]


def mark(root: str, kind: str, name: str) -> Path:
    """The file that says that an object was defined here."""
    return Path(root) / f"defined-{kind}-{name}"


def present(kind: str, wanted: str, root: str, check: bool) -> list[str]:
    """Define and start what is missing. Returns what was (or would be) done."""
    title = MODELS[kind][0]
    name = parse(wanted).findtext("name") or ""
    if name in virsh(f"{kind}-list", "--all", "--name").split():
        differing = differences(kind, name, wanted)
        if differing:
            raise Failure(
                f"a {title} named {name} exists and differs: {'; '.join(differing)}. "
                f"It is left alone: choose another name, or remove it (virsh {kind}-undefine {name})"
            )
        return run(kind, name, check)
    actions = [f"define {title} {name}"]
    if check:
        return [*actions, f"start {title} {name}"]
    mark(root, kind, name).touch()  # first, so that a run that is killed leaves nothing that nobody will remove
    virsh(f"{kind}-define", "/dev/stdin", text=wanted)
    try:
        return actions + run(kind, name, check)
    except Failure:
        virsh(f"{kind}-undefine", name)  # what cannot start shall not stand in the way of the next try
        raise


def absent(kind: str, wanted: str, root: str, check: bool) -> list[str]:
    """Stop and undefine it, if it was defined here and is the one that ``wanted`` describes."""
    title = MODELS[kind][0]
    name = parse(wanted).findtext("name") or ""
    if not mark(root, kind, name).exists() or name not in virsh(f"{kind}-list", "--all", "--name").split():
        return []
    if differences(kind, name, wanted):
        raise Failure(f"the {title} named {name} is not the one described here: it is left alone")
    if not check:
        if name in virsh(f"{kind}-list", "--name").split():
            virsh(f"{kind}-destroy", name)
        virsh(f"{kind}-undefine", name)
        mark(root, kind, name).unlink()
    return [f"remove {title} {name}"]


def main() -> None:
    """Do the network, then the pool."""
    order = json.load(sys.stdin)
    act = {"present": present, "absent": absent}[order["state"]]
    actions = [
        done
        for kind, definition in (("net", order["network"]), ("pool", order["pool"]))
        for done in act(kind, definition, order["root"], order["check"])
    ]
    sys.stdout.write(json.dumps({"changed": bool(actions), "actions": actions}) + "\n")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(str(failure))
