"""The world in which the examples of the documentation run."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.world import World, environment, hub_of_the_examples
from zaikio_oauth.application import default
from zaikio_oauth.testing import HubServer, LocalHub


@pytest.fixture
def world(keys: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Yield what the reader of an example has: the settings of the README, and a Hub that knows the app."""
    hub = hub_of_the_examples(keys)
    monkeypatch.chdir(tmp_path)
    log = logging.getLogger("zaikio_oauth")
    handlers, level = log.handlers[:], log.level
    with HubServer(hub) as server:
        for name, value in environment(server.url, f"sqlite:///{tmp_path}/docs.db").items():
            monkeypatch.setenv(name, value)
        default.configure()
        world = World(hub, server.url)
        # What a page changes in the environment is undone after it.
        world.names["setenv"] = monkeypatch.setenv
        monkeypatch.setitem(sys.modules, world.module.__name__, world.module)
        yield world
        default.configure()
        log.handlers[:] = handlers
        log.setLevel(level)
        # What an example has left open is found here, and not in a later test.
        world.names.clear()
        gc.collect()
