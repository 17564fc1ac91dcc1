# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lease that is kept while something runs under it.

A store that is away blocks whoever asks it, for longer than a short lease lasts. So the lease is renewed beside the
run, and the run only ever compares clocks.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from datetime import datetime
from types import TracebackType

from .._core.errors import StoreUnavailable, TenancyError
from .._store.interface import Store

_AGAIN = 1.0
_SPARE = 0.1  # of a lease, for controllers whose clocks differ and machines that are slow


class Lease:
    """The lease ``name`` for ``seconds``; within ``with`` it is renewed every third of them, through stores of its own
    that ``opener`` opens. A store that is away is tried again as long as the lease lasts; ``error`` is any other that a
    renewal ran into, after which there are no more."""

    def __init__(
        self, name: str, owner: str, seconds: float, clock: Callable[[], datetime], opener: Callable[[], Store]
    ) -> None:
        self.name, self.owner, self.seconds = name, owner, seconds
        self._clock, self._opener = clock, opener
        self._until = -math.inf
        self.error: TenancyError | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease {name}", daemon=True)

    def take(self, store: Store) -> bool:
        """Take or renew it; whether it is ours. It counts from before the store was asked, as the store counts it."""
        begin = time.monotonic()
        ours = store.acquire(self.name, self.owner, self.seconds, self._clock())
        self._until = begin + (1 - _SPARE) * self.seconds if ours else -math.inf
        return ours

    def left(self) -> float:
        """Seconds for which nobody else can have it; none or fewer if it is lost."""
        return self._until - time.monotonic()

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A renewal that is under way ends first, so that none comes after the lease is given back.
        self._ending.set()
        self._thread.join()

    def _keep(self) -> None:
        wait = self.seconds / 3
        try:
            while not self._ending.wait(wait) and self.left() > 0:
                wait = self.seconds / 3 if self._renew() else min(_AGAIN, self.seconds / 10)
        except TenancyError as error:
            self.error = error

    def _renew(self) -> bool:
        try:
            with self._opener() as store:
                return self.take(store)
        except StoreUnavailable:
            return False
