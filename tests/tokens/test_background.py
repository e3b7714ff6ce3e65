"""Work that goes on although its request has been answered."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref

import pytest

from zaikio_oauth.tokens.background import Background


async def test_finishing_waits_for_everything_also_for_what_is_started_meanwhile() -> None:
    """Nothing that was begun is lost by a shutdown."""
    background, done = Background(), []

    async def second() -> None:
        await asyncio.sleep(0.05)
        done.append("second")

    async def first() -> None:
        await asyncio.sleep(0.05)
        background.start(second())
        done.append("first")

    background.start(first())
    await background.finish()

    assert done == ["first", "second"]


async def test_a_pause_ends_when_the_loop_is_left() -> None:
    """Whoever tries again and again hears that there is no time left; afterwards pauses are pauses again."""
    background, went_on = Background(), []

    async def patient(seconds: float) -> None:
        went_on.append(await background.pause(seconds))

    for seconds in (0.01, 60):
        background.start(patient(seconds))
        await asyncio.sleep(0.05)
    await background.finish()
    background.start(patient(0.01))
    await asyncio.sleep(0.05)

    assert went_on == [True, False, True]


async def test_a_failure_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody else would hear of it."""

    async def failing() -> None:
        raise ValueError("unexpected")

    background = Background()
    background.start(failing())
    await background.finish()

    assert [record.levelno for record in caplog.records if record.exc_info] == [logging.ERROR]


async def test_work_that_nobody_waits_for_is_kept() -> None:
    """An event loop has only weak references to its tasks, so one that nobody keeps may vanish half done."""
    background, waiting, done = Background(), [], []

    async def work() -> None:
        answer = asyncio.get_running_loop().create_future()
        waiting.append(weakref.ref(answer))
        done.append(await answer)

    background.start(work())
    await asyncio.sleep(0)
    gc.collect()
    answer = waiting[0]()
    assert answer is not None
    answer.set_result("finished")
    await background.finish()

    assert done == ["finished"]
