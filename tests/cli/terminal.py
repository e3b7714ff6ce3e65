"""A terminal in which the command runs."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import time
from typing import Self

from tests.cli.test_commands import COMMAND, environment


class Terminal:
    """A terminal that runs the command."""

    def __init__(self, *arguments: str, columns: int = 80, colours: bool = False, **settings: str) -> None:
        self._screen, other_end = pty.openpty()
        os.set_blocking(self._screen, False)
        surroundings = environment(**settings) | {"COLUMNS": str(columns), "PYTHONIOENCODING": "utf-8", "TERM": "xterm"}
        if colours:
            del surroundings["NO_COLOR"]
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=other_end,
            stdout=other_end,
            stderr=other_end,
            env=surroundings,
            start_new_session=True,
            # A process in the background may ignore Ctrl-C, but one that a person starts in a terminal does not.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        os.close(other_end)
        self.shown = ""

    def read(self) -> str:
        """Return the whole output so far."""
        try:
            while part := os.read(self._screen, 65536):
                self.shown += part.decode()
        except (BlockingIOError, OSError):
            pass  # There is no new output, or the other end is closed.
        return self.shown

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until the output matches the pattern, and return the match."""
        started = time.monotonic()
        while (found := re.search(pattern, self.read())) is None:
            assert time.monotonic() - started < 30, self.shown
            time.sleep(0.05)
        return found

    def end(self) -> int:
        """Wait for the end of the process, and return its exit status."""
        status = self.process.wait(30)
        self.read()
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._screen)
