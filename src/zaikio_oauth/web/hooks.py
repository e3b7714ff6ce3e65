"""The app's own steps around a login, all of them optional."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.hub.event import HubEvent
from zaikio_oauth.web.session import LoginError

__all__ = ["AfterApprove", "AfterDestroy", "Hooks", "Locale", "OnError", "OnEvent", "VerifyState", "called"]

Target = str | Response | None
AfterApprove = Callable[[Request, AccessToken, str | None], Target | Awaitable[Target]]
AfterDestroy = Callable[[Request, str | None], Target | Awaitable[Target]]
OnError = Callable[[Request, LoginError], Target | Awaitable[Target]]
VerifyState = Callable[[Request, str], bool | Awaitable[bool]]
OnEvent = Callable[[HubEvent], object]
Locale = Callable[[Request], Awaitable[str | None] | str | None]


@dataclass(frozen=True, slots=True)
class Hooks:
    """The app's hooks, sync or async. If one returns None, what happens without it happens."""

    after_approve: AfterApprove | None = None
    after_destroy: AfterDestroy | None = None
    on_error: OnError | None = None
    verify_state: VerifyState | None = None
    locale: Locale | None = None
    on_event: OnEvent | None = None


async def called(hook: Callable[..., Any] | None, *arguments: Any) -> Any:
    """Return the result of a hook, awaited if it is async; None if there is no hook."""
    if hook is None:
        return None
    result = hook(*arguments)
    return await result if isinstance(result, Awaitable) else result
