"""LocalHub refuses what the Hub refuses, with the same errors (Hub documentation; RFC 6749, RFC 7636)."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from starlette.testclient import TestClient

from tests.data import SECRET
from tests.testing.test_independent_clients import Form
from tests.visitor import BASE_URL, query_of
from zaikio_oauth import ConfigurationError, Settings
from zaikio_oauth.testing import HubApp, HubServer, LocalHub
from zaikio_oauth.web.flow import s256_code_challenge

REDIRECT_URI = f"{BASE_URL}/zaikio/sessions/approve"
VERIFIER = "v" * 43
ASKED = {
    "client_id": "warehouse-id",
    "redirect_uri": REDIRECT_URI,
    "response_type": "code",
    "scope": "zaikio.person.r",
    "state": "a state/with?odd&characters",
    "code_challenge": s256_code_challenge(VERIFIER),
    "code_challenge_method": "S256",
}


class Clock:
    """A clock that only a test moves."""

    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def hub_with(clock: Clock) -> LocalHub:
    """Return a Hub that uses this clock."""
    return LocalHub(
        apps=[
            HubApp.for_client("warehouse", "warehouse-id", SECRET, base_urls=[BASE_URL]),
            HubApp.for_client("kiosk", "kiosk-id", None, base_urls=[BASE_URL]),
        ],
        clock=clock,
    )


@pytest.fixture
def hub(clock: Clock) -> LocalHub:
    """A Hub that uses the clock of the test."""
    return hub_with(clock)


@pytest.fixture
def browser(hub_url: str) -> Iterator[httpx2.Client]:
    """A browser at the Hub that does not follow redirects."""
    with httpx2.Client(base_url=hub_url) as client:
        yield client


def ask(browser: httpx2.Client, **changes: Any) -> httpx2.Response:
    """Send the authorization request with these changes; None omits a parameter."""
    query = {name: value for name, value in (ASKED | changes).items() if value is not None}
    return browser.get("/oauth/authorize", params=query)


def code_for(browser: httpx2.Client, hub: LocalHub, **changes: Any) -> str:
    """Return an authorization code that Anna has granted."""
    hub.auto_consent(hub.people[0].id, changes.pop("organization_id", None))
    return query_of(ask(browser, **changes).headers["location"])["code"]


def exchange(browser: httpx2.Client, given: str, auth: Any = None, **changes: Any) -> httpx2.Response:
    """Send the token request with these changes; None omits a parameter."""
    form = {
        "grant_type": "authorization_code",
        "code": given,
        "redirect_uri": REDIRECT_URI,
        "client_id": "warehouse-id",
        "client_secret": SECRET,
        "code_verifier": VERIFIER,
    } | changes
    data = {name: value for name, value in form.items() if value is not None}
    return browser.post("/oauth/access_token", data=data, auth=auth)


def claims_of(browser: httpx2.Client, token: str) -> dict[str, Any]:
    """Return the claims of a token, verified with the published keys."""
    keys = KeySet.import_key_set(browser.get("/api/v1/jwt_public_keys.json").json())
    return jwt.decode(token, keys, algorithms=["RS256"]).claims


def refused(response: httpx2.Response) -> tuple[int, str]:
    """Return the status and the error of an error response."""
    return response.status_code, response.json()["error"]


# ── the authorization endpoint ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "nobody"},
        {"client_id": None},
        {"redirect_uri": None},
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": REDIRECT_URI + "?x=1"},
        {"redirect_uri": REDIRECT_URI + "/"},
        {"redirect_uri": [REDIRECT_URI, REDIRECT_URI]},
    ],
    ids=str,
)
def test_an_untrusted_request_is_not_redirected(browser: httpx2.Client, changes: dict[str, Any]) -> None:
    """RFC 6749 §4.1.2.1: an unknown app or unregistered address gets an error page instead of a redirect."""
    answer = ask(browser, **changes)

    assert answer.status_code == 400
    assert "This request cannot be completed" in answer.text
    assert "start the local Hub with" not in answer.text


@pytest.mark.parametrize(
    ("redirect_uri", "options"),
    [
        ("http://localhost:8020/zaikio/sessions/approve", "--app-url http://localhost:8020"),
        ("http://localhost:8020/zaikio/warehouse/connections/approve", "--app-url http://localhost:8020"),
        ("http://testserver/auth/sessions/approve", "--prefix /auth"),
        ("https://a.example/sessions/approve", "--app-url https://a.example --prefix &#34;&#34;"),
    ],
)
def test_a_callback_that_is_not_registered_is_answered_with_what_registers_it(
    browser: httpx2.Client, redirect_uri: str, options: str
) -> None:
    """Who reads it is the app's provider; the page is the local Hub's, and so is its command."""
    answer = ask(browser, redirect_uri=redirect_uri)

    assert answer.status_code == 400
    assert re.findall("start the local Hub with: <code[^>]*>(.*)</code>", answer.text) == [options]


@pytest.mark.parametrize(
    ("changes", "error", "description"),
    [
        ({"response_type": "token"}, "unsupported_response_type", "response_type must be code"),
        ({"response_type": None}, "unsupported_response_type", "response_type must be code"),
        ({"scope": ["a.b.r", "c.d.r"]}, "invalid_request", "scope must not be included more than once"),
        ({"code_challenge_method": "plain"}, "invalid_request", "code_challenge_method must be S256"),
        ({"code_challenge_method": None}, "invalid_request", "code_challenge_method must be S256"),
        ({"code_challenge": None}, "invalid_request", "code_challenge must be a base64url-encoded SHA-256 hash"),
        ({"code_challenge": "short"}, "invalid_request", "code_challenge must be a base64url-encoded SHA-256 hash"),
        ({"scope": None}, "invalid_scope", "malformed_scope"),
        ({"scope": "zaikio.person"}, "invalid_scope", "malformed_scope: zaikio.person"),
        ({"scope": "zaikio.person.x"}, "invalid_scope", "malformed_scope: zaikio.person.x"),
        ({"scope": "a.b.r,Org.a.b.r"}, "invalid_scope", "different_bearer_types"),
        ({"scope": "Org/1.a.b.r,Org/2.a.b.r"}, "invalid_scope", "different_bearer_ids"),
    ],
    ids=str,
)
def test_an_invalid_request_is_reported_to_the_app(
    browser: httpx2.Client, changes: dict[str, Any], error: str, description: str
) -> None:
    """The app receives the error together with the state that it sent."""
    location = ask(browser, **changes).headers["location"]

    assert location.partition("?")[0] == REDIRECT_URI
    assert query_of(location) == {"error": error, "error_description": description, "state": ASKED["state"]}


def test_a_non_confidential_app_has_to_use_pkce(browser: httpx2.Client) -> None:
    """RFC 7636: a confidential app may omit the code_challenge, a non-confidential one may not."""
    without: dict[str, Any] = {"code_challenge": None, "code_challenge_method": None}
    kiosk = ask(browser, client_id="kiosk-id", **without)

    assert query_of(kiosk.headers["location"])["error_description"] == "code_challenge is missing"
    assert ask(browser, **without).status_code == 200


@pytest.mark.parametrize(
    ("scope", "organization", "error"),
    [
        ("Org/00000000.zaikio.organization.r", None, "bearer_does_not_exist"),
        ("Org/{third}.zaikio.organization.r", None, "unpermitted_bearer_id"),
        ("Org.zaikio.organization.r", "{third}", "unpermitted_bearer_id"),
        ("Per/somebody.zaikio.person.r", None, "unpermitted_bearer_id"),
    ],
)
def test_only_members_grant_for_an_organization(
    browser: httpx2.Client, hub: LocalHub, scope: str, organization: str | None, error: str
) -> None:
    """Anna cannot grant for the third organization, because she is not a member of it."""
    third = hub.organizations[2].id
    hub.auto_consent(hub.people[0].id, organization and organization.format(third=third))

    answer = ask(browser, scope=scope.format(third=third))

    assert query_of(answer.headers["location"])["error_description"] == error


def test_an_app_asks_only_for_what_it_is_registered_with() -> None:
    """A scope outside ``desired_scopes`` is refused with the Hub's error code."""
    app = HubApp("mill", "mill-id", "s", (REDIRECT_URI,), desired_scopes=("zaikio.person.r",))
    with HubServer(LocalHub(apps=[app])) as server, httpx2.Client(base_url=server.url) as browser:
        answer = ask(browser, client_id="mill-id", scope="zaikio.person.r,zaikio.sites.r")

    description = query_of(answer.headers["location"])["error_description"]
    assert description == "scope_is_not_included_in_desired_scopes: zaikio.sites.r"


