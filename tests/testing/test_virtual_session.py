"""``logged_in_as`` and ``session_cookie``: the predecessor's TestHelper and SystemTestHelper."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import httpx
import httpx2
import pytest
from fastapi import Depends, FastAPI
from starlette.middleware.sessions import SessionMiddleware
from starlette.testclient import TestClient

from tests.apps import small_app
from tests.data import KEY, ORGANIZATION_ID, PERSON_ID
from zaikio_oauth import AccessToken, ConfigurationError, OnBehalfOf, Settings, ZaikioOAuth
from zaikio_oauth.testing import logged_in_as, session_cookie


@pytest.fixture
def make_app(tmp_path: Path) -> Callable[..., FastAPI]:
    """Return a function that makes an app whose Hub is unreachable."""

    def make(environment: str = "test") -> FastAPI:
        clients: dict[str, Any] = {
            "warehouse": {"client_id": "a", "default_scopes": ["zaikio.person.r", "zaikio.sites.rw"]},
            "kiosk": {"client_id": "b"},
        }
        settings = Settings(
            environment=environment,
            host="http://127.0.0.1:9",
            database_url=f"sqlite:///{tmp_path}/{environment}.db",
            encryption_keys=[KEY],
            clients=clients,
        )
        zaikio = ZaikioOAuth(settings)
        app = small_app(zaikio)

        @app.get("/token")
        async def token(token: Annotated[AccessToken, Depends(zaikio.current_access_token)]) -> AccessToken:
            return token

        return app

    return make


def test_a_person_is_logged_in_without_a_hub(make_app: Callable[..., FastAPI]) -> None:
    """``logged_in_as`` works with Starlette's TestClient, and the token has the client's default scopes."""
    with TestClient(make_app()) as client:
        assert client.get("/me").status_code == 401
        logged_in_as(client, PERSON_ID)
        me = client.get("/me").json()
        assert (me["person"], me["client"], me["scopes"]) == (
            PERSON_ID,
            "warehouse",
            ["zaikio.person.r", "zaikio.sites.rw"],
        )
        assert client.get("/sites").status_code == 200
        logged_in_as(client, "somebody-else", client_name="kiosk")
        assert client.get("/me").json()["client"] == "kiosk"
        assert client.get("/sites").status_code == 403
        assert client.delete("/zaikio/session", follow_redirects=False).status_code == 303
        assert client.get("/me").status_code == 401


def test_a_virtual_token_has_the_scopes_that_a_test_names(make_app: Callable[..., FastAPI]) -> None:
    """A scope that it lacks gives 403, as with a real one; an empty list is none at all."""
    with TestClient(make_app()) as client:
        for scopes, status in ((["zaikio.sites.r"], 200), ("zaikio.person.r zaikio.x.r", 403), ([], 403), (None, 200)):
            logged_in_as(client, PERSON_ID, scopes=scopes)
            assert client.get("/sites").status_code == status, scopes
        assert session_cookie(client.app, PERSON_ID, "warehouse", [])["value"]
        logged_in_as(client, PERSON_ID, client_name="kiosk", scopes=["Per.zaikio.sites.rw"])
        token = client.get("/token").json()
        assert (token["audience"], token["scopes"]) == ("kiosk", ["zaikio.sites.rw"])
        client.cookies.clear()
        client.cookies.set("session", session_cookie(client.app, PERSON_ID, scopes=["zaikio.x.r"])["value"])
        assert client.get("/token").json()["scopes"] == ["zaikio.x.r"]


@pytest.mark.parametrize(
    ("on_behalf_of", "roles"),
    [
        (ORGANIZATION_ID, []),
        (OnBehalfOf(id=ORGANIZATION_ID, type="Organization", roles=("owner", "admin")), ["owner", "admin"]),
    ],
)
def test_a_virtual_token_may_be_on_behalf_of_an_organization(
    make_app: Callable[..., FastAPI], on_behalf_of: str | OnBehalfOf, roles: list[str]
) -> None:
    """It is as the Hub's: the organization is the bearer, and the person acts with these roles."""
    with TestClient(make_app()) as client:
        logged_in_as(client, "a?person&scopes=b", scopes=["zaikio.sites.r"], on_behalf_of=on_behalf_of)
        token = client.get("/token").json()
        assert (token["bearer_type"], token["bearer_id"]) == ("Organization", ORGANIZATION_ID)
        assert token["on_behalf_of"] == {"id": "a?person&scopes=b", "type": "Person", "roles": roles}
        assert token["scopes"] == ["zaikio.sites.r"]
        client.post("/remember", json={"zaikio_access_token_id": token["id"]})
        assert client.get("/token").json()["on_behalf_of"] == token["on_behalf_of"]
        with pytest.raises(ValueError, match="has to be the organization"):
            logged_in_as(client, PERSON_ID, on_behalf_of=OnBehalfOf(id=PERSON_ID))


