"""``bearer_token``: the app's own API, which other Zaikio apps call (RFC 6750)."""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Annotated, Any

import httpx2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import FastAPI, Security, WebSocket
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from tests.data import ORGANIZATION_ID, PERSON_ID, SECRET
from tests.loom import deliver_until_taken
from tests.versions import SCOPES_ARE_NOT_IN_OPENAPI
from zaikio_oauth import (
    BearerToken,
    HubUnavailableError,
    InvalidTokenError,
    OnBehalfOf,
    Settings,
    ZaikioOAuth,
    bearer_token,
    configure,
)
from zaikio_oauth.testing import HubApp, HubServer, LocalHub

KEYS = "/api/v1/jwt_public_keys.json"
CATALOG = "warehouse.catalog.r"


def api(bearer: Any) -> FastAPI:
    """Return an app with an API for other apps and without sessions."""
    app = FastAPI()

    @app.get("/catalog")
    async def catalog(token: Annotated[BearerToken, Security(bearer, scopes=[CATALOG])]) -> BearerToken:
        return token

    @app.get("/anything")
    async def anything(token: Annotated[BearerToken, Security(bearer)]) -> BearerToken:
        return token

    @app.get("/organization")
    async def organization(token: Annotated[BearerToken, Security(bearer.of("Organization"))]) -> str:
        return token.subject_id

    @app.get("/person")
    async def person(token: Annotated[BearerToken, Security(bearer.of("Person"))]) -> str | None:
        return token.person_id

    @app.websocket("/feed")
    async def feed(socket: WebSocket, token: Annotated[BearerToken, Security(bearer, scopes=[CATALOG])]) -> None:
        await socket.accept()
        await socket.send_text(token.subject_id)
        await socket.close()

    return app


class Caller:
    """Another app that calls the API."""

    def __init__(self, app: FastAPI) -> None:
        self.client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://testserver")

    async def get(self, path: str, token: str | None = None, **headers: str) -> httpx2.Response:
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return await self.client.get(path, headers=headers)


@pytest.fixture
def caller(zaikio: ZaikioOAuth) -> Caller:
    return Caller(api(zaikio.bearer_token))


@pytest.fixture
def token(hub: LocalHub, hub_url: str) -> str:
    """Return a valid token."""
    return hub.mint_token("warehouse-id", PERSON_ID, CATALOG, issuer=hub_url)


def claims_of(token: str) -> dict[str, Any]:
    return json.loads(_decoded(token.split(".")[1]))


def _encoded(data: bytes | dict[str, Any]) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Return the part of a JWT that is signed."""
    return f"{_encoded(header)}.{_encoded(claims)}"


def signed_by(key: rsa.RSAPrivateKey, header: dict[str, Any], claims: dict[str, Any], hash_: Any = None) -> str:
    """Return a JWT signed with RS256, made without the library that verifies it."""
    signing_input = unsigned(header, claims)
    signature = key.sign(signing_input.encode(), padding.PKCS1v15(), hash_ or hashes.SHA256())
    return f"{signing_input}.{_encoded(signature)}"


def challenge(answer: httpx2.Response) -> str:
    return answer.headers["www-authenticate"]


# ── accepted tokens ────────────────────────────────────────────────────────────────────────────────


async def test_a_token_of_the_hub_is_accepted(caller: Caller, token: str) -> None:
    """The verified values are available. The token itself is not."""
    answer = await caller.get("/catalog", token)
    claims = claims_of(token)

    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body.pop("expires_at").startswith("20")
    assert body == {
        "jti": claims["jti"],
        "subject_type": "Person",
        "subject_id": PERSON_ID,
        "on_behalf_of": None,
        "audiences": ["warehouse"],
        "scopes": [CATALOG],
    }


async def test_the_module_level_name_uses_the_default_instance(
    make_settings: Callable[..., Settings], token: str
) -> None:
    """This is how the README's example uses it."""
    async with configure(make_settings()):
        answer = await Caller(api(bearer_token)).get("/catalog", token)
    assert answer.status_code == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_is_case_insensitive(caller: Caller, token: str, scheme: str) -> None:
    """The authentication scheme is case-insensitive (RFC 9110 §11.1)."""
    assert (await caller.get("/catalog", Authorization=f"{scheme} {token}")).status_code == 200