# ── the pages ──────────────────────────────────────────────────────────────────────────────────────


def sign_in(browser: httpx2.Client, page: httpx2.Response, name: str = "Anna Möller") -> httpx2.Response:
    """Choose an account and return the next page."""
    form = Form(page.text)
    chosen = browser.post("/session", data=form.hidden | form.buttons[name])
    return browser.get(chosen.headers["location"])


def test_a_person_grants_once_and_is_not_asked_again(browser: httpx2.Client, hub: LocalHub) -> None:
    """The page appears again only for more scopes or if the app prompts for it."""
    consent = Form(sign_in(browser, ask(browser)).text)
    granted = browser.post("/oauth/authorize", data=consent.hidden | consent.buttons["Allow"])
    assert "code" in query_of(granted.headers["location"])

    assert "code" in query_of(ask(browser).headers["location"])
    assert ask(browser, scope="zaikio.person.r,zaikio.sites.r").status_code == 200
    for wish in [{"prompt": "select_account"}, {"force_login": "true"}]:
        assert "Choose an account" in ask(browser, **wish).text


def test_a_person_picks_organization_and_plan(browser: httpx2.Client, hub: LocalHub) -> None:
    """The page offers the person's own organizations, and the plan becomes part of the granted scope."""
    page = sign_in(browser, ask(browser, scope="Org.subscription_create"))
    assert "Druckhaus Möller GmbH" in page.text
    assert "Papierwerke Süd AG" not in page.text
    form = Form(page.text)
    pick = {"organization_id": hub.organizations[1].id, "plan": "pro"}
    granted = browser.post("/oauth/authorize", data=form.hidden | form.buttons["Allow"] | pick)
    token = exchange(browser, query_of(granted.headers["location"])["code"]).json()

    assert (token["scope"], token["bearer"]["id"]) == ("subscription_create.pro", hub.organizations[1].id)
    nonsense = browser.post("/oauth/authorize", data=form.hidden | form.buttons["Allow"] | pick | {"plan": "gold"})
    assert query_of(nonsense.headers["location"])["error_description"] == "There is no such plan."


