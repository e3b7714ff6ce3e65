"""Explore every schedule of two or three processes that refresh at once, however long it takes.

Usage: python -m tests.interleavings {two,three} [--crashes N] [--stops N] [--processes N]
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time

from tests.interleavings.explorer import Explorer
from tests.interleavings.in_processes import explore_in_processes
from tests.interleavings.promises import faults
from tests.interleavings.scenarios import THREE, TWO
from tests.interleavings.stores import LEASE, DoubleStore

# Long enough for a take-over and for what the one that took over does next.
LONGEST_STOP = 1.5 * LEASE


def main() -> int:
    """Explore, and return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.interleavings", description=__doc__.partition("\n")[0])
    parser.add_argument("scenario", choices=["two", "three"], help="how many processes refresh the grant")
    parser.add_argument("--crashes", type=int, default=0, help="how many of them are killed in a run at most")
    parser.add_argument("--stops", type=int, default=0, help="how many are stopped for longer than a lease lives")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many processes explore")
    wanted = parser.parse_args()
    # The warnings of a million runs say nothing.
    logging.disable(logging.CRITICAL)
    began = time.monotonic()
    explorer = Explorer(
        {"two": TWO, "three": THREE}[wanted.scenario],
        DoubleStore(),
        crashes=wanted.crashes,
        stalls=wanted.stops,
        longest_stall=LONGEST_STOP,
        check=faults,
    )

    def tell(explorer: Explorer, waiting: int) -> None:
        since = time.monotonic() - began
        sys.stdout.write(
            f"{since:6.0f} s: {explorer.runs:,} schedules, {explorer.states:,} states, {waiting:,} to go on from, "
            f"{len(explorer.bad)} promises broken\n"
        )
        sys.stdout.flush()

    explore_in_processes(explorer, wanted.processes, tell)
    tell(explorer, 0)
    for fault, schedule in explorer.bad.items():
        sys.stdout.write(f"{fault}: {'; '.join(schedule)}\n")
    return 1 if explorer.bad else 0


if __name__ == "__main__":
    sys.exit(main())
