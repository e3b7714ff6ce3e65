"""One process of a storm: it waits for the signal, requests a token with many tasks at once, and prints the results."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from zaikio_oauth import Settings, ZaikioOAuth


async def main() -> None:
    order: dict[str, Any] = json.loads(sys.argv[1])
    async with ZaikioOAuth(Settings(**order["settings"])) as zaikio:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        started = time.monotonic()
        if token_id := order.get("token_id"):
            calls = [zaikio.find_active_access_token(token_id) for _ in range(order["tasks"])]
        else:
            calls = [zaikio.get_access_token(**order["wanted"]) for _ in range(order["tasks"])]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        seconds = time.monotonic() - started
    tokens = [token for token in outcomes if token is not None and not isinstance(token, BaseException)]
    told = {
        "ids": sorted({token.id for token in tokens}),
        "jtis": sorted({token.jti for token in tokens}),
        "got": len(tokens),
        "none": sum(token is None for token in outcomes),
        "errors": [repr(error) for error in outcomes if isinstance(error, BaseException)],
        "seconds": seconds,
    }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
