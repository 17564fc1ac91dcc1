# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make virtual machines present and running, or absent, through virsh and qemu-img, in one call.

Reads from stdin ``{"state", "check", "outdated", "image", "network", "pool", "pool_path", "root",
"machines": [{"name", "mac", "address", "disk", "xml"}]}``; prints ``{"changed", "machines": [{"name", "changed",
"actions", "error"}]}`` and exits 1 when a machine failed; the others are done.

A machine remembers in ``root/name`` the image of its disk and the definition given to libvirt, so that a shape
changed since then by other means (vm_shape) is not undone.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

URI = "qemu:///system"
OURS = "Capacity VM of predictive.tenancy"
UNITS = {"": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4, "MB": 1000**2, "GB": 1000**3}


class Failure(Exception):
    """What was tried on which object and why it failed."""


def run(*command: str, text: str | None = None) -> str:
    """The output of a command. Raises Failure."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)}: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout


def virsh(*arguments: str, text: str | None = None) -> str:
    """The output of one virsh command. Raises Failure."""
    return run("virsh", "-q", "-c", URI, *arguments, text=text)


def parse(text: str) -> ElementTree.Element:
    """The tree of a definition."""
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.Parse(text, True)
    return builder.close()


def size(text: str) -> int:
    """Bytes of ``8GiB``. Raises Failure."""
    match = re.fullmatch(r"\s*([0-9]+)\s*([A-Za-z]*)\s*", text)
    if match is None or match.group(2) not in UNITS:
        raise Failure(f"{text!r} is not a size: write it like 8GiB")
    return int(match.group(1)) * UNITS[match.group(2)]


def write(path: Path, text: str) -> None:
    """Write whole or not at all."""
    draft = path.with_name(path.name + ".new")
    draft.write_text(text, encoding="utf-8")
    draft.rename(path)


def read(path: Path) -> str:
    """The text of a file, empty if it is absent."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


class Host:
    """One order's surroundings: where things are, and whether anything may be written."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.order = order
        self.check = bool(order["check"])
        self.root = Path(order["root"])
        self.pool = Path(order["pool_path"])
        self.domains = set(virsh("list", "--all", "--name").split())
        self.leases = self.read_leases()

    def read_leases(self) -> dict[str, tuple[str, str]]:
        """The network's fixed leases: MAC address to (address, name)."""
        if self.order["network"] not in virsh("net-list", "--all", "--name").split():
            return {}
        tree = parse(virsh("net-dumpxml", "--inactive", self.order["network"]))
        return {host.get("mac", "").lower(): (host.get("ip", ""), host.get("name", "")) for host in tree.iter("host")}

    def paths(self, machine: dict[str, Any]) -> tuple[Path, Path]:
        """The machine's folder, which says that its disk is ours, and its disk."""
        return self.root / machine["name"], self.pool / f"{machine['name']}.qcow2"

    def update_lease(self, action: str, mac: str, address: str, name: str) -> None:
        """Add or delete a fixed lease, in the running network and in its definition."""
        entry = f"<host mac='{mac}' name='{name}' ip='{address}'/>"
        virsh("net-update", self.order["network"], action, "ip-dhcp-host", entry, "--live", "--config")


def known(host: Host, machine: dict[str, Any]) -> bool:
    """Whether a domain of that name is defined. Raises Failure when it is none of ours."""
    name = machine["name"]
    if name not in host.domains:
        return False
    if OURS not in virsh("desc", name):
        raise Failure(f"a domain named {name} exists that is none of ours: it is left alone, choose another name")
    return True


def own_leases(host: Host, machine: dict[str, Any]) -> list[str]:
    """The MAC addresses of the machine's leases: the present one, and the one it was defined with before. Raises
    Failure when its name has been given to another one."""
    defined = read(host.root / machine["name"] / "domain.xml").lower()
    named = [mac for mac, (_address, name) in host.leases.items() if name == machine["name"]]
    for mac in named:
        if mac != machine["mac"] and mac not in defined:
            raise Failure(
                f"the network has a lease for {machine['name']} that is none of ours ({mac}): remove it first"
            )
    return sorted({*named, *({machine["mac"]} & set(host.leases))})


def ensure_lease(host: Host, machine: dict[str, Any], actions: list[str]) -> None:
    """The machine's MAC address gets its address, and nobody else does."""
    mac, wanted = machine["mac"], (machine["address"], machine["name"])
    own = own_leases(host, machine)
    if host.leases.get(mac) == wanted:
        return
    actions.append(f"lease {wanted[0]} to {mac}")
    if host.check:
        return
    for other in own:
        host.update_lease("delete", other, *host.leases.pop(other))
    host.update_lease("add-last", mac, *wanted)
    host.leases[mac] = wanted


