"""Reading tokens: one query for each look-up, none if the token is cached, and no outdated results."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from tests.apps import small_app
from tests.inside import engine_of, mark_revoked, parts_of
from tests.visitor import Visitor
from zaikio_oauth import AccessToken, Settings, ZaikioOAuth
from zaikio_oauth.testing import LocalHub


@pytest.fixture(params=[5.0, 0.0], ids=["cached", "uncached"])
async def zaikio(request: pytest.FixtureRequest, make_settings: Callable[..., Settings]) -> AsyncIterator[ZaikioOAuth]:
    """Yield an instance with a cache, then one without."""
    async with ZaikioOAuth(make_settings(cache_ttl=request.param)) as opened:
        yield opened


@pytest.fixture
async def token(zaikio: ZaikioOAuth, hub: LocalHub) -> AccessToken:
    """Return a person's token."""
    hub.auto_consent(person_id=hub.people[0].id)
    visitor = Visitor(small_app(zaikio))
    await visitor.log_in()
    found = await zaikio.find_active_access_token(visitor.session["zaikio_access_token_id"])
    await visitor.aclose()
    assert found is not None
    return found


@contextmanager
def statements(of: Any) -> Iterator[list[str]]:
    """Yield a list of the statements that the database receives."""
    asked: list[str] = []
    engine = of.sync_engine

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "zaikio_schedule" not in statement:
            asked.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield asked
    event.remove(engine, "before_cursor_execute", note)


async def test_a_look_up_is_one_query_without_a_transaction(zaikio: ZaikioOAuth, token: AccessToken) -> None:
    """This holds for a look-up by id, by bearer and by a page. With a cache there is no query."""
    search: dict[str, Any] = {"bearer_type": "Person", "bearer_id": token.bearer_id}
    visitor = Visitor(small_app(zaikio))
    await visitor.app.post("/remember", json={"zaikio_access_token_id": token.id})
    await zaikio.find_usable_access_token(**search)
    with statements(await engine_of(zaikio)) as asked:
        assert (await zaikio.find_active_access_token(token.id)) == token
        assert (await zaikio.find_usable_access_token(**search)) == token
        assert (await visitor.get("/me")).json()["id"] == token.id

    cached = zaikio.settings.cache_ttl > 0
    assert len(asked) == (0 if cached else 3)
    assert not [statement for statement in asked if not statement.startswith("SELECT")]
    await visitor.aclose()


# Without a cache, each look-up reads from the database.
@pytest.mark.parametrize("zaikio", [5.0], ids=["cached"], indirect=True)
async def test_concurrent_look_ups_of_one_token_share_a_query(zaikio: ZaikioOAuth, token: AccessToken) -> None:
    """A page with thirty protected images causes one query."""
    (await parts_of(zaikio)).grants.forget(token.id)
    with statements(await engine_of(zaikio)) as asked:
        tokens = await asyncio.gather(*(zaikio.find_active_access_token(token.id) for _ in range(30)))

    assert tokens == [token] * 30
    assert len(asked) == 1


async def test_no_token_is_found_after_a_logout(zaikio: ZaikioOAuth, token: AccessToken) -> None:
    """The token is found neither by id nor by bearer, even if a look-up was in progress."""
    search: dict[str, Any] = {"bearer_type": "Person", "bearer_id": token.bearer_id}
    assert await zaikio.find_usable_access_token(**search)
    reading = asyncio.create_task(zaikio.find_active_access_token(token.id))
    await zaikio.revoke(token)
    await reading

    assert await zaikio.find_active_access_token(token.id) is None
    assert await zaikio.find_usable_access_token(**search) is None


async def test_no_revoked_token_is_found(zaikio: ZaikioOAuth, token: AccessToken) -> None:
    """This holds as soon as the webhook has been processed."""
    assert token.jti
    await mark_revoked(zaikio, [token.jti, "another"])

    assert await zaikio.find_active_access_token(token.id) is None
    assert await zaikio.find_usable_access_token(bearer_type="Person", bearer_id=token.bearer_id) is None
    await mark_revoked(zaikio, [token.jti])


async def test_no_token_is_found_that_expires_too_soon(zaikio: ZaikioOAuth, hub: LocalHub, token: AccessToken) -> None:
    """A cached token is refreshed if the caller needs it for longer than it is valid."""
    longer = await zaikio.find_active_access_token(token.id, valid_for=3500)
    assert longer == token
    refreshed = await zaikio.find_active_access_token(token.id, valid_for=3601)

    assert refreshed is not None
    assert refreshed.token != token.token
    assert await zaikio.find_active_access_token(token.id) == refreshed
    assert hub.count(grant_type="refresh_token") == 1


async def test_look_ups_with_different_valid_for_do_not_share_a_query(
    zaikio: ZaikioOAuth, hub: LocalHub, token: AccessToken
) -> None:
    """A caller who needs a token for two hours does not get one that is valid for a shorter time."""
    search: dict[str, Any] = {"bearer_type": "Person", "bearer_id": token.bearer_id}
    (await parts_of(zaikio)).grants.forget(token.id)

    short, long = await asyncio.gather(
        zaikio.find_usable_access_token(**search, valid_for=30),
        zaikio.find_usable_access_token(**search, valid_for=7200),
    )

    assert (short, long) == (token, None)


async def test_tokens_of_a_removed_client_work_until_they_expire(
    zaikio: ZaikioOAuth, hub: LocalHub, make_settings: Callable[..., Settings], caplog: pytest.LogCaptureFixture
) -> None:
    """After that the people have to log in again. They do not get an error at every request."""
    hub.auto_consent(person_id=hub.people[0].id)
    hub.access_token_lifetime = 20
    visitor = Visitor(small_app(zaikio))
    await visitor.log_in("/zaikio/kiosk/sessions/new")
    await visitor.aclose()
    clients = {"warehouse": zaikio.settings.clients["warehouse"].model_dump()}
    async with ZaikioOAuth(make_settings(clients=clients)) as later:
        access_token_id = visitor.session["zaikio_access_token_id"]
        assert await later.find_active_access_token(access_token_id, valid_for=0)
        assert await later.find_active_access_token(access_token_id) is None
    assert "no client named 'kiosk'" in caplog.text


async def test_the_newest_token_is_found_after_another_login(
    zaikio: ZaikioOAuth, hub: LocalHub, token: AccessToken
) -> None:
    """A previous result of the search is not kept."""
    search: dict[str, Any] = {"bearer_type": "Person", "bearer_id": token.bearer_id}
    assert await zaikio.find_usable_access_token(**search) == token
    visitor = Visitor(small_app(zaikio))
    await visitor.log_in()
    await visitor.aclose()

    newest = await zaikio.find_usable_access_token(**search)

    assert newest is not None
    assert newest.id == visitor.session["zaikio_access_token_id"] != token.id
