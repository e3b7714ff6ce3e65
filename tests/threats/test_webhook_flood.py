"""10,000 events in a minute: the app stays as it was, and its visitors are served.

Events come at that rate, 167 in a second, in bursts of ten: forged ones for three seconds, genuine ones for one. They
reach the app inside the process, so that only what it does itself is measured.
"""

from __future__ import annotations

import asyncio
import gc
import gzip
import hmac
import time
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Callable
from hashlib import sha256

import pytest

from tests.apps import small_app
from tests.data import SECRET, some_client
from tests.loom import deliver_until_taken
from tests.visitor import Visitor
from zaikio_oauth import Settings, ZaikioOAuth
from zaikio_oauth.testing import LocalHub

SHARED = "shared-with-loom"
RATE = 10_000 / 60


@pytest.fixture
async def zaikio(make_settings: Callable[..., Settings]) -> AsyncIterator[ZaikioOAuth]:
    """Yield an instance with a webhook."""
    client = some_client(webhook_secret=SHARED)
    async with ZaikioOAuth(make_settings(clients={"warehouse": client})) as opened:
        yield opened


def revocation(number: int) -> bytes:
    """Return an event that says that a token of somebody is revoked."""
    return b'{"id": "%d", "name": "zaikio.revoked_access_token", "payload": {"access_token_id": "token-%d"}}' % (
        number,
        number,
    )


def signature(body: bytes) -> str:
    """Return what Loom signs with."""
    return hmac.new(SHARED.encode(), body, sha256).hexdigest()


FORGED = [
    (b"x" * 60_000, "0" * 64),
    (b"x" * 200_000, "0" * 64),
    (gzip.compress(b"\0" * 10_000_000), "0" * 64),
    (b"[" * 60_000, ""),
    (revocation(0), signature(revocation(1))),
]


async def flood(visitor: Visitor, genuine: bool, events: int) -> Counter[int]:
    """Deliver events at the rate, look at a page meanwhile, and return how often each status was answered."""
    statuses: Counter[int] = Counter()

    async def deliver(number: int) -> None:
        body, signed = (revocation(number), signature(revocation(number))) if genuine else FORGED[number % len(FORGED)]
        headers = {"X-Loom-Signature": signed, "Content-Encoding": "gzip"}
        statuses[await deliver_until_taken(visitor.app, body, headers)] += 1

    started = time.monotonic()
    for number in range(0, events, 10):
        await asyncio.gather(*(deliver(each) for each in range(number, number + 10)))
        if number % 100 == 0:
            looked = time.monotonic()
            assert (await visitor.get("/me")).status_code == 200
            assert time.monotonic() - looked < 5
        await asyncio.sleep(max(0.0, started + number / RATE - time.monotonic()))
    return statuses


def memory() -> int:
    """Return the bytes that Python has allocated."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.mark.parametrize(
    ("genuine", "events", "expected"), [(False, 500, {401, 413}), (True, 150, {200})], ids=["forged", "genuine"]
)
async def test_a_flood_of_events_leaves_nothing_behind(
    visitor: Visitor, hub: LocalHub, genuine: bool, events: int, expected: set[int]
) -> None:
    """Each event is answered, pages are served meanwhile, and neither memory nor tasks grow."""
    hub.auto_consent(person_id=hub.people[0].id)
    await visitor.log_in()
    tracemalloc.start()
    try:
        await flood(visitor, genuine, 50)
        tasks, before = len(asyncio.all_tasks()), memory()
        statuses = await flood(visitor, genuine, events)
        grown = memory() - before
    finally:
        tracemalloc.stop()

    assert (set(statuses), sum(statuses.values())) == (expected, events)
    assert len(asyncio.all_tasks()) <= tasks
    assert grown < 1_000_000
    assert (await visitor.get("/me")).status_code == 200


async def test_an_event_that_comes_again_changes_nothing(visitor: Visitor, hub: LocalHub) -> None:
    """Loom repeats events, and so may whoever has read one: the same revocation a hundred times is one."""
    hub.auto_consent(person_id=hub.people[0].id)
    await visitor.log_in()
    body = revocation(7)
    for _ in range(100):
        assert await deliver_until_taken(visitor.app, body, {"X-Loom-Signature": signature(body)}) == 200
    assert (await visitor.get("/me")).status_code == 200


async def test_a_signature_is_for_one_body_and_one_client(make_settings: Callable[..., Settings]) -> None:
    """The secret of one client signs nothing for another, nor does the client's own OAuth secret."""
    client = {"client_id": "a", "client_secret": SECRET, "default_scopes": ["zaikio.person.r"]}
    clients = {
        "warehouse": client | {"webhook_secret": SHARED},
        "shop": client | {"client_id": "b", "webhook_secret": "another-one"},
    }
    async with ZaikioOAuth(make_settings(clients=clients)) as zaikio:
        visitor = Visitor(small_app(zaikio))
        body = revocation(7)
        forged = {
            "another client's": signature(body),
            "the client secret's": hmac.new(SECRET.encode(), body, sha256).hexdigest(),
            "none": "",
            "of nothing": signature(b""),
            "SHA-1": hmac.new(b"another-one", body, "sha1").hexdigest(),
            "with its name": "sha256=" + hmac.new(b"another-one", body, sha256).hexdigest(),
            "twice": hmac.new(b"another-one", body, sha256).hexdigest() * 2,
            "no ASCII": "ſ" * 64,
        }
        for signed in forged.values():
            headers = [(b"x-loom-signature", signed.encode())]
            assert (await visitor.app.post("/zaikio/shop/webhook", content=body, headers=headers)).status_code == 401
        right = hmac.new(b"another-one", body, sha256).hexdigest()
        headers = {"X-Loom-Signature": right}
        assert await deliver_until_taken(visitor.app, body, headers, "/zaikio/shop/webhook") == 200
        await visitor.aclose()
