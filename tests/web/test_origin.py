r"""After the login the person is redirected to a page of this site, never to another site.

The predecessor followed ``https://evil.example/x``, ``//evil.example/x`` and ``/\\evil.example`` from the session, and
ignored the parameter that its README documented.
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
    """The person grants all requested scopes."""
    hub.auto_consent(person_id=hub.people[0].id)


@pytest.mark.parametrize("origin", EVIL)
async def test_an_origin_on_another_site_is_ignored(visitor: Visitor, origin: str) -> None:
    """This applies to the parameter and to the session, and to our own login pages as well."""
    assert (await visitor.log_in(origin=origin)).headers["location"] == "/"
    await visitor.app.post("/remember", json={"origin": origin})
    assert (await visitor.log_in()).headers["location"] == "/"


@pytest.mark.parametrize("origin", GOOD)
async def test_an_origin_on_this_site_is_followed(visitor: Visitor, origin: str) -> None:
    """The path, the query and the fragment are kept."""
    expected = origin.replace("ü", "%C3%BC").replace("ä", "%C3%A4")

    assert (await visitor.log_in(origin=origin)).headers["location"] == expected
    await visitor.app.post("/remember", json={"origin": origin})
    assert (await visitor.log_in()).headers["location"] == expected
    assert "origin" not in visitor.session


async def test_the_parameter_takes_precedence_over_the_session(visitor: Visitor) -> None:
    """The parameter belongs to the current request, while the session may be older."""
    await visitor.app.post("/remember", json={"origin": "/from-session"})

    assert (await visitor.log_in(origin="/from-parameter")).headers["location"] == "/from-parameter"


async def test_a_whole_url_of_this_site_is_accepted(visitor: Visitor) -> None:
    """Many apps pass ``str(request.url)``."""
    assert (await visitor.log_in(origin="http://testserver/orders?x=1")).headers["location"] == "/orders?x=1"


@pytest.mark.parametrize("garbage", [7, ["/x"], {"a": 1}, True, None])
async def test_invalid_values_in_the_session_are_ignored(visitor: Visitor, garbage: object) -> None:
    """The app can write to the session as well."""
    await visitor.app.post("/remember", json={"origin": garbage, "zaikio_access_token_id": garbage, "zaikio_oauth": 1})

    assert (await visitor.get("/me")).status_code == 401
    assert (await visitor.log_in()).headers["location"] == "/"
