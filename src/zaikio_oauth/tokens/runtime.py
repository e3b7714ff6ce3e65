"""What a ZaikioOAuth runs on: its settings, its default client, and what each event loop has open."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.access_token import BearerType
from zaikio_oauth.errors import StoreUnavailableError
from zaikio_oauth.hub.syntax import is_bearer_id
from zaikio_oauth.settings import Settings
from zaikio_oauth.settings.retries_and_waits import DATABASE_DEADLINE, LONGEST_DATABASE_BACKOFF, MIGRATION_TIMEOUT
from zaikio_oauth.settings.setting_warnings import setting_warnings
from zaikio_oauth.store.access_tokens import TokenSearch
from zaikio_oauth.store.single_flight import Patience
from zaikio_oauth.tokens.background import Background
from zaikio_oauth.tokens.parts import Parts, open_parts
from zaikio_oauth.tokens.telemetry import Listener, Telemetry

__all__ = ["Runtime"]

log = logging.getLogger("zaikio_oauth")


# A fork waits for whoever reads settings: a lock that another thread holds would stay locked in the child.
_reading = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_reading.acquire, after_in_parent=_reading.release, after_in_child=_reading.release)


class Configuration:
    """Settings and what belongs to them. The environment is read when the settings are first needed."""

    def __init__(
        self, settings: Settings | None, on_token_event: Listener | None, engine_options: Mapping[str, Any] | None
    ) -> None:
        self._settings: Settings | None = None
        self._given = settings
        self.client_name: ContextVar[str | None] = ContextVar("zaikio_oauth_client_name", default=None)
        self.telemetry: Telemetry = Telemetry(on_token_event)
        self.engine_options: dict[str, Any] = dict(engine_options or {})

    @property
    def settings(self) -> Settings:
        if self._settings is None:
            with _reading:
                if self._settings is None:
                    self._settings = self._read()
        return self._settings

    @property
    def read(self) -> Settings | None:
        """The settings, unless nobody has needed them yet."""
        return self._settings or self._given

    def _read(self) -> Settings:
        settings = self._given or Settings()
        for warning in setting_warnings(settings):
            log.warning("%s", warning.text, extra={"zaikio_event": warning.key})
        return settings


class Runtime:
    """Opens what a call needs, once per event loop, and closes it when the last user has left or the loop ends."""

    def __init__(self) -> None:
        self.configuration: Configuration = Configuration(None, None, None)
        self.background: Background = Background()
        # Connections belong to the event loop that opened them. A list, because those who are inside while the
        # configuration changes keep what they have until they leave.
        self._opened: dict[asyncio.AbstractEventLoop, list[_Opened]] = {}
        self._users: Counter[asyncio.AbstractEventLoop] = Counter()

    def configure(
        self, settings: Settings | None, on_token_event: Listener | None, engine_options: Mapping[str, Any] | None
    ) -> None:
        """Use these settings, or those of the environment, from the next call on."""
        self.configuration = Configuration(settings, on_token_event, engine_options)

    @property
    def settings(self) -> Settings:
        """The settings; raises ConfigurationError if they have to be read now and are wrong."""
        return self.configuration.settings

    @property
    def settings_read(self) -> Settings | None:
        """The settings, unless nobody has needed them yet."""
        return self.configuration.read

    @property
    def client_name(self) -> str:
        """The client used if none is named: that of ``with_client``, else the default one of the settings."""
        return self.configuration.client_name.get() or self.settings.default_client

    @contextmanager
    def with_client(self, client_name: str) -> Iterator[None]:
        """Make this the default client in the current context; raises UnknownClientError."""
        configuration = self.configuration
        configuration.settings.client(client_name)
        reset = configuration.client_name.set(client_name)
        try:
            yield
        finally:
            configuration.client_name.reset(reset)

    def checked_client_name(self, client_name: str | None, bearer_type: str) -> str:
        """Return the client's name, by default ``client_name``.

        Raises UnknownClientError, and ValueError for a type of bearers that does not exist.
        """
        if bearer_type not in ("Person", "Organization"):
            raise ValueError(f"bearer_type has to be 'Person' or 'Organization', not {bearer_type!r}")
        name = client_name or self.client_name
        self.settings.client(name)
        return name

    def search(
        self, client_name: str | None, bearer_type: BearerType, bearer_id: str, scopes: str | Iterable[str] | None
    ) -> TokenSearch:
        """Return what to look for; None means the default client or its scopes.

        Raises UnknownClientError, ConfigurationError for scopes of another bearer, and ValueError or TypeError for a
        bearer that cannot exist.
        """
        name = self.checked_client_name(client_name, bearer_type)
        if not isinstance(bearer_id, str):
            raise TypeError(f"bearer_id has to be a str, not {type(bearer_id).__name__}")
        if not is_bearer_id(bearer_id):
            # It becomes part of the requested scopes and must not be able to add further ones.
            raise ValueError("bearer_id may contain only letters, digits, - and _, from 1 to 255 of them")
        client = self.settings.client(name)
        if scopes is None:
            configured = client.scopes_for(bearer_type)
            # On behalf of an organization a person acts only where they log in.
            own = tuple(each for each in configured if not scope_rules.prefix_of(each).startswith("Per>"))
            return TokenSearch(name, bearer_type, bearer_id, own)
        return TokenSearch(name, bearer_type, bearer_id, scope_rules.of_bearer(scopes, bearer_type, bearer_id))

    def patience(self, seconds: float) -> Patience:
        """Return the patience of a caller who waits so long in all, for ``use`` and for what is done inside it."""
        return Patience(seconds)

    def use(self, configuration: Configuration | None = None, *, patience: Patience | None = None) -> _Use:
        """Return an async context manager for one call, which gives the Parts and keeps them open until it ends.

        The parts are of this configuration, or of the present one. If they have to be opened, the call waits for that
        as long as its ``patience`` lasts, by default HUB_DEADLINE, and then raises StoreUnavailableError.
        """
        return _Use(self, configuration, patience)

    def opened_parts(self) -> Parts | None:
        """Return the parts of the present configuration if this event loop has them open, for a look without awaits."""
        opened = self._find_opened(self.configuration)
        return None if opened is None else opened.parts

    async def enter(self) -> None:
        """Keep open what this event loop opens until ``leave``.

        A database that may come up is waited for. Raises ConfigurationError, and StoreUnavailableError if it does not.
        """
        # Counted first, so that nobody who leaves meanwhile closes what is being opened.
        self._users[asyncio.get_running_loop()] += 1
        try:
            await self._open_when_up()
        except BaseException:
            await self.leave()
            raise

    async def _open_when_up(self) -> None:
        started = time.monotonic()
        while True:
            try:
                # It may have to migrate, or to wait for another process that does.
                async with self.use(patience=Patience(MIGRATION_TIMEOUT)) as parts:
                    parts.changes.needed()
                    return parts.revocation_list.needed()
            except StoreUnavailableError as error:
                elapsed = time.monotonic() - started
                if elapsed > DATABASE_DEADLINE - LONGEST_DATABASE_BACKOFF:
                    raise StoreUnavailableError(error.reason, elapsed=elapsed, database=error.database) from None
            # An app and its database are often started together.
            await asyncio.sleep(LONGEST_DATABASE_BACKOFF)

    async def leave(self) -> None:
        """Close everything that this event loop has open, unless somebody else has entered and not yet left."""
        loop = asyncio.get_running_loop()
        self._users[loop] -= 1
        if self._users[loop] <= 0:
            del self._users[loop]
            # With what is open, which it needs.
            await self.background.finish()
            # A stack closes all of it, also if one is interrupted.
            async with AsyncExitStack() as closing:
                for opened in self._opened.pop(loop, []):
                    closing.push_async_callback(opened.aclose)

    @asynccontextmanager
    async def entered(self) -> AsyncIterator[Parts]:
        """Keep open what the body needs; raises what ``enter`` raises."""
        await self.enter()
        try:
            async with self.use() as parts:
                yield parts
        finally:
            await self.leave()

    def open_here(self, configuration: Configuration | None) -> _Opened:
        """Return what the running event loop has open for the configuration; start opening it if necessary."""
        wanted = configuration or self.configuration
        opened = self._find_opened(wanted)
        if opened is None:
            opened = _Opened(wanted, on_close=self._forget)
            self._opened.setdefault(asyncio.get_running_loop(), []).append(opened)
        return opened

    def _find_opened(self, configuration: Configuration) -> _Opened | None:
        for opened in self._opened.get(asyncio.get_running_loop(), ()):
            if opened.configuration is configuration:
                return opened
        return None

    def _forget(self, closing: _Opened) -> None:
        loop = asyncio.get_running_loop()
        left = [opened for opened in self._opened.pop(loop, []) if opened is not closing]
        if left:
            self._opened[loop] = left


class _Use:
    """One call that uses the parts. A class, because every page view goes through it."""

    __slots__ = ("_configuration", "_opened", "_patience", "_runtime")

    def __init__(self, runtime: Runtime, configuration: Configuration | None, patience: Patience | None) -> None:
        self._runtime = runtime
        self._configuration = configuration
        self._patience = patience

    async def __aenter__(self) -> Parts:
        self._opened = opened = self._runtime.open_here(self._configuration)
        opened.calls += 1
        try:
            return opened.parts or await opened.wait(self._patience or Patience())
        except BaseException:
            opened.end_call()
            raise

    async def __aexit__(self, *error: object) -> None:
        self._opened.end_call()


class _Opened:
    """The parts of one event loop, how many calls are using them, and the stack that closes them."""

    def __init__(self, configuration: Configuration, on_close: Callable[[_Opened], None]) -> None:
        self.configuration = configuration
        self.parts: Parts | None = None
        self.calls: int = 0
        self._on_close = on_close
        self._idle = asyncio.Event()
        self._lifetime = self._from_open_to_close()
        self._opening = asyncio.get_running_loop().create_task(self._open())
        # Marks an exception as retrieved: every caller may have gone away meanwhile.
        self._opening.add_done_callback(lambda opening: opening.cancelled() or opening.exception())

    async def wait(self, patience: Patience) -> Parts:
        """Return the parts once they are open; raises ConfigurationError or StoreUnavailableError."""
        # Not awaited, because several callers wait for the same opening, which goes on without them.
        if not await patience.wait(self._opening):
            raise StoreUnavailableError("it has not been opened in time", elapsed=patience.elapsed)
        return self._opening.result()

    def end_call(self) -> None:
        """Note that a call has ended."""
        self.calls -= 1
        if not self.calls:
            self._idle.set()

    async def aclose(self) -> None:
        """Wait until all calls have ended, then close everything."""
        await asyncio.wait([self._opening])
        if self.parts is not None:
            await self._lifetime.__aexit__(None, None, None)

    async def _open(self) -> Parts:
        try:
            self.parts = await self._lifetime.__aenter__()
        except BaseException:
            # The next call tries again.
            self._on_close(self)
            raise
        return self.parts

    # An event loop closes its open asynchronous generators when it ends. So this also closes what a script has opened,
    # which never enters or leaves.
    @asynccontextmanager
    async def _from_open_to_close(self) -> AsyncIterator[Parts]:
        async with AsyncExitStack() as stack:
            configuration = self.configuration
            parts = await open_parts(
                stack, configuration.settings, configuration.telemetry, configuration.engine_options
            )
            stack.push_async_callback(self._last_call)
            # From now on a new call opens new parts.
            stack.callback(self._on_close, self)
            yield parts

    async def _last_call(self) -> None:
        while self.calls:
            self._idle.clear()
            await self._idle.wait()
