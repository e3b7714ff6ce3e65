"""The engine of one store: how it connects on SQLite and on PostgreSQL."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from zaikio_oauth.errors import ConfigurationError
from zaikio_oauth.store import migrations
from zaikio_oauth.store.encryption import Cipher
from zaikio_oauth.store.statements import Statements
from zaikio_oauth.store.tables import Tables

__all__ = ["Database"]

SQLITE_BUSY_TIMEOUT = 15_000
"""Milliseconds for which a writer waits for another process's write lock."""


_PGBOUNCER: dict[str, Any] = {
    # A pooler that knows no prepared statements gives each transaction another server connection: preparing and
    # executing have to be in one transaction, under a name that no other connection has used.
    "connect_args": {
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": lambda: f"__zaikio_{uuid.uuid4()}__",
    },
    "isolation_level": "READ COMMITTED",
    "execution_options": {"in_transactions": True},
}
_AUTOCOMMIT: dict[str, Any] = {
    "isolation_level": "AUTOCOMMIT",
    # Nothing can be left to roll back, and each rollback would be a round trip (on SQLite a change of threads).
    "skip_autocommit_rollback": True,
}


class Database:
    """An engine and the tables on it, for one event loop.

    Every statement of the store is complete in itself, so the engine is in AUTOCOMMIT: no transaction
    stays open, no connection is held between two statements, and PgBouncer may switch connections
    after each (transaction pooling). Before version 1.21 it knows no prepared statements; then
    ``?pgbouncer=true`` in the address puts each statement into a transaction of its own.
    """

    def __init__(self, url: str, encryption_keys: Iterable[str], **engine_options: Any) -> None:
        self.cipher = Cipher(encryption_keys)
        self.tables = Tables(self.cipher)
        self.engine = _engine(url, **engine_options)
        in_transactions = self.engine.sync_engine.get_execution_options().get("in_transactions", False)
        self.statements = Statements(self.engine, in_transactions=in_transactions)
        # Both know INSERT … ON CONFLICT, each in a construct of its own.
        self.insert = postgresql.insert if self.engine.dialect.name == "postgresql" else sqlite.insert

    def __repr__(self) -> str:
        return f"<Database {self.name}>"

    @property
    def name(self) -> str:
        """The database's address without its password."""
        return self.engine.url.render_as_string(hide_password=True)

    async def open(self, *, auto_migrate: bool) -> None:
        """Check that the database can be used, migrating it first if wanted; raises ConfigurationError."""
        try:
            with self._translated():
                missing = await migrations.missing_columns(self.engine, self.tables)
            if missing and auto_migrate:
                await self.migrate()
            elif missing:
                names = sorted({name.partition(".")[0] for name in missing})
                raise ConfigurationError(f"The database lacks {', '.join(names)}; run: zaikio-oauth migrate")
        except BaseException:
            await self.aclose()
            raise

    async def migrate(self) -> None:
        """Bring the database to the newest revision; raises ConfigurationError."""
        with self._translated():
            await migrations.upgrade(self.engine)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError) as error:
            # The driver's text may quote the address with its password, so only the kind of error is told.
            reason = type(getattr(error, "orig", None) or error).__name__
            raise ConfigurationError(
                f"The database {self.name} cannot be used ({reason}); "
                "check ZAIKIO_DATABASE_URL, and that the server runs."
            ) from None

    async def aclose(self) -> None:
        """Let statements end, then close every connection."""
        await self.statements.drain()
        await self.engine.dispose()


def _engine(url: str, **options: Any) -> AsyncEngine:
    try:
        parsed = make_url(url)
        pooled_by_transaction = parsed.query.get("pgbouncer") in ("1", "true", "yes")
        settled = _PGBOUNCER if pooled_by_transaction else _AUTOCOMMIT
        engine = create_async_engine(
            parsed.difference_update_query(["pgbouncer"]), hide_parameters=True, **settled, **options
        )
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"ZAIKIO_DATABASE_URL needs {error.name}; for PostgreSQL: pip install 'zaikio_oauth[postgresql]'"
        ) from None
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise ConfigurationError("ZAIKIO_DATABASE_URL is not an address that SQLAlchemy understands.") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_TIMEOUT}")
    # Readers are not blocked by the one writer; synchronous stays FULL, because a refresh token that
    # was handed out once and lost in a power cut is lost for good.
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()
