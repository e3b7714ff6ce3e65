"""A walk over every page of the demo and of the local Hub, in one tab of a real browser."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlencode

from fastapi import FastAPI
from playwright.async_api import Locator, Page
from starlette.exceptions import HTTPException

from demo_app.app import create_app
from tests.app_server import AppServer
from tests.data import KEY, SECRET
from zaikio_oauth import Settings
from zaikio_oauth.testing import HubApp, HubServer, LocalHub
from zaikio_oauth.testing.local_hub.state.directory import ROLES

__all__ = ["Stage", "Stop", "Tour", "stage"]

CLIENT_ID = "bogenlager-id"
SCOPES = ["zaikio.person.r", "my_app.catalog.r", "my_app.prices.w", "zaikio.sites.rw"]
ANNA, BEN, CHLOE = ("Anna Möller", "Ben Okafor", "Chloë Lindqvist")


@dataclass(frozen=True)
class Stop:
    """A page that is open now, and its status."""

    name: str
    status: int = 200


@dataclass
class Stage:
    """A demo and its Hub, each on a real socket."""

    demo: str
    hub: LocalHub
    hub_url: str
    database: Path

    def change_grants(self, statement: str, *values: str) -> None:
        """Change what is stored as only time and the Hub would."""
        with closing(sqlite3.connect(self.database, isolation_level=None)) as database:
            database.execute(statement, values)


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Yield a demo with its Hub, in which each of the Hub's values for roles and countries occurs."""
    database = folder / "bogenlager.db"
    hub = LocalHub(device_interval=1)
    hub.people[0] = replace(hub.people[0], memberships=((hub.organizations[0].id, ROLES),))
    for number, country_code in ((1, "AT"), (2, "CH")):
        hub.organizations[number] = replace(hub.organizations[number], country_code=country_code)
    client = {"default_scopes": SCOPES, "organization_scopes": ["zaikio.organization.r"]}
    with HubServer(hub) as hub_server:
        settings = Settings(
            host=hub_server.url,
            database_url=f"sqlite:///{database}",
            encryption_keys=[KEY],
            clients={"bogenlager": {"client_id": CLIENT_ID, "client_secret": SECRET, **client}},
        )
        app = create_app(settings, "a session secret")
        add_failing_pages(app)
        with AppServer(app) as server:
            hub.apps = [
                HubApp.for_client("bogenlager", CLIENT_ID, SECRET, base_urls=[server.url]),
                HubApp.for_client("kiosk", "kiosk-id"),
            ]
            yield Stage(server.url, hub, hub_server.url, database)


def add_failing_pages(app: FastAPI) -> None:
    """Add the errors that no page of the demo has while all is well."""

    @app.get("/fails/{status}")
    async def fails(status: int) -> None:
        raise RuntimeError("a mistake in the app") if status == 500 else HTTPException(status)


