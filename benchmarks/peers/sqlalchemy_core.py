"""SQLAlchemy Core by hand, with statements that are built once, in autocommit, its faster way."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cryptography.fernet import Fernet
from sqlalchemy import Column, DateTime, MetaData, Row, Select, String, Table, Text, bindparam, select
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.peers.stored_token import Token

__all__ = ["POOL", "SqlalchemyCore", "tokens"]

POOL = {"pool_size": 10, "max_overflow": 0}
"""As many connections as asyncpg's pool has, for every store that uses SQLAlchemy, and for ours."""

tokens = Table(
    "zaikio_access_tokens",
    MetaData(),
    Column("id", String(36), primary_key=True),
    Column("audience", String(255)),
    Column("bearer_type", String(32)),
    Column("bearer_id", String(255)),
    Column("scopes", Text),
    Column("token", Text),
    Column("refresh_token", Text),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
)
COLUMNS = (
    tokens.c.id,
    tokens.c.bearer_type,
    tokens.c.bearer_id,
    tokens.c.scopes,
    tokens.c.expires_at,
    tokens.c.token,
)
VALID = (tokens.c.expires_at > bindparam("now"), tokens.c.revoked_at.is_(None))
BY_ID = select(*COLUMNS).where(tokens.c.id == bindparam("token_id"), *VALID)
BY_BEARER = (
    select(*COLUMNS)
    .where(
        tokens.c.audience == "warehouse",
        tokens.c.bearer_type == bindparam("of_type"),
        tokens.c.bearer_id == bindparam("of_id"),
        *VALID,
    )
    .order_by(tokens.c.expires_at.desc())
    .limit(1)
)


class SqlalchemyCore:
    """An engine whose statements commit themselves."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._fernet = url, Fernet(key)

    async def open(self) -> None:
        self._engine = create_async_engine(self._url, isolation_level="AUTOCOMMIT", **POOL)

    async def by_id(self, token_id: str) -> Token | None:
        return await self._first(BY_ID, token_id=token_id)

    async def by_bearer(self, bearer_type: str, bearer_id: str) -> Token | None:
        return await self._first(BY_BEARER, of_type=bearer_type, of_id=bearer_id)

    async def close(self) -> None:
        await self._engine.dispose()

    async def _first(self, statement: Select[Any], **values: str) -> Token | None:
        async with self._engine.connect() as connection:
            row = (await connection.execute(statement, {**values, "now": datetime.now(UTC)})).first()
        return self._token(row)

    def _token(self, row: Row[Any] | None) -> Token | None:
        if row is None:
            return None
        return Token(**{**row._mapping, "token": self._fernet.decrypt(row.token.encode()).decode()})  # noqa: SLF001
