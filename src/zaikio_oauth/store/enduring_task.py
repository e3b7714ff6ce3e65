"""A task that runs to its end: a request that has spent something, or a statement on its way."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

__all__ = ["EnduringTask"]

T = TypeVar("T")


class EnduringTask(asyncio.Task[T]):
    """Is not ended by ``asyncio.run``, which cancels every task when a script's last line is done, and waits for them.

    While the loop runs it can be cancelled as any other: time-outs inside it work by that. What it does has to have
    an end of its own.
    """

    def cancel(self, msg: Any | None = None) -> bool:
        """Decline where the loop has stopped, which is when it ends."""
        return self.get_loop().is_running() and super().cancel(msg)
