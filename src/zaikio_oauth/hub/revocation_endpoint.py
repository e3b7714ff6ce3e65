"""The revocation endpoint, ``/api/v1/revoked_access_tokens`` (Hub documentation, "Revocation")."""

from __future__ import annotations

import logging

from zaikio_oauth.errors import InvalidResponseError
from zaikio_oauth.hub.error_response import oauth_error
from zaikio_oauth.hub.http import HubHttp, RequestKind
from zaikio_oauth.hub.syntax import is_token_id
from zaikio_oauth.settings.retries_and_waits import REVOCATION_DEADLINE, REVOCATION_LIST_DEADLINE

__all__ = ["revoke", "revoked_token_ids"]

log = logging.getLogger("zaikio_oauth")

_PATH = "/api/v1/revoked_access_tokens"


async def revoke(http: HubHttp, *, token: str) -> None:
    """Revoke this token. One that the Hub no longer accepts counts as revoked."""
    response = await http.request("POST", _PATH, bearer=token, within=REVOCATION_DEADLINE, kind=RequestKind.IDEMPOTENT)
    if response.status_code >= 300 and response.status_code not in (401, 404):
        raise oauth_error(response)


async def revoked_token_ids(http: HubHttp) -> frozenset[str]:
    """Return the ids of all tokens, of all apps, that are revoked and have not yet expired."""
    response = await http.request("GET", f"{_PATH}.json", within=REVOCATION_LIST_DEADLINE, kind=RequestKind.IDEMPOTENT)
    if response.status_code >= 300:
        raise oauth_error(response)
    ids = response.body.get("revoked_token_ids") if isinstance(response.body, dict) else None
    if not isinstance(ids, list):
        raise InvalidResponseError("The Hub's response is not a list of revoked tokens.")
    valid = [each for each in ids if is_token_id(each)]
    if len(valid) < len(ids):
        # One that cannot be stored must not cost the others.
        log.warning(
            "%d ids in the Hub's list of revoked tokens are malformed and left out.",
            len(ids) - len(valid),
            extra={"zaikio_event": "revocation_list.malformed_ids", "zaikio_count": len(ids) - len(valid)},
        )
    return frozenset(valid)
