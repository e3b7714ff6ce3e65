"""The names of the Hub's roles, for a token whose JWT tells them as a bit field (Hub documentation, "On Behalf")."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from zaikio_oauth.errors import HubUnavailableError, InvalidResponseError
from zaikio_oauth.hub.http import HubHttp
from zaikio_oauth.hub.published import Published
from zaikio_oauth.hub.token_response import TokenResponse

__all__ = ["Roles"]

_PATH = "/api/v1/roles"

log = logging.getLogger("zaikio_oauth")


class Roles:
    """Reads the bit field: the first role of the Hub's list is the lowest bit."""

    def __init__(self, http: HubHttp) -> None:
        self._names: Published[tuple[str, ...]] = Published(http, _PATH, _names)

    async def told(self, response: TokenResponse) -> TokenResponse:
        """The answer with its roles named, where only the JWT tells them; as it was when they cannot be named."""
        if response.on_behalf_of is None or response.roles_told or response.role_bits is None:
            return response
        names = await self.named(response.role_bits)
        if names is None:
            return response
        acting = response.on_behalf_of.model_copy(update={"roles": names})
        return replace(response, on_behalf_of=acting, roles_told=True)

    async def named(self, bits: int) -> tuple[str, ...] | None:
        """The roles of these bits, without those that the Hub has no name for; None when it cannot be asked.

        A token must not be lost for want of a name, so what is missing is only logged.
        """
        if not bits:
            return ()
        try:
            names = await self._names.get()
            if bits >> len(names):
                # A role that is newer than the list.
                names = await self._names.get_newer(names)
        except HubUnavailableError as error:
            log.warning("The roles of a token are left out: %s", error)
            return None
        if bits >> len(names):
            log.warning("The Hub's list of roles has no name for some of the bits %s.", bin(bits))
        return tuple(name for position, name in enumerate(names) if bits >> position & 1)

    async def aclose(self) -> None:
        """Give up a request under way."""
        await self._names.aclose()


def _names(body: Any) -> tuple[str, ...]:
    if not isinstance(body, list) or not all(isinstance(each, str) for each in body):
        raise InvalidResponseError("The Hub's answer is not a list of roles.")
    return tuple(body)
