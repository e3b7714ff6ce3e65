"""The local Hub's further grants: devices (RFC 8628), delegation, and tokens made without a request."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import httpx2
import pytest

from tests.data import SECRET
from tests.verandas.test_independent_clients import Form
from tests.visitor import BASE_URL
from zaikio_oauth.testing import HubApp, HubServer, LocalHub

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hub(clock: Clock) -> LocalHub:
    apps = [
        HubApp.for_client("warehouse", "warehouse-id", SECRET, base_urls=[BASE_URL]),
        HubApp.for_client("kiosk", "kiosk-id", None, base_urls=[BASE_URL]),
        HubApp.for_client("press", "press-id", "s", base_urls=[BASE_URL]),
    ]
    return LocalHub(apps=apps, clock=clock)


@pytest.fixture
def browser(hub: LocalHub) -> Iterator[httpx2.Client]:
    with HubServer(hub) as server, httpx2.Client(base_url=server.url) as client:
        yield client


def start(browser: httpx2.Client, scope: str = "zaikio.person.r") -> dict[str, Any]:
    """A device asks for codes."""
    answer = browser.post("/oauth/device_authorizations/authorize", data={"client_id": "kiosk-id", "scope": scope})
    assert answer.status_code == 200
    return dict(answer.json())


def poll(browser: httpx2.Client, device_code: str, client_id: str = "kiosk-id") -> dict[str, Any]:
    """And whether somebody has typed it in."""
    data = {"grant_type": DEVICE_CODE, "client_id": client_id, "device_code": device_code}
    return dict(browser.post("/oauth/access_token", data=data).json())


def test_a_device_gets_its_token_when_a_person_has_typed_the_code_in(
    browser: httpx2.Client, hub: LocalHub, clock: Clock
) -> None:
    """On the page, in whatever spelling; the device learns it when it asks next, once."""
    codes = start(browser)
    assert poll(browser, codes["device_code"])["error"] == "authorization_pending"
    assert browser.get("/device", params={"user_code": "WRONG"}).status_code == 404
    spelled = codes["user_code"][:4].lower() + "-" + codes["user_code"][4:]
    assert "code" in browser.get("/device").text
    account = Form(browser.get("/device", params={"user_code": spelled}).text)
    chosen = browser.post("/session", data=account.hidden | account.buttons["Anna Möller"])
    consent = Form(browser.get(chosen.headers["location"]).text)
    done = browser.post("/device", data=consent.hidden | consent.buttons["Allow"])
    assert done.status_code == 200

    clock.now += codes["interval"]
    token = poll(browser, codes["device_code"])
    assert (token["scope"], token["bearer"]["id"]) == ("zaikio.person.r", hub.people[0].id)
    clock.now += 60
    assert poll(browser, codes["device_code"])["error"] == "invalid_grant"


def test_a_device_that_is_too_fast_is_told_to_slow_down(browser: httpx2.Client, clock: Clock) -> None:
    """Five seconds more from then on (RFC 8628 §3.5)."""
    codes = start(browser)
    assert poll(browser, codes["device_code"])["error"] == "authorization_pending"
    clock.now += codes["interval"] - 1
    assert poll(browser, codes["device_code"])["error"] == "slow_down"
    clock.now += codes["interval"] + 4
    assert poll(browser, codes["device_code"])["error"] == "slow_down"
    clock.now += codes["interval"] + 10
    assert poll(browser, codes["device_code"])["error"] == "authorization_pending"


def test_a_person_may_cancel_and_a_code_ends(browser: httpx2.Client, hub: LocalHub, clock: Clock) -> None:
    """Each has its error; another app's code is none."""
    codes = start(browser)
    page = browser.get("/device", params={"user_code": codes["user_code"]})
    account = Form(page.text)
    chosen = browser.post("/session", data=account.hidden | account.buttons["Anna Möller"])
    consent = Form(browser.get(chosen.headers["location"]).text)
    assert browser.post("/device", data=consent.hidden | consent.buttons["Cancel"] | {"csrf": "x"}).status_code == 400
    assert browser.post("/device", data=consent.hidden | consent.buttons["Cancel"]).status_code == 200
    assert poll(browser, codes["device_code"])["error"] == "access_denied"

    late = start(browser)
    assert poll(browser, late["device_code"], client_id="warehouse-id")["error"] in ("invalid_client", "invalid_grant")
    clock.now += late["expires_in"]
    assert poll(browser, late["device_code"])["error"] == "expired_token"
    with pytest.raises(LookupError):
        hub.approve_device(late["user_code"], hub.people[0].id)


