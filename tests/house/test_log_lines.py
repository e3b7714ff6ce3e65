"""Every line that the library logs has a key of its own, and ``docs/reference/log-lines.md`` explains each of them."""

from __future__ import annotations

import ast
import logging
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from zaikio_oauth import TokenEvent
from zaikio_oauth.settings.settings import misspelt_variables
from zaikio_oauth.tokens.telemetry import Kind, Telemetry
from zaikio_oauth.web.lost_flow import REASONS

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "zaikio_oauth"
PAGE = ROOT / "docs" / "reference" / "log-lines.md"

KEY = "zaikio_event"
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log", "warn", "fatal"}
OF_TOKEN_EVENTS = "f'token.{event.kind}'"
OF_SETTINGS = "warning.key"
ENTRY = re.compile(
    r"^### `(?P<key>[^`]+)`\n\n> (?P<level>[A-Z]+): (?P<text>.+)\n\n(?:Fields: (?P<fields>.+)\.\n\n)?"
    r"(?P<meaning>(?!#|>|Fields:|What to do:).+)\n\nWhat to do: (?P<remedy>.+)\n",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Line:
    """A line of the log, with ``…`` for what varies."""

    key: str
    level: str
    text: str
    fields: tuple[str, ...] = ()


@cache
def calls(source: Path) -> list[tuple[str, ast.Call]]:
    """Return every call in the source, and where it is."""
    return [
        (f"{path.relative_to(source)}:{node.lineno}", node)
        for path in sorted(source.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    ]


def log_calls(source: Path = SOURCE) -> Iterator[tuple[str, ast.Call]]:
    """Yield every call of a method of a logger."""
    for place, call in calls(source):
        if isinstance(call.func, ast.Attribute) and call.func.attr in LEVELS:
            owner = ast.unparse(call.func.value)
            if owner in ("log", "logger", "logging", "_log", "_logger") or "getLogger" in owner:
                yield place, call


def extra_of(call: ast.Call) -> dict[str, ast.expr]:
    """Return what ``extra=`` gives to the record; ``**`` counts as a field of that name."""
    given = next((keyword.value for keyword in call.keywords if keyword.arg == "extra"), None)
    if not isinstance(given, ast.Dict):
        return {}
    names = [key.value if isinstance(key, ast.Constant) else "**" for key in given.keys]
    return dict(zip(names, given.values, strict=True))


def text_of(node: ast.expr) -> str:
    """Return a text with ``…`` for each of its placeholders."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    assert isinstance(node, ast.Constant), ast.unparse(node)
    return re.sub(r"%(?:\.\d)?[sdf]", "…", node.value)


def lines_with_one_call() -> Iterator[Line]:
    """Yield the lines whose key is written at the call that logs them."""
    for _, call in log_calls():
        extra = extra_of(call)
        key = extra.pop(KEY)
        if isinstance(key, ast.Constant):
            level = call.func.attr.upper().replace("EXCEPTION", "ERROR")  # type: ignore[attr-defined]
            yield Line(key.value, level, text_of(call.args[0]), tuple(sorted(extra)))


def lines_about_tokens(records: list[logging.LogRecord]) -> Iterator[Line]:
    """Yield the line of each kind of token event, as it is logged."""
    details = tuple(sorted(f"zaikio_{field.name}" for field in fields(TokenEvent) if field.name != "kind"))
    for kind in get_args(Kind):
        Telemetry().tell(TokenEvent(kind))
        yield Line(records[-1].zaikio_event, records[-1].levelname, f"token {kind} …", details)  # type: ignore[attr-defined]


def lines_about_settings() -> Iterator[Line]:
    """Yield the warnings about settings, which ``zaikio-oauth check`` shows, too."""
    for _, call in calls(SOURCE):
        if ast.unparse(call.func) == "SettingWarning":
            key, text = call.args
            assert isinstance(key, ast.Constant)
            yield Line(key.value, "WARNING", text_about_variables() if isinstance(text, ast.Name) else text_of(text))


def text_about_variables() -> str:
    """Return what is said of a misspelt variable, of which the environment has to have one."""
    (line,) = misspelt_variables()
    return re.sub(r"ZAIKIO_\w+", "…", line)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> list[Line]:
    """Return every line that the library logs."""
    monkeypatch.setenv("ZAIKIO_ENVIROMENT", "sandbox")
    with caplog.at_level(logging.INFO, "zaikio_oauth"):
        return [*lines_with_one_call(), *lines_about_tokens(caplog.records), *lines_about_settings()]


def test_every_call_names_its_line() -> None:
    """Whoever writes an alert finds a key that stays although the text is improved."""
    dynamic = {OF_TOKEN_EVENTS, OF_SETTINGS}
    without = []
    for place, call in log_calls():
        key = extra_of(call).get(KEY)
        written = isinstance(key, ast.Constant) and re.fullmatch(r"[a-z_]+\.[a-z_]+", key.value)
        if not written and (key is None or ast.unparse(key) not in dynamic):
            without.append(place)
    assert without == []
    assert len(list(log_calls())) > 40


def test_every_line_goes_to_the_logger_of_the_library() -> None:
    """One name is enough to configure it."""
    others = [place for place, call in log_calls() if ast.unparse(call.func.value) != "log"]  # type: ignore[attr-defined]
    assert others == []
    made = [ast.unparse(call) for _, call in calls(SOURCE) if ast.unparse(call.func) == "logging.getLogger"]
    assert set(made) <= {"logging.getLogger('zaikio_oauth')", "logging.getLogger(name)"}


def test_every_field_has_our_prefix(lines: list[Line]) -> None:
    """Fields of the app, and those of Python's records, are not touched."""
    assert {name for line in lines for name in line.fields if not name.startswith("zaikio_")} == set()


def test_no_key_stands_for_two_lines(lines: list[Line]) -> None:
    """A key says which line it is."""
    assert [key for key, times in Counter(line.key for line in lines).items() if times > 1] == []


def test_the_page_explains_every_line_in_order(lines: list[Line]) -> None:
    """Key, level, text and fields are those of the code, and each has a meaning and something to do."""
    text = PAGE.read_text()
    entries = [match.groupdict() for match in ENTRY.finditer(text)]
    explained = [
        Line(each["key"], each["level"], each["text"], tuple(re.findall(r"`(\w+)`", each["fields"] or "")))
        for each in entries
    ]
    assert explained == sorted(lines, key=lambda line: line.key)
    assert len(entries) == len(re.findall("^### ", text, re.MULTILINE))


def test_the_page_explains_every_cause() -> None:
    """With the words of the log."""
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \|$", PAGE.read_text(), re.MULTILINE)
    assert dict(rows) == dict(REASONS)
    assert len(rows) == len(REASONS)


@pytest.mark.parametrize(
    "planted",
    [
        'log.warning("Something happened.")',
        'log.warning("Something happened.", extra={})',
        'log.warning("Something happened.", extra={"zaikio_event": "Something"})',
        'log.error("Something happened.", extra=dict(zaikio_event="some.thing"))',
        'logging.getLogger("zaikio_oauth").error("Something happened.")',
        'log.exception("Something happened.", extra={"zaikio_error": "x"})',
    ],
)
def test_a_call_without_a_key_is_found(tmp_path: Path, planted: str) -> None:
    """The first test above fails for each of them."""
    (tmp_path / "planted.py").write_text(planted)
    ((_, call),) = log_calls(tmp_path)
    key = extra_of(call).get(KEY)
    assert not (isinstance(key, ast.Constant) and re.fullmatch(r"[a-z_]+\.[a-z_]+", key.value))
