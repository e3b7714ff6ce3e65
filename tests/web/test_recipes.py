"""The recipes in the documentation: several clients, and the app's own users."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from starlette.testclient import TestClient

from tests.apps import small_app
from tests.data import ORGANIZATION_ID, PERSON_ID
from tests.inside import client_name_of
from tests.visitor import Visitor
from zaikio_oauth import AccessToken, Settings, ZaikioOAuth
from zaikio_oauth.application import default
from zaikio_oauth.testing import LocalHub, logged_in_as

PAGE_VIEW = {"Accept": "text/html"}


async def test_the_recipe_for_several_clients_works(example: Callable[[str], Any], hub: LocalHub) -> None:
    """The router's requests use the kiosk, and its page sends whoever has another login to the kiosk's."""
    app = example("how-to/several-clients.md")["app"]
    hub.auto_consent(PERSON_ID)
    hub.grant("kiosk-id", "Organization", ORGANIZATION_ID, ["zaikio.organization.r"])
    visitor = Visitor(app, headers=PAGE_VIEW)
    async with default:
        assert (await visitor.get(f"/kiosk/orders/{ORGANIZATION_ID}")).json() == "a token for kiosk"
        assert client_name_of(default) == "warehouse"
        login = (await visitor.get("/kiosk/me")).headers["location"]
        assert login == "/zaikio/kiosk/sessions/new?origin=%2Fkiosk%2Fme"

        await visitor.log_in()
        answer = await visitor.get("/kiosk/me")
        assert (answer.status_code, answer.headers["location"]) == (303, login)
        authorize_url = (await visitor.get(login)).headers["location"]
        assert (await visitor.get(await visitor.consent(authorize_url))).headers["location"] == "/kiosk/me"
        assert (await visitor.get("/kiosk/me")).json() == f"{PERSON_ID} has logged in at kiosk"
        await visitor.aclose()


async def test_a_dependency_chooses_the_client_for_its_own_requests_only(zaikio: ZaikioOAuth) -> None:
    """Handlers of both kinds see it, requests at the same time do not, and afterwards nothing is left of it."""
    app, both = small_app(zaikio), asyncio.Barrier(2)

    async def use_kiosk() -> Any:
        with zaikio.with_client("kiosk"):
            yield

    router = APIRouter(prefix="/kiosk", dependencies=[Depends(use_kiosk)])

    @router.get("/async")
    async def in_the_loop() -> str:
        await both.wait()
        return client_name_of(zaikio)

    @router.get("/sync")
    def in_a_thread() -> str:
        return client_name_of(zaikio)

    @app.get("/other")
    async def other() -> str:
        await both.wait()
        return client_name_of(zaikio)

    app.include_router(router)
    visitor = Visitor(app)
    answers = await asyncio.gather(visitor.get("/kiosk/async"), visitor.get("/other"))
    assert [answer.json() for answer in answers] == ["kiosk", "warehouse"]
    assert (await visitor.get("/kiosk/sync")).json() == "kiosk"
    assert client_name_of(zaikio) == "warehouse"
    await visitor.aclose()


async def test_a_sync_dependency_does_not_choose_a_client(zaikio: ZaikioOAuth) -> None:
    """FastAPI runs it in a thread with a copy of the context, as the documentation warns."""
    app = small_app(zaikio)
    seen = []

    def use_kiosk() -> Any:
        with zaikio.with_client("kiosk"):
            yield

    @app.get("/kiosk", dependencies=[Depends(use_kiosk)])
    async def page() -> str:
        seen.append(client_name_of(zaikio))
        return seen[-1]

    visitor = Visitor(app)
    with pytest.raises(ValueError, match="different Context"):
        await visitor.get("/kiosk")
    assert seen == ["warehouse"]
    await visitor.aclose()


async def test_the_login_page_is_that_of_the_client_of_this_context(make_settings: Callable[..., Settings]) -> None:
    """``current_access_token`` redirects to the routes of the client that ``with_client`` names, else to the short ones."""
    zaikio = ZaikioOAuth(make_settings())

    async def use(client_name: str) -> Any:
        with zaikio.with_client(client_name):
            yield

    app = small_app(zaikio)

    @app.get("/of/{client_name}", dependencies=[Depends(use)])
    async def page(token: Annotated[AccessToken, Depends(zaikio.current_access_token)]) -> str:
        return token.audience

    async with zaikio:
        visitor = Visitor(app, headers=PAGE_VIEW)
        for client_name, path in (("kiosk", "/zaikio/kiosk/sessions/new"), ("warehouse", "/zaikio/sessions/new")):
            answer = await visitor.get(f"/of/{client_name}")
            assert answer.status_code == 303, answer.text
            assert answer.headers["location"] == f"{path}?origin=%2Fof%2F{client_name}"
        await visitor.aclose()


async def test_the_recipe_for_own_users_works(example: Callable[[str], Any], hub: LocalHub) -> None:
    """The user is created at the first login, found at the next one, and given to the page."""
    names = example("how-to/own-users.md")
    app: FastAPI = names["app"]
    hub.auto_consent(PERSON_ID)
    visitor = Visitor(app)
    async with default:
        assert (await visitor.get("/paper")).status_code == 401
        assert (await visitor.log_in(origin="/paper")).headers["location"] == "/paper"
        assert list(names["users"]) == [PERSON_ID]
        names["users"][PERSON_ID].favourite_paper = "Chromolux"
        await visitor.log_in()
        assert (await visitor.get("/paper")).json() == "Chromolux"
        await visitor.aclose()
    assert list(names["users"]) == [PERSON_ID]


def test_the_recipe_for_own_users_works_with_virtual_logins(
    example: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app's own tests use ``logged_in_as``, also on behalf of an organization: the user is the person."""
    monkeypatch.setenv("ZAIKIO_ENVIRONMENT", "test")
    names = example("how-to/own-users.md")
    with TestClient(names["app"]) as client:
        logged_in_as(client, PERSON_ID, on_behalf_of=ORGANIZATION_ID)
        assert client.get("/paper").json() == "none yet"
    assert list(names["users"]) == [PERSON_ID]
