"""LabelIndex: under which keys there are values with a label."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

__all__ = ["LabelIndex"]

K = TypeVar("K", str, int)


class LabelIndex(Generic[K]):
    """Finds the keys of the values with a label, however many others there are."""

    def __init__(self) -> None:
        # The key, or several. Most labels have one, and a set takes as much memory as the rest of an entry.
        self._keys: dict[K, K | set[K]] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def keys(self, label: K) -> tuple[K, ...]:
        """Return the keys of the values with this label."""
        keys = self._keys.get(label)
        if keys is None:
            return ()
        return tuple(keys) if isinstance(keys, set) else (keys,)

    def add(self, labels: Iterable[K], key: K) -> None:
        """Note that the value with this key has these labels."""
        for label in labels:
            keys = self._keys.get(label)
            if keys is None or keys == key:
                self._keys[label] = key
            elif isinstance(keys, set):
                keys.add(key)
            else:
                self._keys[label] = {keys, key}

    def remove(self, labels: Iterable[K], key: K) -> None:
        """Note that there is no value with this key and these labels any more."""
        for label in labels:
            keys = self._keys.get(label)
            if isinstance(keys, set):
                keys.discard(key)
                if not keys:
                    del self._keys[label]
            elif keys == key:
                del self._keys[label]

    def clear(self) -> None:
        """Forget all."""
        self._keys.clear()
