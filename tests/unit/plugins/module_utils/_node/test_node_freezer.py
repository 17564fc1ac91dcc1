# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands still, what goes on, and what systemd knows of it."""

from __future__ import annotations

import errno
import os

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import CommandError
from ansible_collections.predictive.tenancy.plugins.module_utils._node import claims, freezer, partition, shadows
from ansible_collections.predictive.tenancy.plugins.module_utils._node.caps import Cap

MIB = 1024 * 1024


def tenant(name, **more):
    return {"name": name, "cpu": {"cores": 0.5}, "memory": {"max": "128MiB"}, **more}


shadow = tenant


def reserve(systemd, items, purge=False, check=False, cap=None):
    return shadows.run(systemd.host(), items, [], purge, cap or Cap(), check)


def run(systemd, *items, check=False):
    returned = partition.run(systemd.host(), list(items), False, check)
    return {item["name"]: item for item in returned["results"]}


def one(returned):
    return returned["results"][0]


def held_frozen(systemd, instance):
    with open(os.path.join(systemd.paths.slice(instance), "cgroup.events"), encoding="ascii") as handle:
        return "frozen 1" in handle.read()


def known(machine, instance):
    """Whether systemd knows that a slice stands still."""
    return f"tenants-{instance}.slice" in machine.frozen


def test_what_ends_while_it_stands_still_is_not_started_by_systemd_but_made_anew(machine):
    paused = tenant("p", state="paused")
    reserve(machine, [shadow("s")])
    partition.run(machine.host(), [paused], False, False)
    for instance in ("s.1", "p"):
        unit = f"tenancy-gvisor@{instance}.service"
        machine.active.discard(unit)
        assert machine.run(["systemctl", "restart", "--", unit])[0] == 1
    for check in (True, False):
        assert one(reserve(machine, [shadow("s")], check=check))["actions"] == ["start"]
        assert one(partition.run(machine.host(), [paused], False, check))["actions"] == ["start"]
    for instance in ("s.1", "p"):
        assert f"tenancy-gvisor@{instance}.service" in machine.active
        assert known(machine, instance)
    assert not reserve(machine, [shadow("s")])["changed"]
    assert not partition.run(machine.host(), [paused], False, False)["changed"]


def test_systemd_is_told_what_goes_on(machine):
    reserve(machine, [shadow("s"), shadow("t"), shadow("u")])
    partition.run(machine.host(), [tenant("p", state="paused")], False, False)
    wanted = [tenant("p"), tenant("c", claim="s"), tenant("d", claim="t", state="paused")]
    done = partition.run(machine.host(), wanted, False, False)
    assert [(item["error"], item["started"]) for item in done["results"]] == [
        ("", ""), ("", "claimed"), ("", "claimed")]  # fmt: skip
    assert machine.frozen == {"tenants-t.1.slice", "tenants-u.1.slice"}
    assert not partition.run(machine.host(), wanted, False, True)["changed"]
    reserve(machine, [], purge=True)
    assert machine.frozen == {"tenants-t.1.slice"}


def test_what_is_frozen_by_half_is_settled(machine):
    """A run that was killed while it thawed, and somebody's hand."""
    reserve(machine, [shadow("s")])
    for kernel, systemd in ((False, True), (True, False)):
        machine.freeze("tenants-s.1.slice", kernel)
        machine.frozen = {"tenants-s.1.slice"} if systemd else set()
        assert one(reserve(machine, [shadow("s")]))["actions"] == ["pause"]
        assert held_frozen(machine, "s.1")
        assert known(machine, "s.1")
        assert not reserve(machine, [shadow("s")])["changed"]
    freezer.let_go(machine.host(), "s.1")
    assert one(partition.run(machine.host(), [tenant("c", claim="s")], False, False))["started"] == "claimed"
    assert not known(machine, "s.1")
    machine.frozen = {"tenants-s.1.slice"}  # it was claimed, and the run was killed before systemd was told
    assert one(partition.run(machine.host(), [tenant("c", claim="s")], False, False))["actions"] == ["resume"]
    assert not known(machine, "s.1")


RUNC = {"sandbox": {"runtime": "runc"}}


def test_another_runtime_for_what_stands_still(machine):
    machine.programs["runc"] = "/usr/sbin/runc"
    run(machine, tenant("p", state="paused"), tenant("q", state="paused"))
    reserve(machine, [shadow("s")])
    got = run(machine, tenant("p", state="paused", **RUNC), tenant("q", **RUNC))
    assert [item["error"] for item in got.values()] == ["", ""]
    assert one(reserve(machine, [shadow("s", **RUNC)]))["error"] == ""
    assert machine.frozen == {"tenants-p.slice", "tenants-s.1.slice"}
    assert not run(machine, tenant("p", state="paused", **RUNC), tenant("q", **RUNC))["p"]["changed"]


