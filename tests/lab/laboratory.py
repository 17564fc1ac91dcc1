# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One lab of virtual machines, as tests reach it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from ansible_collections.predictive.tenancy.tests.environments import ROOT, variables

INVENTORY = ROOT / "inventories" / "lab"
ENCLOSURE = ROOT / "roles" / "kvm_host" / "files" / "enclosure.py"
HOME = Path(sys.prefix)


def changed_tasks(shown: str) -> set[str]:
    """The names of the tasks that reported a change."""
    found, task = set(), ""
    for line in shown.splitlines():
        if match := re.match(r"(?:TASK|RUNNING HANDLER) \[(.*)\]", line):
            task = match.group(1)
        elif line.startswith("changed:"):
            found.add(task)
    return found


class Lab:
    """One lab: its folder, and the ways to reach what is in it. ``virsh`` and ``ssh`` use nothing of the collection's
    own modules."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def ansible(self, *words: str, check: bool = True) -> str:
        """Run an Ansible program with the lab's inventory; what it printed, also shown as it comes."""
        program, *arguments = words
        extra = ["-i", str(INVENTORY), "-e", f"tenancy_lab_root={self.root}"]
        command = [str(HOME / "bin" / program), *extra, *arguments]
        lines = []
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        with subprocess.Popen(command, **streams, text=True, cwd=ROOT, env=variables(HOME)) as process:
            assert process.stdout is not None
            for line in process.stdout:
                sys.stdout.write(line)
                lines.append(line)
        assert not check or process.returncode == 0, f"{' '.join(command)}:\n{''.join(lines[-60:])}"
        return "".join(lines)

    def play(self, name: str, *arguments: str, check: bool = True) -> str:
        """Run a playbook of the project."""
        return self.ansible("ansible-playbook", *arguments, str(ROOT / "playbooks" / f"{name}.yml"), check=check)

    def role(self, name: str, host: str, **variables: Any) -> str:
        """Apply a role of the project to a host; what was printed."""
        play = {"hosts": host, "gather_facts": False, "vars": variables, "roles": [f"predictive.tenancy.{name}"]}
        with tempfile.NamedTemporaryFile("w", suffix=".yml", encoding="utf-8") as book:
            json.dump([play], book)
            book.flush()
            return self.ansible("ansible-playbook", book.name)

    def bring(self, vm: str, folder: str, *programs: Path) -> None:
        """Copy the collection's logic, and programs that use it, into a folder of a virtual machine."""
        inside = "ansible_collections/predictive/tenancy/plugins/module_utils"
        with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
            with tarfile.open(archive.name, "w") as packed:
                packed.add(ROOT / "plugins" / "module_utils", inside)
                for program in programs:
                    packed.add(program, program.name)
            self.ssh(vm, f"mkdir -p {folder}")
            words = f"src={archive.name} dest={folder}"
            self.ansible("ansible", vm, "-m", "ansible.builtin.unarchive", "-a", words)

    def modules(self, hosts: str, name: str, *words: str, **arguments: Any) -> dict[str, dict[str, Any]]:
        """Run a module on hosts and return what it returned on each, failed or not."""
        shown = self.ansible("ansible", hosts, "-m", name, "-a", json.dumps(arguments), *words, check=False)
        starts = re.finditer(r"^(\S+) \| [A-Z]+!? => (?=\{)", shown, re.MULTILINE)
        return {start.group(1): json.JSONDecoder().raw_decode(shown, start.end())[0] for start in starts}

    def module(self, host: str, name: str, *words: str, **arguments: Any) -> dict[str, Any]:
        """Run a module on a host and return its result, failed or not."""
        found = self.modules(host, name, *words, **arguments)
        assert host in found, f"{name} on {host} gave no result"
        return found[host]

    def enclosure(self, action: str, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the script that makes and enters the lab's namespaces."""
        command = [sys.executable, str(ENCLOSURE), action, str(self.root / "kvm"), *words]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def virsh(self, *words: str) -> str:
        """What virsh prints."""
        return self.enclosure("exec", "virsh", "-q", "-c", "qemu:///system", *words).stdout

    def ssh(self, vm: str, command: str, check: bool = True) -> str:
        """What a command prints in a virtual machine, over an SSH connection of its own."""
        proxy = f"'{sys.executable}' '{ENCLOSURE}' connect '{self.root / 'kvm'}' %h %p"
        address = {"vm1": "192.168.150.11", "vm2": "192.168.150.12"}[vm]
        known = self.root / "vms" / vm / "known_hosts"
        options = [f"ProxyCommand={proxy}", "ProxyUseFdpass=yes", f"UserKnownHostsFile={known}", "IdentitiesOnly=yes"]
        options += ["ConnectTimeout=30", "BatchMode=yes", "LogLevel=ERROR"]
        words = [word for option in options for word in ("-o", option)]
        call = ["ssh", *words, "-i", str(self.root / "ssh" / "id"), f"root@{address}", command]
        done = subprocess.run(call, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)
        assert not check or done.returncode == 0, f"{command} in {vm}: {done.stdout}{done.stderr}"
        return done.stdout

    def processes(self) -> dict[int, str]:
        """The processes that are in the lab's namespaces or whose files are in its folder: id to command line."""
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                spaces = (entry / "mountinfo").read_text(encoding="utf-8")
            except OSError:
                continue  # it ended while we looked
            if str(self.root) in spaces or str(self.root) in line:
                found[int(entry.name)] = line
        return found
