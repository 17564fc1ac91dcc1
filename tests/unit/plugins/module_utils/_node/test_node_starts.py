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


def run(systemd, *items):
    returned = partition.run(systemd.host(), list(items), False, False)
    return {item["name"]: item for item in returned["results"]}


def test_nothing_starts_that_the_machine_has_no_memory_for(systemd):
    systemd.left(10 * MIB)
    systemd.programs["runc"] = "/usr/sbin/runc"
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
    assert "1MiB of memory left" in run(systemd, tenant("a", claim="s"))["a"]["error"]
    systemd.left(100 * MIB)
    assert run(systemd, tenant("a", claim="s"))["a"]["started"] == "claimed"


def test_each_failed_start_has_its_own_reason(systemd):
    reasons = {"tight": "of an out-of-memory (OOM) siutation", "slow": "a timeout was exceeded"}
    units = {name: f"tenancy-gvisor@{name}.service" for name in (*reasons, "wrong")}
    systemd.broken |= set(units.values())
    systemd.reasons = {units[name]: reason for name, reason in reasons.items()}
    got = run(systemd, tenant("tight", most="8MiB"), tenant("slow"), tenant("wrong"), tenant("fine"))
    errors = {name: item["error"] for name, item in got.items()}
    before = "the sandbox does not run, it is failed (dead)"
    assert errors == {
        name: why and f"{name}: {before}: {why} (see journalctl -u {units[name]})"
        for name, why in {
            "tight": "it was ended for want of memory, its maximum is 8MiB",
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
