"""One access token as a value, and the pure question of whether it will do.

It is immutable and carries its secrets without ever showing them: ``repr``, ``str`` and JSON leave
``token`` and ``refresh_token`` out.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from zaikio_oauth import scopes as scope_rules

__all__ = ["AccessToken", "OnBehalfOf", "as_timedelta"]

REFRESH_TOKEN_LIFETIME = timedelta(days=7)
"""How long a refresh token lives (Hub documentation, "Refresh")."""


def as_timedelta(valid_for: timedelta | float) -> timedelta:
    """``valid_for`` as callers give it, a ``timedelta`` or seconds, as a ``timedelta``."""
    return valid_for if isinstance(valid_for, timedelta) else timedelta(seconds=valid_for)


class OnBehalfOf(BaseModel):
    """The person who acts for an organization, and the roles that they have there."""

    model_config = ConfigDict(frozen=True)

    id: str
    type: str = "Person"
    roles: tuple[str, ...] = ()


class AccessToken(BaseModel):
    """An access token of the Hub, as stored (Hub documentation, "Bearers and scopes").

    ``id`` is ours and stays the same across refreshes; ``jti`` is the Hub's and changes with each.
    ``audience`` is the name of the client the token belongs to. ``delegated_from`` is the ``id`` of the token that
    this one is a delegated part of. All instants are aware, in UTC.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    jti: str | None = None
    audience: str
    bearer_type: str
    bearer_id: str
    on_behalf_of: OnBehalfOf | None = None
    scopes: tuple[str, ...] = ()
    requested_scopes: tuple[str, ...] = ()
    token: str = Field(repr=False, exclude=True)
    refresh_token: str | None = Field(default=None, repr=False, exclude=True)
    expires_at: AwareDatetime
    refresh_expires_at: AwareDatetime | None = None
    created_at: AwareDatetime
    delegated_from: str | None = None

    @property
    def expired(self) -> bool:
        """Whether the Hub will refuse this token by now."""
        return not self.valid_for(timedelta(0))

    @property
    def expires_in(self) -> int:
        """Whole seconds until the token expires; 0 when it has."""
        return max(0, int((self.expires_at - datetime.now(UTC)).total_seconds()))

    @property
    def organization(self) -> bool:
        """Whether the bearer is an organization."""
        return self.bearer_type == "Organization"

    @property
    def person_id(self) -> str | None:
        """Who acts with this token: the person, also where they act for an organization; else None."""
        if self.bearer_type == "Person":
            return self.bearer_id
        return self.on_behalf_of.id if self.on_behalf_of else None

    def valid_for(self, duration: timedelta, now: datetime | None = None) -> bool:
        """Whether the token outlives ``duration`` from ``now``."""
        return self.expires_at - (now or datetime.now(UTC)) > duration

    def refreshable(self, now: datetime | None = None) -> bool:
        """Whether there is a refresh token that the Hub may still take."""
        if self.refresh_token is None:
            return False
        return self.refresh_expires_at is None or self.refresh_expires_at > (now or datetime.now(UTC))

    def missing_scopes(self, asked: Iterable[str]) -> tuple[str, ...]:
        """Those of the asked scopes that were not granted."""
        return tuple(scope for scope in asked if not scope_rules.includes(self.scopes, [scope]))
