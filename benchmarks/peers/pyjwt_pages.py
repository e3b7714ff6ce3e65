"""An API that verifies the Hub's bearer tokens with PyJWT, the Hub's keys in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

__all__ = ["api"]


def api(hub_url: str) -> FastAPI:
    """Return the app."""
    keys: dict[str | None, Any] = {}

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with httpx.AsyncClient() as client:
            published = (await client.get(f"{hub_url}/api/v1/jwt_public_keys.json")).json()
        keys.update({key.key_id: key.key for key in jwt.PyJWKSet.from_dict(published).keys})
        yield

    app = FastAPI(lifespan=lifespan)

    # Async, because FastAPI would run it in another thread otherwise, which costs more than the verification.
    async def claims(given: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> dict[str, Any]:
        return verified(given.credentials, keys)

    @app.get("/me")
    async def me(token: Annotated[dict[str, Any], Depends(claims)]) -> dict[str, str]:
        return {"person": token["sub"]}

    return app


def verified(token: str, keys: dict[str | None, Any]) -> dict[str, Any]:
    """Return the claims of a token that is for us and has the scope."""
    try:
        key = keys[jwt.get_unverified_header(token).get("kid")]
        found: dict[str, Any] = jwt.decode(token, key, algorithms=["RS256"], audience="warehouse", issuer="ZAI")
    except (jwt.PyJWTError, KeyError):
        raise HTTPException(401) from None
    if "zaikio.person.r" not in found["scope"]:
        raise HTTPException(403)
    return found
