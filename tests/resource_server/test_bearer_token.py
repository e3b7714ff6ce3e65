"""``bearer_token``: an API of the app's own, which other Zaikio apps call (RFC 6750)."""

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
    """An app with an API for other apps, and no sessions."""
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
    """Another app, which calls."""

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
    """A good one."""
    return hub.mint_token("warehouse-id", PERSON_ID, CATALOG, issuer=hub_url)


def claims_of(token: str) -> dict[str, Any]:
    return json.loads(_decoded(token.split(".")[1]))


def _encoded(data: bytes | dict[str, Any]) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """The part of a JWT that is signed."""
    return f"{_encoded(header)}.{_encoded(claims)}"


def signed_by(key: rsa.RSAPrivateKey, header: dict[str, Any], claims: dict[str, Any], hash_: Any = None) -> str:
    """RS256, without the library that verifies it."""
    signing_input = unsigned(header, claims)
    signature = key.sign(signing_input.encode(), padding.PKCS1v15(), hash_ or hashes.SHA256())
    return f"{signing_input}.{_encoded(signature)}"


def challenge(answer: httpx2.Response) -> str:
    return answer.headers["www-authenticate"]


# ── what is let in ─────────────────────────────────────────────────────────────────────────────────


async def test_a_token_of_the_hub_is_let_in(caller: Caller, token: str) -> None:
    """With everything that the contract promises, verified; the token itself is not among it."""
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


async def test_the_module_level_name_follows_the_default_object(
    make_settings: Callable[..., Settings], token: str
) -> None:
    """As the ten lines of the read-me use it."""
    async with configure(make_settings()):
        answer = await Caller(api(bearer_token)).get("/catalog", token)
    assert answer.status_code == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_may_be_written_as_one_likes(caller: Caller, token: str, scheme: str) -> None:
    """RFC 9110 §11.1."""
    assert (await caller.get("/catalog", Authorization=f"{scheme} {token}")).status_code == 200


async def test_a_person_on_behalf_of_an_organization_has_named_roles(caller: Caller, hub: LocalHub) -> None:
    """The subject is the organization; the bit field is read against the Hub's list, once for many tokens."""
    acting = hub.mint_token("warehouse-id", PERSON_ID, f"Per>Org/{ORGANIZATION_ID}.{CATALOG}")
    for _ in range(3):
        body = (await caller.get("/catalog", acting)).json()

    assert (body["subject_type"], body["subject_id"]) == ("Organization", ORGANIZATION_ID)
    assert body["on_behalf_of"] == {"id": PERSON_ID, "type": "Person", "roles": ["owner", "admin"]}
    assert hub.count(path="/api/v1/roles") == 1


async def test_roles_that_cannot_be_named_permit_nothing(caller: Caller, hub: LocalHub) -> None:
    """The token is good all the same."""
    hub.fail("/api/v1/roles", status=503, times=None)
    acting = hub.mint_token("warehouse-id", PERSON_ID, f"Per>Org/{ORGANIZATION_ID}.{CATALOG}")
    answer = await caller.get("/catalog", acting)

    assert (answer.status_code, answer.json()["on_behalf_of"]["roles"]) == (200, [])


async def test_read_and_write_includes_read(caller: Caller, hub: LocalHub) -> None:
    """As everywhere else."""
    assert (await caller.get("/catalog", hub.mint_token("warehouse-id", PERSON_ID, "warehouse.catalog.rw"))).is_success


@pytest.mark.parametrize(
    ("audience", "let_in"),
    [
        (["warehouse"], True),
        ("warehouse", True),
        (["someone", "warehouse"], True),
        (["Warehouse"], True),
        (["warehouse/prod"], True),
        (["kiosk"], True),
        (["someone"], False),
        (["someone/warehouse"], False),
        (["warehouses"], False),
        ([], False),
        (None, False),
        ("", False),
        ([["warehouse"]], False),
        ({"warehouse": 1}, False),
    ],
)
async def test_a_token_is_for_us_when_its_audience_says_so(
    caller: Caller, hub: LocalHub, token: str, audience: Any, let_in: bool
) -> None:
    """Any of our clients' names; else 401, however good the signature is (RFC 7519 §4.1.3)."""
    answer = await caller.get("/anything", hub.grants.keys.sign(claims_of(token) | {"aud": audience}))

    if let_in:
        assert answer.status_code == 200
    else:
        assert (answer.status_code, answer.json()) == (401, {"detail": "The token is for another audience."})


