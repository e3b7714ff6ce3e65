"""Where the examples of the documentation run: a local Hub, an organization that has installed the app, and a browser."""

from __future__ import annotations

import ast
import asyncio
import inspect
import types
from typing import Any

import httpx
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.data import KEY, ORGANIZATION_ID, PERSON_ID, SECRET
from tests.docs.pages import Block
from tests.visitor import Visitor
from zaikio_oauth.testing import HubApp, LocalHub

LOOM_SECRET = "shared-with-loom"


def environment(hub_url: str, database_url: str) -> dict[str, str]:
    """Return the variables that the documentation tells its readers to set, for this Hub and database."""
    variables = {
        "ZAIKIO_HOST": hub_url,
        "ZAIKIO_DATABASE_URL": database_url,
        "ZAIKIO_ENCRYPTION_KEYS": KEY,
        "ZAIKIO_DEFAULT_CLIENT": "warehouse",
        "ZAIKIO_CLIENTS__WAREHOUSE__WEBHOOK_SECRET": LOOM_SECRET,
    }
    for client in ("WAREHOUSE", "KIOSK"):
        variables |= {
            f"ZAIKIO_CLIENTS__{client}__CLIENT_ID": f"{client.lower()}-id",
            f"ZAIKIO_CLIENTS__{client}__CLIENT_SECRET": SECRET,
            f"ZAIKIO_CLIENTS__{client}__DEFAULT_SCOPES": "zaikio.person.r",
            f"ZAIKIO_CLIENTS__{client}__ORGANIZATION_SCOPES": "zaikio.organization.r",
        }
    return variables


def hub_of_the_examples(keys: LocalHub) -> LocalHub:
    """Return a Hub at which ``warehouse`` and ``kiosk`` are registered and which an organization has connected to both.

    It signs with the keys of another one, because new ones take a moment to make.
    """
    hub = LocalHub(
        keys_of=keys,
        apps=[
            HubApp.for_client("warehouse", "warehouse-id", SECRET, base_urls=["http://testserver"]),
            HubApp.for_client("kiosk", "kiosk-id", SECRET, base_urls=["http://testserver"]),
        ],
    )
    for client in ("warehouse", "kiosk"):
        hub.grant(f"{client}-id", "Organization", ORGANIZATION_ID, ["zaikio.organization.r"])
    hub.auto_consent(PERSON_ID)
    return hub


class World:
    """Runs the blocks of one page, in order and in one namespace, as its reader would."""

    def __init__(self, hub: LocalHub, hub_url: str) -> None:
        # A dataclass looks for the module that it is in.
        self.module = types.ModuleType("zaikio_docs_page")
        self.names: dict[str, Any] = self.module.__dict__
        # What a ``given`` or ``then`` may use; readers have their own. Their types are in given.pyi.
        self.names |= {
            "hub": hub,
            "hub_url": hub_url,
            "PERSON_ID": PERSON_ID,
            "ORGANIZATION_ID": ORGANIZATION_ID,
            "TestClient": TestClient,
            "log_in": self.log_in,
            "Visitor": Visitor,
        }

    def run(self, block: Block) -> None:
        """Run a block of Python, which may use ``await`` where a reader would be inside a coroutine."""
        before = dict(self.names)
        # The API that the examples call is one that they can reach.
        source = block.source.replace("https://api.example.com", self.names["hub_url"])
        code = compile(source, str(block.page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if code.co_flags & inspect.CO_COROUTINE:
            asyncio.run(types.FunctionType(code, self.names)())
        else:
            exec(code, self.names)
        for name, value in self.names.items():
            if before.get(name) is value:
                continue
            if name.startswith("test_"):
                self._test(value)
            elif name == "app" and isinstance(value, FastAPI) and block.language == "python":
                with TestClient(value):
                    pass  # it starts and stops

    def log_in(self, client: Any, path: str = "/zaikio/sessions/new", person_id: str = PERSON_ID) -> Any:
        """Let a person consent to what begins at this path of the app, and return the answer to the Hub's callback."""
        self.names["hub"].auto_consent(person_id)
        started = client.get(path, follow_redirects=False)
        assert started.status_code == 302, started.text
        back = httpx.get(started.headers["location"]).headers["location"]
        return client.get(back, follow_redirects=False)

    def _test(self, function: Any) -> None:
        # The fixtures of our pytest plugin.
        fixtures = {"zaikio_hub": self.names["hub"], "zaikio_hub_url": self.names["hub_url"]}
        result = function(**{name: fixtures[name] for name in inspect.signature(function).parameters})
        if inspect.iscoroutine(result):
            asyncio.run(result)
