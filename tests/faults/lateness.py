"""How late the event loop is, so that a test that measures time asks no more of a busy machine than it can give."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["Lateness"]

TICK = 0.05


class Lateness:
    """``total``: for how many seconds, all in all, the event loop had other things to do while it was watched.

    What takes many steps is late at each of them, so the longest single delay is not enough.
    """

    def __init__(self) -> None:
        self.total = 0.0

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Measure while the body runs."""

        async def watch() -> None:
            while True:
                before = time.monotonic()
                await asyncio.sleep(TICK)
                self.total += max(0.0, time.monotonic() - before - TICK)

        watching = asyncio.create_task(watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])
