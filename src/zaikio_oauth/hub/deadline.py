"""A deadline for waiting on the network, which a stalled process does not miss."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from zaikio_oauth.retries_and_waits import STALL, STALL_GRACE

__all__ = ["deadline"]


@asynccontextmanager
async def deadline(seconds: float | None) -> AsyncIterator[None]:
    """Cancel the body after ``seconds`` and raise TimeoutError; None means never.

    If the event loop was stalled (the process was stopped, or something blocked the loop), the deadline may be over
    when the loop goes on, although the answer lies in the socket. The body then has a moment more to read it.

        async with deadline(5):
            await connection.read()
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as timeout:
        if seconds is None:
            yield
            return
        due = loop.time() + seconds

        def expire() -> None:
            now = loop.time()
            timeout.reschedule(now + STALL_GRACE if now - due > STALL else now)

        handle = loop.call_at(due, expire)
        try:
            yield
        finally:
            handle.cancel()