def test_somebody_who_is_no_member_can_only_cancel(browser: httpx2.Client, hub: LocalHub) -> None:
    """The page explains why, and offers no other button."""
    page = sign_in(browser, ask(browser, scope=f"Org/{hub.organizations[2].id}.zaikio.organization.r"))

    assert "an organization that you do not belong to" in page.text
    assert list(Form(page.text).buttons) == ["Cancel"]


def test_somebody_new_signs_up(browser: httpx2.Client, hub: LocalHub) -> None:
    """The form contains what the app suggests, and is missing if the app forbids signing up."""
    page = ask(browser, show_signup="true", **{"person[first_name]": "Zoë", "person[email]": "zoe@print.example"})
    assert 'value="Zoë"' in page.text
    person = {"first_name": "Zoë", "name": "Neu", "email": "zoe@print.example"}
    signed_up = browser.post("/sign-up", data=Form(page.text).hidden | person)
    consent = browser.get(signed_up.headers["location"])
    assert "Zoë Neu" in consent.text
    assert hub.people[-1].full_name == "Zoë Neu"
    assert "/sign-up" not in ask(browser, prompt="select_account", signup="false").text
    assert browser.post("/sign-up", data=Form(page.text).hidden | person | {"name": " "}).status_code == 400


def test_a_suggested_person_is_the_first(browser: httpx2.Client, hub: LocalHub) -> None:
    """The account with the e-mail address in ``login`` comes first."""
    page = ask(browser, login=hub.people[2].email)

    assert next(iter(Form(page.text).buttons)) in ("CL", hub.people[2].full_name)


