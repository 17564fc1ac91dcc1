# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import shutil
import threading
import time
from dataclasses import replace

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import CommandError
from ansible_collections.predictive.tenancy.plugins.module_utils._node import apply, lock, partition, records, slices
from ansible_collections.predictive.tenancy.plugins.module_utils._node.sandboxes import render_config, sandbox_from
from ansible_collections.predictive.tenancy.plugins.module_utils._node.survey import service_state

MIB = 1024 * 1024
RESULT_KEYS = {"name", "changed", "actions", "diff", "error", "state", "started", "seconds", "slice", "notes"}


def tenant(name, **more):
    return {"name": name, "cpu": {"cores": 0.5}, "memory": {"max": "256MiB"}, **more}


def run(systemd, items, purge=False, check=False):
    return partition.run(systemd.host(), items, purge, check)


def names(returned, key):
    return {item["name"]: item[key] for item in returned["results"]}


def test_check_do_check_do(systemd):
    items = [tenant("a"), tenant("b", state="paused")]
    first = run(systemd, items, check=True)
    assert first["changed"]
    assert systemd.writes == []
    assert not os.path.exists(systemd.paths.places)
    done = run(systemd, items)
    assert done["changed"]
    assert {key: item["diff"] for key, item in zip("ab", first["results"])} == {
        key: item["diff"] for key, item in zip("ab", done["results"])
    }
    assert names(done, "error") == {"a": "", "b": ""}
    assert names(done, "started") == {"a": "cold", "b": "cold"}
    before = len(systemd.writes)
    assert not run(systemd, items, check=True)["changed"]
    assert not run(systemd, items)["changed"]
    assert len(systemd.writes) == before


def test_every_result_has_the_same_shape(systemd):
    returned = run(
        systemd, [tenant("a"), tenant("B!"), tenant("c", cpu={"cores": "x"}), {"name": "d", "state": "absent"}]
    )
    assert all(set(item) == RESULT_KEYS for item in returned["results"])
    assert [item["name"] for item in returned["results"]] == ["a", "B!", "c", "d"]


def test_limits_come_before_the_sandbox(systemd):
    run(systemd, [tenant("a")])
    verbs = [words[2 + 1] for words in systemd.writes]
    assert verbs.index("set-property") < verbs.index("restart")
    assert systemd.properties["tenants-a.slice"]["MemoryMax"] == str(256 * MIB)
    assert systemd.properties["tenants-a.slice"]["CPUQuotaPerSecUSec"] == "0.500000s"


def test_a_sandbox_sees_the_cpus_that_its_quota_is_worth_while_it_starts(systemd):
    run(systemd, [tenant("a")])
    sets = [words for words in systemd.writes if "set-property" in words]
    assert "CPUQuota=100.00%" in sets[0]
    assert "AllowedCPUs=0" in sets[0]
    assert sets[1][-2:] == ["CPUQuota=50.00%", "AllowedCPUs=0-3"]


def test_many_tenants_take_few_calls(systemd):
    items = [tenant(f"t{number}") for number in range(200)]
    run(systemd, items)
    systemd.calls.clear()
    assert not run(systemd, items)["changed"]
    assert len(systemd.calls) == 2  # 401 units, 400 for each call


def test_resize_touches_only_what_differs_and_starts_nothing(systemd):
    run(systemd, [tenant("a"), tenant("b")])
    systemd.calls.clear()
    returned = run(systemd, [tenant("a", memory={"max": "512MiB"}), tenant("b")])
    assert names(returned, "changed") == {"a": True, "b": False}
    assert returned["results"][0]["actions"] == ["resize"]
    assert returned["results"][0]["diff"]["after"] == {"memory.max": "512MiB", "memory.swap": "512MiB"}
    assert [words[3:] for words in systemd.writes] == [
        ["set-property", "tenants-a.slice", f"MemoryMax={512 * MIB}", f"MemorySwapMax={512 * MIB}"]
    ]


def test_memory_in_use_is_not_cut_off(systemd):
    run(systemd, [tenant("a")])
    systemd.use("a", 200 * MIB)  # the fake kernel cannot reclaim anything
    open(os.path.join(systemd.paths.slice("a"), "memory.reclaim"), "w", encoding="ascii").close()
    small = tenant("a", memory={"high": "90MiB", "max": "100MiB"})
    returned = run(systemd, [small])
    assert "cannot shrink to 100MiB yet: 200MiB" in returned["results"][0]["notes"][0]
    assert systemd.properties["tenants-a.slice"]["MemoryMax"] == str(256 * MIB)
    assert systemd.properties["tenants-a.slice"]["MemoryHigh"] == str(90 * MIB)
    assert returned["results"][0]["diff"]["after"] == {"memory.high": "90MiB"}
    systemd.use("a", 80 * MIB)
    returned = run(systemd, [small])
    assert returned["results"][0]["notes"] == []
    assert systemd.properties["tenants-a.slice"]["MemoryMax"] == str(100 * MIB)


