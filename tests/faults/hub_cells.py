"""Plays every fault of a Hub with operations, all at once, and reports each cell that broke a promise, by name."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import resource
import shutil
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Security

from tests.apps import small_app
from tests.data import KEY, OTHER_KEY, SECRET
from tests.faults.faulty_hub import FaultyHub
from tests.faults.hub_faults import HubFault, faults
from tests.faults.lateness import Lateness
from tests.inside import parts_of
from tests.visitor import BASE_URL, NO_CERTIFICATES, Visitor
from zaikio_oauth import AccessToken, BearerToken, HubEvent, Settings, TokenEvent, ZaikioOAuth, ZaikioOAuthError
from zaikio_oauth.store.database import Database
from zaikio_oauth.testing import HubApp, HubServer, LocalHub

SLACK = 4.0
"""For a machine that is busy; on top of it comes how late the event loop was in all."""

MOST_REQUESTS = 45
"""What pauses of 0.1 to 5 seconds allow in half a minute, with room for what is asked afterwards."""

WEBHOOK_SECRET = "shared-with-loom"
CATALOG = "warehouse.catalog.r"
LOGGERS = ("zaikio_oauth", "httpx", "httpcore", "stamina", "aiosqlite", "asyncio")

OUTAGES = ("refuses connections", "hangs", "trickles a body", "503", "429, Retry-After: 3600", "huge", "302")
"""The faults that are played with what needs no Hub."""


class Stage:
    """What all cells share: the Hub behind their proxies, and who consents at it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lateness = Lateness()
        self.consent = asyncio.Lock()
        self.browser = httpx2.AsyncClient(verify=NO_CERTIFICATES, timeout=30)
        self.hub = LocalHub(
            [
                HubApp.for_client("warehouse", "warehouse-id", SECRET, base_urls=[BASE_URL]),
                HubApp.for_client("kiosk", "kiosk-id", None, base_urls=[BASE_URL]),
                HubApp.for_client("plate-setter", "setter-id", "its-own-secret"),
            ],
            device_interval=1,
            device_code_lifetime=90,
        )

    async def migrate(self) -> None:
        """Make the database that every cell begins with."""
        database = Database(f"sqlite+aiosqlite:///{self.folder}/template.db", [KEY])
        await database.open(auto_migrate=True)
        await database.aclose()

    def secrets(self) -> set[str]:
        """Return what must not be logged."""
        tokens = list(self.hub.grants._tokens.values())
        return {
            SECRET,
            KEY,
            OTHER_KEY,
            WEBHOOK_SECRET,
            *(token.token for token in tokens),
            *(token.refresh_token for token in tokens if token.refresh_token),
            *self.hub.grants._codes,
            *self.hub.grants._spent_codes,
        }

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Measure how late the event loop is while everything runs in it."""
        async with self.lateness.watched():
            try:
                yield
            finally:
                await self.browser.aclose()


class Cell:
    """One operation and one fault, with an app, a browser, a database and a way to the Hub of their own.

    A subclass is an operation: ``path`` is the part of the Hub that fails, ``limit`` how many seconds ``perform`` may
    take meanwhile, ``lifetime`` that of the access token with which a person is logged in before.
    """

    path = "/oauth/access_token"
    limit = 30.0
    lifetime = 3600.0
    urgent = False
    """Whether it has to play soon after it was set up."""

    pause = 0.0
    """How many seconds pass between ``prepare`` and ``perform``."""
    open_before = True
    on_event: Callable[[HubEvent], Awaitable[None]] | None = None

    def __init__(self, stage: Stage, fault: HubFault) -> None:
        self.stage = stage
        self.fault = fault
        self.name = f"{type(self).__name__} × {fault.name}"

    async def set_up(self, behind: str) -> None:
        """Start the proxy and the app, and prepare."""
        self.proxy = FaultyHub(behind)
        await self.proxy.listen()
        self._database = self.stage.folder / f"{id(self)}.db"
        shutil.copy(self.stage.folder / "template.db", self._database)
        self.settings = self.settings_with(KEY)
        self.told: list[TokenEvent] = []
        self.zaikio = ZaikioOAuth(
            self.settings,
            on_token_event=self.told.append,
            on_event=self.on_event,
            engine_options={"pool_size": 1, "max_overflow": 1},
        )
        if self.open_before:
            await self.zaikio.__aenter__()
        await self.prepare()

    def settings_with(self, *keys: str) -> Settings:
        """Return the settings of this cell's app, with these encryption keys."""
        client: dict[str, Any] = {
            "client_id": "warehouse-id",
            "client_secret": SECRET,
            "webhook_secret": WEBHOOK_SECRET,
        }
        client |= {"default_scopes": ["zaikio.person.r"], "organization_scopes": ["zaikio.organization.r"]}
        return Settings(
            host=self.proxy.url,
            database_url=f"sqlite:///{self._database}",
            encryption_keys=keys,
            auto_migrate=False,
            clients={"warehouse": client, "kiosk": {"client_id": "kiosk-id", "default_scopes": ["zaikio.person.r"]}},
        )

    @cached_property
    def visitor(self) -> Visitor:
        """The browser of a person who visits the app."""
        return _Visitor(app_of(self.zaikio), self.stage.browser)

    async def prepare(self) -> None:
        """Do, before the fault, what has to be done first."""

    async def perform(self) -> Any:
        """Do it while the fault lasts; a ZaikioOAuthError is an outcome like any other."""
        raise NotImplementedError

    async def recover(self) -> None:
        """Check, after the fault, that nothing is lost and that it works again."""

    async def play(self) -> str:
        """Perform during the fault, and recover after it."""
        await asyncio.sleep(self.pause)
        await self.proxy.begin(self.path, self.fault.play, unread=self.fault.unread)
        started, late = time.monotonic(), self.stage.lateness.total
        try:
            async with asyncio.timeout(self.limit + 90):
                outcome = str(await self.perform())
        except ZaikioOAuthError as error:
            outcome = f"{type(error).__name__}: {error}"
        finally:
            took, late = time.monotonic() - started, self.stage.lateness.total - late
            await self.proxy.end()
        asked = len(self.proxy.requests)
        await self.recover()
        assert took <= self.limit + SLACK + late, (
            f"took {took:.1f} s ({late:.1f} s late), not {self.limit:.0f}: {outcome}"
        )
        assert asked <= MOST_REQUESTS, f"{asked} requests to a Hub that fails"
        return f"{took:.1f} s, {asked} requests: {outcome}"

    async def tear_down(self) -> None:
        """Close everything, and check that no connection is left."""
        started, late = time.monotonic(), self.stage.lateness.total
        if "visitor" in self.__dict__:
            await self.visitor.aclose()
        if self.open_before:
            await self.zaikio.__aexit__(None, None, None)
        took, late = time.monotonic() - started, self.stage.lateness.total - late
        await asyncio.sleep(0.2)
        left = self.proxy.connections
        await self.proxy.close()
        assert took < 10 + late, f"closing took {took:.1f} s"
        assert not left, f"{left} connections are left"

    def kinds_told(self, *kinds: str) -> list[str]:
        """Return which of these kinds the listener of token events has heard of, in order."""
        return [event.kind for event in self.told if event.kind in kinds]

    async def log_in(self, client_name: str = "warehouse") -> str:
        """Log a new person in, and return the person's id."""
        person = self.stage.hub.add_person("Some", "Body", "somebody@example.com").id
        url = await self.visitor.start(f"/zaikio/{client_name}/sessions/new", force_login="true")
        async with self.stage.consent:
            self.stage.hub.auto_consent(person_id=person)
            self.stage.hub.access_token_lifetime = self.lifetime
            await self.visitor.get(await self.visitor.consent(url))
            self.stage.hub.access_token_lifetime = 3600.0
        assert "zaikio_access_token_id" in self.visitor.session, "the login failed"
        return person

    async def a_grant(self, client_name: str = "warehouse") -> AccessToken:
        """Return the token of a new person, which the app got by a code, without an app and a browser."""
        person = self.stage.hub.add_person("Some", "Body", "somebody@example.com").id
        given = {"redirect_uri": f"{BASE_URL}/zaikio/{client_name}/sessions/approve"}
        code = self.stage.hub.mint_code(f"{client_name}-id", person_id=person, scope="zaikio.person.r", **given)
        return await (await parts_of(self.zaikio)).issuance.authorization_code(
            client_name, code=code, code_verifier=None, requested_scopes="zaikio.person.r", **given
        )

    def an_organization(self, scopes: list[str]) -> str:
        """Return the id of a new organization that has granted these scopes."""
        organization = self.stage.hub.add_organization("Some Print", self.stage.hub.people[0].id)
        self.stage.hub.grant("warehouse-id", "Organization", organization.id, scopes)
        return organization.id


