"""What the browser's side needs of a ZaikioOAuth object, and no more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.resource_server.bearer_token import BearerToken
from zaikio_oauth.settings import Settings
from zaikio_oauth.store.encryption import Cipher
from zaikio_oauth.tokens.issuance import Issuance
from zaikio_oauth.tokens.token_manager import TokenManager
from zaikio_oauth.web.session import LoginError

__all__ = ["Hooks", "Parts"]

Target = str | Response | None
AfterApprove = Callable[[Request, AccessToken, str | None], Target | Awaitable[Target]]
AfterDestroy = Callable[[Request, str | None], Target | Awaitable[Target]]
OnError = Callable[[Request, LoginError], Target | Awaitable[Target]]
VerifyState = Callable[[Request, str], bool | Awaitable[bool]]
Locale = Callable[[Request], str | None]


@dataclass(frozen=True, slots=True)
class Hooks:
    """The app's own steps, sync or async. Where one gives None, what happens without it happens."""

    after_approve: AfterApprove | None = None
    after_destroy: AfterDestroy | None = None
    on_error: OnError | None = None
    verify_state: VerifyState | None = None
    locale: Locale | None = None


class Parts(Protocol):
    """A ZaikioOAuth object as its routes and dependencies see it."""

    @property
    def settings(self) -> Settings:
        """The settings."""

    @property
    def hooks(self) -> Hooks:
        """The app's own steps."""

    @property
    def flow_cipher(self) -> Cipher:
        """What seals the flows in the browser."""

    @property
    def current_client_name(self) -> str:
        """The default client in this context."""

    def opened(self) -> AbstractAsyncContextManager[object]:
        """Connected while the body runs."""

    async def mark_revoked(self, jtis: Collection[str]) -> None:
        """Refuse the tokens of these ids from now on."""

    async def tokens(self) -> TokenManager:
        """The token manager of the running event loop, opened."""

    async def issuance(self) -> Issuance:
        """What gets new tokens."""

    async def verify_bearer_token(self, token: str) -> BearerToken:
        """What a token says that came in."""


async def called(hook: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a hook, awaited where it is a coroutine."""
    result = hook(*arguments)
    return await result if isinstance(result, Awaitable) else result
