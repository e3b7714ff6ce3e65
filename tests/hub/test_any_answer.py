"""Whatever the Hub answers: an error of ours or a valid value, and never anything else. Property tests (hypothesis)."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jws
from pydantic import BaseModel

from tests.data import KEY, ORGANIZATION_ID, SECRET
from tests.fuzz.budget import Budget
from tests.raw_hub import RawHub, says, with_body
from zaikio_oauth import HubUnavailableError, InvalidResponseError, Settings, ZaikioOAuth, ZaikioOAuthError
from zaikio_oauth.hub.delegation_endpoint import delegate
from zaikio_oauth.hub.device_endpoint import request_device_authorization
from zaikio_oauth.hub.http import HubHttp, HubResponse, RequestKind
from zaikio_oauth.hub.revocation_endpoint import revoke, revoked_token_ids
from zaikio_oauth.hub.roles import Roles
from zaikio_oauth.hub.signing_keys import SigningKeys
from zaikio_oauth.hub.token_endpoint import TokenEndpoint
from zaikio_oauth.hub.token_response import token_response
from zaikio_oauth.settings import ClientSettings
from zaikio_oauth.testing import LocalHub

LONGEST = 16 * 1024
CLIENT = ClientSettings.model_validate({"client_id": "warehouse-id", "client_secret": SECRET})
KEYS = LocalHub().grants.keys
TOKEN = KEYS.sign({"iss": "ZAI"})
(PUBLISHED,) = KEYS.published()["keys"]


def examples(count: int) -> settings:
    """Return settings for so many examples, the same ones each time; in ``make fuzz`` for more, and others."""
    seconds = Budget.from_environment().seconds
    return settings(
        max_examples=count * max(1, int(seconds or 0) // 10),
        deadline=None,
        database=None,
        derandomize=seconds is None,
        suppress_health_check=list(HealthCheck),
    )


# ── what a Hub can say ─────────────────────────────────────────────────────────────────────────────

texts = st.text(st.one_of(st.characters(), st.sampled_from("\ud800\udfff\0\r\n\x1b\u202eſ<>\"',./")), max_size=20)
odd = st.sampled_from(
    [
        10**400,
        -(10**400),
        1e400,
        float("nan"),
        2**63,
        "9" * 5000,
        "x" * 300,
        [[]] * 50,
        "1e400",
        -1,
        "\ud800",
        "a\0b",
        "a\r\nb",
    ]
)
leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts, odd)
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))
MISSING = object()
dates = st.datetimes().map(datetime.isoformat) | st.sampled_from(
    ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-11-24T12:00:00Z"]
)


def object_of(**members: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Return good objects in which at most two members are missing or have any value."""
    changes = st.dictionaries(st.sampled_from(sorted(members)), st.just(MISSING) | odd | leaves | values, max_size=2)
    whole = st.tuples(st.fixed_dictionaries(members), changes).map(lambda pair: pair[0] | pair[1])
    return whole.map(lambda made: {name: value for name, value in made.items() if value is not MISSING})


def jwt_of(claims: Any) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{payload}.c2ln"


subjects = st.sampled_from(["Person/anna", f"Person/anna>Organization/{ORGANIZATION_ID}", "Person/", ">", "a>b/c"])
claims = object_of(
    iss=st.just("ZAI"),
    jti=st.just("the-id"),
    exp=st.integers(1_700_000_000, 4_000_000_000),
    nbf=st.just(1),
    sub=subjects,
    aud=st.sampled_from(["warehouse", ["warehouse"]]),
    scope=st.sampled_from(["a.b.r", ["a.b.r"]]),
    roles=st.integers(0, 63),
)
BEARER = {"type": "Organization", "id": ORGANIZATION_ID}
bearers = object_of(type=st.sampled_from(["Organization", "Person"]), id=st.just(ORGANIZATION_ID), roles=st.just(["a"]))
tokens = object_of(
    access_token=st.just("opaque") | claims.map(jwt_of),
    refresh_token=st.just("next"),
    token_type=st.just("bearer"),
    scope=st.just("zaikio.organization.r"),
    audiences=st.just(["warehouse"]),
    expires_in=st.integers(0, 4000) | dates,
    bearer=st.just(BEARER) | bearers,
    bearer_on_behalf_of=st.none() | bearers,
)
devices = object_of(
    device_code=st.just("d"),
    user_code=st.just("u"),
    verification_uri=st.just("https://hub.example/device"),
    verification_uri_complete=st.just("https://hub.example/device?user_code=u"),
    expires_in=st.integers(1, 900) | dates,
    interval=st.just(5),
)
errors = object_of(error=st.just("invalid_grant"), error_description=st.just("spent"), errors=st.just(["x"]))
keys = object_of(
    kty=st.just("RSA"),
    kid=st.just(PUBLISHED["kid"]),
    n=st.just(PUBLISHED["n"]) | st.sampled_from(["A" * 400, "_" * 400, "é" * 400, "A" * 5000, PUBLISHED["n"] + "A"]),
    e=st.just(PUBLISHED["e"]) | st.sampled_from(["", "AA", "AQ", "Ag", "AQAB" * 5, "!", "é"]),
)
published = st.one_of(
    object_of(keys=st.lists(keys | values, max_size=3)),
    object_of(revoked_token_ids=st.lists(st.just("the-id") | texts | leaves, max_size=5)),
    st.lists(st.just("owner") | texts | leaves, max_size=5),
)
bodies = st.one_of(
    st.binary(max_size=200),
    st.one_of(values, tokens, devices, errors, published).map(lambda value: json.dumps(value).encode()),
    st.sampled_from([b"[" * 100_000, b'{"a":' * 50_000, b'{"expires_in":' + b"9" * 5000 + b"}", b'"\\ud800"']),
)
statuses = st.sampled_from(["200 OK", "201 Created", "302 Found", "400 Bad", "401 No", "404 Not", "422 Un", "499 X"])
headers = st.sampled_from(
    ["", "Content-Encoding: gzip\r\n", "Content-Type: text/html; charset=\xff\r\n", "Set-Cookie: \x01=;;;\xe9\r\n"]
)
responses = st.builds(
    lambda body, status, head: with_body(body, status=status, headers=head), bodies, statuses, headers
)


