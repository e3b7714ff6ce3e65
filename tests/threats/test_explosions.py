"""Small inputs that are meant to cost much: regular expressions that backtrack, JSON that is deep, bodies that unfold."""

from __future__ import annotations

import ast
import gzip
import hmac
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests.data import ORGANIZATION_ID, some_client
from tests.visitor import Visitor
from zaikio_oauth import Settings, ZaikioOAuth, ZaikioOAuthError
from zaikio_oauth.testing import LocalHub

SOURCE = Path(__file__).parents[2] / "src"
RE_FUNCTIONS = {"compile", "match", "search", "fullmatch", "sub", "subn", "split", "findall", "finditer"}


def expressions() -> Iterator[tuple[str, re.Pattern[str], set[str]]]:
    """Yield the place of every regular expression in the source, itself, and the methods by which it is used."""
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text()
        names = dict(re.findall(r"^(\w+)(?:: Final)? = re\.compile\(()", text, re.MULTILINE))
        lines = text.splitlines()
        for node in ast.walk(ast.parse(text)):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if ast.unparse(node.func.value) == "re" and node.func.attr in RE_FUNCTIONS:
                flags = re.ASCII if "re.ASCII" in ast.unparse(node) else 0
                name = lines[node.lineno - 1].partition(" = ")[0].removesuffix(": Final")
                used = set(re.findall(rf"\b{name}\.(\w+)\(", text)) if name in names else {node.func.attr}
                yield (
                    f"{path.relative_to(SOURCE)}:{node.lineno}",
                    re.compile(ast.literal_eval(node.args[0]), flags),
                    used,
                )


EXPRESSIONS = list(expressions())


def pumps(pattern: str) -> set[str]:
    """Return what to repeat: the words and characters of the expression itself, and some of each class."""
    words = re.findall(r"[A-Za-z]{2,}|[^A-Za-z\\\s]", pattern)
    return {
        *words,
        *"aZ09_-./>,{}[]()\"'\\ \t\n\x00é",
        "a.",
        "/a",
        "{a",
        ",a",
        " ,",
        "[a]",
        "Org/a>",
        "Per>Org",
        'field "',
    }


def seconds(expression: re.Pattern[str], used: set[str], text: str) -> float:
    """Return how long the expression takes for the text, used as it is: the best of three."""
    best = 9.0
    for _ in range(3):
        started = time.perf_counter()
        for method in used:
            if method in ("sub", "subn"):
                expression.sub("", text)
            else:
                getattr(expression, method)(text)
        best = min(best, time.perf_counter() - started)
    return best


def test_every_expression_is_found() -> None:
    """The test below looks at all of them."""
    texts = [path.read_text() for path in SOURCE.rglob("*.py")]
    assert len(EXPRESSIONS) == sum(
        len(re.findall(r"\bre\.(?:compile|match|search|fullmatch|subn?|split|find)", text)) for text in texts
    )
    assert len(EXPRESSIONS) >= 8


