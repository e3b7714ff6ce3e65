"""What is done while a fault lasts, and what has to be true then and afterwards: one class for each operation."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from tests.faults.stage import CATALOG, DELEGABLE, WEBHOOK_SECRET, Stage, eventually
from zaikio_oauth import HubUnavailableError, StoreUnavailableError, ZaikioOAuth

SLACK = 4.0
"""For a machine that is busy; on top of it comes how late the event loop was in all."""

WANTED_BY = 3
"""How many want the same token at once."""

LATER = (StoreUnavailableError, HubUnavailableError)
"""What a caller may be told while a fault lasts."""


class Operation:
    """One thing that an app does. ``limit`` is how many seconds it may take while the fault lasts."""

    limit = 30.0

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    @property
    def zaikio(self) -> ZaikioOAuth:
        return self.stage.zaikio

    async def prepare(self) -> None:
        """Do, before the fault, what has to be done first."""

    async def perform(self) -> Any:
        """Do it, and return what came of it; raise whatever is raised."""
        raise NotImplementedError

    async def once(self) -> Any:
        """Do it for one caller only."""
        return await self.perform()

    async def verify(self) -> None:
        """Check, after the fault, that nothing is lost and that it works again."""

    async def close(self) -> None:
        """Put away what was used."""

    async def in_time(self) -> str:
        """Perform it, and return what came of it; fail if that is not what was promised."""
        started, late = time.monotonic(), self.stage.lateness.total
        try:
            async with asyncio.timeout(self.limit + 90):
                outcome = await self.perform()
        except LATER as error:
            outcome = f"{type(error).__name__} ({error})"
        took, late = time.monotonic() - started, self.stage.lateness.total - late
        assert took <= self.limit + SLACK + late, (
            f"took {took:.1f} s ({late:.1f} s late), not {self.limit:.0f}: {outcome}"
        )
        return f"{took:.1f} s: {outcome}"


class ByBrowser(Operation):
    lifetime = 3600.0

    async def prepare(self) -> None:
        self.person = self.stage.somebody()
        self.visitor = self.stage.visitor()
        self.stage.hub.access_token_lifetime = self.lifetime
        await self.visitor.log_in(force_login="true")
        self.stage.hub.access_token_lifetime = 3600.0
        self.id = self.visitor.session["zaikio_access_token_id"]

    async def close(self) -> None:
        await self.visitor.aclose()

    async def page(self) -> str:
        response = await self.visitor.get("/me")
        assert response.status_code in (200, 503), f"{response.status_code} {response.text}"
        if response.status_code == 503:
            assert int(response.headers["retry-after"]) > 0
        else:
            assert response.json()["id"] == self.id
        return str(response.status_code)

    async def page_works(self) -> None:
        assert await self.page() == "200", "the page does not work again"


class InSeveralTabs(ByBrowser):
    """A person opens a page in several tabs at once."""

    async def perform(self) -> list[str]:
        return await asyncio.gather(*(self.page() for _ in range(WANTED_BY)))

    async def once(self) -> str:
        return await self.page()


class BySeveralWorkers(Operation):
    """Several workers want the same token at once; ``use`` is what each of them does with it."""

    async def use(self) -> str:
        raise NotImplementedError

    async def perform(self) -> list[str]:
        outcomes = await asyncio.gather(*(self.use() for _ in range(WANTED_BY)), return_exceptions=True)
        return told(outcomes)

    async def once(self) -> str:
        return await self.use()


class Approve(Operation):
    """A browser comes back from the Hub with a code."""

    limit = 30.0

    async def prepare(self) -> None:
        self.person = self.stage.somebody()
        self.visitor = self.stage.visitor()
        self.callback = await self.visitor.consent(await self.visitor.start(force_login="true", origin="/maybe"))

    async def perform(self) -> str:
        response = await self.visitor.get(self.callback)
        assert response.status_code == 303, f"{response.status_code} {response.text}"
        if "zaikio_access_token_id" in self.visitor.session:
            assert response.headers["location"] == "/maybe"
            return "logged in"
        error = (await self.visitor.get("/")).json()["error"]
        assert error["code"] == "temporarily_unavailable", error
        return "temporarily_unavailable"

    async def verify(self) -> None:
        await self.stage.kept_or_revoked(self.person)
        await eventually(self.logged_in)

    async def logged_in(self) -> None:
        if "zaikio_access_token_id" not in self.visitor.session:
            # The Hub knows one person at a time who consents without a page.
            async with self.stage.consenting:
                self.stage.hub.auto_consent(person_id=self.person)
                await self.visitor.log_in(force_login="true")
        response = await self.visitor.get("/me")
        shown = response.status_code, response.json().get("person")
        assert shown == (200, self.person), f"{shown} {response.text}, not {self.person}"

    async def close(self) -> None:
        await self.visitor.aclose()


class RefreshByAPage(InSeveralTabs):
    """A person whose token has expired opens a page in several tabs."""

    lifetime, limit = 1.0, 5.0

    async def verify(self) -> None:
        await eventually(self.page_works)
        self.stage.assert_issued(self.person, 2)
        await self.stage.kept_or_revoked(self.person)


class WithAuthByRefresh(BySeveralWorkers, ByBrowser):
    """Workers want the token of a person, which has expired."""

    lifetime = 1.0

    async def use(self) -> str:
        async with self.zaikio.with_auth(bearer_id=self.person) as token:
            assert not token.expired
            # By client credentials a worker would get another grant: the one that can be refreshed was lost.
            assert token.id == self.id, "another grant"
            return "token"

    async def verify(self) -> None:
        await works(self.use)
        self.stage.assert_issued(self.person, 2)
        await self.stage.kept_or_revoked(self.person)


class WithAuthByClientCredentials(BySeveralWorkers):
    """Workers want the token of an organization, of which none is stored."""

    async def prepare(self) -> None:
        self.organization = self.stage.some_organization(["zaikio.organization.r"])

    async def use(self) -> str:
        wanted = {"bearer_type": "Organization", "bearer_id": self.organization}
        async with self.zaikio.with_auth(**wanted) as token:
            assert not token.expired
            return "token"

    async def verify(self) -> None:
        await self.stage.kept_or_revoked(self.organization)
        await works(self.use)
        self.stage.assert_issued(self.organization, 1)


class Logout(ByBrowser):
    """A person logs out."""

    limit = 5.0

    async def perform(self) -> str:
        (self.jti,) = [issued.jti for issued in self.stage.issued(self.person)]
        response = await self.visitor.app.delete("/zaikio/session")
        assert (response.status_code, response.headers["location"]) == (303, "/"), response.status_code
        assert self.visitor.session == {}, "the session is not cleared"
        return "logged out"

    async def verify(self) -> None:
        async def revoked() -> None:
            assert self.jti in self.stage.hub.grants.revoked(), "the token is not revoked at the Hub"
            assert self.jti not in await self.stage.stored(), "the grant is still stored"

        await eventually(revoked)


class Webhook(ByBrowser):
    """Loom delivers the event of a revoked token, again after each 503."""

    limit = 1.0

    async def perform(self) -> str:
        (issued,) = self.stage.issued(self.person)
        body, headers = self.stage.hub.webhook_event(issued.jti, WEBHOOK_SECRET)
        response = await self.visitor.app.post("/zaikio/webhook", content=body, headers=headers)
        assert response.status_code in (200, 503), response.status_code
        return str(response.status_code)

    async def verify(self) -> None:
        async def delivered() -> None:
            assert await self.perform() == "200", "the event is not taken"

        await eventually(delivered)
        assert (await self.visitor.get("/me")).status_code == 401


class Cleanup(Operation):
    """A scheduled job deletes what can never be used again."""

    async def prepare(self) -> None:
        organization = self.stage.some_organization(["zaikio.organization.r"])
        self.stage.hub.access_token_lifetime = 1.0
        token = await self.zaikio.get_access_token(bearer_type="Organization", bearer_id=organization, valid_for=0)
        self.stage.hub.access_token_lifetime = 3600.0
        self.jti = token.jti

    async def perform(self) -> str:
        return f"{await self.zaikio.cleanup_access_tokens()} deleted"

    async def verify(self) -> None:
        await works(self.perform)
        assert self.jti not in await self.stage.stored(), "nothing was deleted"


class Rotation(Operation):
    """A new key was added, and what is stored is encrypted anew."""

    async def prepare(self) -> None:
        organization = self.stage.some_organization(["zaikio.organization.r"])
        async with ZaikioOAuth(self.stage.direct_settings) as before:
            await before.get_access_token(bearer_type="Organization", bearer_id=organization)

    async def perform(self) -> str:
        return f"{await self.zaikio.rotate_encryption_keys()} rotated"

    async def verify(self) -> None:
        await works(self.perform)
        assert await self.perform() == "0 rotated"


class Device(Operation):
    """A device waits for its person, who has authorized it. It waits on while the codes are valid."""

    limit = 60.0

    async def prepare(self) -> None:
        self.person = self.stage.somebody()
        self.device = await self.zaikio.start_device_authorization()
        self.stage.hub.approve_device(self.device.user_code, self.person)

    async def perform(self) -> str:
        token = await self.device.wait()
        assert token.bearer_id == self.person
        return "token"

    async def verify(self) -> None:
        await works(self.perform)
        self.stage.assert_issued(self.person, 1)
        await self.stage.kept_or_revoked(self.person)


class Delegation(Operation):
    """A subsystem gets a part of an organization's token."""

    async def prepare(self) -> None:
        self.organization = self.stage.some_organization(DELEGABLE)
        wanted = {"bearer_type": "Organization", "bearer_id": self.organization, "scopes": DELEGABLE}
        self.parent = await self.zaikio.get_access_token(**wanted)

    async def perform(self) -> str:
        part = await self.zaikio.delegate(self.parent, client_id="setter-id", scopes=["zaikio.sites.r"])
        assert part.delegated_from == self.parent.id
        return "token"

    async def verify(self) -> None:
        await self.stage.kept_or_revoked(self.organization)
        await works(self.perform)


