"""Logging in and out.

The tests correspond to the predecessor's tests and faults: login CSRF (3), one state per session (4), no PKCE (5), and
what login and logout leave behind.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable

import pytest
from fastapi import FastAPI

from tests.apps import small_app
from tests.data import TOKEN_RESPONSE
from tests.visitor import BASE_URL, Visitor, query_of
from zaikio_oauth import AccessToken, Settings, ZaikioOAuth
from zaikio_oauth.testing import LocalHub
from zaikio_oauth.web.flow import s256_code_challenge


@pytest.fixture(autouse=True)
def consenting(hub: LocalHub) -> str:
    """The person grants all requested scopes. Return the person's id."""
    person = hub.people[0]
    hub.auto_consent(person_id=person.id)
    return person.id


async def test_the_browser_is_redirected_to_the_hub(visitor: Visitor, hub_url: str) -> None:
    """The query has the parameters of RFC 6749 §4.1.1 and RFC 7636 §4.3, and no others."""
    response = await visitor.get("/zaikio/sessions/new")
    location = response.headers["location"]
    query = query_of(location)
    state, challenge = query.pop("state"), query.pop("code_challenge")

    assert (response.status_code, location.partition("?")[0]) == (302, f"{hub_url}/oauth/authorize")
    assert query == {
        "client_id": "warehouse-id",
        "redirect_uri": f"{BASE_URL}/zaikio/sessions/approve",
        "response_type": "code",
        "scope": "zaikio.person.r",
        "code_challenge_method": "S256",
    }
    assert re.fullmatch(r"[A-Za-z0-9_-]{43,}", state)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", challenge)


async def test_no_response_is_cached_or_sends_a_referrer(visitor: Visitor) -> None:
    """Codes and states are part of URLs."""
    paths = ["/zaikio/sessions/new", "/zaikio/sessions/approve", "/zaikio/nobody/sessions/new"]
    answers = [await visitor.get(path) for path in paths] + [await visitor.app.delete("/zaikio/session")]

    for answer in answers:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"


async def test_a_person_logs_in(visitor: Visitor, consenting: str) -> None:
    """The code is exchanged, the token is stored, and the session contains the ids of both the token and the person."""
    response = await visitor.log_in()

    assert (response.status_code, response.headers["location"]) == (303, "/")
    assert visitor.session == {
        "zaikio_access_token_id": (await visitor.get("/me")).json()["id"],
        "zaikio_person_id": consenting,
    }
    assert (await visitor.get("/me")).json()["person"] == consenting


async def test_the_session_never_holds_a_token(
    visitor: Visitor, zaikio: ZaikioOAuth, caplog: pytest.LogCaptureFixture
) -> None:
    """The browser can read the session. No cookie or log contains the tokens, the client secret or the code verifier."""
    with caplog.at_level(logging.DEBUG):
        await visitor.start()
        await visitor.log_in()
    token = await zaikio.find_active_access_token(visitor.session["zaikio_access_token_id"])
    assert token is not None
    shown = repr(visitor.session) + repr([cookie.value for cookie in visitor.app.cookies.jar])
    shown += "".join(record.getMessage() for record in caplog.records if record.name.startswith("zaikio_oauth"))

    for secret in (token.token, token.refresh_token, "a-client-secret-that-nobody-sees"):
        assert secret
        assert secret not in shown


async def test_a_callback_in_another_browser_logs_nobody_in(app: FastAPI, visitor: Visitor, hub: LocalHub) -> None:
    """Login CSRF fails: an attacker's own callback URL has no effect in the victim's browser (fault 3)."""
    attackers_callback = await visitor.consent(await visitor.start())
    victim = Visitor(app)
    before = hub.count(path="/oauth/access_token")

    answer = await victim.get(attackers_callback)

    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert (await victim.get("/me")).status_code == 401
    assert (await victim.get("/")).json()["error"]["code"] == "invalid_state"
    assert hub.count(path="/oauth/access_token") == before
    await victim.aclose()


