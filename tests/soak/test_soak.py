"""A short soak; ``make soak`` is the long one."""

from __future__ import annotations

import pytest

from tests.soak.soak import soak


@pytest.mark.timeout(180)
async def test_a_few_seconds_of_everything_that_goes_wrong(postgresql_server: object) -> None:
    """Four processes, random logins, renewals, events, faults and kills: every grant and event is accounted for."""
    report = await soak(8.0, seed=3)

    assert report.wrong == [], str(report)
    for what, least in {"logins": 5, "jobs": 1, "keep-alives": 1, "events": 1}.items():
        assert report.counts[what] >= least, str(report)
