"""The grants that have ended: which of them are lost, which can be deleted, and what is kept of them."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Executable,
    FromClause,
    Row,
    Select,
    and_,
    bindparam,
    case,
    delete,
    func,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.sql.dml import UpdateBase

from zaikio_oauth.access_token import BearerType
from zaikio_oauth.errors import StoreUnavailableError
from zaikio_oauth.store.access_tokens import TokenSearch
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.ended_windows import ENDINGS, EndedWindow, EndedWindows, Ending
from zaikio_oauth.store.statements import Bound, Statement

__all__ = ["EndedGrant", "EndedGrantRepository", "Marks", "is_bearers_own", "refreshed_at", "unrenewable"]

Instant = datetime | BindParameter[datetime]

BATCH = 2_000
"""Rows in one statement, so that nobody else waits for long."""

MOST_UNANSWERED = 100
"""How many marks are remembered of which nobody knows whether the database has made them."""


@dataclass(frozen=True, slots=True)
class EndedGrant:
    """Whose grant it was."""

    access_token_id: str
    client_name: str
    bearer_type: BearerType
    bearer_id: str

    @classmethod
    def of(cls, row: Row[Any]) -> EndedGrant:
        """Return the grant of a row."""
        return cls(row.id, row.audience, row.bearer_type, row.bearer_id)


class Marks:
    """Marks that are made once, so that whoever has made one tells of it. A mark is the instant at which it is made.

    A statement whose answer was lost may have marked rows that are then never reported. So its mark counts as none: for
    its own second attempt, and for later statements of this process.
    """

    def __init__(self) -> None:
        self._unanswered: deque[datetime] = deque(maxlen=MOST_UNANSWERED)

    @contextmanager
    def made(self) -> Iterator[datetime]:
        """Yield the mark that the statements in the body make."""
        mark = datetime.now(UTC)
        try:
            yield mark
        except StoreUnavailableError:
            self._unanswered.append(mark)
            raise

    def untold(self, mark: datetime) -> list[datetime]:
        """Return this mark, and those of which nobody could tell."""
        return [mark, *self._unanswered]

    def due(self, column: Any, mark: datetime) -> ColumnElement[bool]:
        """Return the condition that this column is not marked, or not by somebody who could tell of it."""
        return _due(column, self.untold(mark))


def _due(column: Any, untold: Sequence[Instant]) -> ColumnElement[bool]:
    return or_(column.is_(None), column.in_(untold))


def unrenewable(column: Any, now: Instant) -> ColumnElement[bool]:
    """Return the condition that a grant cannot be renewed: its refresh token was refused, or has expired.

    A token by client credentials has none and never had one, so it has no end of it, either.
    """
    return and_(
        column.refresh_expires_at.is_not(None),
        or_(column.refresh_token.is_(None), column.refresh_expires_at <= now),
    )


def is_bearers_own(column: Any) -> ColumnElement[bool]:
    """Return the condition that a person does not act with it for an organization, and that it was not delegated."""
    return and_(column.on_behalf_of.is_(None), column.delegated_from.is_(None))


def refreshed_at(column: Any) -> ColumnElement[datetime | None]:
    """Return when the grant was last refreshed, or NULL."""
    return case((column.version > 1, column.updated_at))


class EndedGrantRepository:
    """The rows of ``zaikio_access_tokens`` that have ended, and those of ``zaikio_lost_connections``."""

    def __init__(self, database: Database) -> None:
        self._statements = database.statements
        self._table = database.tables.access_tokens
        self._lost = database.tables.lost_connections
        self._insert = database.insert
        self._marks = Marks()
        self._windows = EndedWindows(database)
        self._now = bindparam("now", type_=self._table.c.expires_at.type)
        # Built once, because each of them is run for every few rows.
        deletion = self._deletion_at_once if database.postgresql else self._deletion
        self._deleting: dict[Ending, tuple[Executable, ...]] = {ending: deletion(ending) for ending in ENDINGS}
        # By how many marks there are that nobody could tell of; hardly ever more than one.
        self._losing: dict[tuple[Ending, int], Executable] = {}

    async def lose(self, access_token_id: str, now: datetime) -> list[EndedGrant]:
        """Mark this grant as lost if it cannot be renewed, and return it; nothing if somebody else was first."""
        column = self._table.c
        ended = or_(column.revoked_at.is_not(None), unrenewable(column, now))
        return await self._mark(and_(column.id == access_token_id, column.delegated_from.is_(None), ended))

    async def lose_over(self, now: datetime, search: TokenSearch) -> list[EndedGrant]:
        """Mark a batch of this client's and bearer's grants that are over as lost, and return those that are new."""
        column = self._table.c
        found = select(column.id).where(
            column.audience == search.audience,
            column.bearer_type == search.bearer_type,
            column.bearer_id == search.bearer_id,
            self._over(now),
        )
        return await self._mark(self._over(now), among=found.limit(BATCH))

    def windows(self, now: datetime, size: int = BATCH) -> AsyncIterator[EndedWindow]:
        """Yield the windows of what has ended, in the order in which it must be deleted."""
        return self._windows(now, size)

    async def lose_in(self, window: EndedWindow, now: datetime) -> list[EndedGrant]:
        """Mark the grants in this window that are over as lost, and return those that nobody else has marked."""
        with self._marks.made() as mark:
            marks = {f"mark_{number}": each for number, each in enumerate(self._marks.untold(mark))}
            kind = window.ending, len(marks)
            if (statement := self._losing.get(kind)) is None:
                at = self._table.c.lost_at
                untold = [bindparam(name, type_=at.type) for name in marks]
                condition = and_(self._windows.inside(window.ending), self._over(self._now), _due(at, untold))
                statement = self._losing[kind] = self._marking(condition, untold[0])
            return await self._marked(Bound(statement, {**window.values, **marks, "now": now}))

    async def _mark(self, condition: ColumnElement[bool], *, among: Select[Any] | None = None) -> list[EndedGrant]:
        column = self._table.c
        with self._marks.made() as mark:
            due = self._marks.due(column.lost_at, mark)
            if among is not None:
                # The conditions are in both because a row may have been refreshed since it was selected.
                condition = and_(condition, column.id.in_(among.where(due)))
            return await self._marked(self._marking(and_(condition, due), mark))

    def _marking(self, condition: ColumnElement[bool], mark: Instant) -> Executable:
        column = self._table.c
        marking = update(self._table).where(condition).values(lost_at=mark)
        return marking.returning(column.id, column.audience, column.bearer_type, column.bearer_id)

    async def _marked(self, marking: Statement) -> list[EndedGrant]:
        return [EndedGrant.of(row) for row in (await self._statements.run(marking)).rows]

    def _over(self, now: Instant) -> ColumnElement[bool]:
        """Return the condition that somebody has to log in or connect anew."""
        column = self._table.c
        ended = or_(column.revoked_at.is_not(None), and_(column.expires_at <= now, unrenewable(column, now)))
        return and_(column.delegated_from.is_(None), ended)

    async def delete_in(self, window: EndedWindow, now: datetime) -> int:
        """Delete the tokens in this window that can never be used again; return how many were deleted.

        These are revoked ones, and expired ones that cannot be refreshed, once it was told that they are lost. Of an
        organization's newest grant it is kept that it is lost, without its tokens.
        """
        values = {**window.values, "now": now}
        outcome = await self._statements.run(
            *(Bound(each, values, writes=True) for each in self._deleting[window.ending])
        )
        return outcome.rowcount if outcome.first is None else int(outcome.first.deleted)

    def _deletion(self, ending: Ending) -> tuple[Executable, ...]:
        """Return the statements that keep what is kept of a window, and delete the rest."""
        unusable = self._unusable(ending)
        return self._keep(self._lost_connections(self._table).where(unusable)), delete(self._table).where(unusable)

    def _deletion_at_once(self, ending: Ending) -> tuple[Executable, ...]:
        """Return the one statement of PostgreSQL that does both, so that it looks for the rows once."""
        needed = [column for column in self._table.c if column.name not in ("token", "refresh_token")]
        gone = delete(self._table).where(self._unusable(ending)).returning(*needed).cte("gone")
        kept = self._keep(self._lost_connections(gone)).cte("kept")
        return (select(func.count().label("deleted")).select_from(gone).add_cte(kept),)

    def _unusable(self, ending: Ending) -> ColumnElement[bool]:
        column, now = self._table.c, self._now
        expired = and_(
            column.expires_at < now,
            or_(column.refresh_token.is_(None), column.refresh_expires_at < now),
        )
        untold = and_(column.lost_at.is_(None), self._over(now))
        return and_(self._windows.inside(ending), or_(expired, column.revoked_at.is_not(None)), ~untold)

    def _keep(self, lost: Select[*tuple[Any, ...]]) -> UpdateBase:
        keep = self._insert(self._lost).from_select(_KEPT, lost)
        return keep.on_conflict_do_update(
            index_elements=["client_name", "bearer_type", "bearer_id"],
            set_={name: keep.excluded[name] for name in _KEPT},
            where=self._lost.c.connected_at <= keep.excluded.connected_at,
        )

    def _lost_connections(self, among: FromClause) -> Select[*tuple[Any, ...]]:
        """Return what is kept of these rows: of the organizations' own grants those that are lost and not replaced."""
        column, newer, now = among.c, self._table.alias("newer").c, self._now
        replaced = select(newer.id).where(
            newer.audience == column.audience,
            newer.bearer_type == column.bearer_type,
            newer.bearer_id == column.bearer_id,
            is_bearers_own(newer),
            or_(
                newer.created_at > column.created_at,
                and_(newer.created_at == column.created_at, newer.id > column.id),
            ),
            # Not by a token that has expired, and that the organization's client obtained before this one was lost.
            or_(
                newer.created_at > column.lost_at,
                newer.lost_at.is_not(None),
                newer.refresh_token.is_not(None),
                newer.expires_at > now,
            ),
        )
        return select(
            column.audience,
            column.bearer_type,
            column.bearer_id,
            column.id,
            column.scopes,
            column.created_at,
            refreshed_at(column),
            column.expires_at,
            column.refresh_expires_at,
            column.lost_at,
        ).where(
            column.lost_at.is_not(None),
            column.bearer_type == "Organization",
            is_bearers_own(column),
            ~replaced.exists(),
        )

    async def forget_replaced(self, lost_before: datetime) -> None:
        """Forget the lost connections that were replaced by a new grant, or lost before that instant."""
        lost, column = self._lost.c, self._table.c
        await self._statements.run(delete(self._lost).where(lost.lost_at < lost_before))
        replaced = select(column.id).where(
            column.audience == lost.client_name,
            column.bearer_type == lost.bearer_type,
            column.bearer_id == lost.bearer_id,
            is_bearers_own(column),
            column.created_at > lost.lost_at,
        )
        # Not EXISTS, for which PostgreSQL may join the whole tables.
        is_replaced = replaced.limit(1).correlate(self._lost).scalar_subquery().is_not(None)
        connection = tuple_(lost.client_name, lost.bearer_type, lost.bearer_id)
        after = ("", "", "")
        while True:
            following = select(*connection).where(connection > after).order_by(*connection).limit(BATCH)
            rows = (await self._statements.run(following)).rows
            if not rows:
                break
            inside = and_(connection > after, connection <= (after := tuple(rows[-1])))
            await self._statements.run(delete(self._lost).where(inside, is_replaced))

    async def forget(self, client_name: str, bearer_type: str, bearer_id: str) -> None:
        """Forget what is lost of this bearer, because the app itself has ended the connection."""
        lost, column = self._lost.c, self._table.c
        await self._statements.run(
            delete(self._lost).where(
                lost.client_name == client_name, lost.bearer_type == bearer_type, lost.bearer_id == bearer_id
            ),
            delete(self._table).where(
                column.audience == client_name,
                column.bearer_type == bearer_type,
                column.bearer_id == bearer_id,
                column.lost_at.is_not(None),
                is_bearers_own(column),
            ),
        )


_KEPT = (
    "client_name",
    "bearer_type",
    "bearer_id",
    "access_token_id",
    "scopes",
    "connected_at",
    "refreshed_at",
    "expires_at",
    "refresh_expires_at",
    "lost_at",
)
