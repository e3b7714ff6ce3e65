"""What the tests of several pages of the documentation need."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.data import KEY, SECRET
from zaikio_oauth.application import default
from zaikio_oauth.testing import HubApp, LocalHub

DOCS = Path(__file__).parents[2] / "docs"
SECRET_OF_LOOM = "shared-with-loom"


@pytest.fixture
def example(
    hub: LocalHub, hub_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., dict[str, Any]]]:
    """Yield a function that runs the example of a page and returns its names; it may replace parts of the text.

    The environment configures the clients ``warehouse`` and ``kiosk``. The default object is as before afterwards.
    """
    hub.apps[1] = HubApp.for_client("kiosk", "kiosk-id", SECRET, base_urls=["http://testserver"])
    for name, value in {
        "ZAIKIO_HOST": hub_url,
        "ZAIKIO_DATABASE_URL": f"sqlite:///{tmp_path}/example.db",
        "ZAIKIO_ENCRYPTION_KEYS": KEY,
        "ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_ID": "warehouse-id",
        "ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_SECRET": SECRET,
        "ZAIKIO_CLIENTS__WAREHOUSE__DEFAULT_SCOPES": "zaikio.person.r",
        "ZAIKIO_CLIENTS__WAREHOUSE__ORGANIZATION_SCOPES": "zaikio.organization.r",
        "ZAIKIO_CLIENTS__WAREHOUSE__WEBHOOK_SECRET": SECRET_OF_LOOM,
        "ZAIKIO_CLIENTS__KIOSK__CLIENT_ID": "kiosk-id",
        "ZAIKIO_CLIENTS__KIOSK__CLIENT_SECRET": SECRET,
        "ZAIKIO_CLIENTS__KIOSK__DEFAULT_SCOPES": "zaikio.person.r",
        "ZAIKIO_CLIENTS__KIOSK__ORGANIZATION_SCOPES": "zaikio.organization.r",
        "ZAIKIO_DEFAULT_CLIENT": "warehouse",
    }.items():
        monkeypatch.setenv(name, value)

    def run(page: str, replace: tuple[str, str] = ("", "")) -> dict[str, Any]:
        default.configure()
        (code,) = re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(), flags=re.DOTALL | re.MULTILINE)
        names: dict[str, Any] = {}
        exec(compile(code.replace(*replace), page, "exec"), names)
        return names

    yield run
    default.configure()
