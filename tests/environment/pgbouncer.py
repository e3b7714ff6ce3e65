"""A real PgBouncer before a real PostgreSQL, on a free TCP port of this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

__all__ = ["pgbouncer", "readable_by_nobody"]


@contextmanager
def pgbouncer(command: str, postgresql_url: str, folder: Path, **settings: str) -> Iterator[str]:
    """Yield its URL. It is in transaction mode and has two server connections; ``settings`` are added to its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    parts = urlsplit(postgresql_url)
    name = parts.path.lstrip("/")
    (folder / "users.txt").write_text('"zaikio" ""\n')
    own = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "auth_type": "trust",
        "auth_file": f"{folder}/users.txt",
        "pool_mode": "transaction",
        "default_pool_size": "2",
        "ignore_startup_parameters": "extra_float_digits",
        "unix_socket_dir": "",
    }
    lines = [f"{key} = {value}" for key, value in (own | settings).items()]
    configuration = folder / "pgbouncer.ini"
    databases = f"[databases]\n{name} = host=127.0.0.1 port={parts.port} user=zaikio\n"
    configuration.write_text(databases + "\n".join(["[pgbouncer]", *lines]))
    readable_by_nobody(folder)
    as_nobody: dict[str, Any] = {"user": "nobody"} if os.geteuid() == 0 else {}
    with subprocess.Popen(
        [command, "-q", str(configuration)], cwd="/", stderr=subprocess.DEVNULL, **as_nobody
    ) as process:
        try:
            for _ in range(100):
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.05)
            yield f"postgresql+asyncpg://zaikio@127.0.0.1:{port}/{name}"
        finally:
            process.terminate()


def readable_by_nobody(folder: Path) -> None:
    """Let the programs that are run as nobody, because they refuse to run as root, read what is in the folder."""
    folder.chmod(0o755)
    for path in [folder, *folder.parents]:
        if path.stat().st_uid == 0 and path != Path("/") and not path.stat().st_mode & 0o001:
            path.chmod(path.stat().st_mode | 0o011)
