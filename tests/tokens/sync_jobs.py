"""Scripts of sync code, each a function: ``python sync_jobs.py <name> <order>``. They check themselves."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from zaikio_oauth import AccessToken, Settings, ZaikioOAuth
from zaikio_oauth.tokens import blocking_portal, runtime


class Job:
    """A ZaikioOAuth of this process and organizations whose tokens it may get."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.zaikio = ZaikioOAuth(Settings(**order["settings"]))
        self.organizations: list[str] = order["organizations"]

    def get(self, number: int = 0) -> str:
        with self.zaikio.with_auth(bearer_type="Organization", bearer_id=self.organizations[number]) as token:
            assert token.bearer_id == self.organizations[number]
            return token.token


def plain(job: Job) -> None:
    """The simplest script."""
    assert job.get() == job.get()


def ends_while_the_hub_is_asked(job: Job) -> None:
    """The last line is reached while a daemon thread still waits."""
    threading.Thread(target=job.get, daemon=True).start()
    time.sleep(0.5)


def is_interrupted(job: Job) -> None:
    """Ctrl-C while the main thread waits."""
    # A command that a shell has started in the background ignores it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT]).start()
    with suppress(KeyboardInterrupt):
        job.get()
        raise AssertionError


def goes_on_in_threads(job: Job) -> None:
    """Threads that the interpreter waits for still work when the main thread has ended."""

    def later() -> None:
        threading.main_thread().join()
        time.sleep(0.3)
        assert job.get(0) == first
        job.get(1)
        # stdout shows that it has come to its end.
        sys.stdout.write("worked")

    first = job.get(0)
    threading.Thread(target=later).start()


def bodies_last_longer(job: Job) -> None:
    """An async hook is left when its body ends, also after the main thread; daemons are not waited for."""

    @asynccontextmanager
    async def around_auth(_access_token: AccessToken) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.sleep(0)
            left.append(1)

    def work(seconds: float) -> None:
        with job.zaikio.with_auth(bearer_type="Organization", bearer_id=job.organizations[0]):
            inside.wait()
            time.sleep(seconds)
        sys.stdout.write("left" if left else "not left")

    left: list[int] = []
    inside = threading.Barrier(3)
    job.zaikio.configure(job.zaikio.settings, around_auth=around_auth)
    threading.Thread(target=work, args=[1]).start()
    threading.Thread(target=work, args=[600], daemon=True).start()
    inside.wait()


def forks(job: Job) -> None:
    """A child works with connections of its own, and so does the parent afterwards."""
    first = job.get(0)
    child = os.fork()
    if not child:
        assert job.get(0) == first
        job.get(1)
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert job.get(0) == first
    job.get(1)
    job.get(2)


def forks_several(job: Job) -> None:
    """``multiprocessing``: several children at once, and children of theirs."""
    forking = multiprocessing.get_context("fork")

    def work(generations: int) -> None:
        assert job.get() == first
        children = [forking.Process(target=work, args=[generations - 1]) for _ in range(2 if generations else 0)]
        for child in children:
            child.start()
        assert job.get() == first
        for child in children:
            child.join()
            assert child.exitcode == 0

    first = job.get(0)
    work(2)


def forks_while_locks_are_held(job: Job) -> None:
    """Another thread is just starting the loop, and another one reads settings."""
    held, go = threading.Barrier(3), threading.Event()

    def hold(lock: Any, seconds: float) -> None:
        with lock:
            held.wait()
            go.wait(seconds)

    threading.Thread(target=hold, args=[blocking_portal.portal._lock, 20]).start()
    threading.Thread(target=hold, args=[runtime._reading, 1]).start()
    held.wait()
    child = os.fork()
    if not child:
        signal.alarm(20)
        # In this thread, because a new one may have the identity of the one that held the lock.
        assert job.zaikio.settings
        job.get()
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    go.set()


if __name__ == "__main__":
    globals()[sys.argv[1]](Job(json.loads(sys.argv[2])))
