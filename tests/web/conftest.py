"""What the tests of several pages of the documentation need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.data import SECRET
from tests.docs.pages import DOCS, blocks
from tests.docs.world import environment
from zaikio_oauth.application import default
from zaikio_oauth.testing import HubApp, LocalHub


@pytest.fixture
def example(
    hub: LocalHub, hub_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., dict[str, Any]]]:
    """Yield a function that runs the first example of a page and returns its names; it may replace parts of the text.

    The environment configures the clients ``warehouse`` and ``kiosk``. The default object is as before afterwards.
    """
    hub.apps[1] = HubApp.for_client("kiosk", "kiosk-id", SECRET, base_urls=["http://testserver"])
    for name, value in environment(hub_url, f"sqlite:///{tmp_path}/example.db").items():
        monkeypatch.setenv(name, value)

    def run(page: str, replace: tuple[str, str] = ("", "")) -> dict[str, Any]:
        default.configure()
        code = next(block.code for block in blocks(DOCS / page) if block.language == "python")
        names: dict[str, Any] = {}
        exec(compile(code.replace(*replace), page, "exec"), names)
        return names

    yield run
    default.configure()
