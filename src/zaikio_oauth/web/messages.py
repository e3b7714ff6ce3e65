"""What a person reads when a login failed, in English and German."""

from __future__ import annotations

from starlette.requests import Request

__all__ = ["language_of", "message"]

_ENGLISH = {
    "invalid_state": "This login was not started here, or it has taken too long. Please log in again.",
    "invalid_grant": "The login could not be completed. Please try again in a moment.",
    "temporarily_unavailable": "Zaikio cannot be reached at the moment. Please try again in a few minutes.",
    "invalid_response": "Zaikio gave an answer that we did not understand. Please try again later.",
    "invalid_scope": "Zaikio does not allow the permissions that this app asks for. Please tell its makers.",
    "": "The login failed. Please try again; if it fails once more, please tell the makers of this app.",
}
_GERMAN = {
    "invalid_state": "Diese Anmeldung wurde nicht hier begonnen oder hat zu lange gedauert. "
    "Bitte melden Sie sich erneut an.",
    "invalid_grant": "Die Anmeldung konnte nicht abgeschlossen werden. Bitte versuchen Sie es gleich noch einmal.",
    "temporarily_unavailable": "Zaikio ist gerade nicht erreichbar. Bitte versuchen Sie es in einigen Minuten erneut.",
    "invalid_response": "Zaikio hat eine unverständliche Antwort gegeben. Bitte versuchen Sie es später erneut.",
    "invalid_scope": "Zaikio erlaubt die Berechtigungen nicht, um die diese App bittet. "
    "Bitte wenden Sie sich an deren Hersteller.",
    "": "Die Anmeldung ist fehlgeschlagen. Bitte versuchen Sie es erneut; "
    "wenn es wieder nicht gelingt, wenden Sie sich bitte an den Hersteller dieser App.",
}


def message(code: str, language: str | None) -> str:
    """The sentence for an error code, German for ``de`` and its variants, else English."""
    sentences = _GERMAN if (language or "").lower().startswith("de") else _ENGLISH
    return sentences.get(code, sentences[""])


def language_of(request: Request) -> str | None:
    """The language that the browser likes best (``Accept-Language``), as a primary tag such as ``de``."""
    ranked: list[tuple[float, str]] = []
    for part in request.headers.get("accept-language", "").split(","):
        tag, _, parameters = part.strip().partition(";")
        primary = tag.partition("-")[0].strip().lower()
        if not (primary.isalpha() and primary.isascii() and len(primary) <= 3):
            continue
        try:
            quality = float(parameters.strip().removeprefix("q=")) if parameters else 1.0
        except ValueError:
            quality = 0.0
        ranked.append((quality, primary))
    best = max(ranked, key=lambda pair: pair[0], default=None)
    return best[1] if best and best[0] > 0 else None
