# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import CommandError, InputError
from ansible_collections.predictive.tenancy.plugins.module_utils._node.host import Paths
from ansible_collections.predictive.tenancy.plugins.module_utils._node.sandboxes import (
    bundle_config,
    image_identity,
    render_config,
    require_runtime,
    sandbox_from,
)
from ansible_collections.predictive.tenancy.plugins.module_utils._node.units import SETTINGS, TEMPLATES

PATHS = Paths()


def box(**given):
    return sandbox_from({"sandbox": given}, PATHS)


def test_a_sandbox_is_hardened_when_nothing_is_said():
    config = bundle_config(box(), "web_1", 7)
    assert config["root"] == {"path": "/var/lib/tenancy/rootfs/base", "readonly": True}
    assert config["process"]["user"] == {"uid": 65534, "gid": 65534}
    assert config["process"]["noNewPrivileges"] is True
    assert not any(config["process"]["capabilities"].values())
    kinds = {entry["type"] for entry in config["linux"]["namespaces"]}
    assert kinds == {"pid", "ipc", "uts", "mount", "cgroup", "network", "user"}
    assert config["linux"]["uidMappings"] == [{"containerID": 0, "hostID": 0x40000000 + 7 * 65536, "size": 65536}]
    assert {mount["type"] for mount in config["mounts"]} == {"proc", "tmpfs"}
    assert "devices" not in config["linux"]
    assert "resources" not in config["linux"]


def test_no_two_sandboxes_share_user_ids():
    ranges = [bundle_config(box(), "a", index)["linux"]["uidMappings"][0] for index in (0, 1, 11999)]
    ends = [(entry["hostID"], entry["hostID"] + entry["size"]) for entry in ranges]
    assert all(first[1] <= second[0] for first, second in zip(ends, ends[1:]))
    assert ends[-1][1] < 0x70000000


@pytest.mark.parametrize(
    "rootfs",
    [
        "/", "/etc", "/var/lib/tenancy", "/var/lib/tenancy/rootfs", "/var/lib/tenancy/rootfs/",
        "/var/lib/tenancy/rootfs/../places", "/var/lib/tenancy/rootfs/a/../../..", "relative",
        "/var/lib/tenancy/rootfs//etc", "/var/lib/tenancy/rootfs/a\nb", "/var/lib/tenancy/rootfs-evil/x",
    ],
)  # fmt: skip
def test_nothing_else_of_the_machine_can_be_a_root(rootfs):
    with pytest.raises(InputError, match="rootfs"):
        box(rootfs=rootfs)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"command": []}, "list of words"),
        ({"command": "sleep 1"}, "list of words"),
        ({"command": ["a\0b"]}, "NUL"),
        ({"command": [""]}, "empty program"),
        ({"env": {"A=B": "1"}}, "not valid"),
        ({"env": {"LD\nX": "1"}}, "not valid"),
        ({"env": {"A": "x\0"}}, "NUL"),
        ({"env": {"A": "x" * 200_000}}, "128 KiB"),
        ({"user": "root"}, "uid:gid"),
        ({"user": "70000:1"}, "uid:gid"),
        ({"network": "bridge"}, "network"),
        ({"runtime": "docker"}, "runtime"),
        ({"runtime": "runc", "writable": True}, "writable is not known to runc"),
        ({"runtime": "kata", "writable": True}, "writable is not known to kata"),
    ],
)
def test_a_wrong_sandbox_is_refused_with_what_is_wrong(given, words):
    with pytest.raises(InputError, match=words):
        box(**given)


def test_environment_and_command_reach_the_bundle_as_they_are():
    config = json.loads(render_config(box(command=["echo", "$(reboot); `x`\n"], env={"B": "x\ny", "A": 1}), "w", 0))
    assert config["process"]["args"] == ["echo", "$(reboot); `x`\n"]
    assert config["process"]["env"][:2] == ["A=1", "B=x\ny"]


def test_no_word_of_an_item_reaches_the_settings_that_systemd_reads():
    for runtime, settings in SETTINGS.items():
        evil = box(runtime=runtime, command=["x\nExecStart=/bin/evil"], env={"VERB": "delete"})
        text = settings(evil, "run", "/place")
        assert "evil" not in text
        assert "delete" not in text


def test_a_template_runs_below_the_tenants_slice():
    for template in TEMPLATES.values():
        text = template("/usr/bin/program", PATHS)
        assert "Slice=tenants-%i.slice" in text
        assert "{" not in text.replace("${NETWORK}", "").replace("${OOM_SCORE_ADJ}", "")
        assert "/bin/sh" not in text


def test_gvisor_stays_in_its_services_cgroup_and_the_others_in_a_scope_below_the_slice():
    paths = {
        name: bundle_config(box(runtime=name), "a", 0)["linux"]["cgroupsPath"] for name in ("gvisor", "runc", "kata")
    }
    assert paths["gvisor"] == "/tenants.slice/tenants-a.slice/tenancy-gvisor@a.service"
    assert paths["runc"] == paths["kata"] == "tenants-a.slice:tenancy:a"


def test_the_digest_follows_the_sandbox_and_nothing_else():
    assert box().digest == box(rootfs="/var/lib/tenancy/rootfs/base").digest
    assert box().digest != box(command=["sleep", "1"]).digest
    assert box(env={"A": "1", "B": "2"}).digest == box(env={"B": "2", "A": "1"}).digest


def test_an_image_is_known_again_until_it_changes(systemd):
    sandbox = sandbox_from({}, systemd.paths)
    first = image_identity(sandbox, systemd.paths)
    assert image_identity(sandbox, systemd.paths) == first
    os.utime(os.path.join(systemd.paths.rootfs, "base", "bin"), (1, 1))
    assert image_identity(sandbox, systemd.paths) != first


def test_a_root_behind_a_symbolic_link_is_refused(systemd):
    os.symlink("/etc", os.path.join(systemd.paths.rootfs, "link"))
    sandbox = sandbox_from({"sandbox": {"rootfs": systemd.paths.rootfs + "/link"}}, systemd.paths)
    with pytest.raises(CommandError, match="not a folder"):
        image_identity(sandbox, systemd.paths)


def test_a_root_that_others_can_change_is_refused(systemd):
    os.chmod(os.path.join(systemd.paths.rootfs, "base"), 0o777)
    with pytest.raises(CommandError, match="changed by others"):
        image_identity(sandbox_from({}, systemd.paths), systemd.paths)


def test_a_missing_root_is_named(systemd):
    sandbox = sandbox_from({"sandbox": {"rootfs": systemd.paths.rootfs + "/none"}}, systemd.paths)
    with pytest.raises(CommandError, match=r"rootfs/none: no root file system"):
        image_identity(sandbox, systemd.paths)


def test_a_runtime_that_is_not_here_says_how_to_get_it(systemd):
    host = systemd.host()
    assert require_runtime(host, "gvisor") == "/usr/bin/runsc"
    with pytest.raises(CommandError, match="install the package runc"):
        require_runtime(host, "runc")
    with pytest.raises(CommandError, match=r"predictive\.tenancy\.kata"):
        require_runtime(host, "kata")
    systemd.programs.update({"containerd-shim-kata-v2": "/x", "ctr": "/usr/bin/ctr"})
    with pytest.raises(CommandError, match="nested virtualization"):
        require_runtime(host, "kata")
