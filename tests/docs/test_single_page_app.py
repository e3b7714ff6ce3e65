"""The front end in JavaScript of the documentation, in a real browser."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import Page

from tests.app_server import AppServer
from tests.data import PERSON_ID, SECRET
from tests.docs.pages import DOCS, blocks
from tests.docs.test_blocks import world  # noqa: F401 (a fixture)
from tests.docs.world import World
from zaikio_oauth.testing import HubApp

PAGE = DOCS / "how-to" / "single-page-app.md"


async def test_the_front_end_logs_in_orders_and_logs_out(world: World, page: Page) -> None:  # noqa: F811
    """A 401 leads to the login and back to the same place, and a login that failed is said and not tried again."""
    (html,) = [block.code for block in blocks(PAGE) if block.language == "html"]
    for block in blocks(PAGE):
        if block.language in ("given", "python"):
            world.run(block)
    Path("dist/index.html").write_text(html)
    server = AppServer(world.names["app"])
    hub = world.names["hub"]
    hub.apps = [HubApp.for_client("warehouse", "warehouse-id", SECRET, base_urls=[server.url])]
    with server:
        await page.goto(f"{server.url}/?paper=a4#top")
        await page.wait_for_function(f"document.getElementById('person').textContent === '{PERSON_ID}'")
        assert page.url == f"{server.url}/?paper=a4#top"
        await page.click("#order")
        await page.wait_for_function(f"document.getElementById('message').textContent === 'Ordered by {PERSON_ID}'")

        hub.fail("authorization_code", status=503, times=None)
        await page.click("#logout")
        await page.wait_for_function("document.getElementById('message').textContent.includes('Zaikio')")
        assert await page.text_content("#person") == ""
