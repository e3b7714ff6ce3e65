"""What a cache has not used for a while: each value as a few hundred bytes, of which 100,000 fit into 100 MB."""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from zaikio_oauth.store.label_index import LabelIndex

__all__ = ["Packed", "PackedValues", "Packing"]

T = TypeVar("T")

_SEEN: Final = struct.Struct("<dd")
_NAMES: Final = struct.Struct("<B")


class Packing(Protocol[T]):
    """How a value becomes bytes, with the key under which it is kept."""

    def pack(self, key: str, value: T) -> bytes: ...

    def unpack(self, packed: memoryview) -> tuple[str, T]: ...


class Packed(NamedTuple, Generic[T]):
    """A value, when it was read by a monotonic clock, and the UNIX time until which it lasts."""

    value: T
    read_at: float
    lasts_until: float


class PackedValues(Generic[T]):
    """Values by their keys, the least recently added first. All were read at the same ``version`` of the database.

    Names, which are keys and labels, are kept as hashes: two that are equal there are hardly ever equal by chance, and
    then a value is removed that could have stayed, or not found.
    """

    def __init__(self, packing: Packing[T], version: Hashable | None) -> None:
        self.version: Hashable | None = version
        self._packing = packing
        # Bytes, which the garbage collector need not look at.
        self._records: OrderedDict[int, bytes] = OrderedDict()
        self._index: LabelIndex[int] = LabelIndex()

    def __len__(self) -> int:
        return len(self._records)

    def add(self, key: str, labels: Sequence[str], packed: Packed[T]) -> None:
        """Keep a value under a key that is not used yet."""
        name, names = _hash(key), [_hash(label) for label in labels]
        self._remove(name)
        head = _SEEN.pack(packed.read_at, packed.lasts_until) + struct.pack(f"<B{len(names)}q", len(names), *names)
        self._records[name] = head + self._packing.pack(key, packed.value)
        self._index.add(names, name)

    def take(self, key: str) -> Packed[T] | None:
        """Remove the value with this key and return it, or None if there is none."""
        record = self._remove(_hash(key))
        if record is None:
            return None
        packed_as, value = self._packing.unpack(record[_SEEN.size + _NAMES.size + 8 * record[_SEEN.size] :])
        return Packed(value, *_SEEN.unpack_from(record)) if packed_as == key else None

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
        record = self._records.pop(name, None)
        if record is None:
            return None
        # A view, because its repr shows nothing of the secrets in the record.
        view = memoryview(record)
        self._index.remove(struct.unpack_from(f"<{view[_SEEN.size]}q", view, _SEEN.size + _NAMES.size), name)
        return view


def _hash(name: str) -> int:
    # An integer of this size takes 32 bytes, the next one 48.
    return hash(name) >> 4