class BearerTokenIn(Operation):
    """Another app calls an API of ours with its token."""

    limit = 5.0

    async def prepare(self) -> None:
        self.visitor = self.stage.visitor()
        token = self.stage.hub.mint_token("warehouse-id", self.stage.somebody(), CATALOG)
        self.headers = {"Authorization": f"Bearer {token}"}

    async def perform(self) -> str:
        response = await self.visitor.get("/catalog", headers=self.headers)
        assert response.status_code in (200, 503), f"{response.status_code} {response.text}"
        if response.status_code == 503:
            assert int(response.headers["retry-after"]) > 0
        return str(response.status_code)

    async def verify(self) -> None:
        async def works_again() -> None:
            assert await self.perform() == "200", "the API does not work again"

        await eventually(works_again)

    async def close(self) -> None:
        await self.visitor.aclose()


OPERATIONS: tuple[type[Operation], ...] = (
    Approve,
    RefreshByAPage,
    WithAuthByRefresh,
    WithAuthByClientCredentials,
    Logout,
    Webhook,
    Cleanup,
    Rotation,
    Device,
    Delegation,
    BearerTokenIn,
)


def told(outcomes: list[Any]) -> list[str]:
    """Return what each caller was told; raise what nobody may be told."""
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(outcome, LATER):
            raise outcome
    return [repr(outcome) if isinstance(outcome, BaseException) else outcome for outcome in outcomes]


async def works(call: Any) -> None:
    """Fail unless the call works again soon after the fault."""

    async def once() -> None:
        try:
            await call()
        except LATER as error:
            raise AssertionError(f"does not work again: {error!r}") from None

    await eventually(once)
