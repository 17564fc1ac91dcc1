# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench NAME=... [DATA=DIR] [ARGS=...]`: run one of tests/benchmarks with the peers it is measured against."""

from __future__ import annotations

import sys
from pathlib import Path

import environments
from environments import PRODUCT, ROOT, ToolError, run, variables

BENCHMARKS = ROOT / "tests" / "benchmarks"


def main() -> int:
    """Run the benchmark; its exit status is this one's."""
    name, data, *arguments = [*sys.argv[1:], "", ""][: max(2, len(sys.argv) - 1)]
    known = sorted(path.stem for path in BENCHMARKS.glob("*.py") if not path.stem.startswith("_"))
    if name not in known:
        print(f"make bench: NAME is one of {', '.join(known)}, not {name!r}", file=sys.stderr)
        return 2
    try:
        environments.system_packages(*environments.DEBIAN)
        environments.checkout()
        peers = [PRODUCT, ROOT / "tests" / "benchmarks" / "requirements.txt"]
        home = environments.environment("bench", Path(sys.executable), "ansible-core", peers)
        folder = ["--data", str((Path.cwd() / data).resolve())] if data else []
        run(["python", BENCHMARKS / f"{name}.py", *folder, *arguments], env=variables(home))
    except ToolError as error:
        print(f"make bench: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
