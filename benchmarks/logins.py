"""Logins: what the app's process spends on both of its requests."""

from __future__ import annotations

import ssl
from contextlib import ExitStack

import httpx

from benchmarks.machine import pin_to_load_core
from benchmarks.measurement import Contender, Figures, Step, Stopwatch, Table, in_turns
from benchmarks.processes import Process
from benchmarks.stage import Stage

__all__ = ["NAME", "measure", "steps"]

NAME = "logins"
LOGINS_A_SECOND = 30
CONTENDERS = {
    "Authlib, token thrown away": "authlib",
    "Authlib, token stored by hand": "authlib, storing",
    "zaikio_oauth": "ours",
}
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class _Logins:
    """Browsers that log in at one app, one after the other."""

    def __init__(self, stage: Stage, app: Process) -> None:
        self._hub, self._app = stage.hub, app
        self._number = max(5, round(LOGINS_A_SECOND * stage.seconds))

    async def run(self) -> Figures:
        self._hub.do(app_url=self._app.said)
        watch = Stopwatch(self._app.id)
        for _ in range(self._number):
            await self._log_in()
        return {"CPU ms": watch.figures(self._number, "")["CPU µs"] / 1000}

    async def _log_in(self) -> None:
        async with httpx.AsyncClient(verify=NO_CERTIFICATES) as browser:
            started = await browser.get(f"{self._app.said}/zaikio/sessions/new")
            consented = await browser.get(started.headers["location"])
            ended = await browser.get(consented.headers["location"])
        if ended.status_code not in (302, 303) or not ended.headers.get("set-cookie"):
            raise RuntimeError(f"A login ended with status {ended.status_code}: {ended.text[:500]}")


async def measure(stage: Stage, step: Step) -> list[Table]:
    """Return the table."""
    pin_to_load_core()
    place = stage.place("PostgreSQL")
    await stage.rows("PostgreSQL")
    table = Table(NAME, "A login, PostgreSQL: processor time of the app", "Authlib, token thrown away")
    with ExitStack() as stack:
        contenders = []
        for name, app in CONTENDERS.items():
            server = stack.enter_context(Process("benchmarks.app_server", app, place.as_text()))
            contenders.append(Contender(name, _Logins(stage, server).run))
        return [await in_turns(table, contenders, stage.rounds, step)]


def steps(rounds: int) -> int:
    """Return how many steps there are."""
    return len(CONTENDERS) * (rounds + 1)
