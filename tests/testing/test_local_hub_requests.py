"""The local Hub parses requests as RFC 6749 requires, and lets tests issue tokens and simulate faults."""

from __future__ import annotations

import hmac
import itertools
import json
import threading
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import httpx2
import pytest

from tests.data import SECRET
from tests.testing.test_independent_clients import Form
from tests.testing.test_local_hub import (
    REDIRECT_URI,
    VERIFIER,
    ask,
    claims_of,
    code_for,
    exchange,
    person,
    refresh,
    refused,
)
from tests.visitor import query_of
from zaikio_oauth.testing import HubApp, HubServer, LocalHub
from zaikio_oauth.web.flow import s256_code_challenge


@pytest.fixture
def browser(hub_url: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=hub_url) as client:
        yield client


def sign_in(browser: httpx2.Client, page: httpx2.Response) -> httpx2.Response:
    """Choose Anna's account and return the next page."""
    form = Form(page.text)
    chosen = browser.post("/session", data=form.hidden | form.buttons["Anna Möller"])
    return browser.get(chosen.headers["location"])


# ── the authorization endpoint ─────────────────────────────────────────────────────────────────────


def test_an_app_that_names_itself_twice_is_not_redirected(browser: httpx2.Client) -> None:
    """With two client ids there is no app to trust with the error."""
    assert ask(browser, client_id=["warehouse-id", "warehouse-id"]).status_code == 400


def test_a_state_that_comes_twice_is_refused_without_it(browser: httpx2.Client) -> None:
    """RFC 6749 §3.1: a repeated state is an error, and the response contains neither value."""
    location = ask(browser, state=["one", "two"]).headers["location"]

    assert query_of(location) == {
        "error": "invalid_request",
        "error_description": "state must not be included more than once",
    }


def test_a_registered_query_is_kept() -> None:
    """RFC 6749 §3.1.2: the query of the redirect_uri is retained in every response."""
    uri = "http://testserver/callback?tenant=7"
    hub = LocalHub(apps=[HubApp("mill", "mill-id", None, (uri,))])
    hub.auto_cancel()
    with HubServer(hub) as server, httpx2.Client(base_url=server.url) as browser:
        cancelled = ask(browser, client_id="mill-id", redirect_uri=uri, state=None).headers["location"]
        wrong = ask(browser, client_id="mill-id", redirect_uri=uri, state=None, scope="x").headers["location"]

    assert cancelled == f"{uri}&error=access_denied&error_description=The+person+cancelled."
    assert wrong == f"{uri}&error=invalid_scope&error_description=malformed_scope%3A+x"


@pytest.mark.parametrize(
    "scope",
    [
        "zaikio.person.r zaikio.sites.r",
        "zaikio.person.r, zaikio.sites.r",
        "Org>Org.zaikio.person.r",
        "subscription_create",
        "Per.subscription_create",
        "Per>Org.subscription_create",
    ],
)
def test_only_scopes_in_the_hubs_syntax_are_accepted(browser: httpx2.Client, scope: str) -> None:
    """No spaces; only people act on behalf of an organization; only organizations subscribe."""
    description = query_of(ask(browser, scope=scope).headers["location"])["error_description"]

    assert description.startswith("malformed_scope: ")


@pytest.mark.parametrize("challenge", ["x" * 42, "x" * 44, "x" * 42 + "+", "x" * 43 + "\n"])
def test_a_challenge_is_the_base64url_of_a_sha256(browser: httpx2.Client, challenge: str) -> None:
    """RFC 7636 §4.2: 43 characters of the base64url alphabet, and nothing after them."""
    description = query_of(ask(browser, code_challenge=challenge).headers["location"])["error_description"]

    assert description == "code_challenge must be a base64url-encoded SHA-256 hash"


def test_a_person_cancels_before_they_say_who_they_are(browser: httpx2.Client) -> None:
    """The page with the accounts has a button to cancel."""
    account = browser.get(ask(browser).request.url).text
    assert account.count('value="cancel"') == 1
    cancelled = browser.post("/oauth/authorize", data=Form(account).hidden | {"decision": "cancel"})

    assert query_of(cancelled.headers["location"])["error"] == "access_denied"


def test_a_form_does_not_lead_to_another_site(browser: httpx2.Client, hub: LocalHub) -> None:
    """The form redirects to the Hub's own pages only."""
    form = Form(ask(browser).text)
    data = form.hidden | form.buttons["Anna Möller"] | {"asker": "https://evil.example/"}

    assert browser.post("/session", data=data).status_code == 400


