"""A local Hub on a real socket."""

from __future__ import annotations

import socket
import threading
import time
from types import TracebackType
from typing import Any, Self

import uvicorn

__all__ = ["HubServer"]

_START_SECONDS = 10.0


class HubServer:
    """Serves a Hub at ``url``, in a thread of its own, while the ``with`` block runs. Port 0 picks a free port.

    Raises OSError if the port is taken, and RuntimeError if the server has not started within 10 seconds.

        with HubServer(LocalHub()) as server:
            configure(Settings(host=server.url))
    """

    def __init__(self, hub: Any, host: str = "127.0.0.1", port: int = 0) -> None:
        self.hub = hub
        config = uvicorn.Config(hub, log_config=None, log_level="critical", lifespan="off", ws="none")
        self._server = uvicorn.Server(config)
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((host, port))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self.url: str = f"http://{host}:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        """Start the server and wait until it is listening."""
        self._thread.start()
        started = time.monotonic()
        while not self._server.started:
            if time.monotonic() - started > _START_SECONDS or not self._thread.is_alive():
                raise RuntimeError("The local Hub did not start.")
            time.sleep(0.005)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the server and free its port."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(_START_SECONDS)
        self._socket.close()
