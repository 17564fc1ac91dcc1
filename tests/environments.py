# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environments below build/ in which everything runs: packages, Python environments, the collection's tree.

Only the standard library is used, since this runs before anything is installed. Each step can be repeated and killed:
an environment counts only when its stamp, which is written last, equals the hash of what went into it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
COLLECTIONS = BUILD / "python"  # the source tree under the name by which Python and Ansible import it
CHECKOUT = COLLECTIONS / "ansible_collections" / "predictive" / "tenancy"
OLDEST_CORE = "ansible-core~=2.18.0"  # what requires_ansible promises
PRODUCT = ROOT / "requirements.txt"
TESTING = ROOT / "tests" / "requirements.txt"
UNITS = ROOT / "tests" / "unit" / "requirements.txt"
OPERATING = ROOT / "tests" / "operator" / "requirements.txt"
# libvirt-python is built from source; venv is a package of its own on Debian.
DEBIAN = ("python3-venv", "python3-dev", "gcc", "pkg-config", "libvirt-dev")
# Without it ansible-test leaves one of its tests out, with no more than a warning.
LINTERS = ("shellcheck",)
# What tests/contract runs for real.
SERVERS = ("prometheus", "prometheus-alertmanager", "jq")


class ToolError(Exception):
    """A step of the project's own tooling could not be done; its text is for the person at the terminal."""


def say(message: str) -> None:
    """Tell what happens next."""
    print(f"==> {message}", flush=True)


def run(command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path = ROOT) -> None:
    """Run `command` with its output shown as it comes. Raises ToolError when it fails."""
    words = [str(word) for word in command]
    code = subprocess.run(words, env=env, cwd=cwd, stdin=subprocess.DEVNULL, check=False).returncode
    if code:
        raise ToolError(f"exit code {code} from: {' '.join(words)}")


def output(command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path = ROOT) -> str:
    """Return what `command` prints. Raises ToolError when it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ToolError(f"exit code {done.returncode} from: {' '.join(words)}\n{done.stdout}{done.stderr}")
    return done.stdout


def system_packages(*names: str) -> None:
    """Install the Debian packages among `names` that are absent; without root, name them and go on."""
    if shutil.which("dpkg-query") is None:
        say(f"this is no Debian machine: these packages, by their names there, must be installed: {' '.join(names)}")
        return
    query = ["dpkg-query", "-W", "-f", "${Package} ${Status}\n", *names]
    known = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    missing = [name for name in names if f"{name} install ok installed" not in known]
    if not missing:
        return
    if os.geteuid() != 0:
        say(f"not root: if the next steps fail, ask for these packages: {' '.join(missing)}")
        return
    say(f"installing packages: {' '.join(missing)}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing]
    if subprocess.run([*install, "--dry-run"], env=env, capture_output=True, check=False).returncode:
        run(["apt-get", "update", "-q"], env=env)
    run(install, env=env)


def pythons() -> dict[tuple[int, int], Path]:
    """The usable interpreters from 3.11 on, by version: the one that runs this, PATH's and pyenv's."""
    found = {sys.version_info[:2]: Path(sys.executable)}
    candidates = [shutil.which(f"python3.{minor}") for minor in range(11, 20)]
    candidates += sorted(map(str, Path.home().glob(".pyenv/versions/3.*/bin/python")))
    for candidate in filter(None, candidates):
        probe = [candidate, "-c", "import ensurepip, sys, sysconfig, venv; print(*sys.version_info[:2])"]
        done = subprocess.run(probe, capture_output=True, text=True, check=False)
        words = done.stdout.split()
        if done.returncode == 0 and len(words) == 2:
            found.setdefault((int(words[0]), int(words[1])), Path(candidate))
    return dict(sorted(item for item in found.items() if item[0] >= (3, 11)))


def environment(name: str, python: Path, core: str, requirements: Sequence[Path]) -> Path:
    """Make the Python environment build/`name` with `core` and the files of `requirements`, and return its folder."""
    home = BUILD / name
    stamp = home / ".stamp"
    version = output([python, "-c", "import sys; print(sys.version)"])
    inputs = "\n".join([version, str(home), core, *(path.read_text(encoding="utf-8") for path in requirements)])
    wanted = hashlib.sha256(inputs.encode()).hexdigest()
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return home
    say(f"making the Python environment {home.relative_to(ROOT)} ({core}, Python {version.split()[0]})")
    if stamp.exists():
        stamp.unlink()
    try:
        run([python, "-m", "venv", "--clear", home])
    except ToolError as error:
        raise ToolError(f"{error}\nthis Python makes no environments; on Debian, ask for python3-venv") from error
    arguments: list[str | Path] = [core]
    for path in requirements:
        arguments += ["-r", path]
    run([home / "bin" / "pip", "install", "-q", "--disable-pip-version-check", *arguments])
    stamp.write_text(wanted, encoding="utf-8")
    return home


def checkout() -> None:
    """Let Python and Ansible import the source tree as ansible_collections.predictive.tenancy."""
    CHECKOUT.parent.mkdir(parents=True, exist_ok=True)
    target = os.path.relpath(ROOT, CHECKOUT.parent)
    if not CHECKOUT.is_symlink() or os.readlink(CHECKOUT) != target:
        CHECKOUT.unlink(missing_ok=True)
        CHECKOUT.symlink_to(target)


def product() -> Path:
    """The environment in which a user would run the collection: this Python, the newest ansible-core, no test tools."""
    system_packages(*DEBIAN)
    checkout()
    return environment("run", Path(sys.executable), "ansible-core", [_buildable(PRODUCT)])


def _buildable(requirements: Path) -> Path:
    """The requirements that can be installed here: libvirt-python is built from source against libvirt's headers, which
    a user without root may not have; then there is no libvirt to talk to either."""
    pkg_config = shutil.which("pkg-config")
    if pkg_config and subprocess.run([pkg_config, "--exists", "libvirt"], check=False).returncode == 0:
        return requirements
    say("libvirt's headers are not installed: going on without libvirt-python, so without virtual machines")
    reduced = BUILD / "requirements-without-libvirt.txt"
    lines = requirements.read_text(encoding="utf-8").splitlines(keepends=True)
    reduced.write_text("".join(line for line in lines if not line.startswith("libvirt-python")), encoding="utf-8")
    return reduced


def testing() -> Path:
    """The environment of the checks: as the product's, with the test tools."""
    system_packages(*DEBIAN)
    checkout()
    return environment("venv", Path(sys.executable), "ansible-core", [PRODUCT, TESTING])