def test_a_forged_sign_up_leaves_no_account(browser: httpx2.Client, hub: LocalHub) -> None:
    """A form without a valid CSRF token creates nobody."""
    form = Form(ask(browser, show_signup="true").text).hidden | {"csrf": "guessed"}
    data = form | {"first_name": "Zoë", "name": "Neu", "email": "zoe@print.example"}

    assert browser.post("/sign-up", data=data).status_code == 400
    assert [each.full_name for each in hub.people] == ["Anna Möller", "Ben Okafor", "Chloë Lindqvist"]


def test_prompts_show_the_page_again(browser: httpx2.Client) -> None:
    """``prompt`` and ``prompt_email_confirmation`` show the page although everything was granted before."""
    consent = Form(sign_in(browser, ask(browser)).text)
    browser.post("/oauth/authorize", data=consent.hidden | consent.buttons["Allow"])

    assert ask(browser).status_code == 302
    assert "Allow Warehouse to access your data?" in ask(browser, prompt="consent").text
    confirm = ask(browser, prompt_email_confirmation="true").text
    assert "Please check that this is still your e-mail address" in confirm


def test_an_organization_that_the_app_suggests_is_created(browser: httpx2.Client, hub: LocalHub) -> None:
    """It has the suggested name, country and kinds, and belongs to the person who granted."""
    suggested = {
        "organization[name]": "Offset Süd",
        "organization[country_code]": "AT",
        "organization[kinds][]": ["printer", "finisher"],
    }
    page = sign_in(browser, ask(browser, scope="Org.zaikio.organization.r", **suggested))
    assert "Offset Süd" in page.text
    form = Form(page.text)
    granted = browser.post("/oauth/authorize", data=form.hidden | form.buttons["Allow"] | {"organization_id": "new"})
    token = exchange(browser, query_of(granted.headers["location"])["code"]).json()
    answer = browser.get("/api/v1/organization", headers={"Authorization": f"Bearer {token['access_token']}"})

    assert answer.json() == {
        "id": token["bearer"]["id"],
        "name": "Offset Süd",
        "country_code": "AT",
        "kinds": ["printer", "finisher"],
    }
    assert hub.people[0].roles_in(token["bearer"]["id"]) == ("owner",)


def test_no_organization_is_guessed_from_a_form(browser: httpx2.Client) -> None:
    """A form in which no organization was chosen grants nothing."""
    form = Form(sign_in(browser, ask(browser, scope="Org.zaikio.organization.r")).text)
    answer = browser.post("/oauth/authorize", data=form.hidden | form.buttons["Allow"])

    assert query_of(answer.headers["location"])["error"] == "invalid_scope"


def test_an_unknown_login_is_filled_into_the_form(browser: httpx2.Client) -> None:
    """An unknown ``login`` is filled into the form for a new account."""
    assert 'value="new@print.example"' in ask(browser, login="new@print.example").text


@pytest.mark.parametrize(
    ("language", "heading", "note", "role"),
    [
        ("de", "Ein Zaikio Hub", "Alle Daten sind erfunden.", "Inhaber/in, Administration"),
        ("en", "A Zaikio Hub for", "Nothing here is real.", "Owner, Administration"),
    ],
)
def test_the_home_page_lists_apps_and_people(
    browser: httpx2.Client, hub: LocalHub, language: str, heading: str, note: str, role: str
) -> None:
    """It lists apps and people in both languages, without any secret."""
    page = browser.get("/", params={"lang": language}).text

    assert (heading in page, note in page, f"{role}</span>" in page) == (True, True, True)
    names = ["warehouse", "kiosk", *(each.full_name for each in hub.people)]
    assert [name for name in names if name not in page] == []
    assert f'href="/device?lang={language}"' in page
    assert SECRET not in page


# ── the token endpoint ─────────────────────────────────────────────────────────────────────────────


def test_secrets_in_the_url_are_refused(browser: httpx2.Client) -> None:
    """RFC 6749 §2.3.1: a client_secret must not be in the URL."""
    data = {"grant_type": "authorization_code", "client_id": "warehouse-id"}
    answer = browser.post("/oauth/access_token", params={"client_secret": SECRET}, data=data)

    assert refused(answer) == (400, "invalid_request")


