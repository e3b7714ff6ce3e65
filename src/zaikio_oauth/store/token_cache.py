"""What one process has read from the database in the last few seconds, limited in number and age."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

__all__ = ["TokenCache"]

T = TypeVar("T")

MAX_ENTRIES = 10_000

MAX_DROPS = 1_000
"""How many removals are remembered by name for the reads under way."""


def _nothing(_value: object) -> tuple[str, ...]:
    return ()


class TokenCache(Generic[T]):
    """Keeps values for ``ttl`` seconds; a ``ttl`` of 0 keeps nothing. New values displace the oldest.

    A value is removed by its key or by one of its ``labels``, however many others there are.

    ``dropped`` counts deliberate removals. A reader notes it before it asks the database and passes it to ``put``,
    because what was read before a logout must not be cached after it.
    """

    def __init__(
        self,
        ttl: float,
        *,
        labels: Callable[[T], Iterable[str | None]] = _nothing,
        max_entries: int = MAX_ENTRIES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ttl = ttl
        self._labels = labels
        self._max_entries = max_entries
        self._monotonic = monotonic
        self._entries: OrderedDict[str, tuple[float, T]] = OrderedDict()
        # By label: the key, or several. Most labels have one, and a set takes as much memory as the rest of an entry.
        self._keys: dict[str, str | set[str]] = {}
        # By name: what ``dropped`` was when it was removed last. The oldest are forgotten; all that was read before
        # them counts as removed.
        self._drops: OrderedDict[str, int] = OrderedDict()
        self._forgotten = 0
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
            self._remove(key)
            return None
        return entry[1]

    def put(self, key: str, value: T, *, dropped: int) -> None:
        """Keep a value that was read when ``dropped`` was as given; ignore it if it was removed since."""
        if not self.enabled or dropped < self._forgotten:
            return
        labels = self._labels_of(key, value)
        if dropped != self.dropped and any(self._drops.get(name, 0) > dropped for name in (key, *labels)):
            return
        self._remove(key)
        self._entries[key] = (self._monotonic(), value)
        for label in labels:
            self._index(label, key)
        while len(self._entries) > self._max_entries:
            self._remove(next(iter(self._entries)))

    def drop(self, *names: str) -> None:
        """Remove the values with these keys or labels, and have reads of them that are under way ignored."""
        self.dropped += 1
        if len(names) > MAX_DROPS:
            self._drops.clear()
            self._forgotten = self.dropped
        for name in names:
            keys = self._keys.get(name, ())
            for key in (name, *([keys] if isinstance(keys, str) else tuple(keys))):
                self._remove(key)
            if self._forgotten < self.dropped:
                self._remember(name)

    def _remember(self, name: str) -> None:
        self._drops[name] = self.dropped
        self._drops.move_to_end(name)
        if len(self._drops) > MAX_DROPS:
            _, self._forgotten = self._drops.popitem(last=False)

    def _remove(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            for label in self._labels_of(key, entry[1]):
                self._unindex(label, key)

    def _labels_of(self, key: str, value: T) -> list[str]:
        return [label for label in self._labels(value) if label is not None and label != key]

    def _index(self, label: str, key: str) -> None:
        keys = self._keys.get(label)
        if keys is None or keys == key:
            self._keys[label] = key
        elif isinstance(keys, str):
            self._keys[label] = {keys, key}
        else:
            keys.add(key)

    def _unindex(self, label: str, key: str) -> None:
        keys = self._keys.get(label)
        if isinstance(keys, set):
            keys.discard(key)
            if not keys:
                del self._keys[label]
        elif keys == key:
            del self._keys[label]
