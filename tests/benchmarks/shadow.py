# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A claimed shadow against a cold start, until a first command has run in the sandbox, side by side.

In a VM of the lab both go through the modules, and the claimed shadow's memory is measured before. On the bare machine
the same is done with runsc and the kernel's freezer alone, because it may have no systemd: `cold` is create, start and
the first command, `claim` is thaw and the first command.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _common import ROOT, Report, arguments

sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tests" / "lab"))
import environments
from laboratory import Lab

VM = "vm1"
MIB = 1024**2


def tenant(name: str, **more: Any) -> dict[str, Any]:
    """What is started and claimed."""
    return {"name": name, "cpu": {"cores": 1}, "memory": {"max": "64MiB"}, **more}


def _first_command(lab: Lab, instance: str) -> float:
    """Seconds of a command in a running sandbox, by the VM's clock."""
    script = (
        f"a=$(date +%s%N); runsc --root=/run/tenancy/runsc/{instance} exec sandbox true; b=$(date +%s%N); echo $((b-a))"
    )
    return int(lab.ssh(VM, script)) / 1e9


def _claim(lab: Lab, tier: str) -> tuple[float, float]:
    """Seconds from the claim of a shadow until a command has run in it, and the bytes that it held."""
    shadow = tenant("bench_shadow", tier=tier)
    (made,) = lab.module(VM, "predictive.tenancy.shadow_reserve", shadows=[shadow])["results"]
    if made["error"]:
        raise SystemExit(f"{tier}: {made['error']}")
    name = re.sub(r"^tenants-|\.slice$", "", made["slice"])
    return _start(lab, tenant("bench_claimed", claim="bench_shadow"), "claimed", name), float(made["held"])


def _start(lab: Lab, wanted: dict[str, Any], kind: str, instance: str) -> float:
    """Seconds of one start until a command has run, as the module and the VM's clock say."""
    (done,) = lab.module(VM, "predictive.tenancy.vm_partition", tenants=[wanted])["results"]
    if done["error"] or done["started"] != kind:
        raise SystemExit(f"{kind}: {done}")
    return float(done["seconds"]) + _first_command(lab, instance)


def in_vm(lab: Lab, rounds: int, tiers: Sequence[str]) -> dict[str, list[float]]:
    """Seconds of cold starts and of claims of each tier, and bytes held by each tier (``TIER held``)."""
    found: dict[str, list[float]] = {}
    left = [{"name": name, "state": "absent"} for name in ("bench_claimed", "bench_cold")]  # of a run that was killed
    lab.module(VM, "predictive.tenancy.vm_partition", tenants=left)
    lab.module(VM, "predictive.tenancy.shadow_reserve", shadows=[{"name": "bench_shadow", "state": "absent"}])
    for _round in range(rounds):
        for tier in tiers:
            spent, held = _claim(lab, tier)
            found.setdefault(tier, []).append(spent)
            found.setdefault(f"{tier} held", []).append(held)
            gone = {"name": "bench_claimed", "state": "absent"}
            lab.module(VM, "predictive.tenancy.vm_partition", tenants=[gone])
        found.setdefault("cold", []).append(_start(lab, tenant("bench_cold"), "cold", "bench_cold"))
        lab.module(VM, "predictive.tenancy.vm_partition", tenants=[{"name": "bench_cold", "state": "absent"}])
    return found


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
    rounds = 2 if given.quick else 4
    with tempfile.TemporaryDirectory(prefix="tenancy-bench-") as folder:
        os.chmod(folder, 0o755)
        bare = Bare(Path(folder))
        try:
            here = bare.measure(rounds * 3)
        finally:
            bare.close()
    lab = Lab(given.lab)
    lab.play("provision")
    tiers = ("frozen",) if given.quick else ("frozen", "created", "checkpointed")
    there = in_vm(lab, rounds, tiers)
    median = statistics.median
    report = Report("shadow", "lab")
    report.figures = {
        "vm_cold_seconds": median(there["cold"]),
        "vm_claim_seconds": median(there["frozen"]),
        "vm_held_mib": max(there["frozen held"]) / MIB,
        "bare_cold_seconds": median(here["cold"]),
        "bare_claim_seconds": median(here["claim"]),
    }
    for tier in tiers[1:]:
        report.figures[f"vm_{tier}_claim_seconds"] = median(there[tier])
        report.figures[f"vm_{tier}_held_mib"] = max(there[f"{tier} held"]) / MIB
    vm = {"cold": report.figures["vm_cold_seconds"], **{tier: median(there[tier]) for tier in tiers}}
    bare = {"cold": report.figures["bare_cold_seconds"], "frozen": report.figures["bare_claim_seconds"]}
    rows = {"in the VM": vm, "on the bare machine": bare}
    rows["MiB held in the VM"] = {tier: max(there[f"{tier} held"]) / MIB for tier in tiers}
    report.table("until a first command has run, seconds (medians)", rows)
    report.require("in the VM: cold / claim", report.figures["vm_cold_seconds"] / report.figures["vm_claim_seconds"], 7)
    bare_ratio = report.figures["bare_cold_seconds"] / report.figures["bare_claim_seconds"]
    report.require("on the bare machine: cold / claim", bare_ratio, 4)
    report.require("MiB held by a frozen shadow", report.figures["vm_held_mib"], 4, least=False)
    return report.end(given.json)


if __name__ == "__main__":
    sys.exit(main())