def test_json_is_no_form(browser: httpx2.Client) -> None:
    """RFC 6749 §4.1.3: the body must be application/x-www-form-urlencoded."""
    answer = browser.post("/oauth/access_token", json={"grant_type": "refresh_token"})

    assert refused(answer) == (400, "invalid_request")


def test_an_empty_parameter_counts_as_left_out(browser: httpx2.Client, hub: LocalHub) -> None:
    """RFC 6749 §3.2: a parameter without a value is treated as if it were omitted."""
    without: dict[str, Any] = {"code_challenge": None, "code_challenge_method": None}
    code = code_for(browser, hub, **without)

    assert exchange(browser, code, code_verifier="").status_code == 200


def test_a_code_used_twice_revokes_what_was_refreshed_since(browser: httpx2.Client, hub: LocalHub) -> None:
    """RFC 6749 §4.1.2: all tokens issued based on that code are revoked, refreshed ones included."""
    code = code_for(browser, hub)
    second = refresh(browser, exchange(browser, code).json()["refresh_token"]).json()
    assert person(browser, second["access_token"]).status_code == 200

    assert refused(exchange(browser, code)) == (400, "invalid_grant")
    assert person(browser, second["access_token"]).status_code == 401
    assert refused(refresh(browser, second["refresh_token"])) == (400, "invalid_grant")


def test_a_refresh_may_ask_for_less_but_not_for_more(browser: httpx2.Client, hub: LocalHub) -> None:
    """RFC 6749 §6: a refresh may narrow the scope, and a refused one does not consume the refresh token."""
    token = exchange(browser, code_for(browser, hub, scope="zaikio.person.r,zaikio.sites.r")).json()["refresh_token"]

    assert refused(refresh(browser, token, scope="zaikio.machines.r")) == (400, "invalid_scope")
    assert refresh(browser, token, scope="zaikio.sites.r").json()["scope"] == "zaikio.sites.r"


def test_acting_on_behalf_grants_the_organization_nothing(browser: httpx2.Client, hub: LocalHub) -> None:
    """Client credentials work only for what the organization itself has granted."""
    organization = hub.organizations[0].id
    scope = f"Per>Org/{organization}.zaikio.organization.r"
    assert exchange(browser, code_for(browser, hub, scope=scope)).status_code == 200
    data = {"grant_type": "client_credentials", "scope": f"Org/{organization}.zaikio.organization.r"}
    answer = browser.post("/oauth/access_token", data=data, auth=("warehouse-id", SECRET))

    assert (answer.status_code, answer.json()) == (402, {"errors": {"scopes": ["ungranted_scope"]}})


def test_client_credentials_act_on_behalf_of_nobody(browser: httpx2.Client, hub: LocalHub) -> None:
    """No person takes part in client credentials, so the scope is malformed."""
    organization, anna = hub.organizations[0].id, hub.people[0].id
    hub.grant("warehouse-id", "Organization", organization, ["zaikio.organization.r"])
    scope = f"Per/{anna}>Org/{organization}.zaikio.organization.r"
    data = {"grant_type": "client_credentials", "scope": scope}
    answer = browser.post("/oauth/access_token", data=data, auth=("warehouse-id", SECRET))

    assert (answer.status_code, answer.json()) == (422, {"errors": {"scopes": ["malformed_scope"]}})


def test_the_person_endpoint_wants_a_persons_token(browser: httpx2.Client, hub: LocalHub) -> None:
    """A token on behalf of an organization does not belong to a person."""
    token = exchange(browser, code_for(browser, hub, scope="Per>Org.zaikio.person.r")).json()["access_token"]
    answer = person(browser, token)

    assert (answer.status_code, answer.json()) == (403, {"errors": ["unpermitted_scope"]})


# ── codes, tokens and faults without a browser ────────────────────────────────────────────────────────────────────────────────────────


def test_a_code_can_be_issued_without_a_browser(browser: httpx2.Client, hub: LocalHub) -> None:
    """``mint_code`` works like Anna's consent, and raises ValueError for what would be refused."""
    anna = hub.people[0].id
    challenge = s256_code_challenge(VERIFIER)
    code = hub.mint_code("warehouse-id", REDIRECT_URI, anna, "zaikio.person.r", code_challenge=challenge)

    assert exchange(browser, code).json()["bearer"] == {"id": anna, "type": "Person"}
    with pytest.raises(ValueError, match="malformed_scope"):
        hub.mint_code("warehouse-id", REDIRECT_URI, anna, "nonsense")
    with pytest.raises(ValueError, match="nobody"):
        hub.mint_token("nobody", anna, "zaikio.person.r")