def test_reclaim_goes_on_while_it_helps(systemd):
    run(systemd, [tenant("a")])
    host, folder, asked = systemd.host(), systemd.paths.slice("a"), []
    systemd.use("a", 200 * MIB)

    def shrink(_path):
        asked.append(1)
        systemd.use("a", max(90, 200 - 64 * len(asked)) * MIB)

    real = slices.read_int

    def read(path):
        if path.endswith("memory.current"):
            with open(os.path.join(folder, "memory.reclaim"), encoding="ascii") as handle:
                if handle.read():
                    shrink(path)
        return real(path)

    open(os.path.join(folder, "memory.reclaim"), "w", encoding="ascii").close()
    slices.read_int = read
    try:
        assert slices.reclaim(host, folder, 100 * MIB) == 90 * MIB
    finally:
        slices.read_int = real
    assert len(asked) == 2


def test_one_wrong_tenant_does_not_keep_the_others(systemd):
    systemd.broken.add("tenancy-gvisor@bad.service")
    returned = run(systemd, [tenant("a"), tenant("bad"), tenant("c"), tenant("d", memory={"max": "1 parsec"})])
    errors = names(returned, "error")
    assert errors["a"] == errors["c"] == ""
    assert "bad: the sandbox does not run" in errors["bad"]
    assert "no such file" in errors["bad"]
    assert "d: '1 parsec' has the unknown unit" in errors["d"]
    assert {"tenancy-gvisor@a.service", "tenancy-gvisor@c.service"} <= systemd.active


def test_a_runtime_that_is_not_installed_is_an_error_of_those_that_ask_for_it(systemd):
    run(systemd, [tenant("a"), tenant("gone"), tenant("odd")])
    odd = [tenant(name, sandbox={"runtime": kind}) for name, kind in (("odd", "kata"), ("new", "runc"))]
    returned = run(systemd, [tenant("a", cpu={"cores": 1}), *odd, tenant("b")], purge=True)
    assert names(returned, "actions") == {"a": ["resize"], "odd": [], "new": [], "b": ["create"], "gone": ["remove"]}
    errors = names(returned, "error")
    assert errors["odd"].startswith("odd: runtime kata: containerd-shim-kata-v2 is not installed")
    assert errors["new"].startswith("new: ")
    assert "runc is not installed" in errors["new"]
    assert [errors[name] for name in ("a", "b", "gone")] == ["", "", ""]
    assert systemd.active == {f"tenancy-gvisor@{name}.service" for name in ("a", "b", "odd")}


def test_a_sandbox_that_ended_after_its_start_is_no_failed_start(systemd):
    systemd.short_lived.add("tenancy-gvisor@hog.service")
    (result,) = run(systemd, [tenant("hog")])["results"]
    assert (result["error"], result["started"]) == ("", "cold")
    assert "ended since" in result["notes"][0]


def test_a_failing_command_for_many_is_tried_for_each(systemd):
    run(systemd, [tenant("a"), tenant("b"), tenant("c")])
    systemd.fail_words.add("tenants-b.slice")
    returned = run(systemd, [tenant(name, state="paused") for name in "abc"])
    errors = names(returned, "error")
    assert errors["a"] == errors["c"] == ""
    assert "told to fail" in errors["b"]
    assert systemd.frozen == {"tenants-a.slice", "tenants-c.slice"}


def test_a_killed_sandbox_is_started_again(systemd):
    run(systemd, [tenant("a")])
    systemd.active.clear()
    returned = run(systemd, [tenant("a")])
    assert returned["results"][0]["actions"] == ["start"]
    assert systemd.active == {"tenancy-gvisor@a.service"}


def test_a_limit_changed_by_hand_is_put_back(systemd):
    run(systemd, [tenant("a")])
    with open(os.path.join(systemd.paths.slice("a"), "memory.max"), "w", encoding="ascii") as handle:
        handle.write("max")
    systemd.properties["tenants-a.slice"]["CPUWeight"] = "9"
    returned = run(systemd, [tenant("a")])
    assert sorted(returned["results"][0]["actions"]) == ["repair", "resize"]
    assert not run(systemd, [tenant("a")])["changed"]


