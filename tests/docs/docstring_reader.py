"""The reader of an example in a docstring, who has what it names and sees what it prints."""

from __future__ import annotations

import functools
import logging
import os
import sys
import typing
from collections.abc import Awaitable, Callable
from dataclasses import replace
from io import StringIO
from typing import Any

import fastapi
import httpx
import pytest
from fastapi.responses import RedirectResponse
from starlette.middleware.sessions import SessionMiddleware

import zaikio_oauth
from tests.data import KEY, ORGANIZATION_ID, PERSON_ID
from tests.docs.docstring_examples import Example
from tests.docs.world import World
from tests.inside import parts_of
from zaikio_oauth import AccessToken, migrations, testing
from zaikio_oauth.access_token import Secret
from zaikio_oauth.application import default
from zaikio_oauth.settings.retries_and_waits import Deadline

# What readers have imported. The types of these names, and of those in a preparation, are in given_to_apps.pyi and
# given_to_tests.pyi.
IMPORTED: dict[str, Any] = {
    **{name: getattr(zaikio_oauth, name) for name in zaikio_oauth.__all__},
    **{name: getattr(testing, name) for name in testing.__all__},
    "Annotated": typing.Annotated,
    "Deadline": Deadline,
    "Depends": fastapi.Depends,
    "RedirectResponse": RedirectResponse,
    "Request": fastapi.Request,
    "Secret": Secret,
    "Security": fastapi.Security,
    "httpx": httpx,
    "migrations": migrations,
    "os": os,
    "sys": sys,
}


class Reader:
    """Runs one example, in a world with a local Hub."""

    def __init__(self, example: Example, world: World) -> None:
        # The Hub that the examples call is the one that they can reach.
        self.hub_url: str = world.names["hub_url"]
        self.example = replace(example, code=example.code.replace("https://hub.zaikio.com", self.hub_url))
        self.setenv: Callable[[str, str], None] = world.names["setenv"]
        self.hub: testing.LocalHub = world.names["hub"]
        self.hub.device_interval = 0.02
        self.app = fastapi.FastAPI()
        self.app.add_middleware(SessionMiddleware, secret_key="the secret of the sessions")
        self.has_run = False
        self._output = StringIO()
        log = logging.Logger("the reader's app")  # noqa: LOG001 (one without its parents' handlers)
        log.addHandler(logging.StreamHandler(self._output))
        self.names: dict[str, Any] = IMPORTED | {
            "app": self.app,
            "hub": self.hub,
            "key": KEY,
            "log": log,
            "organization_id": ORGANIZATION_ID,
            "person_id": PERSON_ID,
            "print": functools.partial(print, file=self._output),
        }

    @property
    def output(self) -> list[str]:
        """What the example has printed and logged, line by line."""
        return self._output.getvalue().splitlines()

    async def run(self, **names: Any) -> Any:
        """Run the example with these names besides those that every reader has, and return what it returns."""
        self.names |= names
        if missing := self.example.names_needed() - self.names.keys():
            pytest.fail(
                f"The example of {self.example.name} ({self.example.place}) takes {', '.join(sorted(missing))} for "
                "granted. Prepare them in tests/docs/prepared_tokens.py or prepared_apps.py, or give them to every Reader.",
                pytrace=False,
            )
        self.has_run = True
        return await self.example.run(self.names)

    async def token(self, client_name: str = "warehouse", scopes: str = "zaikio.person.r") -> AccessToken:
        """Return a stored token that can be refreshed, as after a login."""
        callback = "http://testserver/zaikio/sessions/approve"
        code = self.hub.mint_code(f"{client_name}-id", callback, PERSON_ID, scopes)
        issuance = (await parts_of(default)).issuance
        return await issuance.authorization_code(
            client_name, code=code, redirect_uri=callback, code_verifier=None, requested_scopes=scopes
        )

    async def visit(self, path: str, method: str = "GET", **options: Any) -> httpx.Response:
        """Return the answer of the app."""
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as browser:
            return await browser.request(method, path, **options)

    async def call(self, path: str, scopes: str, method: str = "GET") -> httpx.Response:
        """Return the answer of the app to another app, which acts with a person's token."""
        token = self.hub.mint_token("warehouse-id", PERSON_ID, scopes, issuer=self.hub_url)
        return await self.visit(path, method, headers={"Authorization": f"Bearer {token}"})


Preparation = Callable[[Reader], Awaitable[None]]

PREPARATIONS: dict[str, Preparation] = {}
"""What runs an example that needs more than every reader has, or that does something that can be seen, by its name."""


def prepares(*names: str) -> Callable[[Preparation], Preparation]:
    """Declare that a function runs the examples with these names."""

    def declare(preparation: Preparation) -> Preparation:
        PREPARATIONS.update(dict.fromkeys(names, preparation))
        return preparation

    return declare