def test_a_forged_form_grants_nothing(browser: httpx2.Client) -> None:
    """Another site cannot submit the form in the person's name."""
    consent = Form(sign_in(browser, ask(browser)).text)
    forged = consent.hidden | consent.buttons["Allow"] | {"csrf": "guessed"}

    assert browser.post("/oauth/authorize", data=forged).status_code == 400
    assert browser.post("/session", data=forged | {"person_id": "x"}).status_code == 400
    browser.cookies.clear()
    assert browser.post("/oauth/authorize", data=consent.hidden | consent.buttons["Allow"]).status_code == 400


@pytest.mark.parametrize(
    ("lang", "header", "heading"),
    [
        ("de", "", "Konto auswählen"),
        ("en", "de", "Choose an account"),
        (None, "de-AT, en", "Konto auswählen"),
        (None, "fr, en", "Choose an account"),
        ("fr", "", "Choose an account"),
    ],
)
def test_the_pages_speak_the_language_that_is_wanted(
    browser: httpx2.Client, lang: str | None, header: str, heading: str
) -> None:
    """The app's ``lang`` comes first, then the browser's languages, then English."""
    page = browser.get(
        "/oauth/authorize", params=ASKED | ({"lang": lang} if lang else {}), headers={"Accept-Language": header}
    )

    assert heading in page.text


def test_the_pages_are_not_cached_framed_or_leaked_by_referrer(browser: httpx2.Client) -> None:
    """They contain codes and names, and escape what an app suggests."""
    headers = ask(browser, prompt_email_confirmation="true", **{"organization[name]": "<b>Neu</b>"}).headers

    assert (headers["cache-control"], headers["x-frame-options"]) == ("no-store", "DENY")
    assert headers["referrer-policy"] == "no-referrer"
    page = sign_in(browser, ask(browser, prompt_email_confirmation="true", **{"organization[name]": "<b>Neu</b>"}))
    assert "&lt;b&gt;Neu&lt;/b&gt;" in page.text
    assert "Please check that this is still your e-mail address" in page.text
    assert "warehouse-id" in browser.get("/").text


def test_an_unknown_address_shows_a_page(browser: httpx2.Client) -> None:
    """In the language of the browser; a program receives one line of text."""
    page = browser.get("/gone", headers={"Accept": "text/html", "Accept-Language": "de"})
    assert (page.status_code, "Seite nicht gefunden" in page.text) == (404, True)
    assert (browser.get("/gone").text, browser.delete("/device").status_code) == ("Not Found", 405)


def test_every_page_has_an_icon(browser: httpx2.Client) -> None:
    """The pages contain it, and a browser that shows JSON finds it, so no console has an error."""
    assert '<link rel="icon" href="data:image/svg+xml,%3Csvg' in browser.get("/").text
    icon = browser.get("/favicon.ico")
    assert (icon.status_code, icon.headers["content-type"]) == (200, "image/svg+xml")


@pytest.mark.parametrize(
    ("name", "title"),
    [("warehouse", "Warehouse"), ("my_app", "My App"), ("iPad kiosk", "IPad Kiosk"), ("ümläut", "Ümläut")],
)
def test_the_pages_call_an_app_by_its_name(name: str, title: str) -> None:
    """The name of a client is spelt as a title."""
    app = HubApp.for_client(name, "an-id")
    assert f"<strong>{title}</strong>" in TestClient(LocalHub([app])).get("/").text


@pytest.mark.parametrize("scope", ["Org.zaikio.sites.r", "Per/1.zaikio.sites.r", "Per>Org.zaikio.sites.r"])
def test_only_a_request_names_the_bearer_in_a_scope(hub: LocalHub, scope: str) -> None:
    """What is registered or granted with a prefix would never match, so it is an error that says what to write."""
    with pytest.raises(ValueError, match=r"write 'zaikio\.sites\.r'"):
        HubApp("warehouse", "an-id", desired_scopes=(scope,))
    with pytest.raises(ValueError, match=r"write 'zaikio\.sites\.r'"):
        hub.grant("warehouse-id", "Organization", hub.organizations[0].id, f"zaikio.jobs.r,{scope}")


