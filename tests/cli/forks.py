"""Runs the command many times in processes of their own, and imports it only once."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

# Reads a list of cases, and forks a process for each of them, some of which run at once.
_FORKING = """
import json, os, sys
import aiosqlite, asyncpg, alembic.command, uvicorn
from zaikio_oauth.cli import check_report, connection_report, device_login, maintenance_report, main
from zaikio_oauth.testing import serving

def run(case):
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
        # Without the end of an interpreter, which takes half a second. Threads that are left have time to complain.
        import time
        time.sleep(0.03)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

for line in sys.stdin:
    running, statuses = {}, {}

    def wait():
        child, status = os.wait()
        statuses[running.pop(child)] = os.waitstatus_to_exitcode(status)

    for number, case in enumerate(json.loads(line)):
        while len(running) >= 8:
            wait()
        child = os.fork()
        if not child:
            run(case)
        running[child] = number
    while running:
        wait()
    print(json.dumps([statuses[number] for number in sorted(statuses)]), flush=True)
"""


@dataclass(frozen=True)
class Case:
    """A command line and the variables that are set."""

    arguments: list[str | bytes]
    environment: dict[str, str | bytes] = field(default_factory=dict)
    stdout: Path | None = None


@dataclass(frozen=True)
class Ended:
    """What is left of a process."""

    status: int
    stdout: str
    stderr: str


class Forks:
    """One process that has imported the command, and whose children run it. Use it in ``with``."""

    def __init__(self, cwd: Path, environment: dict[str, str]) -> None:
        self.cwd = cwd
        self._process = subprocess.Popen(
            # Older versions of typer import what is deprecated in newer ones of Click.
            [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning:typer", "-c", _FORKING],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def run(self, *cases: Case) -> list[Ended]:
        """Run the command with each of the cases, and return how it ended each time."""
        sent = [self._with_files(number, case) for number, case in enumerate(cases)]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(sent) + "\n")
        self._process.stdin.flush()
        statuses = self._process.stdout.readline()
        assert statuses, self._process.communicate()[1]
        return [
            Ended(status, *(self._file(number, stream).read_text(errors="replace") for stream in ("stdout", "stderr")))
            for number, status in enumerate(json.loads(statuses))
        ]

    def _file(self, number: int, stream: str) -> Path:
        return self.cwd / f".{number}.{stream}"

    def _with_files(self, number: int, case: Case) -> dict[str, Any]:
        files = {stream: self._file(number, stream) for stream in ("stdout", "stderr")}
        for file in files.values():
            file.write_bytes(b"")
        return {
            "arguments": [_hex(argument) for argument in case.arguments],
            "environment": {name: _hex(value) for name, value in case.environment.items()},
            "stdout": str(case.stdout or files["stdout"]),
            "stderr": str(files["stderr"]),
            "cwd": str(self.cwd),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate(timeout=10)


def _hex(value: str | bytes) -> str:
    return (value.encode() if isinstance(value, str) else value).hex()
