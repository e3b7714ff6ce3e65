"""Everything that takes scopes takes a list, or one text with commas or spaces, and reads it the same way."""

from __future__ import annotations

import inspect
import json
from base64 import b64decode
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI, Security
from starlette.middleware.sessions import SessionMiddleware
from starlette.testclient import TestClient

import zaikio_oauth
import zaikio_oauth.testing
from tests.apps import small_app
from tests.data import ORGANIZATION_ID, PERSON_ID, SECRET, some_access_token, some_client
from tests.inside import parts_of
from zaikio_oauth import BearerToken, ClientSettings, ConfigurationError, Settings, ZaikioAuth, ZaikioOAuth
from zaikio_oauth.testing import HubApp, LocalHub, logged_in_as, session_cookie
from zaikio_oauth.tokens.virtual_token import VirtualGrant

EXPECTED = ("zaikio.sites.r", "zaikio.machines.r")
FORMS: list[Any] = [
    list(EXPECTED),
    tuple(EXPECTED),
    dict.fromkeys(EXPECTED),
    "zaikio.sites.r,zaikio.machines.r",
    "zaikio.sites.r zaikio.machines.r",
    " zaikio.sites.r , zaikio.machines.r,zaikio.sites.r ",
    ["zaikio.sites.r,zaikio.machines.r"],
]

BEARER: dict[str, Any] = {"bearer_type": "Organization", "bearer_id": ORGANIZATION_ID}

Read = Callable[[ZaikioOAuth, LocalHub, str, Any], Awaitable[Any]]
"""Passes the scopes to one public callable and returns the scopes that it has understood."""

READS: dict[str, Read] = {}


def reads(*names: str) -> Callable[[Read], Read]:
    """Say which parameters a function of this module covers."""

    def register(read: Read) -> Read:
        READS.update(dict.fromkeys(names, read))
        return read

    return register


@reads("ZaikioOAuth.with_auth:scopes", "with_auth:scopes")
async def with_auth(zaikio: ZaikioOAuth, hub: LocalHub, hub_url: str, scopes: Any) -> Any:
    async with zaikio.with_auth(**BEARER, scopes=scopes) as token:
        return token.requested_scopes


@reads("ZaikioOAuth.get_access_token:scopes", "get_access_token:scopes")
async def get_access_token(zaikio: ZaikioOAuth, hub: LocalHub, hub_url: str, scopes: Any) -> Any:
    return (await zaikio.get_access_token(**BEARER, scopes=scopes)).requested_scopes


@reads("ZaikioOAuth.find_usable_access_token:requested_scopes", "find_usable_access_token:requested_scopes")
async def find_usable(zaikio: ZaikioOAuth, hub: LocalHub, hub_url: str, scopes: Any) -> Any:
    access_tokens = (await parts_of(zaikio)).access_tokens
    await access_tokens.add(some_access_token(**BEARER, requested_scopes=EXPECTED))
    await access_tokens.add(some_access_token(**BEARER, requested_scopes=EXPECTED[:1]))
    found = await zaikio.find_usable_access_token(**BEARER, requested_scopes=scopes)
    return found and found.requested_scopes


@reads("ZaikioOAuth.delegate:scopes", "delegate:scopes")
async def delegate(zaikio: ZaikioOAuth, hub: LocalHub, hub_url: str, scopes: Any) -> Any:
    parent = await zaikio.get_access_token(**BEARER, scopes=["zaikio.delegations.rw", *EXPECTED])
    return (await zaikio.delegate(parent, client_id="setter-id", scopes=scopes)).requested_scopes


@reads("ZaikioOAuth.start_device_authorization:scopes", "start_device_authorization:scopes")
async def start_device_authorization(zaikio: ZaikioOAuth, hub: LocalHub, hub_url: str, scopes: Any) -> Any:
    device = await zaikio.start_device_authorization(scopes=scopes)
    return device._scopes


@reads("ZaikioAuth:scopes")
async def zaikio_auth(zaikio: ZaikioOAuth, hub: LocalHub, hub_url: str, scopes: Any) -> Any:
    import httpx2

    async with httpx2.AsyncClient(auth=ZaikioAuth(**BEARER, scopes=scopes, zaikio=zaikio)) as client:
        await client.get(f"{hub_url}/api/v1/roles")
    return await find_usable_of(zaikio)


async def find_usable_of(zaikio: ZaikioOAuth) -> Any:
    """Return the scopes of the only token."""
    found = await zaikio.find_usable_access_token(**BEARER)
    return found and found.requested_scopes


@reads("AccessToken.missing_scopes:needed")
async def missing_scopes(zaikio: ZaikioOAuth, hub: LocalHub, hub_url: str, scopes: Any) -> Any:
    return some_access_token(scopes=["zaikio.person.r"]).missing_scopes(scopes)