@pytest.mark.parametrize("name", ["bundle/config.json", "settings"])
def test_a_bundle_changed_by_hand_is_made_anew(systemd, name):
    run(systemd, [tenant("a")])
    path = os.path.join(systemd.paths.place("a"), name)
    with open(path, "a", encoding="ascii") as handle:
        handle.write(" ")
    returned = run(systemd, [tenant("a")])
    assert returned["results"][0]["actions"] == ["repair"]
    assert returned["results"][0]["started"] == "cold"
    assert not run(systemd, [tenant("a")])["changed"]


def test_drop_ins_for_all_services_are_the_administrators(systemd):
    """Fedora has one for every service; who changes the template means all sandboxes."""
    systemd.drop_ins["service"] = ["/usr/lib/systemd/system/service.d/10-timeout-abort.conf"]
    systemd.drop_ins["tenancy-gvisor@.service"] = ["/etc/systemd/system/tenancy-gvisor@.service.d/site.conf"]
    assert run(systemd, [tenant("a"), tenant("b")])["changed"]
    assert not any("revert" in words for words in systemd.writes)
    assert not run(systemd, [tenant("a"), tenant("b")])["changed"]


@pytest.mark.parametrize("folder", ["/etc/systemd/system", "/etc/systemd/system.control", "/run/systemd/system"])
def test_a_unit_changed_by_hand_is_put_back_once(systemd, folder):
    unit = "tenancy-gvisor@a.service"
    systemd.drop_ins["service"] = ["/usr/lib/systemd/system/service.d/10-timeout-abort.conf"]
    run(systemd, [tenant("a"), tenant("b")])
    systemd.drop_ins[unit] = [f"{folder}/{unit}.d/override.conf"]
    returned = run(systemd, [tenant("a"), tenant("b")])
    assert names(returned, "actions") == {"a": ["repair"], "b": []}
    assert [words[3:] for words in systemd.writes if "revert" in words] == [["revert", "--", unit]]
    assert not run(systemd, [tenant("a"), tenant("b")])["changed"]


def test_a_masked_unit_is_changed_by_hand():
    shown = {"Id": ["tenancy-gvisor@a.service"], "LoadState": ["masked"], "DropInPaths": [""]}
    assert service_state(shown).overridden
    assert not service_state({**shown, "LoadState": ["loaded"]}).overridden


def test_another_command_makes_the_sandbox_anew_and_says_what_differs(systemd):
    run(systemd, [tenant("a")])
    returned = run(systemd, [tenant("a", sandbox={"command": ["true"]})])
    assert returned["results"][0]["actions"] == ["replace"]
    assert returned["results"][0]["diff"]["after"]["sandbox.command"] == ["true"]


def test_values_of_the_environment_are_in_no_diff_and_no_record(systemd):
    secret = {"env": {"TOKEN": "s3cret"}}
    returned = run(systemd, [tenant("a", sandbox=secret)])
    again = run(systemd, [tenant("a", sandbox={"env": {"TOKEN": "s3cret2"}})])
    assert again["changed"]
    assert "s3cret" not in json.dumps([returned, again])
    with open(os.path.join(systemd.paths.place("a"), "record.json"), encoding="utf-8") as handle:
        assert "s3cret" not in handle.read()
    bundle = os.path.join(systemd.paths.place("a"), "bundle", "config.json")
    assert os.stat(bundle).st_mode & 0o077 == 0


def test_pause_and_resume(systemd):
    run(systemd, [tenant("a")])
    assert run(systemd, [tenant("a", state="paused")])["results"][0]["actions"] == ["pause", "repair"]
    assert systemd.frozen == {"tenants-a.slice"}
    assert not run(systemd, [tenant("a", state="paused")])["changed"]
    assert run(systemd, [tenant("a")])["results"][0]["actions"] == ["resume", "repair"]
    assert systemd.frozen == set()


def test_purge_removes_what_is_not_listed_and_leaves_nothing(systemd):
    run(systemd, [tenant("a"), tenant("b", state="paused")])
    returned = run(systemd, [tenant("a")], purge=True)
    assert names(returned, "actions") == {"a": [], "b": ["remove"]}
    assert not os.path.exists(systemd.paths.place("b"))
    assert "tenants-b.slice" not in systemd.properties
    assert os.listdir(systemd.paths.wants) == ["tenancy-gvisor@a.service"]
    assert not run(systemd, [tenant("a")], purge=True)["changed"]


def test_purge_is_held_back_when_a_name_cannot_be_read(systemd):
    run(systemd, [tenant("a"), tenant("b")])
    returned = run(systemd, [tenant("a"), tenant("B ")], purge=True)
    assert names(returned, "actions")["a"] == []
    assert "b" not in names(returned, "name")
    assert "tenancy-gvisor@b.service" in systemd.active