async def test_a_person_on_behalf_of_an_organization_has_roles(caller: Caller, hub: LocalHub) -> None:
    """The subject is the organization. The Hub's list of roles is fetched once for many tokens."""
    acting = hub.mint_token("warehouse-id", PERSON_ID, f"Per>Org/{ORGANIZATION_ID}.{CATALOG}")
    for _ in range(3):
        body = (await caller.get("/catalog", acting)).json()

    assert (body["subject_type"], body["subject_id"]) == ("Organization", ORGANIZATION_ID)
    assert body["on_behalf_of"] == {"id": PERSON_ID, "type": "Person", "roles": ["owner", "admin"]}
    assert hub.count(path="/api/v1/roles") == 1


async def test_roles_are_empty_if_they_cannot_be_looked_up(caller: Caller, hub: LocalHub) -> None:
    """The token is still accepted, and has its roles as soon as they can be looked up."""
    hub.fail("/api/v1/roles", status=503, times=None)
    acting = hub.mint_token("warehouse-id", PERSON_ID, f"Per>Org/{ORGANIZATION_ID}.{CATALOG}")
    answer = await caller.get("/catalog", acting)

    assert (answer.status_code, answer.json()["on_behalf_of"]["roles"]) == (200, [])
    hub.clear_faults()
    assert (await caller.get("/catalog", acting)).json()["on_behalf_of"]["roles"] == ["owner", "admin"]


async def test_read_and_write_includes_read(caller: Caller, hub: LocalHub) -> None:
    """A scope with ``rw`` includes the one with ``r``."""
    assert (await caller.get("/catalog", hub.mint_token("warehouse-id", PERSON_ID, "warehouse.catalog.rw"))).is_success


@pytest.mark.parametrize(
    ("audience", "let_in"),
    [
        (["warehouse"], True),
        ("warehouse", True),
        (["someone", "warehouse"], True),
        (["Warehouse"], False),
        (["warehou\u017fe"], False),
        (["warehouse/prod"], False),
        (["kiosk"], True),
        (["someone"], False),
        (["someone/warehouse"], False),
        (["warehouses"], False),
        ([], False),
        (None, False),
        ([["warehouse"]], False),
        ({"warehouse": 1}, False),
    ],
)
async def test_a_token_must_have_one_of_our_audiences(
    caller: Caller, hub: LocalHub, token: str, audience: Any, let_in: bool
) -> None:
    """The audience is the name of one of our clients. Any other token gets HTTP 401 (RFC 7519 §4.1.3)."""
    answer = await caller.get("/anything", hub.grants.keys.sign(claims_of(token) | {"aud": audience}))

    if let_in:
        assert answer.status_code == 200
    else:
        assert (answer.status_code, answer.json()) == (401, {"detail": "The token is for another audience."})


@pytest.mark.parametrize(
    ("accepted", "scope", "let_in"),
    [
        (["partner"], "zaikio.person.r", True),
        (["Partner"], "zaikio.person.r", False),
        (["someone"], CATALOG, False),
        (["*"], CATALOG, True),
        (["*"], f"zaikio.person.r,{CATALOG}", True),
        (["*"], "zaikio.person.r", False),
        (["*"], "warehouses.catalog.r", False),
    ],
)
async def test_other_audiences_can_be_accepted(
    make_settings: Callable[..., Settings], hub: LocalHub, accepted: list[str], scope: str, let_in: bool
) -> None:
    """They are accepted by name, or by ``*`` with a scope of ours. A token without such a scope is rejected."""
    hub.apps.append(HubApp.for_client("partner", "partner-id", "its-secret"))
    foreign = hub.mint_token("partner-id", PERSON_ID, scope)
    async with ZaikioOAuth(make_settings(bearer_audiences=accepted)) as zaikio:
        answer = await Caller(api(zaikio.bearer_token)).get("/anything", foreign)
    assert answer.status_code == (200 if let_in else 401)


