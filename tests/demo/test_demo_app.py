"""The demo, used like a person would use it: page by page, over real sockets, with its own local Hub."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
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


# ── start and end ──────────────────────────────────────────────────────────────────────────────────


@dataclass
class Demo:
    """A running ``python -m demo_app``, and what it has printed."""

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
        """Send Ctrl-C, and return the exit status and everything printed since the banner."""
        self.process.send_signal(signal.SIGINT)
        output, _ = self.process.communicate(timeout=10)
        return self.process.returncode, output


def start(data_dir: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start the demo in an environment without settings, in which Python only finds its modules."""
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
    """Yield the demo once it has printed its addresses, and end it after the body."""
    with start(data_dir, *(arguments or ANYWHERE), **environment) as process:
        try:
            yield Demo(process, data_dir, banner=output_until_ready(process))
        finally:
            if process.poll() is None:
                process.kill()


def output_until_ready(process: subprocess.Popen[str]) -> str:
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if "Ctrl-C" in line:
            return said
    raise AssertionError(f"The demo did not start:\n{said}")


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """Yield the demo without any settings, on free ports."""
    with running(tmp_path / "data") as started:
        yield started


# ── a person with a browser ────────────────────────────────────────────────────────────────────────


@dataclass
class Form:
    """A form with the values that a browser would send, and its buttons by their labels."""

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
        self.feed(self.html.replace('</span><wbr><span class="part">', ""))

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
    """Opens pages, follows links by their text, presses buttons by their labels, and keeps cookies."""

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
        """Press the first button with this label, with the given choices in its form, and return the next page."""
        form, sent = next(
            (form, sent) for form in page.forms for label, sent in form.buttons.items() if button in label
        )
        values = form.fields | chosen | sent
        url = urljoin(page.url, form.action)
        if form.method == "get":
            return self._shown(self.client.get(url, params=values))
        return self._shown(self.client.post(url, data=values))

    def log_in(self) -> Page:
        """Log in as Anna Möller through the Hub's pages, and return the last page."""
        page = self.follow(self.open(), "Log in with Zaikio")
        return self.press(self.press(page, "Anna Möller"), "Allow")

    @property
    def session(self) -> dict[str, object]:
        """The content of the demo's session cookie, which anybody can decode."""
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
    """Yield the browser of an English-speaking person who has not used the demo before."""
    with Browser(demo) as opened:
        yield opened


# ── its output ─────────────────────────────────────────────────────────────────────────────────────


def test_the_demo_starts_without_settings_and_prints_its_addresses(demo: Demo) -> None:
    """It also prints which files it has generated, so a person who has just cloned the repository can use it."""
    assert "Demo app" in demo.banner
    assert "Local Hub" in demo.banner
    assert f"{demo.data_dir / 'bogenlager.db'} (SQLite)" in demo.banner
    assert f"Generated   {demo.data_dir / 'generated.json'} (only you can read it)" in demo.banner
    assert "contains an encryption key, a session secret, a client ID and a client secret" in demo.banner
    assert httpx.get(demo.url).status_code == 200
    assert httpx.get(demo.hub).status_code == 200


