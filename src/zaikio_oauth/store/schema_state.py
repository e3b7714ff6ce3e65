"""How far the migrations are, for people: what ``zaikio-oauth check`` says of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from zaikio_oauth.errors import ConfigurationError
from zaikio_oauth.store import schema
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.tables import Tables

__all__ = ["SchemaState", "schema_state"]

Progress = Literal["current", "by the app", "unmarked", "ahead", "behind", "empty"]


_SERVERS = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}


@dataclass(frozen=True, slots=True)
class SchemaState:
    """What the database is, the columns that it lacks, its revision, if it has one of ours, and the newest one.

    ``foreign``: what is wrong if a table of ours is somebody else's. ``known``: whether we have its revision, too.
    ``by_app``: whether the app's own Alembic has made the newest revision.
    """

    server: str
    missing: tuple[str, ...]
    revision: str | None
    newest: str
    known: bool
    by_app: bool
    foreign: str | None = None
    empty: bool = False

    @property
    def progress(self) -> Progress:
        """How far the migrations are.

        ``by the app``: its own Alembic has made everything; ``unmarked``: nothing is missing, but our revision is
        an older one; ``ahead``: a newer version of the library has migrated it.
        """
        if self.missing:
            return "empty" if self.empty else "behind"
        if self.revision == self.newest:
            return "current"
        if self.by_app or self.revision is None:
            return "by the app"
        return "unmarked" if self.known else "ahead"


async def schema_state(database: Database) -> SchemaState:
    """Return how far the migrations are; raises what ``Database.open`` raises, and changes nothing."""
    return await database.inspect(_state)


async def _state(engine: AsyncEngine, tables: Tables) -> SchemaState:
    # Imported here so that only a process that asks pays for it.
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    scripts = ScriptDirectory(str(schema.directory()))
    missing, foreign = await _missing(engine, tables)
    newest = scripts.get_current_head() or ""
    async with engine.connect() as connection:
        present, ours, of_app = await connection.run_sync(_present)
    version = ".".join(map(str, engine.dialect.server_version_info or ()))
    return SchemaState(
        server=f"{_SERVERS.get(engine.dialect.name, engine.dialect.name)} {version}",
        missing=missing,
        revision=next(iter(ours), None),
        newest=newest,
        known=ours <= {script.revision for script in scripts.walk_revisions()},
        by_app=newest in of_app,
        foreign=foreign,
        empty=present.isdisjoint(tables.metadata.tables),
    )


async def _missing(engine: AsyncEngine, tables: Tables) -> tuple[tuple[str, ...], str | None]:
    try:
        return await schema.missing_columns(engine, tables), None
    except ConfigurationError as error:
        return (), str(error)


def _present(connection: Connection) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Return the names of all tables, our revision, and those of the app's Alembic, if it uses the usual table."""
    present = frozenset(inspect(connection).get_table_names())
    revisions = {
        table: frozenset(connection.execute(text(f"SELECT version_num FROM {table}")).scalars())  # noqa: S608 (constants)
        for table in (schema.VERSION_TABLE, "alembic_version")
        if table in present
    }
    return present, revisions.get(schema.VERSION_TABLE, frozenset()), revisions.get("alembic_version", frozenset())
