"""One process of the soak: the small app on uvicorn, with a worker's job, the daily cleanup and figures about itself."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from tests.apps import small_app
from zaikio_oauth import Settings, ZaikioOAuth, ZaikioOAuthError


def app_of(zaikio: ZaikioOAuth) -> FastAPI:
    """Return the app with routes for what is no page."""
    app = small_app(zaikio)

    @app.get("/jobs/{bearer_id}")
    async def work(bearer_id: str) -> dict[str, Any]:
        try:
            async with zaikio.with_auth(bearer_type="Organization", bearer_id=bearer_id) as token:
                return {"id": token.id, "token": str(token.token)}
        except ZaikioOAuthError as error:
            return {"error": type(error).__name__}

    @app.get("/clean")
    async def clean() -> dict[str, Any]:
        try:
            return {"cleaned": await zaikio.cleanup_access_tokens()}
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


def main() -> None:
    order = json.loads(sys.argv[1])
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    app = app_of(ZaikioOAuth(Settings(**order)))
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
