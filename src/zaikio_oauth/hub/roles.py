"""The names of the Hub's roles, for tokens whose JWT has them as a bit field (Hub documentation, "On Behalf")."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from zaikio_oauth.errors import HubUnavailableError, InvalidResponseError
from zaikio_oauth.hub.http import HubHttp
from zaikio_oauth.hub.published_resource import PublishedResource
from zaikio_oauth.hub.syntax import is_name
from zaikio_oauth.hub.token_response import TokenResponse

__all__ = ["Roles"]

_PATH = "/api/v1/roles"

log = logging.getLogger("zaikio_oauth")


class Roles:
    """Decodes the bit field, in which the first role of the Hub's list is the lowest bit."""

    def __init__(self, http: HubHttp) -> None:
        self._names: PublishedResource[tuple[str, ...]] = PublishedResource(http, _PATH, _names)

    @property
    def fresh(self) -> object | None:
        """The names that are given to bits now, unless they have to be fetched; compare it by identity."""
        return self._names.fresh

    async def resolved(self, response: TokenResponse) -> TokenResponse:
        """Return the response with the names of its roles, if only the JWT has them and they can be resolved."""
        if response.on_behalf_of is None or response.has_roles or response.role_bits is None:
            return response
        names = await self.named(response.role_bits)
        if names is None:
            return response
        acting = response.on_behalf_of.model_copy(update={"roles": names})
        return replace(response, on_behalf_of=acting, has_roles=True)

    async def named(self, bits: int) -> tuple[str, ...] | None:
        """Return the roles of these bits, except those without a name; None if the Hub cannot be asked.

        A token must not be lost because a name is missing, so that is only logged.
        """
        if not bits:
            return ()
        try:
            names = await self._names.get()
            if bits >> len(names):
                # A role that is newer than the list that we have.
                names = await self._names.get_newer(names)
        except HubUnavailableError as error:
            log.warning("The roles of a token are left out: %s", error, extra={"zaikio_event": "roles.unavailable"})
            return None
        if bits >> len(names):
            log.warning(
                "The Hub's list of roles has no name for some of the bits %s.",
                bin(bits),
                extra={"zaikio_event": "roles.unnamed"},
            )
        return tuple(name for position, name in enumerate(names) if bits >> position & 1)

    async def aclose(self) -> None:
        """Cancel a request under way."""
        await self._names.aclose()


def _names(body: Any) -> tuple[str, ...]:
    if not isinstance(body, list) or not all(map(is_name, body)):
        raise InvalidResponseError("The Hub's response is not a list of roles.")
    return tuple(body)
