"""The processes of the soak: four app servers, each with a way of its own to the one Hub, so that we know who got what."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from zaikio_oauth.testing import HubServer, LocalHub

__all__ = ["Fleet", "Worker"]

ROOT = Path(__file__).parents[2]
EXIT_SECONDS = 60.0

EXPECTED = re.compile(
    # The hook of the soak fails on purpose.
    r"(?<=because the hook on_event has failed; Loom delivers it again\.\n)Traceback"
    # asyncpg forgets a future of its own if it is interrupted while it connects.
    r"|Future exception was never retrieved\n.*unexpected connection_lost\(\) call"
)


class Counter:
    """The Hub as one worker sees it. It notes which tokens it issues to that worker, before the worker hears of them."""

    def __init__(self, hub: LocalHub, worker: str, issued: dict[str, str]) -> None:
        self._hub = hub
        self._worker = worker
        self._issued = issued

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def noted(message: Message) -> None:
            if message["type"] == "http.response.body" and scope["path"] == "/oauth/access_token":
                with contextlib.suppress(ValueError, TypeError, AttributeError):
                    token = json.loads(message.get("body", b"")).get("access_token")
                    if token:
                        self._issued[token] = self._worker
                        # The way back takes a moment, in which a process can be killed.
                        await asyncio.sleep(random.uniform(0.0, 0.1))
            await send(message)

        await self._hub(scope, receive, noted)


@dataclass(eq=False)
class Worker:
    """One process and its end."""

    name: str
    url: str
    process: asyncio.subprocess.Process
    way: ExitStack
    log: Path
    figures: list[dict[str, int]] = field(default_factory=list)

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)


@dataclass
class Fleet:
    """The workers that run, and what became of the others."""

    hub: LocalHub
    settings: dict[str, Any]
    folder: Path
    ledger: Path
    workers: list[Worker] = field(default_factory=list)
    issued: dict[str, str] = field(default_factory=dict)
    """Access token: the name of the worker to which the Hub has issued it."""
    killed: set[str] = field(default_factory=set)
    kills: list[float] = field(default_factory=list)
    """When."""
    stopped: set[str] = field(default_factory=set)
    ended: list[Worker] = field(default_factory=list)
    started: int = 0

    async def start(self) -> Worker:
        """Start one more worker."""
        self.started += 1
        name = f"worker-{self.started}"
        way = ExitStack()
        server = await asyncio.to_thread(way.enter_context, HubServer(Counter(self.hub, name, self.issued)))
        log = self.folder / f"{name}.log"
        order = {"settings": self.settings | {"host": server.url}, "worker": name, "ledger": str(self.ledger)}
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.soak.server",
                json.dumps(order),
                cwd=ROOT,
                env={name: value for name, value in os.environ.items() if not name.startswith("ZAIKIO_")},
                stdout=asyncio.subprocess.PIPE,
                stderr=output,
            )
        assert process.stdout is not None
        port = (await process.stdout.readline()).decode().strip()
        assert port, log.read_text()
        worker = Worker(name, f"http://127.0.0.1:{port}", process, way, log)
        self.workers.append(worker)
        return worker

    def any(self) -> Worker:
        return random.choice(self.workers)

    async def kill(self, worker: Worker) -> None:
        """End it as ``kill -9`` does, and start another one."""
        self.workers.remove(worker)
        worker.signal(signal.SIGKILL)
        self.killed.add(worker.name)
        self.kills.append(time.time())
        await self._over(worker)
        await self.start()

    async def terminate(self, worker: Worker, *, replace: bool = True) -> bool:
        """End it as a deployment does; return False if it does not end by itself."""
        self.workers.remove(worker)
        worker.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(EXIT_SECONDS):
                await worker.process.wait()
        except TimeoutError:
            worker.signal(signal.SIGKILL)
            await self._over(worker)
            return False
        await self._over(worker)
        if replace:
            await self.start()
        return True

    async def stop_for(self, worker: Worker, seconds: float) -> None:
        """Stop it and let it go on."""
        worker.signal(signal.SIGSTOP)
        self.stopped.add(worker.name)
        await asyncio.sleep(seconds)
        worker.signal(signal.SIGCONT)

    async def close(self) -> None:
        """Kill whatever still runs."""
        for worker in list(self.workers):
            worker.signal(signal.SIGKILL)
            await self._over(worker)

    async def _over(self, worker: Worker) -> None:
        await worker.process.wait()
        await asyncio.to_thread(worker.way.close)
        self.ended.append(worker)

    def said_of(self, text: str) -> list[str]:
        """Return what the logs say of a grant."""
        return [
            f"{worker.name}: {line}"
            for worker in (*self.ended, *self.workers)
            for line in worker.log.read_text(errors="replace").splitlines()
            if text in line
        ]

    def complaints(self) -> Iterator[str]:
        """Yield what the logs say that no log should: tracebacks of ours, tasks that nobody awaited."""
        for worker in (*self.ended, *self.workers):
            text = worker.log.read_text(errors="replace")
            text = re.sub(EXPECTED, "", text)
            for bad in ("Traceback", "never retrieved", "never awaited", "was destroyed"):
                if bad in text:
                    yield f"{worker.name}: {text[max(0, text.index(bad) - 300) :][:1500]}"
                    break
