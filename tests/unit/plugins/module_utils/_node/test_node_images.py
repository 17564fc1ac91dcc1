# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import platform
import tarfile

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import CommandError, InputError
from ansible_collections.predictive.tenancy.plugins.module_utils._node import images, partition
from ansible_collections.predictive.tenancy.plugins.module_utils._node.layers import apply_layer, inside
from ansible_collections.predictive.tenancy.plugins.module_utils._node.sandboxes import sandbox_from

MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def layer(*members) -> bytes:
    """A tar of members: (name, content) for files, (name, type, link) for others."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, *rest in members:
            entry = tarfile.TarInfo(name)
            entry.mode = 0o4777
            if isinstance(rest[0], str):
                entry.size = len(rest[0])
                archive.addfile(entry, io.BytesIO(rest[0].encode()))
            else:
                entry.type, entry.linkname = rest[0], rest[1] if len(rest) > 1 else ""
                archive.addfile(entry)
    return data.getvalue()


def unpacked(tmp_path, *layers):
    root = tmp_path / "root"
    root.mkdir()
    for data in layers:
        apply_layer(io.BytesIO(data), str(root), "image")
    return root


def oci(folder, layers, config=None, architecture=MACHINE):
    """An OCI layout."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(data):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    manifest = {
        "config": blob(json.dumps({"config": config or {}}).encode()),
        "layers": [blob(gzip.compress(data, mtime=0)) for data in layers],
    }
    entry = {**blob(json.dumps(manifest).encode()), "platform": {"architecture": architecture, "os": "linux"}}
    (folder / "index.json").write_text(json.dumps({"manifests": [entry]}), encoding="ascii")
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', encoding="ascii")
    return folder


def docker(path, layers, config):
    """An archive of docker save."""
    with tarfile.open(path, "w:gz") as archive:
        manifest = [{"Config": "c.json", "Layers": [f"{number}/layer.tar" for number in range(len(layers))]}]
        files = {"manifest.json": json.dumps(manifest).encode(), "c.json": json.dumps({"config": config}).encode()}
        files.update({f"{number}/layer.tar": data for number, data in enumerate(layers)})
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def test_layers_lie_over_one_another_with_whiteouts(tmp_path):
    root = unpacked(
        tmp_path,
        layer(("etc/", tarfile.DIRTYPE), ("etc/a", "1"), ("etc/b", "2"), ("opt/x/y", "3"), ("keep", "4")),
        layer(("etc/.wh.a", ""), ("etc/b", "new"), ("opt/x/.wh..wh..opq", ""), ("opt/x/z", "5")),
    )
    assert sorted(os.listdir(root / "etc")) == ["b"]
    assert (root / "etc" / "b").read_text(encoding="ascii") == "new"
    assert os.listdir(root / "opt" / "x") == ["z"]


def test_privileges_and_devices_are_left_out(tmp_path):
    root = unpacked(tmp_path, layer(("bin/su", "x"), ("dev/sda", tarfile.BLKTYPE), ("pipe", tarfile.FIFOTYPE)))
    assert os.stat(root / "bin" / "su").st_mode & 0o7000 == 0
    assert not os.path.lexists(root / "dev" / "sda")
    assert not os.path.lexists(root / "pipe")


@pytest.mark.parametrize(
    "members",
    [
        [("../../escaped", "x")],
        [("/escaped", "x")],
        [("a/../../escaped", "x")],
        [("link", tarfile.SYMTYPE, "{outside}"), ("link/escaped", "x")],
        [("link", tarfile.SYMTYPE, "../.."), ("link/escaped", "x")],
        [("one", tarfile.SYMTYPE, "two"), ("two", tarfile.SYMTYPE, "{outside}"), ("one/escaped", "x")],
        [("f", tarfile.SYMTYPE, "{outside}/victim"), ("f", "x")],
        [("d", tarfile.SYMTYPE, "{outside}"), ("d/.wh.victim", "")],
        [("d", tarfile.SYMTYPE, "{outside}"), ("d/.wh..wh..opq", "")],
        [("d", tarfile.SYMTYPE, "{outside}"), ("d", tarfile.DIRTYPE)],
    ],
)
def test_nothing_in_a_layer_reaches_out(tmp_path, members):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("whole", encoding="ascii")
    before = sorted(os.listdir(tmp_path))
    root = unpacked(tmp_path, layer(*(tuple(str(part).format(outside=outside) if isinstance(part, str) else part
                                            for part in member) for member in members)))  # fmt: skip
    assert os.listdir(outside) == ["victim"]
    assert (outside / "victim").read_text(encoding="ascii") == "whole"
    assert sorted(os.listdir(tmp_path)) == sorted([*before, "root"])
    assert os.listdir(root)


