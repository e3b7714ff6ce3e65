"""One process of the soak: the small app on uvicorn, with a worker's job, the daily jobs and figures about itself.

It is told its settings, its name and its ledger on the command line, and says at which port it listens.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from tests.apps import small_app
from tests.soak.ledger import Ledger
from zaikio_oauth import HubEvent, Settings, TokenEvent, ZaikioOAuth, ZaikioOAuthError


def app_of(zaikio: ZaikioOAuth) -> FastAPI:
    """Return the app with routes for what is no page."""
    app = small_app(zaikio)

    @app.get("/jobs/{bearer_id}")
    async def work(bearer_id: str) -> dict[str, Any]:
        try:
            async with zaikio.with_auth(bearer_type="Organization", bearer_id=bearer_id, valid_for=1) as token:
                return {"id": token.id, "token": str(token.token)}
        except ZaikioOAuthError as error:
            return {"error": type(error).__name__}

    @app.get("/clean")
    async def clean() -> dict[str, Any]:
        try:
            return {"cleaned": await zaikio.cleanup_access_tokens()}
        except ZaikioOAuthError as error:
            return {"error": type(error).__name__}

    @app.get("/keep-alive")
    async def keep_alive() -> dict[str, Any]:
        try:
            return {"kept_alive": await zaikio.keep_alive()}
        except ZaikioOAuthError as error:
            return {"error": type(error).__name__}

    @app.get("/figures")
    async def figures() -> dict[str, int]:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return {
            "memory": pages * os.sysconf("SC_PAGE_SIZE"),
            "files": sum(1 for _ in Path("/proc/self/fd").iterdir()),
            "tasks": len(asyncio.all_tasks()),
        }

    return app


class Hooks:
    """Note what they hear of. The one for events is late now and then, and fails now and then."""

    def __init__(self, ledger: Ledger, worker: str) -> None:
        self._ledger = ledger
        self._worker = worker

    async def on_event(self, event: HubEvent) -> None:
        self._ledger.note(self._worker, "begun", event.id)
        await asyncio.sleep(random.choice([0.0, 0.0, 0.2, 1.2]))
        if random.random() < 0.2:
            self._ledger.note(self._worker, "failed", event.id)
            raise RuntimeError("the app's own database is away")
        self._ledger.note(self._worker, "done", event.id)

    def on_token_event(self, event: TokenEvent) -> None:
        if event.kind == "lost":
            self._ledger.note(self._worker, "lost", event.access_token_id or "")


def main() -> None:
    order = json.loads(sys.argv[1])
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    hooks = Hooks(Ledger(Path(order["ledger"])), order["worker"])
    zaikio = ZaikioOAuth(Settings(**order["settings"]), on_event=hooks.on_event, on_token_event=hooks.on_token_event)
    app = app_of(zaikio)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=40))

    async def serve() -> None:
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        sys.stdout.write(f"{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        await serving

    asyncio.run(serve())


if __name__ == "__main__":
    main()
