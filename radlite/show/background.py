"""Work that leaves a notebook's kernel free: an iterator, done piece by piece on the kernel's event loop.

A kernel handles one message at a time, so a button cannot stop what another one began, unless that lets go often.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator


class Background:
    """Does one piece of work at a time; newer work takes the place of older at its next piece.

    Args:
        changed: called with True when work begins and with False when none is left, whatever ended it.
        failed: told of an error that ends work on the event loop; there is nobody else whom it could reach.

    Attributes:
        lock: held during every piece. Newer front ends send clicks to another thread than cells; what they change, they
            change under it.
    """

    def __init__(self, changed: Callable[[bool], None], failed: Callable[[Exception], None]) -> None:
        self._changed, self._failed = changed, failed
        self._work: Iterator[None] | None = None
        self._task: asyncio.Task | None = None  # a loop forgets tasks that nobody holds
        self.lock = threading.RLock()

    @property
    def busy(self) -> bool:
        """Whether there is work."""
        return self._work is not None

    def begin(self, work: Iterator[None]) -> bool:
        """Starts it on the running event loop; False, and nothing is done, where there is none."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        self._take(work)
        self._task = loop.create_task(self._pace(work))
        return True

    def finish(self, work: Iterator[None]) -> None:
        """Does all of it now; returns early when other work takes its place."""
        self._take(work)
        try:
            while self._advance(work):
                pass
        finally:
            self._leave(work)

    async def _pace(self, work: Iterator[None]) -> None:
        try:
            while self._advance(work):
                await asyncio.sleep(0)
        except Exception as error:
            self._failed(error)
        finally:
            self._leave(work)

    def _take(self, work: Iterator[None]) -> None:
        with self.lock:
            self._work = work
            self._changed(True)

    def _advance(self, work: Iterator[None]) -> bool:
        """One piece further; False when it is over, or not what is to be done any more."""
        with self.lock:
            return self._work is work and next(work, self) is not self

    def _leave(self, work: Iterator[None]) -> None:
        with self.lock:
            if self._work is work:
                self._work = None
                self._changed(False)