# ── where it says it ───────────────────────────────────────────────────────────────────────────────


class Wire:
    """A Hub that says what a test puts into ``response``, and the event loop in which it is asked."""

    def __init__(self, runner: asyncio.Runner, raw: RawHub) -> None:
        self.raw, self._runner = raw, runner
        self._http = runner.run(self._opened())

    def outcome(self, response: bytes, call: Callable[[HubHttp], Awaitable[object]]) -> object:
        """Return what the call returned, or the error of ours that it raised."""
        # Closed, so that what is left of a response is not read as the next one.
        self.raw.default = says(response, close=True)
        self.raw.requests.clear()

        async def run() -> object:
            try:
                return await call(self._http)
            except ZaikioOAuthError as error:
                return error

        return self.run(run())

    def close(self) -> None:
        self.run(self._http.aclose())

    async def _opened(self) -> HubHttp:
        return HubHttp(self.raw.url)

    def run(self, call: Any) -> Any:
        return self._runner.run(call)


class UnprintableLines(logging.Handler):
    """The lines in the log that contain a control character."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not record.getMessage().isprintable():
            self.lines.append(record.getMessage())


@pytest.fixture
def wire() -> Iterator[Wire]:
    """Yield that Hub. In its log no line has a control character."""
    log, handler = logging.getLogger("zaikio_oauth"), UnprintableLines()
    log.addHandler(handler)
    with asyncio.Runner() as runner:
        serving = RawHub().serving()
        wire = Wire(runner, runner.run(serving.__aenter__()))
        yield wire
        wire.close()
        runner.run(serving.__aexit__(None, None, None))
    log.removeHandler(handler)
    assert handler.lines == []


def check(value: object) -> None:
    """Fail unless each text of the value can be stored, sent and logged."""
    if isinstance(value, ZaikioOAuthError):
        check(str(value))
    elif isinstance(value, str):
        assert value.isprintable()
        assert len(value) <= LONGEST
        value.encode()
    elif dataclasses.is_dataclass(value):
        for each in dataclasses.fields(value):
            check(getattr(value, each.name))
    elif isinstance(value, BaseModel):
        check(dict(value))
    elif isinstance(value, dict):
        check(list(value.values()))
    elif isinstance(value, list | tuple | frozenset):
        for item in value:
            check(item)


async def with_keys(http: HubHttp) -> object:
    signing_keys = SigningKeys(http)
    try:
        return dict(await signing_keys.claims(TOKEN))
    finally:
        await signing_keys.aclose()


async def with_roles(http: HubHttp) -> object:
    roles = Roles(http)
    try:
        return await roles.named(0b101)
    finally:
        await roles.aclose()


CALLS: dict[str, Callable[[HubHttp], Awaitable[object]]] = {
    "code": lambda http: TokenEndpoint(http).authorization_code(CLIENT, code="c", redirect_uri="r", code_verifier="v"),
    "refresh": lambda http: TokenEndpoint(http).refresh_token(CLIENT, refresh_token="r"),
    "credentials": lambda http: TokenEndpoint(http).client_credentials(CLIENT, scopes=["Org/1.a.b.r"]),
    "device code": lambda http: TokenEndpoint(http).device_code(CLIENT, device_code="d"),
    "device": lambda http: request_device_authorization(http, CLIENT, scopes=["a.b.r"]),
    "delegation": lambda http: delegate(http, token="t", client_id="c", scopes=["a.b.r"]),
    "revocation": lambda http: revoke(http, token="t"),
    "list": revoked_token_ids,
    "keys": with_keys,
    "roles": with_roles,
}


def test_every_call_ends_in_a_valid_value_or_an_error_of_ours(wire: Wire) -> None:
    """That holds for any status, headers and body, at each endpoint. An answer is not asked for a second time."""

    @examples(400)
    @given(name=st.sampled_from(sorted(CALLS)), response=responses)
    def outcome_is_valid(name: str, response: bytes) -> None:
        check(wire.outcome(response, CALLS[name]))
        # Keys and roles are asked for once more if something is missing in them.
        assert 1 <= len(wire.raw.requests) <= (2 if name in ("keys", "roles") else 1)

    outcome_is_valid()


def test_any_token_response_is_a_token_or_an_error_of_ours() -> None:
    """This is the response with the most in it, so it is read more often than can be asked for over a socket."""

    @examples(1500)
    @given(body=tokens)
    def is_read(body: dict[str, Any]) -> None:
        received = HubResponse(200, json.loads(json.dumps(body)), datetime.now(UTC))
        try:
            check(token_response(received))
        except ZaikioOAuthError as error:
            check(error)

    is_read()


def test_any_bytes_are_a_response_or_an_error_of_ours(wire: Wire) -> None:
    """They need not even be HTTP, and the headers that say how long to wait may say anything."""
    lines = st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"").replace(b"\r", b""))
    waits = st.sampled_from([b"RateLimit-Reset", b"Retry-After"])
    slow_down = st.builds(
        lambda name, value: b"HTTP/1.1 429 Slow\r\n" + name + b": " + value + b"\r\nContent-Length: 0\r\n\r\n",
        waits,
        lines | st.floats().map(lambda number: str(number).encode()) | st.integers().map(lambda n: str(n).encode()),
    )
    garbage = st.builds(lambda head, body: head + b"\r\n" + body, lines, st.binary(max_size=100))
    status_lines = lines.map(lambda line: b"HTTP/1.1 2" + line + b"\r\nContent-Length: 0\r\n\r\n")

    @examples(80)
    @given(response=st.one_of(slow_down, garbage, status_lines))
    def outcome_is_ours(response: bytes) -> None:
        outcome = wire.outcome(response, lambda http: http.request("POST", "/x", kind=RequestKind.CODE, within=0.02))
        assert isinstance(outcome, HubResponse | HubUnavailableError | InvalidResponseError)

    outcome_is_ours()


def test_whatever_is_stored_can_be_found_again(wire: Wire, tmp_path: Path) -> None:
    """A token that ``get_access_token`` returns is in the database as it was returned."""
    client = {"client_id": "warehouse-id", "client_secret": SECRET}
    zaikio = ZaikioOAuth(
        Settings(
            host=wire.raw.url,
            database_url=f"sqlite:///{tmp_path}/any.db",
            encryption_keys=[KEY],
            clients={"warehouse": client},
            cache_ttl=0,
        )
    )
    asked = {"bearer_type": "Organization", "bearer_id": ORGANIZATION_ID}

    @examples(100)
    @given(body=tokens)
    def is_stored(body: dict[str, Any]) -> None:
        wire.raw.default = says(with_body(json.dumps(body).encode()))
        number = len(wire.raw.requests)
        try:
            token = wire.run(zaikio.get_access_token(**asked, scopes=[f"a.b{number}.r"]))
        except ZaikioOAuthError as error:
            check(error)
            return
        check(token)
        assert json.loads(token.model_dump_json())["id"] == token.id
        if not token.expired:
            assert wire.run(zaikio.find_active_access_token(token.id, valid_for=0)) == token

    wire.run(zaikio.__aenter__())
    try:
        is_stored()
    finally:
        wire.run(zaikio.__aexit__(None, None, None))


def test_any_claims_are_a_bearer_token_or_an_error_of_ours(wire: Wire, tmp_path: Path) -> None:
    """The signature is the Hub's, so only the content decides."""
    zaikio = ZaikioOAuth(
        Settings(
            host=wire.raw.url,
            database_url=f"sqlite:///{tmp_path}/any.db",
            encryption_keys=[KEY],
            clients={"warehouse": {"client_id": "warehouse-id"}},
        )
    )
    wire.raw.answers["/api/v1/jwt_public_keys.json"] = says(with_body(json.dumps(KEYS.published()).encode()))
    wire.raw.answers["/api/v1/roles"] = says(with_body(b'["owner", "admin"]'))
    payloads = (claims | values).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=50)

    @examples(200)
    @given(payload=payloads)
    def is_ours(payload: bytes) -> None:
        signed = jws.serialize_compact({"alg": "RS256", "kid": PUBLISHED["kid"]}, payload, KEYS._keys[0])
        try:
            check(wire.run(zaikio.verify_bearer_token(signed)))
        except ZaikioOAuthError as error:
            check(error)

    wire.run(zaikio.__aenter__())
    try:
        is_ours()
    finally:
        wire.run(zaikio.__aexit__(None, None, None))
