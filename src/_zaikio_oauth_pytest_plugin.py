"""Fixtures for an app's own tests, found by pytest wherever ``zaikio_oauth`` is installed.

``zaikio_hub`` is a ``LocalHub`` on a real socket with the clients of your settings registered;
``zaikio_hub_url`` is where it listens; ``zaikio_logged_in_as`` is ``logged_in_as``. They need the
extra: ``pip install 'zaikio_oauth[testing]'``.

This module lies outside the package because pytest imports its plugins at every start, before coverage is
measured: a run that has nothing to do with us would wait for the library, miss it (and FastAPI, httpx, …) in
its own coverage, and not even start where the extra ``testing`` is missing. So nothing but pytest is imported
here, and the rest when a fixture is used. Hypothesis does the same, for the same reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from zaikio_oauth.testing import HubServer, LocalHub

__all__ = ["zaikio_hub", "zaikio_hub_server", "zaikio_hub_url", "zaikio_logged_in_as"]


@contextmanager
def _extra() -> Iterator[None]:
    """Fail the test with one line, and no traceback of ours, where a part of the extra is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing.partition(".")[0] == "zaikio_oauth":
            raise  # a fault of ours, which installing the extra would not mend
        reason = f"The fixtures of zaikio_oauth need {missing}: pip install 'zaikio_oauth[testing]'"
        raise pytest.fail.Exception(reason, pytrace=False) from None


@pytest.fixture(scope="session")
def _zaikio_keys() -> LocalHub:
    """A Hub whose keys all others share, because new ones would cost each test 50 ms."""
    with _extra():
        # Starlette imports it late, and the Hub would only fail at its first form.
        import python_multipart  # noqa: F401, PLC0415

        from zaikio_oauth.testing import LocalHub  # noqa: PLC0415

    return LocalHub(environment="test")


@pytest.fixture
def zaikio_hub_server(_zaikio_keys: LocalHub) -> Iterator[HubServer]:
    """The server of the Hub; override it to change the Hub's apps or people."""
    with _extra():
        from zaikio_oauth.testing import HubServer, LocalHub  # noqa: PLC0415

    with HubServer(LocalHub.configured(keys_of=_zaikio_keys)) as server:
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
def zaikio_logged_in_as() -> Callable[..., None]:
    """``zaikio_logged_in_as(client, person_id)``; needs ``environment`` to be ``test``."""
    with _extra():
        from zaikio_oauth.testing import logged_in_as  # noqa: PLC0415

    return logged_in_as
