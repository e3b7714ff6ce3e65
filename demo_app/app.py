"""The FastAPI app of Bogenlager, which uses zaikio_oauth as a product would."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from fastapi import FastAPI, Request
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.sessions import SessionMiddleware
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo_app import device_pages, pages
from demo_app.devices import Devices
from demo_app.language import language_of
from demo_app.users import Users
from zaikio_oauth import AccessToken, LoginError, Settings, configure, zaikio_router

__all__ = ["create_app"]

_SUBSCRIBED_PLAN = re.compile(r"subscription_create(?:_\w+)?\.(\w+)\Z")


def create_app(settings: Settings, session_secret: str) -> FastAPI:
    """Create Bogenlager, connected to the Hub in the settings."""
    configure(
        settings,
        after_approve=after_approve,
        after_destroy=after_destroy,
        on_error=on_error,
        locale=language_of,  # so that the Hub uses the language that was chosen here
    )
    app = FastAPI(title="Bogenlager", lifespan=while_it_runs, openapi_url=None)
    app.state.settings = settings
    app.state.users = Users()
    app.state.organization_names = {}  # by ID; a product has a table for them
    app.add_middleware(
        SessionMiddleware,
        secret_key=session_secret,
        session_cookie="bogenlager_session",  # browsers share cookies between ports, and the local Hub has its own
        https_only=(settings.base_url or "").startswith("https://"),
    )
    app.add_middleware(SecurityHeaders, hub=settings.host)
    app.include_router(zaikio_router, prefix="/zaikio")
    app.include_router(pages.router)
    app.include_router(device_pages.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    app.exception_handler(HTTPException)(pages.http_error)
    app.exception_handler(Exception)(pages.broken)
    return app


@asynccontextmanager
async def while_it_runs(app: FastAPI) -> AsyncIterator[None]:
    """Provide the devices, and one HTTP client for all pages, because opening one per page is slow."""
    app.state.devices = Devices()
    async with httpx.AsyncClient(base_url=f"{app.state.settings.host}/api/v1", timeout=5) as client:
        app.state.hub = client
        yield
    await app.state.devices.aclose()


def after_approve(request: Request, access_token: AccessToken, origin: str | None) -> str:
    """Return where to go after a login or connection; create the user, or remember the connected organization."""
    if access_token.person_id:
        request.app.state.users.user_of(access_token.person_id)
    if not access_token.organization:
        return origin or "/me"
    request.session["organization_id"] = access_token.bearer_id
    for scope in access_token.requested_scopes:
        if subscribed := _SUBSCRIBED_PLAN.search(scope):
            request.session["plan"] = subscribed[1]
            return "/subscription"
    return origin or "/organization"


def after_destroy(request: Request, _access_token_id: str | None) -> str:
    """Forget the organization on logout, too, because somebody else may use this browser next."""
    pages.forget_organization(request)
    return "/"


def on_error(request: Request, error: LoginError) -> str:
    """Remember that the person cancelled, so that the start page can say so; the library keeps no error for this."""
    if error.code == "access_denied":
        request.session["cancelled"] = True
    return "/"


class SecurityHeaders:
    """Middleware that adds security headers to every response, unless the response sets them itself."""

    def __init__(self, app: ASGIApp, hub: str) -> None:
        self.app = app
        self.headers = {
            # The policy names the Hub because it also covers a form's redirects: /zaikio/subscriptions/new leads there.
            "Content-Security-Policy": f"default-src 'self'; form-action 'self' {hub}; base-uri 'none'; "
            "frame-ancestors 'none'; object-src 'none'",
            "Referrer-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers)
