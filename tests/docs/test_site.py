"""The documentation site: it is complete, every link in it leads somewhere, and it needs no server."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.pages import DOCS, ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the site, as ``make docs`` builds it; any warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "--builder", "html"]
    built = subprocess.run([*command, str(DOCS), str(folder)], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (built.returncode, built.stderr) == (0, "")
    return folder


def test_every_page_is_on_the_site(site: Path) -> None:
    """Each file in ``docs/`` is a page, and the search finds it."""
    index = (site / "searchindex.js").read_text()
    for page in DOCS.rglob("*.md"):
        name = page.relative_to(DOCS).with_suffix("")
        assert (site / f"{name}.html").is_file()
        assert f'"{name}"' in index


class Links(HTMLParser):
    """The links, pictures and scripts of a page, and the places in it to which a link may lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.places: set[str] = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.found.add(value)
            elif name == "id" and value:
                self.places.add(value)


def test_no_link_is_dead(site: Path) -> None:
    """Each link, picture and script within the site exists, with the place in the page that it names."""
    dead = []
    pages = {path: Links(path.read_text()) for path in site.rglob("*.html")}
    for path, page in pages.items():
        for link in page.found:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            known = pages[target].places if target in pages else {""}
            if not target.is_file() or unquote(parts.fragment) not in known:
                dead.append((str(path.relative_to(site)), link))
    assert dead == []


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    """The site works without a network: no font, script or picture comes from another host."""
    loaded = r'<(?:script|img|link rel="(?:stylesheet|preload|icon)")[^>]*(?:src|href)="(?:https?:)?//[^"]+"'
    assert [match for path in site.rglob("*.html") for match in re.findall(loaded, path.read_text())] == []


def test_programs_can_read_it(site: Path) -> None:
    """``llms.txt`` lists every page, and ``llms-full.txt`` has their text."""
    index = (site / "llms.txt").read_text()
    full = (site / "llms-full.txt").read_text()
    for page in DOCS.rglob("*.md"):
        assert f"/_sources/{page.relative_to(DOCS)}.txt" in index
        title = page.read_text().splitlines()[0].removeprefix("# ")
        assert title in full
