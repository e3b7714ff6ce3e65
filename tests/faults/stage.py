"""The stage on which a fault is played: a Hub, an app, a database, and what is left behind at the end."""

import asyncio
import gc
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Security
from sqlalchemy import make_url, text
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import create_async_engine

from tests.apps import small_app
from tests.data import KEY, OTHER_KEY, SECRET, some_client
from tests.faults.lateness import Lateness
from tests.visitor import BASE_URL, Visitor
from zaikio_oauth import BearerToken, HubEvent, Settings, StoreUnavailableError, ZaikioOAuth
from zaikio_oauth.testing import HubApp, LocalHub

T = TypeVar("T")

WEBHOOK_SECRET = "shared-with-loom"
CATALOG = "warehouse.catalog.r"
DELEGABLE = ["zaikio.delegations.rw", "zaikio.sites.r"]
HUB_SECONDS = 1.5
"""How long the Hub takes, so that a fault can begin while it is asked."""


def a_hub() -> LocalHub:
    """Return a Hub with the client ``warehouse``, and a subsystem to which it may delegate."""
    warehouse = HubApp.for_client("warehouse", "warehouse-id", SECRET, base_urls=[BASE_URL])
    return LocalHub([warehouse, HubApp.for_client("plate-setter", "setter-id", "its-own-secret")], device_interval=1)


def settings_for(hub_url: str, database_url: str, **changes: Any) -> Settings:
    """Return settings for that Hub. New texts are encrypted with another key than that of ``first_keys``."""
    values: dict[str, Any] = {
        "host": hub_url,
        "database_url": database_url,
        "encryption_keys": [OTHER_KEY, KEY],
        "auto_migrate": True,
        "clients": {"warehouse": some_client(webhook_secret=WEBHOOK_SECRET)},
    }
    return Settings(**values | changes)


