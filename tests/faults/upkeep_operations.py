"""What keeps grants alive without anybody waiting for it, who asks how they are, events of the Hub, and sync code."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from tests.faults.operations import ByBrowser, BySeveralWorkers, InSeveralTabs, Operation, told, works
from tests.faults.stage import WEBHOOK_SECRET, eventually, in_a_thread
from tests.inside import open_for_sync_code
from tests.tokens.due_tokens import a_minute_later, age, let_refresh_token_die, organizations_token
from zaikio_oauth import ZaikioOAuth


class RenewalByRefresh(InSeveralTabs):
    """A person whose token is due opens a page in several tabs; in the background, the token is refreshed."""

    limit = 5.0

    async def prepare(self) -> None:
        await super().prepare()
        token = await self.zaikio.find_active_access_token(self.id, valid_for=0)
        assert token is not None
        await age(self.zaikio, token, left=600)

    async def verify(self) -> None:
        await eventually(self.page_works)
        await renewed(self.zaikio, self.page, lambda: len(self.stage.issued(self.person)) == 2)
        self.stage.assert_issued(self.person, 2)
        await self.stage.kept_or_revoked(self.person)


class RenewalByClientCredentials(BySeveralWorkers):
    """Workers use an organization's token that is due; in the background, another one is requested."""

    async def prepare(self) -> None:
        token = await organizations_token(self.zaikio, self.stage.hub, left=600)
        self.organization = token.bearer_id

    async def use(self) -> str:
        async with self.zaikio.with_auth(bearer_type="Organization", bearer_id=self.organization) as token:
            assert not token.expired
            return "token"

    async def verify(self) -> None:
        await works(self.use)
        await renewed(self.zaikio, self.use, lambda: len(self.stage.issued(self.organization)) == 2)
        self.stage.assert_issued(self.organization, 2)
        await self.stage.kept_or_revoked(self.organization)


async def renewed(zaikio: ZaikioOAuth, use: Callable[[], Awaitable[Any]], done: Callable[[], bool]) -> None:
    """Fail unless the token, which is wanted again and again, has soon been renewed."""

    async def attempted() -> None:
        # One that has failed is not tried again for a minute.
        await a_minute_later([zaikio])
        await use()
        for _ in range(20):
            if done():
                return
            await asyncio.sleep(0.1)
        raise AssertionError("the token is not renewed again")

    await eventually(attempted)


class KeepAlive(ByBrowser):
    """The daily job refreshes what would die soon, which is one person's connection."""

    limit = 40.0
    """One connection has 30 seconds; before and after it, others are looked for."""

    async def prepare(self) -> None:
        await super().prepare()
        await let_refresh_token_die(self.zaikio, self.id, in_seconds=12 * 3600)

    async def perform(self) -> str:
        return f"{await self.zaikio.keep_alive()} refreshed"

    async def verify(self) -> None:
        async def kept_alive() -> None:
            await works(self.perform)
            health = {each.bearer_id: each.health async for each in self.zaikio.connections(bearer_type="Person")}
            assert health[self.person] == "ok", f"the connection is {health[self.person]}"

        await eventually(kept_alive)
        self.stage.assert_issued(self.person, 2)
        await self.stage.kept_or_revoked(self.person)


class Connections(ByBrowser):
    """A support page lists who is connected."""

    async def perform(self) -> str:
        health = {each.bearer_id: each.health async for each in self.zaikio.connections(bearer_type="Person")}
        assert health[self.person] == "ok", f"the connection is {health[self.person]}"
        return "listed"

    async def verify(self) -> None:
        await works(self.perform)


class Event(Operation):
    """Loom delivers three events, each twice at once: the hook is quick, late, or fails at its first call."""

    limit = 1.0

    async def prepare(self) -> None:
        self.visitor = self.stage.visitor()
        self.called: Counter[str] = Counter()
        self.finished: Counter[str] = Counter()
        self.ids = {str(uuid.uuid4()): kind for kind in ("quick", "late", "failing")}
        for event_id, kind in self.ids.items():
            self.stage.deal_with[event_id] = lambda kind=kind: self.deal_with(kind)

    async def deal_with(self, kind: str) -> None:
        self.called[kind] += 1
        await asyncio.sleep(1.5 if kind == "late" else 0.05)
        if kind == "failing" and self.called[kind] == 1:
            raise RuntimeError("the app's own database is away")
        self.finished[kind] += 1

    async def deliver(self, event_id: str) -> int:
        body, headers = self.stage.hub.event(
            "zaikio.site_added", WEBHOOK_SECRET, subject_id="anybody", event_id=event_id
        )
        response = await self.visitor.app.post("/zaikio/webhook", content=body, headers=headers)
        assert response.status_code in (200, 503), f"{response.status_code} {response.text}"
        return response.status_code

    async def perform(self) -> list[int]:
        return await asyncio.gather(*(self.deliver(event_id) for event_id in self.ids for _ in range(2)))

    async def once(self) -> int:
        (late,) = [event_id for event_id, kind in self.ids.items() if kind == "late"]
        return await self.deliver(late)

    async def verify(self) -> None:
        async def dealt_with() -> None:
            statuses = await asyncio.gather(*(self.deliver(event_id) for event_id in self.ids))
            assert statuses == [200, 200, 200], f"the events are answered {statuses}"

        # A lease that could not be released blocks the next call for ten seconds.
        await eventually(dealt_with)
        assert self.called == {"quick": 1, "late": 1, "failing": 2}
        assert self.finished == {"quick": 1, "late": 1, "failing": 1}

    async def close(self) -> None:
        await self.visitor.aclose()


class SyncWithAuth(ByBrowser):
    """Two threads and a task want the token of a person, which has expired."""

    lifetime = 1.0

    async def perform(self) -> list[str]:
        calls = (in_a_thread(self.use), in_a_thread(self.use), self.use_async())
        return told(await asyncio.gather(*calls, return_exceptions=True))

    def use(self) -> str:
        with self.zaikio.with_auth(bearer_id=self.person) as token:
            assert not token.expired
            assert token.id == self.id, "another grant"
            return "token"

    async def use_async(self) -> str:
        async with self.zaikio.with_auth(bearer_id=self.person) as token:
            assert token.id == self.id, "another grant"
            return "token"

    async def verify(self) -> None:
        await works(lambda: in_a_thread(self.use))
        self.stage.assert_issued(self.person, 2)
        await self.stage.kept_or_revoked(self.person)

    async def close(self) -> None:
        await super().close()
        await in_a_thread(self.close_loop)

    def close_loop(self) -> None:
        with open_for_sync_code(self.zaikio):
            """What it has open in the background."""


UPKEEP: tuple[type[Operation], ...] = (
    RenewalByRefresh,
    RenewalByClientCredentials,
    KeepAlive,
    Connections,
    Event,
    SyncWithAuth,
)
