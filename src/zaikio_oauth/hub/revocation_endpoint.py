"""Revoke one token, list the revoked ones (Hub documentation, "Revocation")."""

from __future__ import annotations

from zaikio_oauth.errors import InvalidResponseError
from zaikio_oauth.hub.http import HubHttp
from zaikio_oauth.hub.token_response import refusal

__all__ = ["revoke", "revoked_token_ids"]

_PATH = "/api/v1/revoked_access_tokens"


async def revoke(http: HubHttp, *, token: str, deadline: float = 5.0) -> None:
    """Revoke this token; one that the Hub does not take any more counts as revoked."""
    answer = await http.request("POST", _PATH, bearer=token, deadline=deadline, repeatable=True)
    if answer.status_code >= 300 and answer.status_code not in (401, 404):
        raise refusal(answer)


async def revoked_token_ids(http: HubHttp, *, deadline: float = 10.0) -> frozenset[str]:
    """The ids of all tokens that are revoked and have not yet expired, whosever they are."""
    answer = await http.request("GET", f"{_PATH}.json", deadline=deadline, repeatable=True)
    if answer.status_code >= 300:
        raise refusal(answer)
    ids = answer.body.get("revoked_token_ids") if isinstance(answer.body, dict) else None
    if not isinstance(ids, list):
        raise InvalidResponseError("The Hub's answer is not a list of revoked tokens.")
    return frozenset(each for each in ids if isinstance(each, str) and 0 < len(each) <= 255)
