# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An own libvirtd in an own network and mount namespace, for a machine whose PID 1 is not systemd.

``enclosure.py up ROOT kvm|tcg``, ``enclosure.py down|status ROOT``, ``enclosure.py exec ROOT COMMAND...``,
``enclosure.py connect ROOT HOST PORT``; ``enclosure.py keep ROOT`` is its own first process.

No name of the namespace is kept anywhere: it lives as long as a process is in it, so that a killed enclosure leaves
no bridge, mount or socket behind. It is found again by a file in its private /run that names ROOT, never by a
recorded process id. All that must last (definitions, logs, disks) is in ROOT, bound over libvirt's own places.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

# Read through /proc/PID/root: the private /run of a process in an enclosure.
MARKER = "run/predictive.tenancy"
BOUND = ("etc/libvirt", "var/lib/libvirt", "var/cache/libvirt", "var/log/libvirt")
URI = "qemu:///system"

KEEPER = "tenancy-keeper"  # the name of the first process, at most 15 characters
PR_SET_NAME, PR_SET_CHILD_SUBREAPER = 15, 36

# A fresh sysfs shows the bridges of this network namespace and, mounted without /sys/fs/cgroup, keeps libvirt from
# leaving control groups behind on a machine that has no systemd to own them. A /dev/kvm that runs no guest is hidden
# behind a file that not even root may write, else libvirt takes it for usable and probes QEMU at every definition.
SETUP = """
ip link set lo up
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755,size=64m tmpfs /run
mkdir -p /run/lock
for place in etc/libvirt var/lib/libvirt var/cache/libvirt var/log/libvirt; do
    mkdir -p "/$place"
    mount --bind "$1/$place" "/$place"
done
if [ "$2" = tcg ] && [ -e /dev/kvm ]; then
    touch /run/no-kvm
    mount --bind /run/no-kvm /dev/kvm
    mount -o remount,bind,ro /dev/kvm
fi
printf '%s' "$1" > /run/predictive.tenancy.new
mv /run/predictive.tenancy.new /run/predictive.tenancy
exec "$3" "$4" keep "$1"
"""


class Failure(Exception):
    """What went wrong, with the cause as the machine told it."""


def tail(path: Path, lines: int = 30) -> str:
    """The end of a log, or a word that there is none."""
    try:
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except OSError as error:
        return f"(no log: {error})"


def ours(entry: Path, root: Path) -> bool:
    """Whether a process, by its folder in /proc, is in the enclosure of ``root``. Raises OSError when it ends."""
    if (entry / "root" / MARKER).read_text(encoding="utf-8") != str(root):
        return False
    # The same path may exist in a container: ours leads to our folder, or to nothing when that was removed.
    inside = entry / "root" / str(root).lstrip("/")
    return inside.samefile(root) if root.exists() else not inside.exists()


def members(root: Path) -> dict[int, str]:
    """The processes in the enclosure of ``root``: process id to command name."""
    found = {}
    for entry in Path("/proc").iterdir():
        # One that ends while we look, or has no such file, is in no enclosure.
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and ours(entry, root):
                found[int(entry.name)] = (entry / "comm").read_text(encoding="utf-8").strip()
    return found


def whole(root: Path, pid: int) -> bool:
    """Whether the places bound into the enclosure are still those of ``root`` (it may have been removed and made
    again since)."""
    try:
        return all(Path(f"/proc/{pid}/root/{place}").samefile(root / place) for place in BOUND)
    except OSError:
        return False


def holder(root: Path) -> int | None:
    """A process through which the enclosure can be entered."""
    processes = members(root)
    lasting = [pid for pid, name in processes.items() if name in (KEEPER, "libvirtd")]
    return min(lasting or processes, default=None)


def entered(root: Path, command: list[str]) -> list[str]:
    """``command`` as it runs inside. Raises Failure when there is no enclosure."""
    pid = holder(root)
    if pid is None:
        raise Failure(f"the enclosure of {root} is not running: run the playbook that provisions this host")
    return ["nsenter", "--target", str(pid), "--mount", "--net", "--", *command]


