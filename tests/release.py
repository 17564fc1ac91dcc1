# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make release`: the collection as an archive, the same bytes for the same commit, checked and tried from it alone."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import sys
import tarfile
from pathlib import Path

import environments
from environments import BUILD, ROOT, ToolError, output, run, say, variables

MOST_BYTES = 1024 * 1024
# What a user would try first, on nothing but the installed collection.
SMOKE = "{{ lookup('predictive.tenancy.forecast', series=[1, 2, 3] * 8, step='1h', horizon='3h').model }}"


def repack(archive: Path) -> None:
    """Write the archive anew without what differs between two builds of one commit: order, times, owners, modes.

    ansible-galaxy lists files in the order of the file system, so FILES.json is sorted and its checksum in
    MANIFEST.json made anew."""
    with tarfile.open(archive) as old:
        contents = {}
        for member in old.getmembers():
            handle = old.extractfile(member)
            contents[member.name] = None if handle is None else handle.read()
    listed = json.loads(contents["FILES.json"] or b"{}")
    listed["files"].sort(key=lambda entry: entry["name"])
    contents["FILES.json"] = json.dumps(listed, indent=1, sort_keys=True).encode()
    manifest = json.loads(contents["MANIFEST.json"] or b"{}")
    manifest["file_manifest_file"]["chksum_sha256"] = hashlib.sha256(contents["FILES.json"]).hexdigest()
    contents["MANIFEST.json"] = json.dumps(manifest, indent=1, sort_keys=True).encode()
    moment = int(output(["git", "log", "-1", "--format=%ct"]))
    packed = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=moment) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as new,
    ):
        for name, content in sorted(contents.items()):
            entry = tarfile.TarInfo(name)
            entry.mtime = moment
            entry.type, entry.mode = (tarfile.DIRTYPE, 0o755) if content is None else (tarfile.REGTYPE, 0o644)
            entry.size = len(content or b"")
            new.addfile(entry, io.BytesIO(content or b""))
    archive.write_bytes(packed.getvalue())


def build(tree: Path, target: Path) -> Path:
    """Build the collection of a source tree into a folder, and return the archive."""
    shutil.rmtree(target, ignore_errors=True)
    env = variables(environments.testing())
    run(["ansible-galaxy", "collection", "build", "--output-path", target, tree], env=env)
    (archive,) = target.glob("*.tar.gz")
    repack(archive)
    return archive


def check(archive: Path, again: Path) -> None:
    """Two builds are the same; it is small, without tests or data; galaxy-importer takes it; it works from it alone."""
    if archive.read_bytes() != again.read_bytes():
        raise ToolError(f"two builds of one commit differ: {archive} and {again}")
    with tarfile.open(archive) as opened:
        strange = [name for name in opened.getnames() if name.split("/")[0] in ("tests", "build", ".git", ".ci")]
    if strange or archive.stat().st_size > MOST_BYTES:
        raise ToolError(f"the archive has {archive.stat().st_size} bytes, and {len(strange)} files that no user needs")
    testing = environments.testing()
    env = variables(testing)
    del env["PYTHONPATH"]  # else the source tree would count as installed already
    run([testing / "bin" / "python", "-m", "galaxy_importer.main", archive], env=env, cwd=archive.parent)
    installed = BUILD / "installed"
    shutil.rmtree(installed, ignore_errors=True)
    home = environments.product()
    env = variables(home, ANSIBLE_COLLECTIONS_PATH=installed)
    del env["PYTHONPATH"]
    run(["ansible-galaxy", "collection", "install", "--offline", "-p", installed, archive], env=env)
    run(["ansible", "localhost", "-m", "ansible.builtin.debug", "-a", f"msg={SMOKE}"], env=env, cwd=installed)
    run(["ansible-doc", "predictive.tenancy.tenant_admit"], env={**env, "ANSIBLE_PAGER": "cat"}, cwd=installed)


def main() -> int:
    """Build it, check it, say where it is."""
    try:
        archive = build(ROOT, BUILD / "release")
        check(archive, build(ROOT, BUILD / "release-again"))
    except ToolError as error:
        print(f"make release: {error}", file=sys.stderr)
        return 1
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    say(f"{archive.relative_to(ROOT)}: {archive.stat().st_size} bytes, sha256 {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
