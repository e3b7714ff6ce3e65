"""Where a person lands after the login: never on another site.

The predecessor followed ``https://evil.example/x``, ``//evil.example/x`` and ``/\\\\evil.example`` from the session, and ignored
the parameter that its read-me promised.
"""

from __future__ import annotations

import pytest

from tests.visitor import Visitor
from zaikio_oauth.testing import LocalHub

EVIL = [
    "https://evil.example/x",
    "http://evil.example",
    "//evil.example/x",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "\t//evil.example",
    " //evil.example",
    "/\n/evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "evil.example",
    "?next=//evil.example",
    "http://testserver.evil.example/",
    "http://testserver@evil.example/",
    "http://evil.example\\@testserver/",
    "http://testserver:80@evil.example/",
    "http://testserver//evil.example",
    "https://testserver/",
    "/zaikio/sessions/new",
    "/zaikio/warehouse/sessions/new?x=1",
    "/" + "x" * 5000,
    "\x00",
    "",
]
GOOD = [
    "/",
    "/orders?page=2&sort=-date",
    "/orders#open",
    "/a//b",
    "/zaikio-orders",
    "/zaikio?tab=1",
    "/search?q=https://evil.example/x",
    "/ümlaut?q=ä",
]


@pytest.fixture(autouse=True)
def consenting(hub: LocalHub) -> None:
    """The person grants whatever is asked."""
    hub.auto_consent(person_id=hub.people[0].id)


@pytest.mark.parametrize("origin", EVIL)
async def test_an_origin_elsewhere_is_ignored(visitor: Visitor, origin: str) -> None:
    """In the parameter and in the session."""
    assert (await visitor.log_in(origin=origin)).headers["location"] == "/"
    await visitor.app.post("/remember", json={"origin": origin})
    assert (await visitor.log_in()).headers["location"] == "/"


@pytest.mark.parametrize("origin", GOOD)
async def test_an_origin_of_this_site_is_where_the_person_lands(visitor: Visitor, origin: str) -> None:
    """Path, query and fragment."""
    expected = origin.replace("ü", "%C3%BC").replace("ä", "%C3%A4")

    assert (await visitor.log_in(origin=origin)).headers["location"] == expected
    await visitor.app.post("/remember", json={"origin": origin})
    assert (await visitor.log_in()).headers["location"] == expected
    assert "origin" not in visitor.session


async def test_the_parameter_wins_over_the_session(visitor: Visitor) -> None:
    """It is the more recent wish."""
    await visitor.app.post("/remember", json={"origin": "/from-session"})

    assert (await visitor.log_in(origin="/from-parameter")).headers["location"] == "/from-parameter"


async def test_this_sites_own_address_is_a_path_of_it(visitor: Visitor) -> None:
    """``str(request.url)`` is what many have at hand."""
    assert (await visitor.log_in(origin="http://testserver/orders?x=1")).headers["location"] == "/orders?x=1"


@pytest.mark.parametrize("garbage", [7, ["/x"], {"a": 1}, True, None])
async def test_garbage_in_the_session_is_ignored(visitor: Visitor, garbage: object) -> None:
    """The app writes there too."""
    await visitor.app.post("/remember", json={"origin": garbage, "zaikio_access_token_id": garbage, "zaikio_oauth": 1})

    assert (await visitor.get("/me")).status_code == 401
    assert (await visitor.log_in()).headers["location"] == "/"