# ── rejected tokens ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("authorization", [None, "Basic d2FyZWhvdXNlOnNlY3JldA==", "Digest x=y", "", "Token abc"])
async def test_a_request_without_a_token_gets_a_challenge(caller: Caller, authorization: str | None) -> None:
    """The challenge contains the scope and no error code (RFC 6750 §3.1)."""
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = await caller.get("/catalog", **headers)

    assert answer.status_code == 401
    assert challenge(answer) == f'Bearer realm="Zaikio", scope="{CATALOG}"'


async def test_a_token_in_the_url_is_ignored(caller: Caller, token: str) -> None:
    """URLs are logged (RFC 9700 §2.4)."""
    assert (await caller.get(f"/catalog?access_token={token}")).status_code == 401


async def test_two_tokens_are_an_invalid_request(caller: Caller, token: str) -> None:
    """It would be unclear which token is meant (RFC 6750 §3.1)."""
    answer = await caller.client.get(
        "/catalog", headers=[("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")]
    )
    assert (answer.status_code, 'error="invalid_request"' in challenge(answer)) == (400, True)


async def test_a_missing_scope_gets_403(caller: Caller, hub: LocalHub) -> None:
    """The challenge contains the required scope (RFC 6750 §3.1)."""
    answer = await caller.get("/catalog", hub.mint_token("warehouse-id", PERSON_ID, "warehouse.catalog.w"))

    assert answer.status_code == 403
    assert challenge(answer) == (
        'Bearer realm="Zaikio", error="insufficient_scope", '
        f'error_description="The token does not include the scope {CATALOG}.", scope="{CATALOG}"'
    )


async def test_a_route_can_require_one_type_of_subject(caller: Caller, hub: LocalHub) -> None:
    """The other type gets HTTP 403. A person who acts on behalf of an organization counts as both types."""
    person = hub.mint_token("warehouse-id", PERSON_ID, CATALOG)
    organization = hub.mint_token("warehouse-id", PERSON_ID, f"Org/{ORGANIZATION_ID}.{CATALOG}")
    acting = hub.mint_token("warehouse-id", PERSON_ID, f"Per>Org/{ORGANIZATION_ID}.{CATALOG}")

    got = {
        path: [(await caller.get(path, each)).status_code for each in (person, organization, acting)]
        for path in ("/organization", "/person")
    }
    assert got == {"/organization": [403, 200, 200], "/person": [200, 403, 200]}
    assert (await caller.get("/person", acting)).json() == PERSON_ID
    refused = await caller.get("/organization", person)
    assert 'error="insufficient_scope"' in challenge(refused)
    assert refused.json()["detail"] == "This needs a token of a subject of type Organization, not Person."


