"""Run two web servers in one process, on one event loop, and stop both with one Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp

__all__ = ["Port", "serve"]

_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


@dataclass(frozen=True)
class Port:
    """A reserved port: its sockets are already open, so nobody can take it before the server starts."""

    host: str
    wanted: int
    sockets: tuple[socket.socket, ...]

    @classmethod
    def first_free(cls, host: str, wanted: int, tries: int = 50) -> Port:
        """Open the wanted port, or else the next free one; with 0, the operating system chooses a port."""
        for number in range(wanted, wanted + tries) if wanted else [0] * tries:
            try:
                return cls(host, wanted, _listening(host, number))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
        raise OSError(f"There is no free port on {host}; tried {tries} ports, starting with {wanted}.")

    @property
    def number(self) -> int:
        """The actual port number."""
        number: int = self.sockets[0].getsockname()[1]
        return number

    @property
    def moved(self) -> bool:
        """True if the wanted port was taken."""
        return self.wanted not in (0, self.number)

    @property
    def url(self) -> str:
        """The URL for a browser on this machine."""
        name = "localhost" if self.host in ("", "0.0.0.0", "::") else self.host  # noqa: S104 (compared, not bound)
        return f"http://{f'[{name}]' if ':' in name else name}:{self.number}"


def _listening(host: str, number: int) -> tuple[socket.socket, ...]:
    """Open a socket for each address of the host: a browser may resolve ``localhost`` to 127.0.0.1 or to ::1."""
    found = socket.getaddrinfo(host or None, number, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    with contextlib.ExitStack() as undo:
        sockets: list[socket.socket] = []
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in sorted(found)):
            port = sockets[0].getsockname()[1] if sockets else number
            try:
                sock = socket.create_server((address[0], port), family=family, backlog=128)
            except OSError as error:
                if error.errno in _NO_SUCH_ADDRESS and len(found) > 1:
                    continue
                raise
            sockets.append(undo.enter_context(sock))
        if not sockets:
            raise OSError(f"{host} is not an address of this machine.")
        undo.pop_all()
    return tuple(sockets)


class _Server(uvicorn.Server):
    """A server that does not handle signals itself, and that reports when it is ready."""

    def __init__(self, app: ASGIApp) -> None:
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


async def serve(apps: list[tuple[ASGIApp, Port]], on_ready: Callable[[], None]) -> bool:
    """Serve all apps until Ctrl-C, or until one of them cannot start; True if all of them started."""
    servers = [(_Server(app), port) for app, port in apps]

    def stop() -> None:
        for server, _ in servers:
            server.should_exit = True

    async def run(server: _Server, port: Port) -> None:
        try:
            await server.serve(sockets=list(port.sockets))
        finally:
            server.ready.set()
            stop()

    with _on_signals(stop):
        running = [asyncio.create_task(run(server, port)) for server, port in servers]
        for server, _ in servers:
            await server.ready.wait()
        if all(server.started for server, _ in servers):
            on_ready()
        await asyncio.gather(*running)
    return all(server.started for server, _ in servers)


@contextlib.contextmanager
def _on_signals(stop: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        # Unlike loop.add_signal_handler, this also works on Windows.
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
