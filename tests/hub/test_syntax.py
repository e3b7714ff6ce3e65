"""Ids, tokens and names that the Hub should never send: refused where they come in, in all its answers."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.data import ORGANIZATION_ID, SECRET
from tests.inside import parts_of
from tests.visitor import expiring_token
from zaikio_oauth import AccessToken, InvalidResponseError, Settings, ZaikioOAuth
from zaikio_oauth.testing import HubApp, LocalHub

LIST = "/api/v1/revoked_access_tokens.json"
BEARER = {"type": "Organization", "id": ORGANIZATION_ID}
BODY: dict[str, Any] = {
    "access_token": "opaque",
    "token_type": "bearer",
    "scope": "zaikio.organization.r",
    "audiences": ["warehouse"],
    "expires_in": 3600,
    "bearer": BEARER,
}


def jwt(**claims: Any) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{payload}.c2ln"


CONTROL = "id\r\n\x1b[31mFORGED LINE\x00"
MALFORMED: list[dict[str, Any]] = [
    {"bearer": BEARER | {"id": CONTROL}},
    {"bearer": BEARER | {"id": "a,zaikio.sites.rw"}},
    {"bearer": BEARER | {"id": "\ud800"}},
    {"bearer": BEARER | {"id": "x" * 256}},
    {"bearer": BEARER | {"id": "ıd"}},
    {"bearer": BEARER | {"type": ["Person"]}},
    {"bearer_on_behalf_of": {"id": CONTROL, "type": "Person"}},
    {"bearer_on_behalf_of": {"id": "x" * 256, "type": "Person"}},
    {"bearer_on_behalf_of": {"id": 7, "type": "Person"}},
    {"bearer_on_behalf_of": {"id": "anna", "roles": ["own\0er"]}},
    {"bearer_on_behalf_of": {"id": "anna", "roles": ["\udfff"]}},
    {"access_token": "tökén"},
    {"access_token": "a b"},
    {"access_token": "a\r\nX-Header: b"},
    {"access_token": "\ud800"},
    {"access_token": "x" * 20_000},
    {"access_token": jwt(jti=CONTROL)},
    {"access_token": jwt(jti="x" * 256)},
    {"access_token": jwt(jti="\ud800")},
    {"access_token": jwt(jti=7)},
    {"access_token": jwt(sub="Person/a\0b>Organization/" + ORGANIZATION_ID)},
    {"access_token": jwt(aud=["a\0b"]), "audiences": []},
    {"refresh_token": "tökén"},
    {"refresh_token": "a\0b"},
    {"refresh_token": {"a": 1}},
    {"scope": "a.b\0.r"},
    {"scope": ["\ud800"]},
    {"scope": "x" * 256},
    {"audiences": ["warehouse", "x" * 256]},
    {"audiences": ["warehouse", "a\nb"]},
    {"audiences": ["warehouse", "\ud800"]},
    {"audiences": ["warehouſe"]},
    {"token_type": {"a": 1}},
    {"expires_in": 10**400},
    {"expires_in": 10**4000},
    {"expires_in": -(10**400)},
    {"expires_in": "9" * 5000},
    {"expires_in": "\ud800"},
]


@pytest.fixture
async def zaikio(make_settings: Callable[..., Settings]) -> AsyncIterator[ZaikioOAuth]:
    """Yield an instance that asks the database each time."""
    async with ZaikioOAuth(make_settings(cache_ttl=0)) as opened:
        yield opened


@pytest.mark.parametrize("changes", MALFORMED, ids=lambda changes: repr(changes)[:50].encode("ascii", "replace"))
async def test_a_malformed_value_in_a_token_response_is_an_invalid_response(
    zaikio: ZaikioOAuth, hub: LocalHub, caplog: pytest.LogCaptureFixture, changes: dict[str, Any]
) -> None:
    """Nothing is stored, and no control character reaches a log line or an error."""
    hub.fail("client_credentials", body=BODY | changes, times=None)
    caplog.set_level(logging.DEBUG)

    with pytest.raises(InvalidResponseError) as caught:
        await zaikio.get_access_token(bearer_type="Organization", bearer_id=ORGANIZATION_ID)

    for line in [str(caught.value), *(record.getMessage() for record in caplog.records)]:
        assert line.isprintable()
    assert (
        await zaikio.find_usable_access_token(bearer_type="Organization", bearer_id=ORGANIZATION_ID, valid_for=0)
        is None
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"access_token": "x", "expires_in": ' + "9" * 5000 + "}", id="thousands of digits"),
        pytest.param('{"access_token": "x", "expires_in": 1e400}', id="infinity"),
        pytest.param('{"access_token": "x", "expires_in": NaN}', id="NaN"),
        pytest.param('{"a":' * 100_000 + "1" + "}" * 100_000, id="deep"),
        pytest.param("[" * 200_000, id="deeper"),
    ],
)
async def test_json_that_explodes_is_an_invalid_response(zaikio: ZaikioOAuth, hub: LocalHub, text: str) -> None:
    """It is neither an error of Python's nor a token."""
    hub.fail("client_credentials", status=200, body=text)

    with pytest.raises(InvalidResponseError):
        await zaikio.get_access_token(bearer_type="Organization", bearer_id=ORGANIZATION_ID)


