# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a tenant costs on a VM of the lab: one vm_partition call for all tenants, beside one task for each tenant.

Both run in one play, on one VM, over the same SSH connection, with the same tenants (gVisor sandboxes). The fixed cost
is that of a call for one tenant which is as it should be: connecting, starting Python, asking systemd.
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


def playbook(count: int, few: int) -> str:
    """The play that does everything and notes when."""
    made = [{"name": f"bench_{number}", "cpu": {"cores": 0.2}, "memory": {"max": "40MiB"}} for number in range(count)]
    resized = [{**tenant, "cpu": {"cores": 0.3}, "memory": {"max": "48MiB"}} for tenant in made]
    steps = [
        ("clean", CALL, "[]", "true"),
        ("create_all", CALL, "tenants", "false"),
        ("check_all", CALL, "tenants", "false"),
        ("check_one", CALL, "tenants[:1]", "false"),
        ("check_each", LOOP, f"tenants[:{few}]", ""),
        ("resize_all", CALL, "resized", "false"),
        ("remove_all", CALL, "[]", "true"),
        ("create_each", LOOP, f"tenants[:{few}]", ""),
        ("remove_few", CALL, "[]", "true"),
    ]
    tasks = MARK.format(name="start")
    for name, text, tenants, purge in steps:
        tasks += text.format(name=name, tenants=tenants, purge=purge) + MARK.format(name=name)
    return PLAY.format(vm=VM, tenants=json.dumps(made), resized=json.dumps(resized), tasks=tasks)


def measure(lab: Lab, count: int, few: int) -> dict[str, float]:
    """Seconds of each step."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "node.yml"
        path.write_text(playbook(count, few), encoding="utf-8")
        shown = lab.ansible("ansible-playbook", str(path))
    found = re.search(r"TIMES (\[.*\])\"", shown)
    if found is None:
        raise SystemExit("the play printed no times")
    marks = json.loads(found.group(1).replace('\\"', '"'))
    return {name: at - before for (_last, before), (name, at) in zip(marks, marks[1:])}


def main() -> int:
    """Run the benchmark; the exit status."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--lab", type=Path, default=ROOT / "build" / "lab", help="the lab's folder")
    parser.add_argument("--tenants", type=int, default=12, help="tenants in the one call")
    given = parser.parse_args()
    count, few = (6, 2) if given.quick else (given.tenants, 4)
    lab = Lab(given.lab)
    lab.play("provision")
    spent = measure(lab, count, few)
    fixed = spent["check_one"]
    more = max(0.0, spent["check_all"] - fixed) / (count - 1)
    report = Report("node", f"{count} tenants")
    report.figures = {
        "call_seconds": fixed,
        "created_seconds": spent["create_all"] / count,
        "resized_seconds": spent["resize_all"] / count,
        "unchanged_seconds": spent["check_all"] / count,
        "unchanged_seconds_beyond_the_call": more,
        "removed_seconds": spent["remove_all"] / count,
    }
    each = {"created_seconds": spent["create_each"] / few, "unchanged_seconds": spent["check_each"] / few}
    report.peers = {"one task per tenant": each}
    report.table("seconds for each tenant", {"one call": report.figures, **report.peers})
    ratio = each["unchanged_seconds"] / report.figures["unchanged_seconds"]
    report.bar("unchanged: one task each / one call", ratio, 4 if given.quick else 8)
    report.bar("created: one task each / one call", each["created_seconds"] / report.figures["created_seconds"], 1.2)
    report.bar("unchanged: a further tenant / a call", more / fixed, 0.05, least=False)
    return report.end(given.json)


if __name__ == "__main__":
    sys.exit(main())
