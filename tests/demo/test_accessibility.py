"""Every page of the demo and of the local Hub: what axe finds, what the console says, and which texts nobody can read."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import ConsoleMessage, Page, async_playwright

from demo_app.language import LANGUAGES
from demo_app.texts import TEXTS
from tests.demo.tour import Stop, Tour, stage
from tests.environment.plugin import CHROMIUM_OPTIONS, unavailable
from zaikio_oauth.testing.local_hub.texts import TEXTS as HUB_TEXTS

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice", "experimental"]
# Only these depend on colours, so the others are checked once.
COLOUR_RULES = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
AXE = """only => axe.run({ runOnly: only, resultTypes: ["violations"] }).then(found =>
    found.violations.map(rule => `${rule.id}: ${rule.nodes.map(node => node.target.join(" ")).join(", ")}`))"""
# Forced colours are the browser's and have contrast. But backgrounds are gone, so what is chosen has to differ in another way.
ALIKE = """() => [...document.querySelectorAll("[aria-pressed], [aria-current]")].filter(chosen => {
    const rgb = colour => colour.match(/\\d+/g).slice(0, 3).join();
    const look = (node, style = getComputedStyle(node)) => rgb(style.backgroundColor) + "/" + rgb(style.borderBottomColor);
    return [...chosen.parentElement.children].some(other => other !== chosen && look(other) === look(chosen));
}).map(chosen => `looks like its neighbours in forced colours: ${chosen.textContent}`)"""
LAYOUT = """() => [
    document.documentElement.scrollWidth > innerWidth ? "is wider than the screen" : "",
    document.querySelector("link[rel=icon]") ? "" : "has no icon, so a browser asks for /favicon.ico",
].filter(Boolean)"""

# Shown by a Hub with a file for its state only.
ELSEWHERE = {"home_kept"}


class Inspector:
    """Looks at the pages in a tab and keeps what is wrong with them, and everything that can be read on them."""

    def __init__(self, tab: Page) -> None:
        self.wrong: list[str] = []
        self.read = ""
        self._tab = tab
        self._said: list[ConsoleMessage] = []
        tab.on("console", lambda message: self._said.append(message))  # (Playwright marks a function)
        tab.on("pageerror", lambda error: self.wrong.append(f"{tab.url}: {error}"))

    async def look_at(self, stop: Stop) -> None:
        """Check the page that is open."""
        found = [message.text for message in self._said if not self._is_own_status(stop, message)]
        self._said.clear()
        found += await self._tab.evaluate(LAYOUT)
        found += await self._tab.evaluate(AXE, RULES)
        await self._tab.emulate_media(color_scheme="dark")
        found += [f"dark: {each}" for each in await self._tab.evaluate(AXE, COLOUR_RULES)]
        await self._tab.emulate_media(color_scheme="light", forced_colors="active")
        found += await self._tab.evaluate(ALIKE)
        await self._tab.emulate_media(color_scheme="light", forced_colors="none")
        self.wrong += [f"{stop.name}: {each}" for each in found]
        self.read += html.unescape(await self._tab.content())

    def _is_own_status(self, stop: Stop, message: ConsoleMessage) -> bool:
        """Return True for Chromium's report that the page has the status that it is meant to have."""
        expected = f"Failed to load resource: the server responded with a status of {stop.status} "
        return stop.status >= 400 and message.text.startswith(expected) and message.location["url"] == self._tab.url


def unread(texts: Mapping[str, str], pages: str) -> Iterator[str]:
    """Yield the keys of the texts that are on none of the pages."""
    for key, text in texts.items():
        pattern = ".+?".join(re.escape(part) for part in re.split(r"\{\w+\}", text))
        if key not in ELSEWHERE and not re.search(pattern, pages):
            yield key


@pytest.mark.browser
@pytest.mark.timeout(600)
async def test_every_page_is_accessible(tmp_path: Path) -> None:
    """In both languages, in light, dark and forced colours, on a phone: axe finds nothing, no console has an error, no
    page scrolls sideways, and every text is on one of the pages, so no page is left out."""
    executable = os.environ.get("ZAIKIO_TEST_CHROMIUM")
    if not executable:
        unavailable("browser", "no Chromium was found (ZAIKIO_TEST_CHROMIUM)")
    wrong, left_out = {}, {}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=CHROMIUM_OPTIONS)
        for position, language in enumerate(LANGUAGES):
            (tmp_path / language).mkdir()
            context = await browser.new_context(
                locale=language, viewport={"width": 360, "height": 780}, reduced_motion="reduce"
            )
            await context.add_init_script(AXE_SCRIPT)
            tab = await context.new_page()
            inspector = Inspector(tab)
            with stage(tmp_path / language) as running:
                async for stop in Tour(running, tab).stops():
                    await inspector.look_at(stop)
            await context.close()
            texts = {key: text[position] for key, text in TEXTS.items()}
            wrong[language] = inspector.wrong
            left_out[language] = [*unread(texts, inspector.read), *unread(HUB_TEXTS[language], inspector.read)]
        await browser.close()
    assert wrong == {language: [] for language in LANGUAGES}
    assert left_out == {language: [] for language in LANGUAGES}
