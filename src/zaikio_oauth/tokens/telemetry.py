"""What happens to tokens, as events: to the log always, to the app's listener and to OpenTelemetry where there are.

No event holds a token, a code, a secret or a key.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.errors import OAuthError

try:
    from opentelemetry import metrics, trace
except ModuleNotFoundError:  # pragma: no cover (the tests have it; a test without it runs in a process of its own)
    metrics = trace = None  # type: ignore[assignment]

__all__ = ["Telemetry", "TokenEvent"]

Kind = Literal["obtained", "refreshed", "revoked", "refused", "cleaned_up"]
Listener = Callable[["TokenEvent"], object]

log = logging.getLogger("zaikio_oauth")


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """Something happened to a token, or to ``count`` of them.

    ``grant_type`` tells by which grant it was obtained, ``error`` the code of a refusal.
    """

    kind: Kind
    client_name: str | None = None
    access_token_id: str | None = None
    bearer_type: str | None = None
    bearer_id: str | None = None
    grant_type: str | None = None
    error: str | None = None
    count: int = 1

    @classmethod
    def of(cls, kind: Kind, token: AccessToken, **more: Any) -> TokenEvent:
        """An event of this token."""
        return cls(
            kind,
            client_name=token.audience,
            access_token_id=token.id or None,
            bearer_type=token.bearer_type,
            bearer_id=token.bearer_id,
            **more,
        )

    @property
    def details(self) -> dict[str, str | int]:
        """What is known, without the rest."""
        known = {name: getattr(self, name) for name in self.__slots__ if name != "kind"}
        return {name: value for name, value in known.items() if value is not None}


class Telemetry:
    """Tells everybody who listens."""

    def __init__(self, listener: Listener | None = None) -> None:
        self._listener = listener
        self._tracer = trace.get_tracer("zaikio_oauth") if trace else None
        self._counter = (
            metrics.get_meter("zaikio_oauth").create_counter(
                "zaikio_oauth.tokens", description="Tokens obtained, refreshed, revoked, refused and cleaned up"
            )
            if metrics
            else None
        )

    def tell(self, event: TokenEvent) -> None:
        """Log the event, count it, and hand it to the app's listener."""
        level = logging.WARNING if event.kind == "refused" else logging.INFO
        text = " ".join(f"{name}={value}" for name, value in event.details.items())
        log.log(level, "token %s %s", event.kind, text, extra={"zaikio_event": event.kind, **_prefixed(event.details)})
        if self._counter:
            names = ("client_name", "bearer_type", "grant_type", "error")
            attributes = {name: value for name, value in event.details.items() if name in names}
            self._counter.add(event.count, {"event": event.kind, **attributes})
        if self._listener:
            try:
                self._listener(event)
            except Exception:
                # Somebody who only listens must not undo what has happened.
                log.exception("A listener of token events failed.")

    @contextmanager
    def asking(self, grant_type: str, client_name: str, *, not_yet: Collection[str] = ()) -> Iterator[None]:
        """Around a request for a token: a span, and an event when it is refused; ``not_yet`` are no refusals."""
        try:
            with self.span(grant_type, client_name=client_name):
                yield
        except OAuthError as refusal:
            if refusal.code not in not_yet:
                self.tell(TokenEvent("refused", client_name=client_name, grant_type=grant_type, error=refusal.code))
            raise

    @contextmanager
    def span(self, name: str, **attributes: str) -> Iterator[None]:
        """A span around a request to the Hub, where OpenTelemetry is there."""
        if self._tracer is None:
            yield
            return
        prefixed = {f"zaikio.{key}": value for key, value in attributes.items()}
        with self._tracer.start_as_current_span(f"zaikio_oauth.{name}", attributes=prefixed):
            yield


def _prefixed(details: dict[str, str | int]) -> dict[str, str | int]:
    return {f"zaikio_{name}": value for name, value in details.items()}