# ── the token endpoint ─────────────────────────────────────────────────────────────────────────────


def test_a_code_becomes_a_token(browser: httpx2.Client, hub: LocalHub) -> None:
    """The response has the fields of the Hub's documentation, and the published keys verify the JWT."""
    answer = exchange(browser, code_for(browser, hub, scope="zaikio.person.r,zaikio.sites.rw"))
    body = answer.json()
    token, refresh_token = body.pop("access_token"), body.pop("refresh_token")

    assert answer.headers["cache-control"] == "no-store"
    assert refresh_token
    assert body == {
        "token_type": "bearer",
        "scope": "zaikio.person.r,zaikio.sites.rw",
        "audiences": ["warehouse"],
        "expires_in": 3600,
        "bearer": {"id": hub.people[0].id, "type": "Person"},
    }
    keys = KeySet.import_key_set(browser.get("/api/v1/jwt_public_keys.json").json())
    decoded = jwt.decode(token, keys, algorithms=["RS256"])
    assert decoded.header["kid"] in {key.kid for key in keys.keys}
    jti = decoded.claims.pop("jti")
    assert len(jti) == 36
    assert decoded.claims == {
        "iss": "ZAI",
        "sub": f"Person/{hub.people[0].id}",
        "aud": ["warehouse"],
        "nbf": int(Clock.now) - 1,
        "exp": int(Clock.now) + 3600,
        "jku": f"{str(browser.base_url).rstrip('/')}/api/v1/jwt_public_keys.json",
        "scope": ["zaikio.person.r", "zaikio.sites.rw"],
    }


def test_a_new_key_leaves_the_old_one_published(browser: httpx2.Client, hub: LocalHub) -> None:
    """Tokens that were signed before the rotation can still be verified."""
    token = exchange(browser, code_for(browser, hub)).json()["access_token"]
    hub.grants.keys.rotate()
    published = browser.get("/api/v1/jwt_public_keys.json").json()

    assert len(published["keys"]) == 2
    assert not [key for key in published["keys"] if "d" in key]
    assert jwt.decode(token, KeySet.import_key_set(published), algorithms=["RS256"])


def test_a_person_acts_on_behalf_of_an_organization(browser: httpx2.Client, hub: LocalHub) -> None:
    """The bearer is the organization; the response and the JWT name the person and their roles."""
    code = code_for(browser, hub, scope="Per>Org.zaikio.organization.r", organization_id=hub.organizations[1].id)
    body = exchange(browser, code).json()

    assert body["bearer"] == {"id": hub.organizations[1].id, "type": "Organization"}
    assert body["bearer_on_behalf_of"] == {"id": hub.people[0].id, "type": "Person", "roles": ["purchasing"]}
    claims = claims_of(browser, body["access_token"])
    assert claims["sub"] == f"Person/{hub.people[0].id}>Organization/{hub.organizations[1].id}"
    roles = browser.get("/api/v1/roles").json()
    assert [role for bit, role in enumerate(roles) if claims["roles"] & 1 << bit] == ["purchasing"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"redirect_uri": REDIRECT_URI.replace("sessions", "connections")}, (400, "invalid_grant")),
        ({"redirect_uri": None}, (400, "invalid_grant")),
        ({"code_verifier": "w" * 43}, (400, "invalid_grant")),
        ({"code_verifier": None}, (400, "invalid_grant")),
        ({"code": "guessed"}, (400, "invalid_grant")),
        ({"code": None}, (400, "invalid_grant")),
        ({"client_secret": "guessed"}, (401, "invalid_client")),
        ({"client_secret": None}, (401, "invalid_client")),
        ({"client_id": "nobody"}, (401, "invalid_client")),
        ({"client_id": "kiosk-id"}, (401, "invalid_client")),
        ({"client_id": "kiosk-id", "client_secret": None}, (400, "invalid_grant")),
        ({"grant_type": "password"}, (400, "unsupported_grant_type")),
        ({"grant_type": None}, (400, "unsupported_grant_type")),
        ({"redirect_uri": [REDIRECT_URI, REDIRECT_URI]}, (400, "invalid_request")),
        ({"auth": ("warehouse-id", SECRET)}, (400, "invalid_request")),
        ({"auth": ("warehouse-id", "guessed"), "client_secret": None}, (401, "invalid_client")),
        ({"auth": ("another", SECRET), "client_secret": None}, (400, "invalid_request")),
    ],
    ids=str,
)
def test_a_wrong_token_request_is_refused(
    browser: httpx2.Client, hub: LocalHub, changes: dict[str, Any], expected: tuple[int, str]
) -> None:
    """The error is the one of RFC 6749 §5.2 or RFC 7636 §4.6."""
    answer = exchange(browser, code_for(browser, hub), **changes)

    assert refused(answer) == expected
    assert ("www-authenticate" in answer.headers) == (expected[0] == 401)


