"""``current_access_token`` and ``optional_access_token``."""

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Security, WebSocket
from starlette.requests import Request
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from tests.apps import small_app
from tests.data import OTHER_KEY
from tests.inside import engine_of
from tests.store.statements_sent import statements_of
from tests.versions import SCOPES_ARE_NOT_IN_OPENAPI, SESSION_IS_ALWAYS_SENT
from tests.visitor import Visitor, query_of
from zaikio_oauth import AccessToken, BearerToken, ConfigurationError, Settings, ZaikioOAuth
from zaikio_oauth.testing import LocalHub

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.fixture(autouse=True)
def consenting(hub: LocalHub) -> None:
    """The person grants all requested scopes."""
    hub.auto_consent(person_id=hub.people[0].id)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_page_view_is_redirected_to_the_login_and_back(
    make_settings: Callable[..., Settings], hub: LocalHub, method: str
) -> None:
    """After the login the person is back on the requested page, with its query."""
    async with ZaikioOAuth(make_settings()) as zaikio:
        app = small_app(zaikio)

        @app.api_route("/ordérs", methods=["GET", "HEAD"])
        async def orders(token: Annotated[AccessToken, Depends(zaikio.current_access_token)]) -> str:
            return "orders"

        visitor = Visitor(app)
        answer = await visitor.app.request(method, "/ordérs?page=2&q=a%26b", headers=BROWSER)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/zaikio/sessions/new?origin=")
        login = await visitor.get(answer.headers["location"])
        back = await visitor.get(await visitor.consent(login.headers["location"]))
        assert back.headers["location"] == "/ord%C3%A9rs?page=2&q=a%26b"
        assert (await visitor.get(back.headers["location"])).json() == "orders"
        await visitor.aclose()


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no Accept"),
        pytest.param({"Accept": "*/*"}, id="fetch() and curl"),
        pytest.param({"Accept": "application/json, text/plain, */*"}, id="a JSON client"),
        pytest.param({"Accept": "text/html;q=0, */*"}, id="anything but HTML"),
    ],
)
async def test_a_request_that_does_not_want_html_gets_401(visitor: Visitor, headers: dict[str, str]) -> None:
    """A redirect would make a script follow it to another site."""
    assert (await visitor.get("/me", headers=headers)).status_code == 401


async def test_a_form_post_gets_401(zaikio: ZaikioOAuth) -> None:
    """A form's data would be lost in a redirect to the login."""
    app = small_app(zaikio)

    @app.post("/form")
    async def form(token: Annotated[AccessToken, Depends(zaikio.current_access_token)]) -> None: ...

    visitor = Visitor(app)
    answer = await visitor.app.post("/form", headers=BROWSER)
    await visitor.aclose()

    assert answer.status_code == 401
    assert "www-authenticate" in answer.headers


async def test_a_missing_scope_gets_403(visitor: Visitor) -> None:
    """The response names the scope, so the developer knows what to configure."""
    await visitor.log_in()

    answer = await visitor.get("/sites", headers=BROWSER)

    assert answer.status_code == 403
    assert "zaikio.sites.r" in answer.json()["detail"]


async def test_a_granted_scope_gives_access(make_settings: Callable[..., Settings]) -> None:
    """A scope with ``rw`` includes the one with ``r``."""
    client = {"client_id": "warehouse-id", "client_secret": "a-client-secret-that-nobody-sees"}
    settings = make_settings(clients={"warehouse": client | {"default_scopes": "zaikio.person.r,zaikio.sites.rw"}})
    async with ZaikioOAuth(settings) as zaikio:
        visitor = Visitor(small_app(zaikio))
        await visitor.log_in()
        assert (await visitor.get("/sites")).status_code == 200
        await visitor.aclose()


