"""Real processes of one app: started, asked over HTTP, stopped, killed."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from tests.data import KEY, SECRET, some_client
from tests.faults.stage import stored_in
from tests.visitor import NO_CERTIFICATES, Visitor
from zaikio_oauth.testing import HubApp, HubServer, LocalHub

ROOT = Path(__file__).parents[2]


def clean_environment(**changes: str) -> dict[str, str]:
    """Return the environment without the settings of a developer."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ZAIKIO_")}
    return {**kept, "PYTHONPATH": str(ROOT), **changes}


class Process:
    """One process of the app, and browsers that visit it."""

    def __init__(self, settings: dict[str, Any], port: int, environment: dict[str, str]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.server", json.dumps({"settings": settings, "port": port})],
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

    async def work(self) -> dict[str, Any]:
        """Return what a worker of that process gets for the person."""
        return (await self.get(f"/jobs/Person/{self.person}")).json()


class Installation:
    """A Hub, a database, and processes of an app that share both."""

    def __init__(self, hub: LocalHub, hub_url: str, database_url: str) -> None:
        self.hub = hub
        self._settings: dict[str, Any] = {
            "host": hub_url,
            "database_url": database_url,
            "encryption_keys": [KEY],
            "auto_migrate": True,
            "clients": {"warehouse": some_client()},
        }
        self._processes: list[Process] = []
        self._browsers: list[BrowserOverHttp] = []

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return self._settings

    def start(self, count: int = 1, **environment: str) -> list[Process]:
        """Start processes and return them when they listen."""
        started = [Process(self._settings, self._free_port(), clean_environment(**environment)) for _ in range(count)]
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
    with HubServer(hub) as server:
        installed = Installation(hub, server.url, database_url)
        try:
            yield installed
        finally:
            await installed.end()