def test_pkce_cannot_be_downgraded(browser: httpx2.Client, hub: LocalHub) -> None:
    """RFC 9700 §2.1.1: a code_verifier is refused if there was no code_challenge."""
    code = code_for(browser, hub, code_challenge=None, code_challenge_method=None)

    assert refused(exchange(browser, code)) == (400, "invalid_grant")
    again = code_for(browser, hub, code_challenge=None, code_challenge_method=None)
    assert exchange(browser, again, code_verifier=None).status_code == 200


def test_malformed_basic_authentication_is_refused(browser: httpx2.Client, hub: LocalHub) -> None:
    """Malformed credentials lead to ``invalid_client`` rather than a server error."""
    headers = {"Authorization": "Basic !!!"}
    answer = browser.post("/oauth/access_token", data={"grant_type": "refresh_token"}, headers=headers)

    assert refused(answer) == (401, "invalid_client")


def test_a_code_is_good_for_one_exchange_and_a_short_time(browser: httpx2.Client, hub: LocalHub, clock: Clock) -> None:
    """A second exchange fails and revokes the token of the first one (RFC 6749 §4.1.2)."""
    code = code_for(browser, hub)
    first = exchange(browser, code).json()

    assert refused(exchange(browser, code)) == (400, "invalid_grant")
    assert person(browser, first["access_token"]).status_code == 401
    late = code_for(browser, hub)
    clock.now += 301
    assert refused(exchange(browser, late)) == (400, "invalid_grant")


def person(browser: httpx2.Client, token: str) -> httpx2.Response:
    """Request the person that the token belongs to."""
    return browser.get("/api/v1/person", headers={"Authorization": f"Bearer {token}"})


def refresh(browser: httpx2.Client, token: str, auth: Any = ("warehouse-id", SECRET), **more: str) -> httpx2.Response:
    """Send the refresh request."""
    data = {"grant_type": "refresh_token", "refresh_token": token} | more
    return browser.post("/oauth/access_token", data=data, auth=auth)


def test_a_refresh_token_works_once_and_for_seven_days(browser: httpx2.Client, hub: LocalHub, clock: Clock) -> None:
    """A refresh replaces the refresh token, while the old access token stays valid until it expires."""
    first = exchange(browser, code_for(browser, hub)).json()
    second = refresh(browser, first["refresh_token"]).json()

    assert second["refresh_token"] != first["refresh_token"]
    assert refused(refresh(browser, first["refresh_token"])) == (400, "invalid_grant")
    assert person(browser, first["access_token"]).status_code == 200
    clock.now += 3600
    assert person(browser, second["access_token"]).status_code == 401
    clock.now += 7 * 24 * 3600 - 3601
    third = refresh(browser, second["refresh_token"]).json()
    clock.now += 7 * 24 * 3600
    assert refused(refresh(browser, third["refresh_token"])) == (400, "invalid_grant")