@reads("BearerToken.missing_scopes:needed", "BearerToken:scopes")
async def bearer_token(zaikio: ZaikioOAuth, hub: LocalHub, hub_url: str, scopes: Any) -> Any:
    token = some_access_token()
    values = {"jti": "1", "subject_type": "Person", "subject_id": "2", "expires_at": token.expires_at}
    if isinstance(scopes, str):
        assert BearerToken(**values, scopes=scopes).missing_scopes(EXPECTED) == ()
    return BearerToken(**values).missing_scopes(scopes)


@reads("AccessToken:scopes", "AccessToken:requested_scopes")
async def access_token(zaikio: ZaikioOAuth, hub: LocalHub, hub_url: str, scopes: Any) -> Any:
    if isinstance(scopes, str):
        token = some_access_token(scopes=scopes, requested_scopes=scopes)
        assert token.scopes == token.requested_scopes == EXPECTED
    return EXPECTED


@reads("ClientSettings:default_scopes", "ClientSettings:organization_scopes")
async def client_settings(zaikio: ZaikioOAuth, hub: LocalHub, hub_url: str, scopes: Any) -> Any:
    listed = list(scopes) if isinstance(scopes, dict) else scopes
    client = ClientSettings(client_id="id", default_scopes=listed, organization_scopes=listed)
    assert client.default_scopes == client.organization_scopes
    return client.default_scopes


@reads("testing.HubApp:desired_scopes")
async def hub_app(zaikio: ZaikioOAuth, hub: LocalHub, hub_url: str, scopes: Any) -> Any:
    return HubApp("setter", "setter-id", desired_scopes=scopes).desired_scopes


@reads("testing.LocalHub.grant:scopes")
async def grant(zaikio: ZaikioOAuth, hub: LocalHub, hub_url: str, scopes: Any) -> Any:
    hub.grant("kiosk-id", "Organization", ORGANIZATION_ID, scopes)
    granted = hub.grants._granted["kiosk-id", "Organization", ORGANIZATION_ID]
    return tuple(sorted(granted, reverse=True))


@reads("testing.logged_in_as:scopes", "testing.session_cookie:scopes")
async def logged_in(zaikio: ZaikioOAuth, hub: LocalHub, hub_url: str, scopes: Any) -> Any:
    app = small_app(zaikio)
    with TestClient(app) as client:
        logged_in_as(client, ORGANIZATION_ID, scopes=scopes)
        ids = [client.cookies["session"], session_cookie(app, ORGANIZATION_ID, scopes=scopes)["value"]]
    shown = [json.loads(b64decode(each.partition(".")[0]))["zaikio_access_token_id"] for each in ids]
    assert shown[0] == shown[1]
    grant = VirtualGrant.parse(shown[0])
    return grant and grant.scopes


def parameters() -> Iterator[str]:
    """Yield every parameter for scopes of everything public: ``ZaikioOAuth.with_auth:scopes``."""
    for module, prefix in [(zaikio_oauth, ""), (zaikio_oauth.testing, "testing.")]:
        for name in module.__all__:
            thing = getattr(module, name)
            yield from (f"{prefix}{name}:{each}" for each in scope_parameters(thing))
            if inspect.isclass(thing):
                for member, method in inspect.getmembers(thing, inspect.isfunction):
                    if not member.startswith("_"):
                        yield from (f"{prefix}{name}.{member}:{each}" for each in scope_parameters(method))


def scope_parameters(thing: Any) -> list[str]:
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        return []
    return [name for name in signature.parameters if name.endswith("scopes") or name == "needed"]


def test_every_parameter_for_scopes_is_tested_here() -> None:
    """A new one has to be added above."""
    made_by_others = {
        "Connection:scopes",
        "DeviceAuthorization:scopes",
        "bearer_token:security_scopes",
        "current_access_token:security_scopes",
        "optional_access_token:security_scopes",
        "testing.LocalHub.granted_part:scopes",
    }
    assert set(parameters()) - made_by_others == set(READS)


@pytest.mark.parametrize("name", sorted(set(READS) - {name for name in READS if name[0].islower() and "." not in name}))
async def test_scopes_are_read_the_same_way_everywhere(
    zaikio: ZaikioOAuth, hub: LocalHub, hub_url: str, name: str
) -> None:
    """A list and every form of text mean the same, and no text is read letter by letter."""
    hub.apps.append(HubApp.for_client("setter", "setter-id", SECRET))
    hub.grant("warehouse-id", "Organization", ORGANIZATION_ID, ["zaikio.delegations.rw", *EXPECTED])
    for form in FORMS:
        if name in ("testing.HubApp:desired_scopes", "testing.LocalHub.grant:scopes") and form in FORMS[5:]:
            continue  # the Hub's own lists are written by hand
        assert await READS[name](zaikio, hub, hub_url, form) == EXPECTED, form


