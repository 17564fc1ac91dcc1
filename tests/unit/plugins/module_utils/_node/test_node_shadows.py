# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import CommandError, InputError
from ansible_collections.predictive.tenancy.plugins.module_utils._node import (
    lock,
    partition,
    records,
    shadows,
    usage,
)
from ansible_collections.predictive.tenancy.plugins.module_utils._node.caps import Cap, cap_from

MIB = 1024 * 1024


def shadow(name, **more):
    return {"name": name, "cpu": {"cores": 0.5}, "memory": {"max": "128MiB"}, **more}


def tenant(name, **more):
    return {"name": name, "cpu": {"cores": 0.5}, "memory": {"max": "128MiB"}, **more}


def reserve(systemd, items, claim=(), purge=False, cap=None, check=False):
    return shadows.run(systemd.host(), items, claim, purge, cap or Cap(), check)


def one(returned, key="results"):
    return returned[key][0]


def held_frozen(systemd, instance):
    with open(os.path.join(systemd.paths.slice(instance), "cgroup.freeze"), encoding="ascii") as handle:
        return handle.read() == "1"


def test_check_do_check_do(machine):
    items = [shadow("s", ttl="30m"), shadow("c", tier="created")]
    assert reserve(machine, items, check=True)["changed"]
    assert machine.writes == []
    done = reserve(machine, items)
    assert [item["error"] for item in done["results"]] == ["", ""]
    assert (one(done)["state"], one(done)["held"], one(done)["tier"]) == ("waiting", MIB, "frozen")
    assert one(done)["expires_at"] == "2026-03-01T12:30:00Z"
    assert held_frozen(machine, "s.1")
    assert not reserve(machine, items, check=True)["changed"]
    assert not reserve(machine, items)["changed"]


def test_claims_and_shadows_are_one_run(machine):
    reserve(machine, [shadow("s")])
    with lock.exclusive(machine.host(), False), pytest.raises(CommandError, match="another run"):
        reserve(machine, [shadow("s")], [{"shadow": "s", "tenant": tenant("t")}])
    returned = reserve(machine, [shadow("s")], [{"shadow": "s", "tenant": tenant("t")}])
    assert (one(returned, "claims")["started"], one(returned)["actions"]) == ("claimed", ["create"])


def test_a_shadow_and_a_tenant_that_share_user_ids_are_parted(machine):
    partition.run(machine.host(), [tenant("t")], False, False)
    reserve(machine, [shadow("s"), shadow("u")])
    known, _broken = records.scan(machine.host())
    for record in known:
        records.write(machine.host(), replace(record, index=0))
    repaired = reserve(machine, [shadow("s"), shadow("u")])
    assert [item["actions"] for item in repaired["results"]] == [["repair"], ["repair"]]
    known, _broken = records.scan(machine.host())
    assert [record.index for record in known] == [1, 0, 2]  # by the names s.1, t, u.1
    assert not reserve(machine, [shadow("s"), shadow("u")])["changed"]
    assert not partition.run(machine.host(), [tenant("t")], False, False)["changed"]


def test_a_shadow_does_not_start_with_the_machine(machine):
    reserve(machine, [shadow("s")])
    assert not os.path.exists(os.path.join(machine.paths.wants, "tenancy-gvisor@s.1.service"))


def test_a_claim_makes_a_tenant_without_a_start(machine):
    reserve(machine, [shadow("s")])
    machine.calls.clear()
    claimed = one(reserve(machine, [], [{"shadow": "s", "tenant": tenant("t")}]), "claims")
    assert (claimed["started"], claimed["actions"], claimed["slice"]) == ("claimed", ["claim"], "tenants-s.1.slice")
    # No command between a shadow and its tenant; systemd is told afterwards.
    assert [words[3:] for words in machine.writes] == [["thaw", "--", "tenants-s.1.slice"]]
    assert machine.let_go[0] == ("s.1", 0)
    assert not held_frozen(machine, "s.1")
    again = partition.run(machine.host(), [tenant("t")], False, False)
    assert not again["changed"]
    assert os.path.islink(os.path.join(machine.paths.wants, "tenancy-gvisor@s.1.service"))


