# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small systemd over a folder: it answers ``systemctl`` as the real one does (texts taken from systemd 257) and keeps
the cgroup files of the slices, so that the logic runs whole. What real machines do is tested in tests/lab."""

from __future__ import annotations

import os
import re
import shutil
from datetime import datetime, timezone
from pathlib import Path

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._node import freezer, slices
from ansible_collections.predictive.tenancy.plugins.module_utils._node.host import Host, Paths

MIB = 1024 * 1024
_DEFAULTS = {
    "CPUQuotaPerSecUSec": "infinity", "CPUWeight": "[not set]", "AllowedCPUs": "", "MemoryLow": "0",
    "MemoryHigh": "infinity", "MemoryMax": "infinity", "MemorySwapMax": "infinity", "TasksMax": "infinity",
    "IOWeight": "[not set]", "IOReadBandwidthMax": "", "IOWriteBandwidthMax": "",
}  # fmt: skip
READS = ("show", "journalctl")


class FakeSystemd:
    """``calls`` are all commands; ``memory`` is what a slice's processes hold; ``broken`` services do not start, for
    one of the ``reasons`` that systemd gives; ``full`` slices reach their maximum of memory at a start. An ``old``
    systemd, before 256, starts what it has frozen, and does not thaw a slice whose service does not run."""

    def __init__(self, root: str) -> None:
        self.paths = Paths(root)
        self.calls: list[list[str]] = []
        self.properties: dict[str, dict[str, str]] = {}
        self.active: set[str] = set()
        self.frozen: set[str] = set()
        self.broken: set[str] = set()
        self.reasons: dict[str, str] = {}
        self.full: set[str] = set()
        self.old = False
        self.fail_words: set[str] = set()
        self.entered: dict[str, int] = {}
        self.short_lived: set[str] = set()
        self.drop_ins: dict[str, list[str]] = {}
        self.time = 100.0
        self.programs = {"runsc": "/usr/bin/runsc"}
        for folder in (self.paths.cgroup, self.paths.rootfs + "/base/bin", self.paths.units):
            os.makedirs(folder)
        os.makedirs(os.path.join(root, "sys/devices/system/cpu"))
        self._write(os.path.join(root, "sys/devices/system/cpu/online"), "0-3\n")
        self._write(os.path.join(self.paths.cgroup, "cgroup.controllers"), "cpuset cpu io memory pids\n")
        os.makedirs(os.path.join(root, "proc"))
        self._write(os.path.join(root, "proc/meminfo"), "MemTotal: 2000000 kB\nMemAvailable: 1000000 kB\n")
        for folder in (self.paths.rootfs, self.paths.rootfs + "/base"):
            os.chmod(folder, 0o755)

    @staticmethod
    def _write(path: str, text: str) -> None:
        with open(path, "w", encoding="utf-8") as handle:
            handle.write(text)

    def host(self) -> Host:
        """The machine as the logic sees it."""

        def clock() -> float:
            self.time += 0.001
            return self.time

        def sleep(seconds: float) -> None:
            self.time += seconds

        now = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
        return Host(self.run, self.programs.get, clock, sleep, now, self.paths, cpus=4)

    @property
    def writes(self) -> list[list[str]]:
        """The commands that change something."""
        return [words for words in self.calls if not any(read in words for read in READS)]

    def run(self, words: list[str]) -> tuple[int, str, str]:
        """The command runner."""
        self.calls.append(list(words))
        rest = [word for word in words[1:] if not word.startswith("--")]
        if words[0] == "journalctl":
            unit = next(word.partition("=")[2] for word in words if word.startswith("--unit="))
            return 0, "" if unit in self.reasons else "creating container: no such file\n", ""
        if words[0] != "systemctl":
            return self._checkpoint(words) if "checkpoint" in words else (0, "", "")
        if rest[0] != "show" and any(word in self.fail_words for word in rest):
            return 1, "", "Failed: told to fail"
        handler = getattr(self, "_" + rest[0].replace("-", "_"))
        return handler(rest[1:])

    def _checkpoint(self, words: list[str]) -> tuple[int, str, str]:
        """As runsc does: the sandbox is written to a folder and ends."""
        if "checkpoint" in self.fail_words:
            return 1, "", "no space left on device"
        (folder,) = (word.partition("=")[2] for word in words if word.startswith("--image-path="))
        self._write(os.path.join(folder, "checkpoint.img"), "memory" * 1000)
        instance = words[1].rpartition("/")[2]
        self.active.discard(f"tenancy-gvisor@{instance}.service")
        return 0, "", ""

    def cgroup(self, unit: str) -> str:
        """The cgroup of a slice."""
        return os.path.join(self.paths.cgroup, "tenants.slice", unit)

    def left(self, memory: int, swap: int = 0) -> None:
        """Let the machine have so many bytes of memory and of swap left."""
        lines = [f"{name}: {size // 1024} kB\n" for name, size in (("MemAvailable", memory), ("SwapFree", swap))]
        self._write(os.path.join(self.paths.root, "proc/meminfo"), "".join([*lines, "HugePages_Total:       0\n"]))

    def use(self, instance: str, memory: int) -> None:
        """Let a slice's processes hold this much."""
        self._write(os.path.join(self.paths.slice(instance), "memory.current"), str(memory))

    @staticmethod
    def own_slice(unit: str) -> str:
        """The slice of a sandbox's service, or itself."""
        return unit if unit.endswith(".slice") else f"tenants-{unit.partition('@')[2].replace('.service', '')}.slice"

    def freeze(self, unit: str, frozen: bool) -> None:
        """As systemd does it: the slice and the service in it."""
        for folder in (self.cgroup(unit), os.path.join(self.cgroup(unit), "sandbox.service")):
            os.makedirs(folder, exist_ok=True)
            self._write(os.path.join(folder, "cgroup.freeze"), str(int(frozen)))
        self.settle(unit)

    def settle(self, unit: str) -> None:
        """What the kernel says of a slice after somebody wrote into its files."""
        states = [Path(folder, "cgroup.freeze") for folder, _folders, _files in os.walk(self.cgroup(unit))]
        frozen = any(path.read_text(encoding="ascii") == "1" for path in states if path.exists())
        self._write(os.path.join(self.cgroup(unit), "cgroup.events"), f"populated 1\nfrozen {int(frozen)}\n")

    def _drop_ins(self, unit: str) -> list[str]:
        template = unit.partition("@")[0] + "@.service"
        kinds = ("service", template, unit) if unit.endswith(".service") else (unit,)
        return [path for kind in kinds for path in self.drop_ins.get(kind, [])]

    def _show(self, units: list[str]) -> tuple[int, str, str]:
        blocks = []
        for unit in units:
            active = unit in self.active
            lines = [f"Id={unit}", "LoadState=loaded", "Result=success", "MainPID=1",
                     f"DropInPaths={' '.join(self._drop_ins(unit))}",
                     "InactiveExitTimestampMonotonic=1000000",
                     f"ActiveEnterTimestampMonotonic={self.entered.get(unit, 1250000)}",
                     f"ActiveState={'failed' if unit in self.broken else 'active' if active else 'inactive'}",
                     f"SubState={'running' if active else 'dead'}",
                     f"FreezerState={'frozen' if unit in self.frozen else 'running'}"]  # fmt: skip
            for name, default in _DEFAULTS.items():
                lines.append(f"{name}={self.properties.get(unit, {}).get(name, default)}")
            blocks.append("\n".join(lines))
        return 0, "\n\n".join(blocks) + "\n", ""

    def _set_property(self, words: list[str]) -> tuple[int, str, str]:
        unit, settings = words[0], self.properties.setdefault(words[0], {})
        for word in words[1:]:
            name, _sign, value = word.partition("=")
            if name == "CPUQuota":
                name, value = "CPUQuotaPerSecUSec", f"{float(value[:-1]) / 100:.6f}s" if value else "infinity"
            settings[name] = value
        if os.path.isdir(self.cgroup(unit)):
            self._enforce(unit)
        return 0, "", ""

    def _enforce(self, unit: str) -> None:
        folder, held = self.cgroup(unit), {**_DEFAULTS, **self.properties.get(unit, {})}
        os.makedirs(folder, exist_ok=True)
        quota = held["CPUQuotaPerSecUSec"]
        bound = "max" if quota == "infinity" else str(round(float(quota[:-1]) * 100000))
        values = {"cpu.max": f"{bound} 100000", "cpuset.cpus": held["AllowedCPUs"]}
        values["cpu.weight"] = "100" if "not" in held["CPUWeight"] else held["CPUWeight"]
        for name, key in (
            ("low", "MemoryLow"),
            ("high", "MemoryHigh"),
            ("max", "MemoryMax"),
            ("swap.max", "MemorySwapMax"),
        ):
            values[f"memory.{name}"] = held[key].replace("infinity", "max")
        values["pids.max"] = held["TasksMax"].replace("infinity", "max")
        values["io.max"] = "".join(
            f"254:0 {key}={held[name].rsplit(' ', 1)[1]} "
            for key, name in (("rbps", "IOReadBandwidthMax"), ("wbps", "IOWriteBandwidthMax"))
            if held[name]
        )
        for name, value in values.items():
            self._write(os.path.join(folder, name), value + "\n")
        if not os.path.exists(os.path.join(folder, "memory.current")):
            self.settle(unit)
            self.use(re.sub(r"^tenants-|\.slice$", "", unit), 16 * MIB)

    def _restart(self, units: list[str]) -> tuple[int, str, str]:
        said = []
        for unit in units:
            if (own := self.own_slice(unit)) in self.full:
                os.makedirs(self.cgroup(own), exist_ok=True)
                self._write(os.path.join(self.cgroup(own), "memory.events"), "low 0\noom 1\noom_kill 1\n")
            if own in self.frozen and not self.old:
                said.append(f"Cannot perform operation on frozen unit {unit}.")
                continue
            if unit in self.short_lived:
                self.entered[unit] = round((self.time + 1) * 1e6)
            elif unit not in self.broken:
                self.active.add(unit)
                self._enforce(f"tenants-{unit.partition('@')[2].replace('.service', '')}.slice")
        usual = "the control process exited with error code"
        said += [
            f'Job for {unit} failed because {self.reasons.get(unit, usual)}.\nSee "systemctl status {unit}".'
            for unit in units
            if unit in self.broken
        ]
        return (1, "", "\n".join(said)) if said else (0, "", "")

    def _stop(self, units: list[str]) -> tuple[int, str, str]:
        still = [unit for unit in units if self.own_slice(unit) in self.frozen and not self.old]
        if still:
            return 1, "", f"Cannot perform operation on frozen unit {still[0]}."
        self.active -= set(units)
        for unit in units:
            if unit.endswith(".slice"):
                shutil.rmtree(self.cgroup(unit), ignore_errors=True)
        return 0, "", ""

    def _revert(self, units: list[str]) -> tuple[int, str, str]:
        for unit in units:
            self.properties.pop(unit, None)
            self.drop_ins.pop(unit, None)
        return 0, "", ""

    def _freeze(self, units: list[str]) -> tuple[int, str, str]:
        for unit in units:
            if unit in self.frozen:
                continue  # what it takes for frozen, systemd does not freeze again
            self.frozen.add(unit)
            self.freeze(unit, True)
        return 0, "", ""

    def _thaw(self, units: list[str]) -> tuple[int, str, str]:
        if self.old and any(unit not in {self.own_slice(service) for service in self.active} for unit in units):
            return 1, "", "Failed to thaw unit: Device or resource busy"
        self.frozen -= set(units)
        for unit in units:
            self.freeze(unit, False)
        return 0, "", ""

    def _daemon_reload(self, _units: list[str]) -> tuple[int, str, str]:
        return 0, "", ""

    _reset_failed = _daemon_reload
    _start = _restart


@pytest.fixture
def systemd(tmp_path):
    """A machine with systemd, cgroup v2 and gVisor."""
    return FakeSystemd(str(tmp_path))


@pytest.fixture
def machine(systemd, monkeypatch):
    """The fake kernel freezes when told and gives back nearly all memory of a frozen shadow."""

    systemd.let_go, kernel = [], freezer.let_go

    def let_go(host, instance):
        systemd.let_go.append((instance, len(systemd.writes)))
        kernel(host, instance)
        systemd.settle(f"tenants-{instance}.slice")

    def reclaim(_host, folder, _target, _seconds=0.0):
        systemd.use(os.path.basename(folder)[len("tenants-") : -len(".slice")], MIB)
        return MIB

    monkeypatch.setattr(freezer, "let_go", let_go)
    monkeypatch.setattr(slices, "reclaim", reclaim)
    return systemd
