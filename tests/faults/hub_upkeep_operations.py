"""What an app does with the Hub although nobody waits for it, or without async code: one class for each operation."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from tests.faults.hub_cells import SLACK, WEBHOOK_SECRET, Cell, eventually
from tests.faults.stage import in_a_thread
from tests.inside import open_for_sync_code, settled
from tests.tokens.due_tokens import a_minute_later, age, let_refresh_token_die, organizations_token
from zaikio_oauth import AccessToken, HubEvent, ZaikioOAuthError


class _Renewal(Cell):
    """A token that is due is given at once, and one request is made for another one; a minute later, one more."""

    token: AccessToken

    async def use(self) -> str:
        """Use a token of the same bearer, and return its value."""
        token = self.token
        async with self.zaikio.with_auth(bearer_type=token.bearer_type, bearer_id=token.bearer_id) as used:
            return used.token

    async def perform(self) -> str:
        for _ in range(2):
            started, late = time.monotonic(), self.stage.lateness.total
            assert await self.use() == self.token.token
            took, late = time.monotonic() - started, self.stage.lateness.total - late
            assert took <= 1.0 + SLACK + late, f"the token was waited for, {took:.1f} s"
            await settled(self.zaikio)
        assert self.kinds_told("refused", "refreshed", "lost") == ["refused"]
        assert len(self.proxy.requests) <= 1, f"{len(self.proxy.requests)} requests"
        return "the token"

    async def recover(self) -> None:
        self.told.clear()
        await a_minute_later([self.zaikio])
        assert await self.use() == self.token.token
        await settled(self.zaikio)
        await self.renewed()

    async def renewed(self) -> None:
        """Fail unless there is another token now."""
        assert await self.use() != self.token.token


class RenewalByRefresh(_Renewal):
    """A worker uses a person's token that is due."""

    async def prepare(self) -> None:
        self.token = await self.a_grant()
        await age(self.zaikio, self.token, left=600)

    async def renewed(self) -> None:
        if self.fault.used:
            # The Hub has refused the refresh token, which it had taken before. The token lives on until it expires.
            assert self.kinds_told("refused", "refreshed", "lost") == ["refused"]
            assert await self.use() == self.token.token
        else:
            assert self.kinds_told("refused", "refreshed", "lost") == ["refreshed"]
            await super().renewed()


class RenewalByClientCredentials(_Renewal):
    """A worker uses an organization's token that is due."""

    async def prepare(self) -> None:
        self.token = await organizations_token(self.zaikio, self.stage.hub, left=600)


class KeepAlive(Cell):
    """The daily job finds a connection that would die soon."""

    limit = 31.0

    async def prepare(self) -> None:
        self.token = await self.a_grant()
        await let_refresh_token_die(self.zaikio, self.token.id, in_seconds=12 * 3600)

    async def health(self) -> str:
        (connection,) = [each async for each in self.zaikio.connections(bearer_type="Person")]
        return connection.health

    async def perform(self) -> str:
        assert await self.zaikio.keep_alive() == 0
        assert self.kinds_told("refused", "lost") == ["refused"]
        assert await self.health() == "ageing"
        return "not kept alive"

    async def recover(self) -> None:
        async def healthy() -> None:
            await self.zaikio.keep_alive()
            assert await self.health() == expected, await self.health()

        expected = "lost" if self.fault.used else "ok"
        await eventually(healthy)
        assert self.kinds_told("refreshed", "lost") == (["lost"] if self.fault.used else ["refreshed"])
        assert await self.zaikio.keep_alive() == 0
        assert await self.zaikio.find_active_access_token(self.token.id) is not None


class SyncWithAuth(Cell):
    """A thread uses the token of a person, which has expired; the client has no secret, so there is no other way."""

    async def prepare(self) -> None:
        self.token = await self.a_grant("kiosk")
        await age(self.zaikio, self.token, left=-1)

    def use(self) -> str:
        with self.zaikio.with_auth(bearer_id=self.token.bearer_id, client_name="kiosk") as token:
            assert not token.expired
            assert token.id == self.token.id
            return "a token"

    async def perform(self) -> str:
        return await in_a_thread(self.use)

    async def recover(self) -> None:
        try:
            await eventually(self.perform, seconds=5.0 if self.fault.used else 20.0)
        except ZaikioOAuthError:
            if not self.fault.used:
                raise

    async def tear_down(self) -> None:
        await in_a_thread(self.close_loop)
        await super().tear_down()

    def close_loop(self) -> None:
        with open_for_sync_code(self.zaikio):
            """What it has open in the background."""


class Connections(Cell):
    """A support page lists who is connected."""

    path, limit = "/", 1.0

    async def prepare(self) -> None:
        self.token = await self.a_grant()

    async def perform(self) -> str:
        (connection,) = [each async for each in self.zaikio.connections(bearer_type="Person")]
        assert (connection.bearer_id, connection.health) == (self.token.bearer_id, "ok")
        return "listed"


class Event(Cell):
    """Two events for the hook: one needs no Hub, for the other one the hook asks it, as in the documentation."""

    path, limit = "/", 1.0

    async def prepare(self) -> None:
        self.organization = self.an_organization(["zaikio.organization.r"])
        self.finished: Counter[str] = Counter()

    async def on_event(self, event: HubEvent) -> None:  # type: ignore[override]
        if event.id == "asks":
            await self.zaikio.get_access_token(bearer_type="Organization", bearer_id=self.organization)
        self.finished[event.id] += 1

    async def deliver(self, event_id: str) -> int:
        body, headers = self.stage.hub.event("zaikio.site_added", WEBHOOK_SECRET, subject_id="a", event_id=event_id)
        return (await self.visitor.app.post("/zaikio/webhook", content=body, headers=headers)).status_code

    async def perform(self) -> str:
        assert await self.deliver("asks") == 503
        # On a busy machine it may be late, too.
        while await self.deliver("plain") != 200:
            await asyncio.sleep(0.1)
        return "200 and 503"

    async def recover(self) -> None:
        async def dealt_with() -> None:
            assert await self.deliver("asks") == 200

        await eventually(dealt_with)
        assert self.finished == {"plain": 1, "asks": 1}
