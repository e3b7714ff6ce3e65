"""The life of grants against a simple model, on both databases; ``make fuzz`` goes on for as long as one likes."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.fuzz.budget import Budget
from tests.fuzz.life_of_grants import HubOfTheDay, LifeOfGrants
from zaikio_oauth.testing import HubServer


@pytest.mark.timeout(0)
def test_the_library_agrees_with_the_model(database_url: str, budget: Budget) -> None:
    """Whatever happens in whatever order: the right token or None, nothing revoked, nothing astray, nothing twice."""
    served, counts = HubOfTheDay(), Counter()
    with HubServer(served) as server:

        class Life(LifeOfGrants):
            pass

        Life.database_url, Life.served, Life.hub_url, Life.counts = database_url, served, server.url, counts
        for settings in budget.rounds(lives=8 if database_url.startswith("sqlite") else 5, steps=25):
            run_state_machine_as_test(Life, settings=settings)
    budget.tell(f"life of grants, {database_url.partition(':')[0]}", counts)
