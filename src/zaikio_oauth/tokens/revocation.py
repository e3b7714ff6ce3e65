"""Giving up a grant: delete it here and revoke its token at the Hub."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.errors import DecryptionError, HubUnavailableError, InvalidResponseError, OAuthError
from zaikio_oauth.hub import revocation_endpoint
from zaikio_oauth.hub.http import HubHttp
from zaikio_oauth.store.single_flight import SingleFlight
from zaikio_oauth.tokens.stored_grants import StoredGrants
from zaikio_oauth.tokens.telemetry import Telemetry, TokenEvent

__all__ = ["Revocation"]

log = logging.getLogger("zaikio_oauth")


@dataclass(frozen=True, slots=True, eq=False)
class Revocation:
    """Revokes and deletes grants for one event loop."""

    http: HubHttp
    grants: StoredGrants
    flights: SingleFlight
    telemetry: Telemetry

    async def revoke(self, token: AccessToken) -> None:
        """Delete the grant, then revoke its token at the Hub; runs to its end although the caller is cancelled.

        Raises HubUnavailableError, OAuthError or InvalidResponseError if the Hub did not revoke it. The grant is
        deleted nevertheless.
        """

        async def delete_and_revoke() -> None:
            await self.grants.delete(token.id)
            await self._revoke_at_hub(token)

        await self.flights.run_to_end(delete_and_revoke)

    async def log_out(self, access_token_id: str) -> None:
        """Delete the grant and revoke its token; if the Hub does not revoke it, log a warning."""
        try:
            stored = await self.grants.get(access_token_id)
        except DecryptionError:
            stored = None
        await self.grants.delete(access_token_id)
        if stored:
            await self.flights.run_to_end(lambda: self.revoke_or_warn(stored.access_token))

    async def revoke_or_warn(self, token: AccessToken) -> None:
        """Revoke the token at the Hub; if the Hub does not, log a warning."""
        try:
            await self._revoke_at_hub(token)
        except (HubUnavailableError, InvalidResponseError, OAuthError) as error:
            log.warning("Access token %s is deleted, but was not revoked at the Hub: %s", token.id, error)

    async def _revoke_at_hub(self, token: AccessToken) -> None:
        # An expired token cannot authenticate its own revocation and need not be revoked.
        if not token.expired:
            await revocation_endpoint.revoke(self.http, token=token.token)
            self.telemetry.tell(TokenEvent.of("revoked", token))
