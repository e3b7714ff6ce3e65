"""Every number that says how long we try, wait or keep asking, and the deadline that keeps to it.

In seconds unless its type says otherwise. How long before its expiry a token counts as expired is in
``access_token``, how long a login may take in ``web.flow``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType

# ── One call to the Hub ────────────────────────────────────────────────────────────────────────────

HUB_DEADLINE = 30.0
"""For a call to the Hub with all its retries, for waiting until another process has made it, and for a caller of ours,
whatever it waits for."""

PAGE_PATIENCE, OPTIONAL_PATIENCE = 5.0, 2.0
"""How long a page waits for a token that has expired, and one that can be shown without."""

RENEWAL_PAUSE = timedelta(minutes=1)
"""How long a renewal ahead of time that failed is not tried again, and how often the Hub is asked for a token that is
valid for longer than its tokens are."""

CONNECT_TIMEOUT = 5.0

CHECK_DEADLINE = 3.0
"""For each answer of the Hub to ``zaikio-oauth check``: a person waits for it."""

ATTEMPT_TIMEOUT = 10.0
"""For one attempt, until its whole response has been read, if the request may be repeated without harm."""

SINGLE_USE_ATTEMPT = 10.0
"""The least time for another attempt with a code or a refresh token: it is not begun if it could not be waited for."""

STALL, STALL_GRACE = 0.5, 1.0
"""How late a deadline has to be to show that the event loop was stalled, and how much longer we then wait.

A response of the Hub or of the database that arrived meanwhile is waiting in the socket and only has to be read.
"""

FIRST_BACKOFF, LONGEST_BACKOFF = 0.2, 5.0
"""Between two attempts, growing exponentially, with jitter."""

LONGEST_RETRY_AFTER = 3600.0
"""The longest wait that a ``Retry-After`` or ``RateLimit-Reset`` of the Hub can ask for."""

KEEP_ALIVE_WITHIN = timedelta(days=2)
"""How long before its refresh token expires a connection is refreshed, so that a daily job has two attempts."""

KEEP_ALIVE_AT_ONCE = 4
"""How many connections are refreshed at the same time."""

KEEP_ALIVE_GIVES_UP = 20
"""After this many failures in a row because nothing answered, the rest is left for the next run."""

REVOCATION_DEADLINE = 5.0
"""For revoking one token: a person who logs out waits for it."""

# ── What the Hub publishes for everybody: signing keys, roles, revoked tokens ─────────────────────

PUBLISHED_DEADLINE = 5.0

PUBLISHED_FRESH = 3600.0
"""The age at which it is fetched again, while callers still get what is kept."""

PUBLISHED_USABLE = 23 * 3600.0
"""The age at which it is no longer used: "do not cache longer than a day" (Hub documentation, "JWT")."""

PUBLISHED_BURST, PUBLISHED_REFILL = 10.0, 6.0
"""How many requests may be made at once, and after how many seconds there may be one more.

Strangers decide how often an unknown key is named.
"""

REVOCATION_LIST_DEADLINE = 10.0

REVOCATION_LIST_INTERVAL = timedelta(hours=1)
"""How often the list is fetched, by all processes together."""

REVOCATION_LIST_CLAIM = timedelta(minutes=5)
"""For how long nobody else fetches the list while one process does; also the pause after a failure.

