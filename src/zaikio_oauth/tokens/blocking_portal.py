"""The blocking portal: one event loop in the background of the process, on which sync code runs what is async."""

from __future__ import annotations

import asyncio
import copy
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AbstractContextManager, suppress
from contextvars import Context, Token, copy_context
from types import TracebackType
from typing import Any, Generic, NamedTuple, TypeVar

from zaikio_oauth.errors import ZaikioOAuthError
from zaikio_oauth.settings.retries_and_waits import PORTAL_POLL

__all__ = ["BlockingPortal", "portal"]

T = TypeVar("T")


class _Outcome(NamedTuple):
    """What a coroutine has returned, or the error that it has raised."""

    value: Any
    error: BaseException | None = None

    def get(self) -> Any:
        """Return the value or raise the error."""
        try:
            if self.error is not None:
                raise self.error
            return self.value
        finally:
            # The traceback of the error would otherwise refer to the error.
            del self


class BlockingPortal:
    """Runs coroutines on an event loop in a thread of its own, which stays open between calls.

    The thread starts at the first call. It ends when the interpreter waits for no other thread any more and all calls
    have ended, so what the Hub is issuing is still stored. A forked child gets a thread and a loop of its own and
    leaves alone what it has inherited, because the sockets in it are its parent's.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._thread: _LoopThread | None = None
        self._inherited: list[_LoopThread | None] = []

    def refuse_running_loop(self, instead: str) -> None:
        """Raise RuntimeError, which says what to write ``instead``, if the caller would block its own event loop."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        raise RuntimeError(f"An event loop runs in this thread and would be blocked; write {instead}.")

    def call(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run the coroutine of ``function`` on the loop, in a copy of the caller's context, and wait for its end.

        Its error is raised here. Whoever is interrupted meanwhile (Ctrl-C, a time limit that works by a signal) has
        cancelled it, but not what it shares with others.
        """
        result: T = _wait(self._submit(lambda: _outcome_of_its_own(function))).get()
        return result

    def entered(self, manager: AbstractAsyncContextManager[T]) -> AbstractContextManager[T]:
        """Return a context manager that enters and leaves ``manager`` on the loop, both in one task.

        The context variables that it sets are set in the body too.
        """
        return _Entered(self, manager)

    def submit_body(self, function: Callable[[], Coroutine[Any, Any, _Outcome]]) -> Future[_Outcome]:
        """Start what lasts as long as a body of the calling thread."""
        return self._submit(function, threading.current_thread())

    def _submit(
        self, function: Callable[[], Coroutine[Any, Any, _Outcome]], body_of: threading.Thread | None = None
    ) -> Future[_Outcome]:
        with self._lock:
            if self._thread is None or not self._thread.open:
                self._thread = _LoopThread(self._lock)
            return self._thread.submit(function, body_of)

    def after_fork(self) -> None:
        """Leave to the parent what is its own. The lock may have been held by a thread that does not exist here."""
        self._inherited.append(self._thread)
        self._lock, self._thread = threading.RLock(), None


portal = BlockingPortal()
"""That of the process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=portal.after_fork)


class _LoopThread:
    """An event loop, its thread, and the tasks that it must not leave undone."""

    def __init__(self, lock: AbstractContextManager[Any]) -> None:
        self.ending = False
        self._lock = lock
        self._tasks: dict[asyncio.Task[Any], threading.Thread | None] = {}
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        # The interpreter waits for it, which it would not do for a daemon.
        self._thread = threading.Thread(target=self._run, name="zaikio_oauth event loop", daemon=False)
        self._thread.start()
        self._started.result()

    @property
    def open(self) -> bool:
        """Whether it takes calls."""
        return not self.ending and self._thread.is_alive()

    def submit(
        self, function: Callable[[], Coroutine[Any, Any, _Outcome]], body_of: threading.Thread | None
    ) -> Future[_Outcome]:
        """Start the coroutine. The caller holds the lock."""

        async def task() -> _Outcome:
            current = asyncio.current_task()
            if current is not None:
                self._tasks[current] = body_of
                current.add_done_callback(self._tasks.pop)
            return await function()

        # Its callback runs in a copy of the present context, which the task copies in turn.
        return asyncio.run_coroutine_threadsafe(task(), self._started.result())

    def end(self) -> None:
        """Wait until everything that was submitted has ended, then close the loop."""
        loop = self._started.result()
        with self._lock:
            if not self.ending:
                self.ending = True
                # After everything that was submitted before.
                loop.call_soon_threadsafe(self._over.set_result, threading.current_thread())
        self._thread.join()

    def _end_after(self, main: threading.Thread) -> None:
        # The interpreter first ends the main thread, then waits for all others; functions of atexit come last, when
        # no thread can be started any more. From Python 3.12 on, none can be once the main thread has ended, so those
        # that go on could not start another loop.
        main.join()
        own = (threading.current_thread(), self._thread)
        while others := [one for one in threading.enumerate() if one.is_alive() and not one.daemon and one not in own]:
            others[0].join()
        self.end()

    def _end_with_celery(self) -> None:
        # A process of its pool ends by os._exit, which ends no interpreter.
        if signals := sys.modules.get("celery.signals"):
            signals.worker_process_shutdown.connect(lambda **_: self.end(), weak=False)

    def _run(self) -> None:
        runner = asyncio.Runner()
        try:
            runner.run(self._serve())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)
        finally:
            # A runner ends the executor in a thread, which Python 3.12 does not start when the interpreter ends. The
            # executor has ended by then, and the loop is closed in any case.
            with suppress(RuntimeError):
                runner.close()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(_Executor())
        self._over: asyncio.Future[threading.Thread] = loop.create_future()
        # Before whoever waits for it can be interrupted, so that it ends in any case.
        main = threading.main_thread()
        threading.Thread(target=self._end_after, args=[main], name="zaikio_oauth end", daemon=False).start()
        self._end_with_celery()
        self._started.set_result(loop)
        ended_by = await self._over
        while awaited := [task for task, thread in self._tasks.items() if _ends(thread, ended_by)]:
            await asyncio.wait(awaited, timeout=PORTAL_POLL)


