"""The schedules that the exploration has found to be bad, and that are good now."""

from __future__ import annotations

from tests.interleavings.explorer import Explorer
from tests.interleavings.scenarios import LOGOUT, TWO
from tests.interleavings.stores import DoubleStore


def test_a_result_that_is_stored_after_the_last_look_counts() -> None:
    """A stopped process stores its token just before the refused one would drop the refresh token: nobody is out."""
    run = Explorer(TWO, DoubleStore(), stalls=1).replay(
        "a does asks the Hub",
        "a does hears from the Hub",
        "a stalls",
        "b does asks the Hub",
        "b does hears from the Hub",
        # The grace has passed, b has looked for the last time and is about to drop the refresh token.
        "a goes on | b does update access_tokens",
        "a does update access_tokens",
        "b does update access_tokens",
    )
    assert [outcome.value.token for outcome in run.outcomes.values()] == ["access-2", "access-2"]


def test_a_logout_revokes_what_is_in_the_row_when_it_is_deleted() -> None:
    """A refresh that is stored between a logout's look and its deletion does not survive the logout."""
    run = Explorer(LOGOUT, DoubleStore()).replay(
        "b does select access_tokens",
        "a does asks the Hub",
        "a does hears from the Hub",
        "a does update access_tokens",
        "b does delete access_tokens",
    )
    assert (run.row, run.world.hub.live, run.world.hub.access) == (None, set(), {"access-1"})
