# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt, one small function for each call; an error says what was tried on which domain and what libvirt said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

try:
    import libvirt
except ImportError:  # the plugin that needs it says so (libraries.require)
    pass

from .._core.errors import HypervisorError
from .shape import Shape, count_cpus, shape_of

Result = TypeVar("Result")


def attempt(what: str, name: str, call: Callable[[], Result], hint: str = "") -> Result:
    """Do one call. Raises HypervisorError naming what was tried and the domain."""
    try:
        return call()
    except libvirt.libvirtError as error:
        raise HypervisorError(f"{what}: {error}", item=name, hint=hint) from error


@contextmanager
def connect(uri: str) -> Iterator[Any]:
    """A connection to libvirt. Raises HypervisorError."""
    # By default libvirt writes every error to stderr, beside raising it.
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    hint = "is libvirtd running, and may this user reach its socket?"
    connection = attempt("connecting to libvirt", uri, lambda: libvirt.open(uri), hint)
    try:
        yield connection
    finally:
        connection.close()


def find(connection: Any, name: str) -> Any:
    """The domain of that name. Raises HypervisorError."""
    return attempt("looking up the domain", name, lambda: connection.lookupByName(name))


def definition(domain: Any, name: str) -> Shape | None:
    """The shape in the domain's definition; None for a domain that has none (a transient one)."""
    if not attempt("asking whether it is persistent", name, domain.isPersistent):
        return None
    return shape_of(attempt("reading its definition", name, lambda: domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)))


def instance(domain: Any, name: str, ask_guest: bool) -> Shape | None:
    """The shape of the running instance; None when it does not run. With ``ask_guest`` and a connected guest agent,
    vCPUs are those that the guest has online."""
    if not attempt("asking whether it runs", name, domain.isActive):
        return None
    shape = shape_of(attempt("reading its state", name, lambda: domain.XMLDesc(0)))
    if ask_guest and shape.agent:
        return replace(shape, vcpus=min(shape.vcpus, guest_vcpus(domain, name)))
    return shape


def guest_vcpus(domain: Any, name: str) -> int:
    """How many vCPUs the guest has online, by its agent."""
    found: Mapping[str, str] = attempt("asking the guest agent for its vCPUs", name, domain.guestVcpus)
    return count_cpus(found["online"])


def balloon(domain: Any, name: str) -> int:
    """The memory in bytes that the running guest holds now."""
    return int(attempt("reading its memory", name, domain.info)[2]) * 1024


def set_vcpus(domain: Any, name: str, count: int, live: bool) -> None:
    """Set the vCPUs of the running instance or of the definition."""
    flags = libvirt.VIR_DOMAIN_AFFECT_LIVE if live else libvirt.VIR_DOMAIN_AFFECT_CONFIG
    what = f"setting {count} vCPUs ({'live' if live else 'persistent'})"
    attempt(what, name, lambda: domain.setVcpusFlags(count, flags))


def set_guest_vcpus(domain: Any, name: str, count: int) -> None:
    """Have the guest's agent take vCPUs online or offline until ``count`` are online."""
    attempt(
        f"having the guest use {count} vCPUs",
        name,
        lambda: domain.setVcpusFlags(count, libvirt.VIR_DOMAIN_VCPU_GUEST),
        "a guest kernel may see fewer vCPUs than its machine was given: under emulation it ignores those added later",
    )


def set_memory(domain: Any, name: str, size: int, live: bool) -> None:
    """Set the memory of the running instance (its balloon) or of the definition, in bytes."""
    flags = libvirt.VIR_DOMAIN_AFFECT_LIVE if live else libvirt.VIR_DOMAIN_AFFECT_CONFIG
    what = f"setting {size} bytes of memory ({'live' if live else 'persistent'})"
    attempt(what, name, lambda: domain.setMemoryFlags(size // 1024, flags))


def set_disk(domain: Any, name: str, disk: str, limits: Mapping[str, int], live: bool) -> None:
    """Set limits of a disk, by libvirt's names; 0 is unlimited."""
    flags = libvirt.VIR_DOMAIN_AFFECT_LIVE if live else libvirt.VIR_DOMAIN_AFFECT_CONFIG
    what = f"limiting the disk {disk} ({'live' if live else 'persistent'})"
    attempt(what, name, lambda: domain.setBlockIoTune(disk, dict(limits), flags))
