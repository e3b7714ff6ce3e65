"""A statement as a driver takes it, so that SQLAlchemy's work on it is done once and not at each call."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Select
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.dml import UpdateBase

__all__ = ["NativeQuery"]

Convert = Callable[[Any], Any]


class NativeQuery:
    """The text of the statement, and how values go in and come out.

    ``rows`` have the columns as attributes, as SQLAlchemy's have, and their values are the same.
    """

    __slots__ = ("_arguments", "_columns", "_row", "returns_rows", "text")

    @classmethod
    def of(cls, statement: Select[Any] | UpdateBase, names: Collection[str], dialect: Dialect) -> NativeQuery | None:
        """Return the query for calls with values of these names.

        Return None if its text differs from call to call, as that of ``IN`` does.
        """
        compiled = statement.compile(dialect=dialect, column_keys=list(names))
        return None if "[POSTCOMPILE_" in compiled.string else cls(statement, compiled, dialect)

    def __init__(self, statement: Select[Any] | UpdateBase, compiled: Any, dialect: Dialect) -> None:
        self.text: str = compiled.string
        self._arguments: list[tuple[str, Any, Convert | None]] = [
            (name, compiled.params[name], compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect))
            for name in compiled.positiontup or ()
        ]
        columns = list(statement.exported_columns)
        converts = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
        self._columns: list[tuple[int, Convert]] = [
            (place, convert) for place, convert in enumerate(converts) if convert is not None
        ]
        self.returns_rows: bool = bool(columns)
        # Of no fixed type, because the columns are known at run time only.
        tuple_of: Any = namedtuple  # noqa: PYI024
        self._row: Callable[[Iterable[Any]], Any] = tuple_of("Row", [column.name for column in columns])._make

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """Return the values in the order of the parameters; those of the statement itself are filled in."""
        given = [(values.get(name, default), convert) for name, default, convert in self._arguments]
        return [value if convert is None else convert(value) for value, convert in given]

    def rows(self, records: Iterable[Sequence[Any]]) -> list[Any]:
        """Return what the driver has read as rows."""
        rows = []
        for record in records:
            values = list(record)
            for place, convert in self._columns:
                values[place] = convert(values[place])
            rows.append(self._row(values))
        return rows
