"""Runs the command many times in processes of their own, and imports it only once."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

# Reads one case after the other, and forks a process for each of them.
_FORKING = """
import json, os, sys
from pathlib import Path
import zaikio_oauth.cli.commands, aiosqlite, asyncpg, alembic.command, uvicorn
from zaikio_oauth.cli import main
for line in sys.stdin:
    case = json.loads(line)
    child = os.fork()
    if not child:
        for descriptor, path in enumerate([os.devnull, case["stdout"], case["stderr"]]):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), descriptor)
        os.chdir(case["cwd"])
        os.environ.update({name: os.fsdecode(bytes.fromhex(value)) for name, value in case["environment"].items()})
        sys.argv = ["zaikio-oauth", *(os.fsdecode(bytes.fromhex(value)) for value in case["arguments"])]
        status = 1
        try:
            main()
        except SystemExit as ended:
            status = ended.code
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            # As at the end of every process: threads first, then the streams.
            import threading
            threading._shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@dataclass(frozen=True)
class Ended:
    """What is left of a process."""

    status: int
    stdout: str
    stderr: str


class Forks:
    """One process that has imported the command, and whose children run it. Use it in ``with``."""

    def __init__(self, cwd: Path, environment: dict[str, str]) -> None:
        self._cwd = cwd
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", _FORKING],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def run(
        self, arguments: list[str | bytes], environment: dict[str, str | bytes], *, stdout: Path | None = None
    ) -> Ended:
        """Run the command to its end."""
        streams = [self._cwd / ".stdout", self._cwd / ".stderr"]
        for stream in streams:
            stream.write_bytes(b"")
        case: dict[str, Any] = {
            "arguments": [_hex(argument) for argument in arguments],
            "environment": {name: _hex(value) for name, value in environment.items()},
            "stdout": str(stdout or streams[0]),
            "stderr": str(streams[1]),
            "cwd": str(self._cwd),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(case) + "\n")
        self._process.stdin.flush()
        status = self._process.stdout.readline()
        assert status, self._process.communicate()[1]
        return Ended(int(status), streams[0].read_text(errors="replace"), streams[1].read_text(errors="replace"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate(timeout=10)


def _hex(value: str | bytes) -> str:
    return (value.encode() if isinstance(value, str) else value).hex()
