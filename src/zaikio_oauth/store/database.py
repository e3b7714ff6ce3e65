"""The database of one event loop: its engine, its tables, its statements."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import ColumnElement, Table, event, func
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import NullPool, QueuePool

from zaikio_oauth.errors import ConfigurationError, StoreUnavailableError
from zaikio_oauth.settings.retries_and_waits import MIGRATION_TIMEOUT
from zaikio_oauth.store import schema
from zaikio_oauth.store.change_listener import ChangeListener, notification
from zaikio_oauth.store.changes import Changes
from zaikio_oauth.store.database_errors import CANNOT_OPEN, READ_ONLY, Fault, driver_error, fault_of
from zaikio_oauth.store.encryption import Cipher
from zaikio_oauth.store.engine import in_private_memory, make_engine, refused_parameter
from zaikio_oauth.store.statements import Statements
from zaikio_oauth.store.tables import Tables

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

    Insert = postgresql.Insert | sqlite.Insert

__all__ = ["Database"]

T = TypeVar("T")


def _insert_of(dialect: str) -> Callable[[Table], Insert]:
    # Both databases have INSERT … ON CONFLICT, each with a construct of its own in SQLAlchemy. Imported here, because
    # one of the two dialects is never used.
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as of_postgresql  # noqa: PLC0415

        return of_postgresql
    from sqlalchemy.dialects.sqlite import insert as of_sqlite  # noqa: PLC0415

    return of_sqlite


class Database:
    """An engine and its tables, for one event loop.

    Every statement of ours is complete in itself, so the engine is in AUTOCOMMIT: no transaction stays open, no
    connection is held between two statements, and PgBouncer may switch connections after each of them (transaction
    pooling). Before version 1.21 it does not support prepared statements; then ``?pgbouncer=true`` in the address puts
    each statement into a transaction of its own.
    """

    def __init__(self, url: str, encryption_keys: Iterable[str], **engine_options: Any) -> None:
        self.cipher: Cipher = Cipher(encryption_keys)
        self._url, self._engine_options = url, engine_options
        self.engine: AsyncEngine = make_engine(url, engine_options)
        self.tables: Tables = Tables(self.engine.dialect.name)
        self.postgresql: bool = self.engine.dialect.name == "postgresql"
        options = self.engine.sync_engine.get_execution_options()
        self.statements: Statements = Statements(
            self.engine,
            deadline=options["statement_deadline"],
            in_transactions=options["in_transactions"],
            direct=options["direct"],
        )
        # Who has sent a notification: whoever has changed something knows it already.
        self.sender: str = uuid.uuid4().hex
        self.insert: Callable[[Table], Insert] = _insert_of(self.engine.dialect.name)

    def contains(self, column: ColumnElement[str], text: str | ColumnElement[str]) -> ColumnElement[bool]:
        """Return the condition that the column contains this text exactly. LIKE would ignore case on SQLite."""
        position = func.strpos if self.postgresql else func.instr
        return position(column, text) > 0

    def told(self, statement: Any, name: ColumnElement[Any]) -> Any:
        """Return the statement, which also notifies the other processes that what has this name has changed."""
        return statement.returning(notification(self.sender, name)) if self.postgresql else statement

    def changes(self, trusted: float) -> Changes:
        """Return what tells of changes by others; what was read is trusted for so many seconds without it."""
        if trusted > 0 and self.postgresql:
            pooler = self.engine.sync_engine.get_execution_options()["in_transactions"]
            # Another pool may have a single connection, which the listener would take away.
            if not pooler and isinstance(self.engine.pool, QueuePool | NullPool):
                return ChangeListener(self.engine, self.statements, sender=self.sender, trusted=trusted)
        elif trusted > 0:
            file = self.engine.url.database
            if file and not file.startswith((":memory:", "file:")):
                from zaikio_oauth.store.data_version import DataVersion  # noqa: PLC0415 (as the dialect)

                return DataVersion(str(Path(file).absolute()), trusted)
        return Changes(trusted)

    def __repr__(self) -> str:
        return f"<Database {self.name}>"

    @property
    def name(self) -> str:
        """The address of the database without its password."""
        return self.engine.url.render_as_string(hide_password=True)

    async def open(self, *, auto_migrate: bool) -> None:
        """Check that the database can be used, and migrate it first if necessary.

        Raises ConfigurationError for what will not pass by itself, also if something is missing and ``auto_migrate`` is
        not set; StoreUnavailableError if the database may come back. Close the database also after an error.
        """
        missing = await self.inspect(schema.missing_columns)
        if auto_migrate and (missing or await self._opening(lambda: schema.outdated(self.engine))):
            await self.migrate()
        elif missing:
            names = sorted({name.partition(".")[0] for name in missing})
            raise ConfigurationError(f"The database lacks {', '.join(names)}; run: zaikio-oauth migrate")

    async def inspect(self, look: Callable[[AsyncEngine, Tables], Coroutine[Any, Any, T]]) -> T:
        """Return what ``look`` finds, before anything is known of the database; raises what ``open`` raises."""
        return await self._opening(lambda: look(self.engine, self.tables), connecting=True)

    async def migrate(self) -> None:
        """Migrate the database to the newest revision; raises what ``open`` raises."""
        # On PostgreSQL one who waits for another process's migration may give up: the server ends what was begun.
        await self._opening(self._upgrade, to_end=not self.postgresql)

    async def _upgrade(self) -> None:
        # An engine of its own, because a migration may take longer than a statement, and wait for another process.
        engine = make_engine(self._url, self._engine_options, statement_timeout=MIGRATION_TIMEOUT)
        opened: list[Any] = []

        def note(connection: Any, _record: Any) -> None:
            opened.append(connection)

        # First, because what SQLAlchemy does with a new connection can be cancelled as well.
        event.listen(engine.sync_engine, "connect", note, insert=True)
        try:
            await schema.upgrade(engine)
        finally:
            await engine.dispose()
            # Older versions of SQLAlchemy forget the connection of a migration that is cancelled.
            for connection in opened if self.postgresql else ():
                connection.driver_connection.terminate()

    async def _opening(
        self, step: Callable[[], Coroutine[Any, Any, T]], *, connecting: bool = False, to_end: bool = True
    ) -> T:
        # An app's own connections may be to something else than the address.
        if in_private_memory(self.engine) and "async_creator" not in self._engine_options:
            raise ConfigurationError(
                "ZAIKIO_DATABASE_URL names a database in memory, of which each connection would have its own; "
                "name a file, such as sqlite:///zaikio_oauth.db"
            )
        started = time.monotonic()
        try:
            # SQLite would keep the write lock until a half-done statement is collected as garbage.
            return await (self.statements.run_to_end(step, "A step of the start") if to_end else step())
        except ConfigurationError:
            raise
        # Everything: SQLAlchemy's errors, Alembic's, the driver's, the network's.
        except Exception as error:
            if (task := asyncio.current_task()) and task.cancelling():
                # What cleans up after a migration that is cancelled may fail in turn, at a connection that is gone.
                raise asyncio.CancelledError from None
            fault, cause = fault_of(error), driver_error(error)
        # The drivers check the values of their parameters when they connect. A certificate that is not valid is a
        # ValueError as well.
        if connecting and isinstance(cause, TypeError | ValueError | AttributeError) and not isinstance(cause, OSError):
            raise refused_parameter(self.engine.url)
        advice, elapsed = self._advice(fault), time.monotonic() - started
        if fault.may_pass and fault is not CANNOT_OPEN:
            raise StoreUnavailableError(f"{fault.reason}; {advice}", elapsed=elapsed, database=self.name)
        raise ConfigurationError(f"The database {self.name} cannot be used: {fault.reason}; {advice}.")

    def _advice(self, fault: Fault) -> str:
        if self.postgresql:
            return "check ZAIKIO_DATABASE_URL and whether the server is running"
        if fault in (CANNOT_OPEN, READ_ONLY):
            return "check that the folder exists and that this user may write to it"
        return "check the file that ZAIKIO_DATABASE_URL names"

    async def aclose(self) -> None:
        """Wait for the statements under way, then close every connection."""
        await self.statements.drain()
        await self.engine.dispose()
