"""The lease and the refresh under every schedule: who goes next, who crashes, who is stopped longer than a lease lives.

``make fuzz`` explores further: more faults in one run, three processes, for as long as one likes.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.fuzz.budget import Budget
from tests.interleavings.explorer import Explorer, Run, Scenario
from tests.interleavings.promises import faults, faults_of_a_logout
from tests.interleavings.scenarios import AHEAD, AHEAD_AND_NOW, LOGOUT, THREE, TWO, WORKERS
from tests.interleavings.stores import LEASE, DoubleStore, RealStore
from zaikio_oauth import AccessToken


class SpentStore(DoubleStore):
    """Its grant has a refresh token that the Hub no longer accepts."""

    def reset(self) -> str:
        grant = super().reset()
        spent = self.kept[grant].token.model_copy(update={"refresh_token": "refresh-0"})
        self.kept[grant] = replace(self.kept[grant], token=spent)
        return grant


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The warnings of thousands of runs say nothing."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def explored(budget: Budget, name: str, explorer: Explorer, runs: int | None) -> Explorer:
    """Explore within the budget, and report."""
    if budget.seconds is None or runs is None:
        explorer.explore(runs=runs)
    else:
        explorer.explore(seconds=budget.seconds, seed=budget.seed)
    counts = {"schedules": explorer.runs, "states": explorer.states}
    budget.tell(f"{name}{', all there are' if explorer.complete else ''}", counts)
    assert {fault: "; ".join(schedule) for fault, schedule in explorer.bad.items()} == {}
    return explorer


def test_two_processes_that_refresh_at_once(budget: Budget) -> None:
    """Every schedule of two healthy processes: one request, one new token for both, no lease left."""
    explorer = explored(budget, "two processes", Explorer(TWO, DoubleStore(), check=faults), None)
    assert explorer.complete and explorer.runs > 100


@pytest.mark.parametrize("scenario", [AHEAD, AHEAD_AND_NOW], ids=["both ahead", "one ahead"])
def test_two_processes_that_renew_ahead_of_time(budget: Budget, scenario: Scenario) -> None:
    """One request as well, whether the other one renews ahead of time, too, or must have another token now."""
    explorer = explored(budget, "two processes ahead", Explorer(scenario, DoubleStore(), check=faults), None)
    assert explorer.complete and explorer.runs > 100


def test_a_renewal_ahead_of_time_that_is_refused(budget: Budget) -> None:
    """Two processes send a refresh token that the Hub does not accept once, and show the living token."""

    def refused(run: Run) -> list[str]:
        shown = [isinstance(each.value, AccessToken) and each.value.token for each in run.outcomes.values()]
        asked = len(run.world.hub.refreshes)
        return [] if (asked, set(shown)) == (1, {"access-1"}) else [f"{asked} requests, {shown} shown"]

    explored(budget, "a refusal ahead", Explorer(AHEAD, SpentStore(), check=refused), 400)


def test_a_process_that_renews_ahead_of_time_is_killed(budget: Budget) -> None:
    """The other one renews it when the lease is over, and loses nothing."""
    explored(budget, "ahead, a crash", Explorer(AHEAD, DoubleStore(), crashes=1, check=faults), 250)


def test_a_process_is_killed(budget: Budget) -> None:
    """A ``kill -9`` before any step: the other process goes on when the lease is over, and loses nothing."""
    explorer = explored(budget, "two processes, a crash", Explorer(TWO, DoubleStore(), crashes=1, check=faults), None)
    assert explorer.complete and explorer.runs > 600


def test_a_process_is_stopped(budget: Budget) -> None:
    """A SIGSTOP for longer than a lease before any step: who wakes overwrites nothing, and nobody is logged out."""
    # So short that whoever takes over still waits for what the stopped process has got.
    explorer = Explorer(TWO, DoubleStore(), stalls=1, longest_stall=3 * LEASE, check=faults)
    explored(budget, "two processes, a stop", explorer, 700)


def test_a_logout_during_a_refresh(budget: Budget) -> None:
    """Whatever the order of a logout and a refresh: nothing is stored, and nothing lives on at the Hub."""
    explorer = explored(budget, "a logout", Explorer(LOGOUT, DoubleStore(), check=faults_of_a_logout), None)
    assert explorer.complete and explorer.runs > 200


@pytest.mark.parametrize(
    "crashes, stalls, name",
    [(0, 0, "three processes"), (1, 0, "three processes, a crash"), (0, 1, "three processes, a stop")],
)
def test_three_processes(budget: Budget, crashes: int, stalls: int, name: str) -> None:
    """No schedule twice, as far as the budget goes; with time enough, all there are."""
    explorer = Explorer(THREE, DoubleStore(), crashes=crashes, stalls=stalls, longest_stall=1.5 * LEASE, check=faults)
    explored(budget, name, explorer, 250)


@pytest.mark.parametrize("crashes, stalls", [(1, 1), (2, 1), (0, 2)])
def test_three_processes_at_random(budget: Budget, crashes: int, stalls: int) -> None:
    """Random schedules of three processes with several faults in each."""
    explorer = Explorer(THREE, DoubleStore(), crashes=crashes, stalls=stalls, check=faults)
    ends, seed = time.monotonic() + (budget.seconds or 0.0), budget.seed
    while explorer.runs < 100 or time.monotonic() < ends:
        run = explorer.walk(seed + explorer.runs)
        broken = {fault: "; ".join(run.actions) for fault in faults(run)}
        assert broken == {}, f"seed {seed + explorer.runs - 1}"
    budget.tell(f"three processes, {crashes} crashes and {stalls} stops at random", {"schedules": explorer.runs})


def test_several_processes_explore_the_same_states() -> None:
    """As ``make schedules`` does, which takes too long here for more than two processes."""
    alone = Explorer(TWO, DoubleStore(), crashes=1, check=faults).explore()
    command = [sys.executable, "-m", "tests.interleavings", "two", "--crashes", "1", "--processes", "3"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f" {alone.states} states, 0 to go on from, 0 promises broken" in ran.stdout.splitlines()[-1]


# ── the double ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("scenario", [TWO, LOGOUT, WORKERS, AHEAD], ids=["two", "logout", "workers", "ahead"])
def test_the_double_of_the_store_is_like_the_real_one(scenario: Scenario) -> None:
    """The same schedules on a real SQLite with the library's own SQL: the same steps, rows and answers."""
    double = Explorer(scenario, DoubleStore(), crashes=1, stalls=1)
    real = Explorer(scenario, RealStore(), crashes=1, stalls=1)
    for seed in range(12):
        run = double.walk(seed)
        again = real.replay(*run.actions)
        assert again.actions == run.actions
        assert [row and row[1:] for row in again.rows] == [row and row[1:] for row in run.rows]
        assert {name: _told(each.value) for name, each in again.outcomes.items()} == {
            name: _told(each.value) for name, each in run.outcomes.items()
        }


def _told(value: object) -> object:
    return value.token if isinstance(value, AccessToken) else type(value)
