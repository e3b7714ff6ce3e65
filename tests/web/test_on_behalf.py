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
    """People log in here on behalf of an organization that they pick."""
    client = {
        "client_id": "warehouse-id",
        "client_secret": SECRET,
        "default_scopes": ["Per>Org.zaikio.organization.r"],
        "organization_scopes": ["zaikio.organization.r"],
    }
    async with ZaikioOAuth(make_settings(clients={"warehouse": client})) as opened:
        yield opened


async def stored(zaikio: ZaikioOAuth, visitor: Visitor) -> AccessToken:
    """The session's token, as another process would read it."""
    found = await (await parts_of(zaikio)).access_tokens.get(visitor.session["zaikio_access_token_id"])
    assert found is not None
    return found.access_token


async def test_the_person_logs_in_and_the_organization_is_the_bearer(
    visitor: Visitor, hub: LocalHub, zaikio: ZaikioOAuth
) -> None:
    """With the roles that the person has there, on the token and in the store."""
    hub.auto_consent(PERSON_ID, ORGANIZATION_ID)
    assert query_of(await visitor.start())["scope"] == "Per>Org.zaikio.organization.r"
    await visitor.log_in()

    assert visitor.session["zaikio_person_id"] == PERSON_ID
    token = await stored(zaikio, visitor)
    assert (token.bearer_type, token.bearer_id, token.on_behalf_of) == ("Organization", ORGANIZATION_ID, ACTING)
    assert token.requested_scopes == ("zaikio.organization.r",)
    assert (await zaikio.refresh(token)).on_behalf_of == ACTING
    assert (await stored(zaikio, visitor)).on_behalf_of == ACTING


async def test_it_is_not_the_organizations_own(visitor: Visitor, hub: LocalHub, zaikio: ZaikioOAuth) -> None:
    """A worker asks for that one by client credentials, and is never given a person's."""
    hub.auto_consent(PERSON_ID, ORGANIZATION_ID)
    await visitor.log_in()
    bearer: dict[str, Any] = {"bearer_type": "Organization", "bearer_id": ORGANIZATION_ID}
    assert await zaikio.find_usable_access_token(**bearer) is None
    hub.grant("warehouse-id", "Organization", ORGANIZATION_ID, ["zaikio.organization.r"])
    assert (await zaikio.get_access_token(**bearer)).on_behalf_of is None


def answer(hub: LocalHub, *, told: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """An answer whose JWT alone, or with ``told``, says who acts."""
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
async def test_roles_of_the_jwt_are_read_against_the_hubs_list(
    visitor: Visitor, hub: LocalHub, zaikio: ZaikioOAuth, told: dict[str, Any] | None, expected: OnBehalfOf
) -> None:
    """Where the answer does not tell them."""
    hub.auto_consent(PERSON_ID, ORGANIZATION_ID)
    hub.fail("authorization_code", body=answer(hub, told=told))
    await visitor.log_in()

    assert (await stored(zaikio, visitor)).on_behalf_of == expected
    assert hub.count(path="/api/v1/roles") == (expected == ACTING)


async def test_a_refresh_reads_the_roles_anew(visitor: Visitor, hub: LocalHub, zaikio: ZaikioOAuth) -> None:
    """They may have changed; where they cannot be named, those of before stay."""
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


async def test_a_login_is_not_lost_for_want_of_a_roles_name(
    visitor: Visitor, hub: LocalHub, zaikio: ZaikioOAuth
) -> None:
    """The token is stored, without them."""
    hub.auto_consent(PERSON_ID, ORGANIZATION_ID)
    hub.fail("/api/v1/roles", broken_json=True, times=None)
    hub.fail("authorization_code", body=answer(hub))
    await visitor.log_in()
    assert (await stored(zaikio, visitor)).on_behalf_of == OnBehalfOf(id=PERSON_ID)
