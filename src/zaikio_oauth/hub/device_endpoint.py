"""``POST /oauth/device_authorizations/authorize``: codes for a device and its person (RFC 8628 §3.1, §3.2)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.errors import InvalidResponseError
from zaikio_oauth.hub.http import HubAnswer, HubHttp
from zaikio_oauth.hub.token_response import instant_of, refusal
from zaikio_oauth.settings import ClientSettings

__all__ = ["DeviceAuthorizationResponse", "request_device_authorization"]

_PATH = "/oauth/device_authorizations/authorize"
_DEFAULT_INTERVAL = 5.0
"""RFC 8628 §3.2: "If no value is provided, clients MUST use 5 as the default"."""

_SHORTEST_INTERVAL, _LONGEST_INTERVAL = 1.0, 300.0


@dataclass(frozen=True, slots=True)
class DeviceAuthorizationResponse:
    """RFC 8628 §3.2; ``interval`` in seconds."""

    device_code: str = field(repr=False)
    user_code: str = field(repr=False)
    verification_uri: str
    verification_uri_complete: str | None = field(repr=False)
    expires_at: datetime
    interval: float
    received_at: datetime


async def request_device_authorization(
    http: HubHttp, client: ClientSettings, *, scopes: Iterable[str], deadline: float = 30.0
) -> DeviceAuthorizationResponse:
    """Codes for a device of this client; raises OAuthError and its kinds, InvalidResponseError, HubUnavailableError."""
    data = {"client_id": client.client_id, "scope": scope_rules.join(scopes)}
    answer = await http.request("POST", _PATH, data=data, deadline=deadline, repeatable=True)
    return device_authorization_response(answer)


def device_authorization_response(answer: HubAnswer) -> DeviceAuthorizationResponse:
    """The answer's codes, or the error that it is. Pure."""
    body = answer.body
    if answer.status_code >= 300 or (isinstance(body, dict) and ("error" in body or "errors" in body)):
        raise refusal(answer)
    if not isinstance(body, dict):
        raise InvalidResponseError("The Hub's answer is not a JSON object.")
    if body.get("expires_in") is None:
        raise InvalidResponseError("The Hub's answer does not say how long the device code lives.")
    complete = body.get("verification_uri_complete")
    return DeviceAuthorizationResponse(
        device_code=_text(body, "device_code"),
        user_code=_text(body, "user_code"),
        verification_uri=_address(body, "verification_uri"),
        verification_uri_complete=None if complete is None else _address(body, "verification_uri_complete"),
        expires_at=instant_of(body["expires_in"], answer.received_at),
        interval=_interval(body.get("interval")),
        received_at=answer.received_at,
    )


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    # It is shown to people, in a terminal too, where a control character could do anything.
    if not isinstance(value, str) or not value or not value.isprintable():
        raise InvalidResponseError(f"The Hub's answer has no {name}.")
    return value


def _address(body: Mapping[str, Any], name: str) -> str:
    value = _text(body, name)
    # It becomes a link on somebody's page.
    if not value.startswith(("https://", "http://")):
        raise InvalidResponseError(f"The Hub's answer has a {name} that is no web address.")
    return value


def _interval(value: Any) -> float:
    try:
        seconds = float(_DEFAULT_INTERVAL if value is None else value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise InvalidResponseError("The Hub's answer has an interval that is none.")
    return min(max(seconds, _SHORTEST_INTERVAL), _LONGEST_INTERVAL)