def test_a_webhook_event_is_signed_as_loom_signs(browser: httpx2.Client, hub: LocalHub) -> None:
    """The signature is the hex HMAC-SHA256 of the raw body, and the subject is the token's bearer."""
    token = hub.mint_token("warehouse-id", hub.people[0].id, "Org.zaikio.organization.r")
    jti = claims_of(browser, token)["jti"]
    body, headers = hub.webhook_event(jti, "shared", name="directory.revoked_access_token")
    event = json.loads(body)

    assert headers["X-Loom-Signature"] == hmac.new(b"shared", body, sha256).hexdigest()
    assert (event["name"], event["payload"]) == ("directory.revoked_access_token", {"access_token_id": jti})
    assert event["subject"] == f"Org/{hub.organizations[0].id}"
    assert set(event) == {"id", "name", "subject", "timestamp", "version", "payload", "link", "received_at"}


def test_an_answer_can_be_cut_off(browser: httpx2.Client, hub: LocalHub) -> None:
    """``disconnect`` ends the connection in the middle of a response; the next request works."""
    hub.fail("/api/v1/roles", disconnect=True)

    with pytest.raises(httpx2.RemoteProtocolError):
        browser.get("/api/v1/roles")
    assert browser.get("/api/v1/roles").status_code == 200


def test_an_answer_can_come_byte_by_byte_without_an_end(browser: httpx2.Client, hub: LocalHub) -> None:
    """``trickle`` defeats a time-out for each read, and ends when the client is gone; the next request works."""
    hub.fail("/api/v1/roles", trickle=True)

    with browser.stream("GET", "/api/v1/roles", timeout=1) as answer:
        received = b"".join(itertools.islice(answer.iter_bytes(), 12))
    assert answer.status_code == 200
    assert len(received) >= 12
    assert browser.get("/api/v1/roles").status_code == 200
    assert hub.count(path="/api/v1/roles") == 2


def test_requests_are_counted_by_client(browser: httpx2.Client, hub: LocalHub) -> None:
    """``count`` finds the requests of a client, however it authenticates."""
    data = {"grant_type": "refresh_token", "refresh_token": "x"}
    browser.post("/oauth/access_token", data=data, auth=("warehouse-id", SECRET))
    browser.post("/oauth/access_token", data=data | {"client_id": "kiosk-id"})
    ask(browser, client_id="kiosk-id")

    assert hub.count(client_id="warehouse-id") == 1
    assert hub.count(client_id="kiosk-id") == 2
    assert hub.count(client_id="kiosk-id", grant_type="refresh_token") == 1
    last = hub.requests[-1]
    assert (last.method, last.path, last.grant_type, last.client_id) == ("GET", "/oauth/authorize", None, "kiosk-id")


def test_settings_have_names_of_their_own(browser: httpx2.Client, hub: LocalHub) -> None:
    """Opaque tokens, key rotation and lifetimes can be set without reaching into ``grants``."""
    hub.opaque_tokens = True
    token = exchange(browser, code_for(browser, hub)).json()["access_token"]
    assert (hub.opaque_tokens, "." in token, person(browser, token).status_code) == (True, False, 200)
    hub.rotate_signing_key()
    assert len(browser.get("/api/v1/jwt_public_keys.json").json()["keys"]) == 2
    short = LocalHub(access_token_lifetime=60, refresh_token_lifetime=120, code_lifetime=5, device_interval=1)
    assert (short.access_token_lifetime, short.refresh_token_lifetime) == (60, 120)
    assert (short.code_lifetime, short.device_interval) == (5, 1)


def test_simultaneous_refreshes_succeed_once(browser: httpx2.Client, hub: LocalHub) -> None:
    """Of several requests with the same refresh token at the same instant, exactly one succeeds."""
    token = exchange(browser, code_for(browser, hub)).json()["refresh_token"]
    statuses: list[int] = []
    ready = threading.Barrier(8)

    def one() -> None:
        with httpx2.Client(base_url=browser.base_url) as client:
            ready.wait()
            statuses.append(refresh(client, token).status_code)

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [400] * 7
