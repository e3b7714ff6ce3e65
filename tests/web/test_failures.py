"""Every way in which a callback can fail: the documented error is shown, never HTTP 500, and no secret is disclosed.

The tests correspond to the predecessor's fault 6 and to what it did when it was run: HTTP 500 for an error page, for
broken JSON, for an empty object, for a list, for HTTP 401 and for ``invalid_scope`` in the URL; an exception at the
fourth failed exchange; a stored token for another audience; a login by a response without a token.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.apps import small_app
from tests.visitor import Visitor, query_of
from zaikio_oauth import Settings, ZaikioOAuth
from zaikio_oauth.testing import LocalHub

TOKEN = {
    "access_token": "opaque-secret-token",
    "refresh_token": "opaque-secret-refresh",
    "token_type": "bearer",
    "scope": "zaikio.person.r",
    "audiences": ["warehouse"],
    "expires_in": 3600,
    "bearer": {"id": "29b2", "type": "Person"},
}


@pytest.fixture(autouse=True)
def consenting(hub: LocalHub) -> None:
    """The person grants all requested scopes."""
    hub.auto_consent(person_id=hub.people[0].id)


async def error_of(visitor: Visitor) -> dict[str, Any] | None:
    """Return the error that the home page shows."""
    return (await visitor.get("/")).json()["error"]


@pytest.mark.parametrize(
    ("error", "description"),
    [("invalid_scope", "zaikio.nothing.r"), ("invalid_request", "code_challenge missing"), ("server_error", None)],
)
async def test_an_error_from_the_hub_is_shown_once(visitor: Visitor, error: str, description: str | None) -> None:
    """The error has the Hub's code and description, and a second view of the page does not show it."""
    state = query_of(await visitor.start())["state"]
    parameters = {"state": state, "error": error} | ({"error_description": description} if description else {})

    answer = await visitor.get("/zaikio/sessions/approve", params=parameters)

    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    shown = await error_of(visitor)
    assert shown is not None
    assert (shown["code"], shown["description"]) == (error, description)
    assert shown["message"]
    assert await error_of(visitor) is None


async def test_a_person_who_cancels_sees_no_error(visitor: Visitor, hub: LocalHub) -> None:
    """``access_denied`` leads to the home page."""
    hub.auto_cancel()

    answer = await visitor.log_in()

    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert visitor.session == {}
    assert visitor.flows == []


@pytest.mark.parametrize(
    "query",
    ["", "&code=", "&error=", "&error[a]=b", "&error=%00%0d%0a", "&error=" + "x" * 500, "&code=a&code=b", "&error=é"],
)
async def test_a_malformed_callback_is_an_invalid_response(visitor: Visitor, hub: LocalHub, query: str) -> None:
    """The state is valid, but the other parameters are not those of the protocol."""
    state = query_of(await visitor.start())["state"]

    answer = await visitor.get(f"/zaikio/sessions/approve?state={state}{query}")

    assert answer.status_code == 303
    shown = await error_of(visitor)
    assert shown is not None
    assert shown["code"] == "invalid_response"
    assert shown["description"] in ("The Hub sent neither a code nor an error.", "The Hub's error code is malformed.")
    assert hub.count(path="/oauth/access_token") == 0


async def test_a_repeated_state_is_invalid(visitor: Visitor, hub: LocalHub) -> None:
    """Parameters must not occur more than once (RFC 6749 §3.1)."""
    callback = await visitor.consent(await visitor.start())

    await visitor.get(f"{callback}&state={query_of(callback)['state']}")

    assert ((await error_of(visitor)) or {})["code"] == "invalid_state"
    assert hub.count(path="/oauth/access_token") == 0


async def test_a_long_description_is_cut_off(visitor: Visitor) -> None:
    """Browsers drop a cookie of more than 4 KiB, and the whole session would be lost."""
    state = query_of(await visitor.start())["state"]
    await visitor.get(
        "/zaikio/sessions/approve",
        params={"state": state, "error": "server_error", "error_description": "<b>\r\n" + "ä" * 9000},
    )

    shown = await error_of(visitor)
    assert shown is not None
    # In the session, which is ASCII, each of them takes six bytes.
    assert shown["description"] == "<b>" + "ä" * 127


