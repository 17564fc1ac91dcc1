# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles gvisor and kata in a VM: checked first, installed, run again and removed, asked for with other tools.

Kata is an archive of the same layout as its own. Everything but its programs is real: containerd and its check of its
configuration, the kernel modules, nested virtualization and /dev/kvm.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

from laboratory import Lab

VM = "vm2"
SHARE = "share/defaults/kata-containers"
# As in releases 4 (the runtime in Rust) and 3 (the one in Go).
LAYOUTS = {
    "zst": {
        "runtime-rs/bin/containerd-shim-kata-v2": "#!/bin/sh\necho shim\n",
        f"{SHARE}/runtime-rs/configuration-qemu-runtime-rs.toml": "[hypervisor.qemu]\n",
        "bin/kata-ctl": '#!/bin/sh\n[ "$*" = "check all" ] && test -c /dev/kvm && test -c /dev/vhost-vsock\n',
    },
    "xz": {
        "bin/containerd-shim-kata-v2": "#!/bin/sh\necho shim\n",
        f"{SHARE}/configuration-qemu.toml": "[hypervisor.qemu]\n",
        "bin/kata-runtime": '#!/bin/sh\n[ "$*" = check ] && test -c /dev/kvm && test -c /dev/vhost-vsock\n',
    },
}
PLAY = """
- hosts: vm2
  gather_facts: false
  tasks:
    - name: Bring the archives
      ansible.builtin.copy:
        src: "{{ item.path }}"
        dest: "/root/kata.{{ item.kind }}"
        mode: "0644"
      loop: "{{ archives }}"
    - name: Install and configure
      ansible.builtin.include_role:
        name: "predictive.tenancy.{{ wanted }}"
"""


def archive(folder: Path, kind: str) -> dict[str, str]:
    """Pack one layout as `tar` does for a release; its path and checksum."""
    root = folder / kind / "opt" / "kata"
    for name, text in LAYOUTS[kind].items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
    target = folder / f"kata-static.tar.{kind}"
    program = {"zst": "zstd -q", "xz": "xz"}[kind]
    subprocess.run(["tar", "-I", program, "-cf", target, "-C", folder / kind, "./opt"], check=True)
    return {"kind": f"tar.{kind}", "path": str(target), "sum": hashlib.sha256(target.read_bytes()).hexdigest()}


def role(lab: Lab, folder: Path, name: str, *words: str, **values: Any) -> str:
    """Run a role; what it printed."""
    play = folder / f"{name}.yml"
    play.write_text(PLAY, encoding="utf-8")
    given = json.dumps({"wanted": name, "archives": [], **values})
    return lab.ansible("ansible-playbook", "-e", given, *words, str(play), check=False)


def counts(shown: str) -> dict[str, int]:
    """The counts of the recap."""
    recap = re.search(rf"^{VM}\s+:\s+(.*)$", shown, re.MULTILINE)
    assert recap, shown
    return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", recap[1])}


def links(lab: Lab) -> list[str]:
    """Where the shim and the configuration are, below /opt/kata."""
    shown = lab.ssh(VM, "readlink /usr/local/bin/containerd-shim-kata-v2 /etc/kata-containers/tenancy.toml")
    return [line.removeprefix("/opt/kata/") for line in shown.splitlines()]


def kata(lab: Lab, folder: Path) -> None:
    """Checked first, installed from one archive, upgraded to the other, run again, taken back to the first, removed."""
    archives = {kind: archive(folder, kind) for kind in LAYOUTS}
    given = {"archives": list(archives.values())}
    old, new = (
        {"kata_archive_url": f"file:///root/kata.tar.{kind}", "kata_archive_checksum": archives[kind]["sum"]}
        for kind in ("xz", "zst")
    )
    refused = role(lab, folder, "kata", **{**new, "kata_archive_checksum": ""})
    assert "take it from a copy that you have verified" in refused
    assert counts(role(lab, folder, "kata", "--check", **given, **old))["failed"] == 0
    assert lab.ssh(VM, "ls -d /opt/kata /usr/local/bin/containerd-shim-kata-v2 2>/dev/null", check=False) == ""
    assert counts(role(lab, folder, "kata", **given, **old))["failed"] == 0
    assert links(lab) == list(LAYOUTS["xz"])[:2]
    assert counts(role(lab, folder, "kata", **new))["failed"] == 0
    assert links(lab) == list(LAYOUTS["zst"])[:2]
    assert "io.containerd.kata.v2" in lab.ssh(VM, "containerd config dump")
    assert lab.ssh(VM, "systemctl is-active containerd").strip() == "active"
    loaded = lab.ssh(VM, "lsmod")
    assert all(re.search(rf"^{name} ", loaded, re.MULTILINE) for name in ("kvm_amd", "vhost_vsock", "vhost_net"))
    again = counts(role(lab, folder, "kata", **new))
    assert (again["changed"], again["failed"]) == (0, 0)
    assert counts(role(lab, folder, "kata", **old))["failed"] == 0
    assert links(lab) == list(LAYOUTS["xz"])[:2]
    assert lab.ssh(VM, "ls /opt/kata/bin").split() == ["containerd-shim-kata-v2", "kata-runtime"]
    assert counts(role(lab, folder, "kata", kata_state="absent"))["failed"] == 0
    left = "ls -d /opt/kata /usr/local/bin/containerd-shim-kata-v2 /etc/containerd/conf.d/kata.toml"
    assert lab.ssh(VM, f"{left} 2>/dev/null", check=False) == ""
    assert "io.containerd.kata.v2" not in lab.ssh(VM, "containerd config dump")


def gvisor(lab: Lab, folder: Path) -> None:
    """Removed, checked, and installed again."""
    present = "command -v runsc; ls -d /var/lib/tenancy/rootfs/base"
    assert counts(role(lab, folder, "gvisor", gvisor_state="absent"))["failed"] == 0
    assert lab.ssh(VM, f"{present} 2>/dev/null", check=False) == ""
    planned = counts(role(lab, folder, "gvisor", "--check"))
    assert (planned["failed"], planned["changed"]) == (0, 2)
    assert lab.ssh(VM, f"{present} 2>/dev/null", check=False) == ""
    done = counts(role(lab, folder, "gvisor"))
    assert (done["failed"], done["changed"]) == (0, 2)
    assert len(lab.ssh(VM, present).split()) == 2
    assert lab.ssh(VM, "runsc --ignore-cgroups --network=none do echo works").strip() == "works"


def story(lab: Lab, folder: Path) -> None:
    """All of it, in one VM, while other tests use the other one: it takes minutes, most of them waiting."""
    lab.module(VM, "predictive.tenancy.vm_partition", tenants=[], purge=True)
    kata(lab, folder)
    gvisor(lab, folder)
