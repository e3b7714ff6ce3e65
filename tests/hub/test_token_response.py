"""How a response of the token endpoint is read, and which error it raises."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from zaikio_oauth import (
    BearerDoesNotExistError,
    InvalidGrantError,
    InvalidResponseError,
    InvalidScopesError,
    OAuthError,
    OnBehalfOf,
)
from zaikio_oauth.hub.http import NOT_JSON, HubResponse
from zaikio_oauth.hub.token_response import token_response

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
BODY: dict[str, Any] = {
    "access_token": "opaque",
    "refresh_token": "again",
    "token_type": "bearer",
    "scope": "zaikio.person.r,zaikio.sites.rw",
    "audiences": ["warehouse"],
    "expires_in": 3600,
    "bearer": {"id": "29b2", "type": "Person"},
}


def answer(body: Any, status_code: int = 200) -> HubResponse:
    return HubResponse(status_code, body, NOW)


def jwt(**claims: Any) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{payload}.c2ln"


def test_every_field_of_a_response_is_read() -> None:
    """The response is that of the Hub's documentation."""
    response = token_response(answer(BODY))

    assert (response.token, response.refresh_token) == ("opaque", "again")
    assert response.scopes == ("zaikio.person.r", "zaikio.sites.rw")
    assert (response.audiences, response.bearer_type, response.bearer_id) == (("warehouse",), "Person", "29b2")
    assert response.expires_at == NOW + timedelta(hours=1)
    assert response.refresh_expires_at == NOW + timedelta(days=7)
    assert (response.on_behalf_of, response.jti) == (None, None)
    assert "opaque" not in repr(response)
    assert "again" not in repr(response)


def test_missing_fields_are_read_from_the_jwt() -> None:
    """These are the id, the expiry and the bearer, including the person who acts on behalf of an organization."""
    token = jwt(jti="the-id", exp=int(NOW.timestamp()) + 60, sub="Person/anna>Organization/mill")

    response = token_response(answer({"access_token": token}))

    assert (response.jti, response.expires_at) == ("the-id", NOW + timedelta(seconds=60))
    assert (response.bearer_type, response.bearer_id) == ("Organization", "mill")
    assert response.on_behalf_of == OnBehalfOf(id="anna")
    assert (response.scopes, response.audiences, response.refresh_expires_at) == (None, (), None)


def test_a_person_acts_on_behalf_of_an_organization_with_roles() -> None:
    """The response is that of the Hub documentation, "On behalf"."""
    acting = {"id": "anna", "type": "Person", "roles": ["owner", "admin"]}
    body = BODY | {"bearer": {"id": "mill", "type": "Organization"}, "bearer_on_behalf_of": acting}

    assert token_response(answer(body)).on_behalf_of == OnBehalfOf(id="anna", roles=("owner", "admin"))


@pytest.mark.parametrize(
    "token", ["x", "a.b.c", "a.!!!.c", "a..c", jwt() + "x", "e30.WzFd.x", "e30.bnVsbA.x", "." * 50]
)
def test_an_opaque_token_is_accepted(token: str) -> None:
    """A token does not need to be a JWT."""
    assert token_response(answer(BODY | {"access_token": token})).jti is None


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [
        (599, 599),
        (3600.5, 3600.5),
        ("3600", 3600),
        ("2026-11-24T13:00:00.000Z", 3600),
        ("2026-11-24T14:00:00+01:00", 3600),
        ("2026-11-24T13:00:00", 3600),
        ("2019-12-03T08:57:35.958Z", 0),
        (0, 0),
    ],
)
def test_every_form_of_an_expiry_is_read(expires_in: Any, seconds: float) -> None:
    """It is a number of seconds, a number as text, or a time as in the Hub's documentation."""
    assert token_response(answer(BODY | {"expires_in": expires_in})).expires_at == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize("expires_in", [True, -1, "soon", "", float("nan"), float("inf"), 1e300, [], {}, "1e400", "-5"])
def test_an_invalid_expiry_is_an_error(expires_in: Any) -> None:
    """A token with an unknown expiry would be used for ever or never."""
    with pytest.raises(InvalidResponseError):
        token_response(answer(BODY | {"expires_in": expires_in}))


@pytest.mark.parametrize(
    "body",
    [
        NOT_JSON,
        None,
        [],
        "token",
        7,
        {},
        BODY | {"access_token": None},
        BODY | {"access_token": ""},
        BODY | {"access_token": ["x"]},
        BODY | {"token_type": "mac"},
        BODY | {"bearer": "Person"},
        BODY | {"bearer": {"id": "x"}},
        BODY | {"bearer": {"id": "", "type": "Person"}},
        BODY | {"bearer": {"id": 7, "type": "Person"}},
        BODY | {"bearer": {"id": "x" * 256, "type": "Person"}},
        BODY | {"bearer": {"id": "x", "type": "Robot"}},
    ],
)
def test_a_response_without_a_valid_token_is_an_error(body: Any) -> None:
    """No part of the response is used."""
    with pytest.raises(InvalidResponseError):
        token_response(answer(body))


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        ({"error": "invalid_grant", "error_description": "spent"}, InvalidGrantError, "invalid_grant"),
        ({"error": "invalid_client"}, OAuthError, "invalid_client"),
        ({"error": "invalid_scope"}, InvalidScopesError, "invalid_scope"),
        ({"errors": {"scopes": ["bearer_does_not_exist"]}}, BearerDoesNotExistError, "bearer_does_not_exist"),
        ({"errors": {"scopes": ["ungranted_scope"]}}, InvalidScopesError, "ungranted_scope"),
        ({"errors": ["unpermitted_scope"]}, InvalidScopesError, "unpermitted_scope"),
        ({"errors": ["something_else"]}, OAuthError, "something_else"),
    ],
)
@pytest.mark.parametrize("status_code", [200, 400, 401, 402, 422])
def test_an_error_response_raises_the_matching_error(
    body: Any, kind: type[OAuthError], code: str, status_code: int
) -> None:
    """The code determines the class, whatever the status is. The error has the Hub's description and the status."""
    with pytest.raises(OAuthError) as caught:
        token_response(answer(body, status_code))

    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.status_code) == (code, status_code)
    assert caught.value.description == body.get("error_description")


@pytest.mark.parametrize("body", [NOT_JSON, {}, {"error": 7}, {"errors": []}, {"errors": {}}, {"errors": {"a": [1]}}])
@pytest.mark.parametrize("status_code", [302, 400, 404])
def test_an_error_response_without_a_code_is_an_invalid_response(body: Any, status_code: int) -> None:
    """It may be the page of a proxy."""
    with pytest.raises(InvalidResponseError, match=str(status_code)):
        token_response(answer(body, status_code))


def test_an_error_is_short_and_printable() -> None:
    """The code and the description appear in logs and on pages."""
    body = {"error": 'a"\\\n' + "b" * 100, "error_description": "c\r\n\x00" + "d" * 1000}

    with pytest.raises(OAuthError) as caught:
        token_response(answer(body, 400))

    assert caught.value.code == "a" + "b" * 63
    assert caught.value.description == "c" + "d" * 299
