"""Callers in one process that all want the same expired token: ``python -m benchmarks.waiters KIND PLACE NUMBER``.

Each line on stdin names a token and the instant at which all begin. The answer is when the last of them had it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import uvloop

from benchmarks.machine import pin_to_server_core
from benchmarks.ours import zaikio
from benchmarks.peers.tokens_by_hand import TokensByHand
from benchmarks.place import Place

LEEWAY = timedelta(seconds=30)


async def wait(kind: str, place: Place, number: int) -> None:
    """Serve until stdin ends."""
    async with AsyncExitStack() as stack:
        find: Any
        if kind == "ours":
            find = (await stack.enter_async_context(zaikio(place))).find_active_access_token
        else:
            by_hand = TokensByHand(place)
            await by_hand.open()
            stack.push_async_callback(by_hand.close)
            find = by_hand.valid
        print("ready", flush=True)
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            order = json.loads(line)
            await asyncio.sleep(order["at"] - time.time())
            found = await asyncio.gather(*(find(order["id"], LEEWAY) for _ in range(number)))
            print(json.dumps({"ended_at": time.time(), "found": sum(each is not None for each in found)}), flush=True)


def main() -> None:
    """Read the arguments."""
    pin_to_server_core()
    kind, place, number = sys.argv[1:]
    uvloop.run(wait(kind, Place(**json.loads(place)), int(number)))


if __name__ == "__main__":
    main()
