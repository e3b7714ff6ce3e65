"""What a cache has not used for a while: each value as a few hundred bytes, of which 100,000 fit into 100 MB."""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from functools import cache
from typing import Final, Generic, Protocol, TypeVar

from zaikio_oauth.store.label_index import LabelIndex

__all__ = ["PackedValues", "Packing"]

T = TypeVar("T")

_HEAD: Final = struct.Struct("<ddB")
"""When the value was read, until when it lasts, and how many labels it has, whose names follow."""


class Packing(Protocol[T]):
    """How a value becomes bytes, with the key under which it is kept."""

    def pack(self, key: str, value: T) -> bytes: ...

    def unpack(self, packed: memoryview) -> tuple[str, T]: ...


class PackedValues(Generic[T]):
    """Values by their keys, the least recently added first. All were read at the same ``version`` of the database.

    Keys and labels are kept as hashes of 60 bits. If two of them ever have the same one, a value is removed that could
    have stayed; the value of another key is never returned.
    """

    def __init__(self, packing: Packing[T], version: Hashable | None) -> None:
        self.version: Hashable | None = version
        self._packing = packing
        # Bytes, which the garbage collector need not look at.
        self._records: OrderedDict[int, bytes] = OrderedDict()
        self._index: LabelIndex[int] = LabelIndex()

    def __len__(self) -> int:
        return len(self._records)

    def add(self, key: str, labels: Sequence[str], value: T, *, read_at: float, lasts_until: float) -> None:
        """Keep a value, with two times that mean nothing here, in place of the one with this key."""
        name, names = _hash(key), [_hash(label) for label in labels]
        self._remove(name)
        head = _HEAD.pack(read_at, lasts_until, len(names)) + _names(len(names)).pack(*names)
        self._records[name] = head + self._packing.pack(key, value)
        self._index.add(names, name)

    def take(self, key: str) -> tuple[T, float, float] | None:
        """Remove the value with this key and return it with its two times, or None if there is none."""
        record = self._remove(_hash(key))
        if record is None:
            return None
        read_at, lasts_until, labels = _HEAD.unpack_from(record)
        packed_as, value = self._packing.unpack(record[_HEAD.size + _names(labels).size :])
        return (value, read_at, lasts_until) if packed_as == key else None

    def remove(self, key: str) -> None:
        """Remove the value with this key."""
        self._remove(_hash(key))

    def drop(self, name: str) -> None:
        """Remove the values with this key or label."""
        hashed = _hash(name)
        for each in (hashed, *self._index.keys(hashed)):
            self._remove(each)

    def remove_oldest(self) -> None:
        """Remove the value that was added first."""
        self._remove(next(iter(self._records)))

    def _remove(self, name: int) -> memoryview | None:
        if name not in self._records:
            return None
        # A view, because its repr shows nothing of the secrets in the record.
        record = memoryview(self._records.pop(name))
        *_, labels = _HEAD.unpack_from(record)
        self._index.remove(_names(labels).unpack_from(record, _HEAD.size), name)
        return record


@cache
def _names(number: int) -> struct.Struct:
    return struct.Struct(f"<{number}q")


def _hash(name: str) -> int:
    # An integer of this size takes 32 bytes, the next one 48.
    return hash(name) >> 4