def test_a_confidential_app_refreshes_with_basic_and_another_cannot(browser: httpx2.Client, hub: LocalHub) -> None:
    """The Hub accepts no client_secret in the body of a refresh (Hub documentation, "Refresh")."""
    token = exchange(browser, code_for(browser, hub)).json()["refresh_token"]

    in_body = refresh(browser, token, auth=None, client_id="warehouse-id", client_secret=SECRET)
    assert refused(in_body) == (401, "invalid_client")
    assert refused(refresh(browser, token, auth=None, client_id="kiosk-id")) == (400, "invalid_grant")
    assert refresh(browser, token).status_code == 200


@pytest.mark.parametrize(
    ("scope", "status", "error"),
    [
        ("Org/{known}.zaikio.organization.r", 200, None),
        ("Org/{known}.zaikio.machines.r", 402, "ungranted_scope"),
        ("Org/nobody.zaikio.organization.r", 422, "bearer_does_not_exist"),
        ("Per/nobody.zaikio.person.r", 422, "bearer_does_not_exist"),
        ("Org.zaikio.organization.r", 422, "malformed_scope"),
        ("nonsense", 422, "malformed_scope"),
    ],
)
def test_client_credentials_require_an_earlier_grant(
    browser: httpx2.Client, hub: LocalHub, scope: str, status: int, error: str | None
) -> None:
    """Only confidential apps with HTTP Basic receive a token, and only for scopes that were granted."""
    organization = hub.organizations[0].id
    hub.grant("warehouse-id", "Organization", organization, ["zaikio.organization.r"])
    data = {"grant_type": "client_credentials", "scope": scope.format(known=organization)}
    answer = browser.post("/oauth/access_token", data=data, auth=("warehouse-id", SECRET))

    assert answer.status_code == status
    assert error is None or answer.json() == {"errors": {"scopes": [error]}}
    kiosk = browser.post("/oauth/access_token", data=data | {"client_id": "kiosk-id"})
    assert refused(kiosk) == (400, "unauthorized_client")
    in_body = browser.post("/oauth/access_token", data=data | {"client_id": "warehouse-id", "client_secret": SECRET})
    assert refused(in_body) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [("seconds", 3600), ("string", "3600"), ("iso8601", "2027-01-15T09:00:00.000Z")],
)
def test_an_expiry_can_have_each_format_of_the_hub(
    browser: httpx2.Client, hub: LocalHub, spelling: Any, expected: object
) -> None:
    """``expires_in`` may be a number, a string or a date; the Hub has sent all three."""
    hub.expires_in_format = spelling

    assert exchange(browser, code_for(browser, hub)).json()["expires_in"] == expected


def test_the_hub_may_grant_less_and_opaque_tokens(browser: httpx2.Client, hub: LocalHub) -> None:
    """An app can be tested with fewer scopes than it requested, and with tokens that are not JWTs."""
    hub.withheld_scopes = frozenset({"zaikio.sites.r"})
    hub.grants.opaque_tokens = True
    body = exchange(browser, code_for(browser, hub, scope="zaikio.person.r,zaikio.sites.r")).json()

    assert body["scope"] == "zaikio.person.r"
    assert "." not in body["access_token"]
    assert person(browser, body["access_token"]).status_code == 200


# ── the API ────────────────────────────────────────────────────────────────────────────────────────


def test_a_token_gives_access_to_what_it_was_granted_for(browser: httpx2.Client, hub: LocalHub) -> None:
    """Each endpoint requires a token with its own scope."""
    token = exchange(browser, code_for(browser, hub, scope="zaikio.sites.r")).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}

    for path in ["/api/v1/person", "/api/v1/organization"]:
        answer = browser.get(path, headers=headers)
        assert (answer.status_code, answer.json()) == (403, {"errors": ["unpermitted_scope"]})
        assert browser.get(path).status_code == 401
    organization = {"scope": "Org.directory.organization.r", "organization_id": hub.organizations[1].id}
    token = exchange(browser, code_for(browser, hub, **organization)).json()["access_token"]
    answer = browser.get("/api/v1/organization", headers={"Authorization": f"Bearer {token}"})
    assert answer.json()["name"] == "Nordlicht Offset & Digital"


