"""The rows that have ended, a few at a time, each way of ending in the order of its own index."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import Column, ColumnElement, Integer, and_, bindparam, select, tuple_

from zaikio_oauth.store.database import Database
from zaikio_oauth.store.statements import Bound

__all__ = ["ENDINGS", "EndedWindow", "EndedWindows", "Ending"]

Ending = Literal["revoked", "refresh_ends", "not_refreshable"]

ENDINGS: Final[tuple[Ending, ...]] = ("revoked", "refresh_ends", "not_refreshable")
"""How a grant ends: the Hub revokes it, its refresh token dies, or it has none and expires.

In this order, and each by its instant, a lost grant comes before what may have replaced it: a token by client
credentials, which is deleted when it has expired.
"""

_FIRST: Final = (datetime.min.replace(tzinfo=UTC), "")


@dataclass(frozen=True, slots=True)
class EndedWindow:
    """Rows that follow each other in the index of this ending, and the parameters that say which."""

    ending: Ending
    values: dict[str, Any]


class EndedWindows:
    """Reads where each window ends; the statements on its rows contain the condition ``inside``.

    Their condition is a range of the index, not a list of ids, so the database neither reads the rows that have been
    dealt with again, nor sorts anything.
    """

    def __init__(self, database: Database) -> None:
        self._statements = database.statements
        self._columns = column = database.tables.access_tokens.c
        # They contain the conditions of the partial indexes as these are written.
        self._having_ended: dict[Ending, tuple[Column[datetime], ColumnElement[bool]]] = {
            "revoked": (column.revoked_at, column.revoked_at.is_not(None)),
            "refresh_ends": (column.refresh_expires_at, column.refresh_expires_at.is_not(None)),
            "not_refreshable": (column.expires_at, column.refresh_token.is_(None)),
        }
        self._ends = {
            ending: select(at.label("at"), column.id)
            .where(self.inside(ending))
            .order_by(at, column.id)
            .offset(bindparam("rows", literal_execute=True, type_=Integer))
            .limit(1)
            for ending, (at, _) in self._having_ended.items()
        }

    def inside(self, ending: Ending) -> ColumnElement[bool]:
        """Return the condition that a row is in the window whose parameters are given."""
        at, has_ended = self._having_ended[ending]
        place = tuple_(at, self._columns.id)
        after = tuple_(bindparam("after_at", type_=at.type), bindparam("after_id", type_=self._columns.id.type))
        until = tuple_(bindparam("until_at", type_=at.type), bindparam("until_id", type_=self._columns.id.type))
        return and_(has_ended, place > after, place <= until)

    async def __call__(self, now: datetime, size: int) -> AsyncIterator[EndedWindow]:
        """Yield windows of ``size`` rows, until all have been yielded that had ended in one of the ways by ``now``."""
        for ending in ENDINGS:
            window = _window(*_FIRST, now)
            while True:
                ends = Bound(self._ends[ending], {**window, "rows": size - 1})
                end = (await self._statements.run(ends)).first
                if end is None:
                    yield EndedWindow(ending, window)
                    break
                yield EndedWindow(ending, {**window, "until_at": end.at, "until_id": end.id})
                window = _window(end.at, end.id, now)


def _window(after_at: datetime, after_id: str, now: datetime) -> dict[str, Any]:
    # No id is empty, so this ends behind all that have ended by now.
    until = now + timedelta(microseconds=1)
    return {"after_at": after_at, "after_id": after_id, "until_at": until, "until_id": ""}
