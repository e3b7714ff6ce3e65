"""The front end in JavaScript of the documentation, in a real browser."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import Page

from tests.app_server import AppServer
from tests.data import PERSON_ID, SECRET
from tests.docs.pages import DOCS, blocks
from tests.docs.world import World
from zaikio_oauth.testing import HubApp

PAGE = DOCS / "how-to" / "single-page-app.md"


async def test_the_front_end_logs_in_orders_and_logs_out(world: World, page: Page) -> None:
    """Only a click leads to the login: not a logout, a login that was cancelled, one that failed, or the first visit."""
    (html,) = [block.code for block in blocks(PAGE) if block.language == "html"]
    for block in blocks(PAGE):
        if block.language in ("given", "python"):
            world.run(block)
    Path("dist/index.html").write_text(html)
    server = AppServer(world.names["app"])
    hub = world.names["hub"]
    hub.apps = [HubApp.for_client("warehouse", "warehouse-id", SECRET, base_urls=[server.url])]
    start = f"{server.url}/?paper=a4#top"
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/sessions/new" in request.url else None)
    with server:
        await page.goto(start)
        await page.wait_for_selector("#login:visible")
        assert not await page.is_visible("#logout")

        hub.auto_cancel()
        await page.click("#login")
        await page.wait_for_url(f"{server.url}/")
        await page.wait_for_selector("#login:visible")
        assert await page.text_content("#message") == ""

        hub.auto_consent(PERSON_ID)
        await page.goto(start)
        await page.click("#login")
        await page.wait_for_function(f"document.getElementById('person').textContent === '{PERSON_ID}'")
        assert page.url == start
        assert not await page.is_visible("#login")
        await page.click("#order")
        await page.wait_for_function(f"document.getElementById('message').textContent === 'Ordered by {PERSON_ID}'")

        await page.click("#logout")
        await page.wait_for_selector("#login:visible")
        assert page.url == f"{server.url}/"
        assert await page.text_content("#person") == ""

        hub.fail("authorization_code", status=503, times=None)
        await page.click("#login")
        await page.wait_for_function("document.getElementById('message').textContent.includes('Zaikio')")
        assert await page.is_visible("#login")
        assert len(asked) == 3
