# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a start needs, and what is said of one that failed."""

from __future__ import annotations

from ansible_collections.predictive.tenancy.plugins.module_utils._node import partition, shadows
from ansible_collections.predictive.tenancy.plugins.module_utils._node.caps import Cap

MIB = 1024 * 1024


def tenant(name, most="64MiB", **more):
    return {"name": name, "memory": {"max": most}, **more}


def run(systemd, *items, check=False):
    returned = partition.run(systemd.host(), list(items), False, check)
    return {item["name"]: item for item in returned["results"]}


def test_nothing_starts_that_the_machine_has_no_memory_for(systemd):
    systemd.left(10 * MIB)
    systemd.programs["runc"] = "/usr/sbin/runc"
    foreseen = run(systemd, tenant("large"), tenant("small", most="8MiB"), check=True)
    assert [bool(item["error"]) for item in foreseen.values()] == [True, False]
    got = run(systemd, tenant("large"), tenant("small", most="8MiB"), tenant("plain", sandbox={"runtime": "runc"}))
    assert got["large"]["error"] == (
        "large: this machine has 10MiB of memory left, and the start of a gvisor sandbox takes 20MiB "
        "(give the machine more memory, or move tenants to another one)"
    )
    assert {name: (item["error"], item["started"]) for name, item in got.items() if name != "large"} == {
        "small": ("", "cold"),
        "plain": ("", "cold"),
    }
    assert "tenancy-gvisor@large.service" not in systemd.active
    assert {name: item["error"] for name, item in foreseen.items()} == {
        name: item["error"] for name, item in got.items() if name != "plain"
    }
    systemd.left(10 * MIB, swap=20 * MIB)
    assert run(systemd, tenant("large"))["large"]["started"] == "cold"


def test_memory_for_two_starts_two_at_a_time(systemd):
    systemd.left(50 * MIB)
    got = run(systemd, *(tenant(f"t{number}") for number in range(5)))
    assert [item["started"] for item in got.values()] == ["cold"] * 5
    starts = [words for words in systemd.calls if "restart" in words]
    assert [sum(word.endswith(".service") for word in words) for words in starts] == [2, 2, 1]


def test_what_a_sandbox_holds_is_there_for_its_own_restart(systemd):
    run(systemd, tenant("a"))
    systemd.use("a", 30 * MIB)
    systemd.left(0)
    again = run(systemd, tenant("a", sandbox={"command": ["sleep", "1"]}), tenant("b"))
    assert (again["a"]["error"], again["a"]["started"]) == ("", "cold")
    assert "this machine has 0B of memory left" in again["b"]["error"]


def test_a_checkpoint_waits_while_there_is_no_memory_for_it(systemd):
    shadow = {**tenant("s"), "tier": "checkpointed"}
    shadows.run(systemd.host(), [shadow], [], False, Cap(), False)
    systemd.left(MIB)
    assert "1MiB of memory left" in run(systemd, tenant("a", claim="s"), check=True)["a"]["error"]
    assert "1MiB of memory left" in run(systemd, tenant("a", claim="s"))["a"]["error"]
    systemd.left(100 * MIB)
    assert run(systemd, tenant("a", claim="s"))["a"]["started"] == "claimed"


def test_each_failed_start_has_its_own_reason(systemd):
    memory = "of an out-of-memory (OOM) siutation"
    reasons = {"tight": memory, "crowded": memory, "slow": "a timeout was exceeded"}
    systemd.full.add("tenants-tight.slice")
    units = {name: f"tenancy-gvisor@{name}.service" for name in (*reasons, "wrong")}
    systemd.broken |= set(units.values())
    systemd.reasons = {units[name]: reason for name, reason in reasons.items()}
    got = run(systemd, tenant("tight", most="8MiB"), tenant("crowded"), tenant("slow"), tenant("wrong"), tenant("fine"))
    errors = {name: item["error"] for name, item in got.items()}
    before = "the sandbox does not run, it is failed (dead)"
    assert errors == {
        name: why and f"{name}: {before}: {why} (see journalctl -u {units[name]})"
        for name, why in {
            "tight": "it was ended for want of memory: its maximum is 8MiB",
            "crowded": "it was ended for want of memory: the machine has too little",
            "slow": "a timeout was exceeded",
            "wrong": "creating container: no such file",
            "fine": "",
        }.items()
    }


def test_what_is_refused_stays_as_it_was(systemd):
    run(systemd, tenant("a", state="paused", cpu={"cores": 0.5}))
    systemd.use("a", 2 * MIB)
    systemd.left(0)
    before = systemd.writes
    refused = run(systemd, tenant("a", state="paused", cpu={"cores": 0.5}, sandbox={"command": ["sleep", "1"]}))["a"]
    assert "of memory left" in refused["error"]
    assert systemd.writes == before
    assert not run(systemd, tenant("a", state="paused", cpu={"cores": 0.5}))["a"]["changed"]


def test_eight_failures_have_eight_reasons(systemd):
    units = [f"tenancy-gvisor@t{number}.service" for number in range(8)]
    systemd.broken |= set(units)
    systemd.reasons = dict.fromkeys(units, "a timeout was exceeded")
    got = run(systemd, *(tenant(f"t{number}") for number in range(8)))
    assert all(": a timeout was exceeded (see" in item["error"] for item in got.values())


def test_what_leaves_makes_room_in_check_mode_too(systemd):
    run(systemd, tenant("old"))
    systemd.use("old", 30 * MIB)
    systemd.left(0)
    assert run(systemd, {"name": "old", "state": "absent"}, tenant("new"), check=True)["new"]["error"] == ""


def test_a_systemd_that_cannot_be_asked_loses_no_result(systemd):
    systemd.left(50 * MIB)  # two at a time
    plain, asked = systemd._show, []

    def show(units):
        asked.append(units)
        return (12, "", "systemctl cannot be run: Cannot allocate memory") if len(asked) == 3 else plain(units)

    systemd._show = show
    got = run(systemd, *(tenant(f"t{number}") for number in range(4)))
    failed = [name for name, item in got.items() if item["error"]]
    assert failed == ["t2", "t3"]
    assert all("systemctl show failed: systemctl cannot be run" in got[name]["error"] for name in failed)
    assert [got[name]["started"] for name in ("t0", "t1")] == ["cold", "cold"]
    again = run(systemd, *(tenant(f"t{number}") for number in range(4)))
    assert [item["error"] for item in again.values()] == [""] * 4
    assert [item["changed"] for item in again.values()] == [False, False, True, True]
