"""The ids of tokens that the Hub has revoked, whether they are stored here or presented by others."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import Executable, and_, bindparam, case, delete, or_, select, update

from zaikio_oauth.store.database import Database
from zaikio_oauth.store.ended_grants import EndedGrant, Marks
from zaikio_oauth.store.statements import Bound

__all__ = ["RevokedTokenRepository"]

BATCH = 500
"""Ids in one statement."""

LIST = "revoked_access_tokens"


class RevokedTokenRepository:
    """The rows of ``zaikio_revocations``, their effect on ``zaikio_access_tokens``, and when the Hub's list is due."""

    def __init__(self, database: Database) -> None:
        self._statements = database.statements
        self._revocations = database.tables.revocations
        self._access_tokens = database.tables.access_tokens
        self._schedule = database.tables.schedule
        self._insert = database.insert
        self._told = database.told
        self._marks = Marks()
        # Built once, because each bearer token needs it.
        known = self._revocations.c.jti
        self._contains = select(known).where(known == bindparam("this_jti"))

    async def add(self, jtis: Collection[str]) -> tuple[list[EndedGrant], list[EndedGrant]]:
        """Store these ids as revoked, mark the grants that have them, and return these; and those that were not lost.

        A delegated token is not lost, because it never lasts.
        """
        revoked: list[EndedGrant] = []
        lost: list[EndedGrant] = []
        ids = sorted(set(jtis))
        with self._marks.made() as mark:
            for start in range(0, len(ids), BATCH):
                # Stored first, marked second: an access token that is stored in between looks here for itself.
                rows = (await self._statements.run(*self._revoke(ids[start : start + BATCH], mark))).rows
                revoked += [EndedGrant.of(row) for row in rows]
                lost += [EndedGrant.of(row) for row in rows if row.lost_at == mark]
        return revoked, lost

    def _revoke(self, jtis: list[str], mark: datetime) -> tuple[Executable, Executable]:
        column = self._access_tokens.c
        insert = self._insert(self._revocations).on_conflict_do_nothing(index_elements=["jti"])
        lost = and_(column.delegated_from.is_(None), self._marks.due(column.lost_at, mark))
        update_grants = (
            update(self._access_tokens)
            .where(column.jti.in_(jtis), self._marks.due(column.revoked_at, mark))
            .values(revoked_at=mark, lost_at=case((lost, mark), else_=column.lost_at))
            .returning(column.id, column.audience, column.bearer_type, column.bearer_id, column.lost_at)
        )
        insert = insert.values([{"jti": jti, "revoked_at": mark} for jti in jtis])
        return self._told(insert, self._revocations.c.jti), self._told(update_grants, column.id)

    async def contains(self, jti: str) -> bool:
        """Return True if the token of that id is revoked."""
        return (await self._statements.run(Bound(self._contains, {"this_jti": jti}))).first is not None

    async def claim_list(self, now: datetime, claim: timedelta, interval: timedelta) -> bool:
        """Return True if this caller shall fetch the Hub's list now; nobody else will be asked to for ``claim``.

        Once it is stored, ``schedule_list`` says when it is due again: at most after ``interval``.
        """
        first = (
            self._insert(self._schedule)
            .values(key=LIST, due_at=now + claim)
            .on_conflict_do_nothing(index_elements=["key"])
        )
        due = self._schedule.c.due_at
        # A clock that was once an hour ahead must not put the next time off for ever.
        overdue = or_(due <= now, due > now + interval)
        again = update(self._schedule).where(self._schedule.c.key == LIST, overdue).values(due_at=now + claim)
        return bool((await self._statements.run(first)).rowcount or (await self._statements.run(again)).rowcount)

    async def schedule_list(self, at: datetime) -> None:
        """Set the time at which the list is due next."""
        await self._statements.run(update(self._schedule).where(self._schedule.c.key == LIST).values(due_at=at))

    async def list_due_at(self) -> datetime | None:
        """Return when the list is due next, or None if it has never been."""
        statement = select(self._schedule.c.due_at).where(self._schedule.c.key == LIST)
        row = (await self._statements.run(statement)).first
        return row.due_at if row else None

    async def delete_revoked_before(self, instant: datetime) -> None:
        """Delete the ids that were revoked so long ago that no token of that time is still valid."""
        await self._statements.run(delete(self._revocations).where(self._revocations.c.revoked_at < instant))