def test_room_is_asked_for_with_the_runtime_that_will_be(machine):
    machine.programs["runc"] = "/usr/sbin/runc"
    run(machine, tenant("a", **RUNC), tenant("b"))
    machine.left(10 * MIB)
    for name in ("a", "b"):
        machine.use(name, MIB)
    for check in (True, False):
        got = run(machine, tenant("a"), tenant("b", **RUNC), check=check)
        assert "the start of a gvisor sandbox takes 20MiB" in got["a"]["error"]
        assert got["b"]["error"] == ""
    assert {"tenancy-runc@a.service", "tenancy-runc@b.service"} <= machine.active


@pytest.mark.parametrize("old", [False, True])
def test_the_dead_are_repaired_and_removed_whatever_systemd_refuses(machine, old):
    machine.old = old
    items = [tenant("p", state="paused"), tenant("q", state="paused")]
    run(machine, *items)
    machine.active -= {"tenancy-gvisor@p.service", "tenancy-gvisor@q.service"}
    repaired = run(machine, items[0], {"name": "q", "state": "absent"})
    assert [item["error"] for item in repaired.values()] == ["", ""]
    assert bool(repaired["p"]["notes"]) is old
    machine.freeze("tenants-p.slice", True)  # which the fake systemd, that takes it for frozen, has not done again
    assert not run(machine, items[0])["p"]["changed"]


def test_a_claim_that_fails_after_it_was_let_go_is_known_to_systemd(machine, monkeypatch):
    reserve(machine, [shadow("s")])

    def full(*_arguments):
        raise CommandError("cannot write: No space left on device", item="record.json")

    with monkeypatch.context() as patch:
        patch.setattr(claims.records, "write", full)
        failed = run(machine, tenant("c", claim="s"))["c"]
    assert "No space left" in failed["error"]
    assert not known(machine, "s.1")
    assert not held_frozen(machine, "s.1")
    assert run(machine, tenant("c", claim="s"))["c"]["started"] == "claimed"


def test_a_claim_that_fails_before_it_was_let_go_stands_still(machine):
    reserve(machine, [shadow("s")])
    machine.fail_words.add("tenants-s.1.slice")
    failed = run(machine, tenant("c", claim="s", pids=77))["c"]
    assert (bool(failed["error"]), failed["started"]) == (True, "")
    assert held_frozen(machine, "s.1")
    assert known(machine, "s.1")


def test_what_is_refused_a_start_stands_still(machine):
    names = ("p", "q")
    run(machine, *(tenant(name, state="paused") for name in names))
    for name in names:
        machine.use(name, 2 * MIB)
    machine.left(30 * MIB)
    left = machine._restart

    def restart(units):
        machine.left(0)  # the first start takes all that there was
        return left(units)

    machine._restart = restart
    anew = {"sandbox": {"command": ["sleep", "9"]}}
    got = run(machine, *(tenant(name, state="paused", **anew) for name in names))
    assert [bool(item["error"]) for item in got.values()] == [False, True]
    assert machine.frozen == {"tenants-p.slice", "tenants-q.slice"}
    assert held_frozen(machine, "q")


def test_a_shadow_that_was_frozen_and_not_pushed_out_is(machine, monkeypatch):
    def killed(*_arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shadows, "shrink", killed)
        with pytest.raises(KeyboardInterrupt):
            reserve(machine, [shadow("s")])
    assert held_frozen(machine, "s.1")
    for check in (True, False):
        assert one(reserve(machine, [shadow("s")], check=check))["actions"] == ["repair"]
    assert one(reserve(machine, [shadow("s")]))["held"] == MIB
    assert not reserve(machine, [shadow("s")])["changed"]


def test_what_goes_on_does_not_wait_for_cold_starts(machine):
    run(machine, tenant("p", state="paused"))
    machine.calls.clear()
    run(machine, tenant("new"), tenant("p"))
    verbs = [words[3] for words in machine.writes]
    assert verbs.index("thaw") < verbs.index("restart")


def test_a_created_shadow_that_somebody_froze_is_let_go_before_it_starts(machine):
    reserve(machine, [shadow("c", tier="created")])
    machine._freeze(["tenants-c.1.slice"])
    machine.let_go.clear()
    assert run(machine, tenant("t", claim="c"))["t"]["started"] == "claimed"
    started = next(at for at, words in enumerate(machine.writes) if words[-2:] == ["start", "sandbox"])
    assert machine.let_go[0] == ("c.1", started)
    assert not known(machine, "c.1")


