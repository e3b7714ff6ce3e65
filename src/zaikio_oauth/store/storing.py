"""Stores what must not be lost, for as long as it takes: the Hub issues a token for a code only once."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

from zaikio_oauth.errors import StoreUnavailableError
from zaikio_oauth.settings.retries_and_waits import DATABASE_DEADLINE, FIRST_DATABASE_BACKOFF, LONGEST_DATABASE_BACKOFF
from zaikio_oauth.store.single_flight import loop_is_ending

__all__ = ["Storing"]

log = logging.getLogger("zaikio_oauth")

T = TypeVar("T")


class Storing:
    """Writes that are tried again as long as the fault may pass, for one event loop.

    They are tried until what they store has expired, or until the shutdown has waited for them long enough.
    """

    def __init__(self) -> None:
        self._closing_at: float | None = None

    async def until_stored(self, name: str, write: Callable[[], Awaitable[T]], *, expires_at: datetime) -> T:
        """Return what ``write`` gives once it succeeds; raises StoreUnavailableError when there is no more use in it.

        ``name`` says in the log what is stored: whoever needs to know what was lost finds it there, never a value.
        ``write`` is called again after an attempt of which nobody knows whether the database has carried it out.
        """
        pause = FIRST_DATABASE_BACKOFF
        first = True
        while True:
            try:
                return await write()
            except StoreUnavailableError as error:
                if not error.may_pass or datetime.now(UTC) >= expires_at or self._has_closed():
                    log.error("%s could not be stored: %s", name, error, extra={"zaikio_event": "store.not_stored"})  # noqa: TRY400
                    raise
                if first:
                    log.warning(
                        "%s is kept in memory until it can be stored: %s",
                        name,
                        error,
                        extra={"zaikio_event": "store.postponed"},
                    )
            first = False
            # Jitter keeps many processes from returning to a database in step.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
            pause = min(pause * 2, LONGEST_DATABASE_BACKOFF)

    def close(self) -> None:
        """Give up in DATABASE_DEADLINE seconds, because the process is about to end."""
        if self._closing_at is None:
            self._closing_at = asyncio.get_running_loop().time()

    def _has_closed(self) -> bool:
        if loop_is_ending():
            self.close()
        return self._closing_at is not None and (
            asyncio.get_running_loop().time() - self._closing_at >= DATABASE_DEADLINE
        )