@pytest.mark.parametrize("code", ["invalid_grant", "invalid_request"])
async def test_a_rejected_code_restarts_the_login_three_times(visitor: Visitor, hub: LocalHub, code: str) -> None:
    """Each attempt has a new state and challenge and otherwise the same parameters. The fourth failure is an error."""
    hub.fail("authorization_code", status=400, body={"error": code}, times=None)
    url = await visitor.start(origin="/page", prompt="select_account")
    seen = [query_of(url)]

    for _ in range(3):
        answer = await visitor.get(await visitor.consent(url))
        assert answer.status_code == 302
        url = answer.headers["location"]
        seen.append(query_of(url))
        assert len(visitor.flows) == 1
    answer = await visitor.get(await visitor.consent(url))

    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert ((await error_of(visitor)) or {})["code"] == "invalid_grant"
    assert hub.count(grant_type="authorization_code") == 4
    assert len({query["state"] for query in seen}) == 4
    assert len({query["code_challenge"] for query in seen}) == 4
    fresh = ("state", "code_challenge")
    assert len({json.dumps({k: v for k, v in query.items() if k not in fresh}) for query in seen}) == 1


async def test_a_restarted_login_returns_to_the_origin(visitor: Visitor, hub: LocalHub) -> None:
    """The person does not notice one failure, for example of an expired code."""
    hub.fail("authorization_code", status=400, body={"error": "invalid_grant"}, times=1)

    again = await visitor.log_in(origin="/page", state="mine")
    assert query_of(again.headers["location"])["state"] == "mine"
    answer = await visitor.get(await visitor.consent(again.headers["location"]))

    assert answer.headers["location"] == "/page"
    assert (await visitor.get("/me")).status_code == 200
    assert visitor.flows == []


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        pytest.param({"status": 500, "body": "<h1>oops</h1>"}, "temporarily_unavailable", id="500"),
        pytest.param({"status": 503}, "temporarily_unavailable", id="503"),
        pytest.param({"status": 429, "headers": {"Retry-After": "3600"}}, "temporarily_unavailable", id="429"),
        pytest.param({"broken_json": True}, "invalid_response", id="broken JSON"),
        pytest.param({"status": 200, "body": "<html>welcome</html>"}, "invalid_response", id="HTML"),
        pytest.param({"status": 200, "body": {}}, "invalid_response", id="empty object"),
        pytest.param({"status": 200, "body": []}, "invalid_response", id="list"),
        pytest.param({"status": 200, "body": "null"}, "invalid_response", id="null"),
        pytest.param({"status": 302, "headers": {"Location": "/"}}, "invalid_response", id="redirect"),
        pytest.param({"status": 404, "body": "not here"}, "invalid_response", id="404 page"),
        pytest.param({"status": 401, "body": {"error": "invalid_client"}}, "invalid_client", id="401"),
        pytest.param({"status": 400, "body": {"error": "invalid_scope"}}, "invalid_scope", id="invalid_scope"),
        pytest.param({"status": 200, "body": TOKEN | {"access_token": ""}}, "invalid_response", id="no token"),
        pytest.param({"status": 200, "body": TOKEN | {"access_token": 7}}, "invalid_response", id="a number"),
        pytest.param({"status": 200, "body": TOKEN | {"token_type": "mac"}}, "invalid_response", id="another type"),
        pytest.param({"status": 200, "body": TOKEN | {"audiences": ["mill"]}}, "invalid_response", id="another's"),
        pytest.param({"status": 200, "body": TOKEN | {"audiences": ["Warehouse"]}}, "invalid_response", id="capital"),
        pytest.param({"status": 200, "body": TOKEN | {"bearer": None}}, "invalid_response", id="nobody's"),
        pytest.param(
            {"status": 200, "body": TOKEN | {"bearer": {"type": "Robot", "id": "1"}}}, "invalid_response", id="?"
        ),
        pytest.param({"status": 200, "body": TOKEN | {"expires_in": "soon"}}, "invalid_response", id="no expiry"),
    ],
)
async def test_an_invalid_token_response_is_shown_as_an_error(
    visitor: Visitor, hub: LocalHub, caplog: pytest.LogCaptureFixture, fault: dict[str, Any], code: str
) -> None:
    """Nobody is logged in, nothing is stored, and no secret in the response is shown or logged."""
    hub.fail("authorization_code", times=None, **fault)

    answer = await visitor.log_in()

    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert set(visitor.session) == {"zaikio_oauth"}
    assert "opaque-secret" not in repr(visitor.session) + caplog.text
    assert ((await error_of(visitor)) or {})["code"] == code
    assert (await visitor.get("/me")).status_code == 401


