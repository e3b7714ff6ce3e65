"""What people, workers, Loom and cron do during the soak, and what they must never see."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2

from tests.soak.fleet import Fleet, Worker
from tests.visitor import NO_CERTIFICATES
from zaikio_oauth.testing import LocalHub

__all__ = ["Grant", "People"]

WEBHOOK_SECRET = "a-webhook-secret-of-the-soak"
PATIENCE = 60.0
"""No request may take longer than this, even if its process is stopped for a while."""


@dataclass
class Grant:
    """A login, and what we did to it."""

    id: str
    code: str
    logged_out_by: str | None = None
    """The worker that has said so."""
    perhaps: bool = False
    """A request to log out was cut off, so nobody knows."""
    out: bool = False
    """Somebody with this session was told that nobody is logged in."""
    cookies: dict[str, str] = field(default_factory=dict)


@dataclass
class People:
    """Everybody who sends requests."""

    hub: LocalHub
    fleet: Fleet
    random: random.Random
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    """The ids of the events that were answered with 200."""
    running: bool = True
    ended: float = 0.0

    async def ask(
        self, client: httpx2.AsyncClient, method: str, path: str, *, worker: Worker | None = None, **options: Any
    ) -> tuple[Worker, Any]:
        """Send a request to this worker, or to any; the response is None if the connection was cut."""
        worker = worker or self.fleet.any()
        try:
            async with asyncio.timeout(PATIENCE):
                response = await client.request(method, worker.url + path, **options)
        except (httpx2.HTTPError, OSError):
            self.counts["requests cut off"] += 1
            return worker, None
        except TimeoutError:
            self.wrong.append(f"no response to {method} {path} in {PATIENCE} s from {worker.name}")
            return worker, None
        self.counts[f"responses {response.status_code}"] += 1
        if response.status_code >= 500 and response.status_code != 503:
            self.wrong.append(f"{method} {path}: {response.status_code} {response.text[:200]}")
        return worker, response

    async def browse(self) -> None:
        """One browser: log in, look at pages, log out, log in again."""
        client, grant = httpx2.AsyncClient(timeout=None, verify=NO_CERTIFICATES), None
        while self.running:
            await asyncio.sleep(self.random.uniform(0.02, 0.3))
            dice = self.random.random()
            if grant is None or dice < 0.03:
                grant = await self.log_in(client, grant)
            elif dice < 0.08:
                await self.log_out(client, grant)
                grant = None
            else:
                grant = await self.page(client, grant)
            if grant is None:
                client.cookies.clear()
        await client.aclose()

    async def log_in(self, client: httpx2.AsyncClient, before: Grant | None) -> Grant | None:
        worker, response = await self.ask(client, "GET", "/zaikio/sessions/new", params={"force_login": "true"})
        if response is None or response.status_code != 302:
            return before
        async with httpx2.AsyncClient(timeout=PATIENCE, verify=NO_CERTIFICATES) as hub:
            # Whoever is asked at the Hub: it knows one person at a time who consents without a page.
            self.hub.auto_consent(self.random.choice(self.hub.people).id)
            try:
                back = (await hub.get(response.headers["location"])).headers["location"]
            except httpx2.HTTPError:
                return before  # The way to the Hub was that of a worker that has been killed.
        parts = urlsplit(back)
        # Back to the same worker: a flow belongs to a Hub, and each worker knows the Hub by an address of its own.
        _, response = await self.ask(client, "GET", f"{parts.path}?{parts.query}", worker=worker)
        if response is None:
            if before:
                before.perhaps = True
            return None
        access_token_id = session_of(client).get("zaikio_access_token_id")
        if access_token_id is None or (before and access_token_id == before.id):
            _, home = await self.ask(client, "GET", "/")
            error = home.json()["error"] if home is not None and home.status_code == 200 else None
            self.counts[f"logins that failed: {error['code'] if error else response.headers.get('location')}"] += 1
            return before
        self.counts["logins"] += 1
        if before:
            before.logged_out_by = worker.name
        grant = Grant(access_token_id, parse_qs(parts.query)["code"][0])
        grant.cookies = dict(client.cookies)
        self.grants.append(grant)
        return grant

    async def page(self, client: httpx2.AsyncClient, grant: Grant) -> Grant | None:
        _, response = await self.ask(client, "GET", "/me")
        if response is None or response.status_code == 503:
            return grant
        if response.status_code == 401:
            self.counts["told to log in again"] += 1
            grant.out = True
            return None
        if response.status_code != 200 or response.json()["id"] != grant.id:
            self.wrong.append(f"a page of {grant.id}: {response.status_code} {response.text[:200]}")
        return grant

    async def log_out(self, client: httpx2.AsyncClient, grant: Grant) -> None:
        worker, response = await self.ask(client, "POST", "/zaikio/session/delete")
        if response is not None and response.status_code == 303:
            self.counts["logouts"] += 1
            grant.logged_out_by = worker.name
        else:
            grant.perhaps = True

    async def loom(self) -> None:
        """People revoke access at the Hub now and then; Loom delivers the event until it is taken."""
        async with httpx2.AsyncClient(timeout=None, verify=NO_CERTIFICATES) as client:
            while self.running:
                await asyncio.sleep(self.random.uniform(0.5, 2.0))
                here = [grant for grant in self.grants[-40:] if not (grant.logged_out_by or grant.perhaps or grant.out)]
                if not here:
                    continue
                newest = newest_of(self.hub, self.random.choice(here).code)
                self.hub.revoke(newest.jti)
                await self.deliver(client, *self.hub.webhook_event(newest.jti, WEBHOOK_SECRET))

    async def events(self) -> None:
        """Other things happen at the Hub, too. Loom delivers some of them once more afterwards."""
        async with httpx2.AsyncClient(timeout=None, verify=NO_CERTIFICATES) as client:
            while self.running:
                await asyncio.sleep(self.random.uniform(0.1, 0.6))
                event = self.hub.event("zaikio.site_added", WEBHOOK_SECRET, subject_id="somebody")
                await self.deliver(client, *event)
                if self.random.random() < 0.5:
                    await self.ask(client, "POST", "/zaikio/webhook", content=event[0], headers=event[1])

    async def deliver(self, client: httpx2.AsyncClient, body: bytes, headers: dict[str, str]) -> None:
        """Deliver an event, to two processes at once now and then, until it is taken."""
        for _ in range(100):
            copies = self.random.choice([1, 1, 2])
            sent = (self.ask(client, "POST", "/zaikio/webhook", content=body, headers=headers) for _ in range(copies))
            answers = [response for _, response in await asyncio.gather(*sent)]
            if any(response is not None and response.status_code == 200 for response in answers):
                self.counts["events"] += 1
                self.taken.add(json.loads(body)["id"])
                return
            await asyncio.sleep(0.5)
        self.wrong.append("an event was not taken in a hundred deliveries")

    async def work(self, organization_ids: list[str]) -> None:
        """Jobs that act for an organization."""
        async with httpx2.AsyncClient(timeout=None, verify=NO_CERTIFICATES) as client:
            while self.running:
                await asyncio.sleep(self.random.uniform(0.1, 0.5))
                await self.run(client, "jobs", f"/jobs/{self.random.choice(organization_ids)}")

    async def daily_jobs(self) -> None:
        """The cleanup, and the keep-alive on two hosts at once."""
        async with httpx2.AsyncClient(timeout=None, verify=NO_CERTIFICATES) as client:
            while self.running:
                await asyncio.sleep(self.random.uniform(0.5, 2.0))
                await asyncio.gather(*(self.run(client, "keep-alives", "/keep-alive") for _ in range(2)))
                if self.random.random() < 0.2:
                    await self.run(client, "cleanups", "/clean")

    async def run(self, client: httpx2.AsyncClient, name: str, path: str) -> None:
        """Run one job, and count what comes of it."""
        _, response = await self.ask(client, "GET", path)
        if response is None or response.status_code == 503:
            return
        answer = response.json()
        error = answer.get("error")
        if error is None:
            self.counts[name] += 1
            self.counts["connections kept alive"] += answer.get("kept_alive", 0)
        elif error in ("HubUnavailableError", "StoreUnavailableError"):
            self.counts["jobs put off"] += 1
        else:
            self.wrong.append(f"{path}: {answer}")


def session_of(client: httpx2.AsyncClient) -> dict[str, Any]:
    """Return what the session cookie says."""
    cookie = client.cookies.get("session")
    return json.loads(base64.b64decode(cookie.partition(".")[0])) if cookie and cookie != "null" else {}


def newest_of(hub: LocalHub, code: str) -> Any:
    """Return the token that the Hub has issued last in this login."""
    return [issued for issued in list(hub.grants._tokens.values()) if issued.code == code][-1]