def test_a_hard_link_stays_inside(tmp_path):
    with pytest.raises(CommandError, match="not in the image"):
        unpacked(tmp_path, layer(("passwd", tarfile.LNKTYPE, "/etc/passwd")))
    (tmp_path / "second").mkdir()
    root = unpacked(tmp_path / "second", layer(("a", "x"), ("b", tarfile.LNKTYPE, "a")))
    assert os.stat(root / "a").st_ino == os.stat(root / "b").st_ino


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", "etc/.wh.", "etc/.wh..", "etc/.wh...", "d/.wh..."])
def test_a_whiteout_removes_files_of_its_folder_and_nothing_else(tmp_path, name):
    (tmp_path / "other").mkdir()
    below = layer(("etc/hosts", "1"), ("d", tarfile.SYMTYPE, ".."))
    with pytest.raises(CommandError, match="is no file of its folder"):
        unpacked(tmp_path, below, layer((name, "")))
    assert sorted(os.listdir(tmp_path)) == ["other", "root"]
    assert (tmp_path / "root" / "etc" / "hosts").exists()


def test_a_whiteout_cannot_reach_the_images_of_others(systemd, tmp_path):
    (tmp_path / "good.tar").write_bytes(layer(("bin/sh", "x")))
    (tmp_path / "evil.tar").write_bytes(layer((".wh...", "")))
    items = [{"name": name, "sandbox": {"image": str(tmp_path / f"{name}.tar")}} for name in ("good", "evil")]
    errors = [item["error"] for item in partition.run(systemd.host(), items, False, False)["results"]]
    assert errors[0] == ""
    assert errors[1].startswith("evil: ")
    assert os.path.exists(os.path.join(look(systemd, tmp_path / "good.tar").rootfs, "bin", "sh"))


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_a_device_is_not_made_and_its_privileges_neither(tmp_path, kind):
    root = unpacked(tmp_path, layer(("dev", kind), ("d/", tarfile.DIRTYPE), ("su", "x"), ("l", tarfile.LNKTYPE, "su")))
    assert sorted(os.listdir(root)) == ["d", "l", "su"]
    assert [os.stat(root / name).st_mode & 0o7000 for name in ("d", "l", "su")] == [0, 0, 0]


def test_a_hard_link_to_a_link_leads_nowhere(tmp_path):
    (tmp_path / "victim").write_text("whole", encoding="ascii")
    outside = str(tmp_path / "victim")
    root = unpacked(tmp_path, layer(("a", tarfile.SYMTYPE, outside), ("b", tarfile.LNKTYPE, "a"), ("b", "x")))
    assert (tmp_path / "victim").read_text(encoding="ascii") == "whole"
    assert os.readlink(root / "a") == outside
    (tmp_path / "second").mkdir()
    with pytest.raises(CommandError, match="not in the image"):  # the link's folder is one of the image
        unpacked(tmp_path / "second", layer(("d", tarfile.SYMTYPE, ".."), ("b", tarfile.LNKTYPE, "d/victim")))


def pax(**fields) -> bytes:
    """A tar with one member whose fields are what no other tar format can hold."""
    data, entry = io.BytesIO(), tarfile.TarInfo("x")
    entry.type, entry.linkname = (tarfile.SYMTYPE, "y") if "linkpath" in fields else (tarfile.REGTYPE, "")
    entry.pax_headers = fields
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(entry)
    return data.getvalue()


@pytest.mark.parametrize("fields", [{"path": "a\0b"}, {"path": "a\0b/c"}, {"linkpath": "a\0b"}])
def test_a_name_with_a_nul_character_is_an_error_of_its_image(tmp_path, fields):
    with pytest.raises(CommandError, match="no file can have"):
        unpacked(tmp_path, pax(**fields))


def test_a_tree_that_is_too_deep_to_remove_is_not_made(tmp_path):
    with pytest.raises(CommandError, match="more than 256 folders"):
        unpacked(tmp_path, layer(("a/" * 257 + "b", "x")))


def test_a_circle_of_links_is_refused(tmp_path):
    with pytest.raises(CommandError, match="in a circle"):
        unpacked(tmp_path, layer(("a", tarfile.SYMTYPE, "b"), ("b", tarfile.SYMTYPE, "a"), ("a/x", "1")))