async def test_a_page_with_a_token_varies_with_the_cookie(make_settings: Callable[..., Settings]) -> None:
    """A cache between must not show one person's page to another one (RFC 9110 §12.5.5): as with request.session."""
    async with ZaikioOAuth(make_settings()) as zaikio:
        app = small_app(zaikio)

        @app.get("/page")
        async def page(token: Annotated[AccessToken, Depends(zaikio.current_access_token)]) -> str:
            return "page"

        @app.get("/perhaps")
        async def perhaps(token: Annotated[AccessToken | None, Depends(zaikio.optional_access_token)]) -> str:
            return "perhaps"

        @app.get("/by-hand")
        async def by_hand(request: Request) -> str:
            return str(request.session.get("zaikio_person_id"))

        visitor = Visitor(app)
        for logged_in in (False, True):
            if logged_in:
                await visitor.log_in()
            expected = (await visitor.get("/by-hand")).headers.get("vary")
            # Read from the database, then from memory.
            pages = [await visitor.get(path) for path in ("/page", "/page", "/perhaps", "/perhaps")]
            assert [page.headers.get("vary") for page in pages] == [expected] * 4
            assert [page.status_code for page in pages] == [200 if logged_in else 401] * 2 + [200] * 2
        assert expected == (None if SESSION_IS_ALWAYS_SENT else "Cookie")
        await visitor.aclose()


async def test_a_session_cannot_name_a_search(make_settings: Callable[..., Settings]) -> None:
    """What a search has found is in memory under a key that anybody can guess, unlike the id of a token."""
    async with ZaikioOAuth(make_settings()) as zaikio:
        visitor = Visitor(small_app(zaikio))
        await visitor.log_in()
        person_id = (await visitor.get("/me")).json()["person"]
        assert await zaikio.find_usable_access_token(bearer_type="Person", bearer_id=person_id)
        assert await zaikio.find_usable_access_token(bearer_type="Person", bearer_id=person_id)

        search = zaikio._runtime.search(None, "Person", person_id, ())
        for named in (repr(search), [repr(search)], "", 7):
            await visitor.app.post("/remember", json={"zaikio_access_token_id": named})
            assert (await visitor.get("/me")).status_code == 401
        await visitor.aclose()


async def test_a_login_on_another_device_costs_the_first_one_nothing(make_settings: Callable[..., Settings]) -> None:
    """Only what is found by the person has changed: that is the newer token."""
    async with ZaikioOAuth(make_settings()) as zaikio:
        first, second = Visitor(small_app(zaikio)), Visitor(small_app(zaikio))
        await first.log_in()
        shown = (await first.get("/me")).json()
        by_person = {"bearer_type": "Person", "bearer_id": shown["person"]}
        older = await zaikio.find_usable_access_token(**by_person)
        await second.log_in()

        with statements_of(await engine_of(zaikio)) as sent:
            assert (await first.get("/me")).json() == shown
        assert sent == []
        newer = await zaikio.find_usable_access_token(**by_person)
        assert older is not None and newer is not None
        assert (older.id, newer.id) == (shown["id"], (await second.get("/me")).json()["id"])
        await first.aclose()
        await second.aclose()


async def test_the_optional_token_is_none_without_a_login(visitor: Visitor, hub: LocalHub) -> None:
    """Everyone can see the page, and it knows the person who is logged in."""
    assert (await visitor.get("/maybe", headers=BROWSER)).json() == "nobody"
    await visitor.log_in()
    assert (await visitor.get("/maybe")).json() == hub.people[0].id


@pytest.fixture
async def expiring(visitor: Visitor, hub: LocalHub) -> str:
    """Return the id of an access token that expires in 20 seconds. The person is logged in with it."""
    hub.access_token_lifetime = 20
    await visitor.log_in()
    hub.access_token_lifetime = 3600
    return visitor.session["zaikio_access_token_id"]


async def test_a_token_that_expires_soon_is_refreshed_and_keeps_its_id(
    visitor: Visitor, hub: LocalHub, zaikio: ZaikioOAuth, expiring: str
) -> None:
    """The session cookie does not change, so no other tab is logged out (faults 1 and 2)."""
    old = await zaikio.find_active_access_token(expiring, valid_for=0)
    answer = await visitor.get("/me")
    # The page has begun a refresh, which this call joins.
    await zaikio.find_active_access_token(expiring)

    assert answer.json()["id"] == expiring
    assert ("set-cookie" in answer.headers) == SESSION_IS_ALWAYS_SENT
    new = await zaikio.find_active_access_token(expiring)
    assert old is not None
    assert new is not None
    assert (new.token != old.token, new.refresh_token != old.refresh_token, new.expires_in > 3500) == (True, True, True)
    assert hub.count(grant_type="refresh_token") == 1


