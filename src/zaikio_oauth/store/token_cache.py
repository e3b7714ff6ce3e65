"""What one process has read from the database, limited in number and age."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

from zaikio_oauth.store.label_index import LabelIndex
from zaikio_oauth.store.packed_values import PackedValues, Packing

__all__ = ["Reading", "TokenCache"]

T = TypeVar("T")

MAX_ENTRIES = 10_000

MAX_UNPACKED = 2_000
"""How many values are kept as they are, if there is a packing for the others."""

SAMPLES = 4
"""From how many values a packing is made."""

MAX_DROPS = 1_000
"""How many removals are remembered by name for the reads under way."""


def _nothing(_value: object, _key: str) -> tuple[str, ...]:
    return ()


def _for_ever(_value: object) -> float:
    return math.inf


def _unknown() -> None: ...


class Reading(NamedTuple):
    """When a read began: after how many removals, and at which version of the database, if that is known."""

    dropped: int
    version: Hashable | None = None


class _Entry(NamedTuple, Generic[T]):
    value: T
    read_at: float
    lasts_until: float
    version: Hashable | None


class TokenCache(Generic[T]):
    """Keeps values for ``ttl`` seconds; a ``ttl`` of 0 keeps nothing. New values displace the least recently used.

    A value is kept longer while the database has the ``version`` at which it was read, but not after the UNIX time that
    ``lasts_until`` says.

    A value is removed by its key or by one of its ``labels``, however many others there are.

    With a ``packing``, which is made from some samples, values that are displaced are packed, so that many more fit
    into the same memory.

    A reader notes ``reading()`` before it asks the database and passes it to ``put``, because what was read before a
    logout must not be cached after it.
    """

    def __init__(
        self,
        ttl: float,
        *,
        labels: Callable[[T, str], Iterable[str | None]] = _nothing,
        lasts_until: Callable[[T], float] = _for_ever,
        version: Callable[[], Hashable | None] = _unknown,
        packing: Callable[[Iterable[tuple[str, T]]], Packing[T]] | None = None,
        max_entries: int = MAX_ENTRIES,
        max_unpacked: int = MAX_UNPACKED,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ttl = ttl
        self._labels = labels
        self._lasts_until = lasts_until
        self._version = version
        self._packing = packing
        self._max_entries = max_entries
        self._max_unpacked = max_entries if packing is None else max_unpacked
        self._monotonic = monotonic
        self._clock = clock
        self._entries: OrderedDict[str, _Entry[T]] = OrderedDict()
        self._index: LabelIndex[str] = LabelIndex()
        self._packed: PackedValues[T] | None = None
        # By name: how many removals there had been when it was removed last. The oldest are forgotten; all that was
        # read before them counts as removed.
        self._drops: OrderedDict[str, int] = OrderedDict()
        self._forgotten = 0
        self._dropped = 0

    @property
    def enabled(self) -> bool:
        """True unless ``ttl`` is 0."""
        return self._ttl > 0

    def get(self, key: str, *, lasting: bool = False) -> T | None:
        """Return the value, or None if there is none that can still be used; ``lasting``: or if it lasts no longer."""
        entry = self._entries.get(key) or self._unpacked(key)
        if entry is None:
            return None
        lasts = self._clock() < entry.lasts_until
        if self._monotonic() - entry.read_at >= self._ttl and not (lasts and self._unchanged(entry)):
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return None if lasting and not lasts else entry.value

    def _unchanged(self, entry: _Entry[T]) -> bool:
        return entry.version is not None and entry.version == self._version()

    def reading(self) -> Reading:
        """Return what a reader notes before it asks the database."""
        return Reading(self._dropped, self._version())

    def put(self, key: str, value: T, reading: Reading) -> None:
        """Keep a value; ignore it if it was removed since this reading began."""
        if not self.enabled or reading.dropped < self._forgotten:
            return
        if reading.dropped != self._dropped and any(
            self._drops.get(name, 0) > reading.dropped for name in (key, *self._labels_of(key, value))
        ):
            return
        self._remove(key)
        if self._packed is not None:
            self._packed.remove(key)
        self._keep(key, _Entry(value, self._monotonic(), self._lasts_until(value), reading.version))

    def clear(self) -> None:
        """Remove all values, and have all reads that are under way ignored."""
        self._dropped += 1
        self._forgotten = self._dropped
        self._drops.clear()
        self._entries.clear()
        self._index.clear()
        self._packed = None

    def drop(self, *names: str) -> None:
        """Remove the values with these keys or labels, and have reads of them that are under way ignored."""
        self._dropped += 1
        if len(names) > MAX_DROPS:
            self._drops.clear()
            self._forgotten = self._dropped
        for name in names:
            for key in (name, *self._index.keys(name)):
                self._remove(key)
            if self._packed is not None:
                self._packed.drop(name)
            if self._forgotten < self._dropped:
                self._remember(name)

    def _remember(self, name: str) -> None:
        self._drops[name] = self._dropped
        self._drops.move_to_end(name)
        if len(self._drops) > MAX_DROPS:
            _, self._forgotten = self._drops.popitem(last=False)

    def _keep(self, key: str, entry: _Entry[T]) -> None:
        self._entries[key] = entry
        self._index.add(self._labels_of(key, entry.value), key)
        if len(self._entries) > self._max_unpacked:
            self._displace(next(iter(self._entries)))

    def _displace(self, key: str) -> None:
        entry = self._entries[key]
        # What is packed has one version. An entry with another one can be used for a moment at most.
        if self._packing is not None and entry.version == (version := self._version()):
            if self._packed is None or self._packed.version != version:
                samples = [(name, sample.value) for name, sample in islice(self._entries.items(), SAMPLES)]
                self._packed = PackedValues(self._packing(samples), version)
            labels = self._labels_of(key, entry.value)
            self._packed.add(key, labels, entry.value, read_at=entry.read_at, lasts_until=entry.lasts_until)
            if len(self._packed) > self._max_entries - self._max_unpacked:
                self._packed.remove_oldest()
        self._remove(key)

    def _unpacked(self, key: str) -> _Entry[T] | None:
        if self._packed is None or (packed := self._packed.take(key)) is None:
            return None
        entry = _Entry(*packed, self._packed.version)
        self._keep(key, entry)
        return entry

    def _remove(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._index.remove(self._labels_of(key, entry.value), key)

    def _labels_of(self, key: str, value: T) -> list[str]:
        return [label for label in self._labels(value, key) if label is not None and label != key]
