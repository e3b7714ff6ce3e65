"""The local Hub's device flow (RFC 8628), for devices that have no browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.testing.test_independent_clients import Form
from tests.testing.test_local_hub import Clock, hub_with, refused
from zaikio_oauth.testing import LocalHub

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hub(clock: Clock) -> LocalHub:
    """A Hub that uses the clock of the test."""
    return hub_with(clock)


@pytest.fixture
def browser(hub_url: str) -> Iterator[httpx2.Client]:
    """The person's browser, and the device as well. It does not follow redirects."""
    with httpx2.Client(base_url=hub_url) as client:
        yield client


def start(browser: httpx2.Client, client_id: str = "kiosk-id", scope: str = "zaikio.person.r") -> dict[str, Any]:
    """Start the flow and return the device authorization response."""
    answer = browser.post("/oauth/device_authorizations/authorize", data={"client_id": client_id, "scope": scope})
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    return answer.json()


def poll(browser: httpx2.Client, device_code: str, client_id: str = "kiosk-id", **more: str) -> httpx2.Response:
    data = {"grant_type": DEVICE_CODE, "client_id": client_id, "device_code": device_code} | more
    return browser.post("/oauth/access_token", data=data)


def test_a_device_receives_its_codes_and_where_to_send_the_person(browser: httpx2.Client) -> None:
    """The response of RFC 8628 §3.2, with a user code of eight consonants."""
    started = start(browser)
    page = f"{str(browser.base_url).rstrip('/')}/device"
    device_code, user_code = started.pop("device_code"), started.pop("user_code")

    assert started == {
        "verification_uri": page,
        "verification_uri_complete": f"{page}?user_code={user_code}",
        "expires_in": 900,
        "interval": 5,
    }
    assert len(user_code) == 8
    assert set(user_code) <= set("BCDFGHJKLMNPQRSTVWXZ")
    assert len(device_code) >= 43


def test_a_device_gets_its_token_once_somebody_has_allowed_it(
    browser: httpx2.Client, hub: LocalHub, clock: Clock
) -> None:
    """It has to wait until the person approves, and then receives the token once."""
    started = start(browser)
    assert refused(poll(browser, started["device_code"])) == (400, "authorization_pending")

    hub.approve_device(started["user_code"], hub.people[0].id)
    clock.now += 5
    body = poll(browser, started["device_code"]).json()
    assert body.pop("access_token")
    assert body.pop("refresh_token")
    assert body == {
        "token_type": "bearer",
        "scope": "zaikio.person.r",
        "audiences": ["kiosk"],
        "expires_in": 3600,
        "bearer": {"id": hub.people[0].id, "type": "Person"},
    }
    clock.now += 5
    assert refused(poll(browser, started["device_code"])) == (400, "invalid_grant")


def test_a_device_that_asks_too_often_has_to_wait_longer(browser: httpx2.Client, clock: Clock) -> None:
    """RFC 8628 §3.5: ``slow_down`` increases the interval by five seconds for all subsequent requests."""
    device_code = start(browser)["device_code"]
    answers = []
    for waited in (0, 4.9, 9.9, 14.9, 20):
        clock.now += waited
        answers.append(refused(poll(browser, device_code))[1])

    assert answers == ["authorization_pending", "slow_down", "slow_down", "slow_down", "authorization_pending"]


def test_a_person_may_cancel_on_the_page_or_in_a_test(browser: httpx2.Client, hub: LocalHub) -> None:
    """The device receives ``access_denied`` either way."""
    denied = start(browser)
    hub.deny_device(denied["user_code"])
    assert refused(poll(browser, denied["device_code"])) == (400, "access_denied")

    started = start(browser)
    account = Form(browser.get("/device", params={"user_code": started["user_code"]}).text)
    chosen = browser.post("/session", data=account.hidden | account.buttons["Anna Möller"])
    consent = Form(browser.get(chosen.headers["location"]).text)
    page = browser.post("/device", data=consent.hidden | consent.buttons["Cancel"])
    assert "Your device is not connected" in page.text
    assert refused(poll(browser, started["device_code"])) == (400, "access_denied")