async def test_a_malformed_refresh_leaves_the_grant_as_it_is(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """An access token that no header can carry would break every later call, and the logout."""
    token = await expiring_token(zaikio, hub)
    hub.fail("refresh_token", body={"access_token": "tökén", "refresh_token": "next", "expires_in": 3600})

    with pytest.raises(InvalidResponseError):
        await zaikio.refresh(token)

    assert await zaikio.find_active_access_token(token.id, valid_for=0) == token


@pytest.mark.parametrize("audience", ["x" * 256, "a\0b", "\ud800"])
async def test_a_malformed_audience_of_a_delegation_is_an_invalid_response(
    make_settings: Callable[..., Settings], hub: LocalHub, database_url: str, audience: str
) -> None:
    """It is on both databases, whose limits differ."""
    hub.apps.append(HubApp.for_client("plate-setter", "setter-id", "its-own-secret"))
    scopes = ["zaikio.delegations.rw", "zaikio.sites.r"]
    hub.grant("warehouse-id", "Organization", ORGANIZATION_ID, scopes)
    async with ZaikioOAuth(make_settings(database_url=database_url, auto_migrate=True)) as zaikio:
        parent = await zaikio.get_access_token(bearer_type="Organization", bearer_id=ORGANIZATION_ID, scopes=scopes)
        hub.fail("/oauth/delegate", body={"access_token": "x", "expires_in": 60, "audiences": [audience]})
        with pytest.raises(InvalidResponseError):
            await zaikio.delegate(parent, client_id="setter-id", scopes=["zaikio.sites.r"])


async def test_one_bad_id_in_the_list_of_revoked_tokens_costs_no_others(
    make_settings: Callable[..., Settings], hub: LocalHub, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is left out and counted in a warning; the others are revoked, on both databases."""
    good = "6f0e1a6e-0c6b-4f0a-8d2e-2d4c0f1f5a11"
    bad = ["a\0b", "\ud800", "", 7, None, {}, "x" * 256, "é", "a\nb"]
    async with ZaikioOAuth(make_settings(database_url=database_url, auto_migrate=True)) as zaikio:
        revocation_list = (await parts_of(zaikio)).revocation_list
        await revocation_list._ready.wait()
        await revocation_list._revoked_tokens.schedule_list(datetime.now(UTC) - timedelta(seconds=1))
        hub.fail(LIST, body={"revoked_token_ids": [*bad[:4], good, *bad[4:]]}, times=None)

        assert await revocation_list.fetch_if_due()

        assert await revocation_list.contains(good)
    assert f"{len(bad)} ids in the Hub's list of revoked tokens are malformed" in caplog.text


@pytest.mark.parametrize("changes", [{"interval": 10**400}, {"verification_uri": "https://x/" + "x" * 5000}])
async def test_a_malformed_device_response_is_an_invalid_response(
    zaikio: ZaikioOAuth, hub: LocalHub, changes: dict[str, Any]
) -> None:
    """An address that is too long for a QR code is one, too."""
    body = {"device_code": "d", "user_code": "u", "verification_uri": "https://x", "expires_in": 600}
    hub.fail("/oauth/device_authorizations/authorize", body=body | changes)

    with pytest.raises(InvalidResponseError):
        await zaikio.start_device_authorization("kiosk")


async def test_an_audience_with_a_hyphen_is_the_client_of_an_environment_variable(
    make_settings: Callable[..., Settings], hub: LocalHub
) -> None:
    """``ZAIKIO_CLIENTS__PLATE_SETTER__…`` is the client for the app ``plate-setter``."""
    hub.fail("client_credentials", body=BODY | {"audiences": ["plate-setter"]})
    client = {"client_id": "setter-id", "client_secret": SECRET, "organization_scopes": ["zaikio.organization.r"]}
    async with ZaikioOAuth(make_settings(clients={"plate_setter": client})) as zaikio:
        token: AccessToken = await zaikio.get_access_token(bearer_type="Organization", bearer_id=ORGANIZATION_ID)
    assert token.audience == "plate_setter"
