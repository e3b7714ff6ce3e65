"""Serves one app on one core until stdin ends: ``python -m benchmarks.app_server NAME PLACE``."""

from __future__ import annotations

import json
import socket
import sys
import threading

import uvicorn

from benchmarks.apps import APPS
from benchmarks.listening import listen
from benchmarks.machine import pin_to_server_core
from benchmarks.place import Place


class Server(uvicorn.Server):
    """Says on stdout where it is, once it has started."""

    url = ""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self.url, flush=True)

    def end_with_stdin(self) -> None:
        """Wait for the end of stdin."""
        sys.stdin.read()
        self.should_exit = True


def main() -> None:
    """Serve."""
    pin_to_server_core()
    name, place = sys.argv[1:]
    listening, url = listen()
    app = APPS[name](Place(**json.loads(place)))
    server = Server(
        uvicorn.Config(app, loop="uvloop", http="httptools", ws="none", log_level="warning", access_log=False)
    )
    server.url = url
    threading.Thread(target=server.end_with_stdin, daemon=True).start()
    server.run(sockets=[listening])


if __name__ == "__main__":
    main()