def test_a_tenants_own_claim_does_the_same(machine):
    reserve(machine, [shadow("s")])
    returned = partition.run(machine.host(), [tenant("t", claim="s")], True, False)
    assert one(returned)["started"] == "claimed"
    assert not partition.run(machine.host(), [tenant("t", claim="s")], True, False)["changed"]


def test_a_claim_sets_the_limits_that_differ(machine):
    reserve(machine, [shadow("s")])
    returned = partition.run(machine.host(), [tenant("t", claim="s", cpu={"cores": 1})], False, False)
    assert one(returned)["diff"]["after"]["cpu.cores"] == "1"
    assert machine.properties["tenants-s.1.slice"]["CPUQuotaPerSecUSec"] == "1.000000s"


def test_one_shadow_is_claimed_once(machine):
    reserve(machine, [shadow("s")])
    claims = [{"shadow": "s", "tenant": tenant(name)} for name in ("t", "u")]
    returned = reserve(machine, [], claims)["claims"]
    assert [item["started"] for item in returned] == ["claimed", "cold"]
    assert "no shadow s" in returned[1]["notes"][0]


def test_a_stale_image_is_noticed_at_claim(machine):
    reserve(machine, [shadow("s")])
    os.utime(os.path.join(machine.paths.rootfs, "base", "bin"), (1, 1))
    returned = partition.run(machine.host(), [tenant("t", claim="s")], False, False)
    assert one(returned)["started"] == "cold"
    assert "stale" in one(returned)["notes"][0]
    renewed = reserve(machine, [shadow("s")])
    assert one(renewed)["actions"] == ["replace"]


def test_another_sandbox_is_not_claimed(machine):
    reserve(machine, [shadow("s")])
    returned = partition.run(machine.host(), [tenant("t", claim="s", sandbox={"command": ["x"]})], False, False)
    assert one(returned)["started"] == "cold"


def test_a_claimed_name_is_free_for_the_next_shadow(machine):
    reserve(machine, [shadow("s")])
    partition.run(machine.host(), [tenant("t", claim="s")], False, False)
    assert one(reserve(machine, [shadow("s")]))["slice"] == "tenants-s.2.slice"


def test_a_shadow_whose_time_is_over_is_given_up(machine):
    reserve(machine, [shadow("s", expires_at="2026-03-01T12:00:01Z"), shadow("k")])
    host = machine.host()
    object.__setattr__(host, "now", host.now.replace(hour=13))
    returned = shadows.run(host, [shadow("k")], [], False, Cap(), False)
    assert {item["name"]: item["actions"] for item in returned["results"]} == {"k": [], "s": ["remove"]}
    assert not os.path.exists(machine.paths.place("s.1"))


def later(machine, items, minutes, check=False, purge=False):
    host = machine.host()
    return shadows.run(replace(host, now=host.now + timedelta(minutes=minutes)), items, [], purge, Cap(), check)


def test_a_time_to_live_counts_from_the_first_run(machine):
    reserve(machine, [shadow("s", ttl="30m")])
    returned = later(machine, [shadow("s", ttl="30m")], 20)
    assert not returned["changed"]
    assert one(returned)["expires_at"] == "2026-03-01T12:30:00Z"
    moved = later(machine, [shadow("s", ttl="1h")], 20)
    assert (one(moved)["actions"], one(moved)["expires_at"]) == (["update"], "2026-03-01T13:00:00Z")


def test_a_repair_does_not_begin_a_time_to_live_anew(machine):
    reserve(machine, [shadow("s", ttl="30m")])
    machine.active.clear()
    assert one(later(machine, [shadow("s", ttl="30m")], 20))["actions"] == ["start"]
    assert not later(machine, [shadow("s", ttl="30m")], 21)["changed"]


