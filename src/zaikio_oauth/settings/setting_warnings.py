"""What is said about settings that are accepted and yet look like mistakes, at start-up and by ``zaikio-oauth check``.

Only names are said, never a value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.settings.settings import Settings, misspelt_variables

__all__ = ["SettingWarning", "setting_warnings"]


class SettingWarning(NamedTuple):
    """A line about something that is wrong with valid settings, which says what to do, and its key in the log."""

    key: str
    text: str


def setting_warnings(settings: Settings) -> tuple[SettingWarning, ...]:
    """Return what is wrong with valid settings."""
    misspelt = (SettingWarning("settings.misspelt_variable", line) for line in misspelt_variables())
    return (*misspelt, *_former_scopes(settings), *_unsafe_in_production(settings))


def _former_scopes(settings: Settings) -> Iterator[SettingWarning]:
    """The Hub's own app was called ``directory`` until October 2023."""
    configured = (
        scope for client in settings.clients.values() for scope in client.default_scopes + client.organization_scopes
    )
    former = dict.fromkeys(scope for scope in configured if scope_rules.unprefixed(scope).startswith("directory."))
    if former:
        yield SettingWarning(
            "settings.former_scope",
            f"The Hub's own app is now called zaikio, not directory; rename {', '.join(former)}.",
        )


def _unsafe_in_production(settings: Settings) -> Iterator[SettingWarning]:
    if settings.environment != "production":
        return
    if settings.base_url is None:
        yield SettingWarning(
            "settings.no_base_url",
            "ZAIKIO_BASE_URL is not set, so the Host header of a request says where the app is; "
            "set it to the app's address on https.",
        )
    elif not settings.base_url.startswith("https:"):
        yield SettingWarning(
            "settings.insecure_base_url",
            "ZAIKIO_BASE_URL is on http, where logins can be read in transit; set it to an address on https.",
        )
    if not settings.host.startswith("https:"):
        yield SettingWarning(
            "settings.insecure_host",
            "ZAIKIO_HOST is on http, where tokens can be read in transit; remove it, or set an address on https.",
        )
    if not settings.client(settings.default_client).confidential:
        variable = f"ZAIKIO_CLIENTS__{settings.default_client.upper()}__CLIENT_SECRET"
        yield SettingWarning(
            "settings.no_client_secret",
            f"The default client {settings.default_client} has no secret; "
            f"set {variable} to the app's client secret at the Hub.",
        )
