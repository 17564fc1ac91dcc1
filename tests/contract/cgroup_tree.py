# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a VM with tenants and shadows, as kernel 6.12 and our modules leave them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible_collections.predictive.tenancy.plugins.module_utils._node.records import Record

MIB = 1024**2
PSI = "some avg10=1.50 avg60=0.80 avg300=0.20 total={total}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total={half}\n"


def cgroup_files(seconds: float, **changes: str) -> dict[str, str]:
    """The files of a slice that has used ``seconds`` of CPU time, a tenth of it again lost to throttling."""
    usec = round(seconds * 1e6)
    stat = f"usage_usec {usec}\nuser_usec {usec}\nsystem_usec 0\n"
    stat += f"nr_periods {usec // 100_000}\nnr_throttled {usec // 1_000_000}\n"
    files = {
        "cgroup.events": "populated 1\nfrozen 0\n",
        "cgroup.freeze": "0\n",
        "cpu.stat": stat + f"throttled_usec {usec // 10}\nnr_bursts 0\nburst_usec 0\n",
        "cpu.max": "50000 100000\n",
        "memory.current": f"{64 * MIB}\n",
        "memory.swap.current": f"{4 * MIB}\n",
        "memory.low": "0\n",
        "memory.high": f"{120 * MIB}\n",
        "memory.max": f"{128 * MIB}\n",
        "memory.events": "low 0\nhigh 7\nmax 3\noom 1\noom_kill 1\noom_group_kill 0\n",
        "io.stat": "254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n"
        "254:16 rbytes=4096 wbytes=0 rios=1 wios=0\n",
        "io.max": "254:0 rbps=20000000 wbps=max riops=max wiops=max\n",
        "pids.current": "21\n",
        **{f"{name}.pressure": PSI.format(total=usec // 20, half=usec // 40) for name in ("cpu", "memory", "io")},
    }
    return {**files, **changes}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def sandbox(root: Path, instance: str, files: dict[str, str], **record: Any) -> None:
    """One tenant or shadow below ``root``."""
    known = Record(instance=instance, name=instance.partition(".")[0], runtime="gvisor", index=0, **record)
    write(root / "var/lib/tenancy/places" / instance / "record.json", json.dumps(asdict(known)))
    for name, text in files.items():
        write(root / "sys/fs/cgroup/tenants.slice" / f"tenants-{instance}.slice" / name, text)


def machine(root: Path, seconds: float) -> None:
    """A VM with two tenants, one of them without limits and pressure, and a frozen shadow."""
    sandbox(root, "web_1", cgroup_files(seconds), role="tenant", priority=70)
    free = dict.fromkeys(("memory.high", "memory.max"), "max\n")
    files = cgroup_files(2 * seconds, **free, **{"cpu.max": "max 100000\n", "io.max": ""})
    without = {name: text for name, text in files.items() if not name.endswith(".pressure")}
    sandbox(root, "batch_1", without, role="tenant")
    frozen = {"cgroup.freeze": "1\n", "memory.current": f"{2 * MIB}\n"}
    sandbox(root, "nightly.3", cgroup_files(0.5, **frozen), role="shadow", tier="frozen")
