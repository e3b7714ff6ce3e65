"""What an app does with the Hub: one class for each operation, with what is promised while the Hub fails."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from tests.data import KEY, OTHER_KEY
from tests.faults.hub_cells import CATALOG, SLACK, WEBHOOK_SECRET, Cell, eventually
from zaikio_oauth import ZaikioOAuth, ZaikioOAuthError

DELEGABLE = ["zaikio.delegations.rw", "zaikio.sites.r"]
ERRORS = ("temporarily_unavailable", "invalid_response", "server_error")
"""What a login that failed may tell the person; the last one is the Hub's own word."""


# ── a person with a browser ────────────────────────────────────────────────────────────────────────


class Approve(Cell):
    """A browser comes back from the Hub with a code."""

    async def prepare(self) -> None:
        url = await self.visitor.start(origin="/maybe")
        async with self.stage.consent:
            self.stage.hub.auto_consent(person_id=self.stage.hub.people[0].id)
            self.callback = await self.visitor.consent(url)

    async def perform(self) -> str:
        response = await self.visitor.get(self.callback)
        assert (response.status_code, response.headers["location"]) == (303, "/"), response.text
        error = (await self.visitor.get("/")).json()["error"]
        assert error["code"] in ERRORS, error
        assert (error["description"] or "x").isprintable()
        return error["code"]

    async def recover(self) -> None:
        person = await self.log_in()
        response = await self.visitor.get("/me")
        assert (response.status_code, response.json().get("person")) == (200, person)


class _LoggedIn(Cell):
    async def prepare(self) -> None:
        self.person = await self.log_in()
        self.id = self.visitor.session["zaikio_access_token_id"]

    async def page_works(self) -> None:
        response = await self.visitor.get("/me")
        if self.fault.used and response.status_code == 401:
            return  # The Hub has refused the refresh token, which it had taken before.
        assert response.status_code == 200, f"afterwards {response.status_code} {response.text}"
        assert response.json()["id"] == self.id


class RefreshByAPage(_LoggedIn):
    """A person whose token has expired opens a page: 503 after 5 seconds, and nobody is logged out."""

    limit, lifetime, pause = 5.0, 1.0, 1.2

    async def perform(self) -> int:
        response = await self.visitor.get("/me")
        assert response.status_code == 503, f"{response.status_code} {response.text}"
        assert int(response.headers["retry-after"]) > 0
        return response.status_code

    async def recover(self) -> None:
        await eventually(self.page_works)


class OptionalAccessToken(_LoggedIn):
    """A page that knows what to show to nobody: it waits for two seconds."""

    limit, lifetime, pause = 2.0, 1.0, 1.2

    async def perform(self) -> str:
        response = await self.visitor.get("/maybe")
        assert (response.status_code, response.json()) == (200, "nobody"), response.text
        return "nobody"

    async def recover(self) -> None:
        await eventually(self.page_works)


class PageWithALivingToken(_LoggedIn):
    """A token that has to be refreshed but still lives is given at once."""

    limit, lifetime, urgent = 1.0, 29.0, True

    async def perform(self) -> int:
        await self.page_works()
        return 200

    async def recover(self) -> None:
        await self.page_works()


class Logout(_LoggedIn):
    """A person logs out: done here within 5 seconds, whatever the Hub says."""

    path, limit = "/api/v1/revoked_access_tokens", 5.0

    async def perform(self) -> int:
        response = await self.visitor.app.delete("/zaikio/session")
        assert (response.status_code, response.headers["location"]) == (303, "/"), response.text
        assert "zaikio_access_token_id" not in self.visitor.session
        assert (await self.visitor.get("/me")).status_code == 401
        return response.status_code

    async def recover(self) -> None:
        assert await self.zaikio.find_active_access_token(self.id) is None
        await self.log_in()
        assert (await self.visitor.get("/me")).status_code == 200


# ── workers ────────────────────────────────────────────────────────────────────────────────────────


class WithAuthByRefresh(Cell):
    """A worker uses the token of a person, which has expired; the client has no secret, so there is no other way."""

    lifetime, pause = 1.0, 1.2

    async def prepare(self) -> None:
        self.person = await self.log_in("kiosk")
        self.id = self.visitor.session["zaikio_access_token_id"]

    async def perform(self) -> str:
        async with self.zaikio.with_auth(bearer_id=self.person, client_name="kiosk") as token:
            assert not token.expired
            assert token.id == self.id
            return "a token"

    async def recover(self) -> None:
        try:
            await eventually(self.perform, seconds=5.0 if self.fault.used else 20.0)
        except ZaikioOAuthError:
            if not self.fault.used:
                raise


class WithAuthByClientCredentials(Cell):
    """A worker uses a token of an organization that nobody has fetched yet."""

    async def prepare(self) -> None:
        self.organization = self.an_organization(["zaikio.organization.r"])

    async def perform(self) -> str:
        async with self.zaikio.with_auth(bearer_type="Organization", bearer_id=self.organization) as token:
            assert not token.expired
            return "a token"

    async def recover(self) -> None:
        await eventually(self.perform)


