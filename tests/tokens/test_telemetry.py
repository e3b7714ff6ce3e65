"""Events of tokens in the log, for a listener and in OpenTelemetry, all of them without secrets."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from tests.apps import small_app
from tests.inside import mark_revoked
from tests.tracing import collecting_spans, recorded_metrics
from tests.visitor import Visitor
from zaikio_oauth import OAuthError, Settings, TokenEvent, ZaikioOAuth
from zaikio_oauth.testing import LocalHub


async def cause_every_event(zaikio: ZaikioOAuth, hub: LocalHub) -> list[str]:
    """Cause each kind of event, and return the secrets of the tokens."""
    hub.auto_consent(person_id=hub.people[0].id)
    visitor = Visitor(small_app(zaikio))
    await visitor.log_in()
    token = await zaikio.find_active_access_token(visitor.session["zaikio_access_token_id"])
    assert token is not None
    fresh = await zaikio.refresh(token)
    await mark_revoked(zaikio, [fresh.jti or ""])
    await zaikio.cleanup_access_tokens()
    with pytest.raises(OAuthError):
        await zaikio.get_access_token(bearer_type="Organization", bearer_id="nobody")
    await visitor.aclose()
    return [token.token, fresh.token, token.refresh_token or "", fresh.refresh_token or ""]


async def test_every_event_is_reported_once(
    make_settings: Callable[..., Settings], hub: LocalHub, caplog: pytest.LogCaptureFixture
) -> None:
    """Each event goes to the log and to the listener, without a secret."""
    events: list[TokenEvent] = []
    with caplog.at_level(logging.INFO, "zaikio_oauth"):
        async with ZaikioOAuth(make_settings(), on_token_event=events.append) as zaikio:
            secrets = await cause_every_event(zaikio, hub)

    assert [(event.kind, event.grant_type, event.count) for event in events] == [
        ("obtained", "authorization_code", 1),
        ("refreshed", None, 1),
        ("revoked", None, 1),
        ("lost", None, 1),
        ("cleaned_up", None, 1),
        ("refused", "client_credentials", 1),
    ]
    assert (events[0].client_name, events[0].bearer_id) == ("warehouse", hub.people[0].id)
    assert events[-1].error == "bearer_does_not_exist"
    told = [record for record in caplog.records if hasattr(record, "zaikio_event")]
    assert [record.zaikio_event for record in told] == [f"token.{event.kind}" for event in events]  # type: ignore[attr-defined]
    shown = caplog.text + repr(events) + repr([vars(record) for record in told])
    assert not [secret for secret in secrets if secret in shown]


async def test_a_failing_listener_has_no_effect(
    make_settings: Callable[..., Settings], hub: LocalHub, caplog: pytest.LogCaptureFixture
) -> None:
    """The exception is logged."""

    def fail(event: TokenEvent) -> None:
        raise ValueError("a listener's own fault")

    async with ZaikioOAuth(make_settings(), on_token_event=fail) as zaikio:
        await cause_every_event(zaikio, hub)
    assert "A listener of token events failed" in caplog.text


def test_an_async_listener_that_never_ends_stops_no_shutdown(
    make_settings: Callable[..., Settings], hub: LocalHub, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither leaving nor the end of a script waits for ever for a listener, such as one whose queue is full."""

    async def wait_for_ever(event: TokenEvent) -> None:
        await asyncio.Event().wait()

    async def leave() -> None:
        async with ZaikioOAuth(make_settings(), on_token_event=wait_for_ever) as zaikio:
            with pytest.raises(OAuthError):
                await zaikio.get_access_token(bearer_type="Organization", bearer_id="nobody")

    async def script() -> None:
        zaikio = ZaikioOAuth(make_settings(), on_token_event=wait_for_ever)
        with pytest.raises(OAuthError):
            await zaikio.get_access_token(bearer_type="Organization", bearer_id="nobody")
        await leave()

    started = time.monotonic()
    asyncio.run(script())

    assert time.monotonic() - started < 25
    assert caplog.text.count("A listener of token events was cancelled") == 2


async def test_opentelemetry_receives_spans_and_metrics(make_settings: Callable[..., Settings], hub: LocalHub) -> None:
    """This happens if OpenTelemetry is installed and configured."""
    with collecting_spans() as exporter:
        async with ZaikioOAuth(make_settings()) as zaikio:
            secrets = await cause_every_event(zaikio, hub)

    spans = [span for span in exporter.get_finished_spans() if span.name.startswith("zaikio_oauth.")]
    assert [span.name for span in spans] == [
        "zaikio_oauth.authorization_code",
        "zaikio_oauth.refresh_token",
        "zaikio_oauth.client_credentials",
    ]
    assert spans[0].attributes == {"zaikio.client_name": "warehouse"}
    shown = "".join(metric.to_json() for metric in recorded_metrics("zaikio_oauth"))
    assert '"zaikio_oauth.tokens"' in shown
    shown += "".join(span.to_json() for span in spans)
    assert not [secret for secret in secrets if secret in shown]


def test_opentelemetry_is_optional() -> None:
    """Everything works without it, because it is not a dependency."""
    code = "import fastapi, sys; sys.modules['opentelemetry'] = None\nfrom zaikio_oauth.tokens.telemetry import Telemetry, TokenEvent\n"
    code += "with Telemetry().span('x'): Telemetry().tell(TokenEvent('obtained'))\nprint('fine')"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert result.stdout == "fine\n", result.stderr
