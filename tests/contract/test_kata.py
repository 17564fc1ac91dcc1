# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the role kata brings /opt/kata to the archives that are wanted, in a mount namespace with folders of its own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

from playbooks import Play, run_playbook

RUST, GO = "runtime-rs/bin/containerd-shim-kata-v2", "bin/containerd-shim-kata-v2"


class Machine:
    """A VM's /opt and /var/lib, and the archives it may be given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kata = folder / "opt" / "kata"
        for name in ("opt", "lib", "root"):
            (folder / name).mkdir()

    def archive(self, name: str, *files: str) -> dict[str, str]:
        """An archive of such files, each of which says whose it is."""
        root = self.folder / name / "opt" / "kata"
        for file in files:
            path = root / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name, encoding="utf-8")
        target = self.folder / f"{name}.tar.xz"
        subprocess.run(["tar", "-cJf", str(target), "-C", str(self.folder / name), "./opt"], check=True)
        return {"url": f"file://{target}", "checksum": hashlib.sha256(target.read_bytes()).hexdigest()}

    def install(self, *archives: dict[str, str], check: bool = False) -> Play:
        """The role's tasks for its archives."""
        tasks = {"name": "predictive.tenancy.kata", "tasks_from": "archives.yml"}
        task = {"ansible.builtin.include_role": tasks, "vars": {"__kata_archives": archives}}
        book = [{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]
        (self.folder / "play.yml").write_text(json.dumps(book), encoding="utf-8")
        script = f'mount --bind {self.folder}/opt /opt && mount --bind {self.folder}/lib /var/lib && exec "$@"'
        root = [] if os.geteuid() == 0 else ["--map-root-user"]
        through = ["unshare", "--mount", *root, "sh", "-c", script, "sh"]
        arguments = ["--check"] if check else []
        return run_playbook(self.folder / "play.yml", self.folder / "play", through=through, arguments=arguments)

    def files(self) -> dict[str, str]:
        """What lies below /opt/kata, but for the role's own note."""
        found = (path for path in self.kata.rglob("*") if path.is_file() and path.parent != self.kata)
        return {str(path.relative_to(self.kata)): path.read_text(encoding="utf-8") for path in found}


def test_another_archive_takes_the_place_of_all_that_is_there(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    old, new = machine.archive("old", GO), machine.archive("new", RUST, "bin/kata-ctl")
    checked = machine.install(old, check=True)
    assert checked.failed == 0, checked.text
    assert machine.files() == {}
    for given, wanted in (
        (old, {GO: "old"}),
        (new, {RUST: "new", "bin/kata-ctl": "new"}),
        (old, {GO: "old"}),
    ):
        checked = machine.install(given, check=True)
        assert checked.failed == 0, checked.text
        assert checked.changed
        done = machine.install(given)
        assert done.failed == 0, done.text
        assert machine.files() == wanted
        again = machine.install(given)
        assert (again.failed, again.changed) == (0, 0), again.text


def test_two_archives_and_a_run_that_was_broken_off(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    main, tools = machine.archive("main", RUST), machine.archive("tools", "bin/kata-ctl")
    machine.kata.joinpath("bin").mkdir(parents=True)
    machine.kata.joinpath("bin", "half").write_text("an archive that was not unpacked to its end", encoding="utf-8")
    done = machine.install(main, tools)
    assert done.failed == 0, done.text
    assert machine.files() == {RUST: "main", "bin/kata-ctl": "tools"}
    again = machine.install(main, tools)
    assert (again.failed, again.changed) == (0, 0), again.text
    assert machine.install(main).failed == 0
    assert machine.files() == {RUST: "main"}
