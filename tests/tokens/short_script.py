"""A script that ends while a refresh is under way: ``asyncio.run`` cancels whatever its last line has left behind."""

from __future__ import annotations

import asyncio
import json
import sys

from zaikio_oauth import Settings, ZaikioOAuth


async def main() -> None:
    order = json.loads(sys.argv[1])
    zaikio = ZaikioOAuth(Settings(**order["settings"]))
    refreshing = asyncio.create_task(zaikio.find_active_access_token(order["token_id"]))
    await asyncio.wait([refreshing], timeout=1)


if __name__ == "__main__":
    asyncio.run(main())
