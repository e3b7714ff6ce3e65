"""People who had an account before they used Zaikio claim it by a link in an email (Hub documentation, "Migrate")."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi import FastAPI, Request

from tests.apps import small_app
from tests.data import ORGANIZATION_ID, PERSON_ID
from tests.visitor import BASE_URL, Visitor
from zaikio_oauth import AccessToken, Settings, ZaikioOAuth
from zaikio_oauth.application import default
from zaikio_oauth.testing import LocalHub

OTHER_PERSON_ID = "9c7f6d5e-4b3a-4210-8fed-cba987654321"


@dataclass
class Accounts:
    """The app's own table of accounts, as in the example in the documentation."""

    zaikio_ids: dict[str, str] = field(default_factory=dict)
    invitations: dict[str, tuple[str, float]] = field(default_factory=dict)

    def mail_link(self, hub_url: str, account: str, *, client_id: str = "warehouse-id", callback: str) -> str:
        """Return the link for the email. It leads straight to the Hub and has a state that appears nowhere else."""
        state = secrets.token_urlsafe(32)
        self.invitations[state] = (account, time.time() + 3600)
        parameters = {
            "client_id": client_id,
            "redirect_uri": f"{BASE_URL}/zaikio/{callback}",
            "response_type": "code",
            "scope": "Org.zaikio.organization.r" if callback.startswith("connections") else "zaikio.person.r",
            "state": state,
        }
        return f"{hub_url}/oauth/authorize?{urlencode(parameters)}"

    def verify_state(self, request: Request, state: str) -> bool:
        """Accept a state until its invitation expires."""
        _, good_until = self.invitations.get(state, ("", 0.0))
        return time.time() < good_until

    def after_approve(self, request: Request, token: AccessToken, origin: str | None) -> str | None:
        """Store which account belongs to the bearer, and use up the invitation."""
        account, _ = self.invitations.pop(request.query_params.get("state", ""), ("", 0.0))
        if not account:
            return None
        self.zaikio_ids[account] = token.bearer_id
        return f"/welcome/{account}"


@pytest.fixture
def accounts() -> Accounts:
    return Accounts()


@pytest.fixture
async def zaikio(make_settings: Callable[..., Settings], accounts: Accounts) -> AsyncIterator[ZaikioOAuth]:
    hooks = {"verify_state": accounts.verify_state, "after_approve": accounts.after_approve}
    async with ZaikioOAuth(make_settings(), **hooks) as opened:
        yield opened


@pytest.fixture
def app(zaikio: ZaikioOAuth) -> FastAPI:
    return small_app(zaikio)


async def test_a_mailed_link_logs_the_person_in_to_their_account(
    visitor: Visitor, hub: LocalHub, hub_url: str, accounts: Accounts, zaikio: ZaikioOAuth
) -> None:
    """A browser without any cookies follows the link, the person consents, and the app knows which account is theirs."""
    hub.auto_consent(PERSON_ID)
    callback = await visitor.consent(accounts.mail_link(hub_url, "anna", callback="sessions/approve"))
    answer = await visitor.get(callback)

    assert (answer.status_code, answer.headers["location"]) == (303, "/welcome/anna")
    assert accounts.zaikio_ids == {"anna": PERSON_ID}
    assert (await visitor.get("/me")).json()["person"] == PERSON_ID
    token = await zaikio.find_active_access_token(visitor.session["zaikio_access_token_id"])
    assert token is not None
    assert token.requested_scopes == ("zaikio.person.r",)


async def test_an_organization_is_claimed_in_the_same_way(
    visitor: Visitor, hub: LocalHub, hub_url: str, accounts: Accounts, zaikio: ZaikioOAuth
) -> None:
    """The owner claims it: nobody is logged in, and workers can use the organization's token."""
    hub.auto_consent(PERSON_ID, ORGANIZATION_ID)
    callback = await visitor.consent(accounts.mail_link(hub_url, "druckhaus", callback="connections/approve"))
    assert (await visitor.get(callback)).headers["location"] == "/welcome/druckhaus"

    assert accounts.zaikio_ids == {"druckhaus": ORGANIZATION_ID}
    assert "zaikio_person_id" not in visitor.session
    token = await zaikio.find_usable_access_token(bearer_type="Organization", bearer_id=ORGANIZATION_ID)
    assert token is not None
    assert token.requested_scopes == zaikio.settings.client("warehouse").organization_scopes


