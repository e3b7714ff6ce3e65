"""Parts: what one event loop has open, and how it is put together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from zaikio_oauth.hub.http import HubHttp
from zaikio_oauth.hub.roles import Roles
from zaikio_oauth.hub.signing_keys import SigningKeys
from zaikio_oauth.hub.token_endpoint import TokenEndpoint
from zaikio_oauth.resource_server.revocation_list import RevocationList
from zaikio_oauth.resource_server.verification import Verification
from zaikio_oauth.settings import Settings
from zaikio_oauth.store.access_tokens import AccessTokenRepository
from zaikio_oauth.store.changes import Changes
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.encryption import Cipher
from zaikio_oauth.store.ended_grants import EndedGrantRepository
from zaikio_oauth.store.handled_events import HandledEventRepository
from zaikio_oauth.store.leases import LeaseRepository
from zaikio_oauth.store.newest_grants import NewestGrantRepository
from zaikio_oauth.store.packed_values import Packing
from zaikio_oauth.store.revoked_tokens import RevokedTokenRepository
from zaikio_oauth.store.single_flight import SingleFlight
from zaikio_oauth.store.stored_token import StoredToken
from zaikio_oauth.store.token_cache import TokenCache
from zaikio_oauth.store.used_flows import UsedFlowRepository
from zaikio_oauth.tokens.cleanup import Cleanup
from zaikio_oauth.tokens.connection import ConnectionList
from zaikio_oauth.tokens.event_inbox import EventInbox
from zaikio_oauth.tokens.issuance import Issuance
from zaikio_oauth.tokens.keep_alive import KeepAlive
from zaikio_oauth.tokens.lost_grants import LostGrants
from zaikio_oauth.tokens.refresh import Refresh
from zaikio_oauth.tokens.rejected_tokens import RejectedTokens
from zaikio_oauth.tokens.renewal_ahead import RenewalAhead
from zaikio_oauth.tokens.revocation import Revocation
from zaikio_oauth.tokens.stored_grants import StoredGrants
from zaikio_oauth.tokens.telemetry import Telemetry
from zaikio_oauth.tokens.token_manager import TokenManager

__all__ = ["Parts", "open_parts"]

MAX_TOKENS = 100_000
"""How many tokens a process keeps in memory, most of them packed, which is 1 kB each."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What one event loop has open. All parts share one database and one HTTP client."""

    tokens: TokenManager
    rejected_tokens: RejectedTokens
    grants: StoredGrants
    issuance: Issuance
    revocation: Revocation
    connections: ConnectionList
    keep_alive: KeepAlive
    cleanup: Cleanup
    verification: Verification
    revocation_list: RevocationList
    access_tokens: AccessTokenRepository
    changes: Changes
    used_flows: UsedFlowRepository
    event_inbox: EventInbox
    flights: SingleFlight


async def open_parts(
    stack: AsyncExitStack, settings: Settings, telemetry: Telemetry, engine_options: Mapping[str, Any]
) -> Parts:
    """Open and connect everything; ``stack`` closes it in reverse order, also if this fails halfway."""
    database = Database(settings.database_url, settings.plain_encryption_keys, **engine_options)
    stack.push_async_callback(database.aclose)
    await database.open(auto_migrate=settings.sqlite if settings.auto_migrate is None else settings.auto_migrate)
    http = HubHttp(settings.host)
    stack.push_async_callback(http.aclose)
    signing_keys, roles = SigningKeys(http), Roles(http)
    stack.push_async_callback(signing_keys.aclose)
    stack.push_async_callback(roles.aclose)
    flights = SingleFlight()
    # After the last flight has landed, which may tell of something.
    stack.push_async_callback(telemetry.drain)
    # A shutdown must not lose a token that the Hub is just issuing.
    stack.push_async_callback(flights.drain)

    changes = database.changes(settings.cache_ttl)
    stack.push_async_callback(changes.stop)
    cache: TokenCache[StoredToken] = changes.cache(
        labels=StoredToken.labels,
        lasts_until=lambda stored: stored.due_at(settings.ahead).timestamp(),
        packing=partial(_token_packing, database.cipher),
        max_entries=MAX_TOKENS,
    )
    access_tokens = AccessTokenRepository(database, on_undecryptable=telemetry.undecryptable)
    leases, handled_events = LeaseRepository(database), HandledEventRepository(database)
    # Before the flights are waited for.
    stack.callback(access_tokens.close)
    stack.callback(handled_events.close)
    revoked_tokens, token_endpoint = RevokedTokenRepository(database), TokenEndpoint(http)
    grants = StoredGrants(access_tokens, cache, changes, flights)
    ended_grants = EndedGrantRepository(database)
    lost_grants, connections = LostGrants(ended_grants, telemetry), ConnectionList(NewestGrantRepository(database))
    revocation = Revocation(settings, http, token_endpoint, grants, ended_grants, flights, telemetry)
    issuance = Issuance(settings, http, token_endpoint, roles, grants, revocation, leases, flights, telemetry)
    refresh = Refresh(settings, token_endpoint, roles, revocation, grants, leases, flights, telemetry, lost_grants)
    renewals = RenewalAhead(settings, grants, refresh, issuance, flights, telemetry)
    revocation_list = RevocationList(http, revoked_tokens, cache, changes.cache(), on_marked=lost_grants.revoked)
    stack.push_async_callback(revocation_list.stop)
    changes.start()
    revocation_list.start()
    return Parts(
        tokens=TokenManager(settings, grants, issuance, refresh, renewals, lost_grants),
        rejected_tokens=RejectedTokens(grants, issuance, refresh, flights),
        grants=grants,
        issuance=issuance,
        revocation=revocation,
        connections=connections,
        keep_alive=KeepAlive(settings, connections, grants, refresh, lost_grants, telemetry),
        cleanup=Cleanup(ended_grants, lost_grants, revoked_tokens, leases, handled_events, telemetry),
        verification=Verification(settings, signing_keys, roles, revocation_list),
        revocation_list=revocation_list,
        access_tokens=access_tokens,
        changes=changes,
        used_flows=UsedFlowRepository(database),
        event_inbox=EventInbox(handled_events, leases, flights),
        flights=flights,
    )


def _token_packing(cipher: Cipher, samples: Iterable[tuple[str, StoredToken]]) -> Packing[StoredToken]:
    # Only here, because most processes never have so many tokens, and an import of the library should be quick.
    from zaikio_oauth.store.packed_tokens import TokenPacking  # noqa: PLC0415

    return TokenPacking(cipher, samples)
