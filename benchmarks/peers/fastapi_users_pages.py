"""Pages of people who are logged in, by fastapi-users with its DatabaseStrategy, as its documentation shows them."""

import secrets
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin
from fastapi_users.authentication import AuthenticationBackend, CookieTransport
from fastapi_users.authentication.strategy.db import AccessTokenDatabase, DatabaseStrategy
from fastapi_users_db_sqlalchemy import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from fastapi_users_db_sqlalchemy.access_token import SQLAlchemyAccessTokenDatabase, SQLAlchemyBaseAccessTokenTableUUID
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from benchmarks.peers.sqlalchemy_core import POOL

__all__ = ["fill", "pages"]

COOKIE = "fastapiusersauth"


class Base(DeclarativeBase):
    """The models."""


class User(SQLAlchemyBaseUserTableUUID, Base):
    """A person."""


class AccessToken(SQLAlchemyBaseAccessTokenTableUUID, Base):
    """What is in the cookie of somebody who is logged in."""


class UserManager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
    """The person behind a token."""


async def fill(url: str, count: int) -> list[str]:
    """Store so many people who are logged in, and return the cookies of their browsers."""
    engine = create_async_engine(url)
    chance, now = secrets.SystemRandom(), datetime.now(UTC)
    tokens = [secrets.token_urlsafe() for _ in range(count)]
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        for start in range(0, count, 1000):
            part = tokens[start : start + 1000]
            people = [uuid.UUID(int=chance.getrandbits(128), version=4) for _ in part]
            flags = {"is_active": True, "is_superuser": False, "is_verified": True, "hashed_password": "none"}
            users = [{"id": each, "email": f"{each}@example.com", **flags} for each in people]
            await connection.execute(insert(User), users)
            rows = [
                {"token": token, "user_id": each, "created_at": now} for token, each in zip(part, people, strict=True)
            ]
            await connection.execute(insert(AccessToken), rows)
    await engine.dispose()
    return [f"{COOKIE}={token}" for token in tokens]


def pages(url: str) -> FastAPI:
    """Return the app."""
    sessions = async_sessionmaker(create_async_engine(url, **POOL), expire_on_commit=False)

    async def session() -> AsyncIterator[AsyncSession]:
        async with sessions() as opened:
            yield opened

    async def users(opened: Annotated[AsyncSession, Depends(session)]) -> AsyncIterator[Any]:
        yield SQLAlchemyUserDatabase(opened, User)

    async def access_tokens(opened: Annotated[AsyncSession, Depends(session)]) -> AsyncIterator[Any]:
        yield SQLAlchemyAccessTokenDatabase(opened, AccessToken)

    async def manager(found: Annotated[Any, Depends(users)]) -> AsyncIterator[UserManager]:
        yield UserManager(found)

    def strategy(found: Annotated[AccessTokenDatabase[Any], Depends(access_tokens)]) -> DatabaseStrategy[Any, Any, Any]:
        return DatabaseStrategy(found, lifetime_seconds=86_400)

    backend = AuthenticationBackend(
        name="database", transport=CookieTransport(cookie_name=COOKIE), get_strategy=strategy
    )
    current_user = FastAPIUsers[User, uuid.UUID](manager, [backend]).current_user(active=True)
    app = FastAPI()

    @app.get("/me")
    async def me(user: Annotated[User, Depends(current_user)]) -> dict[str, str]:
        return {"person": str(user.id)}

    return app
