"""What should be true of the grants, in a few lines: the model beside which the library lives its lives."""

from __future__ import annotations

from dataclasses import dataclass, field

HOUR = 3600.0
DAY = 24 * HOUR
PERSON, ORGANIZATION = "Person", "Organization"


@dataclass
class Grant:
    """One grant as it should be stored; instants are seconds of the model's clock."""

    id: str
    client: str
    bearer_type: str
    bearer_id: str
    requested: frozenset[str]
    key: int
    expires_at: float
    refresh_expires_at: float | None
    jti: str = ""
    touched: int = 0
    revoked: bool = False
    spent: bool = False
    """The Hub no longer accepts its refresh token, and we have not noticed yet."""
    delegated: bool = False

    def lives(self, now: float, valid_for: float = 0.0) -> bool:
        return not self.revoked and self.expires_at - now > valid_for

    def renewable(self, now: float) -> bool:
        return not self.revoked and self.refresh_expires_at is not None and self.refresh_expires_at > now

    def over(self, now: float) -> bool:
        """True if it can never be used again."""
        return self.revoked or (self.expires_at < now and not self.renewable(now))


@dataclass
class GrantModel:
    """All grants that should be stored, and what was left at the Hub on purpose."""

    now: float = 0.0
    grants: dict[str, Grant] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    """The ids (jti) of tokens that live on at the Hub although we no longer have them: they were replaced by a refresh
    (the old access token stays valid until it expires), or could not be revoked because they had expired."""
    keys: list[int] = field(default_factory=lambda: [0])
    """The encryption keys of the settings, the first one first."""
    steps: int = 0

    def stored(self, grant: Grant) -> Grant:
        """Store the grant, or what it has become by a refresh."""
        self.steps += 1
        grant.touched = self.steps
        grant.key = self.keys[0]
        self.grants[grant.id] = grant
        return grant

    def gone(self, grant_id: str) -> None:
        self.grants.pop(grant_id, None)

    def readable(self, grant: Grant) -> bool:
        return grant.key in self.keys

    def fitting(self, client: str, bearer_type: str, bearer_id: str, scopes: frozenset[str]) -> list[Grant]:
        """Return what a search may find, the newest first: never a delegated grant, which is given by its grant_id only."""
        found = [
            grant
            for grant in self.grants.values()
            if (grant.client, grant.bearer_type, grant.bearer_id) == (client, bearer_type, bearer_id)
            and scopes <= grant.requested
            and not grant.revoked
            and not grant.delegated
        ]
        return sorted(found, key=lambda grant: -grant.touched)

    def travel(self, seconds: float) -> None:
        self.now += seconds
