"""Whether anybody may have changed the database since something was read from it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

from zaikio_oauth.store.token_cache import TokenCache

__all__ = ["Changes"]


class Changes:
    """What one event loop learns of changes that others make to the database; this one learns of none.

    What another process has changed has a name: the id of a token or of its bearer, or a ``jti``.
    """

    def __init__(self, trusted: float) -> None:
        """``trusted``: for how many seconds what was read is used although nobody can tell whether it has changed."""
        self.trusted: float = trusted
        self.caches: list[TokenCache[Any]] = []

    def cache(self, **options: Any) -> TokenCache[Any]:
        """Return a cache, with these options of its own, from which everything is removed that others change."""
        cache: TokenCache[Any] = TokenCache(self.trusted, version=self.version, **options)
        self.caches.append(cache)
        return cache

    def version(self) -> Hashable | None:
        """Return a value that stays equal while nothing that was read before can have changed unnoticed.

        None if nobody can tell; then it is equal to nothing.
        """
        return None

    def start(self) -> None:
        """Begin to learn of changes once something has been read: in a moment, or at once if that is ``needed``."""

    def needed(self) -> None:
        """Do not wait for that moment, because this process will go on for long."""

    @contextmanager
    def watching(self, name: str) -> Iterator[Callable[[float], Awaitable[object]]]:
        """Yield a function that waits for so many seconds, or until another process has changed what has this name."""
        yield asyncio.sleep

    async def stop(self) -> None:
        """Close what is open for it."""
