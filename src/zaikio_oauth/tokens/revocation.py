"""Giving up a grant: delete it here and revoke its token at the Hub."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass, field

from zaikio_oauth.access_token import DEFAULT_VALID_FOR, AccessToken
from zaikio_oauth.errors import DecryptionError, InvalidGrantError, StoreUnavailableError, ZaikioOAuthError
from zaikio_oauth.hub import revocation_endpoint
from zaikio_oauth.hub.http import HubHttp
from zaikio_oauth.hub.token_endpoint import TokenEndpoint
from zaikio_oauth.settings import Settings
from zaikio_oauth.settings.retries_and_waits import REVOCATION_DEADLINE
from zaikio_oauth.store.ended_grants import EndedGrantRepository
from zaikio_oauth.store.single_flight import Patience, SingleFlight
from zaikio_oauth.tokens.stored_grants import StoredGrants
from zaikio_oauth.tokens.telemetry import Telemetry, TokenEvent

__all__ = ["Revocation"]

log = logging.getLogger("zaikio_oauth")


@dataclass(frozen=True, slots=True, eq=False)
class Revocation:
    """Revokes and deletes grants for one event loop."""

    settings: Settings
    http: HubHttp
    token_endpoint: TokenEndpoint
    grants: StoredGrants
    ended_grants: EndedGrantRepository
    flights: SingleFlight
    telemetry: Telemetry
    about_to_delete: dict[str, AccessToken] = field(default_factory=dict, repr=False)
    """What was read before a deletion of which nobody knows yet whether it has happened, by id."""

    async def revoke(self, token: AccessToken) -> None:
        """Delete the grant, then revoke at the Hub what was stored; runs to its end although the caller is gone.

        Raises HubUnavailableError, OAuthError or InvalidResponseError if the Hub did not revoke it; the grant is
        deleted nevertheless. Raises StoreUnavailableError if it could not be deleted.
        """
        await self.flights.run_to_end(
            lambda: self._delete_and_revoke(token),
            patience=Patience(REVOCATION_DEADLINE),
            name=f"The revocation of access token {token.id}",
        )

    async def _delete_and_revoke(self, token: AccessToken) -> None:
        deleted = await self._deleted(token.id)
        if deleted is not None:
            await self._end_at_hub(deleted)
        await self._forget_lost(token)
        if deleted is None or deleted.token != token.token:
            # The Hub accepts a token until it expires, also after a refresh.
            await self._revoke_at_hub(token)

    async def _forget_lost(self, token: AccessToken) -> None:
        """Forget the lost grants of this bearer: the app itself ends the connection, so nobody has to renew it."""
        if token.on_behalf_of is not None or token.delegated_from is not None:
            return
        try:
            await self.ended_grants.forget(token.audience, token.bearer_type, token.bearer_id)
        except StoreUnavailableError as error:
            log.warning(
                "The lost grants of %s/%s are still listed: %s",
                token.bearer_type,
                token.bearer_id,
                error,
                extra={
                    "zaikio_event": "revocation.still_listed",
                    "zaikio_bearer_type": token.bearer_type,
                    "zaikio_bearer_id": token.bearer_id,
                },
            )

    async def log_out(self, access_token_id: str) -> None:
        """Delete the grant and revoke at the Hub what was stored; if the Hub does not, log a warning.

        Raises StoreUnavailableError if it could not be deleted.
        """
        await self.flights.run_to_end(
            lambda: self._log_out(access_token_id), name=f"The logout of access token {access_token_id}"
        )

    async def _log_out(self, access_token_id: str) -> None:
        deleted = await self._deleted(access_token_id)
        if deleted is not None:
            await self.revoke_or_warn(deleted)

    async def revoke_or_warn(self, token: AccessToken) -> None:
        """Revoke the token of a grant that is not stored; if the Hub does not, log a warning."""
        try:
            await self._end_at_hub(token)
        except ZaikioOAuthError as error:
            name = token.id or f"of {token.bearer_type}/{token.bearer_id}"
            log.warning(
                "Access token %s is no longer stored, but was not revoked at the Hub: %s",
                name,
                error,
                extra={
                    "zaikio_event": "revocation.refused",
                    "zaikio_access_token_id": token.id or None,
                    "zaikio_bearer_type": token.bearer_type,
                    "zaikio_bearer_id": token.bearer_id,
                },
            )

    async def _deleted(self, access_token_id: str) -> AccessToken | None:
        try:
            row = await self.grants.get(access_token_id)
        except DecryptionError:
            row = None
        if row is not None:
            self.about_to_delete[access_token_id] = row.access_token
        try:
            deleted = await self.grants.delete(access_token_id)
        except DecryptionError as error:
            log.warning(
                "Access token %s is deleted, but cannot be revoked at the Hub: %s",
                access_token_id,
                error,
                extra={"zaikio_event": "revocation.not_decryptable", "zaikio_access_token_id": access_token_id},
            )
            return None
        # A deletion whose answer was lost, by a broken connection or by a time-out, is made again and finds nothing.
        before = self.about_to_delete.pop(access_token_id, None)
        return deleted or before

    async def _end_at_hub(self, token: AccessToken) -> None:
        await self._revoke_at_hub(token)
        if token.refreshable() and not token.valid_for(DEFAULT_VALID_FOR):
            # One that has expired cannot authenticate its own revocation, but its refresh token would live on. If the
            # Hub no longer accepts that, there is nothing left to revoke.
            with suppress(InvalidGrantError):
                await self._revoke_at_hub(await self._renewed(token))

    async def _renewed(self, token: AccessToken) -> AccessToken:
        client = self.settings.client(token.audience)
        with self.telemetry.span("refresh_token", client_name=token.audience):
            response = await self.token_endpoint.refresh_token(client, refresh_token=token.refresh_token or "")
        changes = {"jti": response.jti, "token": response.token, "expires_at": response.expires_at}
        return token.model_copy(update=changes)

    async def _revoke_at_hub(self, token: AccessToken) -> None:
        if not token.expired:
            await revocation_endpoint.revoke(self.http, token=token.token)
            self.telemetry.tell(TokenEvent.of("revoked", token))
