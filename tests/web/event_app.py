"""An app of its own process, configured by the environment, whose ``on_event`` never comes to its end."""

from __future__ import annotations

import asyncio
import time

from tests.app_server import AppServer
from tests.apps import small_app
from zaikio_oauth import HubEvent, ZaikioOAuth


def say(line: str) -> None:
    """Tell the test."""
    print(line, flush=True)  # noqa: T201


async def on_event(event: HubEvent) -> None:
    """Hang, as code does that waits for something else."""
    say("called")
    await asyncio.sleep(60)


if __name__ == "__main__":
    with AppServer(small_app(ZaikioOAuth(on_event=on_event))) as server:
        say(f"{server.url}/zaikio/webhook")
        time.sleep(60)
