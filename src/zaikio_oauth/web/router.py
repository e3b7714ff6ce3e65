"""The routers: one for each kind of route, and one with all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter
from starlette.applications import Starlette

from zaikio_oauth.web.connections import Connections
from zaikio_oauth.web.hooks import Parts
from zaikio_oauth.web.sessions import Sessions
from zaikio_oauth.web.subscriptions import Subscriptions
from zaikio_oauth.web.webhook import Webhook

__all__ = ["Routers"]


class Routers:
    """The routers of one ZaikioOAuth object; each opens it when the app starts, the last one closes it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.sessions: APIRouter = Sessions(parts).router(lifespan=self._lifespan)
        self.connections: APIRouter = Connections(parts).router(lifespan=self._lifespan)
        self.subscriptions: APIRouter = Subscriptions(parts).router(lifespan=self._lifespan)
        self.webhook: APIRouter = Webhook(parts).router(lifespan=self._lifespan)
        self.all: APIRouter = APIRouter(lifespan=self._lifespan)
        for router in (self.sessions, self.connections, self.subscriptions, self.webhook):
            self.all.include_router(router)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        async with self._parts.opened():
            yield
