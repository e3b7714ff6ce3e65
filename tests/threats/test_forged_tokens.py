"""Forged bearer tokens that are not in ``tests/resource_server``: odd shapes, and a flood of them."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hmac
import json
import time
from collections.abc import Callable
from typing import Annotated, Any

import httpx2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from fastapi import FastAPI, Security

from tests.data import PERSON_ID
from zaikio_oauth import BearerToken, Settings, ZaikioOAuth
from zaikio_oauth.testing import HubServer, LocalHub

KEYS = "/api/v1/jwt_public_keys.json"
SCOPE = "warehouse.catalog.r"
BOM = b"\xef\xbb\xbf"
ESCAPED_ALG = '{"alg":"n\\u006fne"}'
HUGE_NUMBER = '{"exp":' + "9" * 9_000 + "}"


@pytest.fixture
def caller(zaikio: ZaikioOAuth) -> httpx2.AsyncClient:
    """Return a client of a small API for other apps."""
    app = FastAPI()

    async def catalog(token: BearerToken) -> BearerToken:
        return token

    catalog.__annotations__["token"] = Annotated[BearerToken, Security(zaikio.bearer_token, scopes=[SCOPE])]
    app.get("/catalog")(catalog)
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://testserver")


@pytest.fixture
def token(hub: LocalHub, hub_url: str) -> str:
    """Return a valid token."""
    return hub.mint_token("warehouse-id", PERSON_ID, SCOPE, issuer=hub_url)


def part(data: bytes | str | dict[str, Any]) -> str:
    """Return one part of a JWT."""
    raw = json.dumps(data).encode() if isinstance(data, dict) else data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """Return what is in one part of a JWT."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def odd_shapes(token: str, public_key: str) -> dict[str, str]:
    """Return tokens whose shape could mislead a parser, without the Hub's private key."""
    header, payload, signature = token.split(".")
    fields = json.loads(decoded(header))
    others = part(json.loads(decoded(payload)) | {"sub": "Person/mallory"})
    kid = fields["kid"]
    twice_first = part(f'{{"alg":"none","alg":"RS256","kid":"{kid}"}}')
    twice_last = part(f'{{"alg":"RS256","alg":"none","kid":"{kid}"}}')
    hs256 = f"{part({'alg': 'HS256', 'kid': kid})}.{others}"
    mac = hmac.new(decoded(public_key), hs256.encode(), "sha256").digest()
    return {
        "alg twice, RS256 last": f"{twice_first}.{others}.{signature}",
        "alg twice, none last": f"{twice_last}.{others}.",
        "an escaped alg": f"{part(ESCAPED_ALG)}.{others}.",
        "alg null": f"{part(fields | {'alg': None})}.{others}.{signature}",
        "an alg with a line end": f"{part(fields | {'alg': 'RS256' + chr(10)})}.{payload}.{signature}",
        "an unencoded payload (RFC 7797)": f"{part(fields | {'b64': False, 'crit': ['b64']})}.{others}.{signature}",
        "an unencoded payload without crit": f"{part(fields | {'b64': False})}.{others}.{signature}",
        "crit that is empty": f"{part(fields | {'crit': []})}.{payload}.{signature}",
        "crit that is text": f"{part(fields | {'crit': 'exp'})}.{payload}.{signature}",
        "nested": f"{part({'alg': 'none', 'cty': 'JWT'})}.{part(token)}.",
        "nested, as RS256": f"{part(fields | {'cty': 'JWT'})}.{part(token)}.{signature}",
        "encrypted (JWE)": ".".join([part({"alg": "dir", "enc": "A256GCM", "kid": kid}), "", part("iv"), payload, signature]),
        "encrypted with a password": ".".join([part({"alg": "PBES2-HS256+A128KW", "p2c": 2**31, "p2s": "x", "enc": "A128GCM"}), part("k"), part("i"), payload, signature]),
        "compressed": f"{part(fields | {'zip': 'DEF'})}.{part(gzip.compress(b' ' * 10**6))}.{signature}",
        "HS256 with the modulus": f"{hs256}.{part(mac)}",
        "psychic signature": f"{part(fields | {'alg': 'ES256'})}.{others}.{part(bytes(64))}",
        "a signature of noughts": f"{header}.{others}.{part(bytes(256))}",
        "a signature of one": f"{header}.{others}.{part(bytes(255) + b'1')}",
        "an empty signature": f"{header}.{others}.",
        "padding": f"{header}=.{payload}==.{signature}",
        "standard base64": token.replace("-", "+").replace("_", "/") + "=",
        "a space inside": f"{header}. {others}.{signature}",
        "a line end inside": f"{header}.{payload[:9]}%0A{payload[9:]}.{signature}",
        "another token's signature": f"{header}.{others}.{signature}",
        "dots": "." * 9_000,
        "a huge header": f"{part(fields | {'x': 'y' * 12_000})}.{payload}.{signature}",
        "a huge header of names": f"{part({str(n): n for n in range(900)} | fields)}.{payload}.{signature}",
        "numbers of thousands of digits": f"{header}.{part(HUGE_NUMBER)}.{signature}",
        "UTF-16": f"{part(json.dumps(fields).encode('utf-16'))}.{payload}.{signature}",
        "a byte order mark": f"{part(BOM + json.dumps(fields).encode())}.{payload}.{signature}",
    }  # fmt: skip


