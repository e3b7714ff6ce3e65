"""Work that goes on although the request that began it has been answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["Background"]

T = TypeVar("T")

log = logging.getLogger("zaikio_oauth")


class Background:
    """Tasks that nobody has to wait for. They are kept, finished at shutdown, and their failures are logged."""

    def __init__(self) -> None:
        # By event loop, because a task belongs to the one in which it was started.
        self._tasks: dict[asyncio.AbstractEventLoop, set[asyncio.Task[Any]]] = {}
        self._closing: dict[asyncio.AbstractEventLoop, asyncio.Event] = {}

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start it and return its task; whoever awaits that must not be able to cancel it."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(work)
        self._tasks.setdefault(loop, set()).add(task)
        task.add_done_callback(self._ended)
        return task

    async def pause(self, seconds: float) -> bool:
        """Wait; return False, at once, if the event loop is being left and there is no time for another try."""
        closing = self._closing.setdefault(asyncio.get_running_loop(), asyncio.Event())
        try:
            async with asyncio.timeout(seconds):
                await closing.wait()
        except TimeoutError:
            return True
        return False

    async def finish(self) -> None:
        """Wait until everything that was started in this event loop has ended. Pauses end at once."""
        loop = asyncio.get_running_loop()
        closing = self._closing.setdefault(loop, asyncio.Event())
        closing.set()
        while tasks := self._tasks.get(loop):
            await asyncio.wait(tasks)
        self._closing.pop(loop, None)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        loop = task.get_loop()
        tasks = self._tasks.get(loop, set())
        tasks.discard(task)
        if not tasks:
            self._tasks.pop(loop, None)
            self._closing.pop(loop, None)
        if not task.cancelled() and (error := task.exception()):
            log.error("Work in the background failed.", exc_info=error)
