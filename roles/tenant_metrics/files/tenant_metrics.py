# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tenants and shadows of this VM use, for node_exporter's textfile collector.

Reads the records of sandboxes and their cgroups and writes one file, whole or not at all. Standard library, Python 3.9.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time

PAIRS = ("rbytes", "wbytes", "rios", "wios")


def read(path):
    """A small file, or "" where it is absent or this kernel does not measure it (PSI)."""
    try:
        with open(path, "rb", buffering=0) as handle:
            return handle.read().decode()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        if error.errno in (19, 95):  # ENODEV, EOPNOTSUPP: the cgroup is gone, or the kernel has no PSI
            return ""
        raise


def flat(text):
    """The ``key value`` lines of cpu.stat, memory.events and the like."""
    return dict(line.split(None, 1) for line in text.splitlines())


def limit(text, scale=1.0):
    """A limit that may be ``max``, which is none."""
    return None if text.strip() in ("", "max") else float(text) * scale


class Page:
    """Samples by metric, in the order in which metrics first appear."""

    def __init__(self):
        self.metrics = {}

    def add(self, name, kind, text, labels, value):
        """One sample; what is unknown is left out."""
        lines = self.metrics.get(name)
        if lines is None:
            lines = self.metrics[name] = [f"# HELP {name} {text}\n# TYPE {name} {kind}"]
        if value is not None:
            lines.append(f"{name}{{{labels}}} {value:.16g}" if labels else f"{name} {value:.16g}")

    def text(self):
        """The page in Prometheus' text format."""
        return "\n".join(line for lines in self.metrics.values() if len(lines) > 1 for line in lines) + "\n"


def tenant(page, folder, name, record):
    """Everything about one tenant."""
    labels = f'tenant="{name}"'

    def counter(metric, text, value, more=""):
        page.add(f"tenancy_tenant_{metric}", "counter", text, labels + more, value)

    def gauge(metric, text, value, more=""):
        page.add(f"tenancy_tenant_{metric}", "gauge", text, labels + more, value)

    about = f',runtime="{record["runtime"]}",priority="{record["priority"]}"'
    gauge("info", "A tenant of this VM.", 1, about)
    cpu, events = flat(read(folder + "/cpu.stat")), flat(read(folder + "/memory.events"))
    gauge("up", "Whether a process of the tenant exists.", populated(folder))
    if not cpu:
        return
    gauge("paused", "Whether it is paused.", int(read(folder + "/cgroup.freeze").strip() == "1"))
    counter("cpu_seconds_total", "CPU time.", int(cpu.get("usage_usec", 0)) / 1e6)
    counter("cpu_throttled_seconds_total", "Time lost at the CPU limit.", int(cpu.get("throttled_usec", 0)) / 1e6)
    counter("cpu_periods_total", "Periods in which it wanted to run.", int(cpu.get("nr_periods", 0)))
    counter("cpu_throttled_periods_total", "Periods in which it was throttled.", int(cpu.get("nr_throttled", 0)))
    quota, _space, period = read(folder + "/cpu.max").partition(" ")
    gauge("cpu_limit_cores", "The CPU limit; absent without one.", limit(quota, 1 / float(period or 1e5)))
    gauge("memory_bytes", "Memory in use.", limit(read(folder + "/memory.current")))
    gauge("memory_swap_bytes", "Memory in swap.", limit(read(folder + "/memory.swap.current")))
    for bound in ("low", "high", "max"):
        text = "Memory that is protected (low), reclaimed above (high), never exceeded (max)."
        gauge("memory_limit_bytes", text, limit(read(f"{folder}/memory.{bound}")), f',limit="{bound}"')
    counter("oom_kills_total", "Processes ended for want of memory.", int(events.get("oom_kill", 0)))
    counter("memory_high_events_total", "How often it was reclaimed at high.", int(events.get("high", 0)))
    counter("memory_max_events_total", "How often it met max.", int(events.get("max", 0)))
    for direction, size, operations in disks(read(folder + "/io.stat")):
        more = f',direction="{direction}"'
        counter("io_bytes_total", "Bytes read and written.", size, more)
        counter("io_operations_total", "Reads and writes.", operations, more)
    for direction, key in (("read", "rbps"), ("write", "wbps")):
        text = "The I/O limit; absent without one."
        gauge("io_limit_bytes_per_second", text, bandwidth(folder, key), f',direction="{direction}"')
    gauge("processes", "Processes and threads.", limit(read(folder + "/pids.current")))
    for resource in ("cpu", "memory", "io"):
        for kind, stalled in pressure(read(f"{folder}/{resource}.pressure")):
            text = "Time in which some or all of its work waited for a resource (PSI)."
            counter("pressure_seconds_total", text, stalled, f',resource="{resource}",kind="{kind}"')


