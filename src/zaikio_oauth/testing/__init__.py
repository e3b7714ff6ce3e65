"""A local Hub for tests and development, and sessions that are logged in without a login."""

try:
    from zaikio_oauth.testing.local_hub import HubApp, HubOrganization, HubPerson, HubRequest, HubServer, LocalHub
    from zaikio_oauth.testing.virtual_session import logged_in_as, session_cookie
except ModuleNotFoundError as error:
    missing = error.name or ""
    if missing.partition(".")[0] == "zaikio_oauth":
        raise  # a fault of ours, which installing the extra would not mend
    advice = f"zaikio_oauth.testing needs {missing}: pip install 'zaikio_oauth[testing]'"
    raise ModuleNotFoundError(advice, name=error.name) from None

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
