# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd units: one template for each runtime, the settings of all tenant slices, and one file of settings for each
sandbox. A template needs no unit file and no daemon-reload per tenant, and no tenant's name is ever part of a text
that systemd parses as settings."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from .._core.changes import ChangeSet
from .._core.errors import CommandError
from . import gvisor, kata, runc
from .host import Host, read_text, service_unit, write_text
from .sandboxes import require_runtime

TEMPLATES = {"gvisor": gvisor.template, "kata": kata.template, "runc": runc.template}
START_CREATED = {"gvisor": gvisor.start_created, "runc": runc.start_created}
EXECUTE = {"gvisor": gvisor.execute, "runc": runc.execute}
CHECKPOINT = {"gvisor": gvisor.checkpoint}
FOOTPRINTS = {"gvisor": gvisor.FOOTPRINT, "kata": kata.FOOTPRINT, "runc": runc.FOOTPRINT}
SETTINGS = {"gvisor": gvisor.settings, "kata": kata.settings, "runc": runc.settings}

# Without accounting the I/O controller is off and a slice's reads and writes are not counted.
_SLICES = """# Made by predictive.tenancy: what holds for every tenant.
[Slice]
CPUAccounting=yes
MemoryAccounting=yes
TasksAccounting=yes
IOAccounting=yes
"""


def node_files(host: Host, runtimes: Iterable[str]) -> dict[str, str]:
    """Path and text of the units that all tenants share, for the runtimes in use. Raises CommandError where one is
    not installed."""
    texts = {os.path.join(host.paths.units, "tenants-.slice.d", "10-tenancy.conf"): _SLICES}
    for runtime in sorted(runtimes):
        path = os.path.join(host.paths.units, f"tenancy-{runtime}@.service")
        texts[path] = TEMPLATES[runtime](require_runtime(host, runtime), host.paths)
    return texts


def compare_files(changes: ChangeSet, texts: dict[str, str]) -> list[str]:
    """Record the files that differ; return their paths."""
    different = []
    for path, text in texts.items():
        present = read_text(path)
        if present != text:
            changes.add(
                "install" if present is None else "repair", path, "absent" if present is None else "other", "ours"
            )
            different.append(path)
    return different


def install_files(host: Host, texts: dict[str, str], different: Sequence[str]) -> None:
    """Write the files that differ and make systemd read them."""
    for path in different:
        write_text(path, texts[path], 0o644)
    if different:
        host.systemctl("daemon-reload", doing="systemctl daemon-reload")


def wants_path(host: Host, runtime: str, instance: str) -> str:
    """The link that makes a sandbox start with the machine."""
    return os.path.join(host.paths.wants, service_unit(runtime, instance))


def set_enabled(host: Host, runtime: str, instance: str, enabled: bool) -> None:
    """Make a sandbox start with the machine, or not. systemd reads these links at boot, so no reload is needed."""
    path = wants_path(host, runtime, instance)
    try:
        if enabled and not os.path.islink(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.symlink(os.path.join(host.paths.units, f"tenancy-{runtime}@.service"), path)
        elif not enabled and os.path.islink(path):
            os.unlink(path)
    except OSError as error:
        raise CommandError(f"cannot change what starts with the machine: {error.strerror}", item=path) from error
