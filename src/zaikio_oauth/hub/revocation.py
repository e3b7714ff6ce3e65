"""Revoke one token (Hub documentation, "Revocation")."""

from __future__ import annotations

from zaikio_oauth.hub.http import HubHttp
from zaikio_oauth.hub.token_response import refusal

__all__ = ["revoke"]

_PATH = "/api/v1/revoked_access_tokens"


async def revoke(http: HubHttp, *, token: str, deadline: float = 5.0) -> None:
    """Revoke this token; one that the Hub does not take any more counts as revoked."""
    answer = await http.request("POST", _PATH, bearer=token, deadline=deadline, repeatable=True)
    if answer.status_code >= 300 and answer.status_code not in (401, 404):
        raise refusal(answer)
