"""What people write for an app that has to keep and refresh tokens: httpx, SQLAlchemy and Fernet."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from authlib.integrations.httpx_client import AsyncOAuth2Client
from cryptography.fernet import Fernet
from sqlalchemy import Column, DateTime, MetaData, String, Table, Text, insert, select, update
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.peers.sqlalchemy_core import POOL
from benchmarks.place import CLIENT_ID, CLIENT_SECRET, Place

__all__ = ["TokensByHand"]

metadata = MetaData()
tokens = Table(
    "tokens_by_hand",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("bearer_id", String(36), nullable=False),
    Column("token", Text, nullable=False),
    Column("refresh_token", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)


class TokensByHand:
    """Tokens in a table, with one HTTP client for the Hub. A refresh locks its row, so that there is only one."""

    def __init__(self, place: Place) -> None:
        self._engine = create_async_engine(place.database_url, **POOL)
        self._fernet = Fernet(place.key)
        self._token_endpoint = f"{place.hub_url}/oauth/access_token"
        context = httpx.create_ssl_context()
        self._client = httpx.AsyncClient(auth=(CLIENT_ID, CLIENT_SECRET), verify=context)
        self._authlib = AsyncOAuth2Client(CLIENT_ID, CLIENT_SECRET, verify=context)

    async def open(self) -> None:
        """Create the table."""
        async with self._engine.begin() as connection:
            await connection.run_sync(metadata.create_all)

    async def add(self, responses: Sequence[Mapping[str, Any]], lives_for: timedelta) -> list[str]:
        """Store what the token endpoint has answered, and return the ids."""
        ids = [str(uuid.uuid4()) for _ in responses]
        rows = [
            {"id": token_id, "bearer_id": response["bearer_id"], **self._encrypted(response, lives_for)}
            for token_id, response in zip(ids, responses, strict=True)
        ]
        async with self._engine.begin() as connection:
            await connection.execute(insert(tokens), rows)
        return ids

    async def valid(self, token_id: str, valid_for: timedelta) -> str:
        """Return the token, refreshed if it is not valid that long."""
        async with self._engine.begin() as connection:
            row = (await connection.execute(select(tokens).where(tokens.c.id == token_id).with_for_update())).one()
            if row.expires_at > datetime.now(UTC) + valid_for:
                return self._decrypted(row.token)
            form = {"grant_type": "refresh_token", "refresh_token": self._decrypted(row.refresh_token)}
            response = (await self._client.post(self._token_endpoint, data=form)).raise_for_status().json()
            await connection.execute(update(tokens).where(tokens.c.id == token_id).values(self._encrypted(response)))
        return str(response["access_token"])

    async def refreshed_by_authlib(self, token_id: str) -> str:
        """Return the token after a refresh by Authlib, which leaves it to the app to read and store it."""
        async with self._engine.begin() as connection:
            row = (await connection.execute(select(tokens).where(tokens.c.id == token_id))).one()
        refresh_token = self._decrypted(row.refresh_token)
        response = await self._authlib.refresh_token(self._token_endpoint, refresh_token=refresh_token)
        async with self._engine.begin() as connection:
            await connection.execute(update(tokens).where(tokens.c.id == token_id).values(self._encrypted(response)))
        return str(response["access_token"])

    async def close(self) -> None:
        """Disconnect."""
        await self._client.aclose()
        await self._authlib.aclose()
        await self._engine.dispose()

    def _encrypted(self, response: Mapping[str, Any], lives_for: timedelta | None = None) -> dict[str, Any]:
        lives_for = lives_for or timedelta(seconds=int(response["expires_in"]))
        return {
            "token": self._fernet.encrypt(response["access_token"].encode()).decode(),
            "refresh_token": self._fernet.encrypt(response["refresh_token"].encode()).decode(),
            "expires_at": datetime.now(UTC) + lives_for,
        }

    def _decrypted(self, text: str) -> str:
        return self._fernet.decrypt(text.encode()).decode()