class _Visitor(Visitor):
    """A visitor whose way to the Hub is shared, because a client of its own would read all certificates anew."""

    def __init__(self, app: FastAPI, hub: httpx2.AsyncClient) -> None:
        self.app = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=BASE_URL)
        self.hub = hub

    async def aclose(self) -> None:
        await self.app.aclose()


def app_of(zaikio: ZaikioOAuth) -> FastAPI:
    """Return the small app of all tests, with an API for other apps."""
    app = small_app(zaikio)

    @app.get("/catalog")
    async def catalog(token: BearerToken = Security(zaikio.bearer_token, scopes=[CATALOG])) -> str:
        return token.subject_id

    return app


async def eventually(check: Callable[[], Awaitable[Any]], seconds: float = 20.0) -> Any:
    """Repeat the check until it passes; fail with its last failure."""
    until = time.monotonic() + seconds
    while True:
        try:
            return await check()
        except (AssertionError, ZaikioOAuthError):
            if time.monotonic() > until:
                raise
        await asyncio.sleep(0.3)


async def assert_promises_are_kept(
    operations: Iterable[type[Cell]], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Play every fault with every operation, and fail with one line for each cell that broke a promise."""
    for name in LOGGERS:
        caplog.set_level(logging.DEBUG, logger=name)
    # Each cell has a server, a database and connections.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (20_000 if most < 0 else min(most, 20_000), most))
    tasks = asyncio.all_tasks()
    stage = Stage(folder)
    await stage.migrate()
    broken: dict[str, str] = {}
    seen: dict[str, str] = {}
    thief = FaultyHub("http://127.0.0.1:9")
    await thief.listen()
    async with stage.watching():
        with HubServer(stage.hub) as server:
            cells = [
                kind(stage, fault)
                for fault in faults(thief.url)
                for kind in operations
                if kind.path != "/" or fault.name in OUTAGES
            ]
            cells.sort(key=lambda cell: cell.urgent, reverse=True)
            # The last one to be set up is the first one to play.
            await _for_each(cells[::-1], "before the fault", lambda cell: cell.set_up(server.url), broken, seen, 8)
            # Looking through all these apps again and again would stop the event loop for seconds.
            gc.collect()
            gc.freeze()
            await _for_each(cells, "", lambda cell: cell.play(), broken, seen, pause=0.03)
            gc.unfreeze()
            await _for_each(cells, "at the end", lambda cell: cell.tear_down(), broken, seen, 20)
    stolen = thief.accepted
    await thief.close()
    await asyncio.sleep(0.3)
    ours = [record for record in caplog.records if record.name.startswith(LOGGERS)]
    said = "\n".join(record.getMessage() + (record.exc_text or "") for record in ours)
    if leaked := _found_in(said, stage.secrets()):
        broken[f"{len(leaked)} secrets"] = "stand in the log"
    broken |= {record.getMessage(): "asyncio" for record in ours if record.name == "asyncio" and record.levelno >= 40}
    broken |= {f"task {task.get_coro()}": "is left" for task in asyncio.all_tasks() - tasks}
    if stolen:
        broken["redirects"] = f"were followed {stolen} times"
    table = [f"    {name}: {outcome}" for name, outcome in seen.items() if outcome != "None"]
    assert not broken, "\n".join(
        [f"{len(broken)} promises broken, the event loop was {stage.lateness.total:.1f} s late in all:"]
        + [f"{name}: {what}" for name, what in sorted(broken.items())]
        + table
    )


def _found_in(text: str, secrets: set[str]) -> set[str]:
    """Return which of the secrets are in the text, of which there are thousands, and many megabytes."""
    size = min(map(len, secrets))
    beginnings = {secret[:size] for secret in secrets}
    # Each line says the same again and again, so each word is looked at once.
    words = {word for word in set(re.split(r"[^\w.~+/=-]+", text)) if len(word) >= size}
    hit = [word for word in words if any(word[at : at + size] in beginnings for at in range(len(word) - size + 1))]
    return {secret for secret in secrets if any(secret in word for word in hit)}


async def _for_each(
    cells: list[Cell],
    when: str,
    call: Callable[[Cell], Awaitable[Any]],
    broken: dict[str, str],
    seen: dict[str, str],
    at_once: int = 1000,
    pause: float = 0.0,
) -> None:
    """Call it for all cells. They begin in order and not at the same instant, so that nobody waits for the event loop."""
    turn = asyncio.Semaphore(at_once)

    async def attempt(cell: Cell) -> None:
        name = f"{cell.name} {when}".strip()
        try:
            async with turn:
                seen[name] = str(await call(cell))
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            broken[name] = f"{type(error).__name__}: {str(error)[:300]} ({Path(where.filename).name}:{where.lineno})"

    begun = []
    for cell in cells:
        begun.append(asyncio.create_task(attempt(cell)))
        await asyncio.sleep(pause)
    await asyncio.gather(*begun)
