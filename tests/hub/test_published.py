"""The keys and the role names that the Hub publishes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.data import PERSON_ID
from zaikio_oauth.errors import HubUnavailableError, InvalidTokenError
from zaikio_oauth.hub.http import HubHttp
from zaikio_oauth.hub.roles import Roles
from zaikio_oauth.hub.signing_keys import SigningKeys
from zaikio_oauth.settings.retries_and_waits import PUBLISHED_FRESH as FRESH
from zaikio_oauth.settings.retries_and_waits import PUBLISHED_USABLE as USABLE
from zaikio_oauth.testing import LocalHub

KEYS = "/api/v1/jwt_public_keys.json"
DAY = 24 * 3600


class Clock:
    """A clock that the test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def http(hub_url: str) -> AsyncIterator[HubHttp]:
    http = HubHttp(hub_url)
    yield http
    await http.aclose()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def jwks(http: HubHttp, clock: Clock) -> AsyncIterator[SigningKeys]:
    jwks = SigningKeys(http, monotonic=clock)
    yield jwks
    await jwks.aclose()


@pytest.fixture
def token(hub: LocalHub) -> str:
    return hub.mint_token("warehouse-id", PERSON_ID, "zaikio.person.r")


def test_the_keys_are_kept_for_less_than_a_day() -> None:
    """The Hub documentation says: "Do not cache longer than a day"."""
    assert FRESH < USABLE < DAY


async def test_keys_are_kept_for_an_hour(jwks: SigningKeys, clock: Clock, hub: LocalHub, token: str) -> None:
    """After that they are fetched in the background, and callers use the previous keys without waiting."""
    for age in (0, FRESH - 1):
        clock.now = 1000.0 + age
        assert (await jwks.claims(token))["sub"] == f"Person/{PERSON_ID}"
    assert hub.count(path=KEYS) == 1

    hub.fail(KEYS, latency=0.2)
    clock.now += 1
    started = asyncio.get_running_loop().time()
    await jwks.claims(token)
    assert asyncio.get_running_loop().time() - started < 0.1
    await asyncio.sleep(0.4)
    await jwks.claims(token)
    assert hub.count(path=KEYS) == 2


async def test_the_keys_remain_valid_during_a_short_outage(
    jwks: SigningKeys, clock: Clock, hub: LocalHub, token: str
) -> None:
    """After less than a day they are rejected, because a withdrawn key must not be accepted for ever."""
    await jwks.claims(token)
    hub.fail(KEYS, status=404, body={"errors": ["gone"]}, times=None)
    clock.now += USABLE - 1
    await jwks.claims(token)
    await asyncio.sleep(0.1)
    clock.now += 1
    with pytest.raises(HubUnavailableError, match="jwt_public_keys"):
        await jwks.claims(token)


async def test_a_key_that_is_no_longer_published_is_rejected(
    jwks: SigningKeys, clock: Clock, hub: LocalHub, token: str
) -> None:
    """This holds once the keys have been fetched again."""
    await jwks.claims(token)
    hub.rotate_signing_key()
    del hub.grants.keys._keys[1]
    clock.now += USABLE
    with pytest.raises(InvalidTokenError):
        await jwks.claims(token)


async def test_keys_without_an_id_are_tried(jwks: SigningKeys, hub: LocalHub, token: str) -> None:
    """``kid`` is only a hint (RFC 7515 §4.1.4), and the Hub's documentation says to try all published keys."""
    published = hub.grants.keys.published()
    for key in published["keys"]:
        del key["kid"]
    hub.fail(KEYS, body=published)
    assert await jwks.claims(token)


async def test_a_cancelled_caller_does_not_affect_the_others(jwks: SigningKeys, hub: LocalHub, token: str) -> None:
    """The callers share one request."""
    hub.fail(KEYS, latency=0.3)
    first = asyncio.create_task(jwks.claims(token))
    await asyncio.sleep(0.05)
    second = asyncio.create_task(jwks.claims(token))
    await asyncio.sleep(0.05)
    first.cancel()
    assert await second
    assert hub.count(path=KEYS) == 1


async def test_closing_cancels_a_running_request(http: HubHttp, hub: LocalHub, token: str) -> None:
    """A shutdown does not wait for the response, and whoever waits for it is told, not cancelled."""
    jwks = SigningKeys(http)
    await jwks.aclose()
    hub.fail(KEYS, latency=5)
    asking = asyncio.create_task(jwks.claims(token))
    await asyncio.sleep(0.1)
    await jwks.aclose()
    with pytest.raises(HubUnavailableError, match="not fetched"):
        await asking


@pytest.mark.parametrize(
    ("bits", "names"),
    [
        (0b0, ()),
        (0b1, ("owner",)),
        (0b11, ("owner", "admin")),
        (0b100000, ("sales",)),
        (0b111111, ("owner", "admin", "billing", "production", "purchasing", "sales")),
        (0b1000001, ("owner",)),
    ],
)
async def test_the_lowest_bit_is_the_first_role(http: HubHttp, bits: int, names: tuple[str, ...]) -> None:
    """Bits without a role name are ignored."""
    roles = Roles(http)
    assert await roles.named(bits) == names
    await roles.aclose()


async def test_an_unknown_role_fetches_the_list_again(http: HubHttp, hub: LocalHub) -> None:
    """The Hub only appends roles to the list."""
    roles = Roles(http)
    hub.fail("/api/v1/roles", body=["owner"])
    assert await roles.named(0b1) == ("owner",)
    assert await roles.named(0b10) == ("admin",)
    assert hub.count(path="/api/v1/roles") == 2
    await roles.aclose()


@pytest.mark.parametrize("body", [{"roles": []}, "owner", [1], [{"name": "owner"}]])
async def test_an_invalid_list_of_roles_gives_none(http: HubHttp, hub: LocalHub, body: object) -> None:
    """The token can still be used without role names."""
    roles = Roles(http)
    hub.fail("/api/v1/roles", body=body, times=None)
    assert await roles.named(0b1) is None
    await roles.aclose()
