"""What the Hub has issued, but the database refuses for good, is revoked: nobody would ever hold it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx2
import pytest
from sqlalchemy import text

from tests.apps import small_app
from tests.inside import engine_of
from tests.visitor import Visitor, expiring_token
from zaikio_oauth import Settings, StoreUnavailableError, ZaikioOAuth
from zaikio_oauth.testing import LocalHub


async def refuse(zaikio: ZaikioOAuth, statement: str) -> None:
    """Let SQLite refuse such statements, as a constraint of the operator's own would."""
    trigger = (
        f"CREATE TRIGGER refusal BEFORE {statement} ON zaikio_access_tokens BEGIN SELECT RAISE(ABORT, 'refused'); END"
    )
    async with (await engine_of(zaikio)).begin() as connection:
        await connection.execute(text(trigger))


async def revoked_at(hub_url: str) -> list[str]:
    """Return the ids that the Hub lists as revoked."""
    async with httpx2.AsyncClient() as client:
        return (await client.get(f"{hub_url}/api/v1/revoked_access_tokens")).json()["revoked_token_ids"]


@pytest.mark.parametrize("grant_type", ["authorization_code", "client_credentials"])
async def test_a_new_grant_that_is_refused_is_revoked(
    zaikio: ZaikioOAuth, hub: LocalHub, hub_url: str, grant_type: str
) -> None:
    """A login ends in an error for the person, a job in one of ours, and at the Hub nothing is left."""
    await refuse(zaikio, "INSERT")

    if grant_type == "authorization_code":
        hub.auto_consent(person_id=hub.people[0].id)
        visitor = Visitor(small_app(zaikio))
        await visitor.log_in()
        assert (await visitor.get("/")).json()["error"]["code"] == "temporarily_unavailable"
        await visitor.aclose()
    else:
        hub.grant("warehouse-id", "Organization", hub.organizations[0].id, ["zaikio.organization.r"])
        with pytest.raises(StoreUnavailableError):
            await zaikio.get_access_token(bearer_type="Organization", bearer_id=hub.organizations[0].id)

    assert len(await revoked_at(hub_url)) == 1


async def test_a_refreshed_token_that_is_refused_is_revoked(
    make_settings: Callable[..., Settings], hub: LocalHub, hub_url: str
) -> None:
    """The callers hear of the database, all of them."""
    async with ZaikioOAuth(make_settings(cache_ttl=0)) as zaikio:
        token = await expiring_token(zaikio, hub)
        await refuse(zaikio, "UPDATE")

        refreshed = await asyncio.gather(*(zaikio.refresh(token) for _ in range(3)), return_exceptions=True)

        assert {type(each) for each in refreshed} == {StoreUnavailableError}
        assert len(await revoked_at(hub_url)) == 1