def test_a_revoked_token_no_longer_works(browser: httpx2.Client, hub: LocalHub, clock: Clock) -> None:
    """It is listed until it would have expired, and its refresh token no longer works."""
    body = exchange(browser, code_for(browser, hub)).json()
    headers = {"Authorization": f"Bearer {body['access_token']}"}
    revoked = browser.post("/api/v1/revoked_access_tokens", headers=headers)
    jti = revoked.json()["access_token_id"]

    assert revoked.status_code == 201
    assert person(browser, body["access_token"]).status_code == 401
    assert browser.post("/api/v1/revoked_access_tokens", headers=headers).status_code == 401
    assert refused(refresh(browser, body["refresh_token"])) == (400, "invalid_grant")
    for path in ["/api/v1/revoked_access_tokens", "/api/v1/revoked_access_tokens.json"]:
        assert browser.get(path).json() == {"revoked_token_ids": [jti]}
    clock.now += 3601
    assert browser.get("/api/v1/revoked_access_tokens").json() == {"revoked_token_ids": []}


# ── faults, secrets and settings ────────────────────────────────────────────────────────────────────────────────────────


def test_faults_happen_as_often_as_planned(browser: httpx2.Client, hub: LocalHub) -> None:
    """A fault applies to a path or a grant type, for the planned number of requests."""
    hub.fail("/api/v1/roles", status=503, times=2)
    assert [browser.get("/api/v1/roles").status_code for _ in range(3)] == [503, 503, 200]
    hub.rate_limit("/api/v1", reset_in=60)
    limited = browser.get("/api/v1/roles")
    assert (limited.status_code, limited.headers["ratelimit-rule"]) == (429, "300reqs/60s")
    assert int(limited.headers["ratelimit-reset"]) >= Clock.now + 60
    hub.fail("refresh_token", broken_json=True, times=None)
    assert refresh(browser, "x").text == '{"access_token": "trunc'
    hub.clear_faults()
    assert refused(refresh(browser, "x")) == (400, "invalid_grant")
    hub.ask()
    assert hub.count(grant_type="refresh_token") == 2
    assert hub.count(path="/api/v1/roles") == 4


def test_no_repr_shows_a_secret(browser: httpx2.Client, hub: LocalHub) -> None:
    """No secret, code or token is in the ``repr`` of the Hub or of anything it holds."""
    code = code_for(browser, hub)
    body = exchange(browser, code).json()
    shown = repr([hub, hub.apps, hub.requests, hub.grants, hub.faults])

    for secret in (SECRET, code, VERIFIER, body["access_token"], body["refresh_token"]):
        assert secret not in shown


@pytest.mark.parametrize("by", ["argument", "variable"])
def test_it_refuses_to_run_in_production(monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    """In production everybody could log in as anybody."""
    if by == "variable":
        monkeypatch.setenv("ZAIKIO_ENVIRONMENT", "production")
    with pytest.raises(ConfigurationError, match="does not run in production"):
        LocalHub(environment="production" if by == "argument" else None)


def test_without_apps_there_is_a_warehouse() -> None:
    """Without apps there is a default one; ``for_settings`` registers one for each client."""
    (app,) = LocalHub().apps
    assert (app.name, "http://localhost:8000/zaikio/sessions/approve" in app.redirect_uris) == ("warehouse", True)
    client = {"client_id": "mill-id", "client_secret": "s"}
    settings = Settings(encryption_keys=["q0gQkeYGmvqMHmRpgPUMhFIyPJNCwyC0OBqVqo5JjXw="], clients={"mill": client})
    (mill,) = LocalHub.for_settings(settings, base_urls=["https://a.example/"], prefix="/auth").apps
    assert mill.redirect_uris == (
        "https://a.example/auth/sessions/approve",
        "https://a.example/auth/connections/approve",
        "https://a.example/auth/mill/sessions/approve",
        "https://a.example/auth/mill/connections/approve",
    )


def test_a_server_leaves_its_port_free() -> None:
    """The port can be used again as soon as the server has stopped."""
    with HubServer(LocalHub()) as server:
        port = urlsplit(server.url).port or 0
        assert dict(parse_qsl(urlencode({"port": port})))
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))
