"""Refreshes of many grants, each at the Hub, by 16 callers of one process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

from benchmarks.machine import pin_to_server_core
from benchmarks.measurement import Contender, Figures, Step, Stopwatch, Table, in_turns
from benchmarks.ours import zaikio
from benchmarks.peers.tokens_by_hand import TokensByHand
from benchmarks.place import Place
from benchmarks.rows import Grant, fill
from benchmarks.stage import Stage
from zaikio_oauth import ZaikioOAuth

__all__ = ["NAME", "measure", "steps"]

NAME = "refreshes"
CALLERS, GRANTS = 16, 64
CACHED = 10_000
ALWAYS = timedelta(days=30)

Refresh = Callable[[str], Awaitable[Any]]


async def measure(stage: Stage, step: Step) -> list[Table]:
    """Return the table."""
    rows = await stage.rows("PostgreSQL")
    pin_to_server_core()
    place = stage.place("PostgreSQL")
    table = Table(NAME, "A refresh, PostgreSQL, 16 callers", "httpx and SQLAlchemy by hand")
    async with AsyncExitStack() as stack:
        by_hand = TokensByHand(place)
        await by_hand.open()
        stack.push_async_callback(by_hand.close)
        ours = await stack.enter_async_context(zaikio(place))
        full = await stack.enter_async_context(zaikio(place, cache_ttl=3600))
        for token_id, _ in rows[:CACHED]:
            await full.find_active_access_token(token_id)
        refreshes: dict[str, tuple[Refresh, Sequence[str]]] = {
            table.reference: (lambda each: by_hand.valid(each, ALWAYS), await _ids_by_hand(stage, by_hand)),
            "Authlib and SQLAlchemy by hand": (by_hand.refreshed_by_authlib, await _ids_by_hand(stage, by_hand)),
            "zaikio_oauth": (_refresh(ours), await _ids(stage, place)),
            f"zaikio_oauth, {CACHED:,} tokens cached": (_refresh(full), await _ids(stage, place)),
        }
        contenders = [
            Contender(name, _Refreshes(refresh, ids, stage.seconds).run) for name, (refresh, ids) in refreshes.items()
        ]
        return [await in_turns(table, contenders, stage.rounds, step)]


def steps(rounds: int) -> int:
    """Return how many steps there are."""
    return 4 * (rounds + 1)


async def _ids_by_hand(stage: Stage, store: TokensByHand) -> list[str]:
    responses = [{**grant, "access_token": grant["token"]} for grant in stage.hub.do(grants=GRANTS)["grants"]]
    return await store.add(responses, timedelta(hours=1))


async def _ids(stage: Stage, place: Place) -> list[str]:
    grants = [Grant(**grant) for grant in stage.hub.do(grants=GRANTS)["grants"]]
    return [token_id for token_id, _ in await fill(place.database_url, place.key, grants)]


def _refresh(ours: ZaikioOAuth) -> Refresh:
    async def refresh(token_id: str) -> Any:
        token = await ours.find_active_access_token(token_id)
        if token is None:
            raise RuntimeError("A grant is gone.")
        return await ours.refresh(token)

    return refresh


class _Refreshes:
    """Callers of which each refreshes its own grants, one after the other."""

    def __init__(self, refresh: Refresh, ids: Sequence[str], seconds: float) -> None:
        self._refresh, self._ids, self._seconds = refresh, ids, seconds
        self._done = 0

    async def run(self) -> Figures:
        self._done = 0
        watch, end = Stopwatch(), time.perf_counter() + self._seconds
        await asyncio.gather(*(self._call(self._ids[caller::CALLERS], end) for caller in range(CALLERS)))
        figures = watch.figures(self._done, "refreshes/s")
        return {"CPU µs": figures["CPU µs"], "refreshes/s": figures["refreshes/s"]}

    async def _call(self, ids: Sequence[str], end: float) -> None:
        while True:
            for token_id in ids:
                await self._refresh(token_id)
                self._done += 1
                if time.perf_counter() > end:
                    return
