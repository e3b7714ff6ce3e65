"""What cron does beside the app: ``python -m benchmarks.upkeep_worker PLACE KEY``.

Each line on stdin is an order: ``rotate`` encrypts all rows with the other key, ``end ROWS`` stores so many grants that
have ended, ``clean up`` deletes them. The answer is how many rows that were. ``compute`` keeps a core busy, and asks no
database.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from dataclasses import replace
from datetime import timedelta

import uvloop

from benchmarks.ours import zaikio
from benchmarks.place import Place
from benchmarks.rows import fill, some_grants

COMPUTED = 3_000_000
"""How many digests are computed: for a few seconds."""


async def serve(place: Place, keys: list[str]) -> None:
    """Obey until stdin ends."""
    print("ready", flush=True)
    while line := await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
        order, _, number = line.strip().partition(" ")
        if order == "end":
            ended = some_grants(
                int(number), lives_for=timedelta(days=-7), refresh_lives_for=timedelta(days=-1), told_as_lost=True
            )
            done = len(await fill(place.database_url, keys[0], ended))
        elif order == "compute":
            for _ in range(done := COMPUTED):
                hashlib.sha256(bytes(1_000))
        else:
            if order == "rotate":
                keys.reverse()
            async with zaikio(replace(place, key=keys[1]), key=keys[0]) as ours:
                done = await (ours.rotate_encryption_keys() if order == "rotate" else ours.cleanup_access_tokens())
        print(done, flush=True)


def main() -> None:
    """Read the arguments. It runs on whichever core is free, and after everybody else, as our crontab has it."""
    place = Place(**json.loads(sys.argv[1]))
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    os.nice(10)
    uvloop.run(serve(place, [place.key, sys.argv[2]]))


if __name__ == "__main__":
    main()
