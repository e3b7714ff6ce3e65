"""Sockets on which servers of the benchmark listen."""

from __future__ import annotations

import socket

__all__ = ["listen"]


def listen() -> tuple[socket.socket, str]:
    """Return a socket on a free port of this machine, and its address."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    return listening, f"http://127.0.0.1:{listening.getsockname()[1]}"