def test_generated_secrets_are_private_and_never_printed(demo: Demo) -> None:
    """Only the user can read the file."""
    file = demo.data_dir / "generated.json"
    secrets = json.loads(file.read_text())
    status, said_later = demo.interrupt()
    assert set(secrets) == {"encryption_key", "session_secret", "client_id", "client_secret"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not [name for name, value in secrets.items() if value in demo.banner + said_later]
    assert status == 0


def test_ctrl_c_ends_the_demo_with_status_0(demo: Demo) -> None:
    """This holds even if a browser keeps a connection open."""
    with httpx.Client() as client:
        client.get(demo.url)
        client.get(demo.hub)
        status, said = demo.interrupt()
    assert (status, said.strip()) == (0, "Stopped.")


def test_the_demo_uses_another_port_if_one_is_in_use(tmp_path: Path) -> None:
    """Two demos, or a demo and another program on port 8000, can run at the same time, and the demo says so."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with running(tmp_path, "--host", "127.0.0.1", "--port", str(taken), "--hub-port", "0") as demo:
            assert f"(port {taken} is taken)" in demo.banner
            assert int(demo.url.rpartition(":")[2]) > taken
            assert httpx.get(demo.url).status_code == 200


def test_the_users_settings_replace_generated_ones(tmp_path: Path) -> None:
    """No local Hub is started if the settings name a Hub, a client and keys."""
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


def test_a_real_hub_requires_a_client(tmp_path: Path) -> None:
    """The demo exits with one clear line, because the Hub would reject a generated client id later."""
    with start(tmp_path, *ANYWHERE, ZAIKIO_ENVIRONMENT="sandbox") as process:
        said, _ = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "ZAIKIO_CLIENTS is missing" in said
    assert "Traceback" not in said


def test_a_damaged_file_of_secrets_is_reported_without_its_content(tmp_path: Path) -> None:
    """The file is not overwritten, because the rest of it may still be needed."""
    (tmp_path / "generated.json").write_text('{"encryption_key": "half-a-secret')
    with start(tmp_path, *ANYWHERE) as process:
        said, _ = process.communicate(timeout=20)
    assert (process.returncode, said.strip()) == (
        2,
        f"{tmp_path / 'generated.json'} cannot be read. Delete it to generate new secrets.",
    )


# ── login ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_person_logs_in_and_sees_their_page(browser: Browser) -> None:
    """It shows the person from the Hub's API, the granted scopes and the remaining time."""
    page = browser.log_in()
    assert page.path == "/me"
    assert "Good to see you, Anna." in page.text
    assert "anna.moeller@druckhaus-moeller.example" in page.text
    assert "Druckhaus Möller GmbH" in page.text
    assert "Customer number at Bogenlager 1001" in page.text
    assert "Read your name, your e-mail address and where you work zaikio.person.r" in page.text
    clock = re.search(r'data-countdown="(\d+)"[^>]*>(\d\d):(\d\d)<', page.html)
    assert clock
    assert 3500 < int(clock[1]) <= 3600
    assert int(clock[2]) * 60 + int(clock[3]) == int(clock[1])


def test_a_protected_page_redirects_to_the_login_and_back(browser: Browser) -> None:
    """The person does not need to find the login button first."""
    page = browser.open("/me")
    assert page.url.startswith(browser.demo.hub)
    page = browser.press(browser.press(page, "Ben Okafor"), "Allow")
    assert (page.path, page.status) == ("/me", 200)
    assert "Good to see you, Ben." in page.text


def test_logging_out_ends_the_session_and_revokes_the_token(browser: Browser) -> None:
    """After pressing the button in the page's header, a protected page requires a new login."""
    page = browser.press(browser.log_in(), "Log out")
    assert page.path == "/"
    assert "Log in with Zaikio" in page.links
    assert "zaikio_person_id" not in browser.session
    assert len(httpx.get(f"{browser.demo.hub}/api/v1/revoked_access_tokens").json()["revoked_token_ids"]) == 1
    answer = httpx.get(f"{browser.demo.url}/me", headers={"Accept": "text/html"}, cookies=browser.client.cookies)
    assert answer.status_code == 303


def test_a_person_who_cancels_sees_a_friendly_message_once(browser: Browser) -> None:
    """The message is not shown as an error."""
    page = browser.press(browser.follow(browser.open(), "Log in with Zaikio"), "Anna Möller")
    page = browser.press(page, "Cancel")
    assert page.path == "/"
    assert "You cancelled. No problem." in page.text
    assert "cancelled" not in browser.open().text


def test_a_failed_login_shows_a_message_that_can_be_dismissed(browser: Browser) -> None:
    """For a forged callback, the start page shows the library's message once."""
    page = browser.open("/zaikio/sessions/approve?code=stolen&state=forged")
    assert (page.path, page.status) == ("/", 200)
    assert "That did not work. This login has expired" in page.text
    assert "invalid_state" in page.text
    assert "×" in page.links
    assert "That did not work." not in browser.open().text


def test_a_restart_keeps_people_logged_in(tmp_path: Path) -> None:
    """The session secret and the encryption key are kept. Only the local Hub no longer knows its tokens."""
    with running(tmp_path) as demo, Browser(demo) as browser:
        browser.log_in()
        ports = [url.rpartition(":")[2] for url in (demo.url, demo.hub)]
        assert demo.interrupt()[0] == 0
        with running(tmp_path, "--port", ports[0], "--hub-port", ports[1]) as again:
            page = browser.open("/me")
            assert (page.path, page.status) == ("/me", 200)
            assert "Log out" in page.text
            assert "Reused " in again.banner
            # The new Hub does not know the tokens of the old one, so they are like revoked tokens.
            assert "Zaikio no longer accepts your login." in page.text
            page = browser.press(browser.follow(page, "Log in with Zaikio"), "Anna Möller")
            assert "Good to see you, Anna." in browser.press(page, "Allow").text


# ── organizations ──────────────────────────────────────────────────────────────────────────────────


def test_an_organization_installs_the_demo(browser: Browser) -> None:
    """The demo uses the organization's own token, and nobody is logged in."""
    page = browser.follow(browser.open(), "Install for your organization")
    page = browser.press(page, "Anna Möller")
    page = browser.press(page, "Allow", organization_id="8b6a2c0e-5f0e-4f3c-9d5c-0d8f6a1c7e21")
    assert page.path == "/organization"
    assert "Nordlicht Offset & Digital" in page.text
    assert "Germany" in page.text
    assert "zaikio.organization.r" in page.text
    assert "zaikio_person_id" not in browser.session
    page = browser.press(page, "Remove from this browser")
    assert "Install for your organization" in page.links


def test_the_organization_page_says_how_to_install(browser: Browser) -> None:
    """Without an organization it contains the link to install the demo."""
    page = browser.open("/organization")
    assert page.status == 200
    assert "No organization yet" in page.text
    assert page.links["Install for your organization"] == "/zaikio/connections/new"


def test_connected_organizations_are_listed_with_their_health(browser: Browser) -> None:
    """A support page: who has installed the demo, and who must do it again, with the link for that."""
    page = browser.press(browser.follow(browser.open(), "Install for your organization"), "Anna Möller")
    browser.press(page, "Allow", organization_id="8b6a2c0e-5f0e-4f3c-9d5c-0d8f6a1c7e21")
    page = browser.follow(browser.open(), "Connected organizations")
    assert "connections" not in page.path, "only for people who are logged in"
    browser.press(page, "Allow")

    fine = browser.open("/connections")
    with closing(sqlite3.connect(next(browser.demo.data_dir.glob("*.db")), isolation_level=None)) as database:
        database.execute("UPDATE zaikio_access_tokens SET refresh_expires_at = '2026-01-01 00:00:00.000000'")
    lost = browser.open("/connections")

    assert "8b6a2c0e-5f0e-4f3c-9d5c-0d8f6a1c7e21" in fine.text
    assert "OK" in fine.text
    assert "Nordlicht Offset & Digital" in fine.text
    assert "Install again" not in fine.links
    assert "lost" in lost.text
    assert lost.links["Install again"].endswith("connections/new?organization_id=8b6a2c0e-5f0e-4f3c-9d5c-0d8f6a1c7e21")


def test_an_organization_subscribes_to_the_selected_plan(browser: Browser) -> None:
    """The Hub receives the plan, and the demo names it afterwards."""
    page = browser.press(browser.open(), "Subscribe", plan="free")
    page = browser.press(page, "Anna Möller")
    assert "free" in page.text
    page = browser.press(page, "Allow")
    assert page.path == "/subscription"
    assert "Your organization has subscribed to Bogenlager Free." in page.text


def test_an_organization_without_an_installation_is_asked_to_install(browser: Browser) -> None:
    """The Hub issues no token without a grant of the organization, and the demo shows no error page."""
    page = browser.press(browser.press(browser.press(browser.open(), "Subscribe"), "Anna Möller"), "Allow")
    page = browser.follow(page, "Open organization")
    assert page.status == 200
    assert "Bogenlager does not have access to this organization yet." in page.text
    page = browser.press(browser.follow(page, "Install for your organization"), "Allow")
    assert "Druckhaus Möller GmbH" in page.text


def test_logging_out_removes_the_organization(browser: Browser) -> None:
    """The next person who uses the browser may be somebody else."""
    browser.log_in()
    page = browser.press(browser.follow(browser.open(), "Install for your organization"), "Allow")
    browser.press(page, "Log out")
    assert "No organization yet" in browser.open("/organization").text


# ── languages ──────────────────────────────────────────────────────────────────────────────────────


def test_the_demo_is_in_german_for_a_german_browser(demo: Demo) -> None:
    """The language is that of the browser until the person selects another one."""
    with Browser(demo, language="de-AT,de;q=0.9,en;q=0.5") as browser:
        page = browser.open()
    assert page.language == "de"
    assert "Wissen, welches Papier da ist, bevor der Auftrag in Druck geht." in page.text
    assert "Für Ihre Organisation installieren" in page.links


def test_the_language_can_be_switched(browser: Browser) -> None:
    """The current page, all later pages and the Hub's pages use the selected language."""
    page = browser.press(browser.open("/organization"), "Deutsch")
    assert (page.path, page.language) == ("/organization", "de")
    page = browser.follow(browser.open(), "Mit Zaikio anmelden")
    assert parse_qs(urlsplit(page.url).query)["lang"] == ["de"]
    page = browser.press(browser.press(page, "Anna Möller"), "Erlauben")
    assert "Schön, dass Sie da sind, Anna Möller." in page.text
    assert browser.press(page, "English").language == "en"


def test_switching_the_language_does_not_leave_the_site(browser: Browser) -> None:
    """The redirect leads to a page of the demo, regardless of the form's data."""
    for elsewhere in ("https://evil.example/", "//evil.example/", "/\\evil.example"):
        answer = browser.client.post(
            f"{browser.demo.url}/language", data={"language": "de", "back": elsewhere}, follow_redirects=False
        )
        assert (answer.status_code, answer.headers["location"]) == (303, "/")


# ── failures ───────────────────────────────────────────────────────────────────────────────────────


def test_an_unknown_path_shows_a_friendly_page(browser: Browser) -> None:
    """The response is HTML for browsers and JSON for programs."""
    page = browser.open("/gone")
    assert page.status == 404
    assert "This page does not exist." in page.text
    assert page.links["Go to the start page"] == "/"
    assert httpx.get(f"{browser.demo.url}/gone").json() == {"detail": "Not Found"}


def test_an_unreachable_hub_causes_a_notice_and_no_logout(tmp_path: Path) -> None:
    """The pages are shown without the person's or organization's data, and never with HTTP 500."""
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
    """Return the demo's client as settings of the user."""
    generated = json.loads((demo.data_dir / "generated.json").read_text())
    return {
        "ZAIKIO_CLIENTS__BOGENLAGER__CLIENT_ID": generated["client_id"],
        "ZAIKIO_CLIENTS__BOGENLAGER__CLIENT_SECRET": generated["client_secret"],
        "ZAIKIO_CLIENTS__BOGENLAGER__DEFAULT_SCOPES": "zaikio.person.r",
        "ZAIKIO_CLIENTS__BOGENLAGER__ORGANIZATION_SCOPES": "zaikio.organization.r",
    }


# ── security of the pages ──────────────────────────────────────────────────────────────────────────


def test_no_token_secret_or_key_reaches_the_browser(browser: Browser) -> None:
    """None is in a page, a header or the session cookie."""
    browser.log_in()
    browser.press(browser.follow(browser.open(), "Install for your organization"), "Allow")
    generated = json.loads((browser.demo.data_dir / "generated.json").read_text())
    hidden = [generated[name] for name in ("encryption_key", "session_secret", "client_secret")]
    seen = "\n".join(f"{response.headers}\n{response.text}" for response in browser.seen) + json.dumps(browser.session)
    assert not [secret for secret in hidden if secret in seen]
    assert not re.findall(r"eyJhbGciOi[\w-]+\.[\w-]+\.[\w-]+", seen), "a JWT"


def test_every_page_has_a_strict_content_security_policy(browser: Browser) -> None:
    """Only forms can lead to the Hub, because of the redirect to subscribe. Nothing is loaded from another site."""
    browser.log_in()
    for path in ("/", "/me", "/organization", "/connections", "/subscription", "/gone"):
        page = browser.open(path)
        policy = f"default-src 'self'; form-action 'self' {browser.demo.hub}; base-uri 'none'; frame-ancestors 'none'"
        assert page.headers["content-security-policy"].startswith(policy)
        assert page.headers["cache-control"] == "no-store"
        assert not re.findall(r"<style|<script>| style=| on\w+=", page.html)
        assert not re.findall(r'(?:src|rel="stylesheet" href)="(?!/static/)', page.html)


@pytest.mark.browser
async def test_the_scripts_work_in_a_real_browser(demo: Demo, page: playwright.Page) -> None:
    """The time counts down and a notice can be dismissed under the page's Content-Security-Policy."""
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
