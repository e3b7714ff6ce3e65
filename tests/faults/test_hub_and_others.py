"""Every fault of a Hub × the tokens that others show us, and what needs no Hub."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import hub_operations as operations
from tests.faults import hub_upkeep_operations as upkeep
from tests.faults.hub_cells import assert_promises_are_kept


async def test_bearer_tokens_while_the_hub_fails(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """503 after 5 seconds if there are no keys; a list of revoked tokens that does not come costs a second."""
    kinds = [operations.BearerTokenWithoutKeys, operations.BearerTokenWithoutRevocations]
    await assert_promises_are_kept(kinds, tmp_path, caplog)


async def test_what_needs_no_hub_while_it_fails(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An app starts and stops, events are dealt with, connections listed, and tokens cleaned up and re-encrypted."""
    kinds = [operations.StartAndStop, operations.Webhook, operations.CleanupAndRotation]
    kinds += [upkeep.Connections, upkeep.Event]
    await assert_promises_are_kept(kinds, tmp_path, caplog)
