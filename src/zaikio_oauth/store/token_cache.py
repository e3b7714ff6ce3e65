"""What one process has read from the database in the last few seconds, limited in number and age."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["TokenCache"]

T = TypeVar("T")

MAX_ENTRIES = 10_000


class TokenCache(Generic[T]):
    """Keeps values for ``ttl`` seconds; a ``ttl`` of 0 keeps nothing. New values displace the oldest.

    ``dropped`` counts deliberate removals. A reader notes it before it asks the database and passes it to ``put``,
    because what was read before a logout must not be cached after it.
    """

    def __init__(
        self, ttl: float, *, max_entries: int = MAX_ENTRIES, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._ttl = ttl
        self._max_entries = max_entries
        self._monotonic = monotonic
        self._entries: OrderedDict[str, tuple[float, T]] = OrderedDict()
        self.dropped: int = 0

    @property
    def enabled(self) -> bool:
        """True unless ``ttl`` is 0."""
        return self._ttl > 0

    def get(self, key: str) -> T | None:
        """Return the value, or None if there is none that is younger than ``ttl``."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if self._monotonic() - entry[0] >= self._ttl:
            del self._entries[key]
            return None
        return entry[1]

    def put(self, key: str, value: T, *, dropped: int) -> None:
        """Keep a value that was read when ``dropped`` was as given; ignore it if anything was removed since."""
        if not self.enabled or dropped != self.dropped:
            return
        self._entries[key] = (self._monotonic(), value)
        self._entries.move_to_end(key)
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    def drop(self, key: str) -> None:
        """Remove a value, and have every read that is under way ignored."""
        self.dropped += 1
        self._entries.pop(key, None)

    def drop_if(self, unwanted: Callable[[T], bool]) -> None:
        """Remove all values that are ``unwanted``, and have every read that is under way ignored."""
        self.dropped += 1
        for key in [key for key, (_, value) in self._entries.items() if unwanted(value)]:
            del self._entries[key]
