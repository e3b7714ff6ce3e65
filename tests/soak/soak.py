"""Four processes, one PostgreSQL, one Hub, and everything that goes wrong, for as long as one likes.

In the end each grant is accounted for: what the Hub has issued is stored, unless it was issued to a process that was
killed before it could store it; nobody was logged out for another reason than that, a logout or a revocation; each
event of the Hub was dealt with once, and of each grant that is lost was told once.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
from sqlalchemy import select

from tests.data import KEY, SECRET, some_client
from tests.environment.postgresql import PostgresqlServer
from tests.inside import parts_of
from tests.soak.fleet import Fleet
from tests.soak.ledger import Ledger
from tests.soak.people import WEBHOOK_SECRET, Grant, People
from zaikio_oauth import Settings, ZaikioOAuth
from zaikio_oauth.testing import HubApp, LocalHub

__all__ = ["Report", "soak"]

WORKERS, BROWSERS = 4, 10
LIFETIME = 8.0
"""Seconds that a token lives: every page after the fourth one renews it ahead of time."""

MOST_CONNECTIONS = 15
"""SQLAlchemy's pool of one process, with its overflow."""

MORE_MEMORY, MORE_FILES, MOST_TASKS = 48 * 2**20, 15, 30
"""What a process may have more in the end than when it was young, and how many tasks when nothing goes on."""


@dataclass
class Report:
    """What happened, what was lost, and what was wrong."""

    seconds: float
    counts: Counter[str]
    faults: Counter[str]
    lost: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"Soak of {self.seconds:.0f} s with {WORKERS} processes", "", "What was done:"]
        lines += [f"  {number:7} {name}" for name, number in sorted(self.counts.items())]
        lines += ["", "What went wrong on purpose:"]
        lines += [f"  {number:7} {name}" for name, number in sorted(self.faults.items())]
        lines += ["", f"Grants lost in the hands of a killed process: {len(self.lost)}"]
        lines += [f"  {each}" for each in self.lost]
        lines += ["", f"Logouts that a killed process still had to do when the database was back: {len(self.pending)}"]
        lines += [f"  {each}" for each in self.pending]
        lines += ["", "In the end:"]
        lines += [f"  {name}: {value}" for name, value in self.figures.items()]
        lines += ["", f"Broken promises: {len(self.wrong)}"]
        lines += [f"  {each}" for each in self.wrong]
        return "\n".join(lines)


class Chaos:
    """What goes wrong, one thing after the other, so that each has a beginning and an end."""

    def __init__(self, fleet: Fleet, hub: LocalHub, server: PostgresqlServer, url: str, dice: random.Random) -> None:
        self._fleet, self._hub, self._server, self.url, self._random = fleet, hub, server, url, dice
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []

    async def reign(self, ends: float) -> None:
        kinds = (
            [self.hub_fails] * 3
            + [self.kill] * 2
            + [self.stop] * 2
            + [self.terminate, self.cut, self.restart, self.crash]
        )
        while time.monotonic() < ends:
            await asyncio.sleep(self._random.uniform(0.3, 2.0))
            kind = self._random.choice(kinds)
            self.counts[(kind.__doc__ or "").strip(".")] += 1
            await kind()

    async def hub_fails(self) -> None:
        """the Hub answers slowly, with 429 or 503, or breaks off."""
        grant_type = self._random.choice(["refresh_token", "refresh_token", "client_credentials", "authorization_code"])
        fault: Callable[[], None] = self._random.choice(
            [
                lambda: self._hub.fail(grant_type, status=503, times=3),
                lambda: self._hub.fail(grant_type, latency=1.5, times=3),
                lambda: self._hub.fail(grant_type, disconnect=True, times=2),
                lambda: self._hub.fail("/api/v1/revoked_access_tokens", status=502, times=2),
                lambda: self._hub.rate_limit(grant_type, reset_in=1, times=2),
            ]
        )
        fault()

    async def kill(self) -> None:
        """a process is killed (SIGKILL)."""
        await self._fleet.kill(self._fleet.any())

    async def stop(self) -> None:
        """a process is stopped for a while (SIGSTOP)."""
        await self._fleet.stop_for(self._fleet.any(), self._random.choice([0.5, 2.0, 4.0, 13.0]))

    async def terminate(self) -> None:
        """a process is ended and replaced (SIGTERM)."""
        worker = self._fleet.any()
        if not await self._fleet.terminate(worker):
            self.wrong.append(f"{worker.name} did not end when it was asked to")
            await self._fleet.start()

    async def cut(self) -> None:
        """all backends of PostgreSQL are terminated."""
        connection = await asyncpg.connect(self.url)
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await connection.close()

    async def restart(self) -> None:
        """PostgreSQL is shut down and started again."""
        await asyncio.to_thread(self._server.shut_down)
        await asyncio.sleep(self._random.uniform(0.0, 2.0))
        await asyncio.to_thread(self._server.restart)

    async def crash(self) -> None:
        """PostgreSQL crashes and is started again."""
        await asyncio.to_thread(self._server.crash)
        await asyncio.to_thread(self._server.restart)