def test_a_shadow_that_is_listed_when_its_time_to_live_is_over_is_made_anew(machine):
    items = [shadow("s", ttl="30m")]
    reserve(machine, items)
    machine.calls.clear()
    assert one(later(machine, items, 31, check=True))["actions"] == ["update", "replace"]
    assert machine.writes == []
    returned = later(machine, items, 31)
    assert (one(returned)["error"], one(returned)["actions"]) == ("", ["update", "replace"])
    assert [words[-1] for words in machine.writes if "restart" in words] == ["tenancy-gvisor@s.1.service"]
    assert one(returned)["expires_at"] == "2026-03-01T13:01:00Z"
    assert held_frozen(machine, "s.1")
    assert not later(machine, items, 31, check=True)["changed"]
    assert not later(machine, items, 60)["changed"]
    assert one(later(machine, [], 62))["actions"] == ["remove"]


def test_a_shadow_whose_time_is_over_is_not_made_however_often_it_is_listed(machine):
    items = [shadow("s", expires_at="2026-03-01T12:30:00Z", ttl="5m")]
    reserve(machine, items)
    assert not later(machine, items, 29)["changed"]
    gone = one(later(machine, items, 31))
    assert (gone["actions"], gone["notes"]) == (["remove"], ["given up: its time was over at 2026-03-01T12:30:00Z"])
    again = later(machine, items, 31)
    assert (again["changed"], one(again)["state"]) == (False, "absent")
    assert one(again)["notes"] == ["not made: its time was over at 2026-03-01T12:30:00Z"]
    assert one(later(machine, [shadow("s", state="absent")], 31))["notes"] == []


def test_the_cap_keeps_the_highest_priorities(machine):
    items = [shadow("low", priority=10), shadow("high", priority=90), shadow("mid", priority=50)]
    returned = reserve(machine, items, cap=Cap(count=2))
    assert {item["name"]: item["state"] for item in returned["results"]} == {
        "low": "absent", "high": "waiting", "mid": "waiting",
    }  # fmt: skip
    assert "cap is 2 shadows" in returned["results"][0]["notes"][0]
    assert not reserve(machine, items, cap=Cap(count=2))["changed"]


def test_the_cap_on_memory_gives_up_the_lowest_priority(machine):
    items = [shadow("a", priority=10), shadow("b", priority=90)]
    returned = reserve(machine, items, cap=Cap(memory=MIB))
    assert [item["state"] for item in returned["results"]] == ["absent", "waiting"]
    assert "all shadows hold 2MiB, the cap is 1MiB" in returned["results"][0]["notes"][0]
    assert returned["results"][0]["actions"] == ["create", "give_up"]  # what it holds was not known


def starts(machine):
    return [word for words in machine.writes if "restart" in words for word in words if word.endswith(".service")]


def stopping(machine, then):
    """Do something when a service is stopped."""
    real = machine.run

    def run(words):
        if "stop" in words and any(word.endswith(".service") for word in words):
            then()
        return real(words)

    machine.run = run


def test_a_shadow_that_the_cap_has_no_memory_for_is_not_made_again(machine):
    items, cap = [shadow("a", priority=10), shadow("b", priority=90)], Cap(memory=MIB)
    reserve(machine, items, cap=cap)
    machine.calls.clear()
    for check in (True, False, False):
        returned = reserve(machine, items, cap=cap, check=check)
        assert not returned["changed"]
        assert [item["state"] for item in returned["results"]] == ["absent", "waiting"]
        assert returned["results"][0]["notes"] == ["not made: with it all shadows hold 2MiB, the cap is 1MiB"]
    assert machine.writes == []
    assert one(reserve(machine, items, cap=Cap(memory=2 * MIB)))["state"] == "waiting"  # more is allowed: at once
    assert not reserve(machine, items, cap=Cap(memory=2 * MIB))["changed"]


