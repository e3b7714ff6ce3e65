"""A login by Authlib's integration for Starlette, as its documentation shows it, with one SSL context."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
from authlib.integrations.starlette_client import OAuth
from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import Response

from benchmarks.peers.tokens_by_hand import TokensByHand
from benchmarks.place import CLIENT_ID, CLIENT_SECRET, SCOPES, SESSION_SECRET, Place

__all__ = ["app_with_login"]


def app_with_login(place: Place, *, storing: bool) -> FastAPI:
    """Return the app, whose paths are those of this library. ``storing``: keep the token, encrypted, as we do."""
    oauth, store = OAuth(), TokensByHand(place)
    oauth.register(
        "zaikio",
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        authorize_url=f"{place.hub_url}/oauth/authorize",
        access_token_url=f"{place.hub_url}/oauth/access_token",
        client_kwargs={
            "scope": ",".join(SCOPES),
            "code_challenge_method": "S256",
            # Without it, each request would read the certificates anew, which takes 16 ms.
            "verify": httpx.create_ssl_context(),
        },
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await store.open()
        yield
        await store.close()

    app = FastAPI(lifespan=lifespan)
    app.add_middleware(SessionMiddleware, secret_key=SESSION_SECRET)

    @app.get("/zaikio/sessions/new")
    async def login(request: Request) -> Any:
        return await oauth.zaikio.authorize_redirect(request, request.url_for("approve"))

    @app.get("/zaikio/sessions/approve")
    async def approve(request: Request) -> Response:
        token = await oauth.zaikio.authorize_access_token(request)
        person_id = token["bearer"]["id"]
        request.session["person_id"] = person_id
        if storing:
            lives_for = timedelta(seconds=int(token["expires_in"]))
            (request.session["token_id"],) = await store.add([{**token, "bearer_id": person_id}], lives_for)
        return RedirectResponse("/", status_code=302)

    return app