def ensure_disk(host: Host, machine: dict[str, Any], actions: list[str]) -> str:
    """The machine has a disk over an image; returns the image's folder. The mark of the image is written last, so
    that a killed run makes the disk again. Raises Failure for one that shall be kept and has lost its image."""
    name, (folder, disk) = machine["name"], host.paths(machine)
    image = read(folder / "image").strip()
    usable = bool(image) and disk.exists()
    if usable and host.order["outdated"] == "keep" and not (Path(image) / "base.raw").exists():
        raise Failure(f"{disk} needs {image}/base.raw, which is gone: put it back, or rebuild the disk")
    if usable and (image == host.order["image"] or host.order["outdated"] == "keep"):
        return image
    actions.append("make disk" if not usable else "rebuild disk on the new image")
    if not host.check:
        if name in host.domains:
            stop(name)
        folder.mkdir(parents=True, exist_ok=True)  # it stays: it says that the disk is ours
        for entry in folder.iterdir():
            entry.unlink()  # with the old disk goes the SSH host key that is known of it
        base = Path(host.order["image"]) / "base.raw"
        length = max(size(machine["disk"]), base.stat().st_size)
        draft = disk.with_name(disk.name + ".new")
        run("qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", "raw", str(draft), str(length))
        draft.rename(disk)
        virsh("pool-refresh", host.order["pool"])
        write(folder / "image", host.order["image"] + "\n")
    return str(host.order["image"])


def stop(name: str) -> None:
    """Power the machine off, if it runs."""
    if virsh("domstate", name).strip() != "shut off":
        virsh("destroy", name)


def ensure_domain(host: Host, machine: dict[str, Any], image: str, there: bool, actions: list[str]) -> None:
    """The machine is defined as wanted and runs; ``there``: it was defined before."""
    name, folder = machine["name"], host.root / machine["name"]
    text = machine["xml"].replace("@IMAGE@", image)
    digest = hashlib.sha256(text.encode()).hexdigest()
    if not there or read(folder / "defined").strip() != digest:
        actions.append("define again" if there else "define")
        if not host.check:
            write(folder / "domain.xml", text)
            virsh("define", "--validate", str(folder / "domain.xml"))
            write(folder / "defined", digest + "\n")
    if host.check and not there:
        actions.append("start")
        return
    if virsh("dominfo", name).find("Autostart:      enable") < 0:
        actions.append("autostart")
        if not host.check:
            virsh("autostart", name)
    state = virsh("domstate", name).strip()
    if state != "running":
        actions.append("start" if state == "shut off" else f"start again ({state})")
        if not host.check:
            if state != "shut off":
                virsh("destroy", name)
            virsh("start", name)


def present(host: Host, machine: dict[str, Any], actions: list[str]) -> None:
    """One machine, from its lease to its running. Raises Failure, before anything is done, where its name or its disk
    is a stranger's."""
    there = known(host, machine)
    folder, disk = host.paths(machine)
    if disk.exists() and not folder.exists():
        raise Failure(f"{disk} exists, and {folder} knows nothing of it: move it away or choose another name")
    ensure_lease(host, machine, actions)
    image = ensure_disk(host, machine, actions)
    ensure_domain(host, machine, image, there, actions)


def absent(host: Host, machine: dict[str, Any], actions: list[str]) -> None:
    """One machine gone, with its lease, disk and files. The folder, which says that the disk is ours, goes last."""
    name, (folder, disk) = machine["name"], host.paths(machine)
    if known(host, machine):
        actions.append("undefine")
        if not host.check:
            stop(name)
            virsh("undefine", name, "--managed-save", "--snapshots-metadata", "--nvram")
    for mac in own_leases(host, machine):
        actions.append("remove lease")
        if not host.check:
            host.update_lease("delete", mac, *host.leases.pop(mac))
    if folder.exists():
        actions.append("remove disk and files")
        if not host.check:
            disk.unlink(missing_ok=True)
            shutil.rmtree(folder)


def main() -> int:
    """Do each machine; one that fails leaves the others done."""
    order = json.load(sys.stdin)
    os.umask(0o022)
    host = Host(order)
    act = {"present": present, "absent": absent}[order["state"]]
    results = []
    for machine in order["machines"]:
        actions: list[str] = []
        error = ""
        try:
            act(host, machine, actions)
        except (Failure, OSError) as problem:
            error = str(problem)
        results.append({"name": machine["name"], "changed": bool(actions), "actions": actions, "error": error})
    sys.stdout.write(json.dumps({"changed": any(item["changed"] for item in results), "machines": results}) + "\n")
    for item in results:
        if item["error"]:
            sys.stderr.write(f"{item['name']}: {item['error']}\n")
    return 1 if any(item["error"] for item in results) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(str(failure))
