"""SQLAlchemy's ORM, as most apps use it: a session for each request."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography.fernet import Fernet
from sqlalchemy import DateTime, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from benchmarks.peers.sqlalchemy_core import POOL
from benchmarks.peers.stored_token import Token

__all__ = ["SqlalchemyOrm"]


class Base(DeclarativeBase):
    """The models."""


class StoredToken(Base):
    """A stored token."""

    __tablename__ = "zaikio_access_tokens"

    id: Mapped[str] = mapped_column(primary_key=True)
    audience: Mapped[str]
    bearer_type: Mapped[str]
    bearer_id: Mapped[str]
    scopes: Mapped[str]
    token: Mapped[str]
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class SqlalchemyOrm:
    """An engine and its sessions."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._fernet = url, Fernet(key)

    async def open(self) -> None:
        self._engine = create_async_engine(self._url, **POOL)
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)

    async def by_id(self, token_id: str) -> Token | None:
        async with self._sessions() as session:
            found = await session.get(StoredToken, token_id)
        if found is None or found.revoked_at is not None or _aware(found.expires_at) <= datetime.now(UTC):
            return None
        return self._token(found)

    async def by_bearer(self, bearer_type: str, bearer_id: str) -> Token | None:
        newest = (
            select(StoredToken)
            .where(
                StoredToken.audience == "warehouse",
                StoredToken.bearer_type == bearer_type,
                StoredToken.bearer_id == bearer_id,
                StoredToken.expires_at > datetime.now(UTC),
                StoredToken.revoked_at.is_(None),
            )
            .order_by(StoredToken.expires_at.desc())
            .limit(1)
        )
        async with self._sessions() as session:
            found = await session.scalar(newest)
        return None if found is None else self._token(found)

    async def close(self) -> None:
        await self._engine.dispose()

    def _token(self, found: StoredToken) -> Token:
        return Token(
            id=found.id,
            bearer_type=found.bearer_type,
            bearer_id=found.bearer_id,
            scopes=found.scopes,
            expires_at=found.expires_at,
            token=self._fernet.decrypt(found.token.encode()).decode(),
        )


def _aware(instant: datetime) -> datetime:
    """Return the instant with its time zone, which SQLite does not store."""
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