Extended to the whole interval once the list is stored, so that a process that ends in between costs only minutes.
"""

REVOCATION_LIST_WAIT = 1.0
"""How long, after start-up, bearer tokens wait for the first check; then they are judged by what is stored."""

REVOCATION_LIST_DELAY = 5.0
"""When a script that nobody has entered checks for the first time; one that has ended by then need not."""

REVOCATION_LIST_CHECK = 60.0
"""How often each process checks whether the list is due."""

# ── Processes that want the same thing ─────────────────────────────────────────────────────────────

LEASE_SECONDS = 10.0
"""A lease whose holder has not renewed it for this long may be taken over; it is renewed four times as often."""

LEASE_TAKE_OVER_GRACE = 10.0
"""How long an ``invalid_grant`` is doubted when another process may have used the refresh token and be storing what it
got: one from which the lease was taken over may be stalled, one that has taken it over may still be asking."""

RENEWAL_WAIT = HUB_DEADLINE + LEASE_SECONDS
"""How long, in the background, a process waits for another one that renews a token: until it has heard of a failure,
or has taken the lease over."""

FIRST_POLL, LONGEST_POLL = 0.02, 0.25
"""How often a waiting process checks whether the other one has finished."""

# ── The database ───────────────────────────────────────────────────────────────────────────────────

DATABASE_DEADLINE = 15.0
"""For a database that is not there at start-up to come up, and for storing the rest at a shutdown."""

FIRST_DATABASE_BACKOFF, LONGEST_DATABASE_BACKOFF = 0.1, 1.0
"""Between two attempts to store what the Hub has issued."""

STATEMENT_DEADLINE = 5.0
"""For one call to the database with everything: a connection, its statements, a second attempt on a new connection."""

STATEMENT_TIMEOUT = 4.0
"""For one statement on PostgreSQL, and for a free connection; below the deadline, so that the cause can be named."""

DATABASE_CONNECT_TIMEOUT = 3.0

CONNECTION_CLOSE_TIMEOUT = 2.0
"""For PostgreSQL to end what a connection still does when it is closed."""

SQLITE_BUSY_TIMEOUT = 4.0
"""How long a writer waits for the write lock of another one."""

MIGRATION_TIMEOUT = 300.0
"""For one statement of a migration, which may have to wait for another process that migrates."""

CHANGES_DELAY = 5.0
"""When a script that nobody has entered begins to listen for changes; one that has ended by then need not."""

CHANGES_TEST = 1.0
"""How long a notification to ourselves may take, which shows that there is no pooler in between."""

SHORTEST_CHANGES_CHECK, LONGEST_CHANGES_CHECK = 0.1, 15.0
"""How often the server is asked whether it still has this listener: four times in ``cache_ttl``, within limits."""

LONGEST_CHANGES_BACKOFF = 60.0
"""Between two attempts to listen for changes."""

# ── A device that waits for its person (RFC 8628) ──────────────────────────────────────────────────

DEVICE_SLOW_DOWN = 5.0
"""Added to the interval at each ``slow_down`` (RFC 8628 §3.5)."""

DEVICE_LONGEST_PAUSE = 60.0
"""Between two requests while the Hub does not answer."""

# ── Answers of ours ────────────────────────────────────────────────────────────────────────────────

LOOM_PATIENCE, WEBHOOK_DEADLINE = 1.0, 0.7
"""How long Loom waits, and when it is asked to deliver the event again."""

SIGNATURE_WARNING_PAUSE = 60.0
"""The least time between two warnings of a client's events with a wrong signature."""

EVENTS_KEPT = timedelta(days=2)
"""How long it is remembered that an event was dealt with; Loom delivers again for hours."""

LOGOUT_DEADLINE = 5.0
"""How long a person who logs out waits; the session is cleared in any case, and the rest happens in the background."""

FIRST_LOGOUT_RETRY, LONGEST_LOGOUT_RETRY = 1.0, 30.0
"""When a logout that the database prevented is tried again, as long as the process lives."""

PAGE_RETRY_AFTER = 10
"""``Retry-After`` of a 503, in whole seconds."""

# ── Code of the app ────────────────────────────────────────────────────────────────────────────────

LISTENER_DEADLINE = 10.0
"""For an async listener of token events to deal with one of them; a shutdown waits for it."""

PORTAL_POLL = 0.1
"""How often the end of the process checks whether threads are still inside ``with with_auth(…)``."""

EVENT_DEADLINE = 30.0
"""For an async ``on_event`` to deal with one event."""

EVENT_WAIT = LEASE_SECONDS + 5.0
"""For another process that deals with the same event: long enough to notice that it has died."""

# ── How a deadline is kept ─────────────────────────────────────────────────────────────────────────


class Deadline:
    """Cancels the body of ``async with`` after ``seconds`` and raises TimeoutError; None means never.

    If the event loop was stalled (the process was stopped, or something blocked the loop), the deadline may be over
    when the loop goes on, although the answer is waiting in the socket. The body then has a moment more to read it.

        async with Deadline(5):
            data = await stream.read()
    """

    # No generator: an event loop that ends closes its generators, but may still have something to store.

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds

    async def __aenter__(self) -> None:
        self._timeout = timeout = asyncio.timeout(None)
        await timeout.__aenter__()
        if self._seconds is not None:
            loop = asyncio.get_running_loop()
            self._due = Due(self._seconds, lambda: timeout.reschedule(loop.time()))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._seconds is not None:
            self._due.cancel()
        await self._timeout.__aexit__(kind, error, traceback)


class Due:
    """Calls ``call`` after ``seconds``, and a moment later if the event loop was stalled, unless it is cancelled."""

    def __init__(self, seconds: float, call: Callable[[], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._call = call
        self._at = self._loop.time() + seconds
        self._handle = self._loop.call_at(self._at, self._decide)

    def cancel(self) -> None:
        """Call nothing any more."""
        self._handle.cancel()

    def _decide(self) -> None:
        if self._loop.time() - self._at > STALL:
            self._handle = self._loop.call_later(STALL_GRACE, self._call)
        else:
            self._call()
