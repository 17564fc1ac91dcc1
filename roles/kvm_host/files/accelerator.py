# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print as JSON whether this machine can run KVM guests, and why (not). A /dev/kvm that opens is not enough: some
machines have one that runs no stock guest, and their CPU then shows neither VMX nor SVM."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import sys
from pathlib import Path

KVM_GET_API_VERSION = 0xAE00
KVM_CREATE_VM = 0xAE01


def decide() -> tuple[str, str]:
    """The accelerator (kvm or tcg) and the reason."""
    if platform.machine() in ("x86_64", "i686"):
        words = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
        if not {"vmx", "svm"} & set(words):
            return "tcg", "the CPU shows neither vmx nor svm in /proc/cpuinfo"
    try:
        device = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return "tcg", f"/dev/kvm: {error.strerror}"
    try:
        version = fcntl.ioctl(device, KVM_GET_API_VERSION, 0)
        if version != 12:
            return "tcg", f"/dev/kvm speaks API version {version}, 12 is needed"
        os.close(fcntl.ioctl(device, KVM_CREATE_VM, 0))
    except OSError as error:
        return "tcg", f"/dev/kvm makes no VM: {error.strerror}"
    finally:
        os.close(device)
    return "kvm", "the CPU and /dev/kvm run guests"


if __name__ == "__main__":
    accelerator, reason = decide()
    sys.stdout.write(json.dumps({"accelerator": accelerator, "reason": reason}) + "\n")