@pytest.mark.parametrize(("place", "expression", "used"), EXPRESSIONS, ids=[place for place, *_ in EXPRESSIONS])
def test_no_expression_explodes(place: str, expression: re.Pattern[str], used: set[str]) -> None:
    """Eight times the input takes about eight times as long, not 64 times: whatever is repeated, and however it ends."""
    assert used <= RE_FUNCTIONS - {"compile"}
    assert used
    grown = {}
    for pump in sorted(pumps(expression.pattern)):
        for start in ("", pump[:1], 'field "', "Org/", "{", "person["):
            short, long = (start + pump * (count // len(pump)) + "\x00!" for count in (1_000, 8_000))
            # Times below a millisecond say nothing.
            took = seconds(expression, used, long)
            if took > 0.001 and took > 30 * max(seconds(expression, used, short), 0.0001):
                grown[start + pump] = took
    assert grown == {}


def bombs(size: int) -> dict[str, bytes]:
    """Return JSON of about this many bytes that costs a careless reader much more."""
    half = size // 2
    return {
        "arrays": b"[" * half + b"]" * half,
        "objects": b'{"a":' * (size // 6) + b"1" + b"}" * (size // 6),
        "open arrays": b"[" * size,
        "a number": b'{"expires_in": ' + b"9" * size + b"}",
        "an exponent": b'{"expires_in": 1e' + b"9" * 9 + b"}",
        "a fraction": b'{"expires_in": 0.' + b"0" * size + b"1}",
        "names": json.dumps({f"name-{number}": number for number in range(size // 20)}).encode(),
        "one name often": b'{"access_token": [' + b'{"a": 1},' * (size // 9) + b"1]}",
        "escapes": b'{"access_token": "' + b"\\u0000" * (size // 6) + b'"}',
        "surrogates": b'{"access_token": "' + b"\\ud800" * (size // 6) + b'"}',
        "bytes": b"\xff" * size,
        "no numbers": b'{"expires_in": [NaN, Infinity, -Infinity]}',
    }


@pytest.fixture
async def zaikio(make_settings: Callable[..., Settings]) -> AsyncIterator[ZaikioOAuth]:
    """Yield an instance with a webhook."""
    client = some_client(webhook_secret="shared")
    async with ZaikioOAuth(make_settings(clients={"warehouse": client})) as opened:
        yield opened


@pytest.mark.parametrize("name", bombs(10))
async def test_an_answer_of_the_hub_does_not_explode(zaikio: ZaikioOAuth, hub: LocalHub, name: str) -> None:
    """A token response, keys, roles and revocations of nearly a megabyte: a typed error within two seconds."""
    hub.fail(
        "/",
        times=None,
        status=200,
        body=bombs(900_000)[name].decode("latin-1"),
        headers={"Content-Type": "application/json"},
    )
    started = time.monotonic()

    with pytest.raises(ZaikioOAuthError):
        await zaikio.get_access_token(bearer_type="Organization", bearer_id=ORGANIZATION_ID)
    with pytest.raises(ZaikioOAuthError):
        await zaikio.verify_bearer_token("eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.e30.x")

    assert time.monotonic() - started < 10


async def test_an_event_does_not_explode(visitor: Visitor) -> None:
    """A signed event of the greatest size is answered at once: 400."""
    for name, body in bombs(60_000).items():
        headers = {"X-Loom-Signature": hmac.new(b"shared", body, sha256).hexdigest()}
        started = time.monotonic()
        answer = await visitor.app.post("/zaikio/webhook", content=body, headers=headers)
        assert (answer.status_code, time.monotonic() - started < 5) == (400, True), name


async def test_a_compressed_event_is_not_unpacked(visitor: Visitor) -> None:
    """What is signed and read is the body as it was sent, so a bomb stays packed."""
    body = gzip.compress(gzip.compress(b"\0" * 50_000_000))
    headers = {"X-Loom-Signature": hmac.new(b"shared", body, sha256).hexdigest(), "Content-Encoding": "gzip, gzip"}

    assert (await visitor.app.post("/zaikio/webhook", content=body, headers=headers)).status_code == 400


async def test_a_request_does_not_explode(visitor: Visitor) -> None:
    """Thousands of parameters, brackets, commas and languages are read in time that grows with their number."""
    long = {
        "parameters": "&".join(f"p{number}=x" for number in range(900)),
        "one parameter": "&".join(["login=x"] * 900),
        "brackets": "person" + "[a]" * 6_000 + "=x",
        "open brackets": "person" + "[" * 20_000 + "=x",
        "state": "state=" + "x" * 60_000,
        "origin": "origin=" + "/." * 30_000,
        "slashes": "origin=" + "/" * 60_000,
    }
    for name, query in long.items():
        started = time.monotonic()
        answer = await visitor.get(f"/zaikio/sessions/new?{query}")
        assert answer.status_code in (302, 400), name
        assert time.monotonic() - started < 3, name
    headers = {
        "Accept-Language": ",".join(f"a{number};q=0.{number}" for number in range(4_000)),
        "Accept": "text/html," * 9_000,
    }
    started = time.monotonic()
    assert (await visitor.get("/me", headers=headers)).status_code == 303
    assert time.monotonic() - started < 3
