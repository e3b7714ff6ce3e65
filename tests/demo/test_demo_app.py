"""The demo, used as a person would: page by page, over real sockets, against the Hub that it brings along."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import pytest
from cryptography.fernet import Fernet
from playwright import async_api as playwright

ROOT = Path(__file__).parents[2]
ANYWHERE = ("--port", "0", "--hub-port", "0")


# ── starting and ending it ─────────────────────────────────────────────────────────────────────────


@dataclass
class Demo:
    """A running ``python -m demo_app``, as its own words describe it."""

    process: subprocess.Popen[str]
    data_dir: Path
    banner: str

    @property
    def url(self) -> str:
        return self._address("Demo app")

    @property
    def hub(self) -> str:
        return self._address("Local Hub")

    def _address(self, label: str) -> str:
        found = re.search(rf"{label} +(http://\S+)", self.banner)
        assert found, self.banner
        return found[1]

    def interrupt(self) -> tuple[int, str]:
        """Ctrl-C; the exit status and everything said since the banner."""
        self.process.send_signal(signal.SIGINT)
        output, _ = self.process.communicate(timeout=10)
        return self.process.returncode, output


def start(data_dir: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """The demo in an environment that says nothing but where Python finds its modules."""
    needed = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TMPDIR") if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-m", "demo_app", "--data-dir", str(data_dir), *arguments],
        cwd=ROOT,
        env={**needed, "PYTHONPATH": str(ROOT / "src"), "PYTHONUTF8": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )


@contextmanager
def running(data_dir: Path, *arguments: str, **environment: str) -> Iterator[Demo]:
    """The demo from when it has said where it is until the end of the body."""
    with start(data_dir, *(arguments or ANYWHERE), **environment) as process:
        try:
            yield Demo(process, data_dir, banner=said_until_ready(process))
        finally:
            if process.poll() is None:
                process.kill()


def said_until_ready(process: subprocess.Popen[str]) -> str:
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if "Ctrl-C" in line:
            return said
    raise AssertionError(f"The demo did not start:\n{said}")


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """The demo with no settings at all, on free ports."""
    with running(tmp_path / "data") as started:
        yield started


# ── a person with a browser ────────────────────────────────────────────────────────────────────────


@dataclass
class Form:
    """A form with what a browser would send, and its buttons by what stands on them."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: dict[str, dict[str, str]] = field(default_factory=dict)


class Page(HTMLParser):
    """A page as a person reads it."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__()
        self.status = response.status_code
        self.headers = response.headers
        self.url = str(response.url)
        self.html = response.text
        self.language = ""
        self.links: dict[str, str] = {}
        self.forms: list[Form] = []
        self._words: list[str] = []
        self._label: list[str] = []
        self._pressed: dict[str, str] = {}
        self._href: str | None = None
        self.feed(self.html)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self._words).split())

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "html":
            self.language = attributes.get("lang", "")
        elif tag == "form":
            self.forms.append(Form(attributes["action"], attributes.get("method", "get")))
        elif tag == "a":
            self._href, self._label = attributes.get("href"), []
        elif tag == "button":
            self._label = []
            self._pressed = {attributes["name"]: attributes["value"]} if "name" in attributes else {}
        elif tag == "input" and (attributes.get("type") not in ("radio", "checkbox") or "checked" in attributes):
            self.forms[-1].fields[attributes["name"]] = attributes.get("value", "")

    def handle_data(self, data: str) -> None:
        self._words.append(data)
        self._label.append(data)

    def handle_endtag(self, tag: str) -> None:
        label = " ".join(" ".join(self._label).split())
        if tag == "a" and self._href is not None:
            self.links[label] = self._href
        elif tag == "button":
            self.forms[-1].buttons[label] = self._pressed


class Browser:
    """Opens pages, follows links by their words and presses buttons by theirs; keeps cookies."""

    def __init__(self, demo: Demo, language: str = "en") -> None:
        headers = {"Accept": "text/html,*/*;q=0.8", "Accept-Language": language}
        self.client = httpx.Client(headers=headers, follow_redirects=True)
        self.demo = demo
        self.seen: list[httpx.Response] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def open(self, path: str = "/") -> Page:
        return self._shown(self.client.get(self.demo.url + path))

    def follow(self, page: Page, link: str) -> Page:
        return self._shown(self.client.get(urljoin(page.url, page.links[link])))

    def press(self, page: Page, button: str, **chosen: str) -> Page:
        """The page after pressing the first button that has this on it, with these choices made in its form."""
        form, sent = next(
            (form, sent) for form in page.forms for label, sent in form.buttons.items() if button in label
        )
        values = form.fields | chosen | sent
        url = urljoin(page.url, form.action)
        if form.method == "get":
            return self._shown(self.client.get(url, params=values))
        return self._shown(self.client.post(url, data=values))

    def log_in(self) -> Page:
        """All the way through the Hub, as Anna Möller; the page it ends on."""
        page = self.follow(self.open(), "Log in with Zaikio")
        return self.press(self.press(page, "Anna Möller"), "Allow")

    @property
    def session(self) -> dict[str, object]:
        """What the demo's session cookie says to everybody who can read base64."""
        for cookie in self.client.cookies.jar:
            if cookie.name == "bogenlager_session" and cookie.value:
                content: dict[str, object] = json.loads(base64.b64decode(cookie.value.partition(".")[0]))
                return content
        return {}

    def _shown(self, response: httpx.Response) -> Page:
        self.seen += [*response.history, response]
        return Page(response)