def test_a_device_is_answered_without_a_browser(browser: httpx2.Client, hub: LocalHub, clock: Clock) -> None:
    """For an app's tests."""
    first, second = start(browser, "Org.zaikio.organization.r"), start(browser)
    hub.approve_device(first["user_code"], hub.people[0].id, hub.organizations[1].id)
    hub.deny_device(second["user_code"])

    assert poll(browser, first["device_code"])["bearer"]["id"] == hub.organizations[1].id
    assert poll(browser, second["device_code"])["error"] == "access_denied"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"client_id": "nobody", "scope": "zaikio.person.r"}, "invalid_client"),
        ({"client_id": "kiosk-id", "scope": "nonsense"}, "invalid_scope"),
        ({"client_id": "kiosk-id"}, "invalid_scope"),
    ],
)
def test_a_wrong_device_is_refused(browser: httpx2.Client, data: dict[str, str], error: str) -> None:
    """RFC 8628 §3.2."""
    assert browser.post("/oauth/device_authorizations/authorize", data=data).json()["error"] == error


PARENT = "zaikio.delegations.rw,zaikio.sites.r"


@pytest.mark.parametrize(
    ("scope", "asked", "error"),
    [
        (PARENT, "zaikio.sites.r", None),
        (PARENT, "zaikio.machines.r", "scope_was_not_granted_in_parent"),
        ("zaikio.sites.r", "zaikio.sites.r", "parent_has_no_delegation_permission"),
    ],
)
def test_a_part_of_a_token_is_delegated(
    browser: httpx2.Client, hub: LocalHub, scope: str, asked: str, error: str | None
) -> None:
    """To a subsystem's app, which cannot delegate further (Hub documentation, "Delegation")."""
    parent = hub.mint_token("warehouse-id", hub.people[0].id, scope)
    data = {"client_id": "press-id", "delegate_access_scope": asked}
    answer = browser.post("/oauth/delegate", data=data, headers={"Authorization": f"Bearer {parent}"})

    if error:
        assert error in json.dumps(answer.json())
        return
    body = answer.json()
    assert (body["scope"], body["audiences"], "refresh_token" in body) == ("zaikio.sites.r", ["press"], False)
    again = browser.post("/oauth/delegate", data=data, headers={"Authorization": f"Bearer {body['access_token']}"})
    assert "delegation_access_token_cannot_delegate" in json.dumps(again.json())


def test_who_may_not_delegate_is_refused(browser: httpx2.Client, hub: LocalHub) -> None:
    """Nobody, a non-confidential app, to an unknown app."""
    data = {"client_id": "press-id", "delegate_access_scope": "zaikio.sites.r"}
    assert browser.post("/oauth/delegate", data=data).status_code == 401
    kiosk = hub.mint_token("kiosk-id", hub.people[0].id, PARENT)
    refused = browser.post("/oauth/delegate", data=data, headers={"Authorization": f"Bearer {kiosk}"})
    assert refused.json()["error"] == "unauthorized_client"
    parent = hub.mint_token("warehouse-id", hub.people[0].id, PARENT)
    headers = {"Authorization": f"Bearer {parent}"}
    unknown = browser.post("/oauth/delegate", data=data | {"client_id": "nobody"}, headers=headers)
    assert unknown.json()["error"] == "invalid_client"


def test_codes_and_events_are_made_without_a_request(browser: httpx2.Client, hub: LocalHub) -> None:
    """A code that can be exchanged, and Loom's event of a revocation, rightly signed."""
    redirect_uri = f"{BASE_URL}/zaikio/sessions/approve"
    code = hub.mint_code("warehouse-id", redirect_uri, hub.people[1].id, "zaikio.person.r")
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    auth = ("warehouse-id", SECRET)
    token = browser.post("/oauth/access_token", data=form, auth=auth).json()["access_token"]
    jti = (hub.grants.keys.claims(token) or {})["jti"]
    body, headers = hub.webhook_event(jti, "shared")

    assert json.loads(body)["payload"] == {"access_token_id": jti}
    assert json.loads(body)["subject"] == f"Per/{hub.people[1].id}"
    assert headers["X-Loom-Signature"] == hmac.new(b"shared", body, sha256).hexdigest()
    with pytest.raises(ValueError, match="no app"):
        hub.mint_code("nobody", redirect_uri, hub.people[1].id, "zaikio.person.r")
