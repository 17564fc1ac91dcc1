# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every check of the project, in the order in which they run: on a laptop and in CI alike.

`python3 tests/checks.py` runs them all, `python3 tests/checks.py types units` only those named. Every check runs even
when an earlier one failed; the last lines say which failed, and the exit status is 1 then.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docsite
import environments
import release
from environments import BUILD, CHECKOUT, COLLECTIONS, ROOT, ToolError, output, run, say, variables

COLLECTION = Path("ansible_collections", "predictive", "tenancy")


def sources() -> list[Path]:
    """The project's files, relative to its root: what git tracks, and new files that it does not ignore."""
    listed = output(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]).split("\0")
    return [Path(name) for name in listed if name and (ROOT / name).is_file()]


def copy_of_sources(name: str) -> Path:
    """A copy of the sources at build/`name`/ansible_collections/predictive/tenancy, which tools insist on, as a git
    repository of its own: else they would ask this one, which ignores build/."""
    tree = BUILD / name / COLLECTION
    shutil.rmtree(tree, ignore_errors=True)
    for path in sources():
        target = tree / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, target, follow_symlinks=False)
    run(["git", "init", "-q"], cwd=tree)
    run(["git", "add", "-A"], cwd=tree)
    return tree


def style() -> None:
    """ruff: the rules of pyproject.toml, and its formatting."""
    env = variables(environments.testing())
    run(["ruff", "check", "."], env=env)
    run(["ruff", "format", "--check", "."], env=env)


def types() -> None:
    """mypy --strict on module_utils."""
    home = environments.testing()
    package = "ansible_collections.predictive.tenancy.plugins.module_utils"
    config = ["--config-file", ROOT / "pyproject.toml", "--cache-dir", BUILD / "cache" / "mypy"]
    run(["mypy", *config, "-p", package], env=variables(home), cwd=COLLECTIONS)


def lint() -> None:
    """ansible-lint with profile production, and antsibull-docs."""
    tree = copy_of_sources("lint")
    env = variables(environments.testing(), ANSIBLE_COLLECTIONS_PATH=BUILD / "lint")
    run(["ansible-lint", "--offline", "--profile", "production", "--strict"], env=env, cwd=tree)
    docs = ["antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs=self", "."]
    run(docs, env=env, cwd=tree)


def package() -> None:
    """The collection builds, twice the same, installs, works from its archive alone, and galaxy-importer accepts it."""
    archives = [
        release.build(copy_of_sources(f"{name}-source"), BUILD / name) for name in ("artifact", "artifact-again")
    ]
    release.check(*archives)


def _offline_pip(home: Path, user: Path) -> None:
    """ansible-test downloads get-pip from a place that a closed network does not reach: the interpreter's own ensurepip
    does the same."""
    ask = (
        "import sys, types; from ansible_test._internal.python_requirements import get_venv_packages;"
        "print(get_venv_packages(types.SimpleNamespace(version='%d.%d' % sys.version_info[:2]))['pip'])"
    )
    version = output([home / "bin" / "python", "-c", ask]).strip()
    script = user / ".ansible" / "test" / "cache" / f"get_pip_{version.replace('.', '_')}.py"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text("import ensurepip\nensurepip.bootstrap(upgrade=True, default_pip=True)\n", encoding="utf-8")


def _ansible_test_with(home: Path, *arguments: str) -> str:
    """What ansible-test prints with the ansible-core and the Python of one environment."""
    version = output([home / "bin" / "python", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).strip()
    user = BUILD / "home" / home.name
    _offline_pip(home, user)
    tree = copy_of_sources(f"test-{home.name}")
    env = variables(home, HOME=user)
    del env["PYTHONPATH"]
    about = f"ansible-test {arguments[0]}: ansible-core {environments.core_version(home)}, Python {version}"
    command = ["ansible-test", arguments[0], "--python", version, "--color", "no", *arguments[1:]]
    try:
        return f"{about}\n{output(command, env=env, cwd=tree)}"
    except ToolError as error:
        raise ToolError(f"{about}: {error}") from error


def _ansible_test(*arguments: str) -> None:
    """Run ansible-test on the oldest and the newest ansible-core, side by side: most of it keeps one CPU busy."""
    homes = environments.supported()
    with ThreadPoolExecutor(len(homes)) as pool:
        running = [pool.submit(_ansible_test_with, home, *arguments) for home in homes]
    failures = [str(error) for done in running if (error := done.exception()) is not None]
    for done in running:
        if done.exception() is None:
            say(done.result())
    if failures:
        raise ToolError("; ".join(failures))


def sanity() -> None:
    """ansible-test sanity, without any ignore file, on the oldest and the newest ansible-core."""
    environments.system_packages(*environments.LINTERS)
    _ansible_test("sanity")


def units() -> None:
    """ansible-test units on the oldest and the newest ansible-core."""
    _ansible_test("units", "--num-workers", str(max(1, (os.cpu_count() or 1) // 2)))


def _pytest(home: Path, folder: str, *words: str) -> None:
    command = ["pytest", "-p", "no:cacheprovider", "-v", "--durations=15", *words, folder]
    run(command, env=variables(home), cwd=CHECKOUT)


def contract() -> None:
    """What files promise each other, the modules run for real, the stores against real servers."""
    environments.system_packages(*environments.SERVERS)
    _pytest(environments.testing(), "tests/contract", "-n", str(os.cpu_count() or 1), "--dist", "loadfile")


def docs() -> None:
    """The documentation builds as a site, without a warning."""
    docsite.build()


def operator() -> None:
    """AWX, Event-Driven Ansible and the execution environment, with the tools that people run them with."""
    environments.system_packages(*environments.SERVERS)
    _pytest(environments.operating(), "tests/operator")


def lab() -> None:
    """The whole loop in real virtual machines."""
    _pytest(environments.testing(), "tests/lab")


CHECKS: tuple[Callable[[], None], ...] = (style, types, lint, package, sanity, units, contract, docs, operator, lab)


def main() -> int:
    """Run the checks and say how each ended."""
    names = {check.__name__: check for check in CHECKS}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"some of: {', '.join(names)} (default: all)")
    chosen = parser.parse_args().checks or list(names)
    unknown = [name for name in chosen if name not in names]
    if unknown:
        parser.error(f"no check is called {', '.join(unknown)}; there are {', '.join(names)}")
    lines, failed = [], False
    for number, name in enumerate(chosen, 1):
        say(f"[{number}/{len(chosen)}] {name}: {(names[name].__doc__ or '').splitlines()[0]}")
        started = time.monotonic()
        try:
            names[name]()
            outcome = "passed"
        except ToolError as error:
            failed = True
            print(f"{name}: {error}", file=sys.stderr, flush=True)
            outcome = f"FAILED: {str(error).splitlines()[0]}"
        lines.append(f"{name:10} {time.monotonic() - started:6.0f} s  {outcome}")
    say("checks")
    print("\n".join(lines), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