class Delegation(Cell):
    """A worker gets a token for a subsystem."""

    path = "/oauth/delegate"

    async def prepare(self) -> None:
        organization = self.an_organization(DELEGABLE)
        # The lifetime of tokens is another one while somebody logs in.
        async with self.stage.consent:
            self.token = await self.zaikio.get_access_token(
                bearer_type="Organization", bearer_id=organization, scopes=DELEGABLE
            )

    async def perform(self) -> str:
        await self.zaikio.delegate(self.token, client_id="setter-id", scopes=["zaikio.sites.r"])
        return "a token"

    async def recover(self) -> None:
        await eventually(self.perform)


class Revoke(_LoggedIn):
    """A worker revokes a token: it is deleted within 5 seconds, whatever the Hub says."""

    path, limit = "/api/v1/revoked_access_tokens", 5.0

    async def perform(self) -> None:
        token = await self.zaikio.find_active_access_token(self.id)
        assert token is not None
        try:
            await self.zaikio.revoke(token)
        finally:
            assert await self.zaikio.find_active_access_token(self.id) is None


class DeviceStart(Cell):
    """A device asks for codes."""

    path = "/oauth/device_authorizations"

    async def perform(self) -> str:
        return (await self.zaikio.start_device_authorization()).user_code

    async def recover(self) -> None:
        await eventually(self.perform)


class DeviceWait(Cell):
    """A device waits for its person, who consents when the Hub is well again."""

    async def prepare(self) -> None:
        self.device = await self.zaikio.start_device_authorization()
        self.failed = False

    async def perform(self) -> str:
        try:
            async with asyncio.timeout(6):
                await self.device.wait()
        except TimeoutError:
            return "still waiting"
        except ZaikioOAuthError:
            self.failed = True
            raise
        raise AssertionError("a token before anybody has consented")

    async def recover(self) -> None:
        if self.failed or "3600" in self.fault.name:
            # The Hub said that it is over, or that nobody may ask for an hour.
            assert self.failed == (self.fault.name == "200 with an error"), "given up too early"
            return
        self.stage.hub.approve_device(self.device.user_code, self.stage.hub.people[0].id)
        async with asyncio.timeout(60):
            assert (await self.device.wait()).bearer_id == self.stage.hub.people[0].id


# ── tokens that others show us ─────────────────────────────────────────────────────────────────────


class _Bearer(Cell):
    async def prepare(self) -> None:
        person = self.stage.hub.people[0].id
        self.bearer = self.stage.hub.mint_token("warehouse-id", person, CATALOG, issuer=self.proxy.url)

    async def catalog(self, *allowed: int) -> int:
        response = await self.visitor.get("/catalog", headers={"Authorization": f"Bearer {self.bearer}"})
        assert response.status_code in allowed, f"{response.status_code} {response.text}"
        return response.status_code

    async def recover(self) -> None:
        await eventually(lambda: self.catalog(200))


class BearerTokenWithoutKeys(_Bearer):
    """The Hub's keys cannot be fetched: 503 after 5 seconds, and one more for the list of revoked tokens."""

    path, limit = "/api/v1/jwt_public_keys.json", 6.0

    async def perform(self) -> int:
        return await self.catalog(503)


class BearerTokenWithoutRevocations(_Bearer):
    """The list of revoked tokens cannot be fetched at the start: a request waits for it for one second, then goes on."""

    # It starts together with dozens of others, each of which migrates its database, so the request is timed alone.
    path, limit = "/api/v1/revoked_access_tokens", 10.0
    open_before = False

    async def perform(self) -> int:
        async with self.zaikio:
            started, late = time.monotonic(), self.stage.lateness.total
            # If nothing works, there are no keys either.
            status = await self.catalog(503 if self.fault.total else 200)
            took, late = time.monotonic() - started, self.stage.lateness.total - late
            most = (6.0 if self.fault.total else 1.0) + SLACK + late
            assert took <= most, f"the request took {took:.1f} s"
            return status

    async def recover(self) -> None:
        async with self.zaikio:
            await self.catalog(200)


# ── what needs no Hub ──────────────────────────────────────────────────────────────────────────────


class StartAndStop(Cell):
    """An app starts, which includes its migrations, and stops while nothing at the Hub works."""

    path, limit = "/", 4.0
    open_before = False

    async def perform(self) -> str:
        async with self.zaikio:
            return "started"


class Webhook(_LoggedIn):
    """An event of the Hub is applied at once."""

    path, limit = "/", 1.0

    async def perform(self) -> int:
        token = await self.zaikio.find_active_access_token(self.id)
        assert token is not None
        body, headers = self.stage.hub.webhook_event(token.jti, WEBHOOK_SECRET)
        response = await self.visitor.app.post("/zaikio/webhook", content=body, headers=headers)
        while response.status_code == 503:
            # On a busy machine it may be late.
            response = await self.visitor.app.post("/zaikio/webhook", content=body, headers=headers)
        assert response.status_code == 200, response.text
        assert await self.zaikio.find_active_access_token(self.id) is None
        return response.status_code


class CleanupAndRotation(_LoggedIn):
    """What is expired is deleted, and what is not under the first key is encrypted anew."""

    path, limit = "/", 2.0

    async def perform(self) -> Any:
        async with ZaikioOAuth(self.settings_with(OTHER_KEY, KEY)) as zaikio:
            assert await zaikio.rotate_encryption_keys() == 1
            assert await zaikio.cleanup_access_tokens() == 0
            assert await zaikio.find_active_access_token(self.id) is not None
        return "rotated"
