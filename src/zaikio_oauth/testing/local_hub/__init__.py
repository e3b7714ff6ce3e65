"""The local Hub."""

from zaikio_oauth.testing.local_hub.directory import HubApp, HubOrganization, HubPerson
from zaikio_oauth.testing.local_hub.hub import LocalHub
from zaikio_oauth.testing.local_hub.request_log import HubRequest
from zaikio_oauth.testing.local_hub.server import HubServer

__all__ = ["HubApp", "HubOrganization", "HubPerson", "HubRequest", "HubServer", "LocalHub"]