ATTACKER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def forgeries(hub: LocalHub, token: str, attacker_url: str) -> dict[str, str]:
    """Return everything that an attacker can make without the Hub's private key, and one token that is signed with it."""
    header = json.loads(_decoded(token.split(".")[0]))
    claims = claims_of(token)
    _, payload, signature = token.split(".")
    public = hub.grants.keys._keys[0].public_key  # type: ignore[attr-defined]
    jwk = hub.grants.keys.published()["keys"][0]
    secrets = {
        "PEM": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "PEM without its last line's end": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).strip(),
        "PKCS1 PEM": public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        "DER": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "modulus": _decoded(jwk["n"]),
        "modulus as text": jwk["n"].encode(),
        "JWK": json.dumps(jwk).encode(),
        "nothing": b"",
    }
    numbers = ATTACKER.public_key().public_numbers()
    attackers_jwk = {
        "kty": "RSA",
        "n": _encoded(numbers.n.to_bytes(256, "big")),
        "e": "AQAB",
        "kid": header["kid"],
    }
    forged = {f"alg {alg}": f"{unsigned(header | {'alg': alg}, claims)}." for alg in ("none", "None", "NONE", "nOnE")}
    forged["alg none with the old signature"] = f"{unsigned(header | {'alg': 'none'}, claims)}.{signature}"
    forged["alg none without a kid"] = f"{unsigned({'alg': 'none'}, claims)}."
    forged["no alg"] = f"{unsigned({'kid': header['kid']}, claims)}.{signature}"
    forged["alg list"] = f"{unsigned(header | {'alg': ['RS256']}, claims)}.{signature}"
    for name, secret in secrets.items():
        for alg, hash_name in (("HS256", "sha256"), ("HS512", "sha512")):
            text = unsigned(header | {"alg": alg}, claims)
            forged[f"{alg} with the public key: {name}"] = (
                f"{text}.{_encoded(hmac.new(secret, text.encode(), hash_name).digest())}"
            )
    forged |= {
        "another key": signed_by(ATTACKER, header, claims),
        "another key without a kid": signed_by(ATTACKER, {"alg": "RS256"}, claims),
        "another key under an unknown kid": signed_by(ATTACKER, header | {"kid": "mine"}, claims),
        "a key in the header": signed_by(ATTACKER, header | {"jwk": attackers_jwk}, claims),
        "a key elsewhere": signed_by(ATTACKER, header | {"jku": f"{attacker_url}{KEYS}"}, claims),
        "a key elsewhere, by claim": signed_by(ATTACKER, header, claims | {"jku": f"{attacker_url}{KEYS}"}),
        "a certificate elsewhere": signed_by(ATTACKER, header | {"x5u": f"{attacker_url}/c.pem"}, claims),
        "a kid that is a path": signed_by(ATTACKER, header | {"kid": "../../dev/null"}, claims),
        "a kid that is an address": signed_by(ATTACKER, header | {"kid": f"{attacker_url}{KEYS}"}, claims),
        "a kid that is a number": signed_by(ATTACKER, header | {"kid": 7}, claims),
        "critical extension": signed_by(ATTACKER, header | {"crit": ["exp"], "exp": 1}, claims),
        "other claims": f"{_encoded(header)}.{_encoded(claims | {'sub': 'Person/mallory'})}.{signature}",
        "other header": f"{_encoded(header | {'typ': 'at+jwt'})}.{payload}.{signature}",
        "no signature": f"{_encoded(header)}.{payload}.",
        "half a signature": token[: -len(signature) // 2],
        "two parts": f"{_encoded(header)}.{payload}",
        "five parts": f"{token}.x.y",
        "JSON serialization": json.dumps(
            {"payload": payload, "signatures": [{"protected": _encoded(header), "signature": signature}]}
        ),
        "a header that is a list": f"{_encoded(b'[]')}.{payload}.{signature}",
        "a header that is no JSON": f"{_encoded(b'{')}.{payload}.{signature}",
        "a deep header": f"{_encoded(b'[' * 9000)}.{payload}.{signature}",
        "nothing": "",
        "a word": "guessed",
        "dots": "..",
        "too long": token + "A" * 20000,
        "two tokens": f"{token} {token}",
        "a comma": f"{token}, {token}",
        # The Hub's own key with another algorithm than the documented one.
        "RS512 by the Hub's key": signed_by(
            hub.grants.keys._keys[0].private_key,  # type: ignore[attr-defined]
            header | {"alg": "RS512"},
            claims,
            hashes.SHA512(),
        ),
    }
    return forged


@pytest.fixture
def attacker() -> Iterator[tuple[LocalHub, str]]:
    """Yield a server of the attacker that offers keys, and its URL."""
    theirs = LocalHub()
    with HubServer(theirs) as server:
        yield theirs, server.url


async def test_each_forged_token_is_rejected(
    caller: Caller, hub: LocalHub, token: str, attacker: tuple[LocalHub, str]
) -> None:
    """Each gets HTTP 401 with ``invalid_token``, and no request is made to the attacker's server."""
    theirs, url = attacker
    let_in = {}
    for name, forged in forgeries(hub, token, url).items():
        answer = await caller.get("/anything", forged)
        if answer.status_code != 401 or 'error="invalid_token"' not in challenge(answer):
            let_in[name] = (answer.status_code, answer.text)
    assert let_in == {}
    assert theirs.requests == []
    assert (await caller.get("/anything", token)).status_code == 200


async def test_a_token_that_is_not_text_is_rejected(caller: Caller) -> None:
    """A header can contain such bytes, but a JWT cannot."""
    answer = await caller.client.get("/anything", headers=[(b"Authorization", b"Bearer \xff\xfe.\xe4.\x80")])
    assert answer.status_code == 401


class FromNow(int):
    """A number of seconds after the start of the test."""


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "ZAI "}, "not issued by Zaikio"),
        ({"iss": None}, "not issued by Zaikio"),
        ({"exp": FromNow(-1)}, "expired"),
        ({"exp": None}, "expired"),
        ({"exp": str(int(time.time()) + 36000)}, "expired"),
        ({"exp": True}, "expired"),
        ({"exp": float("nan")}, "expired"),
        ({"exp": float("inf")}, "expired"),
        ({"exp": 10**30}, "expired"),
        ({"nbf": FromNow(3600)}, "not valid yet"),
        ({"nbf": FromNow(60)}, "not valid yet"),
        ({"nbf": "soon"}, "not valid yet"),
        ({"nbf": True}, "not valid yet"),
        ({"jti": None}, "no id"),
        ({"jti": ""}, "no id"),
        ({"jti": 7}, "no id"),
        ({"jti": "x" * 256}, "no id"),
        ({"jti": "a\0b"}, "no id"),
        ({"jti": "a\r\nb"}, "no id"),
        ({"jti": "jtï"}, "no id"),
        ({"aud": ""}, "malformed"),
        ({"aud": ["warehouse", "x" * 256]}, "malformed"),
        ({"aud": ["warehouse", "a\nb"]}, "malformed"),
        ({"scope": ["a\0b"]}, "malformed"),
        ({"sub": None}, "neither a person nor an organization"),
        ({"sub": PERSON_ID}, "neither a person nor an organization"),
        ({"sub": f"App/{PERSON_ID}"}, "neither a person nor an organization"),
        ({"sub": "Person/"}, "neither a person nor an organization"),
        ({"sub": "Person/a>Person/b"}, "neither a person nor an organization"),
        ({"sub": "Organization/a>Organization/b"}, "neither a person nor an organization"),
        ({"sub": "Person/a>Organization/b>Organization/c"}, "neither a person nor an organization"),
        ({"sub": "Person/a\n"}, "neither a person nor an organization"),
        ({"sub": ["Person/a"]}, "neither a person nor an organization"),
    ],
)
async def test_invalid_claims_are_rejected(
    caller: Caller, hub: LocalHub, token: str, changes: dict[str, Any], reason: str
) -> None:
    """The tokens have a valid signature of the Hub, and the response says which claim is invalid."""
    now = int(time.time())
    claimed = {name: now + value if isinstance(value, FromNow) else value for name, value in changes.items()}
    answer = await caller.get("/anything", hub.grants.keys.sign(claims_of(token) | claimed))

    assert answer.status_code == 401
    assert reason in answer.json()["detail"]
    assert 'error="invalid_token"' in challenge(answer)


