"""Requests of all kinds, generated from the OpenAPI documents that we publish, to the real apps (schemathesis)."""

import asyncio
import hmac
import json
import subprocess
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import pytest
import requests
import schemathesis
from cryptography.fernet import Fernet
from fastapi import Security
from hypothesis import given
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.apps import small_app
from tests.demo.test_demo_app import running
from tests.fuzz.budget import Budget
from tests.visitor import Visitor
from zaikio_oauth import BearerToken, Settings, ZaikioOAuth
from zaikio_oauth.testing import HubServer, LocalHub

ROOT = Path(__file__).parents[2]
WEBHOOK_SECRET = "a-webhook-secret-of-the-tests"
OURS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@dataclass
class Fuzzed:
    """A served app and what it says of itself."""

    url: str
    document: dict[str, Any]
    counts: Counter[str]

    def operations(self) -> Iterator[Any]:
        for result in schemathesis.openapi.from_dict(self.document).get_all_operations():
            if result.ok().path != "/remember":  # The tests' own way to change the session, which trusts its caller.
                yield result.ok()

    def send(self, case: Case, *, cookie: str | None, checks: list[Any]) -> None:
        """Send one request without following redirects, and check the response."""
        headers = {"Cookie": cookie} if cookie else {}
        response = case.call(base_url=self.url, headers=headers, allow_redirects=False, timeout=20)
        case.validate_response(response, checks=checks)
        self.counts["requests"] += 1
        self.counts[f"of status {response.status_code}"] += 1


@contextmanager
def served(settings: Settings) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield the address of the small app, its document, and the cookie of somebody who is logged in."""
    zaikio = ZaikioOAuth(settings)
    app = small_app(zaikio)

    @app.get("/catalog", responses=zaikio.bearer_token.responses)
    async def catalog(token: Annotated[BearerToken, Security(zaikio.bearer_token, scopes=["a.catalog.r"])]) -> str:
        return token.subject_id

    async def log_in() -> str:
        async with zaikio:
            visitor = Visitor(app)
            await visitor.log_in()
            cookie = visitor.app.cookies.get("session") or ""
            await visitor.aclose()
            return f"session={cookie}"

    cookie = asyncio.run(log_in())
    with HubServer(app) as server:
        yield server.url, app.openapi(), cookie


@pytest.fixture
def settings(make_settings: Callable[..., Settings], hub: LocalHub) -> Settings:
    """Return settings whose first client has a webhook, and a Hub that asks nobody."""
    hub.auto_consent(hub.people[0].id)
    settings = make_settings()
    clients = {name: client.model_dump() for name, client in settings.clients.items()}
    clients["warehouse"]["webhook_secret"] = WEBHOOK_SECRET
    for client in clients.values():
        client["client_secret"] = client["client_secret"] and client["client_secret"].get_secret_value()
    return make_settings(clients=clients)


@pytest.mark.timeout(0)
def test_our_routes_do_what_their_document_says(settings: Settings, budget: Budget) -> None:
    """Whatever is sent, logged in or not: no 5xx, and a status and headers that the document has for that route.

    This includes the app's own routes, which document what our dependencies answer.
    """
    with served(settings) as (url, document, cookie):
        fuzzed = Fuzzed(url, document, Counter())
        for options in budget.rounds(lives=8):
            for operation in fuzzed.operations():

                @options
                @given(
                    case=operation.as_strategy(),
                    known=st.booleans(),
                    client=st.sampled_from([None, "warehouse", "kiosk"]),
                )
                def send(case: Case, known: bool, client: str | None) -> None:
                    if client and "client_name" in case.path_parameters:
                        case.path_parameters["client_name"] = client
                    fuzzed.send(case, cookie=cookie if known else None, checks=OURS)

                send()
    budget.tell("OpenAPI of our router", fuzzed.counts)
    assert fuzzed.counts["requests"] > 40


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
events = st.fixed_dictionaries(
    {},
    optional={
        "id": json_values,
        "name": st.sampled_from(["zaikio.revoked_access_token", "directory.revoked_access_token"]) | json_values,
        "subject": st.sampled_from(["Org/1", "Per/1"]) | json_values,
        "timestamp": json_values,
        "version": json_values,
        "payload": st.fixed_dictionaries({}, optional={"access_token_id": json_values}) | json_values,
        "link": json_values,
    },
)

good_events = st.fixed_dictionaries(
    {
        "id": st.uuids().map(str),
        "name": st.text(min_size=1, max_size=20) | st.just("zaikio.revoked_access_token"),
        "subject": st.just("Per/383663bc-149a-5b76-b50d-ee039046c12e"),
        "timestamp": st.just("2026-01-01T00:00:00.000Z"),
        "version": st.just("1.0"),
        "payload": st.fixed_dictionaries({"access_token_id": st.uuids().map(str) | st.text(max_size=300)}),
        "link": st.none(),
    }
)


@pytest.mark.timeout(0)
def test_a_signed_event_is_never_a_server_error(settings: Settings, budget: Budget) -> None:
    """Whatever Loom signs: the event was received, or it is none."""
    counts: Counter[str] = Counter()
    with served(settings) as (url, _, _), requests.Session() as session:
        for options in budget.rounds(lives=60):

            @options
            @given(body=(events | good_events).map(lambda event: json.dumps(event).encode()) | st.binary(max_size=200))
            def deliver(body: bytes) -> None:
                signature = hmac.new(WEBHOOK_SECRET.encode(), body, sha256).hexdigest()
                response = session.post(f"{url}/zaikio/webhook", data=body, headers={"X-Loom-Signature": signature})
                while response.status_code == 503:
                    # On a busy machine the app may be late: then Loom delivers the event again.
                    response = session.post(response.url, data=body, headers={"X-Loom-Signature": signature})
                assert response.status_code in (200, 400), (response.status_code, body)
                counts["events"] += 1
                counts[f"of status {response.status_code}"] += 1

            deliver()
    budget.tell("signed events", counts)
    assert counts["of status 200"] and counts["of status 400"]


DOCUMENT = """
import json
from demo_app.app import create_app
from zaikio_oauth import Settings
print(json.dumps(create_app(Settings(), "secret").openapi()))
"""


@pytest.mark.timeout(0)
def test_the_demo_never_fails(tmp_path: Path, budget: Budget) -> None:
    """Whatever is sent to any route of the demo, which publishes no document of its own: never a 5xx."""
    described = subprocess.run(
        [sys.executable, "-c", DOCUMENT],
        cwd=ROOT,
        capture_output=True,
        check=True,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(ROOT / "src"),
            "ZAIKIO_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
            "ZAIKIO_ENVIRONMENT": "development",
            "ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_ID": "warehouse-id",
        },
    )
    with running(tmp_path / "data") as demo:
        # Otherwise it stands still once its log has filled the pipe.
        threading.Thread(target=deque, args=(demo.process.stdout, 0), daemon=True).start()
        fuzzed = Fuzzed(demo.url, json.loads(described.stdout), Counter())
        for options in budget.rounds(lives=3):
            for operation in fuzzed.operations():

                @options
                @given(case=operation.as_strategy())
                def send(case: Case) -> None:
                    fuzzed.send(case, cookie=None, checks=[not_a_server_error])

                send()
    budget.tell("OpenAPI of the demo", fuzzed.counts)
    assert fuzzed.counts["requests"] > 40
