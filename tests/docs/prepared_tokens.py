"""What the examples about access tokens and errors need before they are run, and what they have done afterwards."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

import httpx
import pytest
from fastapi import Request

from tests.data import ORGANIZATION_ID, OTHER_KEY, PERSON_ID, some_access_token, some_on_behalf_of
from tests.docs.docstring_reader import Reader, prepares
from zaikio_oauth import (
    Settings,
    configure,
    find_active_access_token,
    start_device_authorization,
)

UNKNOWN_ID = "00000000-0000-0000-0000-000000000000"


# --- access tokens ------------------------------------------------------------------------------------------


@prepares("access_token.Secret")
async def _secret(reader: Reader) -> None:
    await reader.run()
    assert reader.output == ["abc ['…']"]


@prepares("access_token.OnBehalfOf")
async def _on_behalf_of(reader: Reader) -> None:
    await reader.run(token=some_access_token(on_behalf_of=some_on_behalf_of()))


@prepares("access_token.AccessToken")
async def _access_token(reader: Reader) -> None:
    await reader.run()
    (line,) = reader.output
    assert re.fullmatch(r"3[56]\d\d(\.\d+)? seconds left", line)


@prepares("application.ZaikioOAuth")
async def _zaikio_oauth(reader: Reader) -> None:
    await reader.run()
    assert reader.names["zaikio"].settings.environment == "sandbox"
    assert (await reader.visit("/zaikio/sessions/new")).status_code == 302


@prepares("application.ZaikioOAuth.configure")
async def _configure(reader: Reader) -> None:
    await reader.run()
    location = (await reader.visit("/zaikio/sessions/new")).headers["location"]
    parameters = httpx.URL(location).params
    assert parameters["redirect_uri"] == "https://app.example.com/zaikio/sessions/approve"
    assert parameters["lang"] == "de"


@prepares("application.ZaikioOAuth.with_client")
async def _with_client(reader: Reader) -> None:
    await reader.token("kiosk")
    await reader.run()
    assert reader.names["token"].audience == "kiosk"


@prepares("application.ZaikioOAuth.with_auth")
async def _with_auth(reader: Reader) -> None:
    async with httpx.AsyncClient() as client:
        await reader.run(client=client)
    assert [made.status_code for made in reader.hub.requests if made.path == "/api/v1/organization"] == [200]


@prepares("application.ZaikioOAuth.get_access_token")
async def _get_access_token(reader: Reader) -> None:
    async with httpx.AsyncClient() as client:
        await reader.run(client=client, url=f"{reader.hub_url}/api/v1/organization")
    assert reader.names["response"].json()["id"] == ORGANIZATION_ID


@prepares("application.ZaikioOAuth.find_usable_access_token")
async def _find_usable_access_token(reader: Reader) -> None:
    assert await reader.run() == "log in first"
    token = await reader.token()
    assert await reader.run() is None
    assert reader.names["token"] == token


@prepares("application.ZaikioOAuth.find_active_access_token")
async def _find_active_access_token(reader: Reader) -> None:
    @reader.app.get("/")
    async def page(request: Request) -> Any:
        return await reader.run(request=request)

    assert (await reader.visit("/")).headers["location"] == "/login"


@prepares("application.ZaikioOAuth.refresh")
async def _refresh(reader: Reader) -> None:
    token = await reader.token()
    await reader.run(token=token)
    assert reader.hub.count(grant_type="refresh_token") == 1
    assert reader.output == [str(reader.names["token"].expires_at)]


@prepares("application.ZaikioOAuth.revoke")
async def _revoke(reader: Reader) -> None:
    token = await reader.token()
    await reader.run(access_token_id=token.id)
    assert await find_active_access_token(token.id) is None


@prepares("application.ZaikioOAuth.delegate")
async def _delegate(reader: Reader) -> None:
    stored: list[str] = []
    token = await reader.token(scopes="zaikio.sites.r,zaikio.delegations.rw")
    await reader.run(token=token, subsystem="kiosk-id", store=stored.append)
    assert reader.names["part"].audience == "kiosk"
    assert stored == [reader.names["part"].id]


@prepares("application.ZaikioOAuth.start_device_authorization", "tokens.device_authorization.DeviceAuthorization")
async def _device(reader: Reader) -> None:
    await reader.run(print=lambda text: reader.hub.approve_device(text.split()[-1], PERSON_ID))
    assert reader.names["access_token"].audience == "kiosk"


@prepares("application.ZaikioOAuth.verify_bearer_token")
async def _verify_bearer_token(reader: Reader) -> None:
    token = reader.hub.mint_token("warehouse-id", PERSON_ID, "zaikio.person.r", issuer=reader.hub_url)
    await reader.run(message={"token": token})
    assert reader.output == [f"{PERSON_ID} ('zaikio.person.r',)"]


@prepares("httpx_auth.ZaikioAuth")
async def _zaikio_auth(reader: Reader) -> None:
    await reader.run()
    assert reader.names["response"].json()["id"] == ORGANIZATION_ID


# --- errors -------------------------------------------------------------------------------------------------


@prepares("errors.ZaikioOAuthError")
async def _zaikio_oauth_error(reader: Reader) -> None:
    await reader.run(organization_id=UNKNOWN_ID)
    (line,) = reader.output
    assert line.startswith("No access token: ")
    assert line.endswith("/bearer_does_not_exist.html)")


@prepares("errors.ConfigurationError")
async def _configuration_error(reader: Reader) -> None:
    reader.setenv("ZAIKIO_ENVIRONMENT", "moon")
    with pytest.raises(SystemExit, match="ZAIKIO_ENVIRONMENT"):
        await reader.run()


@prepares("errors.UnknownClientError")
async def _unknown_client_error(reader: Reader) -> None:
    await reader.run(name="shop")
    (line,) = reader.output
    assert line.startswith("choose one of (")


@prepares("errors.OAuthError")
async def _oauth_error(reader: Reader) -> None:
    device = await start_device_authorization()
    reader.hub.deny_device(device.user_code)
    await reader.run(device=device)
    assert reader.output == ["cancelled"]


@prepares("errors.InvalidGrantError")
async def _invalid_grant_error(reader: Reader) -> None:
    asked = []

    async def ask_to_connect_again(bearer_id: str) -> None:
        asked.append(bearer_id)

    token = await reader.token()
    reader.hub.spend_refresh_tokens()
    await reader.run(token=token, ask_to_connect_again=ask_to_connect_again)
    assert asked == [PERSON_ID]


@prepares("errors.InvalidScopesError")
async def _invalid_scopes_error(reader: Reader) -> None:
    await reader.run()
    assert reader.output == ["ungranted_scope"]


@prepares("errors.BearerDoesNotExistError")
async def _bearer_does_not_exist_error(reader: Reader) -> None:
    forgotten: list[str] = []
    await reader.run(organization_id=UNKNOWN_ID, forget=forgotten.append)
    assert forgotten == [UNKNOWN_ID]


@prepares("errors.InvalidTokenError")
async def _invalid_token_error(reader: Reader) -> None:
    reasons: list[str] = []
    await reader.run(text="no token", reject=reasons.append)
    assert len(reasons) == 1


@prepares("errors.HubUnavailableError")
async def _hub_unavailable_error(reader: Reader) -> None:
    waits: list[float] = []
    reader.hub.rate_limit("client_credentials", reset_in=100, times=None)
    await reader.run(retry_in=waits.append)
    assert waits == [pytest.approx(100, abs=10)]


@prepares("errors.InvalidResponseError")
async def _invalid_response_error(reader: Reader) -> None:
    token = await reader.token()
    reader.hub.fail("refresh_token", broken_json=True, times=None)
    await reader.run(token=token)
    assert len(reader.output) == 1


@prepares("errors.StoreUnavailableError")
async def _store_unavailable_error(reader: Reader) -> None:
    await reader.token()
    sqlite3.connect("docs.db").execute("DROP TABLE zaikio_access_tokens").connection.close()
    await reader.run()
    (line,) = reader.output
    assert line.startswith("Later: ")


@prepares("errors.DecryptionError")
async def _decryption_error(reader: Reader) -> None:
    token = await reader.token()
    configure(Settings(encryption_keys=[OTHER_KEY]))
    await reader.run()
    assert reader.output == [f"cannot be decrypted: {token.id}"]
