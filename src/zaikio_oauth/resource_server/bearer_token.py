"""BearerToken: what a verified bearer token says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from pydantic import AwareDatetime, BaseModel, ConfigDict

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.access_token import BearerType, OnBehalfOf, ScopeTuple

__all__ = ["BearerToken"]


class BearerToken(BaseModel):
    """The content of a verified JWT of the Hub that another app has sent (Hub documentation, "JWT").

    The subject is the bearer: a person, or an organization for which a person may act (``on_behalf_of``).
    ``audiences`` are the apps for which the token is, usually first the app that sent it. ``expires_at`` is aware, in
    UTC. The token itself is not kept.

        @app.get("/catalog")
        async def catalog(token: Annotated[BearerToken, Security(bearer_token, scopes=["my_app.catalog.r"])]):
            return {"catalog of": token.subject_id}
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    jti: str
    subject_type: BearerType
    subject_id: str
    on_behalf_of: OnBehalfOf | None = None
    audiences: tuple[str, ...] = ()
    scopes: ScopeTuple = ()
    expires_at: AwareDatetime

    @property
    def person_id(self) -> str | None:
        """The id of the person who acts with this token, also on behalf of an organization; None if nobody does."""
        if self.subject_type == "Person":
            return self.subject_id
        return self.on_behalf_of.id if self.on_behalf_of else None

    def missing_scopes(self, needed: str | Iterable[str]) -> tuple[str, ...]:
        """Return those of the ``needed`` scopes that were not granted; ``x.y.rw`` includes ``x.y.r``.

        Raises ConfigurationError for a scope with a bearer prefix, which a token's scopes do not have.
        """
        return scope_rules.missing(self.scopes, needed)
