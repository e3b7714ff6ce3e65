"""What has to hold in every run, whatever its schedule."""

from __future__ import annotations

from tests.interleavings.explorer import Run
from tests.interleavings.stores import LEASE, STATEMENT_PATIENCE
from tests.interleavings.world import HUB_PATIENCE
from zaikio_oauth import AccessToken, InvalidGrantError
from zaikio_oauth.settings.retries_and_waits import LEASE_TAKE_OVER_GRACE, LONGEST_POLL

__all__ = ["faults", "faults_of_a_logout"]


def faults(run: Run) -> list[str]:  # noqa: C901 (a list of promises)
    """Return which promises of docs/explanation/single-flight.md this run breaks."""
    found = []
    hub = run.world.hub
    newest = f"refresh-{hub.number}"
    row = run.rows[-1]
    if run.endless:
        found.append("it never ends")
    versions = [row[1] for row in run.rows if row]
    if versions != sorted(versions):
        found.append("a newer row was overwritten")
    if row is not None and not run.lost and row[3] != newest:
        found.append("the refresh token that the Hub has issued last is not stored")
    for outcome in run.outcomes.values():
        out = outcome.value is None or isinstance(outcome.value, InvalidGrantError)
        if out and outcome.row is not None and outcome.row[3] in hub.live:
            found.append("somebody is told that they are logged out, although the grant is good")
        elif isinstance(outcome.value, Exception) and not out:
            found.append(f"somebody gets {type(outcome.value).__name__}")
        elif out and not run.crashed and not run.stalls:
            found.append("somebody is logged out without a reason")
        elif out and not run.crashed and run.longest_stall + HUB_PATIENCE + LEASE < LEASE_TAKE_OVER_GRACE:
            found.append("somebody is logged out because a process was stopped for a moment")
        elif isinstance(outcome.value, AccessToken) and outcome.value.token not in hub.access:
            found.append("somebody gets a token that is revoked")
    if not run.crashed and not run.stalls and len(hub.refreshes) > 1:
        found.append("the Hub was asked twice")
    if run.crashed and not run.stalls:
        # Each wait once: for the lease of the dead, for the Hub, and for a result that will never come.
        most = LEASE + 2 * HUB_PATIENCE + LEASE_TAKE_OVER_GRACE * run.lost + 8 * (STATEMENT_PATIENCE + LONGEST_POLL)
        since = min(run.crashed.values())
        if any(outcome.at - since > most for outcome in run.outcomes.values()):
            found.append("a crash blocks the others for longer than a lease")
    if not run.crashed and run.world.store.held():
        found.append("a lease is left behind")
    return found


def faults_of_a_logout(run: Run) -> list[str]:
    """Return what a logout during a refresh leaves behind: in the end there is no grant, here or at the Hub."""
    found = []
    if run.endless:
        found.append("it never ends")
    if run.crashed or run.stalls:
        return found
    if run.rows[-1] is not None:
        found.append("the grant is still stored")
    if run.world.hub.live:
        found.append("the grant lives on at the Hub")
    return found
