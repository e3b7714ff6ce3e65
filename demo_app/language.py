"""Choose between English and German, and look up texts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from starlette.requests import Request

from demo_app.texts import TEXTS

__all__ = ["LANGUAGES", "Say", "day", "language_of", "namer", "number", "preferred_language", "speaker"]

LANGUAGES = ("en", "de")

Say = Callable[..., str]

# Not strftime("%b"), which depends on the machine.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def language_of(request: Request) -> str:
    """Return the language that the visitor chose here, or else the one that their browser prefers."""
    chosen = request.session.get("language")
    return chosen if chosen in LANGUAGES else preferred_language(request.headers.get("accept-language", ""))


def preferred_language(header: str) -> str:
    """Return our language with the highest weight in ``Accept-Language`` (RFC 9110 §12.5.4), or else English."""
    wanted = []
    for position, part in enumerate(header.split(",")):
        tag, _, weight = part.partition(";")
        primary = tag.strip().lower().partition("-")[0]
        if primary in LANGUAGES and _weight(weight) > 0:
            wanted.append((-_weight(weight), position, primary))
    return min(wanted)[2] if wanted else LANGUAGES[0]


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    try:
        return float(value) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0


def speaker(language: str) -> Say:
    """Return a function that looks up a text in this language: ``say("me.greeting", name="Ada")``."""
    position = LANGUAGES.index(language)

    def say(key: str, **values: object) -> str:
        return TEXTS[key][position].format(**values)

    return say


def namer(language: str) -> Say:
    """Return a function that translates a value of the Hub, if it is known: ``named("country", "DE")``."""
    say = speaker(language)

    def named(kind: str, word: object) -> str:
        key = f"{kind}.{word}"
        return say(key) if key in TEXTS else str(word)

    return named


def day(instant: datetime, language: str) -> str:
    """Format a day as ``24 Nov 2026`` or ``24.11.2026``, in UTC."""
    return f"{instant:%d.%m.%Y}" if language == "de" else f"{instant.day} {_MONTHS[instant.month - 1]} {instant.year}"


def number(value: int, language: str) -> str:
    """Format ``18500`` as ``18,500`` or ``18.500``."""
    grouped = f"{value:,}"
    return grouped.replace(",", ".") if language == "de" else grouped