def test_links_inside_are_followed_as_in_a_merged_usr(tmp_path):
    root = unpacked(
        tmp_path, layer(("usr/lib/", tarfile.DIRTYPE), ("lib", tarfile.SYMTYPE, "/usr/lib"), ("lib/x", "1"))
    )
    assert os.path.exists(root / "usr" / "lib" / "x")
    assert inside(str(root), "lib/../../../etc", True) == str(root / "etc")  # `..` leads up from /usr/lib, never out


def look(systemd, path, **more):
    return images.resolved(systemd.host(), sandbox_from({"sandbox": {"image": str(path), **more}}, systemd.paths))


CONFIG = {"Entrypoint": ["/bin/app"], "Cmd": ["serve"], "Env": ["A=1", "B=two=2"]}


@pytest.mark.parametrize("kind", ["layout", "archive", "docker"])
def test_an_image_gives_root_command_and_environment(systemd, tmp_path, kind):
    layers = [layer(("bin/app", "one"), ("old", "x")), layer(("bin/app", "two"), (".wh.old", ""))]
    path = oci(tmp_path / "layout", layers, CONFIG)
    if kind == "archive":
        with tarfile.open(tmp_path / "image.tar.xz", "w:xz") as archive:
            archive.add(path, ".")
        path = tmp_path / "image.tar.xz"
    if kind == "docker":
        path = docker(tmp_path / "saved.tar.gz", layers, CONFIG)
    sandbox = look(systemd, path, env={"A": "mine"})
    assert sandbox.command == ("/bin/app", "serve")
    assert sandbox.env == (("A", "mine"), ("B", "two=2"))
    assert not os.path.exists(sandbox.rootfs)
    images.unpack(systemd.host(), sandbox)
    with open(os.path.join(sandbox.rootfs, "bin", "app"), encoding="ascii") as handle:
        assert handle.read() == "two"
    assert not os.path.exists(os.path.join(sandbox.rootfs, "old"))
    assert os.path.isdir(os.path.join(sandbox.rootfs, "proc"))
    assert look(systemd, path, command=["x"]).command == ("x",)


def test_a_plain_tar_is_a_root(systemd, tmp_path):
    (tmp_path / "root.tar").write_bytes(layer(("bin/sh", "x")))
    sandbox = look(systemd, tmp_path / "root.tar")
    assert sandbox.command == ("sleep", "infinity")
    images.unpack(systemd.host(), sandbox)
    assert os.path.exists(os.path.join(sandbox.rootfs, "bin", "sh"))


def test_a_damaged_layer_is_refused_and_leaves_nothing(systemd, tmp_path):
    path = oci(tmp_path / "layout", [layer(("a", "1"))])
    manifest = json.loads((path / "index.json").read_text(encoding="ascii"))["manifests"][0]["digest"][7:]
    blob = json.loads((path / "blobs" / "sha256" / manifest).read_text(encoding="ascii"))["layers"][0]["digest"][7:]
    (path / "blobs" / "sha256" / blob).write_bytes(gzip.compress(layer(("a", "evil"))))
    sandbox = look(systemd, path)
    with pytest.raises(CommandError, match="is damaged"):
        images.unpack(systemd.host(), sandbox)
    assert not os.path.exists(sandbox.rootfs)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: oci(folder / "i", [], architecture="s390x"), "nothing for"),
        (lambda folder: folder / "absent", "there is no image"),
        (lambda folder: folder, "is no OCI layout"),
    ],
)
def test_an_unusable_image_says_why(systemd, tmp_path, make, words):
    with pytest.raises(CommandError, match=words):
        look(systemd, make(tmp_path))


def saved(folder, config="c.json", layers=("l.tar",)):
    """A folder with what is in an archive of docker save."""
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps([{"Config": config, "Layers": layers}]), encoding="ascii")
    (folder / "index.json").write_text("{}", encoding="ascii")
    (folder / "c.json").write_text("{}", encoding="ascii")
    (folder / "l.tar").write_bytes(layer(("evil", "x")))
    return folder


def test_docker_saves_archives_and_no_folders(systemd, tmp_path):
    with pytest.raises(CommandError, match="no file oci-layout"):
        look(systemd, saved(tmp_path / "folder"))


