"""One request to the Hub: timeouts, retries, deadline, HTTP 429, and no secret in any error (predecessor's fault 6)."""

from __future__ import annotations

import inspect
import logging
import time
import traceback
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from tests.data import SECRET
from zaikio_oauth import HubUnavailableError, InvalidResponseError
from zaikio_oauth.hub.http import NOT_JSON, HubHttp, RequestKind
from zaikio_oauth.hub.token_endpoint import TokenEndpoint
from zaikio_oauth.settings import ClientSettings

Answer = httpx.Response | Exception
HOST = "http://hub.example"
IDEMPOTENT, REFRESH, CODE = RequestKind.IDEMPOTENT, RequestKind.REFRESH, RequestKind.CODE
CODE_SECRET = "the-secret-authorization-code"


class Wire:
    """A transport that returns the given responses in turn, repeats the last one, and keeps the requests."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.times: list[float] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.times.append(time.monotonic())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


@pytest.fixture
async def hub_of() -> AsyncIterator[Callable[..., HubHttp]]:
    """Yield a function that makes a HubHttp with the given transport."""
    clients: list[httpx.AsyncClient] = []

    def make(wire: Wire) -> HubHttp:
        clients.append(httpx.AsyncClient(transport=httpx.MockTransport(wire)))
        client = clients[-1]
        return HubHttp(HOST, new_client=lambda: client)

    yield make
    for client in clients:
        await client.aclose()


def ok(body: object = None) -> httpx.Response:
    return httpx.Response(200, json=body or {})


async def test_a_request_asks_for_json(hub_of: Callable[..., HubHttp]) -> None:
    """The Hub also supports XML and forms. Every part of the request is as specified."""
    wire = Wire(ok({"a": 1}))
    answer = await hub_of(wire).request("POST", "/x", data={"b": "ä&"}, auth=("id", "s"), kind=IDEMPOTENT)

    (request,) = wire.requests
    assert (answer.status_code, answer.body) == (200, {"a": 1})
    assert (request.method, str(request.url), request.content) == ("POST", f"{HOST}/x", b"b=%C3%A4%26")
    assert request.headers["accept"] == "application/json"
    assert request.headers["authorization"] == "Basic aWQ6cw=="
    assert request.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "failure",
    [httpx.ConnectError("x"), httpx.ConnectTimeout("x"), httpx.PoolTimeout("x"), httpx.Response(429)],
)
async def test_a_request_that_was_not_processed_is_always_retried(
    hub_of: Callable[..., HubHttp], failure: Answer
) -> None:
    """This includes a request with a single-use code."""
    wire = Wire(failure, ok())

    assert (await hub_of(wire).request("POST", "/x", kind=CODE)).status_code == 200
    assert len(wire.requests) == 2


FAILURES = [
    httpx.WriteError("x"),
    httpx.RemoteProtocolError("x"),
    httpx.Response(500),
    httpx.Response(502, content=b"<html>"),
    httpx.Response(503),
]


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("kind", [IDEMPOTENT, REFRESH])
async def test_a_request_is_retried_after_a_failure(
    hub_of: Callable[..., HubHttp], kind: RequestKind, failure: Answer
) -> None:
    """A refresh is, too: the next one would send the same refresh token anyway."""
    wire = Wire(failure, failure, ok())

    assert (await hub_of(wire).request("POST", "/x", kind=kind)).status_code == 200
    assert len(wire.requests) == 3


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_code_that_may_have_been_used_is_not_sent_again(
    hub_of: Callable[..., HubHttp], failure: Answer
) -> None:
    """A code that is sent twice revokes its tokens (RFC 6749 §4.1.2)."""
    wire = Wire(failure, ok())

    with pytest.raises(HubUnavailableError):
        await hub_of(wire).request("POST", "/x", kind=CODE)
    assert len(wire.requests) == 1


@pytest.mark.parametrize("headers", [{"RateLimit-Reset": "1"}, {"Retry-After": "0"}, {"Retry-After": "-5"}])
async def test_a_pause_that_has_passed_already_is_still_a_pause(
    hub_of: Callable[..., HubHttp], headers: dict[str, str]
) -> None:
    """A Hub that asks to slow down must not be asked thousands of times."""
    wire = Wire(httpx.Response(429, headers=headers))

    with pytest.raises(HubUnavailableError):
        await hub_of(wire).request("GET", "/x", within=1.5, kind=IDEMPOTENT)

    assert 2 <= len(wire.requests) < 10


async def test_retries_back_off_and_end_with_the_deadline(hub_of: Callable[..., HubHttp]) -> None:
    """The error says how long the attempts took."""
    wire = Wire(httpx.Response(500))

    with pytest.raises(HubUnavailableError) as caught:
        await hub_of(wire).request("GET", "/x", within=1.5, kind=IDEMPOTENT)

    assert 0.3 < caught.value.elapsed <= 1.5
    assert 2 <= len(wire.requests) < 10
    assert caught.value.reason == "it answered 500"


@pytest.mark.parametrize("kind", [REFRESH, CODE])
async def test_a_single_use_request_is_not_begun_if_its_response_could_not_be_waited_for(
    hub_of: Callable[..., HubHttp], kind: RequestKind
) -> None:
    """The Hub may perform it, and what the code or refresh token was spent for would be lost: ten seconds are left."""
    wire = Wire(httpx.Response(429))

    with pytest.raises(HubUnavailableError) as caught:
        await hub_of(wire).request("POST", "/x", within=11, kind=kind)

    assert caught.value.elapsed < 5
    assert len(wire.requests) >= 2
    # The machine may be late.
    assert wire.times[-1] - wire.times[0] < 2


@pytest.mark.parametrize(
    "headers",
    [
        lambda: {"RateLimit-Reset": str(int(time.time()) + 3)},
        lambda: {"Retry-After": "1"},
        lambda: {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)},
    ],
)
async def test_429_waits_as_long_as_the_hub_asks(
    hub_of: Callable[..., HubHttp], headers: Callable[[], dict[str, str]]
) -> None:
    """The wait must end before the deadline."""
    wire = Wire(httpx.Response(429, headers=headers()), ok())

    assert (await hub_of(wire).request("POST", "/x", kind=CODE)).status_code == 200
    assert 0.5 < wire.times[1] - wire.times[0] < 4.5


async def test_429_beyond_the_deadline_fails_immediately(hub_of: Callable[..., HubHttp]) -> None:
    """The error says when to try again."""
    wire = Wire(httpx.Response(429, headers={"RateLimit-Reset": str(int(time.time()) + 600)}))
    started = time.monotonic()

    with pytest.raises(HubUnavailableError) as caught:
        await hub_of(wire).request("POST", "/x", within=5, kind=IDEMPOTENT)

    assert time.monotonic() - started < 1
    assert len(wire.requests) == 1
    assert 590 < (caught.value.retry_after or 0) <= 600


@pytest.mark.parametrize("value", ["", "soon", "-5", "nan", "99999999999999999999", "\x01"])
async def test_an_invalid_wait_header_has_a_fallback(hub_of: Callable[..., HubHttp], value: str) -> None:
    """The request is repeated after the usual pause, or it fails with a clear error."""
    wire = Wire(httpx.Response(429, headers=[("RateLimit-Reset", value.encode())]), ok())  # type: ignore[list-item]

    try:
        assert (await hub_of(wire).request("POST", "/x", within=5, kind=IDEMPOTENT)).status_code == 200
    except HubUnavailableError as error:
        assert error.retry_after == 3600  # noqa: PT017


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b'{"a": ', b"\xff\xfe", b"[" * 200_000, b'{"a":1}x'],
    ids=lambda content: content[:9].hex(),
)
async def test_a_body_that_is_not_json_is_marked(hub_of: Callable[..., HubHttp], content: bytes) -> None:
    """It does not raise an exception."""
    answer = await hub_of(Wire(httpx.Response(200, content=content))).request("GET", "/x", kind=IDEMPOTENT)

    assert answer.body is NOT_JSON
    assert repr(answer) == "HubResponse(status_code=200)"


async def test_an_endless_response_is_rejected(hub_of: Callable[..., HubHttp]) -> None:
    """The memory that a response can use is limited."""
    with pytest.raises(InvalidResponseError, match="too large"):
        await hub_of(Wire(httpx.Response(200, content=b"x" * 2_000_000))).request("GET", "/x", kind=IDEMPOTENT)


async def test_a_redirect_is_not_followed(hub_of: Callable[..., HubHttp]) -> None:
    """The request contains secrets, so it is not sent to another address."""
    wire = Wire(httpx.Response(302, headers={"Location": "https://evil.example/"}))

    assert (await hub_of(wire).request("POST", "/x", kind=IDEMPOTENT)).status_code == 302
    assert len(wire.requests) == 1


def test_every_error_of_httpx_is_handled() -> None:
    """A new error must not cause HTTP 500, so all of them derive from the classes that we catch."""
    caught = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)
    errors = [
        each
        for _, each in inspect.getmembers(httpx, inspect.isclass)
        if issubclass(each, Exception) and each.__module__ == "httpx"
    ]
    others = {"CookieConflict"}  # It belongs to a cookie jar, which is not read.

    assert len(errors) > 20
    assert [each.__name__ for each in errors if not issubclass(each, caught) and each.__name__ not in others] == []


async def test_no_error_contains_a_secret(hub_of: Callable[..., HubHttp], caplog: pytest.LogCaptureFixture) -> None:
    """This applies to the message, the cause, the traceback and the log."""
    client = ClientSettings.model_validate({"client_id": "id", "client_secret": SECRET})
    refused = httpx.ConnectError("refused", request=httpx.Request("POST", HOST, content=SECRET))
    endpoint = TokenEndpoint(hub_of(Wire(httpx.ReadTimeout("x", request=refused.request))))

    with caplog.at_level(logging.DEBUG), pytest.raises(HubUnavailableError) as caught:
        await endpoint.authorization_code(client, code=CODE_SECRET, redirect_uri=HOST, code_verifier=CODE_SECRET)

    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + caplog.text
    assert caught.value.__cause__ is None
    for secret in (SECRET, CODE_SECRET, "Authorization"):
        assert secret not in shown