def call(root: Path, *command: str, timeout: float = 30) -> int:
    """The exit code of a short command inside. Raises Failure."""
    try:
        return subprocess.run(
            entered(root, list(command)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=timeout,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        raise Failure(f"{' '.join(command)} did not end within {timeout:.0f} s") from None


def keep(root: Path) -> None:
    """Be the first process of the enclosure: run libvirtd and start it again when it ends, and reap what it leaves.

    libvirt polls until a process that it ended has vanished. Where PID 1 reaps late, that made each definition take
    46 s; so the orphans come to this process instead.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0 or libc.prctl(PR_SET_NAME, KEEPER.encode(), 0, 0, 0) != 0:
        raise Failure(f"prctl: {os.strerror(ctypes.get_errno())}")
    while True:
        log(f"starting libvirtd for {root}")
        daemon = subprocess.Popen(["libvirtd", "--config", "/etc/libvirt/libvirtd.conf"], stdin=subprocess.DEVNULL)
        ended, code = 0, 0
        while ended != daemon.pid:
            ended, code = os.wait()
        log(f"libvirtd ended with {os.waitstatus_to_exitcode(code)}")
        time.sleep(1)


def log(text: str) -> None:
    """One line of the keeper's log."""
    sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {text}\n")
    sys.stderr.flush()


def build(root: Path, accelerator: str) -> None:
    """Make the namespaces, or enter those that have lost their keeper, and start a keeper. Raises Failure."""
    for place in BOUND:
        (root / place).mkdir(parents=True, exist_ok=True)
    script = [sys.executable, str(root / "bin/enclosure.py")]
    if members(root):
        end(root, {pid for pid, name in members(root).items() if name == "libvirtd"})
        command = entered(root, [*script, "keep", str(root)])
    else:
        spaces = ["unshare", "--net", "--mount", "--propagation", "private"]
        command = [*spaces, "sh", "-euc", SETUP, "sh", str(root), accelerator, *script]
    output = root / "keeper.log"
    with output.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True, cwd="/"
        )
    deadline = time.monotonic() + 30
    while members(root).get(process.pid) != KEEPER:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise Failure(f"no network and mount namespace can be made here:\n{tail(output)}")
        time.sleep(0.02)
    (root / "instance").write_text(f"{process.pid}-{time.time():.0f}", encoding="utf-8")


def answers(root: Path) -> bool:
    """Whether libvirtd is there and serves."""
    if "libvirtd" not in members(root).values():
        return False
    try:
        return call(root, "virsh", "-q", "-c", URI, "version") == 0
    except Failure:
        return False


@contextlib.contextmanager
def alone(root: Path) -> Iterator[None]:
    """Wait until no other run changes the enclosure: two that find none would make two."""
    if not root.exists():
        yield
        return
    with (root / "lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def serve(root: Path) -> None:
    """Wait until libvirtd serves; one that hangs is ended, the keeper starts the next. Raises Failure."""
    for _turn in range(2):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if answers(root):
                return
            time.sleep(0.1)
        end(root, {pid for pid, name in members(root).items() if name == "libvirtd"})
    daemon = tail(root / "var/log/libvirt/libvirtd.log")
    raise Failure(f"libvirtd does not serve:\n{tail(root / 'keeper.log')}\n--- its log:\n{daemon}")


def up(root: Path, accelerator: str) -> bool:
    """Make the enclosure and its libvirtd where they are missing or dead. Returns whether anything was done."""
    present = holder(root)
    if present is not None and not whole(root, present):
        down(root)
    made = KEEPER not in members(root).values()
    if made:
        build(root, accelerator)
    if not answers(root):
        serve(root)
        made = True
    return made


def end(root: Path, targets: set[int], patience: float = 10) -> None:
    """End processes of the enclosure: by request, after ``patience`` seconds by force."""
    for sign, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 20.0)):
        for pid in targets & set(members(root)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)
        deadline = time.monotonic() + seconds
        while targets & set(members(root)):
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        else:
            return
    raise Failure(f"processes {sorted(targets & set(members(root)))} in the enclosure of {root} cannot be ended")


def down(root: Path) -> bool:
    """End every process of the enclosure; its mounts, network and sockets vanish with the last one."""
    present = set(members(root))
    # The keeper goes first, else it starts libvirtd again; a killed ``down`` is found by any process that is left.
    end(root, {pid for pid, name in members(root).items() if name == KEEPER})
    end(root, set(members(root)))
    (root / "instance").unlink(missing_ok=True)
    return bool(present)


def status(root: Path) -> dict[str, object]:
    """What is there, for people and for the role."""
    pid = holder(root)
    running = pid is not None and answers(root)
    return {
        "pid": pid,
        "whole": pid is not None and whole(root, pid),
        "libvirtd": running,
        "processes": sorted(members(root).values()),
        "uri": f"qemu+unix:///system?socket=/proc/{pid}/root/run/libvirt/libvirt-sock" if running else "",
    }


# Runs inside, connects, and hands the connected socket to ssh (ProxyUseFdpass), so that nothing stays in between.
CONNECT = (
    "import array,socket,sys\n"
    "link=socket.create_connection((sys.argv[1],int(sys.argv[2])),10)\n"
    "link.setblocking(True)\n"
    "ssh=socket.socket(fileno=1)\n"
    "ssh.sendmsg([b'\\0'],[(socket.SOL_SOCKET,socket.SCM_RIGHTS,array.array('i',[link.fileno()]))])\n"
)


def main(arguments: list[str]) -> int:
    """Do what the first word says; the second is the root."""
    os.umask(0o022)  # libvirt's dnsmasq reads its files as another user
    action, root, rest = arguments[0], Path(arguments[1]).resolve(), arguments[2:]
    if action == "exec":
        command = entered(root, rest)
        return subprocess.run(command, check=False).returncode
    if action == "connect":
        command = entered(root, [sys.executable, "-c", CONNECT, *rest])
        return subprocess.run(command, check=False).returncode
    if action == "keep":
        keep(root)
    changed = False
    if action in ("up", "down"):
        with alone(root):
            changed = up(root, rest[0]) if action == "up" else down(root)
    elif action != "status":
        raise Failure(f"unknown action {action}")
    sys.stdout.write(json.dumps({"changed": changed, **status(root)}) + "\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Failure as failure:
        sys.exit(str(failure))
