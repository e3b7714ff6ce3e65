"""What is done to many rows at once: key rotation and cleanup."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.fernet import Fernet
from sqlalchemy import Column, DateTime, MetaData, delete
from sqlalchemy import Table as SqlTable
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.machine import pin_to_server_core
from benchmarks.measurement import Contender, Figures, Step, Stopwatch, Table, in_turns
from benchmarks.ours import zaikio
from benchmarks.place import Place
from benchmarks.rows import fill, some_grants
from benchmarks.stage import DATABASES, Stage

__all__ = ["NAME", "measure", "steps"]

NAME = "bulk"
PART = 10
"""The rows of a full table for each row that is dealt with in one round."""

tokens = SqlTable(
    "zaikio_access_tokens",
    MetaData(),
    Column("expires_at", DateTime(timezone=True)),
    Column("refresh_expires_at", DateTime(timezone=True)),
)


class _Rotation:
    """Re-encrypts every row, each time under another new key."""

    def __init__(self, place: Place, number: int) -> None:
        self._place, self._number = place, number

    async def run(self) -> Figures:
        new = Fernet.generate_key().decode()
        async with zaikio(self._place, key=new) as ours:
            watch = Stopwatch()
            changed = await ours.rotate_encryption_keys()
            figures = watch.figures(changed, "rows/s")
        self._place = replace(self._place, key=new)
        _check(changed, self._number)
        return figures


class _FernetAlone:
    """Decrypts and encrypts what is in so many rows, without a database."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._old, self._new = Fernet(Fernet.generate_key()), Fernet(Fernet.generate_key())
        self._texts = [self._old.encrypt(text) for text in (b"a" * 950, b"r" * 100)]

    async def run(self) -> Figures:
        watch = Stopwatch()
        for _ in range(self._number):
            for text in self._texts:
                self._new.encrypt(self._old.decrypt(text))
        return watch.figures(self._number, "rows/s")


class _Cleanup:
    """Deletes rows that were stored for it, among all that stay."""

    def __init__(self, place: Place, number: int, **grants: Any) -> None:
        self._place, self._number = place, number
        self._grants = {"lives_for": timedelta(days=-7), "refresh_lives_for": timedelta(days=-1), **grants}

    async def run(self) -> Figures:
        await fill(self._place.database_url, self._place.key, some_grants(self._number, **self._grants))
        async with zaikio(self._place) as ours:
            watch = Stopwatch()
            deleted = await ours.cleanup_access_tokens()
            figures = watch.figures(deleted, "rows/s")
        _check(deleted, self._number)
        return figures

    async def by_hand(self) -> Figures:
        """Do the same with one statement."""
        await fill(self._place.database_url, self._place.key, some_grants(self._number, **self._grants))
        engine, now = create_async_engine(self._place.database_url), datetime.now(UTC)
        statement = delete(tokens).where(tokens.c.expires_at < now, tokens.c.refresh_expires_at < now)
        watch = Stopwatch()
        async with engine.begin() as connection:
            deleted = (await connection.execute(statement)).rowcount
        figures = watch.figures(deleted, "rows/s")
        await engine.dispose()
        _check(deleted, self._number)
        return figures


def _check(number: int, expected: int) -> None:
    if number != expected:
        raise RuntimeError(f"{number} rows were changed instead of {expected}.")


async def measure(stage: Stage, step: Step) -> list[Table]:
    """Return two tables for each database."""
    number = max(500, stage.number // PART)
    for database in DATABASES:
        await stage.rows(database)
    pin_to_server_core()
    tables = []
    for database in DATABASES:
        empty = await stage.empty_place(database)
        await fill(empty.database_url, empty.key, some_grants(number))
        rotation = Table(NAME, f"Key rotation, {number:,} rows, {database}", "Fernet alone")
        contenders = [
            Contender(rotation.reference, _FernetAlone(number).run),
            Contender("zaikio_oauth", _Rotation(empty, number).run),
        ]
        tables.append(await in_turns(rotation, contenders, stage.rounds, step))
        title = f"Cleanup, {number:,} of {stage.number + number:,} rows, {database}"
        cleanup = Table(NAME, title, "one DELETE by hand")
        place = stage.place(database)
        contenders = [
            Contender(cleanup.reference, _Cleanup(place, number).by_hand),
            Contender("zaikio_oauth", _Cleanup(place, number, told_as_lost=True).run),
            Contender("zaikio_oauth, reporting each as lost", _Cleanup(place, number).run),
        ]
        tables.append(await in_turns(cleanup, contenders, stage.rounds, step))
    return tables


def steps(rounds: int) -> int:
    """Return how many steps there are."""
    return len(DATABASES) * 5 * (rounds + 1)
