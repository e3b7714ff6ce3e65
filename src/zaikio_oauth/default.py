"""The process's default ZaikioOAuth, and the module-level names that forward to it."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import timedelta
from typing import Any

from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.application import AroundAuth, ZaikioOAuth
from zaikio_oauth.resource_server.bearer_token import BearerToken
from zaikio_oauth.settings import Settings
from zaikio_oauth.store.encryption import Cipher
from zaikio_oauth.tokens.device_authorization import DeviceAuthorization
from zaikio_oauth.tokens.issuance import Issuance
from zaikio_oauth.tokens.telemetry import Listener
from zaikio_oauth.tokens.token_manager import DEFAULT_VALID_FOR, TokenManager
from zaikio_oauth.web.bearer_dependency import IncomingBearerToken
from zaikio_oauth.web.dependencies import CurrentAccessToken, OptionalAccessToken
from zaikio_oauth.web.hooks import AfterApprove, AfterDestroy, Hooks, Locale, OnError, VerifyState
from zaikio_oauth.web.router import Routers

__all__ = [
    "bearer_token",
    "cleanup_access_tokens",
    "configure",
    "connections_router",
    "current_access_token",
    "default",
    "delegate",
    "find_active_access_token",
    "find_usable_access_token",
    "get_access_token",
    "optional_access_token",
    "refresh",
    "revoke",
    "rotate_encryption_keys",
    "sessions_router",
    "start_device_authorization",
    "subscriptions_router",
    "verify_bearer_token",
    "webhook_router",
    "with_auth",
    "with_client",
    "zaikio_router",
]


class _Default:
    """Holds the default object and stands for it, so that names imported early follow a later ``configure``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._zaikio: ZaikioOAuth | None = None

    def get(self) -> ZaikioOAuth:
        with self._lock:
            if self._zaikio is None:
                self._zaikio = ZaikioOAuth()
            return self._zaikio

    def set(self, zaikio: ZaikioOAuth) -> ZaikioOAuth:
        with self._lock:
            self._zaikio = zaikio
        return zaikio

    @property
    def settings(self) -> Settings:
        return self.get().settings

    @property
    def hooks(self) -> Hooks:
        return self.get().hooks

    @property
    def flow_cipher(self) -> Cipher:
        return self.get().flow_cipher

    @property
    def current_client_name(self) -> str:
        return self.get().current_client_name

    def opened(self) -> AbstractAsyncContextManager[object]:
        return self.get()

    async def mark_revoked(self, jtis: Collection[str]) -> None:
        await self.get().mark_revoked(jtis)

    async def tokens(self) -> TokenManager:
        return await self.get().tokens()

    async def issuance(self) -> Issuance:
        return await self.get().issuance()

    async def verify_bearer_token(self, token: str) -> BearerToken:
        return await self.get().verify_bearer_token(token)


_default = _Default()
_routers = Routers(_default)

zaikio_router = _routers.all
"""All routes of the default ZaikioOAuth."""

sessions_router = _routers.sessions
"""Only its ``sessions`` routes."""

connections_router = _routers.connections
"""Only its ``connections`` routes."""

subscriptions_router = _routers.subscriptions
"""Only its ``subscriptions`` route."""

webhook_router = _routers.webhook
"""Only its ``webhook`` route."""

current_access_token = CurrentAccessToken(_default)
"""``Depends(current_access_token)``: the session's token, refreshed if need be; else the login, or 401."""

optional_access_token = OptionalAccessToken(_default)
"""``Depends(optional_access_token)``: the session's token, or None."""

bearer_token = IncomingBearerToken(_default)
"""``Security(bearer_token, scopes=[…])``: the verified token that another app has sent; else 401, 403 or 503."""


