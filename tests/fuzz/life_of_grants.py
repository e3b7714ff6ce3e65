"""Two processes of an app, a Hub and a database live through random days; see grant_model.py for what should be true.

Everything goes the public way: browsers log in and out, workers ask for tokens, Loom delivers events. Only time does
not pass by itself: the Hub's clock and every instant in the database are moved.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.types import Receive, Scope, Send

from tests.apps import small_app
from tests.data import KEY, OTHER_KEY, SECRET
from tests.fuzz.grant_model import DAY, HOUR, ORGANIZATION, PERSON, Grant, GrantModel
from tests.inside import parts_of, settled
from tests.loom import deliver_until_taken
from tests.visitor import BASE_URL, Visitor
from zaikio_oauth import (
    AccessToken,
    ConfigurationError,
    DecryptionError,
    InvalidGrantError,
    OAuthError,
    Settings,
    ZaikioOAuth,
)
from zaikio_oauth.store.columns import UtcDateTime
from zaikio_oauth.store.tables import Tables
from zaikio_oauth.testing import HubApp, LocalHub

WEBHOOK_SECRET = "a-webhook-secret-of-the-tests"
KEYS = [KEY, OTHER_KEY, "c1p2d8mD2lXnQhC1rIu4cCwqJXoRkGSJp5rbq4CqS5k=", "b2p2d8mD2lXnQhC1rIu4cCwqJXoRkGSJp5rbq4CqS5k="]
SHORT, LONG, WEEK = 300.0, 3600.0, 7 * DAY
SCOPES = {
    ("warehouse", PERSON): ("zaikio.person.r", "zaikio.delegations.rw"),
    ("warehouse", ORGANIZATION): ("zaikio.organization.r",),
    ("kiosk", PERSON): ("zaikio.person.r",),
    ("kiosk", ORGANIZATION): (),
}


class HubOfTheDay:
    """The Hub that is served at the moment, so that each life gets a new one at the same address."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.hub = self.renew()

    def renew(self) -> LocalHub:
        keys = self.hub.grants.keys if hasattr(self, "hub") else None
        self.ahead = 0.0
        self.hub = LocalHub(
            apps=[
                HubApp.for_client("warehouse", "warehouse-id", SECRET, base_urls=[BASE_URL]),
                HubApp.for_client("kiosk", "kiosk-id", None, base_urls=[BASE_URL]),
            ],
            clock=lambda: time.time() + self.ahead,
        )
        if keys is not None:
            self.hub.grants.keys = keys  # Making a key pair takes longer than a whole life.
        return self.hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.hub(scope, receive, send)