def test_a_code_that_nobody_entered_in_time_has_expired(browser: httpx2.Client, hub: LocalHub, clock: Clock) -> None:
    """The device receives ``expired_token``, and nobody can approve it any more."""
    started = start(browser)
    clock.now += 900

    assert refused(poll(browser, started["device_code"])) == (400, "expired_token")
    with pytest.raises(LookupError):
        hub.approve_device(started["user_code"], hub.people[0].id)


def test_a_person_types_the_code_and_chooses_an_organization(browser: httpx2.Client, hub: LocalHub) -> None:
    """Hyphens and case do not matter. The page shows the code, so that nobody connects another person's device."""
    started = start(browser, "warehouse-id", "Org.zaikio.organization.r")
    code = started["user_code"]
    typed = f"{code[:4]}-{code[4:]}".lower()
    account = Form(browser.get("/device", params={"user_code": typed}).text)
    chosen = browser.post("/session", data=account.hidden | account.buttons["Anna Möller"])
    page = browser.get(chosen.headers["location"]).text
    assert code in re.sub("<[^>]*>", "", page), "spelt as on the device"
    consent = Form(page)
    pick = {"organization_id": hub.organizations[1].id}
    done = browser.post("/device", data=consent.hidden | consent.buttons["Allow"] | pick)

    assert "Your device is connected" in done.text
    token = poll(browser, started["device_code"], "warehouse-id").json()
    assert token["bearer"] == {"id": hub.organizations[1].id, "type": "Organization"}
    used = browser.post("/device", data=consent.hidden | consent.buttons["Allow"] | pick)
    assert used.status_code == 400


def test_an_unknown_user_code_leads_back_to_the_form(browser: httpx2.Client) -> None:
    """The page escapes what was entered and lets the person try again."""
    page = browser.get("/device", params={"user_code": "<b>NOPE"})

    assert page.status_code == 404
    assert "This code is wrong or has expired." in page.text
    assert "&lt;b&gt;NOPE" in page.text
    assert browser.get("/device").status_code == 200


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"client_id": "nobody", "scope": "zaikio.person.r"}, (401, "invalid_client")),
        ({"client_id": "warehouse-id", "client_secret": "guessed", "scope": "a.b.r"}, (401, "invalid_client")),
        ({"client_id": "kiosk-id", "scope": "nonsense"}, (400, "invalid_scope")),
        ({"client_id": "kiosk-id"}, (400, "invalid_scope")),
    ],
)
def test_an_invalid_device_request_is_refused(
    browser: httpx2.Client, data: dict[str, str], expected: tuple[int, str]
) -> None:
    """RFC 8628 §3.2 uses the errors of RFC 6749 §5.2."""
    assert refused(browser.post("/oauth/device_authorizations/authorize", data=data)) == expected


def test_a_device_code_belongs_to_one_app(browser: httpx2.Client, hub: LocalHub) -> None:
    """Another app's request is refused and does not consume the code; a wrong secret is refused as well."""
    started = start(browser)
    hub.approve_device(started["user_code"], hub.people[0].id)

    assert refused(poll(browser, started["device_code"], "warehouse-id")) == (400, "invalid_grant")
    wrong = poll(browser, started["device_code"], "warehouse-id", client_secret="guessed")
    assert refused(wrong) == (401, "invalid_client")
    assert poll(browser, started["device_code"]).status_code == 200


def test_a_person_who_may_not_grant_cannot_approve_a_device(browser: httpx2.Client, hub: LocalHub) -> None:
    """``approve_device`` raises ValueError instead of ignoring the mistake in a test."""
    started = start(browser, scope=f"Org/{hub.organizations[2].id}.zaikio.organization.r")

    with pytest.raises(ValueError, match="unpermitted_bearer_id"):
        hub.approve_device(started["user_code"], hub.people[0].id)


def test_a_forged_form_connects_no_device(browser: httpx2.Client) -> None:
    """Another site can neither grant nor cancel in the person's name."""
    started = start(browser)
    account = Form(browser.get("/device", params={"user_code": started["user_code"]}).text)
    chosen = browser.post("/session", data=account.hidden | account.buttons["Anna Möller"])
    consent = Form(browser.get(chosen.headers["location"]).text)

    for button in ("Allow", "Cancel"):
        forged = consent.hidden | consent.buttons[button] | {"csrf": "guessed"}
        assert browser.post("/device", data=forged).status_code == 400
    assert refused(poll(browser, started["device_code"])) == (400, "authorization_pending")
