"""An app in a process of its own, on a socket that its parent has opened: ``python app_process.py <settings> <fd>``."""

from __future__ import annotations

import json
import socket
import sys

import uvicorn

from tests.apps import small_app
from zaikio_oauth import Settings, ZaikioOAuth

if __name__ == "__main__":
    app = small_app(ZaikioOAuth(Settings(**json.loads(sys.argv[1]))))
    config = uvicorn.Config(app, log_config=None, lifespan="on", ws="none")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[2]))])
