"""Every fault of a Hub × everything that may wait for it for 30 seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.faults import hub_operations as operations
from tests.faults.hub_cells import assert_promises_are_kept

CALLERS = [
    operations.Approve,
    operations.WithAuthByRefresh,
    operations.WithAuthByClientCredentials,
    operations.Delegation,
    operations.DeviceStart,
    operations.DeviceWait,
]


@pytest.mark.parametrize("operation", CALLERS)
async def test_callers_while_the_hub_fails(operation: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A callback, ``with_auth`` by refresh and by client credentials, delegation, and a device."""
    # All faults at once, because the waits are long; but not all operations, because a busy machine is late itself.
    await assert_promises_are_kept([operation], tmp_path, caplog)