def test_what_a_shadow_held_is_forgotten_after_an_hour_and_for_another_sandbox(machine):
    def run(sandbox, minutes):
        items = [shadow("a", priority=10, sandbox=sandbox), shadow("b", priority=90)]
        host = machine.host()
        host = replace(host, now=host.now + timedelta(minutes=minutes))
        return one(shadows.run(host, items, [], False, Cap(memory=MIB), False))["actions"]

    assert run({}, 0) == ["create", "give_up"]
    assert run({}, 59) == []
    assert run({"command": ["other"]}, 59) == ["create", "give_up"]
    assert run({"command": ["other"]}, 118) == []
    assert run({"command": ["other"]}, 119) == ["create", "give_up"]
    machine._write(os.path.join(machine.paths.run, "given_up.json"), '{"a": {"at": 1}')
    assert run({"command": ["other"]}, 119) == ["create", "give_up"]


def test_waiting_shadows_are_given_up_under_pressure_as_check_mode_says(machine):
    items, cap = [shadow("a", priority=10), shadow("b", priority=90)], Cap(min_available=128 * MIB)
    reserve(machine, items, cap=cap)
    machine.left(127 * MIB)
    stopping(machine, lambda: machine.left(128 * MIB))
    said = reserve(machine, items, cap=cap, check=True)
    machine.calls.clear()
    done = reserve(machine, items, cap=cap)
    for returned in (said, done):
        assert [item["actions"] for item in returned["results"]] == [["give_up"], []]
        assert "given up: 127MiB are available, shadows leave 128MiB alone" in returned["results"][0]["notes"]
        assert [item["state"] for item in returned["results"]] == ["absent", "waiting"]
    assert starts(machine) == []
    machine.left(129 * MIB)  # it held one: not enough for it and as much again
    assert not reserve(machine, items, cap=cap)["changed"]
    machine.left(130 * MIB)
    assert one(reserve(machine, items, cap=cap))["actions"] == ["create"]
    assert not reserve(machine, items, cap=cap)["changed"]


def test_a_shadow_that_takes_more_than_it_holds_is_not_made_in_turns(machine):
    """Its memory is in zram: the machine has ten MiB less, the slice holds one."""
    cap = Cap(min_available=128 * MIB)
    machine.left(132 * MIB)
    stopping(machine, lambda: machine.left(132 * MIB))
    real = machine.run

    def run(words):
        if "restart" in words:
            machine.left(122 * MIB)
        return real(words)

    machine.run = run
    assert one(reserve(machine, [shadow("s")], cap=cap))["actions"] == ["create", "give_up"]
    assert not reserve(machine, [shadow("s")], cap=cap, check=True)["changed"]
    assert not reserve(machine, [shadow("s")], cap=cap)["changed"]
    machine.left(150 * MIB)
    assert one(reserve(machine, [shadow("s")], cap=cap, check=True))["actions"] == ["create"]


def test_what_leaves_makes_room_for_what_comes(machine):
    cap = Cap(min_available=128 * MIB)
    reserve(machine, [shadow("old")], cap=cap)
    machine.left(127 * MIB)
    returned = reserve(machine, [{"name": "old", "state": "absent"}, shadow("new")], cap=cap, check=True)
    assert [item["actions"] for item in returned["results"]] == [["remove"], ["create"]]


def test_a_shadow_that_was_cut_short_is_removed_where_there_is_no_memory_for_it(machine):
    reserve(machine, [shadow("s")])
    (record,), _broken = records.scan(machine.host())
    records.write(machine.host(), replace(record, digest=""))
    assert one(reserve(machine, [shadow("s")], cap=Cap(memory=0)))["actions"] == ["give_up"]
    assert os.listdir(machine.paths.places) == []


