"""Connect a FastAPI app to the Zaikio Hub: log in, keep tokens, use them."""

from zaikio_oauth.access_token import AccessToken, OnBehalfOf
from zaikio_oauth.application import ZaikioOAuth
from zaikio_oauth.default import (
    cleanup_access_tokens,
    configure,
    connections_router,
    current_access_token,
    find_active_access_token,
    find_usable_access_token,
    get_access_token,
    optional_access_token,
    refresh,
    revoke,
    rotate_encryption_keys,
    sessions_router,
    subscriptions_router,
    webhook_router,
    with_auth,
    with_client,
    zaikio_router,
)
from zaikio_oauth.errors import (
    BearerDoesNotExistError,
    ConfigurationError,
    DecryptionError,
    HubUnavailableError,
    InvalidGrantError,
    InvalidResponseError,
    InvalidScopesError,
    OAuthError,
    UnknownClientError,
    ZaikioOAuthError,
)
from zaikio_oauth.httpx_auth import ZaikioAuth
from zaikio_oauth.settings import ClientSettings, Settings
from zaikio_oauth.telemetry import TokenEvent
from zaikio_oauth.web.login import LoginError, login_error

__all__ = [
    "AccessToken",
    "BearerDoesNotExistError",
    "ClientSettings",
    "ConfigurationError",
    "DecryptionError",
    "HubUnavailableError",
    "InvalidGrantError",
    "InvalidResponseError",
    "InvalidScopesError",
    "LoginError",
    "OAuthError",
    "OnBehalfOf",
    "Settings",
    "TokenEvent",
    "UnknownClientError",
    "ZaikioAuth",
    "ZaikioOAuth",
    "ZaikioOAuthError",
    "cleanup_access_tokens",
    "configure",
    "connections_router",
    "current_access_token",
    "find_active_access_token",
    "find_usable_access_token",
    "get_access_token",
    "login_error",
    "optional_access_token",
    "refresh",
    "revoke",
    "rotate_encryption_keys",
    "sessions_router",
    "subscriptions_router",
    "webhook_router",
    "with_auth",
    "with_client",
    "zaikio_router",
]
