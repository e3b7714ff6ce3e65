"""Explores every schedule of a scenario in several operating system processes that share what they have visited."""

from __future__ import annotations

import gc
import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

from tests.interleavings.explorer import Explorer
from tests.interleavings.strategies import ROOT, Asleep, Branch, Seen

__all__ = ["explore_in_processes"]

# So many at a time that handing them over costs little, and so few that nobody waits for long.
RUNS = 64

# Objects keep their hashes in a fork, by which states are compared.
FORKS = multiprocessing.get_context("fork")


class _Asked:
    """Asks the process that keeps the visited states."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def visit(self, state: int, asleep: Asleep) -> bool:
        self._connection.send((state, asleep))
        return bool(self._connection.recv())


def explore_in_processes(explorer: Explorer, count: int, tell: Callable[[Explorer, int], None]) -> Explorer:
    """Explore until nothing is left; ``tell`` is called every ten seconds, with the number of branches that wait."""
    connections = [_started(explorer) for _ in range(count)]
    seen, waiting, idle, said = Seen(), [ROOT], list(connections), time.monotonic()
    while waiting or len(idle) < count:
        while waiting and idle:
            idle.pop().send(waiting.pop())
        for connection in wait([each for each in connections if each not in idle]):
            assert isinstance(connection, Connection)
            message: Any = connection.recv()
            if len(message) == 2:
                connection.send(seen.visit(*message))
                continue
            runs, bad, branches = message
            explorer.runs += runs
            for fault, actions in bad.items():
                explorer.note(fault, actions)
            waiting += branches
            idle.append(connection)
        explorer.states = len(seen)
        if time.monotonic() > said + 10:
            said = time.monotonic()
            tell(explorer, len(waiting))
    for connection in connections:
        connection.send(None)
    explorer.complete = True
    return explorer


def _started(explorer: Explorer) -> Connection:
    ours, theirs = FORKS.Pipe()
    FORKS.Process(target=_work, args=(explorer, theirs), daemon=True).start()
    theirs.close()
    return ours


def _work(explorer: Explorer, connection: Connection) -> None:
    gc.freeze()
    seen = _Asked(connection)
    while (branch := connection.recv()) is not None:
        waiting: list[Branch] = [branch]
        explorer.runs, explorer.bad = 0, {}
        while waiting and explorer.runs < RUNS:
            explorer.go_on(seen, waiting)
        connection.send((explorer.runs, explorer.bad, waiting))
