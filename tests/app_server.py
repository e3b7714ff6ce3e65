"""An app on a real socket, with its start-up and its shutdown."""

from __future__ import annotations

import socket
import threading
import time
from types import TracebackType
from typing import Self

import uvicorn
from starlette.types import ASGIApp

__all__ = ["AppServer"]

SECONDS = 30.0


class AppServer:
    """Serves an app at ``url``, in a thread and an event loop of its own, while the ``with`` block runs.

    At the end it is shut down as by SIGTERM: requests under way are answered, then the app's lifespan ends.
    """

    def __init__(self, app: ASGIApp, *, root_path: str = "") -> None:
        # The local Hub silences uvicorn, whose loggers belong to the whole process.
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="info",
            lifespan="on",
            ws="none",
            timeout_graceful_shutdown=20,
            root_path=root_path,
        )
        self._server = uvicorn.Server(config)
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        started = time.monotonic()
        while not self._server.started:
            assert self._thread.is_alive(), "the app did not start"
            assert time.monotonic() - started < SECONDS, "the app has not started in time"
            time.sleep(0.005)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        self._socket.close()
        assert not self._thread.is_alive(), "the app has not stopped in time"

    def stop(self) -> None:
        """Shut the app down, and wait until it has stopped."""
        self._server.should_exit = True
        self._thread.join(SECONDS)