def test_shadows_give_their_memory_up_one_after_the_other(machine, monkeypatch):
    items = [shadow(name) for name in ("x", "y", "z")]
    machine.left(30 * MIB)
    plain = machine._restart

    def restart(units):
        machine.left((30 - 15 * len(units)) * MIB)  # until they are pushed out
        return plain(units)

    def reclaim(_host, folder, _target, _seconds=0.0):
        machine.use(os.path.basename(folder)[len("tenants-") : -len(".slice")], MIB)
        machine.left(30 * MIB)
        return MIB

    machine._restart = restart
    monkeypatch.setattr(shadows.slices, "reclaim", reclaim)
    for check in (True, False):
        got = reserve(machine, items, check=check)["results"]
        assert [(item["error"], item["state"]) for item in got] == [("", "waiting")] * 3
    assert not reserve(machine, items)["changed"]


def test_a_claim_comes_before_what_leaves_in_check_mode_too(machine):
    reserve(machine, [shadow("s", tier="checkpointed")])
    run(machine, tenant("old"))
    machine.use("old", 40 * MIB)
    machine.left(MIB)
    items = [tenant("c", claim="s"), {"name": "old", "state": "absent"}]
    foreseen, done = (run(machine, *items, check=check)["c"]["error"] for check in (True, False))
    assert foreseen == done
    assert "1MiB of memory left" in done


def test_a_systemd_that_cannot_be_asked_while_shadows_are_given_up_loses_no_result(machine):
    plain, asked = machine._show, []

    def show(units):
        asked.append(units)
        return (12, "", "Cannot allocate memory") if units == ["tenants-s.1.slice"] else plain(units)

    machine._show = show
    (got,) = reserve(machine, [shadow("s")], cap=Cap(memory=MIB // 2))["results"]
    assert got["error"] == "s: systemctl show failed: Cannot allocate memory"


def test_a_rehearsal_runs_after_the_memory_is_pushed_out_and_ends_still(machine):
    seen = []
    plain = machine.run

    def watch(words):
        if words[0] == "timeout":
            seen.append((words, held_frozen(machine, "s.1"), known(machine, "s.1")))
            machine.use("s.1", 3 * MIB)
            return (1, "", "no such file") if "wrong" in words else (0, "", "")
        return plain(words)

    machine.run = watch
    made = one(reserve(machine, [shadow("s", rehearse=["serve", "--once"])]))
    machine.settle("tenants-s.1.slice")
    assert (made["error"], made["notes"], made["held"]) == ("", [], 3 * MIB)
    runsc = ["/usr/bin/runsc", f"--root={machine.paths.run}/runsc/s.1", "exec", "--user", "65534:65534", "sandbox"]
    assert seen == [(["timeout", "--kill-after=1", "30", *runsc, "serve", "--once"], False, True)]
    assert held_frozen(machine, "s.1")
    assert not reserve(machine, [shadow("s", rehearse=["serve", "--once"])])["changed"]
    wrong = one(reserve(machine, [shadow("w", rehearse=["wrong"])]))
    assert (wrong["error"], wrong["notes"]) == ("", ["its rehearsal failed with exit code 1: no such file"])


@pytest.mark.parametrize(
    ("item", "why"),
    [
        ({"tier": "created", "rehearse": ["x"]}, "rehearse is not known to the tier created"),
        ({"tier": "checkpointed", "rehearse": ["x"]}, "rehearse is not known to the tier checkpointed"),
        ({"rehearse": ["x", "a\0b"]}, "rehearse has an empty program or a NUL character"),
        ({"rehearse": "x"}, "rehearse must be a list of words"),
    ],
)
def test_wrong_rehearsals(machine, item, why):
    assert why in one(reserve(machine, [shadow("s", **item)]))["error"]


@pytest.mark.parametrize(
    ("number", "said"), [(errno.ENOENT, ""), (errno.ENODEV, ""), (errno.EPERM, "cannot thaw: Operation not permitted")]
)
def test_only_a_cgroup_that_has_ended_may_be_missing(machine, monkeypatch, number, said):
    reserve(machine, [shadow("s")])

    def opened(path, *_arguments, **_more):
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(freezer, "open", opened, raising=False)
    if said:
        with pytest.raises(CommandError, match=said):
            freezer.let_go(machine.host(), "s.1")
    else:
        freezer.let_go(machine.host(), "s.1")
