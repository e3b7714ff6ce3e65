"""What is said about settings that are accepted and yet look like mistakes, at start-up and by ``zaikio-oauth check``.

Only names are said, never a value.
"""

from __future__ import annotations

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.settings.settings import Settings

__all__ = ["setting_warnings"]


def setting_warnings(settings: Settings) -> tuple[str, ...]:
    """Return one line, which says what to do, for each thing that is wrong with valid settings."""
    return _former_scopes(settings)


def _former_scopes(settings: Settings) -> tuple[str, ...]:
    """The Hub's own app was called ``directory`` until October 2023."""
    configured = (
        scope for client in settings.clients.values() for scope in client.default_scopes + client.organization_scopes
    )
    former = dict.fromkeys(scope for scope in configured if scope_rules.unprefixed(scope).startswith("directory."))
    if not former:
        return ()
    return (f"The Hub's own app is now called zaikio, not directory; rename {', '.join(former)}.",)