@pytest.mark.parametrize("missing", ["iss", "exp", "jti", "sub", "aud"])
async def test_missing_claims_are_rejected(caller: Caller, hub: LocalHub, token: str, missing: str) -> None:
    """The claim ``nbf`` is optional."""
    claims = claims_of(token)
    del claims[missing]
    assert (await caller.get("/anything", hub.grants.keys.sign(claims))).status_code == 401
    del (optional := claims_of(token))["nbf"]
    assert (await caller.get("/anything", hub.grants.keys.sign(optional))).status_code == 200


async def test_claims_that_are_not_an_object_are_rejected(caller: Caller, hub: LocalHub, token: str) -> None:
    """They are rejected even with a valid signature of the Hub."""
    key = hub.grants.keys._keys[0]
    header = {"alg": "RS256", "kid": key.kid}
    for payload in (b"[]", b"7", b"{", b"\xff", b"[" * 9000):
        text = f"{_encoded(header)}.{_encoded(payload)}"
        signature = key.private_key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())  # type: ignore[attr-defined]
        assert (await caller.get("/anything", f"{text}.{_encoded(signature)}")).status_code == 401


async def test_a_small_clock_difference_is_accepted(caller: Caller, hub: LocalHub, token: str) -> None:
    """The Hub's clock may be a few seconds ahead of ours."""
    fresh = hub.grants.keys.sign(claims_of(token) | {"nbf": int(time.time()) + 5})
    assert (await caller.get("/anything", fresh)).status_code == 200


