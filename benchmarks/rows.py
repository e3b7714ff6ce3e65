"""Rows of access tokens, as this library stores them. The peers read the same rows."""

from __future__ import annotations

import base64
import json
import os
import secrets
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.place import SCOPES
from zaikio_oauth.store.columns import join_scopes
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.encryption import Cipher, Place

__all__ = ["Grant", "fill", "some_grant", "some_grants", "some_token"]

BATCH = 1000
_HEADER = json.dumps({"typ": "JWT", "alg": "RS256", "kid": "f0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b9c0d1e2f3"}).encode()


@dataclass(frozen=True)
class Grant:
    """What a row is made from."""

    token: str
    refresh_token: str
    bearer_id: str
    jti: str = field(default_factory=lambda: str(uuid.uuid4()))
    lives_for: timedelta = timedelta(days=1)
    refresh_lives_for: timedelta = timedelta(days=7)
    told_as_lost: bool = False


def some_grants(number: int, **changes: Any) -> Iterator[Grant]:
    """Yield so many grants, each of a person of its own."""
    for _ in range(number):
        yield some_grant(str(uuid.uuid4()), **changes)


def some_grant(bearer_id: str, **changes: Any) -> Grant:
    """Return a grant of this person."""
    jti = str(uuid.uuid4())
    return Grant(some_token(bearer_id, jti), secrets.token_urlsafe(32), bearer_id, jti, **changes)


def some_token(bearer_id: str, jti: str) -> str:
    """Return a token like the Hub's, of 900 letters and with a signature of chance."""
    now = int(time.time())
    claims = {
        "iss": "ZAI",
        "sub": f"Person/{bearer_id}",
        "aud": ["warehouse"],
        "jti": jti,
        "nbf": now,
        "exp": now + 3600,
        "jku": "https://hub.zaikio.com/api/v1/jwt_public_keys.json",
        "scope": [*SCOPES, "zaikio.organization.r", "zaikio.job.rw"],
    }
    pieces = (_HEADER, json.dumps(claims).encode(), os.urandom(256))
    return ".".join(base64.urlsafe_b64encode(piece).rstrip(b"=").decode() for piece in pieces)


async def fill(url: str, key: str, grants: Iterable[Grant]) -> list[tuple[str, str]]:
    """Store the grants, in a database that is migrated first, and return the id and the bearer of each."""
    database = Database(url, [key])
    await database.open(auto_migrate=True)
    await database.aclose()
    # Not the library's engine, whose statements commit themselves: SQLite would write each row to the disk.
    engine = create_async_engine(url)
    stored: list[tuple[str, str]] = []
    waiting = iter(grants)
    async with engine.begin() as connection:
        while rows := [_row(grant, database.cipher) for grant in islice(waiting, BATCH)]:
            await connection.execute(insert(database.tables.access_tokens), rows)
            stored += [(row["id"], row["bearer_id"]) for row in rows]
    await engine.dispose()
    return stored


def _row(grant: Grant, cipher: Cipher) -> dict[str, Any]:
    now, row_id = datetime.now(UTC), str(uuid.uuid4())
    return {
        "id": row_id,
        "jti": grant.jti,
        "audience": "warehouse",
        "bearer_type": "Person",
        "bearer_id": grant.bearer_id,
        "scopes": join_scopes(SCOPES),
        "requested_scopes": join_scopes(SCOPES),
        "token": cipher.encrypt(grant.token, Place(row_id, "token")),
        "refresh_token": cipher.encrypt(grant.refresh_token, Place(row_id, "refresh_token")),
        "version": 1,
        "expires_at": now + grant.lives_for,
        "refresh_expires_at": now + grant.refresh_lives_for,
        "created_at": now - timedelta(days=8),
        "updated_at": now,
        "lost_at": now if grant.told_as_lost else None,
    }
