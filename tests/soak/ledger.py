"""What the hooks of all processes have noted: calls for events of the Hub, and grants that are lost."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

__all__ = ["Ledger"]

KILLED_BEFORE_IT_TOLD = 6.0
"""Seconds within which a process must have been killed that has marked a grant as lost and not told of it."""


class Ledger:
    """A file to which every process appends lines. A line is complete also if its process is killed."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def note(self, worker: str, what: str, about: str) -> None:
        """Append that the ``worker`` has ``begun``, ``done`` or ``failed`` to deal with an event, or told ``lost``."""
        with self._file.open("a") as file:
            file.write(f"{time.time():.3f} {worker} {what} {about}\n")

    def notes(self) -> list[tuple[str, str, str]]:
        """Return worker, what and about what of each line, in order."""
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        return [(worker, what, about) for _, worker, what, about in (line.split(" ", 3) for line in lines)]

    def counts(self) -> Counter[str]:
        """Return how often each thing has happened."""
        return Counter(what for _, what, _ in self.notes())

    def said_of(self, about: str) -> list[str]:
        """Return the lines about an event or a grant."""
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        return [line for line in lines if line.endswith(f" {about}")]

    def wrong_about_events(self, taken: Collection[str], unreliable: Collection[str]) -> Iterator[str]:
        """Yield each event that was not dealt with, or more than once, by processes that were not killed or stopped."""
        calls: dict[str, Counter[str]] = defaultdict(Counter)
        workers: dict[str, set[str]] = defaultdict(set)
        for worker, what, about in self.notes():
            if what != "lost":
                calls[about][what] += 1
                workers[about].add(worker)
        for event_id in {*taken, *calls}:
            call = calls[event_id]
            if event_id in taken and not call["done"]:
                yield f"event {event_id} was taken and never dealt with: {dict(call)}"
            elif workers[event_id].isdisjoint(unreliable) and (
                call["done"] > 1 or call["begun"] != call["done"] + call["failed"]
            ):
                yield f"event {event_id} was not dealt with once: {dict(call)}"

    def wrong_about_losses(self, lost_at: Mapping[str, float], kills: Collection[float]) -> Iterator[str]:
        """Yield each grant of which was not told once that it is lost. ``lost_at``: those that are marked, and when."""
        told = Counter(about for _, what, about in self.notes() if what == "lost")
        for grant_id, count in told.items():
            if count > 1:
                yield f"{grant_id} was told {count} times to be lost"
        for grant_id, marked in lost_at.items():
            if not told[grant_id] and not any(0 <= kill - marked + 1 <= KILLED_BEFORE_IT_TOLD + 1 for kill in kills):
                yield f"{grant_id} is marked as lost, and nobody was told"