@pytest.mark.parametrize("name", ["{outside}", "../outside", "link", "circle", "hard"])
def test_a_saved_image_names_files_of_its_own(systemd, tmp_path, name):
    outside = tmp_path / "outside"
    outside.write_text('{"config": {"Cmd": ["of the host"]}}', encoding="ascii")
    folder = saved(tmp_path / "folder", config=name.format(outside=outside))
    os.symlink(outside, folder / "link")
    os.symlink("circle", folder / "circle")
    with tarfile.open(tmp_path / "saved.tar", "w") as archive:
        archive.add(folder, ".")
        entry = tarfile.TarInfo("hard")
        entry.type, entry.linkname = tarfile.LNKTYPE, str(outside)
        archive.addfile(entry)
    with pytest.raises(CommandError, match="the image has no "):
        look(systemd, tmp_path / "saved.tar")


def test_a_saved_image_may_have_links_between_its_layers(systemd, tmp_path):
    folder = saved(tmp_path / "folder", layers=["l.tar", "same/l.tar"])
    (folder / "same").mkdir()
    os.symlink("../l.tar", folder / "same" / "l.tar")
    with tarfile.open(tmp_path / "saved.tar", "w") as archive:
        archive.add(folder, ".")
    sandbox = look(systemd, tmp_path / "saved.tar")
    images.unpack(systemd.host(), sandbox)
    assert os.path.exists(os.path.join(sandbox.rootfs, "evil"))


@pytest.mark.parametrize("blob", ["config", "layers"])
def test_a_layout_has_no_files_of_the_machine(systemd, tmp_path, blob):
    path = oci(tmp_path / "layout", [layer(("a", "1"))])
    manifest = json.loads((path / "index.json").read_text(encoding="ascii"))["manifests"][0]["digest"][7:]
    listed = json.loads((path / "blobs" / "sha256" / manifest).read_text(encoding="ascii"))
    digest = (listed["config"] if blob == "config" else listed["layers"][0])["digest"][7:]
    os.rename(path / "blobs" / "sha256" / digest, tmp_path / "outside")
    os.symlink(tmp_path / "outside", path / "blobs" / "sha256" / digest)
    with pytest.raises(CommandError, match="the image has no "):
        images.unpack(systemd.host(), look(systemd, path))


def test_images_with_the_same_configuration_are_not_the_same(systemd, tmp_path):
    """The configuration is public: another image that has it must not become the root of those that have it too."""
    mine = look(systemd, oci(tmp_path / "mine", [layer(("bin/sh", "mine"))], CONFIG))
    other = look(systemd, oci(tmp_path / "other", [layer(("bin/sh", "evil"))], CONFIG))
    assert mine.rootfs != other.rootfs


def test_an_image_without_a_content_of_its_own_is_refused(systemd, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "_read", lambda path: images.Image(path, ""))
    with pytest.raises(CommandError, match="has the name ''"):
        look(systemd, oci(tmp_path / "layout", []))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"manifests": 1}', "[]", '{"manifests": [1]}'])
def test_an_index_that_is_none_is_an_error_of_its_image(systemd, tmp_path, text):
    path = oci(tmp_path / "layout", [])
    (path / "index.json").write_text(text, encoding="ascii")
    with pytest.raises(CommandError, match=r"no JSON|does not follow its format"):
        look(systemd, path)


def test_indexes_in_one_another_come_to_an_end(systemd, tmp_path):
    path, entry = oci(tmp_path / "layout", []), None
    entry = json.loads((path / "index.json").read_text(encoding="ascii"))["manifests"][0]
    for _level in range(10):
        data = json.dumps({"manifests": [entry]}).encode()
        entry = {"digest": f"sha256:{hashlib.sha256(data).hexdigest()}"}
        (path / "blobs" / "sha256" / entry["digest"][7:]).write_bytes(data)
    (path / "index.json").write_text(json.dumps({"manifests": [entry]}), encoding="ascii")
    with pytest.raises(CommandError, match="more than 8 indexes"):
        look(systemd, path)


