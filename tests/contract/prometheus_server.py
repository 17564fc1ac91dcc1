# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Prometheus for tests, on a free port of the loopback interface."""

from __future__ import annotations

import base64
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

USER, PASSWORD = "admin", "test"
_BCRYPT = "$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay"  # of "test", from Prometheus' own guide


@dataclass
class Prometheus:
    """A running server."""

    url: str
    home: Path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    request = urllib.request.Request(f"{url}/-/ready", headers={"Authorization": f"Basic {token}"})
    try:
        urllib.request.urlopen(request, timeout=5).close()
    except OSError:
        return False
    return True


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while not _answers(url):
        assert process.poll() is None, log.read_text(encoding="utf-8")
        assert time.monotonic() < deadline, f"{url} does not answer: {log.read_text(encoding='utf-8')}"
        time.sleep(0.2)


@contextmanager
def serving(home: Path, *, history: str = "", login: bool = False) -> Iterator[Prometheus]:
    """A server whose files are in ``home``, filled with ``history`` (OpenMetrics text); with ``login`` it asks for
    USER and PASSWORD. It is ended at the end."""
    for command in ("prometheus", "promtool"):
        assert shutil.which(command), f"{command} is missing: install the package prometheus"
    (home / "config.yml").write_text("scrape_configs: []\n", encoding="utf-8")
    (home / "web.yml").write_text(f"basic_auth_users:\n  {USER}: {_BCRYPT}\n" if login else "", encoding="utf-8")
    if history:
        (home / "history.txt").write_text(history, encoding="utf-8")
        fill = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(home / "history.txt"), str(home / "data")]
        subprocess.run(fill, check=True, capture_output=True)
    address = f"127.0.0.1:{_free_port()}"
    command = [
        "prometheus",
        f"--config.file={home}/config.yml",
        f"--web.config.file={home}/web.yml",
        f"--storage.tsdb.path={home}/data",
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address={address}",
        "--log.level=error",
    ]
    with open(home / "log", "wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        _wait_until_ready(f"http://{address}", process, home / "log")
        yield Prometheus(f"http://{address}", home)
    finally:
        process.terminate()
        process.wait(timeout=30)