def test_a_tenant_that_is_listed_wrongly_is_not_purged(systemd):
    run(systemd, [tenant("a"), tenant("b")])
    run(systemd, [tenant("a"), tenant("b", pids="x")], purge=True)
    assert "tenancy-gvisor@b.service" in systemd.active


def test_a_tenant_listed_twice_is_refused(systemd):
    returned = run(systemd, [tenant("a"), tenant("a"), tenant("b")])
    assert "listed twice" in names(returned, "error")["a"]
    assert systemd.active == {"tenancy-gvisor@b.service"}


def test_the_parent_protects_as_much_as_its_tenants_are_promised(systemd):
    run(systemd, [tenant("a", memory={"low": "64MiB"}), tenant("b", memory={"low": "32MiB"})])
    assert systemd.properties["tenants.slice"]["MemoryLow"] == str(96 * MIB)
    returned = run(systemd, [{"name": "a", "state": "absent"}])
    assert returned["node"]["diff"]["after"] == {"memory.low": 32 * MIB}
    assert systemd.properties["tenants.slice"]["MemoryLow"] == str(32 * MIB)


def test_systemd_is_not_asked_about_tenants_that_are_not_listed(systemd):
    both = [tenant("a", memory={"low": "64MiB"}), tenant("b", memory={"low": "32MiB"})]
    run(systemd, both)
    systemd.calls.clear()
    assert not run(systemd, both[1:])["changed"]
    assert "tenants-a.slice" not in {word for words in systemd.calls for word in words}
    shutil.rmtree(systemd.cgroup("tenants-a.slice"))  # it is stopped, and systemd alone knows what it will protect
    run(systemd, [tenant("b", memory={"low": "48MiB"})])
    assert systemd.properties["tenants.slice"]["MemoryLow"] == str(112 * MIB)


class Killed(BaseException):
    """The run ends here, as with SIGKILL."""


def killing(left, real):
    """The runner ``real``, until ``left[0]`` commands have been asked for."""

    def run_or_die(words):
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return real(words)

    return run_or_die


def test_a_run_killed_at_any_command_is_finished_by_the_next(tmp_path, systemd):
    """Kill after the first, second, ... command of a run that creates, resizes, pauses and removes."""
    make = type(systemd)
    before = [tenant("a"), tenant("b"), tenant("gone")]
    after = [tenant("a", cpu={"cores": 1}), tenant("b", state="paused"), tenant("new")]
    for step in range(1, 40):
        fake = make(str(tmp_path / str(step)))
        run(fake, before)
        left = [step]
        real = fake.run

        fake.run = killing(left, real)
        try:
            run(fake, after, purge=True)
        except Killed:
            fake.run = real
        else:
            assert step > 8
            break
        run(fake, after, purge=True)
        final = run(fake, after, purge=True)
        assert not final["changed"], step
        assert fake.active == {f"tenancy-gvisor@{name}.service" for name in ("a", "b", "new")}
        assert sorted(os.listdir(fake.paths.places)) == ["a", "b", "new"]
        assert fake.frozen == {"tenants-b.slice"}
    else:
        pytest.fail("the run never came through")


def test_a_broken_record_is_no_reason_to_stop(systemd):
    run(systemd, [tenant("a"), tenant("b")])
    for name in "ab":
        with open(os.path.join(systemd.paths.place(name), "record.json"), "w", encoding="ascii") as handle:
            handle.write('{"instance": "')
    returned = run(systemd, [tenant("a")], purge=True)
    assert names(returned, "error") == {"a": "", "b": ""}
    assert os.listdir(systemd.paths.places) == ["a"]
    assert not run(systemd, [tenant("a")], purge=True)["changed"]


def test_user_ids_are_used_again(systemd):
    run(systemd, [tenant("a"), tenant("b"), tenant("c")])
    run(systemd, [{"name": "b", "state": "absent"}, tenant("d")])
    known, _broken = records.scan(systemd.host())
    indexes = {record.name: record.index for record in known}
    assert len(set(indexes.values())) == len(indexes)
    run(systemd, [tenant("e")])
    known, _broken = records.scan(systemd.host())
    assert sorted(record.index for record in known) == [0, 1, 2, 3]


def indexes(systemd):
    return [record.index for record in records.scan(systemd.host())[0]]


