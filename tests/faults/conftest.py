"""Faults last for seconds, and many operations suffer them at once."""

from __future__ import annotations

from pathlib import Path

import pytest

SECONDS = 300


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test of this folder more time."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(SECONDS))
