"""One process of an app: uvicorn on a real socket, with routes for what else an app does.

It is told its settings and port on the command line, and says ``ready`` when it listens.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from tests.faults.stage import app_of
from zaikio_oauth import HubEvent, Settings, ZaikioOAuth, ZaikioOAuthError


def app_with_workers(zaikio: ZaikioOAuth) -> FastAPI:
    """Return the small app with routes that do what a worker does, and that do what no app should."""
    app = app_of(zaikio)

    @app.get("/jobs/{bearer_type}/{bearer_id}")
    async def work(bearer_type: str, bearer_id: str) -> dict[str, Any]:
        try:
            async with zaikio.with_auth(bearer_type=bearer_type, bearer_id=bearer_id) as token:
                return {"id": token.id, "jti": token.jti, "expires_in": token.expires_in}
        except ZaikioOAuthError as error:
            return {"error": type(error).__name__, "message": str(error)}

    @app.get("/keep-alive")
    async def keep_alive() -> int:
        return await zaikio.keep_alive()

    @app.get("/connections")
    async def connections() -> dict[str, str]:
        return {each.bearer_id: each.health async for each in zaikio.connections(bearer_type="Person")}

    @app.get("/block/{seconds}")
    async def block(seconds: float) -> str:
        time.sleep(seconds)
        return "unblocked"

    @app.get("/left")
    async def left() -> list[str]:
        waiting = asyncio.all_tasks() - {asyncio.current_task()}
        return [str(task.get_coro()) for task in waiting]

    return app


def noted_in(file: Path) -> Callable[[HubEvent], Awaitable[None]]:
    """Return a hook that takes as long as the event says, and notes when it begins and when it is done."""

    async def on_event(event: HubEvent) -> None:
        with file.open("a") as notes:
            notes.write(f"begun {event.id}\n")
        await asyncio.sleep(event.payload.get("seconds", 0))
        with file.open("a") as notes:
            notes.write(f"done {event.id}\n")

    return on_event


def main() -> None:
    order = json.loads(sys.argv[1])
    # By its protocol asyncio knows that it is TCP, and does not wait for acknowledgements between head and body.
    listening = socket.socket(proto=socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", order["port"]))
    zaikio = ZaikioOAuth(Settings(**order["settings"]), on_event=noted_in(Path(order["notes"])))
    config = uvicorn.Config(app_with_workers(zaikio), log_level="warning", timeout_graceful_shutdown=30)
    server = uvicorn.Server(config)

    async def serve() -> None:
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await serving

    asyncio.run(serve())


if __name__ == "__main__":
    main()
