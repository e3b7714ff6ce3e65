"""What an app's process weighs with the library: import, start-up, memory."""

from __future__ import annotations

import asyncio
import compileall
import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil

import zaikio_oauth
from benchmarks.machine import pin_to_server_core
from benchmarks.measurement import Contender, Figures, Step, Table, in_turns
from benchmarks.place import Place
from benchmarks.processes import ROOT, Process
from benchmarks.stage import Stage

__all__ = ["NAME", "measure", "steps"]

NAME = "weight"
CACHED = 100_000
BASE = "import fastapi, httpx, sqlalchemy.ext.asyncio"
IMPORTS = {
    "fastapi, httpx and sqlalchemy": ("", BASE),
    "zaikio_oauth, beyond these": (BASE, "from zaikio_oauth import AccessToken, current_access_token, zaikio_router"),
    "Authlib, beyond these": (BASE, "from authlib.integrations.starlette_client import OAuth"),
    "fastapi-users, beyond these": (
        BASE,
        "import fastapi_users.authentication.strategy.db, fastapi_users_db_sqlalchemy.access_token",
    ),
}
SCRIPT = """
import gc, json, psutil, time
{before}
gc.collect()
memory, started = psutil.Process().memory_info().rss, time.perf_counter()
{measured}
ms = (time.perf_counter() - started) * 1000
print(json.dumps({{"ms": ms, "MB": (psutil.Process().memory_info().rss - memory) / 2**20}}))
"""
CACHE = """
import asyncio, gc, json, psutil, sys
from benchmarks.ours import zaikio
from benchmarks.place import Place

async def main():
    ids = json.loads(sys.stdin.readline())
    async with zaikio(Place(**json.loads(sys.argv[1])), cache_ttl=3600) as ours:
        await ours.find_active_access_token(ids[0])
        gc.collect()
        memory = psutil.Process().memory_info().rss
        for token_id in ids[1:]:
            await ours.find_active_access_token(token_id)
        gc.collect()
        print(json.dumps({"KB": (psutil.Process().memory_info().rss - memory) / 1000 / len(ids[1:])}))

asyncio.run(main())
"""
SERVERS = {
    "bare FastAPI app": ("bare", "PostgreSQL"),
    "with a session": ("floor", "PostgreSQL"),
    "zaikio_oauth, PostgreSQL": ("ours", "PostgreSQL"),
    "zaikio_oauth, SQLite": ("ours", "SQLite"),
    "SQLAlchemy Core by hand, PostgreSQL": ("core", "PostgreSQL"),
    "fastapi-users, PostgreSQL": ("fastapi-users", "PostgreSQL"),
}


async def measure(stage: Stage, step: Step) -> list[Table]:
    """Return a table of imports and one of start-ups."""
    for database in ("PostgreSQL", "SQLite"):
        await stage.rows(database)
    pin_to_server_core()
    # As an installation does. That of a checkout does not, and compiling takes as long as importing.
    compileall.compile_dir(Path(zaikio_oauth.__file__).parent, quiet=1)
    imports = Table(NAME, "Import", next(iter(IMPORTS)))
    contenders = [Contender(name, partial(_import, *code)) for name, code in IMPORTS.items()]
    await in_turns(imports, contenders, stage.rounds * 2, step)
    startups = Table(NAME, "From the start of the process until it listens", next(iter(SERVERS)))
    contenders = [
        Contender(name, partial(_start, app, stage.place(database))) for name, (app, database) in SERVERS.items()
    ]
    await in_turns(startups, contenders, stage.rounds, step)
    cache = Table(NAME, f"Memory of each of {min(CACHED, stage.number):,} tokens in the cache", "zaikio_oauth")
    await in_turns(cache, [Contender("zaikio_oauth", partial(_cache, stage))], stage.rounds, step)
    disk = Table(NAME, "Disk of a stored token, with its indexes", "PostgreSQL")
    for database in ("PostgreSQL", "SQLite"):
        kilobytes = await stage.bytes_on_disk(database) / 1000 / len(await stage.rows(database))
        disk.row(database).add({"KB": kilobytes})
    return [imports, startups, cache, disk]


def steps(rounds: int) -> int:
    """Return how many steps there are."""
    return len(IMPORTS) * (2 * rounds + 1) + (len(SERVERS) + 1) * (rounds + 1)


async def _cache(stage: Stage) -> Figures:
    ids = [token_id for token_id, _ in (await stage.rows("PostgreSQL"))[:CACHED]]
    command = [sys.executable, "-c", CACHE, stage.place("PostgreSQL").as_text()]
    ran = await asyncio.to_thread(
        subprocess.run, command, input=json.dumps(ids) + "\n", check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    figures: dict[str, float] = json.loads(ran.stdout)
    return figures


async def _import(before: str, measured: str) -> Figures:
    script = SCRIPT.format(before=before, measured=measured)
    ran = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    figures: dict[str, float] = json.loads(ran.stdout)
    return figures


async def _start(app: str, place: Place) -> Figures:
    started = time.perf_counter()
    with Process("benchmarks.app_server", app, place.as_text()) as server:
        ms = (time.perf_counter() - started) * 1000
        return {"ms": ms, "MB": psutil.Process(server.id).memory_info().rss / 2**20}