# ── revoked tokens ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("cache_ttl", [0, 60])
async def test_a_revoked_token_is_rejected_immediately(
    make_settings: Callable[..., Settings], hub: LocalHub, token: str, cache_ttl: float
) -> None:
    """Loom's event has an immediate effect, even if the token has just been accepted and cached."""
    client = {"client_id": "warehouse-id", "client_secret": SECRET, "webhook_secret": "loom"}
    settings = make_settings(cache_ttl=cache_ttl, clients={"warehouse": client})
    async with ZaikioOAuth(settings) as zaikio:
        app = api(zaikio.bearer_token)
        app.include_router(zaikio.webhook_router, prefix="/zaikio")
        caller = Caller(app)
        # The first one fetches the keys, the second one is remembered as verified.
        assert {(await caller.get("/catalog", token)).status_code for _ in range(3)} == {200}
        body, headers = hub.webhook_event(claims_of(token)["jti"], "loom")
        assert await deliver_until_taken(caller.client, body, headers) == 200
        # The second time, this is remembered as well.
        answers = [await caller.get("/catalog", token) for _ in range(2)]
    for answer in answers:
        assert (answer.status_code, answer.json()) == (401, {"detail": "The token is revoked."})


async def test_an_accepted_token_is_rejected_when_it_has_expired(caller: Caller, hub: LocalHub) -> None:
    """That it was verified before does not matter."""
    hub.access_token_lifetime = 2
    brief = hub.mint_token("warehouse-id", PERSON_ID, CATALOG)
    statuses = [(await caller.get("/catalog", brief)).status_code for _ in range(2)]
    await asyncio.sleep(2.1)
    answer = await caller.get("/catalog", brief)
    assert (statuses, answer.status_code, answer.json()) == ([200, 200], 401, {"detail": "The token has expired."})


async def test_tokens_on_the_hubs_revocation_list_are_rejected(
    make_settings: Callable[..., Settings], hub: LocalHub, token: str
) -> None:
    """The first request waits for the list."""
    hub.revoke(claims_of(token)["jti"])
    hub.fail("/api/v1/revoked_access_tokens", latency=0.5)
    async with ZaikioOAuth(make_settings()) as zaikio:
        answer = await Caller(api(zaikio.bearer_token)).get("/catalog", token)
    assert (answer.status_code, answer.json()) == (401, {"detail": "The token is revoked."})


async def test_tokens_are_accepted_while_the_list_is_unavailable(
    make_settings: Callable[..., Settings], hub: LocalHub, token: str
) -> None:
    """Known revocations still apply. Loom's events and the next list contain the others."""
    hub.fail("/api/v1/revoked_access_tokens", status=404, body={"errors": ["gone"]}, times=None)
    async with ZaikioOAuth(make_settings()) as zaikio:
        assert (await Caller(api(zaikio.bearer_token)).get("/catalog", token)).status_code == 200


# ── other uses ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_token_from_another_source_can_be_verified(zaikio: ZaikioOAuth, hub: LocalHub, token: str) -> None:
    """A queue's message can contain a token, for example. The errors have our types and do not contain the token."""
    verified = await zaikio.verify_bearer_token(token)
    assert (verified.subject_id, verified.person_id) == (PERSON_ID, PERSON_ID)
    acting = hub.mint_token("warehouse-id", PERSON_ID, f"Per>Org/{ORGANIZATION_ID}.{CATALOG}")
    assert (await zaikio.verify_bearer_token(acting)).on_behalf_of == OnBehalfOf(id=PERSON_ID, roles=("owner", "admin"))
    with pytest.raises(InvalidTokenError) as caught:
        await zaikio.verify_bearer_token(token + "x")
    assert caught.value.code == "invalid_token"
    assert token not in repr(caught.value)


def test_a_websocket_without_a_token_is_closed(
    make_settings: Callable[..., Settings], hub: LocalHub, token: str
) -> None:
    """A WebSocket with a valid token is accepted."""
    with ExitStack() as opened:
        zaikio = ZaikioOAuth(make_settings())
        app = api(zaikio.bearer_token)
        app.include_router(zaikio.webhook_router)
        client = opened.enter_context(TestClient(app))
        with client.websocket_connect("/feed", headers={"Authorization": f"Bearer {token}"}) as socket:
            assert socket.receive_text() == PERSON_ID
        with pytest.raises(WebSocketDisconnect) as refused, client.websocket_connect("/feed"):
            raise AssertionError("unreachable")
    assert refused.value.code == 1008