@pytest.mark.parametrize(
    "query", ["", "?code=abc", "?state=&code=abc", "?state=unknown&code=abc", "?error=invalid_scope"]
)
async def test_a_callback_without_a_known_state_makes_no_request(visitor: Visitor, hub: LocalHub, query: str) -> None:
    """The other parameters do not matter. One of these URLs made the gem raise an exception."""
    await visitor.start()

    answer = await visitor.get(f"/zaikio/sessions/approve{query}")

    assert answer.status_code == 303
    assert (await visitor.get("/")).json()["error"]["code"] == "invalid_state"
    assert hub.count(path="/oauth/access_token") == 0


async def test_a_callback_works_once(visitor: Visitor, hub: LocalHub) -> None:
    """Neither the same URL nor its state with another code works again, and the person stays logged in."""
    authorize = await visitor.start()
    callback = await visitor.consent(authorize)
    other_code = query_of(await visitor.consent(authorize))["code"]
    await visitor.get(callback)
    count = hub.count(path="/oauth/access_token")

    for again in [callback, f"/zaikio/sessions/approve?state={query_of(callback)['state']}&code={other_code}"]:
        assert (await visitor.get(again)).status_code == 303
        assert (await visitor.get("/")).json()["error"] is None
        assert (await visitor.get("/me")).status_code == 200
    assert hub.count(path="/oauth/access_token") == count == 1


async def test_a_callback_works_once_even_if_its_cookie_is_kept(app: FastAPI, visitor: Visitor, hub: LocalHub) -> None:
    """The flow is marked as used on the server, and its cookie is deleted as well."""
    callback = await visitor.consent(await visitor.start())
    keeper = Visitor(app)
    visitor.copy_cookies_to(keeper)
    await visitor.get(callback)

    await keeper.get(callback)

    assert (await keeper.get("/me")).status_code == 401
    assert hub.count(path="/oauth/access_token") == 1
    await keeper.aclose()


async def test_ten_tabs_can_log_in_at_once(visitor: Visitor) -> None:
    """A browser restores its tabs at the same time, and each returns to its own page (fault 4)."""
    started = await asyncio.gather(*(visitor.start(origin=f"/page/{tab}") for tab in range(10)))
    assert len(visitor.flows) == 10
    callbacks = [await visitor.consent(url) for url in started]

    answers = await asyncio.gather(*(visitor.get(callback) for callback in callbacks))

    assert [answer.headers["location"] for answer in answers] == [f"/page/{tab}" for tab in range(10)]
    assert visitor.flows == []
    assert (await visitor.get("/me")).status_code == 200


async def test_a_second_tab_does_not_break_the_first(visitor: Visitor) -> None:
    """In the gem, the second login overwrote the state of the first."""
    first, second = await visitor.start(origin="/first"), await visitor.start(origin="/second")

    for url, page in [(second, "/second"), (first, "/first")]:
        assert (await visitor.get(await visitor.consent(url))).headers["location"] == page


@pytest.mark.parametrize("length", [1, 300])
async def test_a_browser_has_at_most_ten_flow_cookies(visitor: Visitor, length: int) -> None:
    """Abandoned logins do not make the request headers too large for servers, and the newest flow works."""
    started = [await visitor.start(origin="/xxx" + "x" * length) for _ in range(40)]

    cookies = sum(len(cookie.name) + len(cookie.value or "") for cookie in visitor.app.cookies.jar)
    assert len(visitor.flows) <= 10
    assert cookies < 7_000
    assert (await visitor.get(await visitor.consent(started[-1]))).headers["location"].startswith("/xxx")


