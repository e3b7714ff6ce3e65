"""Look-ups of stored tokens within a process, without a web server."""

from __future__ import annotations

import random
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

from benchmarks.calls import Call, Calls
from benchmarks.machine import pin_to_server_core
from benchmarks.measurement import Contender, Step, Table, in_turns
from benchmarks.ours import zaikio
from benchmarks.peers.asyncpg_pool import AsyncpgPool
from benchmarks.peers.sqlalchemy_core import SqlalchemyCore
from benchmarks.peers.sqlalchemy_orm import SqlalchemyOrm
from benchmarks.peers.stored_token import TokenStore
from benchmarks.place import Place
from benchmarks.stage import DATABASES, Stage
from zaikio_oauth import ZaikioOAuth

__all__ = ["NAME", "measure", "steps"]

NAME = "lookups"
CALLERS = (1, 16)
STORES: dict[str, dict[str, Any]] = {
    "PostgreSQL": {"asyncpg pool": AsyncpgPool, "SQLAlchemy Core": SqlalchemyCore, "SQLAlchemy ORM": SqlalchemyOrm},
    "SQLite": {"SQLAlchemy Core": SqlalchemyCore, "SQLAlchemy ORM": SqlalchemyOrm},
}

Row = tuple[str, str]


async def measure(stage: Stage, step: Step) -> list[Table]:
    """Return a table for each database, way of asking and number of callers."""
    rows = {database: await stage.rows(database) for database in DATABASES}
    pin_to_server_core()
    tables = []
    for database in DATABASES:
        async with AsyncExitStack() as stack:
            some = random.Random(1).sample(rows[database], min(10_000, len(rows[database])))
            by_id, by_bearer = await _look_ups(database, stage.place(database), stack)
            for way, look_ups in {"id": by_id, "bearer": by_bearer}.items():
                for callers in CALLERS:
                    table = Table(NAME, _title(database, way, callers), next(iter(STORES[database])))
                    contenders = [
                        Contender(name, Calls(look_up, some, callers, stage.seconds / 4).run)
                        for name, look_up in look_ups.items()
                    ]
                    tables.append(await in_turns(table, contenders, stage.rounds, step))
    return tables


def steps(rounds: int) -> int:
    """Return how many steps there are."""
    contenders = sum(2 * len(stores) + 3 for stores in STORES.values())
    return contenders * len(CALLERS) * (rounds + 1)


def _title(database: str, way: str, callers: int) -> str:
    return f"A stored token by {way}, {database}, {callers} caller{'s' if callers > 1 else ''}"


async def _look_ups(database: str, place: Place, stack: AsyncExitStack) -> tuple[dict[str, Call], dict[str, Call]]:
    """Open everything, and return how each contender finds a token by its id and by its bearer."""
    ours = await stack.enter_async_context(zaikio(place, cache_ttl=0))
    by_id, by_bearer = {}, {}
    for name, kind in STORES[database].items():
        store: TokenStore = kind(place.database_url, place.key)
        await store.open()
        stack.push_async_callback(store.close)
        by_id[name], by_bearer[name] = _by_hand(store)
    by_id["zaikio_oauth"] = lambda row: ours.find_active_access_token(row[0])
    by_bearer["zaikio_oauth, find_usable"] = lambda row: ours.find_usable_access_token(
        bearer_type="Person", bearer_id=row[1], valid_for=timedelta(0)
    )
    by_bearer["zaikio_oauth, with_auth"] = lambda row: _with_auth(ours, row)
    return by_id, by_bearer


def _by_hand(store: TokenStore) -> tuple[Call, Call]:
    return (lambda row: store.by_id(row[0]), lambda row: store.by_bearer("Person", row[1]))


async def _with_auth(ours: ZaikioOAuth, row: Row) -> Any:
    async with ours.with_auth(bearer_type="Person", bearer_id=row[1]) as token:
        return token
