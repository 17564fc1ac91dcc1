# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A claimed shadow against a cold start, until a first command has run in the sandbox, side by side.

In a VM of the lab both go through the modules' logic, and the claimed shadow's memory is measured before: `ready` is
what the module returns as seconds, `first` the first command, `until` their sum, `call` everything that the module does
and the first command; `rehearsed` is a frozen shadow that has rehearsed that command. On the bare machine the same is
done with runsc and the kernel's freezer alone, because it may have no systemd: `cold` is create, start and the first
command, `claim` is thaw and the first command.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from _common import ROOT, Report, arguments

sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tests" / "lab"))
import environments
from laboratory import Lab

VM = "vm1"
MIB = 1024**2
FOLDER = "/root/tenancy-bench"


def in_vm(lab: Lab, rounds: int, kinds: Sequence[str]) -> list[dict[str, dict[str, float]]]:
    """What _starts.py measures there, for a cold start and for a claim of each kind in each round."""
    lab.bring(VM, FOLDER, Path(__file__).with_name("_starts.py"))
    program = f"PYTHONPATH={FOLDER} python3 {FOLDER}/_starts.py {' '.join(kinds)}"
    found = [json.loads(lab.ssh(VM, program)) for _round in range(rounds)]
    lab.ssh(VM, f"rm -r {FOLDER}")
    for one in found:
        for figures in one.values():
            figures["until"] = figures["ready"] + figures["first"]
    return found


def ratio(rounds: Sequence[dict[str, dict[str, float]]], kind: str, name: str) -> float:
    """How many times faster a claim is than the cold start of the same round (median)."""
    return statistics.median(one["cold"][name] / one[kind][name] for one in rounds)


class Bare:
    """gVisor sandboxes on this machine, in a cgroup that can be frozen."""

    def __init__(self, folder: Path) -> None:
        environments.system_packages("runsc", "busybox-static")
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
        self.cgroup = Path(next(words[1] for words in mounts if words[2] == "cgroup2")) / f"tenancy-bench-{os.getpid()}"
        self.folder = folder
        self.platform = "systrap" if "systrap" in self._output("runsc", "help", "flags") else "ptrace"
        root = folder / "rootfs"
        for name in ("bin", "proc", "dev", "sys", "tmp"):
            (root / name).mkdir(parents=True)
        shutil.copy(shutil.which("busybox") or "/bin/busybox", root / "bin" / "busybox")
        for name in ("sleep", "true", "sh"):
            (root / "bin" / name).symlink_to("busybox")
        config = {
            "ociVersion": "1.0.2",
            "process": {"user": {"uid": 0, "gid": 0}, "args": ["/bin/sleep", "1000"], "env": ["PATH=/bin"], "cwd": "/"},
            "root": {"path": str(root), "readonly": True},
            "linux": {"namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]},
        }
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        self.cgroup.mkdir()

    @staticmethod
    def _output(*words: str) -> str:
        done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        return done.stdout + done.stderr

    def runsc(self, *words: str) -> None:
        """Run runsc in the cgroup; a sandbox that it starts stays there."""
        flags = [f"--root={self.folder}/run", f"--platform={self.platform}", "--network=none", "--ignore-cgroups"]
        enter = ["sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec runsc "$@"', str(self.cgroup), *flags, *words]
        log = self.folder / "log"
        with log.open("a") as output:  # a pipe would be inherited by the sandbox
            code = subprocess.run(enter, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False).returncode
        if code:
            raise SystemExit(f"runsc {' '.join(words)}: {log.read_text(encoding='utf-8')[-600:]}")

    def freeze(self, frozen: bool) -> None:
        """Stop all processes of the cgroup, or let them go on, and wait until the kernel says so."""
        (self.cgroup / "cgroup.freeze").write_text(str(int(frozen)), encoding="ascii")
        while f"frozen {int(frozen)}" not in (self.cgroup / "cgroup.events").read_text(encoding="ascii"):
            time.sleep(0.0002)

    def measure(self, rounds: int) -> dict[str, list[float]]:
        """Seconds of cold starts and claims."""
        found: dict[str, list[float]] = {"cold": [], "claim": []}
        for number in range(rounds):
            name = f"bench{number}"
            begin = time.perf_counter()
            self.runsc("create", "--bundle", str(self.folder), name)
            self.runsc("start", name)
            self.runsc("exec", name, "/bin/true")
            found["cold"].append(time.perf_counter() - begin)
            self.freeze(True)
            time.sleep(0.5)
            begin = time.perf_counter()
            self.freeze(False)
            self.runsc("exec", name, "/bin/true")
            found["claim"].append(time.perf_counter() - begin)
            self.runsc("delete", "--force", name)
        return found

    def close(self) -> None:
        """Remove the cgroup; its sandboxes are gone."""
        for _attempt in range(50):
            if not (self.cgroup / "cgroup.procs").read_text(encoding="ascii").strip():
                break
            time.sleep(0.1)
        self.cgroup.rmdir()


def main() -> int:
    """Run the benchmark; the exit status."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--lab", type=Path, default=ROOT / "build" / "lab", help="the lab's folder")
    given = parser.parse_args()
    rounds = 3 if given.quick else 9
    with tempfile.TemporaryDirectory(prefix="tenancy-bench-") as folder:
        os.chmod(folder, 0o755)
        bare = Bare(Path(folder))
        try:
            here = {kind: statistics.median(spent) for kind, spent in bare.measure(rounds * 2).items()}
        finally:
            bare.close()
    lab = Lab(given.lab)
    lab.play("provision")
    kinds = ("frozen", "rehearsed") if given.quick else ("frozen", "rehearsed", "created", "checkpointed")
    there = in_vm(lab, rounds, kinds)
    medians = {
        kind: {name: statistics.median(one[kind][name] for one in there) for name in figures}
        for kind, figures in there[0].items()
    }
    report = Report("shadow", "lab")
    report.figures = {f"bare_{kind}_seconds": spent for kind, spent in here.items()}
    for kind, figures in medians.items():
        report.figures.update({f"vm_{kind}_{name}": value for name, value in figures.items()})
    report.table("in the VM, seconds (medians) and bytes held", medians)
    report.table("on the bare machine, seconds (medians)", {kind: {"until": spent} for kind, spent in here.items()})
    most = statistics.median(one["cold"]["until"] / one["cold"]["first"] for one in there)
    report.figures["vm_most_times"] = most
    report.figures["vm_frozen_times"] = ratio(there, "frozen", "until")
    print(f"\nin the VM without a rehearsal: {report.figures['vm_frozen_times']:.1f} times")
    print(f"in the VM with all else that a call of the module does: {ratio(there, 'rehearsed', 'call'):.1f} times")
    print(f"a claim that took no time would be {most:.1f} times sooner: the first command takes the rest in both")
    report.require("in the VM: cold / claim of a shadow that has rehearsed", ratio(there, "rehearsed", "until"), 7)
    report.require("on the bare machine: cold / claim", here["cold"] / here["claim"], 4)
    held = max(one[kind]["held"] for one in there for kind in ("frozen", "rehearsed"))
    report.require("MiB held by a frozen shadow", held / MIB, 4, least=False)
    return report.end(given.json)


if __name__ == "__main__":
    sys.exit(main())