class Tour:
    """The pages, one after the other, in the language of the tab."""

    def __init__(self, running: Stage, tab: Page) -> None:
        self.stage = running
        self.hub = running.hub
        self.demo = running.demo
        self.tab = tab

    async def stops(self) -> AsyncIterator[Stop]:
        """Yield every page. The caller may look at it, but must not leave it."""
        for part in (self._person, self._organizations, self._troubles, self._devices, self._hub_pages):
            async for stop in part():
                yield stop
            await self.tab.context.clear_cookies()

    async def _person(self) -> AsyncIterator[Stop]:
        yield await self._open("landing", self.demo)
        await self._press(self.tab.locator("a[href^='/zaikio/sessions/new']").first)
        await self.tab.locator("summary").click()
        yield Stop("hub: account")
        await self._choose(ANNA)
        yield Stop("hub: consent")
        await self._decide("cancel")
        yield Stop("landing: cancelled")
        await self.tab.goto(f"{self.demo}/me")
        await self._decide("grant")
        yield Stop("my page")
        yield await self._open("no organization", f"{self.demo}/organization")
        yield await self._open("no subscription", f"{self.demo}/subscription")
        yield await self._open("no connections", f"{self.demo}/connections")
        yield await self._open("hub: another account", f"{self.demo}/zaikio/sessions/new?origin=/me&force_login=true")
        await self._choose(BEN)
        unconfirmed = {"full_name": BEN, "email": "ben@print.example", "email_confirmed": False, "locale": "en"}
        self.hub.fail("/api/v1/person", body=unconfirmed)
        await self._decide("grant")
        yield Stop("my page: unconfirmed address")

    async def _organizations(self) -> AsyncIterator[Stop]:
        yield await self._open("landing: failed", f"{self.demo}/zaikio/sessions/approve?state=forged")
        await self.tab.goto(f"{self.demo}/zaikio/connections/new")
        await self._choose(ANNA)
        yield Stop("hub: installation")
        await self._decide("grant")
        yield Stop("organization")
        yield await self._open("hub: subscription", f"{self.demo}/zaikio/subscriptions/new?plan=pro")
        await self._decide("grant")
        yield Stop("subscription")
        for name, status in (("Hub down", 503), ("rejected", 401)):
            self.hub.fail("/api/v1/organization", status=status)
            yield await self._open(f"organization: {name}", f"{self.demo}/organization")
        for number in (2, 1):
            await self._install(number)
            yield Stop(f"organization: {number}")
        await self.tab.goto(f"{self.demo}/zaikio/sessions/new")
        yield await self._open("landing: installed", self.demo)
        expiry = "UPDATE zaikio_access_tokens SET refresh_expires_at = {} WHERE bearer_id = ?"
        in_six_hours = "strftime('%Y-%m-%d %H:%M:%f', 'now', '+6 hours')"
        self.stage.change_grants(expiry.format(in_six_hours), self.hub.organizations[1].id)
        self.stage.change_grants(expiry.format("'2026-01-01 00:00:00.000000'"), self.hub.organizations[2].id)
        yield await self._open("connections", f"{self.demo}/connections")

    async def _install(self, number: int) -> None:
        """Connect an organization without the Hub's pages."""
        organization = self.hub.organizations[number]
        member = next(person for person in self.hub.people if person.roles_in(organization.id) is not None)
        self.hub.auto_consent(member.id, organization.id)
        await self.tab.goto(f"{self.demo}/zaikio/connections/new")
        self.hub.ask()

    async def _troubles(self) -> AsyncIterator[Stop]:
        self.hub.auto_consent(self.hub.people[0].id)
        await self.tab.goto(f"{self.demo}/me")
        self.hub.ask()
        for name, status in (("Hub down", 503), ("rejected", 401)):
            self.hub.fail("/api/v1/person", status=status)
            yield await self._open(f"my page: {name}", f"{self.demo}/me")
        for status in (403, 404, 500, 503):
            yield await self._open(f"{status}", f"{self.demo}/fails/{status}", status)

    # ── devices ────────────────────────────────────────────────────────────────────────────────────────

    async def _devices(self) -> AsyncIterator[Stop]:
        yield await self._open("device", f"{self.demo}/device")
        self.hub.device_code_lifetime = 1
        expired, _ = await self._new_device()
        self.hub.device_code_lifetime = 900
        without_scopes, code = await self._new_device()
        self.hub.withheld_scopes = frozenset(SCOPES)
        self.hub.approve_device(code, self.hub.people[0].id)
        self.hub.withheld_scopes = frozenset()
        cancelled, cancelled_code = await self._new_device()
        granted, granted_code = await self._new_device()
        yield Stop("device: code")
        yield await self._open("hub: code", f"{self.stage.hub_url}/device")
        await self._enter("WRONG")
        yield Stop("hub: wrong code", 404)
        await self._enter(granted_code)
        await self._choose(ANNA)
        yield Stop("hub: device")
        await self._decide("grant")
        yield Stop("hub: device granted")
        await self.tab.goto(f"{self.stage.hub_url}/device?user_code={cancelled_code}")
        await self._decide("cancel")
        yield Stop("hub: device cancelled")
        ended = {"expired": expired, "without scopes": without_scopes, "cancelled": cancelled, "granted": granted}
        for name, session in ended.items():
            await self._continue(session)
            while (await (await self.tab.request.get(f"{self.demo}/device/status")).json())["state"] == "waiting":
                await asyncio.sleep(0.1)
            yield await self._open(f"device: {name}", f"{self.demo}/device")
        self.hub.fail("/oauth/device_authorizations/authorize", status=400, body={"error": "server_error"})
        await self._press(self.tab.locator("form[action='/device/forget'] button"))
        await self._press(self.tab.locator("form[action='/device'] button"))
        yield Stop("device: failed", 503)

    async def _new_device(self) -> tuple[str, str]:
        """Show a code on another device, and return the device's session and the code."""
        await self.tab.context.clear_cookies(name="bogenlager_session")
        await self.tab.goto(f"{self.demo}/device")
        await self._press(self.tab.locator("form[action='/device'] button"))
        cookies = await self.tab.context.cookies(self.demo)
        code = await self.tab.locator(".user-code").text_content() or ""
        return next(each["value"] for each in cookies if each["name"] == "bogenlager_session"), code.strip()

    async def _continue(self, session: str) -> None:
        """Go on with the device that has this session."""
        await self.tab.context.add_cookies([{"name": "bogenlager_session", "value": session, "url": self.demo}])

    async def _enter(self, code: str) -> None:
        await self.tab.locator("input.code").fill(code)
        await self._press(self.tab.locator("button.primary"))

    # ── the Hub's other pages ──────────────────────────────────────────────────────────────────────────

    async def _hub_pages(self) -> AsyncIterator[Stop]:
        hub = self.stage.hub_url
        yield await self._open("hub: home", hub)
        yield await self._open("hub: 404", f"{hub}/gone", 404)
        yield await self._open("hub: refused", f"{hub}/oauth/authorize", 400)
        elsewhere = self._authorize("zaikio.person.r", redirect_uri="http://localhost:8009/zaikio/sessions/approve")
        yield await self._open("hub: unknown callback", elsewhere, 400)
        new = {"person[first_name]": "Zoë", "person[email]": "zoe@neu.example", "organization[name]": "Neu & Söhne"}
        yield await self._open("hub: suggested account", self._authorize("Org.zaikio.organization.r", **new))
        await self._choose(CHLOE)
        yield Stop("hub: suggested organization")
        hers, another = self.hub.organizations[2].id, self.hub.organizations[0].id
        for name, scope, wish in (
            ("confirmation of the address", "zaikio.person.r", {"prompt_email_confirmation": "true"}),
            ("one organization", f"Org/{hers}.zaikio.organization.r", {"organization[name]": "Papier Süd"}),
            ("another organization", f"Org/{another}.zaikio.organization.r", {}),
            ("on behalf", f"Per>Org/{hers}.zaikio.sites.rw,Per>Org/{hers}.my_app.price_lists.w", {}),
            ("choice of plan", "Org.subscription_create", {}),
        ):
            yield await self._open(f"hub: {name}", self._authorize(scope, prompt="consent", **wish))
        await self.tab.context.clear_cookies()
        await self._decide("grant")
        yield Stop("hub: expired form", 400)
        loner = replace(self.hub.people[1], id="nobody-else", first_name="Dana", memberships=())
        self.hub.people.append(loner)
        await self.tab.goto(self._authorize("Org.zaikio.organization.r"))
        await self._choose(loner.full_name)
        yield Stop("hub: no organization")

    def _authorize(self, scope: str, **wish: str) -> str:
        callback = self.hub.apps[0].redirect_uris[0]
        asked = {"client_id": CLIENT_ID, "redirect_uri": callback, "response_type": "code", "scope": scope}
        return f"{self.stage.hub_url}/oauth/authorize?{urlencode(asked | wish)}"

    # ── steps ──────────────────────────────────────────────────────────────────────────────────────────

    async def _open(self, name: str, url: str, status: int = 200) -> Stop:
        answer = await self.tab.goto(url)
        assert answer is not None
        assert answer.status == status, f"{name}: {answer.status}"
        return Stop(name, status)

    async def _choose(self, person: str) -> None:
        await self._press(self.tab.get_by_role("button", name=person))

    async def _decide(self, decision: str) -> None:
        await self._press(self.tab.locator(f"[name=decision][value={decision}]"))

    async def _press(self, control: Locator) -> None:
        """Press a link or a button, and wait for the next page."""
        async with self.tab.expect_navigation():
            await control.click()
