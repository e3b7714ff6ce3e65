"""The newest grant of each bearer, read page by page, without its tokens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, literal, or_, select, union, union_all

from zaikio_oauth.store.columns import split_scopes
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.ended_grants import is_bearers_own, refreshed_at, unrenewable

__all__ = ["NewestGrant", "NewestGrantRepository"]

PAGE = 500
"""Bearers in one page."""


@dataclass(frozen=True, slots=True)
class NewestGrant:
    """A row, or what is left of it, without its tokens. ``lost``: it cannot be renewed."""

    access_token_id: str
    bearer_id: str
    scopes: tuple[str, ...]
    connected_at: datetime
    refreshed_at: datetime | None
    expires_at: datetime
    refresh_expires_at: datetime | None
    lost: bool


class NewestGrantRepository:
    """The bearers of ``zaikio_access_tokens`` and ``zaikio_lost_connections``, in the order of their ids."""

    def __init__(self, database: Database) -> None:
        self._statements = database.statements
        self._table = database.tables.access_tokens
        self._lost = database.tables.lost_connections

    async def page(self, client_name: str, bearer_type: str, after: str, now: datetime) -> list[NewestGrant]:
        """Return the newest grant of each bearer whose id follows ``after``, one page of them. Nothing is decrypted."""
        bearer = (client_name, bearer_type)
        last = await self._last_of_page(bearer, after)
        if last is None:
            return []
        grants = union_all(self._grants(bearer, after, last, now), self._lost_connections(bearer, after, last))
        column = grants.subquery().c
        newest_first = func.row_number().over(
            partition_by=column.bearer_id, order_by=[column.connected_at.desc(), column.access_token_id.desc()]
        )
        ranked = select(*column, newest_first.label("rank")).subquery()
        newest = select(ranked).where(ranked.c.rank == 1).order_by(ranked.c.bearer_id)
        return [
            NewestGrant(
                access_token_id=row.access_token_id,
                bearer_id=row.bearer_id,
                scopes=split_scopes(row.scopes),
                connected_at=row.connected_at,
                refreshed_at=row.refreshed_at,
                expires_at=row.expires_at,
                refresh_expires_at=row.refresh_expires_at,
                lost=bool(row.lost),
            )
            for row in (await self._statements.run(newest)).rows
        ]

    async def _last_of_page(self, bearer: tuple[str, str], after: str) -> str | None:
        """Return the last bearer of the page, however many grants each of them has."""
        parts = []
        for condition, column in (
            (self._of_grants(bearer), self._table.c.bearer_id),
            (self._of_lost_connections(bearer), self._lost.c.bearer_id),
        ):
            ids = select(column).where(condition, column > after).distinct().order_by(column).limit(PAGE).subquery()
            parts.append(select(ids))
        both = union(*parts).subquery()
        page = select(both.c.bearer_id).order_by(both.c.bearer_id).limit(PAGE)
        rows = (await self._statements.run(page)).rows
        return rows[-1].bearer_id if rows else None

    def _of_grants(self, bearer: tuple[str, str]) -> ColumnElement[bool]:
        column = self._table.c
        return and_(column.audience == bearer[0], column.bearer_type == bearer[1], is_bearers_own(column))

    def _of_lost_connections(self, bearer: tuple[str, str]) -> ColumnElement[bool]:
        return and_(self._lost.c.client_name == bearer[0], self._lost.c.bearer_type == bearer[1])

    def _grants(self, bearer: tuple[str, str], after: str, last: str, now: datetime) -> Select[*tuple[Any, ...]]:
        column = self._table.c
        lost = or_(column.revoked_at.is_not(None), column.lost_at.is_not(None), unrenewable(column, now))
        return select(
            column.id.label("access_token_id"),
            column.bearer_id,
            column.scopes,
            column.created_at.label("connected_at"),
            refreshed_at(column).label("refreshed_at"),
            column.expires_at,
            column.refresh_expires_at,
            lost.label("lost"),
        ).where(self._of_grants(bearer), column.bearer_id > after, column.bearer_id <= last)

    def _lost_connections(self, bearer: tuple[str, str], after: str, last: str) -> Select[*tuple[Any, ...]]:
        column = self._lost.c
        return select(
            column.access_token_id,
            column.bearer_id,
            column.scopes,
            column.connected_at,
            column.refreshed_at,
            column.expires_at,
            column.refresh_expires_at,
            literal(True).label("lost"),
        ).where(self._of_lost_connections(bearer), column.bearer_id > after, column.bearer_id <= last)