OF_ONE_BEARER = [
    "ZaikioAuth:scopes",
    "ZaikioOAuth.with_auth:scopes",
    "ZaikioOAuth.get_access_token:scopes",
    "ZaikioOAuth.find_usable_access_token:requested_scopes",
    "ZaikioOAuth.delegate:scopes",
]


async def test_a_bearer_prefix_is_understood_or_refused(zaikio: ZaikioOAuth, hub: LocalHub, hub_url: str) -> None:
    """The bearer is named by other arguments, so a prefix may repeat it; another bearer's is not silently replaced."""
    hub.apps.append(HubApp.for_client("setter", "setter-id", SECRET))
    hub.grant("warehouse-id", "Organization", ORGANIZATION_ID, ["zaikio.delegations.rw", *EXPECTED])
    same = ["Org.zaikio.sites.r", f"Org/{ORGANIZATION_ID}.zaikio.machines.r"]
    for name in OF_ONE_BEARER:
        assert await READS[name](zaikio, hub, hub_url, same) == EXPECTED, name
        for other in ("Per.", "Org/another.", "Per/another.", "Per>Org.", f"Per>Org/{ORGANIZATION_ID}.", "Org>Org."):
            refused = rf"'{other}zaikio\.sites\.r' is not one of Organization/{ORGANIZATION_ID}"
            with pytest.raises(ConfigurationError, match=refused):
                await READS[name](zaikio, hub, hub_url, [f"{other}zaikio.sites.r"])


async def test_who_acts_on_behalf_may_say_so(
    make_settings: Callable[..., Settings], zaikio: ZaikioOAuth, hub: LocalHub
) -> None:
    """In a delegation; a worker never acts on behalf of anybody, whatever people are asked for when they log in."""
    hub.apps.append(HubApp.for_client("setter", "setter-id", SECRET))
    hub.device_interval = 1
    scopes = [f"Per>Org/{ORGANIZATION_ID}.{each}" for each in ("zaikio.delegations.rw", *EXPECTED)]
    device = await zaikio.start_device_authorization(scopes=scopes)
    hub.approve_device(device.user_code, PERSON_ID, ORGANIZATION_ID)
    parent = await device.wait()
    part = await zaikio.delegate(parent, client_id="setter-id", scopes="Per>Org.zaikio.sites.r,zaikio.machines.r")
    assert part.requested_scopes == EXPECTED

    client = some_client(default_scopes="Per>Org.zaikio.sites.r")
    async with ZaikioOAuth(make_settings(clients={"warehouse": client})) as other:
        with pytest.raises(ConfigurationError, match="no scopes for a bearer of type Person"):
            await other.get_access_token(bearer_id=PERSON_ID)


def test_a_dependency_does_not_ignore_a_bearer_prefix(zaikio: ZaikioOAuth) -> None:
    """``Org.`` would otherwise let persons in, because a token's scopes do not say whose they are."""
    app = FastAPI()
    app.add_middleware(SessionMiddleware, secret_key="s")
    for dependency in (zaikio.current_access_token, zaikio.optional_access_token, zaikio.bearer_token):
        security = [Security(dependency, scopes=["Org.a.b.r"])]
        app.add_api_route(f"/{type(dependency).__name__}", lambda: "", dependencies=security)
        with pytest.raises(ConfigurationError, match=r"write 'a\.b\.r' instead of 'Org\.a\.b\.r'"):
            TestClient(app).get(f"/{type(dependency).__name__}")


def test_a_person_who_is_logged_in_has_no_scopes_of_an_organization(zaikio: ZaikioOAuth) -> None:
    """Unless they act on its behalf."""
    app = small_app(zaikio)
    with pytest.raises(ConfigurationError, match=f"not one of Person/{PERSON_ID}"):
        session_cookie(app, PERSON_ID, scopes="Org.zaikio.sites.r")
    session_cookie(app, PERSON_ID, scopes="Per.zaikio.sites.r")
    session_cookie(app, PERSON_ID, scopes="Per>Org.zaikio.sites.r", on_behalf_of=ORGANIZATION_ID)


@pytest.mark.parametrize("wrong", [7, b"a.b.r", [7], ["a.b.r", None]])
async def test_what_is_no_scope_is_named(zaikio: ZaikioOAuth, wrong: Any) -> None:
    """It is a programming error."""
    with pytest.raises(TypeError, match="scope"):
        await zaikio.get_access_token(**BEARER, scopes=wrong)
    with pytest.raises(TypeError, match="scope"):
        ZaikioAuth(**BEARER, scopes=wrong)
