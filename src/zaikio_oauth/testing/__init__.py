"""A local Hub for tests and development, and sessions that are logged in without a login."""

from zaikio_oauth.testing.local_hub import HubApp, HubOrganization, HubPerson, HubRequest, HubServer, LocalHub
from zaikio_oauth.testing.virtual_session import logged_in_as, session_cookie

__all__ = [
    "HubApp",
    "HubOrganization",
    "HubPerson",
    "HubRequest",
    "HubServer",
    "LocalHub",
    "logged_in_as",
    "session_cookie",
]