async def test_a_link_works_once(visitor: Visitor, hub: LocalHub, hub_url: str, accounts: Accounts) -> None:
    """A second person who finds the email cannot claim the account."""
    link = accounts.mail_link(hub_url, "anna", callback="sessions/approve")
    hub.auto_consent(PERSON_ID)
    await visitor.get(await visitor.consent(link))
    finder = Visitor(visitor.app._transport.app)  # type: ignore[attr-defined]
    hub.auto_consent(OTHER_PERSON_ID)
    exchanged = hub.count(grant_type="authorization_code")
    await finder.get(await finder.consent(link))

    assert (await finder.get("/")).json()["error"]["code"] == "invalid_state"
    assert accounts.zaikio_ids == {"anna": PERSON_ID}
    assert hub.count(grant_type="authorization_code") == exchanged
    await finder.aclose()


async def test_an_expired_or_forged_link_claims_nothing(
    visitor: Visitor, hub: LocalHub, hub_url: str, accounts: Accounts
) -> None:
    """The app decides in ``verify_state`` which states it accepts."""
    hub.auto_consent(PERSON_ID)
    old = accounts.mail_link(hub_url, "anna", callback="sessions/approve")
    for state in accounts.invitations:
        accounts.invitations[state] = ("anna", time.time() - 1)
    guessed = old.partition("&state=")[0] + "&state=guessed"
    for link in (old, guessed):
        await visitor.get(await visitor.consent(link))
        assert (await visitor.get("/")).json()["error"]["code"] == "invalid_state"
    assert accounts.zaikio_ids == {}
    assert hub.count(grant_type="authorization_code") == 0


async def test_a_person_who_cancels_may_follow_the_link_again(
    visitor: Visitor, hub: LocalHub, hub_url: str, accounts: Accounts
) -> None:
    """Only a successful login uses up the invitation."""
    link = accounts.mail_link(hub_url, "anna", callback="sessions/approve")
    hub.auto_cancel()
    await visitor.get(await visitor.consent(link))
    assert accounts.zaikio_ids == {}
    hub.auto_consent(PERSON_ID)
    await visitor.get(await visitor.consent(link))
    assert accounts.zaikio_ids == {"anna": PERSON_ID}


async def test_a_non_confidential_client_uses_a_link_through_the_app(
    visitor: Visitor, hub: LocalHub, accounts: Accounts
) -> None:
    """``sessions/new?state=…`` starts a normal login with PKCE in this browser, so ``verify_state`` is not needed."""
    hub.auto_consent(PERSON_ID)
    accounts.mail_link("", "anna", callback="sessions/approve")
    (state,) = accounts.invitations
    answer = await visitor.log_in("/zaikio/kiosk/sessions/new", state=state)
    assert answer.headers["location"] == "/welcome/anna"
    assert accounts.zaikio_ids == {"anna": PERSON_ID}


async def test_the_example_in_the_docs_works(
    visitor: Visitor, hub: LocalHub, example: Callable[..., dict[str, Any]]
) -> None:
    """The example works unchanged, except that it contains the address of the test's app."""
    names = example("how-to/account-claiming.md", ("https://your.app", BASE_URL))
    hub.auto_consent(PERSON_ID)
    link = names["mail_link"](7)
    async with default:
        reader = Visitor(names["app"])
        answer = await reader.get(await reader.consent(link))
        assert answer.headers["location"] == "/welcome"
        assert names["zaikio_ids"] == {7: PERSON_ID}
        assert (await reader.log_in()).headers["location"] == "/"
        finder = Visitor(names["app"])
        assert (await finder.get(await finder.consent(link))).headers["location"] == "/"
        assert "zaikio_person_id" not in finder.session
        await reader.aclose()
        await finder.aclose()
    assert names["zaikio_ids"] == {7: PERSON_ID}