def configure(
    settings: Settings | None = None,
    *,
    around_auth: AroundAuth | None = None,
    after_approve: AfterApprove | None = None,
    after_destroy: AfterDestroy | None = None,
    on_error: OnError | None = None,
    verify_state: VerifyState | None = None,
    locale: Locale | None = None,
    on_token_event: Listener | None = None,
    engine_options: Mapping[str, Any] | None = None,
) -> ZaikioOAuth:
    """Make the process's default ZaikioOAuth; takes what ZaikioOAuth takes. Raises ConfigurationError."""
    return _default.set(
        ZaikioOAuth(
            settings,
            around_auth=around_auth,
            after_approve=after_approve,
            after_destroy=after_destroy,
            on_error=on_error,
            verify_state=verify_state,
            locale=locale,
            on_token_event=on_token_event,
            engine_options=engine_options,
        )
    )


def default() -> ZaikioOAuth:
    """The process's default ZaikioOAuth, made from the environment if ``configure`` was not called."""
    return _default.get()


def with_client(client_name: str) -> AbstractContextManager[None]:
    """As ZaikioOAuth.with_client."""
    return default().with_client(client_name)


def with_auth(
    access_token: AccessToken | None = None,
    *,
    bearer_id: str | None = None,
    bearer_type: str = "Person",
    client_name: str | None = None,
    scopes: Iterable[str] | None = None,
    valid_for: timedelta | float = DEFAULT_VALID_FOR,
) -> AbstractAsyncContextManager[AccessToken]:
    """As ZaikioOAuth.with_auth."""
    return default().with_auth(
        access_token,
        bearer_id=bearer_id,
        bearer_type=bearer_type,
        client_name=client_name,
        scopes=scopes,
        valid_for=valid_for,
    )


async def find_usable_access_token(
    *,
    bearer_type: str,
    bearer_id: str,
    client_name: str | None = None,
    requested_scopes: Iterable[str] = (),
    valid_for: timedelta | float = DEFAULT_VALID_FOR,
) -> AccessToken | None:
    """As ZaikioOAuth.find_usable_access_token."""
    return await default().find_usable_access_token(
        client_name=client_name,
        bearer_type=bearer_type,
        bearer_id=bearer_id,
        requested_scopes=requested_scopes,
        valid_for=valid_for,
    )


async def find_active_access_token(
    id: str | None,  # noqa: A002 (the public name)
    valid_for: timedelta | float = DEFAULT_VALID_FOR,
) -> AccessToken | None:
    """As ZaikioOAuth.find_active_access_token."""
    return await default().find_active_access_token(id, valid_for)


async def get_access_token(
    *,
    bearer_id: str,
    bearer_type: str = "Person",
    client_name: str | None = None,
    scopes: Iterable[str] | None = None,
    valid_for: timedelta | float = DEFAULT_VALID_FOR,
) -> AccessToken:
    """As ZaikioOAuth.get_access_token."""
    return await default().get_access_token(
        bearer_id=bearer_id, bearer_type=bearer_type, client_name=client_name, scopes=scopes, valid_for=valid_for
    )


async def refresh(token: AccessToken) -> AccessToken:
    """As ZaikioOAuth.refresh."""
    return await default().refresh(token)


async def revoke(token: AccessToken) -> None:
    """As ZaikioOAuth.revoke."""
    await default().revoke(token)


async def delegate(token: AccessToken, *, client_id: str, scopes: Iterable[str]) -> AccessToken:
    """As ZaikioOAuth.delegate."""
    return await default().delegate(token, client_id=client_id, scopes=scopes)


async def start_device_authorization(
    client_name: str | None = None, scopes: Iterable[str] | None = None
) -> DeviceAuthorization:
    """As ZaikioOAuth.start_device_authorization."""
    return await default().start_device_authorization(client_name, scopes)


async def verify_bearer_token(token: str) -> BearerToken:
    """As ZaikioOAuth.verify_bearer_token."""
    return await default().verify_bearer_token(token)


async def cleanup_access_tokens() -> int:
    """As ZaikioOAuth.cleanup_access_tokens."""
    return await default().cleanup_access_tokens()


async def rotate_encryption_keys() -> int:
    """As ZaikioOAuth.rotate_encryption_keys."""
    return await default().rotate_encryption_keys()
