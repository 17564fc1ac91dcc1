# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a tenant costs on a VM of the lab: one vm_partition call for all tenants, beside podman and one task for each.

All run on one VM with the same root file system, command and limits, and by default with runc, which podman has too.
`podman` is the program in a shell loop on the VM, without Ansible; `podman, a task each` is that in a loop of tasks.
The fixed cost is that of a call for one tenant which is as it should be: connecting, starting Python, asking systemd.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path

from _common import ROOT, Report, arguments

sys.path.insert(0, str(ROOT / "tests" / "lab"))
from laboratory import Lab

VM = "vm1"
PLAY = """
- hosts: {vm}
  gather_facts: false
  vars:
    tenants: {tenants}
    resized: {resized}
    marks: []
  tasks:
{tasks}
    - name: Print the times
      ansible.builtin.debug:
        msg: "TIMES {{{{ marks | to_json }}}}"
"""
MARK = """
    - name: Mark {name}
      ansible.builtin.set_fact:
        marks: "{{{{ marks + [['{name}', now(utc=true).timestamp()]] }}}}"
"""
CALL = """
    - name: {name}
      predictive.tenancy.vm_partition:
        tenants: "{{{{ {tenants} }}}}"
        purge: {purge}
"""
LOOP = """
    - name: {name}
      predictive.tenancy.vm_partition:
        tenants: ["{{{{ item }}}}"]
      loop: "{{{{ {tenants} }}}}"
      loop_control:
        label: "{{{{ item.name }}}}"
"""
COMMANDS = """
    - name: {name}
      ansible.builtin.command:
        argv: {argv}
      loop: "{{{{ range({few}) | list }}}}"
"""
BASE = "/var/lib/tenancy/rootfs/base"
MADE = ["--cpus=0.2", "--memory=40m", "--pids-limit=256"]
PODMAN = {
    "create": ["podman", "run", "--detach", "--quiet", "--runtime=/usr/sbin/runc", "--network=none", "--read-only",
               "--cap-drop=all", "--security-opt=no-new-privileges", *MADE, "--name=bench_%", "--rootfs", BASE,
               "sleep", "infinity"],
    "resize": ["podman", "update", "--cpus=0.3", "--memory=48m", "bench_%"],
    "check": ["podman", "inspect", "--format={{.State.Status}}", "bench_%"],
    "remove": ["podman", "rm", "--force", "--time=0", "bench_%"],
}  # fmt: skip


def tenants(count: int, runtime: str) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """The tenants as they are made, and as they are after the resize."""
    box = {"runtime": runtime, "command": ["sleep", "infinity"]}
    made = [
        {"name": f"bench_{number}", "cpu": {"cores": 0.2}, "memory": {"max": "40MiB"}, "pids": 256, "sandbox": box}
        for number in range(count)
    ]
    return made, [{**tenant, "cpu": {"cores": 0.3}, "memory": {"max": "48MiB"}} for tenant in made]


def playbook(count: int, few: int, runtime: str) -> str:
    """The play that does everything of ours, and one task for each of a few, and notes when."""
    made, resized = tenants(count, runtime)
    steps = [
        ("clean", CALL, "[]", "true"),
        ("create_all", CALL, "tenants", "false"),
        ("check_all", CALL, "tenants", "false"),
        ("check_one", CALL, "tenants[:1]", "false"),
        ("check_each", LOOP, f"tenants[:{few}]", ""),
        ("resize_all", CALL, "resized", "false"),
        ("remove_all", CALL, "[]", "true"),
        ("create_each", LOOP, f"tenants[:{few}]", ""),
        ("resize_each", LOOP, f"resized[:{few}]", ""),
        ("remove_few", CALL, "[]", "true"),
    ]
    tasks = MARK.format(name="start")
    for name, text, wanted, purge in steps:
        tasks += text.format(name=name, tenants=wanted, purge=purge) + MARK.format(name=name)
    for name, words in PODMAN.items():
        argv = json.dumps([word.replace("{{", "{{ '{{' }}", 1).replace("%", "{{ item }}") for word in words])
        tasks += COMMANDS.format(name=f"podman_{name}", argv=argv, few=few) + MARK.format(name=f"podman_{name}_task")
    return PLAY.format(vm=VM, tenants=json.dumps(made), resized=json.dumps(resized), tasks=tasks)