class _Executor(ThreadPoolExecutor):
    """Looks up host names, for which an event loop needs an executor, also while the interpreter ends."""

    def submit(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run the function in a thread, or in this one once no executor takes work: the main thread has ended."""
        try:
            return super().submit(function, *args, **kwargs)
        except RuntimeError:
            ended: Future[T] = Future()
            try:
                ended.set_result(function(*args, **kwargs))
            except Exception as error:
                ended.set_exception(error)
            return ended


def _ends(body_of: threading.Thread | None, ended_by: threading.Thread) -> bool:
    """Return whether it can be waited for: any call, and a body of a thread that goes on and is waited for itself."""
    return body_of is None or (body_of.is_alive() and not body_of.daemon and body_of is not ended_by)


def _wait(future: Future[_Outcome]) -> _Outcome:
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


async def _outcome(awaitable: Awaitable[Any]) -> _Outcome:
    try:
        return _Outcome(await awaitable)
    except asyncio.CancelledError:
        raise
    # Everything: SystemExit would end the loop.
    except BaseException as error:
        return _Outcome(None, error)


async def _outcome_of_its_own(function: Callable[[], Coroutine[Any, Any, Any]]) -> _Outcome:
    value, error = await _outcome(function())
    if isinstance(error, ZaikioOAuthError):
        # Other threads may be raising it too, each with a traceback.
        own = copy.copy(error).with_traceback(error.__traceback__)
        own.__cause__, own.__context__ = error.__cause__, error.__context__
        own.__suppress_context__ = error.__suppress_context__
        return _Outcome(None, own)
    return _Outcome(value, error)


class _Entered(AbstractContextManager[T], Generic[T]):
    """An async context manager around the body of a plain ``with``."""

    def __init__(self, through: BlockingPortal, manager: AbstractAsyncContextManager[T]) -> None:
        self._portal = through
        self._manager = manager
        self._inside: Future[_Outcome] = Future()
        self._left: Future[BaseException | None] = Future()
        self._context = Context()
        self._set: list[Token[Any]] = []

    def __enter__(self) -> T:
        self._task = self._portal.submit_body(self._enter_and_leave)
        # If it has been cancelled before it is inside.
        self._task.add_done_callback(lambda _ended: self._inside.cancel())
        try:
            entered = self._inside.result()
        except BaseException:
            self._task.cancel()
            raise
        value: T = entered.get()
        changed = [(variable, new) for variable, new in self._context.items() if variable.get(_Outcome) is not new]
        self._set = [variable.set(new) for variable, new in changed]
        return value

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        for token in reversed(self._set):
            # A generator may be entered in one context and left in another, as FastAPI does with its dependencies.
            with suppress(ValueError):
                token.var.reset(token)
        if self._task.cancelled():
            return None
        self._left.set_result(error)
        outcome = _wait(self._task)
        if outcome.error is error:
            return False
        return bool(outcome.get())

    async def _enter_and_leave(self) -> _Outcome:
        entered = await _outcome(self._manager.__aenter__())
        self._context = copy_context()
        self._inside.set_result(entered)
        if entered.error is not None:
            return entered
        try:
            error = await asyncio.wrap_future(self._left)
        except asyncio.CancelledError as cancelled:
            await self._manager.__aexit__(type(cancelled), cancelled, cancelled.__traceback__)
            raise
        kind = None if error is None else type(error)
        return await _outcome(self._manager.__aexit__(kind, error, error.__traceback__ if error else None))