async def soak(seconds: float, *, seed: int) -> Report:
    """Run it and return what came of it."""
    with tempfile.TemporaryDirectory(prefix="zaikio-soak-") as folder:
        server = PostgresqlServer()
        await asyncio.to_thread(server.start)
        try:
            await server.create_database("soak")
            return await _soak(seconds, seed, server, Path(folder))
        finally:
            await asyncio.to_thread(server.stop)


async def _soak(seconds: float, seed: int, server: PostgresqlServer, folder: Path) -> Report:
    dice = random.Random(seed)
    hub = LocalHub([HubApp.for_client("warehouse", "warehouse-id", SECRET, base_urls=["http://testserver"])])
    hub.access_token_lifetime = LIFETIME
    organizations = [each.id for each in hub.organizations]
    for each in organizations:
        hub.grant("warehouse-id", "Organization", each, ["zaikio.organization.r"])
    settings = {
        "environment": "development",
        "database_url": server.url("soak"),
        "encryption_keys": [KEY],
        "base_url": "http://testserver",
        "cache_ttl": 1,
        "clients": {"warehouse": some_client(webhook_secret=WEBHOOK_SECRET)},
    }
    async with ZaikioOAuth(Settings(**settings | {"cache_ttl": 0}, auto_migrate=True)) as zaikio:
        fleet = Fleet(hub, settings, folder, folder / "ledger")
        people = People(hub, fleet, dice)
        chaos = Chaos(fleet, hub, server, server.url("soak").replace("+asyncpg", ""), dice)
        report = Report(seconds, people.counts, chaos.counts)
        try:
            for _ in range(WORKERS):
                await fleet.start()
            crowd = [asyncio.create_task(people.browse()) for _ in range(BROWSERS)]
            others = (people.loom(), people.events(), people.events(), people.work(organizations), people.daily_jobs())
            crowd += [asyncio.create_task(each) for each in (*others, _time_passes(people, chaos.url))]
            watching = asyncio.create_task(_watch(fleet, people))
            await chaos.reign(time.monotonic() + seconds)
            people.running = False
            hub.clear_faults()
            await asyncio.gather(*crowd)
            people.ended = time.time()
            watching.cancel()
            await _calm(people, fleet, zaikio, report)
            for worker in list(fleet.workers):
                if not await fleet.terminate(worker, replace=False):
                    report.wrong.append(f"{worker.name} did not end when it was asked to")
            await _account(report, people, fleet, zaikio)
            await _account_for_events_and_losses(report, people, fleet, zaikio)
            report.wrong += people.wrong + chaos.wrong + list(fleet.complaints())
            broken = [grant for grant in people.grants if any(grant.id in each for each in report.wrong)]
            report.wrong += [line for grant in broken for line in [repr(grant), *fleet.said_of(grant.id)]]
        finally:
            await fleet.close()
        return report


async def _time_passes(people: People, url: str) -> None:
    """Let the refresh tokens of some grants be old, so that the keep-alive finds them."""
    while people.running:
        await asyncio.sleep(1.0)
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            connection = await asyncpg.connect(url)
            await connection.execute(
                "UPDATE zaikio_access_tokens SET refresh_expires_at = now() + interval '12 hours' "
                "WHERE refresh_token IS NOT NULL AND revoked_at IS NULL AND id IN "
                "(SELECT id FROM zaikio_access_tokens ORDER BY random() LIMIT 5)"
            )
            await connection.close()


async def _watch(fleet: Fleet, people: People) -> None:
    """Note the figures of each process while it is young and busy, and then again and again."""
    async with httpx2.AsyncClient(timeout=10) as client:
        while people.running:
            await asyncio.sleep(5)
            for worker in list(fleet.workers):
                try:
                    worker.figures.append((await client.get(f"{worker.url}/figures")).json())
                except (httpx2.HTTPError, OSError, ValueError):
                    continue


async def _calm(people: People, fleet: Fleet, zaikio: ZaikioOAuth, report: Report) -> None:
    """Wait until everything has recovered, then let everybody look once more, also those who have logged out."""
    async with httpx2.AsyncClient(timeout=None) as client:
        await asyncio.gather(*(_look(people, client, grant) for grant in people.grants if not grant.out))
        await people.run(client, "keep-alives", "/keep-alive")
        await asyncio.sleep(1.0)
        report.figures["connections of all processes"] = open_now = await _connections(zaikio)
        if open_now > len(fleet.workers) * MOST_CONNECTIONS:
            report.wrong.append(f"{open_now} connections are open although nothing goes on")
        for worker in fleet.workers:
            figures = (await client.get(f"{worker.url}/figures")).json()
            young = worker.figures[0] if worker.figures else figures
            if figures["memory"] - young["memory"] > MORE_MEMORY or figures["files"] - young["files"] > MORE_FILES:
                report.wrong.append(f"{worker.name} had {young} and has {figures}")
            if figures["tasks"] > MOST_TASKS:
                report.wrong.append(f"{worker.name} has {figures['tasks']} tasks although nothing goes on")
            report.figures[worker.name] = (
                f"{figures['memory'] / 2**20:.0f} MB ({(figures['memory'] - young['memory']) / 2**20:+.0f}), "
                f"{figures['files']} files ({figures['files'] - young['files']:+}), {figures['tasks']} tasks"
            )