async def test_a_token_of_an_odd_shape_is_rejected(caller: httpx2.AsyncClient, hub: LocalHub, token: str) -> None:
    """Each gets 401 at once, whatever is twice, nested, encrypted, compressed or huge in it."""
    taken = {}
    started = time.monotonic()
    for name, forged in odd_shapes(token, hub.grants.keys.published()["keys"][0]["n"]).items():
        answer = await caller.get("/catalog", headers={"Authorization": f"Bearer {forged}"})
        if answer.status_code != 401:
            taken[name] = answer.text

    assert taken == {}
    assert time.monotonic() - started < 20
    assert (await caller.get("/catalog", headers={"Authorization": f"Bearer {token}"})).status_code == 200


async def test_claims_that_come_twice_have_one_meaning(caller: httpx2.AsyncClient, hub: LocalHub, token: str) -> None:
    """The last one counts (RFC 7519 §4), in every check and in what the app sees."""
    claims = json.loads(decoded(token.split(".")[1]))
    texts = [json.dumps(claims)[:-1] + f', "sub": "Person/{each}"}}' for each in ("anna", "ben")]

    for text, expected in zip(texts, ("anna", "ben"), strict=True):
        keys = hub.grants.keys._keys[0]  # type: ignore[attr-defined]
        signed = signed_text(keys, text)
        answer = await caller.get("/catalog", headers={"Authorization": f"Bearer {signed}"})
        assert answer.json()["subject_id"] == expected


def signed_text(key: Any, claims: str) -> str:
    """Return a JWT of exactly this text, signed with the Hub's key."""
    signed = f"{part({'alg': 'RS256', 'kid': key.kid})}.{part(claims)}"
    return f"{signed}.{part(key.private_key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


async def test_a_flood_of_unknown_keys_stays_with_us(
    caller: httpx2.AsyncClient, hub: LocalHub, token: str, make_settings: Callable[..., Settings]
) -> None:
    """Of 500 tokens with keys of their own, few requests reach the Hub, no task is left, and others are served."""
    good = {"Authorization": f"Bearer {token}"}
    assert (await caller.get("/catalog", headers=good)).status_code == 200
    tasks = len(asyncio.all_tasks())
    _, payload, signature = token.split(".")
    forged = [f"{part({'alg': 'RS256', 'kid': f'mine-{n}'})}.{payload}.{signature}" for n in range(500)]

    statuses = set()
    for ten in range(0, 500, 10):
        requests = [
            caller.get("/catalog", headers={"Authorization": f"Bearer {each}"}) for each in forged[ten : ten + 10]
        ]
        served, *refused = await asyncio.gather(caller.get("/catalog", headers=good), *requests)
        assert served.status_code == 200
        statuses |= {answer.status_code for answer in refused}

    assert statuses == {401}
    # A burst of ten, then one in ten seconds.
    assert hub.count(path=KEYS) <= 14
    assert len(asyncio.all_tasks()) <= tasks + 1


async def test_the_keys_of_another_hub_are_not_ours(
    caller: httpx2.AsyncClient, make_settings: Callable[..., Settings]
) -> None:
    """A token of the staging Hub is no token of the production Hub, whatever it says about itself."""
    with HubServer(other := LocalHub()) as server:
        foreign = other.mint_token(other.apps[0].client_id, other.people[0].id, SCOPE, issuer=server.url)
        answer = await caller.get("/catalog", headers={"Authorization": f"Bearer {foreign}"})
        asked = list(other.requests)

    assert answer.status_code == 401
    assert asked == []
