"""Changes on PostgreSQL: whoever changes a row notifies all processes that listen (``LISTEN``, ``NOTIFY``)."""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import ColumnElement, Select, String, bindparam, func, literal, select
from sqlalchemy.ext.asyncio import AsyncEngine

from zaikio_oauth.errors import StoreUnavailableError
from zaikio_oauth.settings.retries_and_waits import (
    CHANGES_DELAY,
    CHANGES_TEST,
    CONNECTION_CLOSE_TIMEOUT,
    FIRST_DATABASE_BACKOFF,
    LONGEST_CHANGES_BACKOFF,
    LONGEST_CHANGES_CHECK,
    SHORTEST_CHANGES_CHECK,
    STATEMENT_TIMEOUT,
)
from zaikio_oauth.store.changes import Changes
from zaikio_oauth.store.database_errors import fault_of
from zaikio_oauth.store.statements import Bound, Statements

__all__ = ["ChangeListener", "notification"]

CHANNEL = "zaikio_changes"

# A server that has become a standby is notified of nothing.
_STILL_LISTENING = "SELECT pg_listening_channels() WHERE NOT pg_is_in_recovery()"

log = logging.getLogger("zaikio_oauth")


def notification(sender: str, name: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return what a statement has to select or return so that a change of what has this name is told to all.

    PostgreSQL sends it when the change is committed, and not if it is rolled back.
    """
    return func.pg_notify(CHANNEL, literal(f"{sender} ").concat(name)).label("notified")


class ChangeListener(Changes):
    """Listens on a connection of its own, which counts as listening for ``trusted`` seconds after each proof of that.

    A network that swallows everything ends no connection, so the server is asked several times in that period whether
    it still has this listener. A pooler that gives each statement another connection (PgBouncer in transaction mode)
    has nobody listen at all; a notification that is sent to ourselves shows it.
    """

    def __init__(self, engine: AsyncEngine, statements: Statements, *, sender: str, trusted: float) -> None:
        super().__init__(trusted)
        self._engine = engine
        self._statements = statements
        self._sender = sender
        self._listening = 0
        self._heard_until = 0.0
        self._tests: dict[str, asyncio.Event] = {}
        self._watched: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._wanted, self._urgent = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._silent = False
        self._notify: Select[Any] = select(notification(sender, bindparam("name", type_=String)))

    def version(self) -> Hashable | None:
        """Return the number of this period of listening, or None."""
        if not self._listening:
            self._wanted.set()
        return self._listening if time.monotonic() < self._heard_until else None

    def start(self) -> None:
        """Listen once something has been read that can be kept: after a moment, or at once if that is ``needed``.

        A short script must not be about to connect when its event loop ends, and a cleanup keeps nothing.
        """
        self._task = asyncio.create_task(self._keep_listening())

    def needed(self) -> None:
        """Do not wait for that moment."""
        self._urgent.set()

    @contextmanager
    def watching(self, name: str) -> Iterator[Callable[[float], Awaitable[object]]]:
        """Yield a function that waits for so many seconds, or until another process has changed what has this name.

        Also since its last call, so that nothing is missed between two of them.
        """
        changed = asyncio.Event()

        async def pause(seconds: float) -> None:
            await _set_within(seconds, changed)
            changed.clear()

        self._watched[name].add(changed)
        try:
            yield pause
        finally:
            self._watched[name].discard(changed)
            if not self._watched[name]:
                del self._watched[name]

    async def stop(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _keep_listening(self) -> None:
        await self._wanted.wait()
        await _set_within(CHANGES_DELAY, self._urgent)
        pause = FIRST_DATABASE_BACKOFF
        while True:
            listened = self._listening
            try:
                reason = await self._listen()
            except StoreUnavailableError as error:
                reason = error.reason
            # Everything: SQLAlchemy's errors, the driver's, the network's.
            except Exception as error:
                reason = fault_of(error).reason
            if self._listening != listened:
                pause = FIRST_DATABASE_BACKOFF
                self._heard_until = 0.0
                self._forget_everything()
            if not self._silent:
                self._silent = True
                log.warning(
                    "Changes by other processes are noticed late (%s): what was read is used for up to %.1f s.",
                    reason,
                    self.trusted,
                    extra={"zaikio_event": "changes.not_noticed"},
                )
            # Jitter keeps many processes from returning to a database in step.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
            pause = min(pause * 2, LONGEST_CHANGES_BACKOFF)

    async def _listen(self) -> str:
        """Listen as long as possible, and return why it has ended."""
        pooled = await self._engine.raw_connection()
        driver: Any = pooled.driver_connection
        # It is not one of the pool's: nothing else is done with it.
        pooled.detach()
        lost = asyncio.Event()
        try:
            driver.add_termination_listener(lambda _: lost.set())
            await driver.add_listener(CHANNEL, self._notified)
            if not await self._hears():
                return "a pooler does not let anybody listen"
            await self._confirm(driver, lost)
        finally:
            with suppress(Exception):
                await driver.close(timeout=CONNECTION_CLOSE_TIMEOUT)
        return "the connection for it was lost"

    async def _hears(self) -> bool:
        test = str(uuid.uuid4())
        self._tests[test] = heard = asyncio.Event()
        try:
            await self._statements.run(Bound(self._notify, {"name": test}))
            return await _set_within(CHANGES_TEST, heard)
        finally:
            del self._tests[test]

    async def _confirm(self, driver: Any, lost: asyncio.Event) -> None:
        interval = min(max(self.trusted / 4, SHORTEST_CHANGES_CHECK), LONGEST_CHANGES_CHECK)
        self._listening += 1
        while not lost.is_set():
            asked = time.monotonic()
            async with asyncio.timeout(STATEMENT_TIMEOUT):
                channels = await driver.fetch(_STILL_LISTENING)
            if not channels:
                return
            # What was committed before the question has been notified before the answer.
            self._heard_until = asked + self.trusted
            if self._silent:
                self._silent = False
                log.info(
                    "Changes by other processes are noticed at once again.", extra={"zaikio_event": "changes.noticed"}
                )
            await _set_within(interval, lost)

    def _forget_everything(self) -> None:
        for cache in self.caches:
            cache.clear()

    def _notified(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        sender, _, name = str(payload).partition(" ")
        if not name:
            # By hand, after somebody has changed rows by SQL of their own: NOTIFY zaikio_changes
            self._forget_everything()
        elif sender != self._sender:
            for cache in self.caches:
                cache.drop(name)
        elif name in self._tests:
            self._tests[name].set()
        for changed in self._watched.get(name, ()):
            changed.set()


async def _set_within(seconds: float, happened: asyncio.Event) -> bool:
    """Return True as soon as it is set, False after so many seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await happened.wait()
    return happened.is_set()
