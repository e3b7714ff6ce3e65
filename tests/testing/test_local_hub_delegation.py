"""The local Hub delegates a part of a token's scopes to the app of a subsystem."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.testing.test_local_hub import refused
from zaikio_oauth.testing import LocalHub

SCOPES = "zaikio.delegations.rw,zaikio.sites.r,zaikio.machines.r"


@pytest.fixture
def browser(hub_url: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=hub_url) as client:
        yield client


def delegate(
    browser: httpx2.Client, token: str | None, scope: str = "zaikio.sites.r", client_id: str = "kiosk-id"
) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    data = {"client_id": client_id, "delegate_access_scope": scope}
    return browser.post("/oauth/delegate", data=data, headers=headers)


def parent(hub: LocalHub, scope: str = SCOPES, client_id: str = "warehouse-id") -> str:
    """Return a token that may be delegated."""
    return hub.mint_token(client_id, hub.people[0].id, scope)


def test_a_subsystem_gets_a_part(browser: httpx2.Client, hub: LocalHub) -> None:
    """It has its own audience, the same bearer and no refresh token."""
    answer = delegate(browser, parent(hub))
    body = answer.json()

    assert answer.headers["cache-control"] == "no-store"
    assert body.pop("access_token")
    assert body == {
        "token_type": "bearer",
        "scope": "zaikio.sites.r",
        "audiences": ["kiosk"],
        "expires_in": 3600,
        "bearer": {"id": hub.people[0].id, "type": "Person"},
    }


@pytest.mark.parametrize(
    ("parent_scope", "scope", "code"),
    [
        ("zaikio.sites.r", "zaikio.sites.r", "parent_has_no_delegation_permission"),
        ("zaikio.delegations.r,zaikio.sites.r", "zaikio.sites.r", "parent_has_no_delegation_permission"),
        (SCOPES, "zaikio.person.r", "scope_was_not_granted_in_parent"),
        (SCOPES, "zaikio.sites.rw", "scope_was_not_granted_in_parent"),
        (SCOPES, "", "malformed_scope"),
        (SCOPES, "sites", "malformed_scope"),
    ],
)
def test_a_parent_cannot_delegate_scopes_that_it_does_not_have(
    browser: httpx2.Client, hub: LocalHub, parent_scope: str, scope: str, code: str
) -> None:
    """The Hub's error codes for scopes."""
    answer = delegate(browser, parent(hub, parent_scope), scope)

    assert (answer.status_code, answer.json()) == (422, {"errors": {"scopes": [code]}})


def test_a_delegated_token_cannot_be_delegated(browser: httpx2.Client, hub: LocalHub) -> None:
    """Not even if it has the scope to delegate."""
    child = delegate(browser, parent(hub), SCOPES, "warehouse-id").json()["access_token"]
    answer = delegate(browser, child)

    assert (answer.status_code, answer.json()) == (
        422,
        {"errors": {"scopes": ["delegation_access_token_cannot_delegate"]}},
    )


def test_only_confidential_apps_delegate_and_only_to_apps_that_exist(browser: httpx2.Client, hub: LocalHub) -> None:
    """The Hub's errors for a non-confidential parent and an unknown subsystem (Hub documentation, "Delegation")."""
    assert refused(delegate(browser, parent(hub, client_id="kiosk-id"))) == (400, "unauthorized_client")
    assert refused(delegate(browser, parent(hub), client_id="nobody")) == (400, "invalid_client")


@pytest.mark.parametrize(("token", "challenge"), [(None, ""), ("guessed", ', error="invalid_token"')])
def test_a_token_is_needed(browser: httpx2.Client, token: Any, challenge: str) -> None:
    """A missing token gets no error code, an unknown one gets ``invalid_token`` (RFC 6750 §3.1)."""
    answer = delegate(browser, token)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == f'Bearer realm="Zaikio"{challenge}'


def test_a_revoked_token_delegates_nothing(browser: httpx2.Client, hub: LocalHub) -> None:
    """Revocation applies to this endpoint, too."""
    token = parent(hub)
    headers = {"Authorization": f"Bearer {token}"}
    assert browser.post("/api/v1/revoked_access_tokens", headers=headers).status_code == 201

    assert delegate(browser, token).status_code == 401
