"""Pages of people who are logged in, and of APIs that are called with bearer tokens."""

from __future__ import annotations

import asyncio
import json
import os
import random
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.machine import pin_to_load_core
from benchmarks.measurement import Contender, Figures, Step, Stopwatch, Table, in_turns
from benchmarks.ours import session_header
from benchmarks.peers import fastapi_users_pages
from benchmarks.processes import Process
from benchmarks.stage import Stage

__all__ = ["NAME", "measure"]

NAME = "pages"
SCRIPT = Path(__file__).with_name("wrk.lua")
CONNECTIONS = 32
SESSIONS, VISITED_AGAIN, BEARER_TOKENS = 10_000, 100, 100


class Load:
    """Sends requests by wrk to one server, each with the next of its headers."""

    def __init__(self, server: Process, headers: Sequence[str], folder: Path, seconds: float) -> None:
        self._server, self._seconds = server, seconds
        self._headers = folder / f"headers-{server.id}"
        self._headers.write_text("".join(f"{header}\n" for header in headers))

    async def run(self) -> Figures:
        """Return what the server did in one round. Raises RuntimeError if one of its answers is not 200."""
        url, script = f"{self._server.said}/me", str(SCRIPT)
        options = ["-t", "1", "-c", str(CONNECTIONS), "-d", f"{max(1, round(self._seconds))}s", "-s", script]
        watch = Stopwatch(self._server.id)
        command = [os.environ.get("BENCHMARK_WRK") or "wrk", *options, url, "--", str(self._headers)]
        wrk = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        said, _ = await wrk.communicate()
        result = json.loads(said.splitlines()[-1])
        if result["failed"] or not result["requests"]:
            raise RuntimeError(f"{result['failed']} of {result['requests']} requests failed: {said.decode()}")
        cpu = watch.figures(result["requests"], "")["CPU µs"]
        return {"requests/s": result["requests"] / result["seconds"], "CPU µs": cpu, "p99 ms": result["p99"]}


async def measure(stage: Stage, step: Step) -> list[Table]:
    """Return both tables."""
    pin_to_load_core()
    headers = await _headers(stage)
    contenders: dict[str, list[Contender]] = {"pages": [], "bearer": []}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for table, name, app, database, sent in CONTENDERS:
            server = stack.enter_context(Process("benchmarks.app_server", app, stage.place(database).as_text()))
            load = Load(server, headers[sent], folder, stage.seconds)
            contenders[table].append(Contender(name, load.run))
        pages = Table(NAME, "A page of somebody who is logged in", "bare FastAPI endpoint")
        bearer = Table(NAME, "An endpoint that is called with a bearer token", "PyJWT, keys in memory")
        return [
            await in_turns(pages, contenders["pages"], stage.rounds, step),
            await in_turns(bearer, contenders["bearer"], stage.rounds, step),
        ]


POSTGRESQL, SQLITE = "PostgreSQL", "SQLite"
CONTENDERS = (
    ("pages", "bare FastAPI endpoint", "bare", POSTGRESQL, "nothing"),
    ("pages", "session and empty dependency (floor)", "floor", POSTGRESQL, "postgresql"),
    ("pages", "zaikio_oauth, cached", "ours", POSTGRESQL, "visited again"),
    ("pages", "zaikio_oauth, cache off, PostgreSQL", "ours, cache off", POSTGRESQL, "postgresql"),
    ("pages", "asyncpg pool, PostgreSQL", "asyncpg", POSTGRESQL, "postgresql"),
    ("pages", "SQLAlchemy Core, PostgreSQL", "core", POSTGRESQL, "postgresql"),
    ("pages", "SQLAlchemy ORM, PostgreSQL", "orm", POSTGRESQL, "postgresql"),
    ("pages", "fastapi-users, PostgreSQL", "fastapi-users", POSTGRESQL, "fastapi-users"),
    ("pages", "zaikio_oauth, cache off, SQLite", "ours, cache off", SQLITE, "sqlite"),
    ("pages", "SQLAlchemy Core, SQLite", "core", SQLITE, "sqlite"),
    ("pages", "SQLAlchemy ORM, SQLite", "orm", SQLITE, "sqlite"),
    ("bearer", "zaikio_oauth", "ours, bearer", POSTGRESQL, "bearer"),
    ("bearer", "PyJWT, keys in memory", "pyjwt", POSTGRESQL, "bearer"),
)
"""Table, name, app, database, and what the requests are sent with."""


def steps(rounds: int) -> int:
    """Return how many steps there are."""
    return len(CONTENDERS) * (rounds + 1)


async def _headers(stage: Stage) -> dict[str, list[str]]:
    chance = random.Random(1)
    postgresql, sqlite = await stage.rows(POSTGRESQL), await stage.rows(SQLITE)
    number = min(SESSIONS, len(postgresql))
    users = await fastapi_users_pages.fill(stage.place(POSTGRESQL).database_url, len(postgresql))
    tokens = stage.hub.do(grants=BEARER_TOKENS)["grants"]
    sessions = [session_header(*row) for row in chance.sample(postgresql, number)]
    return {
        "nothing": ["Accept: */*"],
        "postgresql": sessions,
        "visited again": sessions[:VISITED_AGAIN],
        "sqlite": [session_header(*row) for row in chance.sample(sqlite, number)],
        "fastapi-users": [f"Cookie: {cookie}" for cookie in chance.sample(users, number)],
        "bearer": [f"Authorization: Bearer {grant['token']}" for grant in tokens],
    }
