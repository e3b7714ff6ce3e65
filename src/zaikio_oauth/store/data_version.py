"""Changes on SQLite: a counter of the file tells whether any other connection has written."""

from __future__ import annotations

import sqlite3
from collections.abc import Hashable

from zaikio_oauth.store.changes import Changes
from zaikio_oauth.store.sqlite_connection import Reader

__all__ = ["DataVersion"]


class DataVersion(Changes):
    """Compares ``PRAGMA data_version``, which takes a few microseconds and never waits, so no thread is needed."""

    def __init__(self, path: str, trusted: float) -> None:
        super().__init__(trusted)
        self._path = path
        self._reader: Reader | None = None

    def version(self) -> Hashable | None:
        """Return the counter of one connection; that of another one says nothing about it."""
        try:
            if self._reader is None:
                self._reader = Reader(self._path)
            return self._reader, self._reader.data_version()
        except sqlite3.Error:
            self._close()
            return None

    async def stop(self) -> None:
        """Close the connection: before the others, because the last one of a file writes the log back into it."""
        self._close()

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
