"""The demo's page for a device without a keyboard."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

import pytest
from starlette.testclient import TestClient

from demo_app.app import create_app
from tests.data import ORGANIZATION_ID, PERSON_ID, SECRET
from tests.demo.test_demo_app import Browser, Demo, browser, demo  # noqa: F401 (fixtures)
from zaikio_oauth import Settings
from zaikio_oauth.testing import LocalHub

HTML = {"Accept": "text/html"}


@pytest.fixture
def tablet(make_settings: Callable[..., Settings], hub: LocalHub) -> Iterator[TestClient]:
    """Yield the browser of a device without a keyboard."""
    hub.device_interval = 1
    with TestClient(create_app(make_settings(), "a session secret"), headers=HTML) as client:
        yield client


def code_on(page: str) -> str:
    """Return the code as a person reads it."""
    found = re.search(r'class="user-code".*?<code>(.*?)</code>', page)
    assert found, page
    return re.sub("<[^>]*>", "", found[1])


def ended(client: TestClient) -> str:
    """Wait for the end of the flow and return the state that the page's script receives."""
    started = time.monotonic()
    while (state := client.get("/device/status").json()["state"]) == "waiting":
        assert time.monotonic() - started < 20
        time.sleep(0.1)
    return str(state)


def test_a_person_connects_a_device_with_another_browser(demo: Demo, browser: Browser) -> None:  # noqa: F811
    """The flow leads from the start page through the Hub's page to "Connected". Nobody is logged in on the device."""
    page = browser.follow(browser.open(), "Connect a device")
    page = browser.press(page, "Show a code")
    assert (page.path, page.headers["cache-control"]) == ("/device", "no-store")
    assert page.links[f"{demo.hub.partition('://')[2]}/device"] == f"{demo.hub}/device"
    assert f'aria-label="QR code that opens {demo.hub}/device"' in page.html
    assert "<svg" in page.html
    assert 'http-equiv="refresh"' in page.html
    with Browser(demo) as telephone:
        asked = telephone._shown(telephone.client.get(f"{demo.hub}/device", params={"user_code": code_on(page.html)}))
        done = telephone.press(telephone.press(asked, "Anna Möller"), "Allow")
        assert "connected" in done.text
    started = time.monotonic()
    while "Connected for Anna Möller." not in (page := browser.open("/device")).text:
        assert time.monotonic() - started < 20
        time.sleep(0.5)
    assert "Read your name, your e-mail address and where you work" in page.text
    assert "zaikio_person_id" not in browser.session
    assert browser.press(page, "Connect another device").forms[-1].action == "/device"


def test_the_session_contains_no_code(tablet: TestClient) -> None:
    """It contains only a random id, because anybody can read the session cookie."""
    import base64

    page = tablet.post("/device").text
    session = base64.b64decode(tablet.cookies["bogenlager_session"].partition(".")[0]).decode()
    assert code_on(page) not in session
    assert re.fullmatch(r'\{"device": "[\w-]{32}"\}', session)


def test_another_browser_does_not_see_the_code(tablet: TestClient) -> None:
    """Each browser has its own device or none."""
    page = tablet.post("/device").text
    other = TestClient(tablet.app, headers=HTML)
    assert code_on(page) not in other.get("/device").text
    assert other.get("/device/status").json() == {"state": "none"}


def test_a_device_of_an_organization_shows_its_name(make_settings: Callable[..., Settings], hub: LocalHub) -> None:
    """The scopes are those in the settings of the client."""
    hub.device_interval = 1
    client = {"client_id": "warehouse-id", "client_secret": SECRET, "default_scopes": ["Per>Org.zaikio.organization.r"]}
    with TestClient(create_app(make_settings(clients={"warehouse": client}), "s"), headers=HTML) as tablet:
        hub.approve_device(code_on(tablet.post("/device").text), PERSON_ID, ORGANIZATION_ID)
        assert ended(tablet) == "connected"
        assert "Connected for Druckhaus Möller GmbH." in tablet.get("/device").text


def test_a_cancelled_connection_is_shown(tablet: TestClient, hub: LocalHub) -> None:
    """The page has a button for a new code."""
    hub.deny_device(code_on(tablet.post("/device").text))
    assert ended(tablet) == "cancelled"
    page = tablet.get("/device")
    assert (page.status_code, "Not connected." in page.text, "Show a code" in page.text) == (200, True, True)


def test_an_expired_code_is_shown(tablet: TestClient, hub: LocalHub) -> None:
    """The message is available in German as well."""
    hub.device_code_lifetime = 1
    tablet.post("/device")
    assert ended(tablet) == "expired"
    assert "This code has expired." in tablet.get("/device").text
    tablet.post("/language", data={"language": "de", "back": "/device"})
    assert "Dieser Code ist abgelaufen." in tablet.get("/device").text


def test_an_unreachable_hub_is_shown(tablet: TestClient, hub: LocalHub) -> None:
    """The page says that Zaikio cannot be reached, and the button works again afterwards."""
    hub.fail("/oauth/device_authorizations/authorize", status=400, body={"error": "server_error"})
    page = tablet.post("/device")
    assert (page.status_code, "Zaikio cannot be reached" in page.text, "Show a code" in page.text) == (503, True, True)
    assert code_on(tablet.post("/device").text)


def test_a_connection_can_be_cancelled_and_started_again(tablet: TestClient, hub: LocalHub) -> None:
    """Each start shows a new code, and the previous one is no longer used."""
    first = code_on(tablet.post("/device").text)
    second = code_on(tablet.post("/device").text)
    assert first != second
    assert "Show a code" in tablet.post("/device/forget").text
    assert tablet.get("/device/status").json() == {"state": "none"}
    assert len(tablet.app.state.devices._waiting) == 0  # type: ignore[attr-defined]


def test_the_number_of_waiting_devices_is_limited(tablet: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeated requests for a code do not use more and more memory."""
    monkeypatch.setattr("demo_app.devices.MOST", 3)
    for _ in range(5):
        tablet.cookies.clear()
        tablet.post("/device", follow_redirects=False)
    assert len(tablet.app.state.devices._waiting) == 3  # type: ignore[attr-defined]
