"""A flow as a value: PKCE (RFC 7636), what it can do without, and how it starts again."""

from __future__ import annotations

import re
import time

from starlette.requests import Request
from starlette.responses import Response

from tests.data import KEY
from zaikio_oauth.web.flow import LIFETIME, MAX_ATTEMPTS, Flow, generate_code_verifier, s256_code_challenge
from zaikio_oauth.web.flow_cookie import FlowCookies, flow_fernet


def some_flow(**changes: object) -> Flow:
    """Return a login under way."""
    values: dict[str, object] = {
        "host": "http://hub",
        "client_name": "warehouse",
        "client_id": "warehouse-id",
        "approve_path": "/zaikio/sessions/approve",
        "redirect_uri": "http://testserver/zaikio/sessions/approve",
        "scopes": ("zaikio.person.r",),
    }
    return Flow(**values | changes)  # type: ignore[arg-type]


def test_the_challenge_is_that_of_the_rfcs_example() -> None:
    """RFC 7636, appendix B, gives a code verifier and its challenge."""
    assert (
        s256_code_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
        == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    )


def test_verifiers_are_unique_and_well_formed() -> None:
    """A code verifier has 43 to 128 unreserved characters (RFC 7636 §4.1)."""
    verifiers = {generate_code_verifier() for _ in range(100)}

    assert len(verifiers) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier) for verifier in verifiers)


def test_a_verifier_from_a_cookie_is_as_secret_as_a_new_one() -> None:
    """A tool that shows the variables of an error does not show it."""
    fernet, flow = flow_fernet([KEY]), some_flow()
    response = Response()
    empty = Request({"type": "http", "headers": []})
    FlowCookies(empty, fernet, path="/", secure=False).add(response, flow)
    sent = response.headers["set-cookie"].partition(";")[0].encode()

    carrying = Request({"type": "http", "headers": [(b"cookie", sent)]})
    found = FlowCookies(carrying, fernet, path="/", secure=False).find(flow.host, flow.approve_path, flow.state)

    assert found == flow
    assert found is not None
    assert flow.code_verifier
    assert flow.code_verifier not in repr(found.code_verifier)


def test_a_flow_that_starts_again_is_a_new_one() -> None:
    """Nothing that was secret comes again, and it has all its time; after three attempts it is over."""
    first = some_flow(origin="/orders", started_at=int(time.time()) - LIFETIME + 1)
    again = first.started_again()

    assert again is not None
    assert {first.state, first.code_verifier}.isdisjoint({again.state, again.code_verifier})
    assert not again.expired(time.time() + LIFETIME - 5)
    assert (again.origin, again.attempt) == ("/orders", 1)
    assert some_flow(attempt=MAX_ATTEMPTS).started_again() is None
    assert some_flow(state="chosen", chosen_state=True).started_again().state == "chosen"  # type: ignore[union-attr]


def test_a_flow_gives_up_prefilled_data_then_its_origin_then_the_rest() -> None:
    """The longest of each first; in the end there is nothing more to give up."""
    parameters = (("login", "x" * 90), ("person[name]", "x" * 20), ("lang", "de"), ("person[email]", "x" * 30))
    flow, left = some_flow(origin="/orders", parameters=parameters), []
    while (shorter := flow.shorter()) is not None:
        flow = shorter
        left.append(([name for name, _ in flow.parameters], flow.origin))

    assert left == [
        (["login", "person[name]", "lang"], "/orders"),
        (["login", "lang"], "/orders"),
        (["login", "lang"], None),
        (["lang"], None),
        ([], None),
    ]