async def test_the_reason_why_the_hub_refuses_a_code_is_shown(visitor: Visitor, hub: LocalHub) -> None:
    """The app can show the description of an error response, or our own of a response that is no token."""
    refusal = {"error": "invalid_client", "error_description": "The client is locked."}
    hub.fail("authorization_code", status=401, body=refusal, times=1)
    await visitor.log_in()
    assert ((await error_of(visitor)) or {})["description"] == "The client is locked."

    hub.fail("authorization_code", status=200, body=TOKEN | {"audiences": ["mill"]}, times=1)
    await visitor.log_in()
    assert "not for the client 'warehouse'" in ((await error_of(visitor)) or {})["description"]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="opaque"),
        pytest.param({"audiences": []}, id="no audience"),
        pytest.param({"expires_in": "599"}, id="a numeric string"),
        pytest.param({"expires_in": f"{datetime.now(UTC) + timedelta(hours=1):%FT%T.958Z}"}, id="an instant"),
        pytest.param({"scope": None}, id="no scope"),
        pytest.param({"refresh_token": None}, id="no refresh token"),
        pytest.param({"token_type": "Bearer"}, id="Bearer"),
    ],
)
async def test_every_form_of_a_token_response_is_accepted(
    visitor: Visitor, hub: LocalHub, changes: dict[str, Any]
) -> None:
    """Where the Hub's documentation and its behaviour differ, both forms work."""
    hub.fail("authorization_code", status=200, body={k: v for k, v in (TOKEN | changes).items() if v is not None})

    await visitor.log_in()

    assert (await visitor.get("/me")).json()["scopes"] == ["zaikio.person.r"]


async def test_the_same_token_can_be_received_twice(visitor: Visitor, hub: LocalHub) -> None:
    """The gem used the Hub's id as its primary key."""
    hub.fail("authorization_code", status=200, body=TOKEN, times=None)

    for _ in range(2):
        await visitor.log_in()
        assert (await visitor.get("/me")).status_code == 200


async def test_an_unreachable_hub_is_shown_as_an_error(make_settings: Callable[..., Settings]) -> None:
    """If nothing listens at the address, the error is ``temporarily_unavailable``."""
    async with ZaikioOAuth(make_settings(host="http://127.0.0.1:9")) as zaikio:
        visitor = Visitor(small_app(zaikio))
        state = query_of(await visitor.start())["state"]
        answer = await visitor.get(f"/zaikio/sessions/approve?state={state}&code=abc")
        assert answer.status_code == 303
        assert ((await error_of(visitor)) or {})["code"] == "temporarily_unavailable"
        await visitor.aclose()


@pytest.mark.parametrize(("lang", "word"), [("de", "erneut"), ("en", "again"), ("fr", "again")])
async def test_errors_are_in_the_language_of_the_login(visitor: Visitor, lang: str, word: str) -> None:
    """The message is German or English, depending on the ``lang`` with which the login was started."""
    state = query_of(await visitor.start(lang=lang))["state"]

    await visitor.get(f"/zaikio/sessions/approve?state={state}&error=server_error")

    assert word in ((await error_of(visitor)) or {})["message"]


async def test_errors_without_a_login_are_in_the_browsers_language(visitor: Visitor) -> None:
    """The language of the browser is used if no known login was started."""
    await visitor.get("/zaikio/sessions/approve?code=x", headers={"Accept-Language": "de-AT,en;q=0.5"})

    assert "Anmeldung" in ((await error_of(visitor)) or {})["message"]


async def test_a_successful_login_removes_an_earlier_error(visitor: Visitor) -> None:
    """The home page does not show an error that is out of date."""
    await visitor.get("/zaikio/sessions/approve?code=x")
    await visitor.log_in()

    assert await error_of(visitor) is None