def test_two_runs_at_once_are_one_after_the_other(systemd):
    """The second begins while the first starts its tenant, and reads the machine only when that is done."""
    host, real, second = systemd.host(), systemd.run, []
    patient = replace(host, clock=time.monotonic, sleep=lambda _seconds: time.sleep(0.005))
    other = threading.Thread(target=lambda: second.append(partition.run(patient, [tenant("b")], False, False)))

    def slow(words):
        if "restart" in words and not other.is_alive() and not second:
            other.start()
            other.join(0.2)
            assert other.is_alive()
        return real(words)

    partition.run(replace(host, run=slow), [tenant("a")], False, False)
    other.join(30)
    assert names(second[0], "error") == {"b": ""}
    assert indexes(systemd) == [0, 1]


def test_a_lock_that_is_not_let_go_is_named_and_nothing_is_done(systemd):
    with lock.exclusive(systemd.host(), False), pytest.raises(CommandError) as caught:
        run(systemd, [tenant("a")])
    assert str(caught.value).startswith(f"{systemd.paths.run}/lock: another run has been changing this machine for 900")
    assert systemd.calls == []
    assert names(run(systemd, [tenant("a")]), "error") == {"a": ""}


def test_check_mode_waits_for_nobody_and_leaves_no_lock(systemd):
    assert run(systemd, [tenant("a")], check=True)["changed"]
    assert not os.path.exists(systemd.paths.run)
    with lock.exclusive(systemd.host(), False):
        assert run(systemd, [tenant("a")], check=True)["changed"]


def test_a_lock_that_cannot_be_made_says_so(systemd):
    with open(systemd.paths.run.rpartition("/")[0], "w", encoding="ascii"):
        pass
    with pytest.raises(CommandError, match="cannot open the lock of this machine: Not a directory"):
        run(systemd, [tenant("a")])


def test_user_ids_that_two_have_are_repaired_and_only_one_starts_anew(systemd):
    items = [tenant("a"), tenant("b"), tenant("c")]
    run(systemd, items)
    for record in records.scan(systemd.host())[0][:2]:
        place = systemd.paths.place(record.instance)
        records.write(systemd.host(), replace(record, index=0))
        with open(os.path.join(place, "bundle", "config.json"), "w", encoding="utf-8") as handle:
            handle.write(render_config(sandbox_from({}, systemd.paths), record.instance, 0))
    assert names(run(systemd, items, check=True), "actions") == {"a": [], "b": ["repair"], "c": []}
    done = run(systemd, items)
    assert names(done, "actions") == {"a": [], "b": ["repair"], "c": []}
    assert done["results"][1]["diff"]["before"] == {"sandbox.user_ids": "those of another sandbox too"}
    assert names(done, "started") == {"a": "", "b": "cold", "c": ""}
    assert indexes(systemd) == [0, 1, 2]
    assert not run(systemd, items)["changed"]


def test_user_ids_of_one_that_is_not_listed_stay_its_own(systemd):
    run(systemd, [tenant("a"), tenant("b")])
    records.write(systemd.host(), replace(records.scan(systemd.host())[0][1], index=0))
    assert names(run(systemd, [tenant("a")]), "actions") == {"a": ["repair"]}
    assert indexes(systemd) == [1, 0]


def test_without_cgroup_v2_there_is_one_clear_error(systemd):
    os.unlink(os.path.join(systemd.paths.cgroup, "cgroup.controllers"))
    with pytest.raises(CommandError, match="no unified cgroup hierarchy"):
        run(systemd, [tenant("a")])


def test_a_missing_controller_is_named(systemd):
    with open(os.path.join(systemd.paths.cgroup, "cgroup.controllers"), "w", encoding="ascii") as handle:
        handle.write("cpu memory pids")
    with pytest.raises(CommandError, match="no cgroup controller io"):
        run(systemd, [tenant("a")])


def test_a_full_disk_fails_the_tenant_and_says_so(systemd, monkeypatch):
    def full(_source, _target):
        raise OSError(28, "No space left on device")

    run(systemd, [tenant("a")])
    monkeypatch.setattr(os, "replace", full)
    returned = run(systemd, [tenant("a"), tenant("b")])
    assert names(returned, "error")["a"] == ""
    assert "No space left on device" in names(returned, "error")["b"]
    left = [
        name for _folder, _dirs, files in os.walk(systemd.paths.places) for name in files if name.startswith(".new")
    ]
    assert left == []


def test_guarded_steps_leave_failed_works_out(systemd):
    made = partition.plan(systemd.host(), [tenant("a"), tenant("b")], False, partition.Outcome())
    outcome = partition.Outcome()

    def step(work):
        if work.wish.name == "a":
            raise CommandError("no", item="a")

    assert [work.wish.name for work in apply.guarded(made.works, outcome, step)] == ["b"]
    assert outcome.errors == {"a": "a: no"}
    outcome.fail("b", CommandError("gone", item="/path"))
    assert outcome.errors["b"] == "b: /path: gone"