def test_under_pressure_shadows_go_first(machine):
    returned = reserve(machine, [shadow("a"), shadow("b")], cap=Cap(min_available=2000 * MIB))
    assert [item["state"] for item in returned["results"]] == ["absent", "absent"]
    assert [item["changed"] for item in returned["results"]] == [False, False]
    assert starts(machine) == []


def test_purge_leaves_tenants_alone_and_partition_leaves_shadows_alone(machine):
    reserve(machine, [shadow("s")])
    partition.run(machine.host(), [tenant("t")], True, False)
    assert machine.active == {"tenancy-gvisor@s.1.service", "tenancy-gvisor@t.service"}
    reserve(machine, [], purge=True)
    assert machine.active == {"tenancy-gvisor@t.service"}


def settings_of(systemd, instance):
    with open(os.path.join(systemd.paths.place(instance), "settings"), encoding="utf-8") as handle:
        return handle.read()


CHECKPOINTED = shadow("k", tier="checkpointed", warmup="2s")
UNIT = "tenancy-gvisor@k.1.service"


def test_a_checkpointed_shadow_waits_on_disk(machine):
    assert reserve(machine, [CHECKPOINTED], check=True)["changed"]
    assert machine.writes == []
    before = machine.time
    done = one(reserve(machine, [CHECKPOINTED]))
    assert (done["error"], done["state"], done["tier"]) == ("", "waiting", "checkpointed")
    assert done["stored"] > 4000
    assert machine.time - before >= 2  # its warm-up
    assert UNIT not in machine.active
    folder = machine.paths.checkpoint("k.1")
    assert os.stat(folder).st_mode & 0o077 == 0
    assert f"VERB=restore --detach --image-path={folder}\n" in settings_of(machine, "k.1")
    assert usage.measure(machine.host(), 0, [])["shadows"][0]["state"] == "stored"
    assert not reserve(machine, [CHECKPOINTED], check=True)["changed"]
    assert not reserve(machine, [CHECKPOINTED])["changed"]


def test_a_checkpointed_shadow_is_restored_as_a_tenant(machine):
    reserve(machine, [CHECKPOINTED])
    machine.calls.clear()
    claimed = one(partition.run(machine.host(), [tenant("t", claim="k")], False, False))
    assert (claimed["error"], claimed["started"], claimed["notes"]) == ("", "claimed", [])
    assert [words[-1] for words in machine.writes if "start" in words] == [UNIT]
    assert "VERB=run --detach\n" in settings_of(machine, "k.1")
    assert not os.path.exists(machine.paths.checkpoint("k.1"))
    assert machine.properties["tenants-k.1.slice"]["CPUQuotaPerSecUSec"] == "0.500000s"
    assert not partition.run(machine.host(), [tenant("t", claim="k")], False, False)["changed"]


def test_a_checkpoint_that_the_runtime_refuses_means_a_cold_start(machine):
    reserve(machine, [CHECKPOINTED])
    machine.fail_words.add("start")
    claimed = one(partition.run(machine.host(), [tenant("t", claim="k")], False, False))
    assert (claimed["error"], claimed["started"]) == ("", "cold")
    assert "cannot be restored, so it starts cold" in claimed["notes"][0]
    assert UNIT in machine.active


def test_a_checkpoint_that_cannot_be_written_names_the_shadow_and_is_tried_again(machine):
    machine.fail_words.add("checkpoint")
    failed = one(reserve(machine, [CHECKPOINTED]))
    assert "k: writing a checkpoint failed: no space left" in failed["error"]
    assert not os.path.exists(machine.paths.checkpoint("k.1") + ".new")
    machine.fail_words.clear()
    assert one(reserve(machine, [CHECKPOINTED]))["diff"]["before"] == {"checkpoint": "not whole"}
    assert not reserve(machine, [CHECKPOINTED])["changed"]