async def test_the_dependency_appears_in_the_openapi_schema(caller: Caller) -> None:
    """The "Authorize" dialog of Swagger UI accepts a token."""
    described = (await caller.get("/openapi.json")).json()

    assert described["components"]["securitySchemes"]["zaikio_bearer"] == {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token of the Zaikio Hub.",
    }
    scopes = [] if SCOPES_ARE_NOT_IN_OPENAPI else [CATALOG]
    assert described["paths"]["/catalog"]["get"]["security"] == [{"zaikio_bearer": scopes}]


async def test_apps_can_override_the_dependency_in_their_tests(zaikio: ZaikioOAuth) -> None:
    """FastAPI's ``dependency_overrides`` work, also for one type of subject."""
    app = api(zaikio.bearer_token)
    given = BearerToken(jti="1", subject_type="Person", subject_id="anna", expires_at="2030-01-01T00:00:00Z")
    app.dependency_overrides[zaikio.bearer_token] = lambda: given
    app.dependency_overrides[zaikio.bearer_token.of("Person")] = lambda: given
    caller = Caller(app)

    assert (await caller.get("/catalog")).json()["subject_id"] == "anna"
    assert (await caller.get("/person")).json() == "anna"
    assert (await caller.get("/organization")).status_code == 401
    assert zaikio.bearer_token != zaikio.current_access_token


# ── the Hub's keys ─────────────────────────────────────────────────────────────────────────────────


async def test_the_keys_are_fetched_once_for_many_requests(caller: Caller, hub: LocalHub, token: str) -> None:
    """This includes a hundred concurrent requests."""
    answers = await asyncio.gather(*(caller.get("/catalog", token) for _ in range(100)))

    assert {answer.status_code for answer in answers} == {200}
    assert hub.count(path=KEYS) == 1


async def test_requests_get_503_while_the_keys_are_unavailable(caller: Caller, hub: LocalHub, token: str) -> None:
    """The token may be valid, so the caller should try again. The Hub is not asked at each request."""
    hub.fail(KEYS, status=404, body={"errors": ["gone"]}, times=None)
    for _ in range(30):
        answer = await caller.get("/catalog", token)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
        assert "www-authenticate" not in answer.headers
    assert 10 <= hub.count(path=KEYS) <= 12


async def test_requests_succeed_once_the_keys_are_available(caller: Caller, hub: LocalHub, token: str) -> None:
    """The next request fetches the keys again."""
    hub.fail(KEYS, status=404, body={"errors": ["gone"]}, times=1)
    assert (await caller.get("/catalog", token)).status_code == 503
    assert (await caller.get("/catalog", token)).status_code == 200


async def test_a_token_with_an_unknown_key_id_fetches_the_keys(caller: Caller, hub: LocalHub, token: str) -> None:
    """The new key works immediately, and tokens signed with the old keys are still accepted."""
    assert (await caller.get("/catalog", token)).status_code == 200
    for rotation in range(1, 4):
        hub.rotate_signing_key()
        fresh = hub.mint_token("warehouse-id", PERSON_ID, CATALOG)
        answers = await asyncio.gather(*(caller.get("/catalog", each) for each in (fresh, token) * 20))
        assert {answer.status_code for answer in answers} == {200}
        assert hub.count(path=KEYS) == 1 + rotation


async def test_a_token_whose_key_was_withdrawn_is_rejected(
    caller: Caller, hub: LocalHub, hub_url: str, token: str
) -> None:
    """From the moment at which the process has the new keys, even if the token was accepted before."""
    assert (await caller.get("/catalog", token)).status_code == 200
    hub.rotate_signing_key()
    fresh = hub.mint_token("warehouse-id", PERSON_ID, CATALOG)
    kid = json.loads(_decoded(fresh.split(".")[0]))["kid"]
    async with httpx2.AsyncClient() as client:
        published = (await client.get(f"{hub_url}{KEYS}")).json()["keys"]
    left = [key for key in published if key["kid"] == kid]
    hub.fail(KEYS, status=200, body={"keys": left}, times=None)

    assert (await caller.get("/catalog", token)).status_code == 200
    assert (await caller.get("/catalog", fresh)).status_code == 200
    assert (await caller.get("/catalog", token)).status_code == 401
    assert (await caller.get("/catalog", fresh)).status_code == 200