async def test_a_grant_that_has_ended_needs_a_new_login(visitor: Visitor, hub: LocalHub) -> None:
    """When neither token is valid any more, every request gets HTTP 401, and the Hub is asked only once."""
    hub.access_token_lifetime = 0
    await visitor.log_in()
    hub.spend_refresh_tokens()

    for _ in range(3):
        assert (await visitor.get("/me")).status_code == 401
    assert hub.count(grant_type="refresh_token") == 1


@pytest.mark.usefixtures("expiring")
async def test_a_valid_token_works_while_the_hub_is_down(visitor: Visitor, hub: LocalHub) -> None:
    """A token that is valid for 20 more seconds is used when it cannot be refreshed."""
    hub.fail("refresh_token", status=500, times=None)

    assert (await visitor.get("/me")).status_code == 200


async def test_an_expired_token_gets_503_while_the_hub_is_down(visitor: Visitor, hub: LocalHub) -> None:
    """The person stays logged in, and the next request after the Hub's recovery succeeds."""
    hub.access_token_lifetime = 0
    await visitor.log_in()
    hub.access_token_lifetime = 3600
    hub.fail("refresh_token", status=500, times=None)

    answer = await visitor.get("/me", headers=BROWSER)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert (await visitor.get("/maybe")).json() == "nobody"
    hub.clear_faults()
    assert (await visitor.get("/me")).status_code == 200


async def test_a_token_that_cannot_be_decrypted_needs_a_new_login(
    visitor: Visitor, make_settings: Callable[..., Settings], caplog: pytest.LogCaptureFixture
) -> None:
    """People can log in again after an encryption key is lost, and the log names the row."""
    await visitor.log_in()
    async with ZaikioOAuth(make_settings(encryption_keys=[OTHER_KEY])) as rekeyed:
        other = Visitor(small_app(rekeyed))
        visitor.copy_cookies_to(other)
        answer = await other.get("/me")
        await other.aclose()

    assert answer.status_code == 401
    assert visitor.session["zaikio_access_token_id"] in caplog.text


async def test_an_app_without_session_middleware_gets_a_helpful_error(zaikio: ZaikioOAuth) -> None:
    """The error contains the line to add, which Starlette's own assertion does not."""
    app = FastAPI()

    @app.get("/me")
    async def me(token: Annotated[AccessToken, Depends(zaikio.current_access_token)]) -> None: ...

    with pytest.raises(ConfigurationError, match=r"app\.add_middleware\(SessionMiddleware, secret_key="):
        await Visitor(app).get("/me")


async def test_the_dependency_appears_in_the_openapi_schema(app: FastAPI) -> None:
    """The schema contains the scopes of each operation and the parameters of our routes."""
    schema = app.openapi()

    assert schema["components"]["securitySchemes"]["zaikio_session"]["in"] == "cookie"
    assert schema["paths"]["/me"]["get"]["security"] == [{"zaikio_session": []}]
    scopes = [] if SCOPES_ARE_NOT_IN_OPENAPI else ["zaikio.sites.r"]
    assert schema["paths"]["/sites"]["get"]["security"] == [{"zaikio_session": scopes}]
    named = schema["paths"]["/zaikio/{client_name}/subscriptions/new"]["get"]["parameters"]
    assert {"client_name", "plan", "organization_id", "origin"} <= {parameter["name"] for parameter in named}


def test_a_websocket_without_a_login_is_closed(zaikio: ZaikioOAuth) -> None:
    """The close code is 1008 (policy violation), because a WebSocket cannot be redirected."""
    app = small_app(zaikio)

    @app.websocket("/live")
    async def live(websocket: WebSocket, token: Annotated[AccessToken, Depends(zaikio.current_access_token)]) -> None:
        raise AssertionError("unreachable")

    with TestClient(app) as client, pytest.raises((WebSocketDisconnect, WebSocketDenialResponse)) as caught:
        with client.websocket_connect("/live"):
            raise AssertionError("unreachable")
    assert getattr(caught.value, "code", 1008) == 1008


