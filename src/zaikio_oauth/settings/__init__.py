"""What can be set, where it is read, and what is said about it."""

from zaikio_oauth.settings.client_settings import ClientSettings, same_app
from zaikio_oauth.settings.settings import DatabaseSettings, Settings
from zaikio_oauth.settings.values import http_url
from zaikio_oauth.settings.variables import value_of, variables

__all__ = ["ClientSettings", "DatabaseSettings", "Settings", "http_url", "same_app", "value_of", "variables"]