def measure(lab: Lab, count: int, few: int, runtime: str) -> dict[str, float]:
    """Seconds of each step of the play."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "node.yml"
        path.write_text(playbook(count, few, runtime), encoding="utf-8")
        shown = lab.ansible("ansible-playbook", str(path))
    found = re.search(r"TIMES (\[.*\])\"", shown)
    if found is None:
        raise SystemExit("the play printed no times")
    marks = json.loads(found.group(1).replace('\\"', '"'))
    return {name: at - before for (_last, before), (name, at) in zip(marks, marks[1:])}


def podman(lab: Lab, count: int) -> dict[str, float]:
    """Seconds of podman for each container, in a loop on the VM."""
    spent = {}
    for name, words in PODMAN.items():
        line = " ".join(f"'{word}'".replace("%", "'$n'") for word in words)
        loop = f"for n in $(seq {count}); do {line} > /tmp/bench_podman 2>&1 || exit 1; done"
        script = f"a=$(date +%s%N); ({loop}) || cat /tmp/bench_podman; b=$(date +%s%N); echo took $((b-a))"
        shown = lab.ssh(VM, script)
        found = re.fullmatch(r"took (\d+)", shown.strip())
        if found is None:
            raise SystemExit(f"podman {name}: {shown}")
        spent[name] = int(found[1]) / 1e9 / count
    return spent


def main() -> int:
    """Run the benchmark; the exit status."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--lab", type=Path, default=ROOT / "build" / "lab", help="the lab's folder")
    parser.add_argument("--tenants", type=int, default=200, help="tenants in the one call")
    parser.add_argument("--runtime", choices=["runc", "gvisor"], default="runc", help="the tenants' sandboxes")
    given = parser.parse_args()
    count, few = (12, 2) if given.quick else (given.tenants, 6)
    lab = Lab(given.lab)
    lab.play("provision")
    lab.ssh(VM, "apt-get -qq install --no-install-recommends runc podman > /tmp/apt 2>&1 || { cat /tmp/apt; exit 1; }")
    lab.ssh(VM, "podman rm --all --force --time=0")  # of an earlier run
    spent = measure(lab, count, few, given.runtime)
    loop = podman(lab, min(count, 20))
    fixed = spent["check_one"]
    more = max(0.0, spent["check_all"] - fixed) / (count - 1)
    report = Report("node", f"{count} tenants, {given.runtime}")
    ours = {
        "created_seconds": spent["create_all"] / count,
        "resized_seconds": spent["resize_all"] / count,
        "unchanged_seconds": spent["check_all"] / count,
        "removed_seconds": spent["remove_all"] / count,
    }
    report.figures = {**ours, "call_seconds": fixed, "unchanged_seconds_beyond_the_call": more}
    verbs = {"created": "create", "resized": "resize", "unchanged": "check"}
    report.peers = {
        "one task per tenant": {f"{done}_seconds": spent[f"{verb}_each"] / few for done, verb in verbs.items()},
        "podman, a task each": {
            f"{done}_seconds": spent[f"podman_{verb}_task"] / few
            for done, verb in {**verbs, "removed": "remove"}.items()
        },
        "podman": {f"{done}_seconds": loop[verb] for done, verb in {**verbs, "removed": "remove"}.items()},
    }
    report.table("seconds for each tenant", {"one call": ours, **report.peers})
    print(f"\na call for one tenant {fixed:.2f} s; each further unchanged one {more * 1000:.1f} ms")
    each, tasks = report.peers["one task per tenant"], report.peers["podman, a task each"]
    ratio = each["unchanged_seconds"] / ours["unchanged_seconds"]
    report.require("unchanged: one task each / one call", ratio, 4 if given.quick else 20)
    report.require("created: one task each / one call", each["created_seconds"] / ours["created_seconds"], 1.2)
    for done in verbs:
        ratio = tasks[f"{done}_seconds"] / ours[f"{done}_seconds"]
        report.require(f"{done}: podman, a task each / one call", ratio, 1.2)
    report.require(
        "unchanged: podman / one call", loop["check"] / ours["unchanged_seconds"], 0.2 if given.quick else 1.2
    )
    report.require("unchanged: a further tenant / a call", more / fixed, 0.05, least=False)
    return report.end(given.json)


if __name__ == "__main__":
    sys.exit(main())
