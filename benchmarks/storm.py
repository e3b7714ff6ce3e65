"""Many callers that want the same expired token at once: how long the last one waits after the Hub has answered."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import ExitStack
from datetime import timedelta

from benchmarks.machine import pin_to_load_core
from benchmarks.measurement import Contender, Figures, Step, Table, in_turns
from benchmarks.peers.tokens_by_hand import TokensByHand
from benchmarks.processes import Process
from benchmarks.rows import Grant, fill
from benchmarks.stage import Stage

__all__ = ["NAME", "measure", "steps"]

NAME = "storm"
HUB_LATENCY = 0.1
EXPIRED = timedelta(minutes=-1)
CONTENDERS = (
    ("a locked row by hand, 48 callers in 1 process", "by hand", 1, 48),
    ("zaikio_oauth, 48 callers in 1 process", "ours", 1, 48),
    ("a locked row by hand, 12 callers in each of 4", "by hand", 4, 12),
    ("zaikio_oauth, 12 callers in each of 4", "ours", 4, 12),
)


class _Storm:
    """Processes whose callers all want one token."""

    def __init__(self, stage: Stage, kind: str, processes: list[Process]) -> None:
        self._stage, self._kind, self._processes = stage, kind, processes

    async def run(self) -> Figures:
        hub = self._stage.hub
        token_id = await self._expired_token()
        before = hub.do()["refreshes"]
        order = json.dumps({"id": token_id, "at": time.time() + 0.1})
        for process in self._processes:
            process.tell(order)
        answers = [json.loads(await asyncio.to_thread(process.ask)) for process in self._processes]
        after = hub.do()
        if not all(answer["found"] for answer in answers):
            raise RuntimeError("A caller got no token.")
        waited = max(answer["ended_at"] for answer in answers) - after["answered_at"]
        return {"ms after the answer": waited * 1000, "requests to the Hub": after["refreshes"] - before}

    async def _expired_token(self) -> str:
        place = self._stage.place("PostgreSQL")
        (grant,) = self._stage.hub.do(grants=1)["grants"]
        if self._kind == "ours":
            ((token_id, _),) = await fill(place.database_url, place.key, [Grant(**grant, lives_for=EXPIRED)])
            return token_id
        store = TokensByHand(place)
        (token_id,) = await store.add([{**grant, "access_token": grant["token"]}], EXPIRED)
        await store.close()
        return token_id


async def measure(stage: Stage, step: Step) -> list[Table]:
    """Return the table."""
    pin_to_load_core()
    place = stage.place("PostgreSQL")
    await stage.rows("PostgreSQL")
    title = f"48 callers want one expired token, PostgreSQL; the Hub answers in {HUB_LATENCY * 1000:.0f} ms"
    table = Table(NAME, title, CONTENDERS[0][0])
    stage.hub.do(latency=HUB_LATENCY)
    try:
        with ExitStack() as stack:
            contenders = []
            for name, kind, number, callers in CONTENDERS:
                arguments = ("benchmarks.waiters", kind, place.as_text(), str(callers))
                processes = [stack.enter_context(Process(*arguments)) for _ in range(number)]
                contenders.append(Contender(name, _Storm(stage, kind, processes).run))
            return [await in_turns(table, contenders, stage.rounds * 2, step)]
    finally:
        stage.hub.do(latency=0)


def steps(rounds: int) -> int:
    """Return how many steps there are."""
    return len(CONTENDERS) * (2 * rounds + 1)