class LifeOfGrants(RuleBasedStateMachine):
    """One life. A subclass says where the database and the Hub are."""

    database_url: str
    served: HubOfTheDay
    hub_url: str
    counts: dict[str, int]

    grants = Bundle("grants")
    browsers = Bundle("browsers")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.hub = self.served.renew()
        self.model = GrantModel()
        self.visitors: list[Visitor] = []
        self.held: dict[str, AccessToken] = {}
        self.refused = 0
        self.turn = 0
        self.tables = Tables()
        url = self.database_url.replace("sqlite:", "sqlite+aiosqlite:").replace("postgresql:", "postgresql+asyncpg:")
        self.engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
        self.processes: list[ZaikioOAuth] = []
        self.run(self._begin())
        self.counts["lives"] += 1

    async def _begin(self) -> None:
        await self._open()
        async with self.engine.connect() as connection:
            for table in self.tables.metadata.sorted_tables:
                await connection.execute(table.delete())

    async def _open(self) -> None:
        for zaikio in self.processes:
            await zaikio.__aexit__(None, None, None)
        self.processes = [ZaikioOAuth(self._settings()) for _ in range(2)]
        for zaikio in self.processes:
            await zaikio.__aenter__()
        self.apps = [small_app(zaikio) for zaikio in self.processes]

    def _settings(self) -> Settings:
        return Settings(
            host=self.hub_url,
            database_url=self.database_url,
            auto_migrate=True,
            cache_ttl=0,
            encryption_keys=[KEYS[key] for key in self.model.keys],
            clients={
                "warehouse": {
                    "client_id": "warehouse-id",
                    "client_secret": SECRET,
                    "default_scopes": SCOPES["warehouse", PERSON],
                    "organization_scopes": SCOPES["warehouse", ORGANIZATION],
                    "webhook_secret": WEBHOOK_SECRET,
                },
                "kiosk": {"client_id": "kiosk-id", "default_scopes": SCOPES["kiosk", PERSON]},
            },
        )

    def teardown(self) -> None:
        self.runner.run(self._end())
        self.runner.close()

    async def _end(self) -> None:
        for visitor in self.visitors:
            await visitor.aclose()
        for zaikio in self.processes:
            await zaikio.__aexit__(None, None, None)
        await self.engine.dispose()

    # ── what the rules need ────────────────────────────────────────────────────────────────────────────

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run it, and what it leaves to the background, to the end."""

        async def to_the_end() -> Any:
            result = await coroutine
            for zaikio in self.processes:
                await settled(zaikio)
            return result

        return self.runner.run(to_the_end())

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the two processes answer by turns, as behind a load balancer."""
        self.turn += 1
        await self.apps[self.turn % 2](scope, receive, send)

    @property
    def zaikio(self) -> ZaikioOAuth:
        """One of the two processes, by turns."""
        self.turn += 1
        return self.processes[self.turn % 2]

    async def _rows(self) -> dict[str, Any]:
        column = self.tables.access_tokens.c
        wanted = select(column.id, column.jti, column.version, column.revoked_at, column.refresh_expires_at)
        async with self.engine.connect() as connection:
            return {row.id: row for row in await connection.execute(wanted)}

    def known(self, token: AccessToken, grant: Grant | None) -> Grant:
        """Check a token that somebody got against the grant that it should be."""
        assert grant is not None, f"nobody should get {token!r}"
        assert not grant.revoked, "it is revoked"
        assert (token.id, token.jti) == (grant.id, grant.jti)
        assert self.hub.grants.find(token.token) or grant.spent, "the Hub does not know it any more"
        self.held[token.id] = token
        return grant

    def renewed(self, grant: Grant, token: AccessToken | None = None) -> Grant:
        """The grant has been refreshed: its jti is a new one, its old token lives on at the Hub."""
        self.model.left.add(grant.jti)
        grant.jti = self.run(self._rows())[grant.id].jti
        assert grant.jti not in self.model.left, "a refresh has to give another token"
        grant.expires_at, grant.refresh_expires_at = self.model.now + LONG, self.model.now + WEEK
        self.model.stored(grant)
        if token is not None:
            self.known(token, grant)
        return grant

    def refusal(self, grant: Grant) -> None:
        """The Hub has refused to refresh it, once, and never will be asked again."""
        assert grant.spent, "the Hub would have refreshed it"
        self.refused += 1
        grant.refresh_expires_at = None

    def obtained(
        self, token: AccessToken, client: str, lifetime: float, *, refreshable: bool, delegated: bool = False
    ) -> Grant:
        grant = Grant(
            token.id, client, token.bearer_type, token.bearer_id, frozenset(token.requested_scopes), self.model.keys[0],
            self.model.now + lifetime, self.model.now + WEEK if refreshable else None, token.jti or "", delegated=delegated,
        )  # fmt: skip
        assert grant.id not in self.model.grants
        self.held[token.id] = token
        return self.model.stored(grant)

    def forget(self, grant: Grant, *, asked: bool = True) -> None:
        """The grant is gone here, and at the Hub, unless nobody could ask for that.

        An expired token cannot authenticate its own revocation: it is refreshed for that, if it can be.
        """
        if not asked or not self.model.readable(grant):
            self.model.left.add(grant.jti)
        elif not grant.lives(self.model.now) and grant.renewable(self.model.now) and grant.spent:
            self.refused += 1
        self.model.gone(grant.id)

    # ── logins, connections, logouts ───────────────────────────────────────────────────────────────────

    @rule(
        target=browsers, person=st.integers(0, 1), client=st.sampled_from(["warehouse", "kiosk"]), short=st.booleans()
    )
    def log_in(self, person: int, client: str, short: bool) -> tuple[Visitor, str]:
        visitor = Visitor(self._app)
        self.visitors.append(visitor)
        return visitor, self._log_in(visitor, person, client, short)

    @rule(target=browsers, browser=consumes(browsers), person=st.integers(0, 1), short=st.booleans())
    def log_in_again(self, browser: tuple[Visitor, str], person: int, short: bool) -> tuple[Visitor, str]:
        """In the same browser: the grant that is replaced in the session is revoked with it."""
        visitor, replaced = browser
        grant_id = self._log_in(visitor, person, "warehouse", short)
        if replaced in self.model.grants:
            self.forget(self.model.grants[replaced])
        return visitor, grant_id

    def _log_in(self, visitor: Visitor, person: int, client: str, short: bool) -> str:
        self.hub.auto_consent(self.hub.people[person].id)
        self.hub.access_token_lifetime = SHORT if short else LONG
        response = self.run(visitor.log_in(f"/zaikio/{client}/sessions/new", force_login="true"))
        self.hub.access_token_lifetime = LONG
        assert (response.status_code, response.headers["location"]) == (303, "/"), response.headers
        grant_id = visitor.session["zaikio_access_token_id"]
        token = self.run(self.processes[0].find_active_access_token(grant_id, valid_for=0))
        assert token.bearer_id == self.hub.people[person].id
        self.obtained(token, client, SHORT if short else LONG, refreshable=True)
        return grant_id

    @rule(browser=consumes(browsers))
    def log_out(self, browser: tuple[Visitor, str]) -> None:
        visitor, grant_id = browser
        response = self.run(visitor.app.post("/zaikio/session/delete"))
        assert response.status_code == 303 and "zaikio_access_token_id" not in visitor.session
        if grant_id in self.model.grants:
            self.forget(self.model.grants[grant_id], asked=not self.model.grants[grant_id].revoked)
        assert self.run(visitor.get("/me")).status_code == 401

    @rule(target=grants, person=st.integers(0, 1), short=st.booleans())
    def connect(self, person: int, short: bool) -> str:
        """An organization installs the app; nobody is logged in by that."""
        visitor = Visitor(self._app)
        self.visitors.append(visitor)
        before = set(self.model.grants)
        self.hub.auto_consent(self.hub.people[person].id)
        self.hub.access_token_lifetime = SHORT if short else LONG
        response = self.run(visitor.log_in("/zaikio/connections/new", force_login="true"))
        self.hub.access_token_lifetime = LONG
        assert response.status_code == 303 and "zaikio_access_token_id" not in visitor.session
        (grant_id,) = set(self.run(self._rows())) - before
        token = self.run(self.processes[0].find_active_access_token(grant_id, valid_for=0))
        self.obtained(token, "warehouse", SHORT if short else LONG, refreshable=True)
        return grant_id

    @rule(target=grants, browser=browsers)
    def look_at(self, browser: tuple[Visitor, str]) -> str:
        """The grant of a browser, for the rules about grants."""
        return browser[1]

    # ── use ────────────────────────────────────────────────────────────────────────────────────────────

    @rule(browser=browsers, together=st.integers(1, 4))
    def page(self, browser: tuple[Visitor, str], together: int) -> None:
        visitor, grant_id = browser
        grant = self.model.grants.get(grant_id)

        async def pages() -> list[Any]:
            return await asyncio.gather(*(visitor.get("/me") for _ in range(together)))

        responses = self.run(pages())
        if grant is None or grant.over(self.model.now) or not self.model.readable(grant):
            assert {response.status_code for response in responses} == {401}
            return None
        if not grant.lives(self.model.now):
            if grant.spent:
                assert {response.status_code for response in responses} == {401}
                return self.refusal(grant)
            self.renewed(grant)
        assert {response.status_code for response in responses} == {200}, [each.text for each in responses]
        assert {response.json()["id"] for response in responses} == {grant_id}
        return None

    @rule(grant_id=grants, valid_for=st.sampled_from([0, 600]), together=st.integers(1, 5))
    def find_active(self, grant_id: str, valid_for: float, together: int) -> None:
        grant = self.model.grants.get(grant_id)

        async def find() -> list[Any]:
            calls = (self.zaikio.find_active_access_token(grant_id, valid_for=valid_for) for _ in range(together))
            return await asyncio.gather(*calls, return_exceptions=True)

        found = self.run(find())
        assert len({repr(each) for each in found}) == 1, found
        if grant is None or grant.revoked:
            assert found[0] is None
        elif not self.model.readable(grant):
            assert isinstance(found[0], DecryptionError), found[0]
        elif grant.lives(self.model.now, valid_for):
            self.known(found[0], grant)
        elif not grant.renewable(self.model.now):
            assert found[0] is None
        elif grant.spent:
            assert found[0] is None
            self.refusal(grant)
        else:
            self.renewed(grant, found[0])

    @rule(grant_id=grants)
    def refresh(self, grant_id: str) -> None:
        """Whoever holds a token refreshes it, also one that another has refreshed since."""
        if grant_id not in self.held:
            return
        held, grant = self.held[grant_id], self.model.grants.get(grant_id)
        outcome = self.attempt(self.zaikio.refresh(held))
        if grant is None or grant.revoked:
            assert isinstance(outcome, InvalidGrantError)
        elif not self.model.readable(grant):
            assert isinstance(outcome, DecryptionError)
        elif held.jti != grant.jti and grant.lives(self.model.now):
            self.known(outcome, grant)
        elif not grant.renewable(self.model.now):
            assert isinstance(outcome, InvalidGrantError)
        elif grant.spent:
            assert isinstance(outcome, InvalidGrantError)
            self.refusal(grant)
        else:
            self.renewed(grant, outcome)

    @rule(
        client=st.sampled_from(["warehouse", "kiosk"]),
        bearer=st.sampled_from([(PERSON, 0), (PERSON, 1), (ORGANIZATION, 0), (ORGANIZATION, 1)]),
        valid_for=st.sampled_from([0, 600]),
        together=st.integers(1, 4),
    )
    def worker(self, client: str, bearer: tuple[str, int], valid_for: float, together: int) -> None:
        """A worker asks for a token: the stored one, else a refreshed one, else one by client credentials."""
        kind, number = bearer
        bearer_id = (self.hub.people if kind == PERSON else self.hub.organizations)[number].id
        wanted = SCOPES[client, kind]
        fitting = self.model.fitting(client, kind, bearer_id, frozenset(wanted))

        async def get() -> list[Any]:
            calls = (
                self.zaikio.get_access_token(
                    bearer_id=bearer_id, bearer_type=kind, client_name=client, valid_for=timedelta(seconds=valid_for)
                )
                for _ in range(together)
            )
            return await asyncio.gather(*calls, return_exceptions=True)

        got = self.run(get())
        assert len({repr(each) for each in got}) == 1, got
        self._check_worker(got[0], client, kind, bearer_id, wanted, fitting, valid_for)

    def _check_worker(
        self,
        got: Any,
        client: str,
        kind: str,
        bearer_id: str,
        wanted: tuple[str, ...],
        fitting: list[Grant],
        valid_for: float,
    ) -> None:
        readable = [grant for grant in fitting if self.model.readable(grant)]
        if usable := [grant for grant in readable if grant.lives(self.model.now, valid_for)]:
            self.known(got, usable[0])
            return
        for grant in (grant for grant in readable if grant.renewable(self.model.now)):
            if not grant.spent:
                self.renewed(grant, got)
                return
            self.refusal(grant)
            if not isinstance(got, AccessToken) or got.id not in self.model.grants:
                break  # Whether the next refresh token or client credentials come next is ours to decide.
        granted = self.hub.grants._granted.get((f"{client}-id", kind, bearer_id), set())
        if client == "warehouse" and wanted and set(wanted) <= granted:
            assert isinstance(got, AccessToken), got
            self.obtained(got, client, LONG, refreshable=False)
        else:
            assert isinstance(got, ConfigurationError | OAuthError | DecryptionError), got

    @rule(target=grants, grant_id=grants)
    def delegate(self, grant_id: str) -> Any:
        """A part of a person's scopes for the kiosk: a grant of its own, which is only ever given by its grant_id."""
        grant = self.model.grants.get(grant_id)
        if (
            grant_id not in self.held
            or grant is None
            or not grant.lives(self.model.now, 60)
            or not self.model.readable(grant)
        ):
            return multiple()
        outcome = self.attempt(
            self.zaikio.delegate(self.held[grant_id], client_id="kiosk-id", scopes=["zaikio.person.r"])
        )
        revoked = grant.jti in self.hub.grants.revoked()
        if grant.delegated or "zaikio.delegations.rw" not in grant.requested or revoked:
            assert isinstance(outcome, OAuthError | ConfigurationError | InvalidGrantError), outcome
            return multiple()
        assert outcome.delegated_from == grant_id
        self.obtained(outcome, "kiosk", LONG, refreshable=False, delegated=True)
        return outcome.id

    # ── the end of a grant ─────────────────────────────────────────────────────────────────────────────

    @rule(grant_id=grants)
    def revoke(self, grant_id: str) -> None:
        """Whoever holds a token revokes its grant: what is in the row goes, whatever the caller holds."""
        if grant_id not in self.held:
            return
        grant = self.model.grants.get(grant_id)
        outcome = self.attempt(self.zaikio.revoke(self.held[grant_id]))
        assert outcome is None, outcome
        if grant is not None:
            self.forget(grant, asked=not grant.revoked)

    @rule(grant_id=grants, announced=st.booleans())
    def revoked_at_the_hub(self, grant_id: str, announced: bool) -> None:
        """The person revokes the app's access at the Hub. Loom's event comes at once, or never."""
        grant = self.model.grants.get(grant_id)
        if grant is None or grant.revoked:
            return
        self.hub.revoke(grant.jti)
        grant.spent = True
        if announced:
            self._deliver(grant.jti)
            grant.revoked = True

    @rule(grant_id=grants)
    def old_event(self, grant_id: str) -> None:
        """Loom delivers an event about a token that has been replaced since: nothing happens to the grant."""
        if self.model.left:
            jti = min(self.model.left)
            self.hub.revoke(jti)
            self._deliver(jti)

    def _deliver(self, jti: str) -> None:
        body, headers = self.hub.webhook_event(jti, WEBHOOK_SECRET)
        visitor = Visitor(self._app)
        status = self.run(deliver_until_taken(visitor.app, body, headers))
        self.run(visitor.aclose())
        assert status == 200

    @rule()
    def fetch_the_list(self) -> None:
        """The list of revoked tokens is due, and one of the processes fetches it."""

        async def fetch() -> None:
            due = self.tables.schedule.c.due_at
            async with self.engine.connect() as connection:
                await connection.execute(update(self.tables.schedule).values(due_at=_past(due)))
            await (await parts_of(self.zaikio)).revocation_list.fetch_if_due()

        self.run(fetch())
        revoked = set(self.hub.grants.revoked())
        for grant in self.model.grants.values():
            grant.revoked = grant.revoked or grant.jti in revoked

    @rule(grant_id=grants)
    def the_hub_forgets_refresh_tokens(self, grant_id: str) -> None:
        self.hub.spend_refresh_tokens()
        for grant in self.model.grants.values():
            grant.spent = grant.spent or grant.refresh_expires_at is not None

    # ── time, keys, maintenance ────────────────────────────────────────────────────────────────────────

    @rule(seconds=st.sampled_from([SHORT + 100, 2 * HOUR, 2 * HOUR, 8 * DAY]))
    def time_passes(self, seconds: float) -> None:
        async def travel() -> None:
            async with self.engine.connect() as connection:
                for table in self.tables.metadata.sorted_tables:
                    await _travel(connection, table, timedelta(seconds=seconds))

        self.run(travel())
        self.served.ahead += seconds
        self.model.travel(seconds)

    @rule()
    def clean_up(self) -> None:
        over = [grant for grant in self.model.grants.values() if grant.over(self.model.now)]
        assert self.run(self.zaikio.cleanup_access_tokens()) == len(over)
        for grant in over:
            self.forget(grant, asked=False)

    @rule()
    def new_key(self) -> None:
        """A new first key; the old ones still decrypt."""
        number = max(self.model.keys) + 1
        if number < len(KEYS):
            self.model.keys.insert(0, number)
            self.run(self._open())

    @rule(kept=st.integers(0, 1))
    def keys_change(self, kept: int) -> None:
        """The old keys are removed, perhaps too early; or they come back."""
        newest = max(self.model.keys)
        self.model.keys = [newest] if kept == 0 else list(range(newest, -1, -1))
        self.run(self._open())

    @rule()
    def rotate_keys(self) -> None:
        lost = [grant for grant in self.model.grants.values() if not self.model.readable(grant)]
        old = [grant for grant in self.model.grants.values() if grant.key != self.model.keys[0] and grant not in lost]
        outcome = self.attempt(self.zaikio.rotate_encryption_keys())
        if lost:
            assert isinstance(outcome, DecryptionError) and any(grant.id in str(outcome) for grant in lost)
        else:
            assert outcome == len(old)
        for grant in old:
            grant.key = self.model.keys[0]

    def attempt(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        async def tried() -> Any:
            try:
                return await coroutine
            except (InvalidGrantError, OAuthError, ConfigurationError, DecryptionError) as error:
                return error

        return self.run(tried())

    # ── what is true after each step ───────────────────────────────────────────────────────────────────

    @invariant()
    def what_is_true(self) -> None:
        self.counts["steps"] += 1
        self.what_is_stored()
        self.what_is_found()
        self.what_lives_at_the_hub()
        self.what_the_hub_was_asked()

    def what_is_stored(self) -> None:
        """The rows are those of the model, and so are the answers that need no request to the Hub."""
        rows = self.run(self._rows())
        expected = {grant.id: (grant.jti, grant.revoked) for grant in self.model.grants.values()}
        assert {grant_id: (row.jti, row.revoked_at is not None) for grant_id, row in rows.items()} == expected

        async def answers() -> dict[str, Any]:
            found = {}
            for grant in self.model.grants.values():
                if grant.revoked or (grant.lives(self.model.now) and self.model.readable(grant)):
                    found[grant.id] = await self.zaikio.find_active_access_token(grant.id, valid_for=0)
            return found

        for grant_id, token in self.run(answers()).items():
            grant = self.model.grants[grant_id]
            assert (token and token.jti) == (None if grant.revoked else grant.jti)

    def what_is_found(self) -> None:
        """A search gives the newest living grant of its bearer, never a delegated or a revoked one."""
        wanted = {(grant.client, grant.bearer_type, grant.bearer_id) for grant in self.model.grants.values()}
        for client, kind, bearer_id in sorted(wanted):
            if client not in ("warehouse", "kiosk"):
                continue
            lives = [
                grant
                for grant in self.model.fitting(client, kind, bearer_id, frozenset())
                if grant.lives(self.model.now)
            ]
            outcome = self.attempt(
                self.zaikio.find_usable_access_token(
                    client_name=client, bearer_type=kind, bearer_id=bearer_id, valid_for=0
                )
            )
            if isinstance(outcome, DecryptionError):
                assert not all(self.model.readable(grant) for grant in lives)
                continue
            readable = [grant for grant in lives if self.model.readable(grant)]
            assert (outcome and outcome.id) == (readable[0].id if readable else None)

    def what_lives_at_the_hub(self) -> None:
        """Every token and refresh token that lives at the Hub is one that we hold or that was left on purpose."""
        now, state = self.hub.clock(), self.hub.grants
        held = {grant.jti for grant in self.model.grants.values()}
        tokens = [
            each for each in list(state._tokens.values()) if each.expires_at > now and each.jti not in state._revoked
        ]
        astray = {each.jti for each in tokens} - held - self.model.left
        assert astray == set(), f"live at the Hub, and nobody holds them: {astray}"
        # A grant that can be refreshed has the refresh token that works.
        working = {each.jti for each in list(state._refresh_tokens.values()) if (each.refresh_expires_at or 0) > now}
        for grant in self.model.grants.values():
            if grant.renewable(self.model.now) and not grant.spent:
                assert grant.jti in working, f"the refresh token of {grant.id} is spent"

    def what_the_hub_was_asked(self) -> None:
        """No refresh token is sent twice, whatever happens at once: each refusal has a reason at the Hub."""
        refusals = [
            each for each in list(self.hub.requests) if each.grant_type == "refresh_token" and each.status_code >= 400
        ]
        assert len(refusals) == self.refused


async def _travel(connection: Any, table: Any, by: timedelta) -> None:
    instants = [column for column in table.c if isinstance(column.type, UtcDateTime)]
    keys = list(table.primary_key.columns)
    for row in (await connection.execute(select(*keys, *instants))).all():
        moved = {column.name: getattr(row, column.name) - by for column in instants if getattr(row, column.name)}
        here = [key == getattr(row, key.name) for key in keys]
        await connection.execute(update(table).where(*here).values(moved))


def _past(column: Any) -> Any:
    from datetime import UTC, datetime

    return datetime.now(UTC) - timedelta(minutes=1)
