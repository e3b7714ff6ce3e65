"""Everything that a program shows, searched for every secret that it had."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import pickle
import traceback
import warnings
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote_plus, urlsplit

import httpx2
import rich.traceback
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.tracing import collecting_spans

SECRET_FIELDS = {"client_secret", "code", "code_verifier", "refresh_token", "access_token", "device_code"}


class SecretsOnTheWire:
    """A Hub (ASGI) that notes every secret that passes: those of requests, of responses and of redirects."""

    def __init__(self, hub: ASGIApp) -> None:
        self.hub = hub
        self.secrets: dict[str, str] = {}

    def note(self, kind: str, value: Any) -> None:
        """Note a secret; a JWT is useless without its last part."""
        if isinstance(value, str) and len(value) >= 10:
            self.secrets[value.rpartition(".")[2]] = kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()
        self._note_request(body, dict(scope["headers"]).get(b"authorization", b"").decode())
        answered = bytearray()

        async def replay() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def noted(message: Message) -> None:
            location = dict(message.get("headers", ())).get(b"location", b"").decode()
            for name, value in parse_qsl(urlsplit(location).query):
                if name in SECRET_FIELDS:
                    self.note(f"{name} of a redirect", value)
            answered.extend(message.get("body", b""))
            await send(message)

        await self.hub(scope, replay, noted)
        self._note_response(bytes(answered))

    def _note_request(self, body: bytes, authorization: str) -> None:
        for name, values in parse_qs(body.decode()).items():
            if name in SECRET_FIELDS:
                self.note(f"{name} of a request", values[0])
        kind, _, credentials = authorization.partition(" ")
        if kind.lower() == "basic":
            self.note("HTTP Basic", credentials)
            self.note("client_secret", base64.b64decode(credentials).decode().partition(":")[2])
        elif kind:
            self.note("bearer", credentials)

    def _note_response(self, body: bytes) -> None:
        try:
            fields = json.loads(body)
        except ValueError:
            return
        for name in SECRET_FIELDS & fields.keys() if isinstance(fields, dict) else ():
            self.note(f"{name} of a response", fields[name])


class Sight(logging.Handler):
    """Collects whatever is shown, with the place where it is."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.seen: list[tuple[str, str]] = []
        self.errors: list[str] = []

    def show(self, where: str, text: object) -> None:
        """Note what is shown somewhere."""
        self.seen.append((where, text if isinstance(text, str) else repr(text)))

    def emit(self, record: logging.LogRecord) -> None:
        """Note a line of the log, with everything that formatters can make of it."""
        if record.name.startswith(("httpx2", "httpcore2")):
            return  # the browser of these tests
        self.show(f"log {record.name}", record.getMessage())
        self.show(
            f"log {record.name}, fields", {name: value for name, value in vars(record).items() if name != "exc_info"}
        )
        if record.exc_info and record.exc_info[1]:
            self.traceback(f"log {record.name}", record.exc_info[1])

    def traceback(self, where: str, error: BaseException) -> None:
        """Note the traceback as Python and as rich print it, both with the locals of every frame."""
        shown = traceback.TracebackException.from_exception(error, capture_locals=True)
        self.show(f"{where}, traceback", "".join(shown.format()))
        made = rich.traceback.Traceback.extract(type(error), error, error.__traceback__, show_locals=True)
        for frame in (frame for stack in made.stacks for frame in stack.frames):
            self.show(f"{where}, rich traceback", [value.render(10_000) for value in (frame.locals or {}).values()])

    def exception(self, where: str, error: BaseException) -> None:
        """Note everything that an error shows to whoever catches it."""
        self.errors.append(f"{where}: {type(error).__name__}")
        self.show(f"{where}, error", str(error))
        self.show(f"{where}, error", repr(error))
        self.show(f"{where}, pickled error", pickle.dumps(error, protocol=0).decode("latin-1"))
        self.traceback(where, error)

    async def attempt(self, where: str, call: Awaitable[Any]) -> Any:
        """Await a call, and note what its result or its error shows."""
        try:
            result = await call
        except Exception as error:
            self.exception(where, error)
            return None
        self.show(f"{where}, result", result)
        self.show(f"{where}, result", str(result))
        if hasattr(result, "model_dump_json"):
            self.show(f"{where}, JSON", result.model_dump_json() + repr(result.model_dump()))
        return result

    async def response(self, where: str, call: Awaitable[httpx2.Response]) -> httpx2.Response:
        """Await a response to the browser, and note all that it says, in its cookies too."""
        response = await call
        self.show(f"{where}, response", response.text)
        self.show(f"{where}, headers", list(response.headers.multi_items()))
        for value in response.headers.get_list("set-cookie"):
            for part in value.partition("=")[2].partition(";")[0].split("."):
                try:
                    self.show(f"{where}, cookie", base64.b64decode(part + "==").decode("latin-1"))
                except binascii.Error:
                    continue
        return response

    def found(self, secrets: dict[str, str]) -> list[str]:
        """Return where which kind of secret is shown, in any spelling."""
        leaks = set()
        for secret, kind in secrets.items():
            spellings = {
                secret,
                quote_plus(secret),
                secret[:40],
                base64.b64encode(secret.encode()).decode().rstrip("="),
            }
            leaks |= {f"{kind}: {where}" for where, text in self.seen if any(each in text for each in spellings)}
        return sorted(leaks)


@contextmanager
def everything_in_sight() -> Iterator[Sight]:
    """Collect the log at DEBUG, spans, warnings and what the event loop complains of, while the body runs."""
    sight, root, loop = Sight(), logging.getLogger(), asyncio.get_running_loop()
    level = root.level
    root.addHandler(sight)
    root.setLevel(logging.DEBUG)
    loop.set_exception_handler(lambda loop, context: sight.show("event loop", context))
    try:
        with collecting_spans() as spans, warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield sight
    finally:
        root.removeHandler(sight)
        root.setLevel(level)
        loop.set_exception_handler(None)
    for span in spans.get_finished_spans():
        # FastAPI's own spans have the address of each request, as an access log has; the code in it is used by then.
        if span.name.startswith("zaikio_oauth."):
            sight.show(f"span {span.name}", span.to_json())
    for warning in warned:
        sight.show("warning", str(warning))
