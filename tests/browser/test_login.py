"""A real Chromium, the demo app and the local Hub, each on a real socket. Every test saves a screenshot."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.environment.plugin import screenshot

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[str]:
    """Yield the URL of the demo, started like ``make demo`` but on free ports."""
    command = [sys.executable, "-m", "demo_app", "--port", "0", "--hub-port", "0", "--data-dir", str(tmp_path / "data")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ZAIKIO_")}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    banner = ""
    try:
        assert process.stdout is not None
        for line in process.stdout:
            banner += line
            if "Ctrl-C" in line:
                break
        found = re.search(r"Demo app +(http://\S+)", banner)
        assert found, banner
        yield found[1]
    finally:
        process.terminate()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


async def choose_account(page: Page, name: str = "Anna Möller") -> None:
    """Choose the account on the Hub's page."""
    await page.get_by_role("button", name=name).click()


async def log_in(page: Page, demo: str) -> None:
    """Log in, starting at the landing page."""
    await page.goto(demo)
    await page.get_by_role("link", name="Log in with Zaikio").click()
    await choose_account(page)
    await page.get_by_role("button", name="Allow").click()


async def cookies_of(context: BrowserContext) -> set[str]:
    """Return the names of the browser's cookies."""
    return {cookie["name"] for cookie in await context.cookies() if "name" in cookie}


async def test_a_person_logs_in_and_sees_who_they_are(page: Page, demo: str) -> None:
    """The person consents and sees their own page with their scopes. No flow cookie is left."""
    await page.goto(demo)
    await screenshot(page, "landing")
    await page.get_by_role("link", name="Log in with Zaikio").click()
    await screenshot(page, "hub-account")
    await choose_account(page)
    await expect(page.get_by_role("heading", name="Allow Bogenlager to access your data?")).to_be_visible()
    await screenshot(page, "hub-consent")
    await page.get_by_role("button", name="Allow").click()

    await expect(page).to_have_url(f"{demo}/me")
    await expect(page.get_by_text("anna.moeller@druckhaus-moeller.example").first).to_be_visible()
    await expect(page.get_by_text("zaikio.person.r").first).to_be_visible()
    await screenshot(page, "logged-in")
    assert not [name for name in await cookies_of(page.context) if name.startswith("zaikio_flow_")]


async def test_a_person_returns_to_the_requested_page(page: Page, demo: str) -> None:
    """The query is kept."""
    await page.goto(f"{demo}/me?from=mail")
    await choose_account(page)
    await page.get_by_role("button", name="Allow").click()

    await expect(page).to_have_url(f"{demo}/me?from=mail")
    await screenshot(page, "back-to-the-page")


async def test_ten_tabs_can_log_in_at_once(page: Page, demo: str) -> None:
    """A browser opens ten protected pages at once, the person consents, and each tab returns to its own page."""
    tabs = [page, *[await page.context.new_page() for _ in range(9)]]
    await asyncio.gather(*(tab.goto(f"{demo}/me?tab={number}") for number, tab in enumerate(tabs)))
    for tab in tabs:
        await choose_account(tab)
    for tab in tabs:
        if (allow := tab.get_by_role("button", name="Allow")) and await allow.count():
            await allow.click()

    for number, tab in enumerate(tabs):
        await expect(tab).to_have_url(f"{demo}/me?tab={number}")
        await expect(tab.get_by_text("anna.moeller@druckhaus-moeller.example").first).to_be_visible()
    await screenshot(tabs[-1], "tenth-tab")
    assert not [name for name in await cookies_of(page.context) if name.startswith("zaikio_flow_")]


async def test_a_person_who_cancels_returns_to_the_start_page(page: Page, demo: str) -> None:
    """Nobody is logged in, and the start page looks as usual."""
    await page.goto(demo)
    await page.get_by_role("link", name="Log in with Zaikio").click()
    await choose_account(page)
    await page.get_by_role("button", name="Cancel").click()

    await expect(page).to_have_url(f"{demo}/")
    await expect(page.get_by_role("link", name="Log in with Zaikio")).to_be_visible()
    await screenshot(page, "cancelled")


async def test_an_organization_installs_the_app(page: Page, demo: str) -> None:
    """The person selects one of their organizations, and the app acts for it."""
    await page.goto(demo)
    await page.get_by_role("link", name="Install for your organization").click()
    await choose_account(page)
    await page.get_by_label("Nordlicht Offset & Digital").check()
    await screenshot(page, "hub-install")
    await page.get_by_role("button", name="Allow").click()

    await expect(page).to_have_url(f"{demo}/organization")
    await expect(page.get_by_text("Nordlicht Offset & Digital").first).to_be_visible()
    await screenshot(page, "installed")


async def test_an_organization_subscribes(page: Page, demo: str) -> None:
    """The Hub receives the plan that was selected in the app."""
    await page.goto(demo)
    await page.locator("input[name=plan][value=free]").check()
    await page.get_by_role("button", name="Subscribe").click()
    await choose_account(page)
    await screenshot(page, "hub-subscribe")
    await page.get_by_role("button", name="Allow").click()

    await expect(page).to_have_url(f"{demo}/subscription")
    await screenshot(page, "subscribed")


async def test_a_person_logs_out(page: Page, demo: str) -> None:
    """A protected page requires a new login afterwards."""
    await log_in(page, demo)
    await page.get_by_role("button", name="Log out").click()

    await expect(page).to_have_url(f"{demo}/")
    await expect(page.get_by_role("link", name="Log in with Zaikio")).to_be_visible()
    await screenshot(page, "logged-out")
    assert "zaikio_person_id" not in repr(await page.context.cookies())


async def test_every_page_can_be_in_german(page: Page, demo: str) -> None:
    """The language selected in the app is used by the Hub's pages as well."""
    await page.goto(demo)
    await page.get_by_role("button", name="Deutsch").click()
    await page.get_by_role("link", name="Mit Zaikio anmelden").click()
    await expect(page.get_by_role("heading", name="Konto auswählen")).to_be_visible()
    await choose_account(page)
    await screenshot(page, "hub-consent-german")
    await page.get_by_role("button", name="Erlauben").click()

    await expect(page).to_have_url(f"{demo}/me")
    await expect(page.get_by_role("button", name="Abmelden")).to_be_visible()
    await screenshot(page, "logged-in-german")


async def test_a_forged_callback_shows_a_friendly_message(page: Page, demo: str) -> None:
    """The person sees neither JSON nor a traceback."""
    await page.goto(f"{demo}/zaikio/sessions/approve?code=stolen&state=forged")

    await expect(page).to_have_url(f"{demo}/")
    await expect(page.get_by_text("This login has expired")).to_be_visible()
    await page.set_viewport_size({"width": 390, "height": 844})
    await screenshot(page, "forged-on-a-phone")
