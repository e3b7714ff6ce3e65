"""What a person reads when a login has failed, in English and German, and which language they prefer."""

from __future__ import annotations

import re
from typing import TypeGuard

from starlette.requests import HTTPConnection

__all__ = ["is_language", "message", "preferred_language", "ranked_languages"]

_LANGUAGE = re.compile(r"\A[A-Za-z]{1,8}(?:[-_][A-Za-z0-9]{1,8}){0,4}\Z")

_ENGLISH = {
    "invalid_state": "This login was not started here, or it has taken too long. Please log in again.",
    "invalid_grant": "The login could not be completed. Please try again in a moment.",
    "temporarily_unavailable": "Zaikio cannot be reached at the moment. Please try again in a few minutes.",
    "invalid_response": "Zaikio gave a response that we could not understand. Please try again later.",
    "invalid_scope": "Zaikio does not allow the permissions that this app asks for. Please contact its provider.",
    "": "The login failed. Please try again; if it fails once more, please contact the provider of this app.",
}
_GERMAN = {
    "invalid_state": "Diese Anmeldung wurde nicht hier begonnen oder hat zu lange gedauert. "
    "Bitte melden Sie sich erneut an.",
    "invalid_grant": "Die Anmeldung konnte nicht abgeschlossen werden. Bitte versuchen Sie es gleich noch einmal.",
    "temporarily_unavailable": "Zaikio ist gerade nicht erreichbar. Bitte versuchen Sie es in einigen Minuten erneut.",
    "invalid_response": "Zaikio hat eine unverständliche Antwort gegeben. Bitte versuchen Sie es später erneut.",
    "invalid_scope": "Zaikio erlaubt die Berechtigungen nicht, um die diese App bittet. "
    "Bitte wenden Sie sich an den Anbieter der App.",
    "": "Die Anmeldung ist fehlgeschlagen. Bitte versuchen Sie es erneut; "
    "wenn es wieder nicht gelingt, wenden Sie sich bitte an den Anbieter der App.",
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
