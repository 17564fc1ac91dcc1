# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an execution environment needs, as ansible-builder reads it, and the definition of one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml
from conftest import PROGRAMS, ROOT


def requirements(path: Path) -> set[str]:
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return {line for line in lines if line and not line.startswith("#")}


def test_the_builder_finds_what_the_collection_needs(tools: dict[str, str], tmp_path: Path) -> None:
    wanted = [tmp_path / "python.txt", tmp_path / "system.txt"]
    command = [str(PROGRAMS / "ansible-builder"), "introspect", "--sanitize", str(ROOT / "build" / "python")]
    command += ["--write-pip", str(wanted[0]), "--write-bindep", str(wanted[1])]
    done = subprocess.run(command, env=tools, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {line.partition("  #")[0].replace(" ", "") for line in requirements(wanted[0])}
    ours = requirements(ROOT / "meta" / "ee-requirements.txt")
    assert found == ours
    # All that a controller needs, except libvirt's bindings, which the distribution has built.
    assert requirements(ROOT / "requirements.txt") - ours == {"libvirt-python>=7.0"}
    system = {line.split()[0] for line in requirements(wanted[1])}
    assert system == {"python3-libvirt", "openssh-client", "openssh-clients"}


def test_the_definition_makes_a_build_context(tools: dict[str, str], tmp_path: Path) -> None:
    """Everything but the image itself, which needs a container engine and registries."""
    definition = ROOT / "docs" / "execution-environment.yml"
    command = [str(PROGRAMS / "ansible-builder"), "create", "-f", str(definition), "-c", str(tmp_path / "context")]
    command += ["--output-filename", "Dockerfile"]
    done = subprocess.run(command, env=tools, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    collections = yaml.safe_load((tmp_path / "context" / "_build" / "requirements.yml").read_text(encoding="utf-8"))
    assert "predictive.tenancy" in [one["name"] for one in collections["collections"]]
    assert "ansible-galaxy collection install" in (tmp_path / "context" / "Dockerfile").read_text(encoding="utf-8")