@pytest.fixture
def browser(demo: Demo) -> Iterator[Browser]:
    """An English-speaking person who has just found the demo."""
    with Browser(demo) as opened:
        yield opened


# ── what it says about itself ──────────────────────────────────────────────────────────────────────


def test_it_starts_without_any_setting_and_prints_both_addresses_and_what_it_generated(demo: Demo) -> None:
    """Somebody who has just cloned the repository needs to know nothing."""
    assert "Demo app" in demo.banner
    assert "Local Hub" in demo.banner
    assert f"{demo.data_dir / 'bogenlager.db'} (SQLite)" in demo.banner
    assert f"Generated   {demo.data_dir / 'generated.json'} (only you can read it)" in demo.banner
    assert "contains an encryption key, a session secret, a client ID and a client secret" in demo.banner
    assert httpx.get(demo.url).status_code == 200
    assert httpx.get(demo.hub).status_code == 200


def test_what_it_generated_is_for_this_user_alone_and_never_printed(demo: Demo) -> None:
    """Secrets of a demo are secrets too."""
    file = demo.data_dir / "generated.json"
    secrets = json.loads(file.read_text())
    status, said_later = demo.interrupt()
    assert set(secrets) == {"encryption_key", "session_secret", "client_id", "client_secret"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not [name for name, value in secrets.items() if value in demo.banner + said_later]
    assert status == 0


def test_ctrl_c_ends_it_quietly_with_status_0(demo: Demo) -> None:
    """Also with a connection that a browser keeps open."""
    with httpx.Client() as client:
        client.get(demo.url)
        client.get(demo.hub)
        status, said = demo.interrupt()
    assert (status, said.strip()) == (0, "Stopped.")


def test_a_port_that_is_taken_is_passed_over_and_that_is_said(tmp_path: Path) -> None:
    """Two demos, or a demo beside something else on port 8000, get along."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with running(tmp_path, "--host", "127.0.0.1", "--port", str(taken), "--hub-port", "0") as demo:
            assert f"(port {taken} is taken)" in demo.banner
            assert int(demo.url.rpartition(":")[2]) > taken
            assert httpx.get(demo.url).status_code == 200


def test_settings_of_the_user_win_over_generated_ones(tmp_path: Path) -> None:
    """Whoever brings a Hub, a client and keys of their own gets no local Hub."""
    with running(
        tmp_path,
        *ANYWHERE,
        ZAIKIO_HOST="http://hub.example",
        ZAIKIO_ENCRYPTION_KEYS=Fernet.generate_key().decode(),
        ZAIKIO_DATABASE_URL=f"sqlite:///{tmp_path}/mine.db",
        ZAIKIO_CLIENTS__MINE__CLIENT_ID="client-of-mine",
    ) as demo:
        assert "Local Hub" not in demo.banner
        assert "Hub         http://hub.example" in demo.banner
        assert f"{tmp_path}/mine.db" in demo.banner
        start_of_login = httpx.get(f"{demo.url}/zaikio/sessions/new")
    assert start_of_login.headers["location"].startswith("http://hub.example/oauth/authorize?client_id=client-of-mine&")


def test_a_real_hub_without_a_client_is_refused_with_one_clear_line(tmp_path: Path) -> None:
    """A made-up client id would only fail later, at the Hub."""
    with start(tmp_path, *ANYWHERE, ZAIKIO_ENVIRONMENT="sandbox") as process:
        said, _ = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "ZAIKIO_CLIENTS is missing" in said
    assert "Traceback" not in said


def test_a_damaged_file_of_generated_secrets_is_named_and_not_shown(tmp_path: Path) -> None:
    """Half a file is not a reason to lose the other half by overwriting it."""
    (tmp_path / "generated.json").write_text('{"encryption_key": "half-a-secret')
    with start(tmp_path, *ANYWHERE) as process:
        said, _ = process.communicate(timeout=20)
    assert (process.returncode, said.strip()) == (
        2,
        f"{tmp_path / 'generated.json'} cannot be read. Delete it to generate new secrets.",
    )


# ── logging in ─────────────────────────────────────────────────────────────────────────────────────


def test_a_person_logs_in_and_sees_who_they_are_what_was_granted_and_the_time_left(browser: Browser) -> None:
    """The page behind ``current_access_token``, with the person fetched from the Hub."""
    page = browser.log_in()
    assert page.path == "/me"
    assert "Good to see you, Anna." in page.text
    assert "anna.moeller@druckhaus-moeller.example" in page.text
    assert "Druckhaus Möller GmbH" in page.text
    assert "Read your name, your e-mail address and where you work zaikio.person.r" in page.text
    clock = re.search(r'data-countdown="(\d+)"[^>]*>(\d\d):(\d\d)<', page.html)
    assert clock
    assert 3500 < int(clock[1]) <= 3600
    assert int(clock[2]) * 60 + int(clock[3]) == int(clock[1])


def test_a_page_that_needs_a_login_asks_for_it_and_comes_back(browser: Browser) -> None:
    """Nobody has to find the log-in button first."""
    page = browser.open("/me")
    assert page.url.startswith(browser.demo.hub)
    page = browser.press(browser.press(page, "Ben Okafor"), "Allow")
    assert (page.path, page.status) == ("/me", 200)
    assert "Good to see you, Ben." in page.text


def test_logging_out_ends_it_here_and_at_the_hub(browser: Browser) -> None:
    """The button in the page's head; after it, the page asks for a login again."""
    page = browser.press(browser.log_in(), "Log out")
    assert page.path == "/"
    assert "Log in with Zaikio" in page.links
    assert "zaikio_person_id" not in browser.session
    assert len(httpx.get(f"{browser.demo.hub}/api/v1/revoked_access_tokens").json()["revoked_token_ids"]) == 1
    answer = httpx.get(f"{browser.demo.url}/me", headers={"Accept": "text/html"}, cookies=browser.client.cookies)
    assert answer.status_code == 303


def test_somebody_who_cancels_reads_a_kind_word_once(browser: Browser) -> None:
    """Cancelling is a decision, not an error."""
    page = browser.press(browser.follow(browser.open(), "Log in with Zaikio"), "Anna Möller")
    page = browser.press(page, "Cancel")
    assert page.path == "/"
    assert "You cancelled. No problem." in page.text
    assert "cancelled" not in browser.open().text


def test_a_login_that_fails_is_explained_and_can_be_dismissed(browser: Browser) -> None:
    """A callback that nobody started here: the library's message, on the start page, once."""
    page = browser.open("/zaikio/sessions/approve?code=stolen&state=forged")
    assert (page.path, page.status) == ("/", 200)
    assert "That did not work. This login was not started here" in page.text
    assert "invalid_state" in page.text
    assert "×" in page.links
    assert "That did not work." not in browser.open().text


def test_a_restart_keeps_people_logged_in(tmp_path: Path) -> None:
    """The session's secret and the encryption key are kept; only the local Hub has forgotten its tokens."""
    with running(tmp_path) as demo, Browser(demo) as browser:
        browser.log_in()
        ports = [url.rpartition(":")[2] for url in (demo.url, demo.hub)]
        assert demo.interrupt()[0] == 0
        with running(tmp_path, "--port", ports[0], "--hub-port", ports[1]) as again:
            page = browser.open("/me")
            assert (page.path, page.status) == ("/me", 200)
            assert "Log out" in page.text
            assert "Reused " in again.banner
            # The new Hub knows no token of the old one's, as if it had been withdrawn.
            assert "Zaikio no longer accepts your login." in page.text
            page = browser.press(browser.follow(page, "Log in with Zaikio"), "Anna Möller")
            assert "Good to see you, Anna." in browser.press(page, "Allow").text


# ── acting for an organization ─────────────────────────────────────────────────────────────────────


def test_an_organization_installs_it_and_it_acts_for_that_organization(browser: Browser) -> None:
    """With the organization's own token, while nobody is logged in."""
    page = browser.follow(browser.open(), "Install for your organization")
    page = browser.press(page, "Anna Möller")
    page = browser.press(page, "Allow", organization_id="8b6a2c0e-5f0e-4f3c-9d5c-0d8f6a1c7e21")
    assert page.path == "/organization"
    assert "Nordlicht Offset & Digital" in page.text
    assert "Germany" in page.text
    assert "zaikio.organization.r" in page.text
    assert "zaikio_person_id" not in browser.session
    page = browser.press(page, "Forget it in this browser")
    assert "Install for your organization" in page.links


def test_without_an_organization_its_page_says_how_to_get_one(browser: Browser) -> None:
    """An empty page is an invitation."""
    page = browser.open("/organization")
    assert page.status == 200
    assert "No organization yet" in page.text
    assert page.links["Install for your organization"] == "/zaikio/connections/new"


def test_an_organization_subscribes_to_the_plan_that_was_chosen(browser: Browser) -> None:
    """The plan goes to the Hub, and comes back as a thank-you."""
    page = browser.press(browser.open(), "Subscribe", plan="free")
    page = browser.press(page, "Anna Möller")
    assert "free" in page.text
    page = browser.press(page, "Allow")
    assert page.path == "/subscription"
    assert "Your organization has subscribed to Bogenlager Free." in page.text


def test_an_organization_that_only_subscribed_is_asked_to_install(browser: Browser) -> None:
    """The Hub gives no token for what the organization has not granted; that is no error page."""
    page = browser.press(browser.press(browser.press(browser.open(), "Subscribe"), "Anna Möller"), "Allow")
    page = browser.follow(page, "Open organization")
    assert page.status == 200
    assert "Bogenlager does not have access to this organization yet." in page.text
    page = browser.press(browser.follow(page, "Install for your organization"), "Allow")
    assert "Druckhaus Möller GmbH" in page.text


def test_logging_out_forgets_the_organization_too(browser: Browser) -> None:
    """The next person at this browser may be somebody else."""
    browser.log_in()
    page = browser.press(browser.follow(browser.open(), "Install for your organization"), "Allow")
    browser.press(page, "Log out")
    assert "No organization yet" in browser.open("/organization").text


# ── languages ──────────────────────────────────────────────────────────────────────────────────────


def test_it_speaks_german_to_those_who_prefer_it(demo: Demo) -> None:
    """By what the browser asks for, before anything is clicked."""
    with Browser(demo, language="de-AT,de;q=0.9,en;q=0.5") as browser:
        page = browser.open()
    assert page.language == "de"
    assert "Wissen, welches Papier da ist, bevor der Auftrag läuft." in page.text
    assert "Für Ihre Organisation installieren" in page.links


def test_the_language_can_be_switched_and_the_hub_follows(browser: Browser) -> None:
    """On the page where one is, for the whole visit, and at the Hub as well."""
    page = browser.press(browser.open("/organization"), "DE")
    assert (page.path, page.language) == ("/organization", "de")
    page = browser.follow(browser.open(), "Mit Zaikio anmelden")
    assert parse_qs(urlsplit(page.url).query)["lang"] == ["de"]
    page = browser.press(browser.press(page, "Anna Möller"), "Erlauben")
    assert "Schön, dass Sie da sind, Anna." in page.text
    assert browser.press(page, "EN").language == "en"


def test_switching_the_language_leads_to_no_other_site(browser: Browser) -> None:
    """The way back is one of the demo's own pages, whatever a form says."""
    for elsewhere in ("https://evil.example/", "//evil.example/", "/\\evil.example"):
        answer = browser.client.post(
            f"{browser.demo.url}/language", data={"language": "de", "back": elsewhere}, follow_redirects=False
        )
        assert (answer.status_code, answer.headers["location"]) == (303, "/")


# ── on a bad day ───────────────────────────────────────────────────────────────────────────────────


def test_an_address_that_does_not_exist_is_a_kind_page(browser: Browser) -> None:
    """In HTML for people, in JSON for programs."""
    page = browser.open("/gone")
    assert page.status == 404
    assert "This sheet is not in the stack." in page.text
    assert page.links["Go to the start page"] == "/"
    assert httpx.get(f"{browser.demo.url}/gone").json() == {"detail": "Not Found"}


def test_a_hub_that_is_gone_leaves_a_kind_notice_and_the_login(tmp_path: Path) -> None:
    """The person's page without the person, the organization's page without the organization; never a 500."""
    with running(tmp_path) as demo, Browser(demo) as browser:
        browser.log_in()
        browser.press(browser.follow(browser.open(), "Install for your organization"), "Allow")
        port = demo.url.rpartition(":")[2]
        demo.interrupt()
        nowhere = {"ZAIKIO_HOST": "http://127.0.0.1:9", **clients_of(demo)}
        with running(tmp_path, "--port", port, **nowhere):
            for path in ("/me", "/organization"):
                page = browser.open(path)
                assert (page.path, page.status) == (path, 200)
                assert "Zaikio cannot be reached at the moment." in page.text
                assert "Log out" in page.text


def clients_of(demo: Demo) -> dict[str, str]:
    """The demo's client as a user's own settings."""
    generated = json.loads((demo.data_dir / "generated.json").read_text())
    return {
        "ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_ID": generated["client_id"],
        "ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_SECRET": generated["client_secret"],
        "ZAIKIO_CLIENTS__WAREHOUSE__DEFAULT_SCOPES": "zaikio.person.r",
        "ZAIKIO_CLIENTS__WAREHOUSE__ORGANIZATION_SCOPES": "zaikio.organization.r",
    }


# ── what browsers get to see ───────────────────────────────────────────────────────────────────────


def test_no_token_secret_or_key_reaches_the_browser(browser: Browser) -> None:
    """Neither in a page, nor in a header, nor in the session's cookie."""
    browser.log_in()
    browser.press(browser.follow(browser.open(), "Install for your organization"), "Allow")
    generated = json.loads((browser.demo.data_dir / "generated.json").read_text())
    hidden = [generated[name] for name in ("encryption_key", "session_secret", "client_secret")]
    seen = "\n".join(f"{response.headers}\n{response.text}" for response in browser.seen) + json.dumps(browser.session)
    assert not [secret for secret in hidden if secret in seen]
    assert not re.findall(r"eyJhbGciOi[\w-]+\.[\w-]+\.[\w-]+", seen), "a JWT"


def test_every_page_tells_the_browser_to_load_nothing_from_elsewhere(browser: Browser) -> None:
    """Forms may lead to the Hub, because the subscription's redirect goes there; nothing else may."""
    browser.log_in()
    for path in ("/", "/me", "/organization", "/subscription", "/gone"):
        page = browser.open(path)
        policy = f"default-src 'self'; form-action 'self' {browser.demo.hub}; base-uri 'none'; frame-ancestors 'none'"
        assert page.headers["content-security-policy"].startswith(policy)
        assert page.headers["cache-control"] == "no-store"
        assert not re.findall(r"<style|<script>| style=| on\w+=", page.html)
        assert not re.findall(r'(?:src|rel="stylesheet" href)="(?!/static/)', page.html)


@pytest.mark.browser
async def test_in_a_real_browser_the_time_counts_down_and_a_notice_can_be_put_away(
    demo: Demo, page: playwright.Page
) -> None:
    """The few lines of script run under the page's own Content-Security-Policy."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    await page.goto(f"{demo.url}/zaikio/sessions/approve?state=forged")
    await page.get_by_label("Dismiss").click()
    await playwright.expect(page.get_by_role("alert")).to_have_count(0)
    await page.get_by_role("link", name="Log in with Zaikio").click()
    await page.get_by_role("button", name="Anna Möller").click()
    await page.get_by_role("button", name="Allow").click()
    clock = page.get_by_role("timer")
    shown = await clock.inner_text()
    await playwright.expect(clock).not_to_have_text(shown)
    assert await clock.inner_text() < shown
    assert complaints == []


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("language", ["EN", "DE"])
async def test_no_page_is_wider_than_the_screen(demo: Demo, page: playwright.Page, width: int, language: str) -> None:
    """Nobody scrolls sideways on a phone, in either language."""
    await page.set_viewport_size({"width": width, "height": 780})
    await page.goto(demo.url)
    await page.get_by_role("button", name={"EN": "English", "DE": "Deutsch"}[language]).click()
    for path in ("/", "/organization", "/subscription", "/gone", "/zaikio/sessions/approve?state=forged"):
        await page.goto(demo.url + path)
        assert await page.evaluate("document.documentElement.lang") == language.lower()
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