@pytest.mark.parametrize("damage", ["checkpoint", "settings"])
def test_a_checkpoint_that_was_cut_short_is_made_anew_and_never_claimed(machine, damage):
    reserve(machine, [CHECKPOINTED])
    if damage == "checkpoint":
        os.rename(machine.paths.checkpoint("k.1"), machine.paths.checkpoint("k.1") + ".new")
    else:
        os.unlink(os.path.join(machine.paths.place("k.1"), "settings"))
    planned = one(partition.run(machine.host(), [tenant("t", claim="k")], False, True))
    assert "no whole checkpoint; it starts cold" in planned["notes"][0]
    assert one(reserve(machine, [CHECKPOINTED]))["actions"] == ["repair"]
    assert not reserve(machine, [CHECKPOINTED])["changed"]


def test_a_checkpoint_is_not_given_up_for_memory_that_it_does_not_hold(machine):
    cap = Cap(min_available=2**40)
    given = {item["name"]: item["state"] for item in reserve(machine, [CHECKPOINTED, shadow("s")], cap=cap)["results"]}
    assert given == {"k": "waiting", "s": "absent"}
    reserve(machine, [], purge=True)
    assert os.listdir(machine.paths.places) == []


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"tier": "checkpointed", "sandbox": {"runtime": "runc"}}, "not known to runc"),
        ({"tier": "created", "sandbox": {"runtime": "kata"}}, "not known to kata"),
        ({"tier": "created", "warmup": "1s"}, "warmup is not known"),
        ({"warmup": "6m"}, "warmup is longer"),
        ({"warmup": "soon"}, "a duration"),
    ],
)
def test_a_tier_that_the_runtime_does_not_know_is_refused(machine, more, words):
    assert words in one(reserve(machine, [shadow("s", **more)]))["error"]
    assert machine.writes == []


def test_wrong_shadows_are_named_and_the_others_are_made(machine):
    returned = reserve(machine, [shadow("s", tier="warm"), shadow("t", ttl="soon"), shadow("u")])
    errors = {item["name"]: item["error"] for item in returned["results"]}
    assert "s: tier is 'warm'" in errors["s"]
    assert "t: 'soon'" in errors["t"]
    assert errors["u"] == ""


def test_a_runtime_that_is_not_installed_keeps_no_other_shadow(machine):
    returned = reserve(machine, [shadow("s", sandbox={"runtime": "kata"}), shadow("t")])
    errors = {item["name"]: item["error"] for item in returned["results"]}
    assert errors["s"].startswith("s: runtime kata: ")
    assert (errors["t"], returned["results"][1]["state"]) == ("", "waiting")


def test_a_checkpoint_that_cannot_get_its_name_is_an_error_of_its_shadow(machine, monkeypatch):
    real = os.rename

    def full(source, target):
        if target.endswith("checkpoint"):
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "rename", full)
    returned = reserve(machine, [CHECKPOINTED, shadow("s")])
    assert "No space left on device" in one(returned)["error"]
    assert returned["results"][1]["state"] == "waiting"


def test_a_cap_is_read_in_units():
    assert cap_from({"count": 3, "memory": "64MiB", "min_available": None}) == Cap(3, 64 * MIB, 0)
    with pytest.raises(InputError):
        cap_from({"count": -1})