def operating() -> Path:
    """The environment of the operators' tools (tests/operator): large, so apart from that of the checks."""
    system_packages(*DEBIAN)
    checkout()
    return environment("operating", Path(sys.executable), "ansible-core", [PRODUCT, OPERATING])


def supported() -> list[Path]:
    """Environments of the oldest supported and the newest available ansible-core, on the Pythons that run them."""
    available = pythons()
    oldest = environment("oldest", next(iter(available.values())), OLDEST_CORE, [PRODUCT, UNITS])
    newest = environment("newest", list(available.values())[-1], "ansible-core", [PRODUCT, UNITS])
    return [oldest, newest]


def core_version(home: Path) -> str:
    """The ansible-core release in an environment, like 2.19.4."""
    shown = output([home / "bin" / "ansible", "--version"], env=variables(home))
    match = re.search(r"core ([0-9.]+)", shown)
    if match is None:
        raise ToolError(f"{home}: ansible --version says no version: {shown}")
    return match.group(1)


def variables(home: Path, **extra: str | Path) -> dict[str, str]:
    """The process environment for commands of `home`: its programs first, the source tree as collection, and nothing
    written outside build/."""
    settings = {
        **os.environ,
        "PATH": f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(COLLECTIONS),
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_HOME": str(BUILD / "ansible"),
        "ANSIBLE_LOCAL_TEMP": str(BUILD / "ansible" / "tmp"),
        "XDG_CACHE_HOME": str(BUILD / "cache"),
        "XDG_STATE_HOME": str(BUILD / "state"),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(BUILD / "cache" / "hypothesis"),
        "PYTHONDONTWRITEBYTECODE": "1",
        # ansible refuses to start under a locale that is not UTF-8, and a minimal machine has only this one
        "LC_ALL": "C.UTF-8",
    }
    # A caller's own Ansible settings would make a run here differ from one elsewhere.
    for name in [name for name in settings if name.startswith("ANSIBLE_") and name not in _OWN]:
        del settings[name]
    settings.update({name: str(value) for name, value in extra.items()})
    return settings


_OWN = {"ANSIBLE_COLLECTIONS_PATH", "ANSIBLE_HOME", "ANSIBLE_LOCAL_TEMP"}
