"""What ``with_auth`` returns: a context manager around code that uses a token, async or not."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack, ExitStack, contextmanager
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
        self._async_hooks = AsyncExitStack()
        self._hooks = ExitStack()

    async def __aenter__(self) -> AccessToken:
        with self._entering():
            access_token = await self._find()
            around = self._around(access_token)
            if isinstance(around, AbstractAsyncContextManager):
                await self._async_hooks.enter_async_context(around)
            elif around is not None:
                self._async_hooks.enter_context(around)
        return access_token

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._entered = False
        return await self._async_hooks.__aexit__(kind, error, traceback)

    def __enter__(self) -> AccessToken:
        portal.refuse_running_loop("async with")
        with self._entering():
            access_token = portal.call(self._find)
            around = self._around(access_token)
            if isinstance(around, AbstractContextManager):
                self._hooks.enter_context(around)
            elif around is not None:
                self._hooks.enter_context(portal.entered(around))
        return access_token

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._entered = False
        return self._hooks.__exit__(kind, error, traceback)

    @contextmanager
    def _entering(self) -> Iterator[None]:
        if self._entered:
            raise RuntimeError("This with_auth(…) is entered already; call with_auth() anew for each body.")
        self._entered = True
        try:
            yield
        except BaseException:
            self._entered = False
            raise

    def _around(
        self, access_token: AccessToken
    ) -> AbstractAsyncContextManager[Any] | AbstractContextManager[Any] | None:
        around_auth = self._around_auth()
        return around_auth(access_token) if around_auth else None