@pytest.mark.parametrize("path", ["/me", "/shop/me"])
async def test_an_app_with_a_root_path_redirects_to_its_own_login(zaikio: ZaikioOAuth, path: str) -> None:
    """This holds behind a proxy that strips ``/shop``, whether or not the server adds it to the path again."""
    visitor = Visitor(small_app(zaikio), root_path="/shop")
    answer = await visitor.get(f"{path}?x=1", headers=BROWSER)
    await visitor.aclose()

    assert answer.headers["location"] == "/shop/zaikio/sessions/new?origin=%2Fshop%2Fme%3Fx%3D1"


async def test_a_mounted_app_redirects_to_its_own_login(zaikio: ZaikioOAuth) -> None:
    """After ``outer.mount("/shop", app)``, the login, its callback and the origin are below ``/shop``."""
    outer = FastAPI()
    outer.mount("/shop", small_app(zaikio))
    visitor = Visitor(outer)
    login = await visitor.get("/shop/me?x=1", headers=BROWSER)
    assert login.headers["location"] == "/shop/zaikio/sessions/new?origin=%2Fshop%2Fme%3Fx%3D1"
    authorize = (await visitor.get(login.headers["location"])).headers["location"]
    assert query_of(authorize)["redirect_uri"] == "http://testserver/shop/zaikio/sessions/approve"
    await visitor.aclose()


async def test_one_app_can_have_two_instances(make_settings: Callable[..., Settings], tmp_path: Any) -> None:
    """Each page redirects to the login of its own ZaikioOAuth, although the routes have the same names."""
    settings = make_settings()
    kiosk = make_settings(
        clients={"kiosk": settings.clients["kiosk"].model_dump()}, database_url=f"sqlite:///{tmp_path}/kiosk.db"
    )
    async with ZaikioOAuth(settings) as first, ZaikioOAuth(kiosk) as second:
        app = small_app(first)
        app.include_router(second.router, prefix="/second")

        @app.get("/second-page")
        async def page(token: Annotated[AccessToken, Depends(second.current_access_token)]) -> None: ...

        visitor = Visitor(app)
        assert (await visitor.get("/me", headers=BROWSER)).headers["location"].startswith("/zaikio/sessions/new")
        answer = await visitor.get("/second-page", headers=BROWSER)
        assert answer.headers["location"].startswith("/second/sessions/new")
        query = query_of((await visitor.get(answer.headers["location"])).headers["location"])
        assert (query["client_id"], query["redirect_uri"]) == ("kiosk-id", "http://testserver/second/sessions/approve")
        await visitor.aclose()


async def test_valid_for_takes_seconds_or_a_timedelta(zaikio: ZaikioOAuth, hub: LocalHub, expiring: str) -> None:
    """Both stand for the same lifetime."""
    for valid_for in (10, timedelta(seconds=10)):
        assert await zaikio.find_active_access_token(expiring, valid_for=valid_for)
    assert hub.count(grant_type="refresh_token") == 0


async def test_no_cache_keeps_the_errors_of_a_dependency(visitor: Visitor) -> None:
    """A 401 and a 403 are about this person and this moment."""
    await visitor.log_in()
    missing = await visitor.get("/sites")
    await visitor.app.post("/zaikio/session/delete")
    nobody = await visitor.get("/me")

    assert [(answer.status_code, answer.headers["cache-control"]) for answer in (missing, nobody)] == [
        (403, "no-store"),
        (401, "no-store"),
    ]


async def test_no_cache_keeps_the_errors_of_a_bearer_token(zaikio: ZaikioOAuth, hub: LocalHub, hub_url: str) -> None:
    """Neither one about the request, nor one about the token."""
    app = small_app(zaikio)

    @app.get("/api")
    async def api(token: Annotated[BearerToken, Security(zaikio.bearer_token, scopes=["warehouse.stock.r"])]) -> str:
        return token.subject_id

    valid = hub.mint_token("warehouse-id", hub.people[0].id, "zaikio.person.r", issuer=hub_url)
    visitor = Visitor(app)
    requests = [[], [("Authorization", "Bearer x")], [("Authorization", "Bearer x")] * 2]
    requests += [[("Authorization", f"Bearer {valid}")]]
    answers = [await visitor.get("/api", headers=headers) for headers in requests]
    await visitor.aclose()

    assert [answer.status_code for answer in answers] == [401, 401, 400, 403]
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
