"""A local Hub for development and tests."""

from zaikio_oauth.testing.local_hub.hub import LocalHub
from zaikio_oauth.testing.local_hub.hub_server import HubServer
from zaikio_oauth.testing.local_hub.state.directory import HubApp, HubOrganization, HubPerson
from zaikio_oauth.testing.local_hub.state.hub_request import HubRequest

__all__ = ["HubApp", "HubOrganization", "HubPerson", "HubRequest", "HubServer", "LocalHub"]
