"""Connect a FastAPI app to the Zaikio Hub: log in, store tokens, use them."""

from zaikio_oauth.access_token import AccessToken, OnBehalfOf
from zaikio_oauth.application import ZaikioOAuth
from zaikio_oauth.application import default as _default
from zaikio_oauth.errors import (
    BearerDoesNotExistError,
    ConfigurationError,
    DecryptionError,
    HubUnavailableError,
    InvalidGrantError,
    InvalidResponseError,
    InvalidScopesError,
    InvalidTokenError,
    OAuthError,
    StoreUnavailableError,
    UnknownClientError,
    ZaikioOAuthError,
)
from zaikio_oauth.httpx_auth import ZaikioAuth
from zaikio_oauth.hub.event import HubEvent
from zaikio_oauth.resource_server.bearer_token import BearerToken
from zaikio_oauth.settings import ClientSettings, Settings
from zaikio_oauth.tokens.connection import Connection
from zaikio_oauth.tokens.device_authorization import DeviceAuthorization
from zaikio_oauth.tokens.telemetry import TokenEvent
from zaikio_oauth.web.session import LoginError, login_error

__all__ = [
    "AccessToken",
    "BearerDoesNotExistError",
    "BearerToken",
    "ClientSettings",
    "ConfigurationError",
    "Connection",
    "DecryptionError",
    "DeviceAuthorization",
    "HubEvent",
    "HubUnavailableError",
    "InvalidGrantError",
    "InvalidResponseError",
    "InvalidScopesError",
    "InvalidTokenError",
    "LoginError",
    "OAuthError",
    "OnBehalfOf",
    "Settings",
    "StoreUnavailableError",
    "TokenEvent",
    "UnknownClientError",
    "ZaikioAuth",
    "ZaikioOAuth",
    "ZaikioOAuthError",
    "bearer_token",
    "cleanup_access_tokens",
    "configure",
    "connections",
    "connections_router",
    "current_access_token",
    "delegate",
    "find_active_access_token",
    "find_usable_access_token",
    "get_access_token",
    "keep_alive",
    "login_error",
    "optional_access_token",
    "refresh",
    "revoke",
    "rotate_encryption_keys",
    "sessions_router",
    "start_device_authorization",
    "subscriptions_router",
    "verify_bearer_token",
    "webhook_router",
    "with_auth",
    "with_client",
    "zaikio_router",
]

configure = _default.configure

zaikio_router = _default.router
sessions_router = _default.sessions_router
connections_router = _default.connections_router
subscriptions_router = _default.subscriptions_router
webhook_router = _default.webhook_router

current_access_token = _default.current_access_token
optional_access_token = _default.optional_access_token
bearer_token = _default.bearer_token

with_auth = _default.with_auth
with_client = _default.with_client
get_access_token = _default.get_access_token
find_usable_access_token = _default.find_usable_access_token
find_active_access_token = _default.find_active_access_token
refresh = _default.refresh
revoke = _default.revoke
delegate = _default.delegate
start_device_authorization = _default.start_device_authorization
verify_bearer_token = _default.verify_bearer_token
connections = _default.connections
keep_alive = _default.keep_alive
cleanup_access_tokens = _default.cleanup_access_tokens
rotate_encryption_keys = _default.rotate_encryption_keys