async def test_a_flow_cookie_is_encrypted_and_sent_only_to_our_paths(visitor: Visitor) -> None:
    """The cookie is HttpOnly and SameSite=Lax, lasts for ten minutes, and has our prefix as its path."""
    response = await visitor.get("/zaikio/sessions/new?origin=/secret-page")
    cookie = response.headers["set-cookie"]

    assert re.match(r"zaikio_flow_[0-9a-f]{16}=gAAAA", cookie)
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert attributes == {"httponly", "max-age=600", "path=/zaikio", "samesite=lax"}
    assert "secret-page" not in cookie


async def test_on_https_the_flow_cookie_is_secure(make_settings: Callable[..., Settings]) -> None:
    """This also holds behind a proxy that speaks HTTP to the app, if ``base_url`` starts with ``https``."""
    async with ZaikioOAuth(make_settings(base_url="https://shop.example/app")) as zaikio:
        visitor = Visitor(small_app(zaikio))
        response = await visitor.get("/zaikio/sessions/new", headers={"Host": "evil.example"})
        await visitor.aclose()

    assert "; Secure" in response.headers["set-cookie"]
    assert "Path=/app/zaikio;" in response.headers["set-cookie"]
    assert query_of(response.headers["location"])["redirect_uri"] == "https://shop.example/app/zaikio/sessions/approve"


async def test_a_modified_flow_cookie_is_ignored(visitor: Visitor, hub: LocalHub) -> None:
    """The encryption detects the change, and no request is made to the Hub."""
    callback = await visitor.consent(await visitor.start())
    for cookie in visitor.app.cookies.jar:
        value = cookie.value or ""
        cookie.value = value[:-10] + ("A" if value[-10] != "A" else "B") + value[-9:]

    await visitor.get(callback)

    assert (await visitor.get("/")).json()["error"]["code"] == "invalid_state"
    assert hub.count(path="/oauth/access_token") == 0


async def test_a_modified_session_cookie_is_ignored(visitor: Visitor) -> None:
    """The signature of the session cookie detects the change, so nobody is logged in."""
    await visitor.log_in()
    for cookie in visitor.app.cookies.jar:
        if cookie.name == "session":
            cookie.value = "x" + (cookie.value or "")

    assert (await visitor.get("/me")).status_code == 401


async def test_a_code_works_only_with_its_own_verifier(visitor: Visitor, hub: LocalHub) -> None:
    """A stolen code is useless without its browser's flow cookie, because the Hub checks the code verifier (fault 5)."""
    authorize = await visitor.start()
    stolen = query_of(await visitor.consent(authorize))["code"]
    other = await visitor.start()

    answer = await visitor.get(f"/zaikio/sessions/approve?state={query_of(other)['state']}&code={stolen}")

    # The code was issued for another challenge, so the Hub rejects it, and the login starts again.
    assert answer.status_code == 302
    assert query_of(answer.headers["location"])["code_challenge"] != s256_code_challenge(stolen)
    assert visitor.session == {}


async def test_a_state_given_by_the_app_is_kept(visitor: Visitor) -> None:
    """The gem sent it, did not store it, and rejected it in the callback."""
    authorize = await visitor.start(state="mine")
    assert query_of(authorize)["state"] == "mine"
    await visitor.start()

    assert (await visitor.get("/zaikio/sessions/approve?state=yours&code=x")).status_code == 303
    assert visitor.session["zaikio_oauth"]["error"]["code"] == "invalid_state"
    assert (await visitor.get(await visitor.consent(authorize))).headers["location"] == "/"
    assert (await visitor.get("/me")).status_code == 200


@pytest.mark.parametrize("state", ["", "x" * 300, "line\nbreak", "ümlaut"])
async def test_an_invalid_state_is_replaced_by_a_new_one(visitor: Visitor, state: str) -> None:
    """A state is printable ASCII (RFC 6749 §A.5) and short enough for a URL."""
    assert re.fullmatch(r"[A-Za-z0-9_-]{43,}", query_of(await visitor.start(state=state))["state"])


