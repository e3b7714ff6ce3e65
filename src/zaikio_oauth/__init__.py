"""Connect a FastAPI app to the Zaikio Hub: log in, store tokens, use them."""

import importlib
import typing

if typing.TYPE_CHECKING:
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

    configure = _default.configure

    zaikio_router = _default.router
    """All routes: ``app.include_router(zaikio_router, prefix="/zaikio")``."""
    sessions_router = _default.sessions_router
    """Only the ``sessions`` routes: log in and out."""
    connections_router = _default.connections_router
    """Only the ``connections`` routes: install the app for an organization."""
    subscriptions_router = _default.subscriptions_router
    """Only the ``subscriptions`` route, which needs the connections router as well."""
    webhook_router = _default.webhook_router
    """Only the ``webhook`` route: events of the Hub."""

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

_MODULES = {
    "access_token": "AccessToken OnBehalfOf",
    "application": "ZaikioOAuth",
    "errors": "BearerDoesNotExistError ConfigurationError DecryptionError HubUnavailableError InvalidGrantError "
    "InvalidResponseError InvalidScopesError InvalidTokenError OAuthError StoreUnavailableError UnknownClientError "
    "ZaikioOAuthError",
    "httpx_auth": "ZaikioAuth",
    "hub.event": "HubEvent",
    "resource_server.bearer_token": "BearerToken",
    "settings": "ClientSettings Settings",
    "tokens.connection": "Connection",
    "tokens.device_authorization": "DeviceAuthorization",
    "tokens.telemetry": "TokenEvent",
    "web.session": "LoginError login_error",
}
"""Where each name comes from. All others are members of the default ZaikioOAuth."""

_ORIGINS = {name: module for module, names in _MODULES.items() for name in names.split()}

if not typing.TYPE_CHECKING:  # Otherwise a type checker would accept any name.

    def __getattr__(name: str) -> object:
        """Import what is used when it is used (PEP 562), so that the command line does not wait for a web framework."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name in _ORIGINS:
            value = getattr(importlib.import_module(f"{__name__}.{_ORIGINS[name]}"), name)
        else:
            default = importlib.import_module(f"{__name__}.application").default
            value = default.router if name == "zaikio_router" else getattr(default, name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return __all__
