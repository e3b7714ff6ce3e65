"""A token that is revoked in one of four processes: how long the others still show pages with it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import time
from contextlib import AsyncExitStack, ExitStack

import asyncpg
import httpx

from benchmarks.machine import pin_to_load_core
from benchmarks.measurement import Contender, Figures, Step, Table, in_turns
from benchmarks.ours import WEBHOOK_SECRET, session_header
from benchmarks.processes import Process
from benchmarks.stage import Stage

__all__ = ["NAME", "measure", "steps"]

NAME = "changes"
PROCESSES = 4
# One that must wait for its cache takes seconds.
CONTENDERS = (
    ("zaikio_oauth, notified", "ours", 10),
    ("zaikio_oauth, not notified (cache_ttl 1 s)", "ours, not notified", 1),
)


class _Revocations:
    """Processes of one app, the first of which gets the Hub's events."""

    def __init__(self, servers: list[Process], tokens: itertools.cycle[tuple[str, str, str]], number: int) -> None:
        self._urls = [server.said for server in servers]
        self._tokens, self._number = tokens, number

    async def run(self) -> Figures:
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(httpx.AsyncClient(base_url=url)) for url in self._urls]
            waits = [await self._revoke(*clients) for _ in range(self._number)]
        return {"ms until all refuse": sum(waits) / len(waits) * 1000}

    async def _revoke(self, told: httpx.AsyncClient, *others: httpx.AsyncClient) -> float:
        token_id, bearer_id, jti = next(self._tokens)
        name, _, value = session_header(token_id, bearer_id).partition(": ")
        headers = {name: value}
        for client in (told, *others):
            (await client.get("/me", headers=headers)).raise_for_status()
        event = {"id": jti, "name": "zaikio.revoked_access_token", "payload": {"access_token_id": jti}}
        body = json.dumps(event).encode()
        signature = hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()
        started = time.perf_counter()
        (await told.post("/zaikio/webhook", content=body, headers={"X-Loom-Signature": signature})).raise_for_status()

        async def refused(client: httpx.AsyncClient) -> None:
            while (await client.get("/me", headers=headers)).status_code == 200:
                pass

        await asyncio.gather(*(refused(client) for client in others))
        return time.perf_counter() - started


async def measure(stage: Stage, step: Step) -> list[Table]:
    """Return the table."""
    pin_to_load_core()
    place = stage.place("PostgreSQL")
    await stage.rows("PostgreSQL")
    connection = await asyncpg.connect(place.database_url.replace("postgresql+asyncpg", "postgresql"))
    rows = await connection.fetch(
        "SELECT id, bearer_id, jti FROM zaikio_access_tokens WHERE revoked_at IS NULL LIMIT 1000"
    )
    await connection.close()
    tokens = itertools.cycle([(row["id"], row["bearer_id"], row["jti"]) for row in rows])
    table = Table(NAME, f"A revocation in one of {PROCESSES} processes, PostgreSQL", CONTENDERS[0][0])
    with ExitStack() as stack:
        contenders = []
        for name, app, number in CONTENDERS:
            servers = [
                stack.enter_context(Process("benchmarks.app_server", app, place.as_text())) for _ in range(PROCESSES)
            ]
            contenders.append(Contender(name, _Revocations(servers, tokens, number).run))
        return [await in_turns(table, contenders, stage.rounds, step)]


def steps(rounds: int) -> int:
    """Return how many steps there are."""
    return len(CONTENDERS) * (rounds + 1)
