"""What one process has read of the store a moment ago: bounded in number and in age."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["TokenCache"]

T = TypeVar("T")

MOST_ENTRIES = 10_000


class TokenCache(Generic[T]):
    """Keeps values for ``ttl`` seconds; a ``ttl`` of 0 keeps nothing. The oldest give way.

    ``dropped`` counts what was taken out on purpose. A reader notes it before it asks the store and gives it
    back with ``put``: what was read before a logout must not be remembered after it.
    """

    def __init__(
        self, ttl: float, *, most: int = MOST_ENTRIES, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._ttl = ttl
        self._most = most
        self._monotonic = monotonic
        self._entries: OrderedDict[str, tuple[float, T]] = OrderedDict()
        self.dropped = 0

    @property
    def enabled(self) -> bool:
        """Whether anything is kept at all."""
        return self._ttl > 0

    def get(self, key: str) -> T | None:
        """The value, if it was read within the last ``ttl`` seconds."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if self._monotonic() - entry[0] >= self._ttl:
            del self._entries[key]
            return None
        return entry[1]

    def put(self, key: str, value: T, *, dropped: int) -> None:
        """Keep what was read when ``dropped`` was as given; not if something was taken out since."""
        if not self.enabled or dropped != self.dropped:
            return
        self._entries[key] = (self._monotonic(), value)
        self._entries.move_to_end(key)
        while len(self._entries) > self._most:
            self._entries.popitem(last=False)

    def drop(self, key: str) -> None:
        """Take one out, and distrust every read that is under way."""
        self.dropped += 1
        self._entries.pop(key, None)

    def drop_if(self, unwanted: Callable[[T], bool]) -> None:
        """Take out all that are unwanted."""
        self.dropped += 1
        for key in [key for key, (_, value) in self._entries.items() if unwanted(value)]:
            del self._entries[key]
