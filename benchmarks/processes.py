"""The processes that a benchmark starts: servers of apps, the Hub, waiters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

__all__ = ["ROOT", "Hub", "Process"]

ROOT = Path(__file__).parents[1]
PATIENCE = 10.0


class Process:
    """A Python module that runs in a process of its own until its stdin ends. It says on stdout when it is ready."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._module = module
        command = [sys.executable, "-m", module, *arguments]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        self.said = ""

    def __enter__(self) -> Self:
        """Wait until it is ready."""
        self.said = self.ask()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def id(self) -> int:
        """The id of the process."""
        return self._process.pid

    def tell(self, line: str) -> None:
        """Send it a line."""
        if self._process.stdin is None:
            raise RuntimeError("The process has no stdin.")
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def ask(self) -> str:
        """Return the next line that it says."""
        said = self._process.stdout
        line: str = said.readline().strip() if said else ""
        if not line:
            raise RuntimeError(f"{self._module} has ended with status {self._process.wait(PATIENCE)}.")
        return line


class Hub(Process):
    """A local Hub."""

    def __init__(self) -> None:
        super().__init__("benchmarks.hub_server")

    @property
    def url(self) -> str:
        """Where it is."""
        return self.said

    def do(self, **order: Any) -> Any:
        """Give it an order, such as ``grants=100`` or ``latency=0.1``, and return its answer."""
        return httpx.post(f"{self.url}/benchmark", json=order, timeout=60, verify=False).raise_for_status().json()  # noqa: S501
