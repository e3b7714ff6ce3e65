"""What all topics share: the databases with their rows, the Hub, and how long to measure."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncpg
from cryptography.fernet import Fernet

from benchmarks.machine import pin_to_load_core
from benchmarks.place import Place
from benchmarks.processes import Hub
from benchmarks.rows import fill, some_grants
from tests.environment.postgresql import PostgresqlServer

__all__ = ["DATABASES", "Options", "Stage"]

DATABASES = ("PostgreSQL", "SQLite")


@dataclass(frozen=True)
class Options:
    """How much is measured: rounds, rows in each database, seconds of each contender in each round."""

    rounds: int = 5
    rows: int = 100_000
    seconds: float = 2.0


class Stage:
    """Both databases and a local Hub, which run on the core of the load, while the ``with`` block runs."""

    def __init__(self, options: Options) -> None:
        self.rounds, self.seconds = options.rounds, options.seconds
        self.number = options.rows
        self._stack = ExitStack()
        self._key = Fernet.generate_key().decode()
        self._rows: dict[str, list[tuple[str, str]]] = {}
        self._made = 0

    def __enter__(self) -> Self:
        """Start everything."""
        pin_to_load_core()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="zaikio-benchmark-")))
        self._server = PostgresqlServer()
        self._stack.callback(self._server.stop)
        self._server.start()
        self.hub = self._stack.enter_context(Hub())
        self._urls = {"PostgreSQL": self._server.url("postgres"), "SQLite": self._sqlite("store")}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop everything."""
        self._stack.close()

    def place(self, database: str) -> Place:
        """Return where the Hub and the database with all its rows are."""
        return Place(self.hub.url, self._urls[database], self._key)

    async def rows(self, database: str) -> list[tuple[str, str]]:
        """Return the id and the bearer of each token in the database, which is filled at the first call."""
        if database not in self._rows:
            self._rows[database] = await fill(self._urls[database], self._key, some_grants(self.number))
        return self._rows[database]

    async def bytes_on_disk(self, database: str) -> int:
        """Return how much the tokens take with their indexes, once the database has tidied up."""
        if database == "SQLite":
            return (self._folder / "store.db").stat().st_size
        connection = await asyncpg.connect(self._urls[database].replace("postgresql+asyncpg", "postgresql"))
        try:
            await connection.execute("VACUUM zaikio_access_tokens")
            return int(await connection.fetchval("SELECT pg_total_relation_size('zaikio_access_tokens')"))
        finally:
            await connection.close()

    async def empty_place(self, database: str) -> Place:
        """Return a place with a database of its own."""
        self._made += 1
        name = f"empty_{self._made}"
        if database == "SQLite":
            return Place(self.hub.url, self._sqlite(name), self._key)
        await self._server.create_database(name)
        return Place(self.hub.url, self._server.url(name), self._key)

    def _sqlite(self, name: str) -> str:
        return f"sqlite+aiosqlite:///{self._folder / name}.db"
