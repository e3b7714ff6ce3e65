"""Errors, which also have to travel between processes."""

from __future__ import annotations

import copy
import pickle

import pytest

import zaikio_oauth
from zaikio_oauth import (
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

ERRORS = [
    ZaikioOAuthError("anything"),
    ConfigurationError("set it"),
    UnknownClientError("kiosk", ["warehouse", "mill"]),
    OAuthError("invalid_client", "wrong secret", 401),
    OAuthError("invalid_client"),
    InvalidGrantError("invalid_grant", "used", 400),
    InvalidScopesError("ungranted_scope", None, 402),
    BearerDoesNotExistError("bearer_does_not_exist", None, 422),
    InvalidTokenError("The token has expired."),
    HubUnavailableError("it answered 502", elapsed=30.1, retry_after=7.0),
    InvalidResponseError("not JSON"),
    StoreUnavailableError("it is read-only", elapsed=2.5),
    DecryptionError("6f0e1a6e-0c6b-4f0a-8d2e-2d4c0f1f5a11"),
]


def test_every_error_is_among_them() -> None:
    """A new class is added to this list."""
    public = [getattr(zaikio_oauth, name) for name in zaikio_oauth.__all__ if name.endswith("Error")]
    assert {kind for kind in public if issubclass(kind, Exception)} == {type(error) for error in ERRORS}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_survives_a_process_pool(error: ZaikioOAuthError) -> None:
    """It keeps its type, its message and everything that a handler needs."""
    for restored in [pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)]:
        assert type(restored) is type(error)
        assert str(restored) == str(error)
        assert vars(restored) == vars(error)
