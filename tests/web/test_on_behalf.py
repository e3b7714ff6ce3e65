"""A person who acts on behalf of an organization: ``Per>Org`` scopes in the redirect flow."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.data import ORGANIZATION_ID, PERSON_ID, SECRET
from tests.inside import parts_of
from tests.visitor import Visitor, query_of
from zaikio_oauth import AccessToken, OnBehalfOf, Settings, ZaikioOAuth
from zaikio_oauth.testing import LocalHub

ACTING = OnBehalfOf(id=PERSON_ID, roles=("owner", "admin"))


@pytest.fixture
async def zaikio(make_settings: Callable[..., Settings]) -> AsyncIterator[ZaikioOAuth]:
    """Yield an instance in which people log in on behalf of an organization that they select."""
    client = {
        "client_id": "warehouse-id",
        "client_secret": SECRET,
        "default_scopes": ["Per>Org.zaikio.organization.r"],
        "organization_scopes": ["zaikio.organization.r"],
    }
    async with ZaikioOAuth(make_settings(clients={"warehouse": client})) as opened:
        yield opened


async def stored(zaikio: ZaikioOAuth, visitor: Visitor) -> AccessToken:
    """Return the session's token as another process would read it from the store."""
    found = await (await parts_of(zaikio)).access_tokens.get(visitor.session["zaikio_access_token_id"])
    assert found is not None
    return found.access_token


async def test_the_person_logs_in_and_the_organization_is_the_bearer(
    visitor: Visitor, hub: LocalHub, zaikio: ZaikioOAuth
) -> None:
    """The token has the person's roles in the organization, after a login, after a refresh and in the store."""
    hub.auto_consent(PERSON_ID, ORGANIZATION_ID)
    assert query_of(await visitor.start())["scope"] == "Per>Org.zaikio.organization.r"
    await visitor.log_in()

    assert visitor.session["zaikio_person_id"] == PERSON_ID
    token = await stored(zaikio, visitor)
    assert (token.bearer_type, token.bearer_id, token.on_behalf_of) == ("Organization", ORGANIZATION_ID, ACTING)
    assert token.requested_scopes == ("zaikio.organization.r",)
    assert (await zaikio.refresh(token)).on_behalf_of == ACTING
    assert (await stored(zaikio, visitor)).on_behalf_of == ACTING


async def test_it_is_not_used_as_the_organizations_own_token(
    visitor: Visitor, hub: LocalHub, zaikio: ZaikioOAuth
) -> None:
    """A worker gets a token by client credentials, and never one with which a person acts."""
    hub.auto_consent(PERSON_ID, ORGANIZATION_ID)
    await visitor.log_in()
    bearer: dict[str, Any] = {"bearer_type": "Organization", "bearer_id": ORGANIZATION_ID}
    assert await zaikio.find_usable_access_token(**bearer) is None
    hub.grant("warehouse-id", "Organization", ORGANIZATION_ID, ["zaikio.organization.r"])
    assert (await zaikio.get_access_token(**bearer)).on_behalf_of is None


def answer(hub: LocalHub, *, told: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return a token response. Who acts is in the JWT and, if ``told`` is given, in the response as well."""
    return {
        "access_token": hub.mint_token("warehouse-id", PERSON_ID, f"Per>Org/{ORGANIZATION_ID}.zaikio.organization.r"),
        "refresh_token": "r",
        "expires_in": 3600,
        "bearer": {"type": "Organization", "id": ORGANIZATION_ID},
        **({"bearer_on_behalf_of": told} if told else {}),
        **more,
    }


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param(None, ACTING, id="only the JWT"),
        pytest.param({"id": PERSON_ID, "type": "Person"}, ACTING, id="the roles only in the JWT"),
        pytest.param({"id": PERSON_ID, "roles": ["sales"]}, OnBehalfOf(id=PERSON_ID, roles=("sales",)), id="told"),
        pytest.param({"id": PERSON_ID, "roles": []}, OnBehalfOf(id=PERSON_ID), id="told that there are none"),
    ],
)
async def test_roles_in_the_jwt_are_looked_up_at_the_hub(
    visitor: Visitor, hub: LocalHub, zaikio: ZaikioOAuth, told: dict[str, Any] | None, expected: OnBehalfOf
) -> None:
    """The Hub's list of roles is used only if the token response does not contain the roles."""
    hub.auto_consent(PERSON_ID, ORGANIZATION_ID)
    hub.fail("authorization_code", body=answer(hub, told=told))
    await visitor.log_in()

    assert (await stored(zaikio, visitor)).on_behalf_of == expected
    assert hub.count(path="/api/v1/roles") == (expected == ACTING)


async def test_a_refresh_updates_the_roles(visitor: Visitor, hub: LocalHub, zaikio: ZaikioOAuth) -> None:
    """If the new roles cannot be looked up, the previous ones are kept."""
    hub.auto_consent(PERSON_ID, ORGANIZATION_ID)
    await visitor.log_in()
    hub.fail("/api/v1/roles", status=404, body={"errors": ["gone"]})
    hub.fail("refresh_token", body=answer(hub))
    token = await zaikio.refresh(await stored(zaikio, visitor))
    assert token.on_behalf_of == ACTING

    person = hub.people[0]
    hub.people[0] = type(person)(
        person.id, person.first_name, person.name, person.email, memberships=((ORGANIZATION_ID, ("sales",)),)
    )
    hub.fail("refresh_token", body=answer(hub))
    token = await zaikio.refresh(token)
    assert token.on_behalf_of == OnBehalfOf(id=PERSON_ID, roles=("sales",))
    assert (await stored(zaikio, visitor)).on_behalf_of == token.on_behalf_of


async def test_a_login_succeeds_when_the_roles_cannot_be_looked_up(
    visitor: Visitor, hub: LocalHub, zaikio: ZaikioOAuth
) -> None:
    """The token is stored without roles."""
    hub.auto_consent(PERSON_ID, ORGANIZATION_ID)
    hub.fail("/api/v1/roles", broken_json=True, times=None)
    hub.fail("authorization_code", body=answer(hub))
    await visitor.log_in()
    assert (await stored(zaikio, visitor)).on_behalf_of == OnBehalfOf(id=PERSON_ID)
