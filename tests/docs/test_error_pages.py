"""Each error leads to a page of the documentation that says what to do."""

from __future__ import annotations

import ast
import pickle
import re
import tomllib
import traceback

import pytest

from tests.docs.pages import DOCS, ROOT
from tests.test_errors import ERRORS
from zaikio_oauth import OAuthError, ZaikioOAuthError
from zaikio_oauth.errors import page_about
from zaikio_oauth.web.messages import message

PAGES = DOCS / "reference" / "errors"
BASE = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Documentation"]
SECTIONS = ["## Causes", "## What to do", "## What the person sees", "## Reproduce it"]
NO_CODES = {"authorization_pending", "invalid_redirect_uri"}
CLASSES = {
    "configuration_error",
    "decryption_error",
    "hub_unavailable_error",
    "oauth_error",
    "store_unavailable_error",
    "unknown_client_error",
}


def page_at(address: str) -> str:
    """Return the name of the page at an address of the site."""
    beginning = f"{BASE}/reference/errors/"
    assert address.startswith(beginning)
    return address.removeprefix(beginning).removesuffix(".html")


def codes() -> set[str]:
    """Return the codes that have a page, as ``errors.py`` has them."""
    tree = ast.parse((ROOT / "src/zaikio_oauth/errors.py").read_text())
    (known,) = [
        node.value for node in tree.body if isinstance(node, ast.Assign) and "_CODES" in ast.unparse(node.targets)
    ]
    return {node.value for node in ast.walk(known) if isinstance(node, ast.Constant)}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_every_error_has_a_page(error: ZaikioOAuthError) -> None:
    """A traceback shows its address, also after the error has come from another process; the message does not."""
    assert (PAGES / f"{page_at(error.documentation)}.md").is_file()
    for each in (error, pickle.loads(pickle.dumps(error))):
        assert "".join(traceback.format_exception(each)).count(f"See {error.documentation}") == 1
        assert error.documentation not in str(each)


def test_every_class_of_ours_leads_to_its_own_page() -> None:
    """Only codes that nobody knows share one."""
    pages = {type(error): page_at(error.documentation) for error in ERRORS}
    assert len(set(pages.values())) == len(pages)
    assert pages[OAuthError] == "invalid_client"


def test_every_page_is_led_to() -> None:
    """The pages are those of the codes and those of the classes, and each has the same parts."""
    assert {page.stem for page in PAGES.glob("*.md")} == codes() | CLASSES | {"index"}
    for page in PAGES.glob("*.md"):
        if page.stem != "index":
            text = page.read_text()
            assert [line for line in text.splitlines() if line.startswith("## ")] == SECTIONS
            assert "\n```python\n" in text.partition("## Reproduce it")[2]


def test_every_page_quotes_what_the_person_sees() -> None:
    """In English; the German quick start quotes the German messages."""
    quoted = {}
    for page in PAGES.glob("*.md"):
        if found := re.search(r"## What the person sees\n\n> (.*)\n", page.read_text()):
            quoted[page.stem] = found[1]
    assert quoted == {code: message(code, "en") for code in quoted}
    assert len(quoted) > 10
    quick_start = (DOCS / "de" / "schnellstart.md").read_text()
    german = re.findall(r"„([^“]*)“ \(`(\w+)`\)", quick_start)
    assert german and all(message(code, "de").startswith(said) for said, code in german)


def test_an_unknown_code_has_a_page_too() -> None:
    """Whatever a Hub answers, nothing of it is in the address."""
    assert page_about("../../evil\n") == page_about("app_is_asleep") == f"{BASE}/reference/errors/oauth_error.html"


def test_every_code_in_the_source_has_a_page() -> None:
    """Those of the protocol that we raise, pass on, or answer with; the local Hub says the Hub's."""
    raised = r"(?:_LoginFailed|_Refused|Refusal|ScopeError|InvalidGrantError|InvalidScopesError|OAuthError)"
    source = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    said = set(re.findall(raised + r'\(\s*"([a-z_]+)"', source))
    assert {"invalid_state", "invalid_grant", "unsupported_grant_type", "ungranted_scope"} <= said
    assert said - NO_CODES <= codes()
