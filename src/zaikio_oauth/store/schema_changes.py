"""What our migrations do to the schema, unless it has been done.

The same migrations are run by ``zaikio-oauth migrate`` and, where it includes them, by the app's own Alembic. Each of
them knows only its own version table, so each change looks at the database first. Only what is wanted, such as types
and columns, is in the migrations themselves; how to get there is here.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, inspect, text
from sqlalchemy.engine import Inspector

from alembic import op
from zaikio_oauth.store.schema import TURN, check_owner

__all__ = ["add_column", "create_index", "create_table", "drop_column", "drop_index", "drop_table"]


def _found() -> Inspector | None:
    """Return what the database has, once nobody else changes it; None while Alembic only writes SQL (``--sql``)."""
    context = op.get_context()
    if context.dialect.name == "postgresql":
        # The app's Alembic and an instance that starts may migrate at the same time.
        op.execute(TURN)
    return None if context.as_sql else inspect(op.get_bind())


def _columns(inspector: Inspector, table: str) -> set[str]:
    return {column["name"] for column in inspector.get_columns(table)}


def create_table(name: str, *columns: Column[Any]) -> None:
    """Create the table; raises ConfigurationError if somebody else has a table of that name."""
    found = _found()
    if found and found.has_table(name):
        check_owner(name, _columns(found, name), [column.name for column in columns])
    else:
        op.create_table(name, *columns)


def create_index(name: str, table: str, columns: list[str], *, where: str | None = None) -> None:
    """Create the index of a table, or only of the rows for which ``where`` is true.

    Not CONCURRENTLY, which PostgreSQL does not allow in a transaction: a migration that fails must leave nothing.
    """
    _found()
    condition = None if where is None else text(where)
    op.create_index(name, table, columns, if_not_exists=True, postgresql_where=condition, sqlite_where=condition)


def drop_index(name: str, table: str) -> None:
    """Remove the index of a table."""
    found = _found()
    if not found or found.has_table(table):
        op.drop_index(name, table, if_exists=True)


def add_column(table: str, column: Column[Any]) -> None:
    """Add the column to the table."""
    found = _found()
    if not found or column.name not in _columns(found, table):
        op.add_column(table, column)


def drop_column(table: str, column: str) -> None:
    """Remove the column from the table, if both are there."""
    found = _found()
    if not found or (found.has_table(table) and column in _columns(found, table)):
        op.drop_column(table, column)


def drop_table(name: str) -> None:
    """Remove the table, with its indexes."""
    _found()
    op.drop_table(name, if_exists=True)