async def test_forged_key_ids_cause_few_requests_to_the_hub(caller: Caller, hub: LocalHub, token: str) -> None:
    """A hundred unknown key ids cause at most 14 requests, and valid tokens are accepted in the meantime."""
    header, claims = {"alg": "RS256"}, claims_of(token)
    for number in range(100):
        forged = signed_by(ATTACKER, header | {"kid": f"unknown-{number}"}, claims)
        assert (await caller.get("/catalog", forged)).status_code == 401
        if number % 10 == 0:
            assert (await caller.get("/catalog", token)).status_code == 200
    assert hub.count(path=KEYS) <= 14


async def test_an_unknown_key_id_gets_503_while_the_keys_are_unavailable(
    caller: Caller, hub: LocalHub, token: str
) -> None:
    """The token may be valid. Tokens with a known key are accepted."""
    assert (await caller.get("/catalog", token)).status_code == 200
    hub.rotate_signing_key()
    hub.fail(KEYS, status=404, body={"errors": ["gone"]}, times=None)
    assert (await caller.get("/catalog", hub.mint_token("warehouse-id", PERSON_ID, CATALOG))).status_code == 503
    assert (await caller.get("/catalog", token)).status_code == 200


def published(key: rsa.RSAPrivateKey, **more: str) -> dict[str, str]:
    """Return a key in the form of a key set."""
    numbers = key.public_key().public_numbers()
    return {"kty": "RSA", "n": _encoded(numbers.n.to_bytes(key.key_size // 8, "big")), "e": "AQAB", **more}


@pytest.mark.parametrize(
    ("size", "more", "let_in"),
    [
        (2048, {"kid": "it"}, True),
        (2048, {"kid": "it", "use": "sig", "alg": "RS256"}, True),
        (2048, {}, True),
        (1024, {"kid": "it"}, False),
        (2048, {"kid": "it", "use": "enc"}, False),
        (2048, {"kid": "it", "alg": "RS512"}, False),
        (2048, {"kid": "another"}, False),
    ],
)
async def test_a_published_key_must_be_suitable(
    caller: Caller, hub: LocalHub, token: str, size: int, more: dict[str, str], let_in: bool
) -> None:
    """It is long enough (RFC 7518 §3.3), for signatures with RS256, and has the key id of the token."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=size)
    keys = [published(key, **more), *hub.grants.keys.published()["keys"]]
    hub.fail(KEYS, body={"keys": keys}, times=None)
    answer = await caller.get("/anything", signed_by(key, {"alg": "RS256", "kid": "it"}, claims_of(token)))
    assert answer.status_code == (200 if let_in else 401)
    assert (await caller.get("/anything", token)).status_code == 200


@pytest.mark.parametrize(
    "fault",
    [
        {"broken_json": True},
        {"body": {}},
        {"body": []},
        {"body": {"keys": "all"}},
        {"body": {"keys": []}},
        {"body": {"keys": [{"kty": "EC", "crv": "P-256", "x": "x", "y": "y"}]}},
        {
            "body": {
                "keys": [
                    {"kty": "oct", "k": "c2VjcmV0"},
                    {"kty": "RSA"},
                    "key",
                    {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
                ]
            }
        },
        {"status": 302, "headers": {"Location": "http://127.0.0.1:1/keys"}},
    ],
)
async def test_an_invalid_key_set_gets_503(
    caller: Caller, zaikio: ZaikioOAuth, hub: LocalHub, token: str, fault: dict[str, Any]
) -> None:
    """An invalid key set is treated like an unavailable one."""
    hub.fail(KEYS, times=None, **fault)

    assert (await caller.get("/catalog", token)).status_code == 503
    with pytest.raises(HubUnavailableError):
        await zaikio.verify_bearer_token(token)
