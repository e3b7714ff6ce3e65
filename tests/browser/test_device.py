"""The device flow with two real browsers: a tablet that shows a code, and the person's own browser."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.browser.test_login import choose_account, demo  # noqa: F401 (a fixture)
from tests.environment.plugin import screenshot

pytestmark = pytest.mark.browser


async def test_a_tablet_is_connected_from_another_browser(page: Page, demo: str) -> None:  # noqa: F811
    """The page updates by itself, and neither console has a message."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(f"{demo}/device")
    await page.get_by_role("button", name="Show a code").click()
    await expect(page.get_by_role("img", name="QR code that opens")).to_be_visible()
    code = await page.locator(".user-code").inner_text()
    assert len(code) == 8
    await screenshot(page, "device-codes")

    browser = page.context.browser
    assert browser is not None
    person = await (await browser.new_context()).new_page()
    person.on("console", lambda message: complaints.append(message.text))
    await person.goto(await page.get_by_role("link", name="/device").get_attribute("href") or "")
    await person.get_by_role("textbox").fill(f"{code[:4]}-{code[4:]}".lower())
    await person.keyboard.press("Enter")
    await choose_account(person)
    await expect(person.locator(".code")).to_have_text(code)
    await screenshot(person, "hub-device-consent")
    await person.get_by_role("button", name="Allow").click()
    await expect(person.get_by_text("Your device is connected")).to_be_visible()
    await screenshot(person, "hub-device-connected")

    await expect(page.get_by_role("heading", name="Connected for Anna Möller.")).to_be_visible(timeout=20_000)
    await screenshot(page, "device-connected")
    await expect(page.get_by_role("link", name="Log in")).to_be_visible()
    assert complaints == []
    await person.context.close()
