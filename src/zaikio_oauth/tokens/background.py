"""Work that goes on although the request that began it has been answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["Background", "LoopTasks"]

T = TypeVar("T")

log = logging.getLogger("zaikio_oauth")


class LoopTasks:
    """Tasks that are kept until they end, by event loop, because a task belongs to the one in which it was started."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.AbstractEventLoop, set[asyncio.Task[Any]]] = {}

    def __contains__(self, loop: asyncio.AbstractEventLoop) -> bool:
        return loop in self._tasks

    def add(self, task: asyncio.Task[Any]) -> None:
        """Keep the task."""
        self._tasks.setdefault(task.get_loop(), set()).add(task)
        task.add_done_callback(self._discard)

    async def wait(self) -> None:
        """Wait until all tasks of this event loop have ended, also those that are added meanwhile."""
        while tasks := self._tasks.get(asyncio.get_running_loop()):
            await asyncio.wait(tasks)

    def _discard(self, task: asyncio.Task[Any]) -> None:
        tasks = self._tasks[task.get_loop()]
        tasks.discard(task)
        if not tasks:
            del self._tasks[task.get_loop()]


class Background:
    """Tasks that nobody has to wait for. They are kept, finished at shutdown, and their failures are logged."""

    def __init__(self) -> None:
        self._tasks = LoopTasks()
        self._closing: dict[asyncio.AbstractEventLoop, asyncio.Event] = {}

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start it and return its task; whoever awaits that must not be able to cancel it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
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
        await self._tasks.wait()
        self._closing.pop(loop, None)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if task.get_loop() not in self._tasks:
            self._closing.pop(task.get_loop(), None)
        if not task.cancelled() and (error := task.exception()):
            log.error(
                "Work in the background failed.", exc_info=error, extra={"zaikio_event": "background.work_failed"}
            )