def test_a_virtual_token_that_does_not_fit_into_the_session_is_refused(make_app: Callable[..., FastAPI]) -> None:
    """Nobody wonders why a test is not logged in. Ten long scopes with an organization and its roles do fit."""
    with TestClient(make_app()) as client:
        many = [f"a_long_name.of_scopes_{n:02}.rw" for n in range(10)]
        everything = OnBehalfOf(id=ORGANIZATION_ID, roles=("owner", "admin", "billing"))
        logged_in_as(client, PERSON_ID, client_name="warehouse", scopes=many, on_behalf_of=everything)
        assert client.get("/token").json()["scopes"] == many
        with pytest.raises(ValueError, match="which has room for 512; name fewer scopes"):
            logged_in_as(client, PERSON_ID, scopes=[*many, *[f"{scope}.{n}" for n, scope in enumerate(many)]])
        assert client.get("/token").json()["scopes"] == many


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_logged_in_as_works_with_both_async_clients(make_app: Callable[..., FastAPI], library: Any) -> None:
    """The clients are those of httpx and of its successor httpx2."""
    transport = library.ASGITransport(app=make_app())
    async with library.AsyncClient(transport=transport, base_url="http://testserver") as client:
        logged_in_as(client, PERSON_ID)
        assert (await client.get("/me")).json()["person"] == PERSON_ID


def test_logged_in_as_keeps_the_session(make_app: Callable[..., FastAPI]) -> None:
    """A test can fill a cart first, and there is only one session cookie afterwards."""
    with TestClient(make_app()) as client:
        client.post("/remember", json={"origin": "/cart"})
        logged_in_as(client, PERSON_ID)
        logged_in_as(client, PERSON_ID)
        assert client.get("/me").status_code == 200
        assert [cookie.name for cookie in client.cookies.jar] == ["session"]


def test_session_cookie_returns_a_cookie_for_playwright(make_app: Callable[..., FastAPI]) -> None:
    """The call is ``context.add_cookies([session_cookie(app, person_id, url=…)])``."""
    app = make_app()
    cookie = session_cookie(app, PERSON_ID, url="http://localhost:9000")

    assert {name: value for name, value in cookie.items() if name != "value"} == {
        "name": "session",
        "url": "http://localhost:9000",
        "httpOnly": True,
        "sameSite": "Lax",
    }
    with TestClient(app, cookies={"session": cookie["value"]}) as client:
        assert client.get("/me").json()["person"] == PERSON_ID


@pytest.mark.parametrize("environment", ["development", "staging", "sandbox", "production"])
def test_virtual_tokens_exist_only_in_the_test_environment(
    make_app: Callable[..., FastAPI], environment: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise anybody who knows the session secret could log in as any person. The log says why nobody is."""
    with TestClient(make_app(environment)) as client:
        logged_in_as(client, PERSON_ID)
        assert client.get("/me").status_code == 401
        logged_in_as(client, PERSON_ID, scopes=["zaikio.person.r"], on_behalf_of=ORGANIZATION_ID)
        assert client.get("/me").status_code == 401
    told = [record.getMessage() for record in caplog.records if "session.not_in_test" in vars(record).values()]
    line = "The session of logged_in_as needs ZAIKIO_ENVIRONMENT=test, set before the app is imported"
    assert told == [f"{line}; it is {environment}."] * 2


@pytest.mark.parametrize("client_name", ["nobody", "a:b"])
def test_a_client_that_is_not_configured_has_no_virtual_tokens(
    make_app: Callable[..., FastAPI], client_name: str
) -> None:
    """Invalid values in the session are not accepted either."""
    with TestClient(make_app()) as client:
        logged_in_as(client, PERSON_ID, client_name=client_name)
        assert client.get("/me").status_code == 401
        for garbage in ["virtual:", "virtual::", "virtual", ":::", "virtual:warehouse:", "virtual:warehouse:?scopes=a"]:
            client.post("/remember", json={"zaikio_access_token_id": garbage})
            assert client.get("/me").status_code == 401


def test_the_app_is_found_inside_other_middleware(make_app: Callable[..., FastAPI]) -> None:
    """Positional arguments and another cookie name work as well."""

    class Around:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self.app(scope, receive, send)

    assert session_cookie(Around(make_app()), PERSON_ID)["name"] == "session"
    app = FastAPI()
    app.add_middleware(SessionMiddleware, "secret", "my_session", same_site="strict")
    assert session_cookie(app, PERSON_ID)["sameSite"] == "Strict"


def test_wrong_arguments_are_reported() -> None:
    """The app has no session, or the client has no app."""
    with pytest.raises(ConfigurationError, match=r"app\.add_middleware\(SessionMiddleware"):
        session_cookie(FastAPI(), PERSON_ID)
    with httpx.Client() as client, pytest.raises(ConfigurationError, match="needs a TestClient"):
        logged_in_as(client, PERSON_ID)
