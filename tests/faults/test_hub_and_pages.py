"""Every fault of a Hub × what a person waits for in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import hub_operations as operations
from tests.faults.hub_cells import assert_promises_are_kept


async def test_pages_while_the_hub_fails(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """503 after 5 seconds, nobody after 2, a token that lives at once, a logout in 5; afterwards all is as before."""
    kinds = [operations.PageWithALivingToken, operations.RefreshByAPage, operations.OptionalAccessToken]
    await assert_promises_are_kept([*kinds, operations.Logout, operations.Revoke], tmp_path, caplog)
