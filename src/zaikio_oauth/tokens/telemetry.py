"""What happens to tokens, as events: always in the log, and for the app's listener and OpenTelemetry if they exist.

A listener may be sync or async. Whoever tells of an event neither waits for it nor hears of its failure; an async one
has ten seconds, because a shutdown waits for it.

No event contains a token, a code, a secret or a key.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from zaikio_oauth.access_token import AccessToken, BearerType
from zaikio_oauth.errors import (
    DecryptionError,
    HubUnavailableError,
    InvalidResponseError,
    OAuthError,
    StoreUnavailableError,
)
from zaikio_oauth.settings.retries_and_waits import LISTENER_DEADLINE
from zaikio_oauth.store.single_flight import UninterruptedTask
from zaikio_oauth.tokens.background import LoopTasks

try:
    from opentelemetry import metrics, trace
except ModuleNotFoundError:  # pragma: no cover (shown by a test in a process of its own)
    metrics = trace = None  # type: ignore[assignment]

__all__ = ["Kind", "Telemetry", "TokenEvent", "identity_of"]

Kind = Literal["obtained", "refreshed", "revoked", "refused", "lost", "cleaned_up"]
Listener = Callable[["TokenEvent"], object]

log = logging.getLogger("zaikio_oauth")


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """Something happened to a token, or to ``count`` tokens.

    ``kind``: ``obtained``; ``refreshed``; ``revoked``; ``refused``, the Hub answered with an error, whose code is
    ``error``, or a renewal for which nobody waits has failed (``temporarily_unavailable``, ``invalid_response``);
    ``lost``, once per grant: from now on somebody has to log in or connect anew; ``cleaned_up``. ``grant_type`` says by
    which grant a token was obtained.

        def on_token_event(event: TokenEvent) -> None:
            metrics.count(event.kind, event.count)

        configure(on_token_event=on_token_event)
    """

    kind: Kind
    client_name: str | None = None
    access_token_id: str | None = None
    bearer_type: BearerType | None = None
    bearer_id: str | None = None
    grant_type: str | None = None
    error: str | None = None
    count: int = 1

    @classmethod
    def of(cls, kind: Kind, token: AccessToken, **more: Any) -> TokenEvent:
        """Return an event about this token."""
        return cls(kind, client_name=token.audience, **identity_of(token), **more)

    @property
    def details(self) -> dict[str, str | int]:
        """All fields that are known, except ``kind``."""
        known = {name: getattr(self, name) for name in self.__slots__ if name != "kind"}
        return {name: value for name, value in known.items() if value is not None}


def identity_of(token: AccessToken) -> dict[str, Any]:
    """Return what an event says of a token, besides its client."""
    return {"access_token_id": token.id or None, "bearer_type": token.bearer_type, "bearer_id": token.bearer_id}


class Telemetry:
    """Passes events on."""

    def __init__(self, listener: Listener | None = None) -> None:
        self._listener = listener
        self._undecryptable: set[str] = set()
        self._hearing = LoopTasks()
        self._tracer = trace.get_tracer("zaikio_oauth") if trace else None
        self._counter = (
            metrics.get_meter("zaikio_oauth").create_counter(
                "zaikio_oauth.tokens", description="Tokens obtained, refreshed, revoked, refused, lost and cleaned up"
            )
            if metrics
            else None
        )

    def undecryptable(self, access_token_id: str) -> None:
        """Log, once in this process, that no key decrypts this row and that it is passed over."""
        if access_token_id not in self._undecryptable:
            self._undecryptable.add(access_token_id)
            log.error(
                "%s Another token is used instead, if there is one.",
                DecryptionError(access_token_id),
                extra={"zaikio_event": "token.not_decryptable", "zaikio_access_token_id": access_token_id},
            )

    def tell(self, event: TokenEvent) -> None:
        """Log the event, count it, and pass it to the app's listener."""
        level = logging.WARNING if event.kind in ("refused", "lost") else logging.INFO
        text = " ".join(f"{name}={value}" for name, value in event.details.items())
        log.log(
            level,
            "token %s %s",
            event.kind,
            text,
            extra={"zaikio_event": f"token.{event.kind}", **_prefixed(event.details)},
        )
        if self._counter:
            names = ("client_name", "bearer_type", "grant_type", "error")
            attributes = {name: value for name, value in event.details.items() if name in names}
            self._counter.add(event.count, {"event": event.kind, **attributes})
        if self._listener:
            try:
                answer = self._listener(event)
            except Exception as error:
                # A listener must not undo what has happened.
                _log_failure(error)
            else:
                if isinstance(answer, Awaitable):
                    # In a task, so that nobody waits for it who only tells.
                    self._hearing.add(UninterruptedTask(_heard_out(answer)))

    def tell_unanswered(self, error: Exception, client_name: str, **about: Any) -> None:
        """Tell that a renewal for which nobody waits got no answer; ``asking`` has told of the Hub's refusals."""
        if isinstance(error, HubUnavailableError | InvalidResponseError | StoreUnavailableError):
            code = "invalid_response" if isinstance(error, InvalidResponseError) else "temporarily_unavailable"
            self.tell(TokenEvent("refused", client_name=client_name, error=code, **about))

    async def drain(self) -> None:
        """Wait for the async listeners that this event loop is running, so that a shutdown loses no event."""
        await self._hearing.wait()

    @contextmanager
    def asking(
        self, grant_type: str, client_name: str, *, pending: Collection[str] = (), **about: str | None
    ) -> Iterator[None]:
        """Trace the token request in the body, and tell of its error response unless the code is ``pending``.

        ``about``: what is known of the token, as in a TokenEvent.
        """
        try:
            with self.span(grant_type, client_name=client_name):
                yield
        except OAuthError as error:
            if error.code not in pending:
                known: dict[str, Any] = {"grant_type": grant_type, "error": error.code, **about}
                self.tell(TokenEvent("refused", client_name=client_name, **known))
            raise

    @contextmanager
    def span(self, name: str, **attributes: str) -> Iterator[None]:
        """Trace the request in the body, if OpenTelemetry is installed."""
        if self._tracer is None:
            yield
            return
        prefixed = {f"zaikio.{key}": value for key, value in attributes.items()}
        with self._tracer.start_as_current_span(f"zaikio_oauth.{name}", attributes=prefixed):
            yield


async def _heard_out(answer: Awaitable[object]) -> None:
    # The end of the event loop waits for this task, so it has to end.
    limit = asyncio.timeout(LISTENER_DEADLINE)
    try:
        async with limit:
            await answer
    except Exception as error:
        if limit.expired():
            log.error(  # noqa: TRY400
                "A listener of token events was cancelled: it took over %.0f s.",
                LISTENER_DEADLINE,
                extra={"zaikio_event": "listener.cancelled"},
            )
            return
        _log_failure(error)


def _log_failure(error: Exception) -> None:
    log.error("A listener of token events failed.", exc_info=error, extra={"zaikio_event": "listener.failed"})


def _prefixed(details: dict[str, str | int]) -> dict[str, str | int]:
    return {f"zaikio_{name}": value for name, value in details.items()}
