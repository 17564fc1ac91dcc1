# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation as a site, below build/site/html: the guides, and the reference that antsibull-docs makes of the
plugins' and roles' own documentation. Every warning is an error. It reaches for no network."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import environments
from environments import BUILD, PRODUCT, ROOT, ToolError, run, variables

SITE = BUILD / "site"
REQUIREMENTS = ROOT / "tests" / "site-requirements.txt"
# In the order of the menu; every other guide follows by its name.
FIRST = ("quickstart", "concepts", "operating", "scaling", "security")
CONFIG = """
project = "predictive.tenancy"
copyright = "predictive.tenancy contributors"
title = html_short_title = "predictive.tenancy"
extensions = ["sphinx_antsibull_ext", "myst_parser"]
html_theme = "sphinx_ansible_theme"
html_show_sphinx = False
html_copy_source = False
pygments_style = "ansible"
highlight_language = "YAML+Jinja"
myst_heading_anchors = 3
# Only about colours in examples: languages that Pygments does not know, or not this dialect of.
suppress_warnings = ["misc.highlighting_failure"]
"""


def guides() -> list[str]:
    """The names of the guides in the order of the menu."""
    found = sorted(path.stem for path in (ROOT / "docs").glob("*.md"))
    return [name for name in FIRST if name in found] + [name for name in found if name not in FIRST]


def index(names: list[str]) -> str:
    """The first page."""
    listed = "\n".join(f"   guides/{name}" for name in names)
    return f"""
predictive.tenancy
==================

Many tenants in each KVM virtual machine, every one sized by a forecast of its workload.

.. toctree::
   :maxdepth: 1
   :caption: Guides

{listed}

.. toctree::
   :maxdepth: 1
   :caption: Reference

   reference/index

.. _ansible_configuration_settings:
.. _common_return_values:

Ansible's own documentation
---------------------------

Return values that all modules have, and Ansible's settings: https://docs.ansible.com.
"""


def build() -> Path:
    """Build the site; returns its first page. Raises ToolError."""
    environments.system_packages(*environments.DEBIAN)
    environments.checkout()
    home = environments.environment("docs", Path(sys.executable), "ansible-core", [PRODUCT, REQUIREMENTS])
    shutil.rmtree(SITE, ignore_errors=True)
    source = SITE / "source"
    (source / "guides").mkdir(parents=True)
    reference = source / "reference"
    reference.mkdir(mode=0o700)  # antsibull-docs wants it for itself
    env = variables(home)
    collection = ["antsibull-docs", "collection", "--use-current", "--squash-hierarchy", "--cleanup", "everything"]
    run([*collection, "--fail-on-error", "--dest-dir", reference, "predictive.tenancy"], env=env)
    names = guides()
    # A link to a file outside docs/ leads into the repository.
    repository = re.findall(r"^repository: (.+)$", (ROOT / "galaxy.yml").read_text(encoding="utf-8"), re.M)[0]
    for path in (ROOT / "docs").iterdir():
        if path.is_dir():
            shutil.copytree(path, source / "guides" / path.name)
        elif path.suffix == ".md":
            text = path.read_text(encoding="utf-8").replace("](../", f"]({repository}/blob/main/")
            (source / "guides" / path.name).write_text(text, encoding="utf-8")
        else:
            shutil.copy(path, source / "guides")
    (source / "conf.py").write_text(CONFIG, encoding="utf-8")
    (source / "index.rst").write_text(index(names), encoding="utf-8")
    run(["sphinx-build", "-q", "-W", "--keep-going", "-b", "html", source, SITE / "html"], env=env)
    return SITE / "html" / "index.html"


def main() -> int:
    """Build it and say where it is."""
    try:
        print(build())
    except ToolError as error:
        print(f"site: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
