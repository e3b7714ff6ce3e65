"""Access tokens that are there: find, refresh and revoke them, and get a new one where none will do."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Hashable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.access_token import AccessToken, as_timedelta
from zaikio_oauth.errors import (
    DecryptionError,
    HubUnavailableError,
    InvalidGrantError,
    InvalidResponseError,
    OAuthError,
    UnknownClientError,
)
from zaikio_oauth.hub import revocation_endpoint as revocation
from zaikio_oauth.hub.http import HubHttp
from zaikio_oauth.hub.roles import Roles
from zaikio_oauth.hub.token_endpoint import TokenEndpoint
from zaikio_oauth.settings import Settings
from zaikio_oauth.store.access_tokens import AccessTokenRepository, StoredToken, TokenSearch
from zaikio_oauth.store.leases import Lease, LeaseRepository
from zaikio_oauth.store.single_flight import DEADLINE, SingleFlight, once_across_processes
from zaikio_oauth.store.token_cache import TokenCache
from zaikio_oauth.store.used_flows import UsedFlowRepository
from zaikio_oauth.tokens.grant import refreshed_token
from zaikio_oauth.tokens.issuance import Issuance
from zaikio_oauth.tokens.telemetry import Telemetry, TokenEvent
from zaikio_oauth.tokens.virtual_token import parse_virtual_id, virtual_token

__all__ = ["DEFAULT_VALID_FOR", "TokenManager"]

T = TypeVar("T")
log = logging.getLogger("zaikio_oauth")

DEFAULT_VALID_FOR = timedelta(seconds=30)
"""How long a token has to live on to be given to a caller who did not say."""

TAKE_OVER_GRACE = 5.0
"""Seconds for which a refusal is doubted when the lease was taken from a process that may still live."""


class TokenManager:
    """Answers every question about tokens for one event loop; callers see values. New grants are its Issuance's."""

    def __init__(
        self,
        settings: Settings,
        *,
        http: HubHttp,
        token_endpoint: TokenEndpoint,
        roles: Roles,
        issuance: Issuance,
        access_tokens: AccessTokenRepository,
        leases: LeaseRepository,
        used_flows: UsedFlowRepository,
        cache: TokenCache[StoredToken],
        flights: SingleFlight,
        telemetry: Telemetry,
    ) -> None:
        self._settings = settings
        self._http = http
        self._token_endpoint = token_endpoint
        self._roles = roles
        self._issuance = issuance
        self._access_tokens = access_tokens
        self._leases = leases
        self._used_flows = used_flows
        self._cache = cache
        self._telemetry = telemetry
        self._flights = flights

    # --- find -----------------------------------------------------------------------------------------

    async def find_usable_access_token(
        self,
        *,
        client_name: str,
        bearer_type: str,
        bearer_id: str,
        requested_scopes: Iterable[str],
        valid_for: timedelta | float = DEFAULT_VALID_FOR,
    ) -> AccessToken | None:
        """The newest stored token valid that long whose requested scopes include these, or None; asks no Hub."""
        self._settings.client(client_name)
        search = TokenSearch(client_name, bearer_type, bearer_id, tuple(requested_scopes))
        stored = await self._usable(search, as_timedelta(valid_for))
        return stored.access_token if stored else None

    async def find_active_access_token(
        self, access_token_id: str | None, valid_for: timedelta | float = DEFAULT_VALID_FOR
    ) -> AccessToken | None:
        """That token, refreshed if it must be; None if it is gone, revoked or past refreshing.

        Raises HubUnavailableError when it must be refreshed and cannot be now.
        """
        if not access_token_id:
            return None
        if virtual := self._virtual(access_token_id):
            return virtual
        duration = as_timedelta(valid_for)
        stored = await self._stored(access_token_id, lambda kept: kept.valid_for(duration))
        if stored is None or stored.access_token.valid_for(duration):
            return stored.access_token if stored else None
        try:
            return (await self._refreshed(stored)).access_token
        except InvalidGrantError:
            return None
        except UnknownClientError as error:
            # The app has given up that client; whoever logged in with it has to log in again.
            log.warning("Access token %s cannot be refreshed: %s", access_token_id, error)
            return None

    async def still_active(self, token: AccessToken) -> AccessToken:
        """This token as it is stored now, refreshed if it must be; raises InvalidGrantError when it is gone."""
        active = await self.find_active_access_token(token.id)
        if active is None:
            raise InvalidGrantError("invalid_grant", "this token is no longer stored: logged out, revoked or too old")
        return active

    async def _usable(self, search: TokenSearch, duration: timedelta) -> StoredToken | None:
        return await self._read(
            repr(search),
            lambda kept: kept.valid_for(duration),
            lambda: self._access_tokens.find_usable(**search.columns, valid_for=duration),
            asked=duration,
        )

    async def _stored(self, access_token_id: str, good: Callable[[AccessToken], bool]) -> StoredToken | None:
        return await self._read(access_token_id, good, lambda: self._access_tokens.get(access_token_id))

    async def _read(
        self,
        key: str,
        good: Callable[[AccessToken], bool],
        query: Callable[[], Coroutine[Any, Any, StoredToken | None]],
        asked: Hashable = None,
    ) -> StoredToken | None:
        """What was read a moment ago if it is still good, else what the store says; many readers are one read."""
        if not self._cache.enabled:
            return await query()
        kept = self._cache.get(key)
        if kept is not None and good(kept.access_token):
            return kept
        dropped = self._cache.dropped
        # A reader who comes after a logout must not join a read that began before it.
        stored = await self._flights.run(("read", key, asked, dropped), query)
        if stored is not None:
            self._cache.put(key, stored, dropped=dropped)
        return stored

    def _virtual(self, access_token_id: str) -> AccessToken | None:
        if self._settings.environment != "test" or not (named := parse_virtual_id(access_token_id)):
            return None
        client_name, person_id = named[0] or self._settings.default_client_name, named[1]
        client = self._settings.clients.get(client_name)
        return virtual_token(client_name, person_id, scopes=client.default_scopes) if client else None

    # --- get ------------------------------------------------------------------------------------------

    async def get_access_token(
        self,
        *,
        client_name: str,
        bearer_type: str,
        bearer_id: str,
        scopes: Iterable[str] | None = None,
        valid_for: timedelta | float = DEFAULT_VALID_FOR,
    ) -> AccessToken:
        """A token stored and valid that long, else a refreshed one, else one by client credentials.

        Raises what the Hub refuses (BearerDoesNotExistError, InvalidScopesError, OAuthError),
        HubUnavailableError, and ConfigurationError for a client that may not use client credentials.
        """
        client = self._settings.client(client_name)
        wanted = scope_rules.parse(scopes) if scopes is not None else client.scopes_for(bearer_type)
        search = TokenSearch(client_name, bearer_type, bearer_id, wanted)
        duration = as_timedelta(valid_for)
        if usable := await self._usable(search, duration):
            return usable.access_token
        if refreshable := await self._access_tokens.find_refreshable(**search.columns):
            with suppress(InvalidGrantError):
                return (await self._refreshed(refreshable)).access_token
        return await self._issuance.by_client_credentials(search, duration)

    async def get_fresh_access_token(self, refused: AccessToken, **wanted: Any) -> AccessToken:
        """Another token than this one, which an API has refused: refreshed if that is possible, else fetched."""
        # As it is stored: another caller who was refused may have replaced it already.
        self._drop(refused.id)
        stored = await self._access_tokens.get(refused.id)
        if stored and stored.access_token.token == refused.token:
            try:
                return (await self._refreshed(stored)).access_token
            except InvalidGrantError:
                # Expired as far as everybody here is concerned; nobody shall be given it again.
                await self._forget(refused.id)
        return await self.get_access_token(**wanted)

    def _drop(self, access_token_id: str) -> None:
        self._cache.drop_if(lambda kept: kept.access_token.id == access_token_id)

    # --- refresh, revoke ------------------------------------------------------------------------------

    async def refresh(self, token: AccessToken) -> AccessToken:
        """This grant's next token; one request to the Hub, however many ask at once.

        Raises InvalidGrantError when the grant is gone, HubUnavailableError when it cannot be asked.
        """
        stored = await self._access_tokens.get(token.id)
        if stored is None:
            raise InvalidGrantError("invalid_grant", "this grant is no longer stored: logged out or revoked")
        if stored.access_token.token != token.token and not stored.access_token.expired:
            # Somebody else has refreshed it since the caller read it.
            return stored.access_token
        return (await self._refreshed(stored)).access_token

    async def revoke(self, token: AccessToken) -> None:
        """Revoke the token at the Hub and forget it here; forgotten also when the Hub cannot be asked.

        Raises HubUnavailableError or OAuthError then.
        """

        async def revoke() -> None:
            await self._forget(token.id)
            await self._revoke_at_hub(token)

        await self._issuance.uninterrupted(revoke)

    async def _forget(self, access_token_id: str) -> None:
        # Taken out before and after: a look-up on its way must not put it back.
        self._drop(access_token_id)
        await self._access_tokens.forget(access_token_id)
        self._drop(access_token_id)

    async def _revoke_at_hub(self, token: AccessToken) -> None:
        # An expired token cannot authenticate its own revocation, and need not be revoked.
        if not token.expired:
            await revocation.revoke(self._http, token=token.token)
            self._telemetry.tell(TokenEvent.of("revoked", token))

    async def _revoke_quietly(self, token: AccessToken) -> None:
        try:
            await self._revoke_at_hub(token)
        except (HubUnavailableError, InvalidResponseError, OAuthError) as error:
            log.warning("Access token %s is forgotten, but was not revoked at the Hub: %s", token.id, error)

    async def log_out(self, access_token_id: str) -> None:
        """Revoke and forget; what the Hub cannot be told is logged."""
        try:
            stored = await self._access_tokens.get(access_token_id)
        except DecryptionError:
            stored = None
        await self._forget(access_token_id)
        if stored:
            await self._issuance.uninterrupted(lambda: self._revoke_quietly(stored.access_token))

    async def use_flow(self, flow: str, *, expires_at: datetime) -> bool:
        """Mark a started flow as used; False when it was used before, in whichever process."""
        return await self._used_flows.use(flow, expires_at=expires_at, now=datetime.now(UTC))

    async def _refreshed(self, stored: StoredToken) -> StoredToken:
        if not stored.access_token.refreshable():
            raise InvalidGrantError("invalid_grant", "there is no refresh token, or it is too old")
        token_id = stored.access_token.id
        return await self._flights.run((token_id, stored.version), lambda: self._refresh_flight(stored))

    async def _refresh_flight(self, stored: StoredToken) -> StoredToken:
        lease = self._leases.lease(f"refresh:{stored.access_token.id}")
        return await once_across_processes(
            lease,
            result=lambda: self._changed_since(stored),
            call=lambda: self._ask_for_refresh(stored, lease),
            deadline=DEADLINE,
        )

    async def _changed_since(self, stored: StoredToken) -> StoredToken | None:
        """The row as another process has left it; None while it is as it was."""
        now = await self._access_tokens.get(stored.access_token.id)
        if now is None:
            raise InvalidGrantError("invalid_grant", "this grant is no longer stored: logged out or revoked")
        if now.version != stored.version:
            return now
        if now.access_token.refresh_token is None:
            raise InvalidGrantError("invalid_grant", "the Hub no longer takes the refresh token")
        return None

    async def _ask_for_refresh(self, stored: StoredToken, lease: Lease) -> StoredToken:
        old = stored.access_token
        client = self._settings.client(old.audience)
        try:
            with self._telemetry.asking("refresh_token", old.audience):
                response = await self._token_endpoint.refresh_token(
                    client, refresh_token=old.refresh_token or "", deadline=DEADLINE
                )
        except InvalidGrantError:
            if lease.taken_over and (rescued := await self._wait_for_change(stored)):
                return rescued
            await self._access_tokens.drop_refresh_token(stored)
            raise
        fresh = refreshed_token(old, await self._roles.told(response))
        replaced = await self._access_tokens.replace(fresh)
        if replaced is None:
            # Logged out or revoked while the Hub was asked: nobody may hold what it just gave.
            await self._revoke_quietly(fresh)
            raise InvalidGrantError("invalid_grant", "this grant was given up during the refresh")
        self._drop(fresh.id)
        self._telemetry.tell(TokenEvent.of("refreshed", fresh))
        return replaced

    async def _wait_for_change(self, stored: StoredToken) -> StoredToken | None:
        started = time.monotonic()
        while time.monotonic() - started < TAKE_OVER_GRACE:
            if changed := await self._changed_since(stored):
                return changed
            await asyncio.sleep(0.25)
        return None
