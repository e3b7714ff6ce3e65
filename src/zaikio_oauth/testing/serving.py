"""``zaikio-oauth hub``: serves a local Hub until it is stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import uvicorn

from zaikio_oauth.errors import ConfigurationError
from zaikio_oauth.settings import Settings
from zaikio_oauth.testing.local_hub import LocalHub

__all__ = ["serve"]

APP_URLS = ("http://localhost:8000", "http://127.0.0.1:8000")


def serve(*, host: str, port: int, app_urls: Iterable[str] | None, prefix: str, echo: Callable[[str], object]) -> None:
    """Serve a Hub with the clients of the environment, until it is stopped. Raises ConfigurationError."""
    urls = tuple(app_urls or ()) or APP_URLS
    # Only the clients matter here: the keys and the database are the app's. Without any, the Hub has its default app.
    configured = any(name.startswith("ZAIKIO_CLIENTS") for name in os.environ)
    hub = LocalHub.for_settings(Settings(), urls, prefix) if configured else LocalHub()
    url = f"http://{host}:{port}"
    echo(f"The local Hub is at {url}; set in your app: ZAIKIO_HOST={url}")
    for app in hub.apps:
        echo(f"  {app.name}: client id {app.client_id}, callbacks {', '.join(app.redirect_uris)}")
    server = uvicorn.Server(uvicorn.Config(hub, host=host, port=port, log_level="warning", lifespan="off"))
    try:
        server.run()
    except SystemExit:
        raise ConfigurationError(f"The local Hub cannot listen on {url}; is the port taken?") from None
