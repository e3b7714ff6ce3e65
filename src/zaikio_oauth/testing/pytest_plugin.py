"""Fixtures for an app's own tests; found by pytest where ``zaikio_oauth[testing]`` is installed.

``zaikio_hub`` is a LocalHub on a real socket with the clients of your settings registered;
``zaikio_hub_url`` is where it listens; ``zaikio_logged_in_as`` is ``logged_in_as``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from zaikio_oauth.testing import HubServer, LocalHub

__all__ = ["zaikio_hub", "zaikio_hub_server", "zaikio_hub_url", "zaikio_logged_in_as"]

# Imports wait until a fixture is used: every pytest run loads this file, whether it needs a Hub or not.


@pytest.fixture
def zaikio_hub_server() -> Iterator[HubServer]:
    """The server of the Hub; override it to change the Hub's apps or people."""
    from zaikio_oauth.settings import Settings  # noqa: PLC0415
    from zaikio_oauth.testing import HubServer, LocalHub  # noqa: PLC0415

    configured = any(name.startswith("ZAIKIO_CLIENTS") for name in os.environ)
    hub = LocalHub.for_settings(Settings()) if configured else LocalHub()
    with HubServer(hub) as server:
        yield server


@pytest.fixture
def zaikio_hub(zaikio_hub_server: HubServer) -> LocalHub:
    """The Hub: ``zaikio_hub.auto_consent(person_id)``, ``zaikio_hub.fail(…)``, ``zaikio_hub.count(…)``."""
    hub: LocalHub = zaikio_hub_server.hub
    return hub


@pytest.fixture
def zaikio_hub_url(zaikio_hub_server: HubServer) -> str:
    """Where it listens: ``Settings(host=zaikio_hub_url, …)``."""
    return zaikio_hub_server.url


@pytest.fixture
def zaikio_logged_in_as() -> Callable[..., Any]:
    """``zaikio_logged_in_as(client, person_id)``; needs ``environment`` to be ``test``."""
    from zaikio_oauth.testing import logged_in_as  # noqa: PLC0415

    return logged_in_as