async def test_parameters_for_the_hub_are_passed_on(visitor: Visitor) -> None:
    """These are the parameters of the Hub's authorization page, including those in brackets. Others are dropped."""
    known = {
        "show_signup": "true",
        "force_login": "true",
        "prompt": "select_account",
        "prompt_email_confirmation": "true",
        "lang": "de",
        "login": "anna@druck.example",
        "signup": "false",
        "person[first_name]": "Änna",
        "person[name]": "O'Neill & Söhne",
        "person[email]": "anna@druck.example",
        "organization[name]": "Druck+Papier",
        "organization[country_code]": "DE",
        "organization[kinds][]": "printer",
    }
    dropped = {"redirect_uri": "https://evil.example", "client_id": "x", "scope": "a.b.rw", "utm": "1", "person": "x"}

    query = query_of(await visitor.start(**known, **dropped))

    assert {name: query[name] for name in known} == known
    assert "utm" not in query
    assert "person" not in query
    assert query["redirect_uri"] == f"{BASE_URL}/zaikio/sessions/approve"
    assert (query["client_id"], query["scope"]) == ("warehouse-id", "zaikio.person.r")


async def test_several_organization_kinds_are_passed_on(visitor: Visitor) -> None:
    """``organization[kinds][]`` may occur more than once."""
    response = await visitor.get("/zaikio/sessions/new?organization[kinds][]=printer&organization[kinds][]=supplier")

    assert (
        "organization%5Bkinds%5D%5B%5D=printer&organization%5Bkinds%5D%5B%5D=supplier" in response.headers["location"]
    )


async def test_the_language_defaults_to_that_of_the_app(app: FastAPI, make_settings: Callable[..., Settings]) -> None:
    """The order of precedence is: the parameter, the ``locale`` hook, the browser's preferred language."""
    german = Visitor(app, headers={"Accept-Language": "fr;q=0.3, de-CH, en;q=0.9"})
    assert query_of(await german.start())["lang"] == "de"
    assert query_of(await german.start(lang="en"))["lang"] == "en"
    await german.aclose()
    async with ZaikioOAuth(make_settings(), locale=lambda request: "nl") as zaikio:
        dutch = Visitor(small_app(zaikio))
        assert query_of(await dutch.start())["lang"] == "nl"
        await dutch.aclose()


async def test_each_client_has_its_own_paths(visitor: Visitor) -> None:
    """``/kiosk/…`` belongs to the non-confidential client. A flow works only for the client that started it."""
    authorize = await visitor.start("/zaikio/kiosk/sessions/new")
    query = query_of(authorize)
    assert (query["client_id"], query["redirect_uri"]) == ("kiosk-id", f"{BASE_URL}/zaikio/kiosk/sessions/approve")
    callback = await visitor.consent(authorize)

    foreign = callback.replace("/zaikio/kiosk/", "/zaikio/")
    assert (await visitor.get(foreign)).status_code == 303
    assert (await visitor.get("/")).json()["error"]["code"] == "invalid_state"
    assert (await visitor.get(callback.replace("/sessions/", "/connections/"))).status_code == 404
    await visitor.get(callback)
    assert (await visitor.get("/me")).json()["client"] == "kiosk"


async def test_an_unknown_client_is_not_found(visitor: Visitor) -> None:
    """Each of its paths returns HTTP 404."""
    for method, path in [
        ("GET", "/zaikio/nobody/sessions/new"),
        ("GET", "/zaikio/nobody/sessions/approve"),
        ("GET", "/zaikio/nobody/connections/new"),
        ("GET", "/zaikio/nobody/connections/approve"),
        ("GET", "/zaikio/nobody/subscriptions/new"),
        ("DELETE", "/zaikio/nobody/session"),
        ("POST", "/zaikio/nobody/session/delete"),
    ]:
        assert (await visitor.app.request(method, path)).status_code == 404, path


