"""The fastest that one would write by hand: SQL on a pool of asyncpg."""

from __future__ import annotations

from datetime import UTC, datetime

import asyncpg
from cryptography.fernet import Fernet

from benchmarks.peers.stored_token import Token

__all__ = ["AsyncpgPool"]

COLUMNS = "id, bearer_type, bearer_id, scopes, expires_at, token"
BY_ID = f"SELECT {COLUMNS} FROM zaikio_access_tokens WHERE id = $1 AND expires_at > $2 AND revoked_at IS NULL"  # noqa: S608
BY_BEARER = f"""
    SELECT {COLUMNS} FROM zaikio_access_tokens
    WHERE audience = 'warehouse' AND bearer_type = $1 AND bearer_id = $2 AND expires_at > $3 AND revoked_at IS NULL
    ORDER BY expires_at DESC LIMIT 1
"""  # noqa: S608


class AsyncpgPool:
    """A pool with its defaults, of ten connections."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url.replace("postgresql+asyncpg", "postgresql")
        self._fernet = Fernet(key)

    async def open(self) -> None:
        self._pool = await asyncpg.create_pool(self._url)

    async def by_id(self, token_id: str) -> Token | None:
        return self._token(await self._pool.fetchrow(BY_ID, token_id, datetime.now(UTC)))

    async def by_bearer(self, bearer_type: str, bearer_id: str) -> Token | None:
        return self._token(await self._pool.fetchrow(BY_BEARER, bearer_type, bearer_id, datetime.now(UTC)))

    async def close(self) -> None:
        await self._pool.close()

    def _token(self, row: asyncpg.Record | None) -> Token | None:
        if row is None:
            return None
        values = dict(row)
        return Token(**values | {"token": self._fernet.decrypt(values["token"].encode()).decode()})
