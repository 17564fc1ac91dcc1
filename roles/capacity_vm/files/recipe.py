# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put an image's recipe on the host and say which image it makes.

Reads ``{"cache": folder, "check": bool, "files": {path: text}}`` from stdin; prints ``{"image": folder, "present":
bool, "script": path, "changed": bool}``. The image's name is the hash of all its inputs, so that equal inputs find it.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
from pathlib import Path


def main() -> None:
    """Write the recipe whole or not at all."""
    order = json.load(sys.stdin)
    os.umask(0o022)
    inputs = json.dumps([platform.machine(), order["files"]], sort_keys=True)
    key = hashlib.sha256(inputs.encode()).hexdigest()[:16]
    cache = Path(order["cache"])
    folder = cache / "recipes" / key
    changed = not folder.exists()
    if changed and not order["check"]:
        draft = folder.with_name(f"{key}.new")
        if draft.exists():
            shutil.rmtree(draft)
        for name, text in order["files"].items():
            path = draft / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            path.chmod(0o755 if text.startswith("#!") else 0o644)
        draft.rename(folder)
    found = {
        "image": str(cache / key),
        "present": (cache / key / "base.raw").exists(),
        "script": str(folder / "build_image.sh"),
        "changed": changed,
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
