"""What ``with_auth`` returns: a context manager around code that uses a token, async or not."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack, ExitStack
from types import TracebackType
from typing import Any

from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.tokens.blocking_portal import portal

__all__ = ["AroundAuth", "AuthContext"]

AroundAuth = Callable[[AccessToken], AbstractAsyncContextManager[Any] | AbstractContextManager[Any]]


class AuthContext(AbstractAsyncContextManager[AccessToken], AbstractContextManager[AccessToken]):
    """Gives an access token to the body of ``async with`` or ``with``, inside the hook ``around_auth``.

    In ``with``, a sync hook is entered in the calling thread; an async one is entered on the blocking portal, and the
    context variables that it sets are set in the body.
    """

    def __init__(
        self, find: Callable[[], Coroutine[Any, Any, AccessToken]], around_auth: Callable[[], AroundAuth | None]
    ) -> None:
        self._find = find
        self._around_auth = around_auth
        self._entered = False
        # Most apps have no hook, and nothing is made for them.
        self._async_hooks: AsyncExitStack | None = None
        self._hooks: ExitStack | None = None

    async def __aenter__(self) -> AccessToken:
        self._enter()
        try:
            access_token = await self._find()
            if (around := self._around(access_token)) is not None:
                self._async_hooks = AsyncExitStack()
                if isinstance(around, AbstractAsyncContextManager):
                    await self._async_hooks.enter_async_context(around)
                else:
                    self._async_hooks.enter_context(around)
        except BaseException:
            self._entered = False
            raise
        return access_token

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._entered = False
        hooks, self._async_hooks = self._async_hooks, None
        return await hooks.__aexit__(kind, error, traceback) if hooks else None

    def __enter__(self) -> AccessToken:
        portal.refuse_running_loop("async with")
        self._enter()
        try:
            access_token = portal.call(self._find)
            if (around := self._around(access_token)) is not None:
                self._hooks = ExitStack()
                if isinstance(around, AbstractContextManager):
                    self._hooks.enter_context(around)
                else:
                    self._hooks.enter_context(portal.entered(around))
        except BaseException:
            self._entered = False
            raise
        return access_token

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._entered = False
        hooks, self._hooks = self._hooks, None
        return hooks.__exit__(kind, error, traceback) if hooks else None

    def _enter(self) -> None:
        if self._entered:
            raise RuntimeError("This with_auth(…) is entered already; call with_auth() anew for each body.")
        self._entered = True

    def _around(
        self, access_token: AccessToken
    ) -> AbstractAsyncContextManager[Any] | AbstractContextManager[Any] | None:
        around_auth = self._around_auth()
        return around_auth(access_token) if around_auth else None