@pytest.mark.parametrize(
    ("accepted", "scope", "let_in"),
    [
        (["partner"], "zaikio.person.r", True),
        (["someone"], CATALOG, False),
        (["*"], CATALOG, True),
        (["*"], f"zaikio.person.r,{CATALOG}", True),
        (["*"], "zaikio.person.r", False),
        (["*"], "warehouses.catalog.r", False),
    ],
)
async def test_other_apps_may_be_let_in_on_purpose(
    make_settings: Callable[..., Settings], hub: LocalHub, accepted: list[str], scope: str, let_in: bool
) -> None:
    """By name, or all that hold a scope of ours; never one that was given its token for something else."""
    hub.apps.append(HubApp.for_client("partner", "partner-id", "its-secret"))
    foreign = hub.mint_token("partner-id", PERSON_ID, scope)
    async with ZaikioOAuth(make_settings(bearer_audiences=accepted)) as zaikio:
        answer = await Caller(api(zaikio.bearer_token)).get("/anything", foreign)
    assert answer.status_code == (200 if let_in else 401)


# ── what is not let in ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("authorization", [None, "Basic d2FyZWhvdXNlOnNlY3JldA==", "Digest x=y", "", "Token abc"])
async def test_who_shows_no_token_is_told_which_to_bring(caller: Caller, authorization: str | None) -> None:
    """RFC 6750 §3.1: no error code then, but the scope."""
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = await caller.get("/catalog", **headers)

    assert answer.status_code == 401
    assert challenge(answer) == f'Bearer realm="Zaikio", scope="{CATALOG}"'


async def test_a_token_in_the_address_or_a_form_is_not_looked_at(caller: Caller, token: str) -> None:
    """RFC 9700 §2.4: it ends in logs."""
    assert (await caller.get(f"/catalog?access_token={token}")).status_code == 401


async def test_two_tokens_are_none(caller: Caller, token: str) -> None:
    """RFC 6750 §3.1, invalid_request: nobody can know which one was meant."""
    answer = await caller.client.get(
        "/catalog", headers=[("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")]
    )
    assert (answer.status_code, 'error="invalid_request"' in challenge(answer)) == (400, True)


async def test_a_missing_scope_is_403(caller: Caller, hub: LocalHub) -> None:
    """RFC 6750 §3.1, with the scope that is needed."""
    answer = await caller.get("/catalog", hub.mint_token("warehouse-id", PERSON_ID, "warehouse.catalog.w"))

    assert answer.status_code == 403
    assert challenge(answer) == (
        'Bearer realm="Zaikio", error="insufficient_scope", '
        f'error_description="The token does not include the scope {CATALOG}.", scope="{CATALOG}"'
    )


async def test_a_route_may_be_for_one_type_of_subject(caller: Caller, hub: LocalHub) -> None:
    """403 for the other one; who acts on behalf of an organization is both."""
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
    """Everything that an attacker can make without the Hub's private key, and one thing with it."""
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
        # The Hub's own key, but not the algorithm that it promises.
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
    """A server of the attacker's, with keys to offer."""
    theirs = LocalHub()
    with HubServer(theirs) as server:
        yield theirs, server.url


async def test_each_forgery_is_refused(
    caller: Caller, hub: LocalHub, token: str, attacker: tuple[LocalHub, str]
) -> None:
    """One by one: 401 invalid_token; and nobody asks the attacker's server for a key."""
    theirs, url = attacker
    let_in = {}
    for name, forged in forgeries(hub, token, url).items():
        answer = await caller.get("/anything", forged)
        if answer.status_code != 401 or 'error="invalid_token"' not in challenge(answer):
            let_in[name] = (answer.status_code, answer.text)
    assert let_in == {}
    assert theirs.requests == []
    assert (await caller.get("/anything", token)).status_code == 200


async def test_bytes_that_are_no_text_are_refused(caller: Caller) -> None:
    """What a header can carry, and a JWT cannot."""
    answer = await caller.client.get("/anything", headers=[(b"Authorization", b"Bearer \xff\xfe.\xe4.\x80")])
    assert answer.status_code == 401


class FromNow(int):
    """So many seconds after the test has begun."""


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
async def test_claims_that_will_not_do_are_refused(
    caller: Caller, hub: LocalHub, token: str, changes: dict[str, Any], reason: str
) -> None:
    """Though the Hub has signed them; with what is wrong."""
    now = int(time.time())
    claimed = {name: now + value if isinstance(value, FromNow) else value for name, value in changes.items()}
    answer = await caller.get("/anything", hub.grants.keys.sign(claims_of(token) | claimed))

    assert answer.status_code == 401
    assert reason in answer.json()["detail"]
    assert 'error="invalid_token"' in challenge(answer)