def shadow(page, folder, instance, record):
    """What a shadow holds."""
    labels = f'shadow="{record["name"]}",instance_name="{instance}"'
    gauges = {
        "info": ("A shadow of this VM.", 1, f',runtime="{record["runtime"]}",tier="{record["tier"]}"'),
        "up": ("Whether a process of the shadow exists.", populated(folder), ""),
        "frozen": ("Whether it is frozen.", int(read(folder + "/cgroup.freeze").strip() == "1"), ""),
        "memory_bytes": ("Memory that it holds.", limit(read(folder + "/memory.current")), ""),
        "memory_swap_bytes": ("Memory of it in swap.", limit(read(folder + "/memory.swap.current")), ""),
    }
    for metric, (text, value, more) in gauges.items():
        page.add(f"tenancy_shadow_{metric}", "gauge", text, labels + more, value)


def populated(folder):
    """1 where a cgroup holds a process."""
    return int(flat(read(folder + "/cgroup.events")).get("populated", 0))


def disks(text):
    """(direction, bytes, operations) of all devices together."""
    total = dict.fromkeys(PAIRS, 0)
    for word in text.split():
        key, sign, value = word.partition("=")
        if sign and key in total:
            total[key] += int(value)
    return (("read", total["rbytes"], total["rios"]), ("write", total["wbytes"], total["wios"]))


def bandwidth(folder, key):
    """The lowest limit of io.max over the devices, None without one."""
    words = (word.partition("=") for word in read(folder + "/io.max").split())
    found = [float(value) for name, _sign, value in words if name == key and value != "max"]
    return min(found, default=None)


def pressure(text):
    """(kind, seconds stalled) of a pressure file."""
    for line in text.splitlines():
        kind, _space, rest = line.partition(" ")
        yield kind, int(rest.rpartition("total=")[2]) / 1e6


def collect(root):
    """The page of this machine."""
    begin = time.process_time()
    page, broken, number = Page(), 0, 0
    places = os.path.join(root, "var/lib/tenancy/places")
    slices = os.path.join(root, "sys/fs/cgroup/tenants.slice")
    for instance in sorted(os.listdir(places)) if os.path.isdir(places) else ():
        try:
            record = json.loads(read(os.path.join(places, instance, "record.json")))
            role, name = record["role"], record["name"]
        except (ValueError, KeyError, TypeError):  # a run is writing it, or was killed while it did
            broken += 1
            continue
        number += 1
        folder = f"{slices}/tenants-{instance}.slice"
        if role == "tenant":
            tenant(page, folder, name, record)
        else:
            shadow(page, folder, instance, record)
    page.add("tenancy_node_sandboxes", "gauge", "Tenants and shadows of this VM.", "", number)
    page.add("tenancy_node_unreadable_records", "gauge", "Places without a usable record.", "", broken)
    page.add("tenancy_node_timestamp_seconds", "gauge", "When this was written.", "", time.time())
    cost = time.process_time() - begin
    page.add("tenancy_node_cpu_seconds", "gauge", "CPU time that this took.", "", cost)
    return page.text()


def write(path, text):
    """Write beside the file and rename it over."""
    handle, scratch = tempfile.mkstemp(prefix=".tenancy-", dir=os.path.dirname(path))
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(scratch, 0o644)
        os.replace(scratch, path)
    except OSError:
        os.unlink(scratch)
        raise


def main():
    """Collect and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", help="the file, or - for standard output")
    parser.add_argument("--root", default="/", help="where this machine's files are (for tests)")
    options = parser.parse_args()
    text = collect(options.root)
    if options.output == "-":
        sys.stdout.write(text)
    else:
        write(options.output, text)


if __name__ == "__main__":
    main()
