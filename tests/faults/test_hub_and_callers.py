"""Every fault of a Hub × everything that may wait for it for 30 seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import hub_operations as operations
from tests.faults.hub_cells import assert_promises_are_kept


@pytest.mark.timeout(300)
async def test_callers_while_the_hub_fails(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A callback, ``with_auth`` by refresh and by client credentials, delegation, and a device."""
    # All at once, because the waits are long.
    kinds = [operations.Approve, operations.WithAuthByRefresh, operations.WithAuthByClientCredentials]
    kinds += [operations.Delegation, operations.DeviceStart, operations.DeviceWait]
    await assert_promises_are_kept(kinds, tmp_path, caplog)