@pytest.mark.parametrize("missing", ["iss", "exp", "jti", "sub", "aud"])
async def test_claims_that_are_missing_are_refused(caller: Caller, hub: LocalHub, token: str, missing: str) -> None:
    """``nbf`` and ``roles`` may be."""
    claims = claims_of(token)
    del claims[missing]
    assert (await caller.get("/anything", hub.grants.keys.sign(claims))).status_code == 401
    del (optional := claims_of(token))["nbf"]
    assert (await caller.get("/anything", hub.grants.keys.sign(optional))).status_code == 200


async def test_claims_that_are_no_object_are_refused(caller: Caller, hub: LocalHub, token: str) -> None:
    """Signed by the Hub or not."""
    key = hub.grants.keys._keys[0]
    header = {"alg": "RS256", "kid": key.kid}
    for payload in (b"[]", b"7", b"{", b"\xff", b"[" * 9000):
        text = f"{_encoded(header)}.{_encoded(payload)}"
        signature = key.private_key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())  # type: ignore[attr-defined]
        assert (await caller.get("/anything", f"{text}.{_encoded(signature)}")).status_code == 401


async def test_a_clock_that_runs_ahead_a_little_is_forgiven(caller: Caller, hub: LocalHub, token: str) -> None:
    """The Hub's may be a few seconds ahead of ours."""
    fresh = hub.grants.keys.sign(claims_of(token) | {"nbf": int(time.time()) + 5})
    assert (await caller.get("/anything", fresh)).status_code == 200


# ── revoked ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("cache_ttl", [0, 60])
async def test_a_revoked_token_is_refused_at_once(
    make_settings: Callable[..., Settings], hub: LocalHub, token: str, cache_ttl: float
) -> None:
    """By Loom's event, though it was let in, and remembered, a moment ago."""
    client = {"client_id": "warehouse-id", "client_secret": SECRET, "webhook_secret": "loom"}
    settings = make_settings(cache_ttl=cache_ttl, clients={"warehouse": client})
    async with ZaikioOAuth(settings) as zaikio:
        app = api(zaikio.bearer_token)
        app.include_router(zaikio.webhook_router, prefix="/zaikio")
        caller = Caller(app)
        assert (await caller.get("/catalog", token)).status_code == 200
        body, headers = hub.webhook_event(claims_of(token)["jti"], "loom")
        assert (await caller.client.post("/zaikio/webhook", content=body, headers=headers)).status_code == 200
        answer = await caller.get("/catalog", token)
    assert (answer.status_code, answer.json()) == (401, {"detail": "The token is revoked."})


async def test_the_hubs_list_of_revoked_tokens_counts(
    make_settings: Callable[..., Settings], hub: LocalHub, token: str
) -> None:
    """From the very first request on, however long the list takes."""
    hub.revoke(claims_of(token)["jti"])
    hub.fail("/api/v1/revoked_access_tokens", latency=0.5)
    async with ZaikioOAuth(make_settings()) as zaikio:
        answer = await Caller(api(zaikio.bearer_token)).get("/catalog", token)
    assert (answer.status_code, answer.json()) == (401, {"detail": "The token is revoked."})


async def test_a_list_that_is_down_does_not_shut_everybody_out(
    make_settings: Callable[..., Settings], hub: LocalHub, token: str
) -> None:
    """What is known counts; Loom's events and the next list tell the rest."""
    hub.fail("/api/v1/revoked_access_tokens", status=404, body={"errors": ["gone"]}, times=None)
    async with ZaikioOAuth(make_settings()) as zaikio:
        assert (await Caller(api(zaikio.bearer_token)).get("/catalog", token)).status_code == 200


# ── elsewhere ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_token_that_comes_another_way_is_verified_as_well(
    zaikio: ZaikioOAuth, hub: LocalHub, token: str
) -> None:
    """A message of a queue, for instance; errors are of our kind and do not show the token."""
    verified = await zaikio.verify_bearer_token(token)
    assert (verified.subject_id, verified.person_id) == (PERSON_ID, PERSON_ID)
    acting = hub.mint_token("warehouse-id", PERSON_ID, f"Per>Org/{ORGANIZATION_ID}.{CATALOG}")
    assert (await zaikio.verify_bearer_token(acting)).on_behalf_of == OnBehalfOf(id=PERSON_ID, roles=("owner", "admin"))
    with pytest.raises(InvalidTokenError) as caught:
        await zaikio.verify_bearer_token(token + "x")
    assert caught.value.code == "invalid_token"
    assert token not in repr(caught.value)