@pytest.mark.parametrize("when", ["before", "while"])
def test_an_image_that_changes_meanwhile_gets_no_name(systemd, tmp_path, monkeypatch, when):
    path = tmp_path / "root.tar"
    path.write_bytes(layer(("bin/sh", "x")))
    sandbox, real = look(systemd, path), images.apply_layer

    def change(*words):
        real(*words)
        path.write_bytes(layer(("bin/sh", "changed")))

    if when == "before":
        path.write_bytes(layer(("bin/sh", "y")))
    else:
        monkeypatch.setattr(images, "apply_layer", change)
    with pytest.raises(CommandError, match="was changed meanwhile"):
        images.unpack(systemd.host(), sandbox)
    assert not os.path.exists(sandbox.rootfs)


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_damaged_archive_is_an_error_of_its_image(systemd, tmp_path, kind):
    with tarfile.open(tmp_path / "image", f"w:{kind}") as archive:
        archive.add(oci(tmp_path / "layout", [layer(("bin/sh", "x" * 5000))], CONFIG), ".")
    whole = (tmp_path / "image").read_bytes()
    for at in range(12, len(whole), 7):
        (tmp_path / "image").write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        with contextlib.suppress(CommandError):
            images.unpack(systemd.host(), look(systemd, tmp_path / "image"))


def test_a_file_that_is_no_archive_says_so(systemd, tmp_path):
    (tmp_path / "image").write_bytes(b"x" * 2000)
    with pytest.raises(CommandError, match="no archive"):
        look(systemd, tmp_path / "image")


@pytest.mark.parametrize("path", ["relative", "/a/../etc/passwd", "/a\nb"])
def test_a_wrong_path_is_refused(systemd, path):
    with pytest.raises(InputError, match=r"sandbox\.image"):
        look(systemd, path)


def test_image_and_rootfs_exclude_one_another(systemd):
    with pytest.raises(InputError, match="both"):
        look(systemd, "/x", rootfs=systemd.paths.rootfs + "/base")


def test_a_tenant_of_an_image_is_made_once_and_anew_when_the_image_changes(systemd, tmp_path):
    path = tmp_path / "root.tar"
    path.write_bytes(layer(("bin/sh", "x")))
    item = {"name": "a", "sandbox": {"image": str(path)}}
    first = partition.run(systemd.host(), [item], False, False)["results"][0]
    assert (first["error"], first["actions"]) == ("", ["create"])
    assert not partition.run(systemd.host(), [item], False, True)["changed"]
    assert not partition.run(systemd.host(), [item], False, False)["changed"]
    path.write_bytes(layer(("bin/sh", "y")))
    again = partition.run(systemd.host(), [item], False, False)["results"][0]
    assert again["actions"] == ["replace"]
    folder = os.path.join(systemd.paths.rootfs, ".images")
    assert len([name for name in os.listdir(folder) if not name.endswith(".json")]) == 1  # the old one is gone
    broken = partition.run(systemd.host(), [{"name": "b", "sandbox": {"image": "/none"}}, item], False, False)
    assert [entry["error"] for entry in broken["results"]] == [
        "b: /none: there is no image (copy it to this VM first)", "",
    ]  # fmt: skip


@pytest.mark.parametrize("call", ["makedirs", "mkdir", "chmod", "rename"])
def test_an_image_that_the_disk_has_no_room_for_keeps_no_other_tenant(systemd, tmp_path, monkeypatch, call):
    (tmp_path / "root.tar").write_bytes(layer(("bin/sh", "x")))
    real = getattr(os, call)

    def full(path, *rest, **more):
        if ".images/.new" in path:
            raise OSError(28, "No space left on device", path)
        return real(path, *rest, **more)

    monkeypatch.setattr(os, call, full)
    items = [{"name": "a", "sandbox": {"image": str(tmp_path / "root.tar")}}, {"name": "b"}]
    first, second = partition.run(systemd.host(), items, False, False)["results"]
    assert first["error"].startswith(f"a: {tmp_path}/root.tar: ")
    assert "No space left on device" in first["error"]
    assert ".images/.new" in first["error"]
    assert (second["error"], second["started"]) == ("", "cold")


def test_a_name_with_a_nul_character_keeps_no_other_tenant(systemd, tmp_path):
    (tmp_path / "root.tar").write_bytes(pax(path="a\0b"))
    items = [{"name": "a", "sandbox": {"image": str(tmp_path / "root.tar")}}, {"name": "b"}]
    first, second = partition.run(systemd.host(), items, False, False)["results"]
    assert first["error"].startswith("a: ")
    assert (second["error"], second["started"]) == ("", "cold")


def test_an_unchanged_image_is_not_read_again(systemd, tmp_path, monkeypatch):
    path = tmp_path / "root.tar"
    path.write_bytes(layer(("bin/sh", "x")))
    item = {"name": "a", "sandbox": {"image": str(path)}}
    partition.run(systemd.host(), [item], False, False)
    monkeypatch.setattr(images, "_read", lambda _path: pytest.fail("read again"))
    assert not partition.run(systemd.host(), [item], False, False)["changed"]