async def _look(people: People, client: httpx2.AsyncClient, grant: Grant) -> None:
    """Look at a page with the session of this login."""
    for _ in range(60):
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in grant.cookies.items())}
        _, response = await people.ask(client, "GET", "/me", headers=headers)
        if response is not None and response.status_code == 401:
            grant.out = True
            return
        # A logout that the database has not taken at once is tried again after half a minute at most, if the process
        # still lives.
        over = grant.logged_out_by is None or grant.logged_out_by in people.fleet.killed
        if response is not None and response.status_code == 200 and over:
            return
        await asyncio.sleep(1.0)
    people.wrong.append(f"{grant.id}: no page in a minute after everything had recovered")


async def _account(  # noqa: C901 (a list of promises)
    report: Report, people: People, fleet: Fleet, zaikio: ZaikioOAuth
) -> None:
    """Account for every grant, here and at the Hub."""
    repository = (await parts_of(zaikio)).access_tokens
    rows = (await repository._statements.run(select(repository._rows._table))).rows
    stored = {str(repository._stored_token(row).access_token.token) for row in rows if row.revoked_at is None}
    hub = people.hub
    chains: dict[str, Any] = {}
    for issued in list(hub.grants._tokens.values()):
        if issued.code is not None:
            chains[issued.code] = issued
    live = {issued.token for issued in hub.grants._refresh_tokens.values()}
    known = {grant.code: grant for grant in people.grants}
    for code, newest in chains.items():
        grant = known.get(code)
        name = f"{grant.id if grant else 'a login that was cut off'} ({fleet.issued.get(newest.token)})"
        here, there = newest.token in stored, newest.token in live
        if there and not here:
            killed = fleet.issued.get(newest.token) in fleet.killed
            leaving = grant is not None and (grant.perhaps or grant.logged_out_by in fleet.killed)
            if killed or leaving:
                report.lost.append(name)
            else:
                report.wrong.append(f"{name} lives on at the Hub, and nobody holds it")
        elif here and there and grant is not None and grant.out:
            report.wrong.append(f"{name} was told to log in again, although the grant is good")
        elif here and grant is not None and grant.logged_out_by and grant.logged_out_by not in fleet.killed:
            report.wrong.append(f"{name} has logged out, and the grant is still stored")
        if grant is not None and grant.logged_out_by and not grant.out and grant.logged_out_by not in fleet.killed:
            report.wrong.append(f"{name} has logged out, and the old session still works")
        if here and grant is not None and grant.logged_out_by in fleet.killed:
            report.pending.append(f"{name}, by {grant.logged_out_by}")
    report.figures["logins at the Hub"] = len(chains)
    report.figures["of them stored and live"] = sum(
        each.token in stored and each.token in live for each in chains.values()
    )
    if (left := await _connections(zaikio)) > 1:
        report.wrong.append(f"{left - 1} connections are left of processes that have ended")


async def _account_for_events_and_losses(report: Report, people: People, fleet: Fleet, zaikio: ZaikioOAuth) -> None:
    """Account for the events of the Hub, for what is lost, for connections, and for tokens by client credentials."""
    ledger = Ledger(fleet.ledger)
    report.figures["what the hooks have noted"] = dict(ledger.counts())
    refreshes = Counter(each.status_code for each in people.hub.requests if each.grant_type == "refresh_token")
    report.figures["refreshes at the Hub, by their status"] = dict(refreshes)
    report.wrong += ledger.wrong_about_events(people.taken, fleet.killed | fleet.stopped)
    repository = (await parts_of(zaikio)).access_tokens
    rows = (await repository._statements.run(select(repository._rows._table))).rows
    lost_at = {row.id: row.lost_at.timestamp() for row in rows if row.lost_at is not None}
    report.wrong += ledger.wrong_about_losses(lost_at, fleet.kills)
    health = Counter([each.health async for each in zaikio.connections(bearer_type="Person")])
    report.figures["health of the persons' connections"] = dict(health)
    if health["ageing"]:
        report.wrong.append(f"{health['ageing']} connections were not kept alive")
    stored = {row.jti for row in rows}
    newest = {each.bearer.id: each for each in list(people.hub.grants._tokens.values()) if each.code is None}
    for organization, issued in newest.items():
        given_to = fleet.issued.get(issued.token)
        if issued.expires_at > people.ended and issued.jti not in stored and given_to not in fleet.killed:
            report.wrong.append(f"the newest token of {organization}, given to {given_to}, is not stored")


async def _connections(zaikio: ZaikioOAuth) -> int:
    connection = await asyncpg.connect(zaikio.settings.database_url.replace("+asyncpg", ""))
    left = await connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await connection.close()
    return int(left)