def test_a_websocket_without_a_token_is_not_opened(
    make_settings: Callable[..., Settings], hub: LocalHub, token: str
) -> None:
    """And one with a token is."""
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


async def test_the_openapi_page_knows_it(caller: Caller) -> None:
    """Swagger's "Authorize" takes a token."""
    described = (await caller.get("/openapi.json")).json()

    assert described["components"]["securitySchemes"]["zaikio_bearer"] == {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token of the Zaikio Hub.",
    }
    assert described["paths"]["/catalog"]["get"]["security"] == [{"zaikio_bearer": [CATALOG]}]


async def test_apps_may_replace_it_in_their_own_tests(zaikio: ZaikioOAuth) -> None:
    """FastAPI's way; also where it is for one type of subject."""
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


async def test_the_keys_are_fetched_once_for_many(caller: Caller, hub: LocalHub, token: str) -> None:
    """Also when a hundred callers come at the same moment."""
    answers = await asyncio.gather(*(caller.get("/catalog", token) for _ in range(100)))

    assert {answer.status_code for answer in answers} == {200}
    assert hub.count(path=KEYS) == 1


async def test_keys_that_are_down_let_nobody_in(caller: Caller, hub: LocalHub, token: str) -> None:
    """503: the token may be good, so its caller shall come back. And the Hub is not asked at each request."""
    hub.fail(KEYS, status=404, body={"errors": ["gone"]}, times=None)
    for _ in range(30):
        answer = await caller.get("/catalog", token)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
        assert "www-authenticate" not in answer.headers
    assert 10 <= hub.count(path=KEYS) <= 12


async def test_keys_that_are_back_let_everybody_in_again(caller: Caller, hub: LocalHub, token: str) -> None:
    """At the next request."""
    hub.fail(KEYS, status=404, body={"errors": ["gone"]}, times=1)
    assert (await caller.get("/catalog", token)).status_code == 503
    assert (await caller.get("/catalog", token)).status_code == 200


async def test_a_new_key_is_found_by_its_unknown_id(caller: Caller, hub: LocalHub, token: str) -> None:
    """At once, while tokens of the old one are still good: several keys count at the same time."""
    assert (await caller.get("/catalog", token)).status_code == 200
    for rotation in range(1, 4):
        hub.rotate_signing_key()
        fresh = hub.mint_token("warehouse-id", PERSON_ID, CATALOG)
        answers = await asyncio.gather(*(caller.get("/catalog", each) for each in (fresh, token) * 20))
        assert {answer.status_code for answer in answers} == {200}
        assert hub.count(path=KEYS) == 1 + rotation


async def test_strangers_do_not_make_us_ask_the_hub(caller: Caller, hub: LocalHub, token: str) -> None:
    """A thousand unknown keys are a dozen requests, and good tokens are let in meanwhile."""
    header, claims = {"alg": "RS256"}, claims_of(token)
    for number in range(100):
        forged = signed_by(ATTACKER, header | {"kid": f"unknown-{number}"}, claims)
        assert (await caller.get("/catalog", forged)).status_code == 401
        if number % 10 == 0:
            assert (await caller.get("/catalog", token)).status_code == 200
    assert hub.count(path=KEYS) <= 14


async def test_a_key_that_cannot_be_looked_up_is_no_reason_to_refuse(caller: Caller, hub: LocalHub, token: str) -> None:
    """The token may be good, so 503; those under known keys are let in."""
    assert (await caller.get("/catalog", token)).status_code == 200
    hub.rotate_signing_key()
    hub.fail(KEYS, status=404, body={"errors": ["gone"]}, times=None)
    assert (await caller.get("/catalog", hub.mint_token("warehouse-id", PERSON_ID, CATALOG))).status_code == 503
    assert (await caller.get("/catalog", token)).status_code == 200


def published(key: rsa.RSAPrivateKey, **more: str) -> dict[str, str]:
    """A key as a set has it."""
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
async def test_a_published_key_has_to_be_one_for_this(
    caller: Caller, hub: LocalHub, token: str, size: int, more: dict[str, str], let_in: bool
) -> None:
    """Long enough (RFC 7518 §3.3), for signatures, for RS256, and the one that the token names."""
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
async def test_a_key_set_that_is_none_lets_nobody_in(
    caller: Caller, zaikio: ZaikioOAuth, hub: LocalHub, token: str, fault: dict[str, Any]
) -> None:
    """As if it were down."""
    hub.fail(KEYS, times=None, **fault)

    assert (await caller.get("/catalog", token)).status_code == 503
    with pytest.raises(HubUnavailableError):
        await zaikio.verify_bearer_token(token)
