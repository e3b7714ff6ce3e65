"""Every fault of a Hub × what nobody waits for, and sync code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.faults import hub_upkeep_operations as operations
from tests.faults.hub_cells import assert_promises_are_kept

RENEWALS = [operations.RenewalByRefresh, operations.RenewalByClientCredentials]
OTHERS = [operations.KeepAlive, operations.SyncWithAuth]


@pytest.mark.parametrize("kinds", [RENEWALS, OTHERS], ids=["renewals", "others"])
async def test_upkeep_while_the_hub_fails(kinds: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits for a renewal ahead of time; the keep-alive ends in time, and so does ``with with_auth``."""
    await assert_promises_are_kept(kinds, tmp_path, caplog)