def test_measured_usage_has_rates_and_pressure(machine):
    partition.run(machine.host(), [tenant("t")], False, False)
    reserve(machine, [shadow("s")])
    folder = machine.paths.slice("t")
    spent = {"usage": 1_000_000}

    def write(name, text):
        with open(os.path.join(folder, name), "w", encoding="ascii") as handle:
            handle.write(text)

    write(
        "io.stat", "254:0 rbytes=4096 wbytes=100 rios=1 wios=2 dbytes=0 dios=0\n253:0 rbytes=4 wbytes=0 rios=1 wios=0\n"
    )
    write("memory.events", "low 0\nhigh 3\nmax 2\noom 1\noom_kill 1\n")
    write(
        "memory.pressure",
        "some avg10=1.50 avg60=0.20 avg300=0.00 total=1234\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n",
    )
    write("cpu.stat", f"usage_usec {spent['usage']}\nnr_periods 10\nnr_throttled 1\nthrottled_usec 50\n")
    host = machine.host()
    real = host.sleep

    def busy(seconds):
        real(seconds)
        write(
            "cpu.stat", f"usage_usec {spent['usage'] + round(seconds * 500_000)}\nnr_throttled 9\nthrottled_usec 50\n"
        )

    object.__setattr__(host, "sleep", busy)
    measured = usage.measure(host, 2.0, [])
    (entry,) = measured["tenants"]
    assert entry["cpu"]["cores"] == pytest.approx(0.5, abs=0.02)
    assert (entry["io"]["read_bytes"], entry["io"]["write_operations"]) == (4100, 2)
    assert entry["memory"]["oom_kills"] == 1
    assert entry["pressure"]["memory"]["some"] == {"avg10": 1.5, "avg60": 0.2, "avg300": 0.0, "total": 1234.0}
    assert entry["pressure"]["cpu"] is None
    assert entry["limits"]["memory"]["max"] == 128 * MIB
    assert [item["state"] for item in measured["shadows"]] == ["paused"]
    assert measured["vm"]["memory"]["total"] == 2_000_000 * 1024
    without = usage.measure(machine.host(), 0.0, ["t"])
    assert without["tenants"][0]["cpu"]["cores"] is None
    assert without["shadows"] == []


@pytest.mark.parametrize(
    ("scheduler", "model", "shares"),
    [
        ("none [bfq] mq-deadline", "", "bfq"),
        ("[none] mq-deadline", "{disk} enable=1 ctrl=auto", "iocost"),
        ("[none] mq-deadline", "{disk} enable=0 ctrl=auto", ""),
        ("[mq-deadline] none", "9:9 enable=1", ""),
    ],
)
@pytest.mark.parametrize("partition", [False, True])
def test_what_shares_the_disk_by_weight_is_named(systemd, scheduler, model, shares, partition):
    number = os.stat(systemd.paths.state).st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    disk = os.path.join(systemd.paths.root, "sys/devices/vda")
    os.makedirs(os.path.join(disk, "queue"))
    os.makedirs(os.path.join(disk, "vda1"))
    os.makedirs(os.path.join(systemd.paths.root, "sys/dev/block"))
    link = os.path.join(systemd.paths.root, "sys/dev/block", device)
    os.symlink(os.path.join(disk, "vda1") if partition else disk, link)
    files = {"dev": "254:0\n", "queue/scheduler": scheduler + "\n"}
    for name, text in files.items():
        systemd._write(os.path.join(disk, name), text)
    systemd._write(os.path.join(systemd.paths.cgroup, "io.cost.qos"), model.format(disk="254:0") + "\n")
    assert usage.io_weights(systemd.host()) == shares


def test_a_shadow_that_there_is_no_memory_for_is_no_failure(machine):
    def made(check, command="sleep"):
        items = [{**shadow("s"), "sandbox": {"command": [command, "9"]}}]
        return one(reserve(machine, items, check=check))

    machine.left(10 * MIB)
    lacks = "this machine has 10MiB of memory left, and the start of a gvisor sandbox takes 20MiB"
    for check in (True, False, True, False):
        got = made(check)
        assert (got["error"], got["state"], got["changed"]) == ("", "absent", False)
        assert got["notes"] == [f"not made: {lacks}"]
    machine.left(30 * MIB)
    assert made(False)["state"] == "waiting"
    machine.use("s.1", MIB)
    machine.left(10 * MIB)
    assert not made(False)["changed"]
    stale = made(False, command="other")
    assert (stale["error"], stale["state"], stale["actions"]) == ("", "absent", ["give_up"])
    assert "19MiB" in stale["notes"][0]
