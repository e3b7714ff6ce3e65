"""AccessToken, an access token of the Hub as a value, and all that decides whether it can still be used.

It is immutable and carries its secrets without ever showing them: ``repr``, ``str`` and JSON leave out ``token`` and
``refresh_token``.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, SupportsIndex

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from zaikio_oauth import scopes as scope_rules

__all__ = [
    "ASSUMED_LIFETIME",
    "DEFAULT_REFRESH_AHEAD",
    "DEFAULT_VALID_FOR",
    "REFRESH_TOKEN_LIFETIME",
    "AccessToken",
    "BearerType",
    "OnBehalfOf",
    "ScopeTuple",
    "SealedSecret",
    "Secret",
    "as_timedelta",
    "has_refresh_token",
]

BearerType = Literal["Person", "Organization"]
"""To whom a token belongs (Hub documentation, "Bearers and scopes")."""

DEFAULT_VALID_FOR = timedelta(seconds=30)
"""How much longer a token must be valid if the caller does not say."""

DEFAULT_REFRESH_AHEAD = timedelta(minutes=15)
"""How long before its expiry a token is renewed in the background, unless its lifetime is less than twice that."""

REFRESH_TOKEN_LIFETIME = timedelta(days=7)
"""How long a refresh token is valid (Hub documentation, "Refresh")."""

ASSUMED_LIFETIME = timedelta(minutes=10)
"""How long a token is used whose response does not say when it expires."""


def as_timedelta(valid_for: timedelta | float) -> timedelta:
    """Return ``valid_for``, which callers give as a ``timedelta`` or in seconds, as a ``timedelta``."""
    return valid_for if isinstance(valid_for, timedelta) else timedelta(seconds=valid_for)


def _parsed(value: Any) -> Any:
    return scope_rules.parse(value) if isinstance(value, str) else value


ScopeTuple = Annotated[tuple[str, ...], BeforeValidator(_parsed)]
"""Scopes of a model, which may also be given as one string."""


class Secret(str):
    """A string whose ``repr`` shows nothing of it, even in a list, a dictionary, or a traceback with its locals.

    Tools that report errors show the ``repr`` of every local of every frame, so no frame of ours has a secret as a
    plain string. In every other way it behaves like the string.

        print(f"{Secret('abc')}", [Secret("abc")])  # abc ['…']
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'"

    def __getitem__(self, key: SupportsIndex | slice) -> Secret:
        # A tool that shortens a long text shows the repr of its beginning.
        return Secret(super().__getitem__(key))


class SealedSecret:
    """A secret that is decrypted each time somebody needs it. It is equal to the string that it is decrypted to."""

    __slots__ = ()

    def unsealed(self) -> Secret:
        """Return the secret; raises DecryptionError."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return "'…'"

    def __eq__(self, other: object) -> bool:
        return self.unsealed() == (other.unsealed() if isinstance(other, SealedSecret) else other)

    def __hash__(self) -> int:
        return hash(self.unsealed())

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        # A copy in another process has no key.
        return Secret, (str(self.unsealed()),)


class OnBehalfOf(BaseModel):
    """The person who acts for an organization, and the roles that they have in it.

    ``id`` is the person's, ``type`` always ``"Person"``, ``roles`` are the Hub's names such as ``"owner"``
    (Hub documentation, "On Behalf").

        if token.on_behalf_of and "admin" in token.on_behalf_of.roles:
            ...
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    id: str
    type: str = "Person"
    roles: tuple[str, ...] = ()


class AccessToken(BaseModel):
    """An access token of the Hub, as it is stored (Hub documentation, "Bearers and scopes").

    ``id`` is ours and stays the same across refreshes; ``jti`` is the Hub's and changes with each of them.
    ``audience`` is the name of the client to which the token was issued. ``scopes`` were granted, ``requested_scopes``
    requested. ``delegated_from`` is the ``id`` of the token from which this one was delegated. All instants are aware,
    in UTC. ``token`` is the secret that goes into ``Authorization: Bearer``. ``refresh_token``, which an app hardly
    needs, is decrypted when it is read; that raises DecryptionError if no key decrypts it.

        async with with_auth(bearer_type="Organization", bearer_id=organization_id) as access_token:
            headers = {"Authorization": f"Bearer {access_token.token}"}
            print(access_token.expires_in, "seconds left")
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, hide_input_in_errors=True)

    id: str
    jti: str | None = None
    audience: str
    bearer_type: BearerType
    bearer_id: str
    on_behalf_of: OnBehalfOf | None = None
    scopes: ScopeTuple = ()
    requested_scopes: ScopeTuple = ()
    token: Annotated[str, AfterValidator(Secret)] = Field(repr=False, exclude=True)
    refresh_token: Annotated[str, AfterValidator(Secret)] | None = Field(default=None, repr=False, exclude=True)
    expires_at: AwareDatetime
    refresh_expires_at: AwareDatetime | None = None
    created_at: AwareDatetime
    delegated_from: str | None = None

    @property
    def expired(self) -> bool:
        """True if the Hub no longer accepts this token."""
        return not self.valid_for(timedelta(0))

    @property
    def expires_in(self) -> int:
        """The whole seconds until the token expires; 0 once it has."""
        return max(0, int((self.expires_at - datetime.now(UTC)).total_seconds()))

    @property
    def organization(self) -> bool:
        """True if the bearer is an organization."""
        return self.bearer_type == "Organization"

    @property
    def person_id(self) -> str | None:
        """The id of the person who acts with this token, also on behalf of an organization; None if nobody does."""
        if self.bearer_type == "Person":
            return self.bearer_id
        return self.on_behalf_of.id if self.on_behalf_of else None

    def valid_for(self, duration: timedelta, now: datetime | None = None) -> bool:
        """Return True if the token is still valid when ``duration`` has passed, counted from ``now``."""
        return self.expires_at - (now or datetime.now(UTC)) > duration

    def refreshable(self, now: datetime | None = None) -> bool:
        """Return True if there is a refresh token that has not expired at ``now``."""
        if not has_refresh_token(self):
            return False
        return self.refresh_expires_at is None or self.refresh_expires_at > (now or datetime.now(UTC))

    def missing_scopes(self, needed: str | Iterable[str]) -> tuple[str, ...]:
        """Return those of the ``needed`` scopes that were not granted; ``x.y.rw`` includes ``x.y.r``.

        Raises ConfigurationError for a scope with a bearer prefix, which a token's scopes do not have.
        """
        return scope_rules.missing(self.scopes, needed)

    def __iter__(self) -> Generator[tuple[str, Any], None, None]:
        for name, value in super().__iter__():
            yield name, value.unsealed() if isinstance(value, SealedSecret) else value


def has_refresh_token(token: AccessToken) -> bool:
    """Return True if there is one, which is not decrypted for that."""
    return vars(token)["refresh_token"] is not None


class _Unsealing:
    """Decrypts the field when it is read: most tokens are only used, and never refreshed by whoever has read them."""

    def __get__(self, token: AccessToken | None, owner: type[AccessToken]) -> str | None:
        if token is None:
            # As any other field, which has no attribute at its class.
            raise AttributeError("refresh_token")
        value: str | SealedSecret | None = token.__dict__["refresh_token"]
        return value.unsealed() if isinstance(value, SealedSecret) else value

    def __set__(self, token: AccessToken, value: str | None) -> None:
        # Only for subclasses that are not frozen.
        vars(token)["refresh_token"] = value


AccessToken.refresh_token = _Unsealing()  # type: ignore[assignment]