async def test_a_second_person_does_not_see_data_of_the_first(visitor: Visitor, hub: LocalHub) -> None:
    """On a shared computer, the app's session data is dropped when another person logs in."""
    await visitor.log_in()
    await visitor.app.post("/remember", json={"cart": ["paper"]})
    await visitor.log_in()
    assert visitor.session["cart"] == ["paper"]

    hub.auto_consent(person_id=hub.people[1].id)
    await visitor.log_in(force_login="true")

    assert set(visitor.session) == {"zaikio_access_token_id", "zaikio_person_id"}
    assert visitor.session["zaikio_person_id"] == hub.people[1].id


async def test_session_data_of_an_anonymous_visitor_is_kept(visitor: Visitor) -> None:
    """Nobody was logged in before, so the data belongs to the person who logs in."""
    await visitor.app.post("/remember", json={"cart": ["paper"]})

    await visitor.log_in()

    assert visitor.session["cart"] == ["paper"]


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/zaikio/session"), ("POST", "/zaikio/session/delete")])
async def test_logging_out_revokes_the_token(
    visitor: Visitor, zaikio: ZaikioOAuth, hub: LocalHub, method: str, path: str
) -> None:
    """The token is revoked at the Hub and removed from the store and the session. The app's session data is kept."""
    await visitor.log_in()
    await visitor.app.post(
        "/remember", json={"theme": "dark", "origin": "/x", "zaikio_oauth": {"error": {"code": "x"}}}
    )
    token = await zaikio.find_active_access_token(visitor.session["zaikio_access_token_id"])
    assert token is not None

    response = await visitor.app.request(method, path)

    assert (response.status_code, response.headers["location"]) == (303, "/")
    assert visitor.session == {"theme": "dark"}
    assert await zaikio.find_active_access_token(token.id) is None
    revoked = await visitor.hub.get(f"{zaikio.settings.host}/api/v1/revoked_access_tokens")
    assert revoked.json() == {"revoked_token_ids": [token.jti]}


async def test_logging_out_twice_or_without_a_login_is_harmless(visitor: Visitor) -> None:
    """Each request redirects as usual, although there is no token."""
    for _ in range(2):
        assert (await visitor.app.delete("/zaikio/session")).status_code == 303
    await visitor.log_in()
    for _ in range(2):
        assert (await visitor.app.delete("/zaikio/session")).status_code == 303


async def test_logging_out_works_while_the_hub_is_down(
    visitor: Visitor, hub: LocalHub, zaikio: ZaikioOAuth, caplog: pytest.LogCaptureFixture
) -> None:
    """The person is logged out in any case, and the log says that the Hub was not informed."""
    await visitor.log_in()
    access_token_id = visitor.session["zaikio_access_token_id"]
    hub.fail("/api/v1/revoked_access_tokens", status=503, times=None)

    assert (await visitor.app.delete("/zaikio/session")).status_code == 303

    assert visitor.session == {}
    assert await zaikio.find_active_access_token(access_token_id) is None
    # The response does not wait for the last attempt to end.
    async with asyncio.timeout(10):
        while f"{access_token_id} is no longer stored, but was not revoked" not in caplog.text:
            await asyncio.sleep(0.05)


async def test_an_organizations_token_creates_no_session(
    make_settings: Callable[..., Settings], hub: LocalHub, consenting: str
) -> None:
    """If the Hub answers a login with an organization's token, it is stored and nobody is logged in."""
    hub.auto_consent(person_id=consenting)
    organization = {"bearer": {"type": "Organization", "id": hub.organizations[0].id}}
    hub.fail("authorization_code", body=TOKEN_RESPONSE | organization)
    seen: list[AccessToken] = []
    async with ZaikioOAuth(
        make_settings(),
        after_approve=lambda request, token, origin: seen.append(token),
    ) as zaikio:
        visitor = Visitor(small_app(zaikio))
        await visitor.log_in()
        session = visitor.session
        await visitor.aclose()

    assert session == {}
    assert [token.organization for token in seen] == [True]
