"""The library under measurement, used as its documentation says."""

import json
from base64 import b64encode
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Security
from itsdangerous import TimestampSigner
from starlette.middleware.sessions import SessionMiddleware

from benchmarks.peers.sqlalchemy_core import POOL
from benchmarks.place import CLIENT_ID, CLIENT_SECRET, SCOPES, SESSION_SECRET, Place
from zaikio_oauth import AccessToken, BearerToken, Settings, ZaikioOAuth

__all__ = ["WEBHOOK_SECRET", "api", "pages", "session_header", "zaikio"]


WEBHOOK_SECRET = "the-secret-of-the-events"


def zaikio(place: Place, *, key: str | None = None, **settings: Any) -> ZaikioOAuth:
    """Return a ZaikioOAuth with as many connections as its peers have."""
    keys = [*([key] if key else []), *place.key.split()]
    client = {
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "default_scopes": list(SCOPES),
        "webhook_secret": WEBHOOK_SECRET,
    }
    options: dict[str, Any] = {"environment": "development", "host": place.hub_url, "encryption_keys": keys, **settings}
    made = Settings(database_url=place.database_url, clients={"warehouse": client}, **options)
    return ZaikioOAuth(made, engine_options=dict(POOL))


def session_header(token_id: str, bearer_id: str) -> str:
    """Return the header of a browser whose person is logged in."""
    session = {"zaikio_access_token_id": token_id, "zaikio_person_id": bearer_id}
    signed = TimestampSigner(SESSION_SECRET).sign(b64encode(json.dumps(session).encode())).decode()
    return f"Cookie: session={signed}"


def pages(place: Place, **settings: Any) -> FastAPI:
    """Return the app of our README."""
    ours = zaikio(place, **settings)
    app = FastAPI()
    app.add_middleware(SessionMiddleware, secret_key=SESSION_SECRET)
    app.include_router(ours.router, prefix="/zaikio")

    @app.get("/me")
    async def me(token: Annotated[AccessToken, Depends(ours.current_access_token)]) -> dict[str, str]:
        return {"person": token.bearer_id}

    return app


def api(place: Place) -> FastAPI:
    """Return an API that other apps call with bearer tokens."""
    ours = zaikio(place)
    app = FastAPI()

    @app.get("/me")
    async def me(
        token: Annotated[BearerToken, Security(ours.bearer_token, scopes=["zaikio.person.r"])],
    ) -> dict[str, str]:
        return {"person": token.subject_id}

    return app