class Stage:
    """What the operations play on: one ZaikioOAuth and its app, a Hub, and a way around the fault to the database."""

    def __init__(self, hub: LocalHub, hub_url: str, database_url: str, direct_url: str) -> None:
        self.hub = hub
        self.settings = settings_for(hub_url, database_url)
        self.direct_settings = settings_for(hub_url, direct_url, encryption_keys=[KEY])
        self.zaikio = ZaikioOAuth(self.settings, on_event=self._on_event)
        self.app = app_of(self.zaikio)
        self.consenting = asyncio.Lock()
        self.lateness = Lateness()
        self.deal_with: dict[str, Callable[[], Awaitable[None]]] = {}
        """Id of an event of the Hub: what the hook does when it hears of it."""

    async def _on_event(self, event: HubEvent) -> None:
        if deal := self.deal_with.get(event.id):
            await deal()

    def visitor(self) -> Visitor:
        """Return a browser of its own."""
        return Visitor(self.app)

    def somebody(self) -> str:
        """Return the id of a new person at the Hub, who grants everything."""
        person = self.hub.add_person("Some", "Body", "somebody@example.com")
        self.hub.auto_consent(person_id=person.id)
        return person.id

    def some_organization(self, scopes: list[str]) -> str:
        """Return the id of a new organization at the Hub, which has granted these scopes."""
        owner = self.hub.people[0].id
        organization = self.hub.add_organization("Some Print", owner)
        self.hub.grant("warehouse-id", "Organization", organization.id, scopes)
        return organization.id

    def issued(self, bearer_id: str) -> list[Any]:
        """Return the tokens that the Hub has issued to this bearer, the oldest first."""
        return [token for token in list(self.hub.grants._tokens.values()) if token.bearer.id == bearer_id]

    def assert_issued(self, bearer_id: str, count: int) -> None:
        """Fail unless the Hub has issued so many tokens to this bearer."""
        issued = [f"{token.jti} until {token.expires_at:.1f}" for token in self.issued(bearer_id)]
        assert len(issued) == count, f"{len(issued)} tokens were issued, not {count}: {issued}"

    async def stored(self) -> set[str]:
        """Return the ids of the tokens in the database."""
        return await stored_in(self.direct_settings.database_url)

    async def query(self, statement: str) -> list[Any]:
        """Return the rows of a statement, by a connection of its own that no fault touches."""
        return await query(self.direct_settings.database_url, statement)

    async def connections(self) -> int:
        """Return how many connections the library has open to PostgreSQL."""
        if self.settings.sqlite:
            return 0
        ((count,),) = await self.query(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return count

    async def kept_or_revoked(self, bearer_id: str) -> None:
        """Fail unless the newest token that the Hub gave this bearer is stored, or is revoked at the Hub."""

        async def safe() -> None:
            issued = self.issued(bearer_id)
            newest = issued[-1].jti if issued else None
            safe = await self.stored() | set(self.hub.grants.revoked()) | {None}
            assert newest in safe, "what the Hub gave is lost"

        await eventually(safe)


async def query(database_url: str, statement: str) -> list[Any]:
    """Return the rows of a statement."""
    url = make_url(database_url)
    if url.drivername == "sqlite":
        url = url.set(drivername="sqlite+aiosqlite")
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            return list((await connection.execute(text(statement))).all())
    finally:
        await engine.dispose()


async def stored_in(database_url: str) -> set[str]:
    """Return the ids of the tokens that are stored and not revoked."""
    rows = await query(database_url, "SELECT jti FROM zaikio_access_tokens WHERE revoked_at IS NULL")
    return {jti for (jti,) in rows}


async def eventually(check: Callable[[], Awaitable[Any]], seconds: float = 45.0) -> None:
    """Repeat the check until it passes, less and less often; fail with its last failure."""
    until = time.monotonic() + seconds
    pause = 0.1
    while True:
        try:
            return await check()
        # After a fault everybody wants connections at once.
        except (AssertionError, StoreUnavailableError, PoolTimeoutError):
            if time.monotonic() > until:
                raise
        await asyncio.sleep(pause)
        pause = min(2.0, pause * 1.5)


async def in_a_thread(call: Callable[[], T]) -> T:
    """Return what it gives in a thread of its own: those of the event loop are few, and the faults need them."""
    called: Future[T] = Future()
    # Whoever no longer waits cannot stop it.
    called.set_running_or_notify_cancel()

    def run() -> None:
        try:
            called.set_result(call())
        except BaseException as error:
            called.set_exception(error)

    threading.Thread(target=run).start()
    return await asyncio.wrap_future(called)


def app_of(zaikio: ZaikioOAuth) -> FastAPI:
    """Return the small app of all tests, with an API for other apps."""
    app = small_app(zaikio)

    @app.get("/catalog")
    async def catalog(token: Annotated[BearerToken, Security(zaikio.bearer_token, scopes=[CATALOG])]) -> str:
        return token.subject_id

    return app


@contextmanager
def nothing_left_behind() -> Iterator[list[str]]:
    """Yield a list; at the end, add to it what was left behind: tasks, database files, complaints of asyncio."""
    complaints: list[str] = []
    found = _Complaints()
    logging.getLogger("asyncio").addHandler(found)
    tasks, handles = asyncio.all_tasks(), _handles()
    try:
        yield complaints
    finally:
        gc.collect()
        logging.getLogger("asyncio").removeHandler(found)
        complaints += found.heard
        complaints += [f"a task is left: {task.get_coro()}" for task in asyncio.all_tasks() - tasks]
        until = time.monotonic() + 3
        while (left := _handles() - handles) and time.monotonic() < until:
            time.sleep(0.05)
        if left:
            complaints.append(f"open files are left: {left}")


class _Complaints(logging.Handler):
    """Hears what asyncio says about exceptions that nobody has retrieved, and about tasks that were destroyed."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # asyncpg forgets a future of its own if it is interrupted while it connects, also without any code of ours.
        if "unexpected connection_lost() call" not in record.getMessage():
            self.heard.append(record.getMessage())


def _handles() -> set[str]:
    """Return the database files that this process has open. Sockets are counted at the other end."""
    folder = Path("/proc/self/fd")
    opened = set()
    for handle in folder.iterdir() if folder.is_dir() else ():
        with suppress(OSError):
            opened.add(str(handle.readlink()))
    return {target for target in opened if ".db" in target}
