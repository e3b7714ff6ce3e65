"""Real processes of one app: started, asked over HTTP, stopped, killed."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from tests.data import KEY, SECRET, some_client
from tests.faults.stage import WEBHOOK_SECRET, stored_in
from tests.tokens.due_tokens import age, let_refresh_token_die
from tests.visitor import NO_CERTIFICATES, Visitor
from zaikio_oauth import Settings, ZaikioOAuth
from zaikio_oauth.testing import HubApp, HubServer, LocalHub

ROOT = Path(__file__).parents[2]


def clean_environment(**changes: str) -> dict[str, str]:
    """Return the environment without the settings of a developer."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ZAIKIO_")}
    return {**kept, "PYTHONPATH": str(ROOT), **changes}


class Process:
    """One process of the app, and browsers that visit it."""

    def __init__(self, settings: dict[str, Any], port: int, notes: Path, environment: dict[str, str]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        order = {"settings": settings, "port": port, "notes": str(notes)}
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.server", json.dumps(order)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said = ""

    def wait_until_ready(self) -> None:
        """Return when it listens."""
        assert self._popen.stdout is not None
        line = self._popen.stdout.readline()
        if line != "ready\n":
            self.end()
            raise AssertionError(self.said)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._popen.send_signal(number)

    def end(self, number: signal.Signals | None = signal.SIGKILL) -> int:
        """Send it a signal, wait for its end, and return its exit status. ``said`` is what it wrote to stderr."""
        if number is not None:
            self._popen.send_signal(number)
        _, self.said = self._popen.communicate(timeout=60)
        return self._popen.returncode

    @property
    def running(self) -> bool:
        """True until it has ended."""
        return self._popen.poll() is None


class BrowserOverHttp(Visitor):
    """A browser whose app is in another process. It is added to ``opened``, so that somebody closes it."""

    def __init__(self, url: str, opened: list[BrowserOverHttp]) -> None:
        self._opened = opened
        opened.append(self)
        self.app = httpx2.AsyncClient(base_url=url, timeout=70, verify=NO_CERTIFICATES)
        self.hub = httpx2.AsyncClient(verify=NO_CERTIFICATES)
        self.person = ""

    @property
    def session(self) -> dict[str, Any]:
        """The part of the session cookie that the browser can read."""
        cookie = self.app.cookies.get("session")
        return json.loads(base64.b64decode(cookie.partition(".")[0])) if cookie and cookie != "null" else {}

    def at(self, process: Process) -> BrowserOverHttp:
        """Return the same browser at another process of the app, as a load balancer sends it there."""
        other = BrowserOverHttp(process.url, self._opened)
        self.copy_cookies_to(other)
        other.person = self.person
        return other

    async def page(self) -> tuple[int, str | None]:
        """Return the status of a page view, and the id of the grant that it shows."""
        response = await self.get("/me")
        return response.status_code, response.json().get("id")

    @property
    def grant(self) -> str:
        """The id of the grant in the session."""
        return self.session["zaikio_access_token_id"]

    async def keep_alive(self) -> int:
        """Run the daily job in that process, and return how many connections it has refreshed."""
        return (await self.get("/keep-alive")).json()

    async def health(self) -> str:
        """Return the health of this person's connection."""
        return (await self.get("/connections")).json()[self.person]

    async def work(self) -> dict[str, Any]:
        """Return what a worker of that process gets for the person."""
        return (await self.get(f"/jobs/Person/{self.person}")).json()


class Installation:
    """A Hub, a database, and processes of an app that share both."""

    def __init__(self, hub: LocalHub, hub_url: str, database_url: str, folder: Path) -> None:
        self.hub = hub
        self._notes = folder / "notes"
        self._settings: dict[str, Any] = {
            "host": hub_url,
            "database_url": database_url,
            "encryption_keys": [KEY],
            "auto_migrate": True,
            "clients": {"warehouse": some_client(webhook_secret=WEBHOOK_SECRET)},
        }
        self._processes: list[Process] = []
        self._browsers: list[BrowserOverHttp] = []

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return self._settings

    def start(self, count: int = 1, **environment: str) -> list[Process]:
        """Start processes and return them when they listen."""
        given = clean_environment(**environment)
        started = [Process(self._settings, self._free_port(), self._notes, given) for _ in range(count)]
        self._processes += started
        for process in started:
            process.wait_until_ready()
        return started

    async def end(self) -> None:
        """Close the browsers and kill what is still running."""
        for browser in self._browsers:
            await browser.aclose()
        for process in self._processes:
            if process.running:
                process.send(signal.SIGCONT)
                process.end()

    def _free_port(self) -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        # The Hub sends browsers back to registered addresses only.
        app = HubApp.for_client("warehouse", "warehouse-id", SECRET, base_urls=[f"http://127.0.0.1:{port}"])
        known = self.hub.apps[0].redirect_uris
        self.hub.apps[:1] = [HubApp("warehouse", "warehouse-id", SECRET, (*known, *app.redirect_uris))]
        return port

    async def log_in(self, process: Process, lifetime: float = 3600.0) -> BrowserOverHttp:
        """Return the browser of a new person who has logged in, with a token that lives that long."""
        person = self.hub.add_person("Some", "Body", "somebody@example.com")
        self.hub.auto_consent(person_id=person.id)
        self.hub.access_token_lifetime = lifetime
        browser = BrowserOverHttp(process.url, self._browsers)
        await browser.log_in(force_login="true")
        self.hub.access_token_lifetime = 3600.0
        browser.person = person.id
        return browser

    async def log_in_long_ago(self, process: Process) -> tuple[BrowserOverHttp, BrowserOverHttp]:
        """Return two new browsers: the token of one is due, the refresh token of the other dies within a day."""
        due, dying = await self.log_in(process), await self.log_in(process)
        async with ZaikioOAuth(Settings(**self._settings)) as zaikio:
            token = await zaikio.find_active_access_token(due.grant)
            assert token is not None
            await age(zaikio, token, left=600)
            await let_refresh_token_die(zaikio, dying.grant, in_seconds=12 * 3600)
        return due, dying

    async def deliver(self, browser: BrowserOverHttp, event_id: str, *, seconds: float = 0.0) -> int:
        """Deliver an event, with which the hook deals for so many seconds; return the status of the response."""
        body, headers = self.hub.event(
            "zaikio.site_added", WEBHOOK_SECRET, subject_id="a", event_id=event_id, payload={"seconds": seconds}
        )
        return (await browser.app.post("/zaikio/webhook", content=body, headers=headers)).status_code

    async def delivered(self, browser: BrowserOverHttp, event_id: str, *, seconds: float = 30.0) -> None:
        """Deliver an event again and again until it is taken."""
        async with asyncio.timeout(seconds):
            while await self.deliver(browser, event_id) != 200:
                await asyncio.sleep(0.3)

    def noted(self, event_id: str) -> list[str]:
        """Return what the hooks of all processes have noted of an event."""
        notes = self._notes.read_text().splitlines() if self._notes.exists() else []
        return [note.partition(" ")[0] for note in notes if note.endswith(f" {event_id}")]

    async def stored(self) -> set[str]:
        """Return the ids of the tokens in the database."""
        return await stored_in(self._settings["database_url"])

    def issued(self, bearer_id: str) -> list[Any]:
        """Return the tokens that the Hub has issued to this bearer, the oldest first."""
        return [token for token in list(self.hub.grants._tokens.values()) if token.bearer.id == bearer_id]


@asynccontextmanager
async def installation(database_url: str) -> AsyncIterator[Installation]:
    """Yield an app without a process yet."""
    hub = LocalHub([HubApp("warehouse", "warehouse-id", SECRET)])
    with HubServer(hub) as server, tempfile.TemporaryDirectory() as folder:
        installed = Installation(hub, server.url, database_url, Path(folder))
        try:
            yield installed
        finally:
            await installed.end()
