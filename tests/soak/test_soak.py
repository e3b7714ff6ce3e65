"""A short soak; ``make soak`` is the long one."""

from __future__ import annotations

import pytest

from tests.soak.soak import soak


@pytest.mark.timeout(180)
async def test_a_few_seconds_of_everything_that_goes_wrong(postgresql_server: object) -> None:
    """Four processes, random logins, renewals, revocations, faults and kills: every grant is accounted for."""
    report = await soak(8.0, seed=3)

    assert report.wrong == [], str(report)
    assert report.counts["logins"] > 5 and report.counts["jobs"] > 0
