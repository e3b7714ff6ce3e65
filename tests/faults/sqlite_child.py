"""A process in which SQLite cannot write: because the files are read-only, or because the disk is full.

Neither can be done to the process of the tests: it may be root's, whom no file mode stops, and it writes files itself.
The process prints which promises were broken.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import resource
import sys
from pathlib import Path

from tests.faults.cells import Fault, assert_promises_are_kept, assert_promises_are_kept_from_the_start
from tests.faults.stage import Stage, a_hub
from zaikio_oauth.testing import HubServer


class ReadOnly:
    """Takes away the permission to write, as another user than root."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self) -> None:
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            for path in (self._folder, *self._folder.iterdir()):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
            os.setgroups([])
            os.setresgid(nobody.pw_gid, nobody.pw_gid, nobody.pw_gid)
            os.setresuid(nobody.pw_uid, nobody.pw_uid, nobody.pw_uid)
        self._set(0o444, 0o555)

    def end(self) -> None:
        self._set(0o644, 0o755)

    def _set(self, file_mode: int, folder_mode: int) -> None:
        self._folder.chmod(0o755)
        for path in self._folder.iterdir():
            path.chmod(file_mode)
        self._folder.chmod(folder_mode)


def limit_files(size: int) -> None:
    """Let no file of this process grow beyond this size, as a full disk or a quota does."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))


async def main(fault: str, folder: Path) -> None:
    hub, url = a_hub(), f"sqlite:///{folder}/app.db"
    with HubServer(hub) as server:
        stage = Stage(hub, server.url, url, url)
        if fault == "read-only":
            files = ReadOnly(folder)
            await assert_promises_are_kept_from_the_start(stage, Fault(fault, files.begin, 3, files.end))
        else:
            unlimited = resource.RLIM_INFINITY
            await assert_promises_are_kept(
                (stage, Fault(fault, lambda: limit_files(1), 3, lambda: limit_files(unlimited)))
            )


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
    except AssertionError as broken:
        sys.exit(str(broken))
