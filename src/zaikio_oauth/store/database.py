"""How we connect to SQLite and to PostgreSQL."""

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
from zaikio_oauth.retries_and_waits import SQLITE_BUSY_TIMEOUT
from zaikio_oauth.store import migrations
from zaikio_oauth.store.encryption import Cipher
from zaikio_oauth.store.statements import Statements
from zaikio_oauth.store.tables import Tables

__all__ = ["Database"]

_PGBOUNCER: dict[str, Any] = {
    # A pooler without support for prepared statements gives each transaction another server connection: a statement
    # must be prepared and executed in one transaction, under a name that no other connection has used.
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
    # There is nothing to roll back, and each rollback would be a round trip (on SQLite a change of threads).
    "skip_autocommit_rollback": True,
}


class Database:
    """An engine and its tables, for one event loop.

    Every statement of ours is complete in itself, so the engine is in AUTOCOMMIT: no transaction stays open, no
    connection is held between two statements, and PgBouncer may switch connections after each of them (transaction
    pooling). Before version 1.21 it does not support prepared statements; then ``?pgbouncer=true`` in the address puts
    each statement into a transaction of its own.
    """

    def __init__(self, url: str, encryption_keys: Iterable[str], **engine_options: Any) -> None:
        self.cipher = Cipher(encryption_keys)
        self.tables = Tables(self.cipher)
        self.engine = _engine(url, **engine_options)
        in_transactions = self.engine.sync_engine.get_execution_options().get("in_transactions", False)
        self.statements = Statements(self.engine, in_transactions=in_transactions)
        # Both databases have INSERT … ON CONFLICT, each with a construct of its own in SQLAlchemy.
        self.insert = postgresql.insert if self.engine.dialect.name == "postgresql" else sqlite.insert

    def __repr__(self) -> str:
        return f"<Database {self.name}>"

    @property
    def name(self) -> str:
        """The address of the database without its password."""
        return self.engine.url.render_as_string(hide_password=True)

    async def open(self, *, auto_migrate: bool) -> None:
        """Check that the database can be used, and migrate it first if necessary; raises ConfigurationError.

        Without ``auto_migrate`` a database that lacks something is an error. Close the database also after an error.
        """
        with self._translated():
            missing = await migrations.missing_columns(self.engine, self.tables)
        if missing and auto_migrate:
            await self.migrate()
        elif missing:
            names = sorted({name.partition(".")[0] for name in missing})
            raise ConfigurationError(f"The database lacks {', '.join(names)}; run: zaikio-oauth migrate")

    async def migrate(self) -> None:
        """Migrate the database to the newest revision; raises ConfigurationError."""
        with self._translated():
            await migrations.upgrade(self.engine)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError) as error:
            # The driver's message may quote the address with its password, so only the type of the error is shown.
            reason = type(getattr(error, "orig", None) or error).__name__
            raise ConfigurationError(
                f"The database {self.name} cannot be used ({reason}); "
                "check ZAIKIO_DATABASE_URL and whether the server is running."
            ) from None

    async def aclose(self) -> None:
        """Wait for the statements under way, then close every connection."""
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
    cursor.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_TIMEOUT * 1000:.0f}")
    # In WAL mode readers do not wait for the one writer. "synchronous" stays FULL: a refresh token is issued once,
    # and one that is lost in a power cut is lost for good.
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()
