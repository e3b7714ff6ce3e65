"""What a person reads when a login has failed, in English and German, and which language they prefer."""

from __future__ import annotations

import re
from typing import TypeGuard

from starlette.requests import HTTPConnection

__all__ = ["is_language", "message", "preferred_language", "ranked_languages"]

_LANGUAGE = re.compile(r"\A[A-Za-z]{1,8}(?:[-_][A-Za-z0-9]{1,8}){0,4}\Z")

_ENGLISH = {
    "invalid_state": "This login has expired, or it was started in another browser. Please try again.",
    "invalid_grant": "The login could not be completed. Please try again.",
    "temporarily_unavailable": "Zaikio cannot be reached at the moment. Please try again in a few minutes.",
    "invalid_response": "Zaikio sent an unexpected response. Please try again later.",
    "invalid_scope": "This app requests permissions that Zaikio does not grant. Please contact the app's provider.",
    "": "The login failed. Please try again. If the problem persists, contact the app's provider.",
}
_GERMAN = {
    "invalid_state": "Diese Anmeldung ist abgelaufen oder wurde in einem anderen Browser begonnen. "
    "Bitte versuchen Sie es erneut.",
    "invalid_grant": "Die Anmeldung konnte nicht abgeschlossen werden. Bitte versuchen Sie es erneut.",
    "temporarily_unavailable": "Zaikio ist zurzeit nicht erreichbar. Bitte versuchen Sie es in einigen Minuten erneut.",
    "invalid_response": "Zaikio hat unerwartet geantwortet. Bitte versuchen Sie es später erneut.",
    "invalid_scope": "Diese App fordert Berechtigungen an, die Zaikio nicht gewährt. "
    "Bitte wenden Sie sich an den Anbieter der App.",
    "": "Die Anmeldung ist fehlgeschlagen. Bitte versuchen Sie es erneut. "
    "Falls das Problem weiterhin besteht, wenden Sie sich bitte an den Anbieter der App.",
}


def message(code: str, language: str | None) -> str:
    """Return the sentence for an error code, in German for ``de`` and its variants, otherwise in English."""
    sentences = _GERMAN if (language or "").lower().startswith("de") else _ENGLISH
    return sentences.get(code, sentences[""])


def is_language(value: object) -> TypeGuard[str]:
    """Return True for a language tag such as ``de`` or ``de-AT`` (RFC 5646), also with an underscore."""
    return isinstance(value, str) and _LANGUAGE.match(value) is not None


def preferred_language(connection: HTTPConnection) -> str | None:
    """Return the language that the browser prefers, as a primary subtag such as ``de``, or None."""
    return next(iter(ranked_languages(connection)), None)


def ranked_languages(connection: HTTPConnection) -> list[str]:
    """Return the primary subtags of ``Accept-Language``, most preferred first (RFC 9110 §12.5.4)."""
    weighted: list[tuple[float, str]] = []
    for part in connection.headers.get("accept-language", "").split(","):
        tag, _, parameters = part.strip().partition(";")
        primary = tag.partition("-")[0].strip().lower()
        if not (primary.isalpha() and primary.isascii() and len(primary) <= 3):
            continue
        try:
            quality = float(parameters.strip().removeprefix("q=")) if parameters else 1.0
        except ValueError:
            quality = 0.0
        if quality > 0:
            weighted.append((-quality, primary))
    return [primary for _, primary in sorted(weighted, key=lambda pair: pair[0])]
