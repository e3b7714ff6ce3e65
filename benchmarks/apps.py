"""Every app that is served to be measured, by name."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from starlette.middleware.sessions import SessionMiddleware

from benchmarks.peers.stored_token import Token, TokenStore
from benchmarks.place import SESSION_SECRET, Place

__all__ = ["APPS"]


def bare(_place: Place) -> FastAPI:
    """Return an app with one endpoint and nothing else."""
    app = FastAPI()

    @app.get("/me")
    async def me() -> dict[str, str]:
        return {"person": "383663bc-149a-5b76-b50d-ee039046c12e"}

    return app


def floor(_place: Place) -> FastAPI:
    """Return the least that a page with a session costs: a dependency that only reads the session."""

    async def person(request: Request) -> str:
        return str(request.session["zaikio_person_id"])

    app = FastAPI()
    app.add_middleware(SessionMiddleware, secret_key=SESSION_SECRET)

    @app.get("/me")
    async def me(bearer_id: Annotated[str, Depends(person)]) -> dict[str, str]:
        return {"person": bearer_id}

    return app


def pages_of(store: TokenStore) -> FastAPI:
    """Return an app whose page takes the token of its session from a store that was written by hand."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await store.open()
        yield
        await store.close()

    async def current_token(request: Request) -> Token:
        token_id = request.session.get("zaikio_access_token_id")
        token = await store.by_id(token_id) if token_id else None
        if token is None:
            raise HTTPException(401)
        return token

    app = FastAPI(lifespan=lifespan)
    app.add_middleware(SessionMiddleware, secret_key=SESSION_SECRET)

    @app.get("/me")
    async def me(token: Annotated[Token, Depends(current_token)]) -> dict[str, str]:
        return {"person": token.bearer_id}

    return app


# Each of them is imported only by the process that serves it, whose start-up is measured too.


def _ours(place: Place, **settings: Any) -> FastAPI:
    from benchmarks import ours

    return ours.pages(place, **settings)


def _our_api(place: Place) -> FastAPI:
    from benchmarks import ours

    return ours.api(place)


def _asyncpg_pool(place: Place) -> FastAPI:
    from benchmarks.peers.asyncpg_pool import AsyncpgPool

    return pages_of(AsyncpgPool(place.database_url, place.key))


def _sqlalchemy_core(place: Place) -> FastAPI:
    from benchmarks.peers.sqlalchemy_core import SqlalchemyCore

    return pages_of(SqlalchemyCore(place.database_url, place.key))


def _sqlalchemy_orm(place: Place) -> FastAPI:
    from benchmarks.peers.sqlalchemy_orm import SqlalchemyOrm

    return pages_of(SqlalchemyOrm(place.database_url, place.key))


def _fastapi_users(place: Place) -> FastAPI:
    from benchmarks.peers import fastapi_users_pages

    return fastapi_users_pages.pages(place.database_url)


def _pyjwt(place: Place) -> FastAPI:
    from benchmarks.peers import pyjwt_pages

    return pyjwt_pages.api(place.hub_url)


def _authlib(place: Place, *, storing: bool) -> FastAPI:
    from benchmarks.peers import authlib_login

    return authlib_login.app_with_login(place, storing=storing)


APPS: dict[str, Callable[[Place], FastAPI]] = {
    "bare": bare,
    "floor": floor,
    "ours": _ours,
    "ours, cache off": lambda place: _ours(place, cache_ttl=0),
    # As behind a pooler through which nobody can listen.
    "ours, not notified": lambda place: _ours(
        replace(place, database_url=f"{place.database_url}?pgbouncer=true"), cache_ttl=1
    ),
    "ours, bearer": _our_api,
    "asyncpg": _asyncpg_pool,
    "core": _sqlalchemy_core,
    "orm": _sqlalchemy_orm,
    "fastapi-users": _fastapi_users,
    "pyjwt": _pyjwt,
    "authlib": lambda place: _authlib(place, storing=False),
    "authlib, storing": lambda place: _authlib(place, storing=True),
}
