"""What an event of the Hub says, and what is made of one that says it badly."""

from __future__ import annotations

import json
from typing import Any

import pytest

from zaikio_oauth.hub.event import parse_event


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timestamp", "0001-01-01T00:00:00+14:00"),
        ("timestamp", "9999-12-31T23:59:59-12:00"),
        ("timestamp", "yesterday"),
        ("timestamp", 7),
        ("subject", "Org/"),
        ("subject", "/x"),
        ("subject", "nobody"),
        ("subject", ["Org/x"]),
        ("version", 1),
        ("version", "1\r\n2"),
        ("payload", None),
        ("payload", [1]),
        ("link", "x" * 3000),
    ],
)
def test_what_cannot_be_read_is_as_if_it_were_left_out(field: str, value: Any) -> None:
    """The app still hears of the event, which Loom would otherwise deliver for hours."""
    given = {"id": "1", "name": "zaikio.site_added"}

    assert parse_event(json.dumps(given | {field: value}).encode()) == parse_event(json.dumps(given).encode())


@pytest.mark.parametrize("event_id", [None, "", 7, "a\0b", "\ud800", "x" * 256])
def test_an_event_without_an_id_is_identified_by_its_body(event_id: Any) -> None:
    """So a repeated delivery is recognized nevertheless."""
    bodies = [json.dumps({"id": event_id, "name": "x", "payload": {"number": number}}).encode() for number in (1, 1, 2)]
    ids = [parse_event(body).id for body in bodies]

    assert ids[0] == ids[1] != ids[2]
    assert len(ids[0]) == 64


def test_an_event_can_be_a_key() -> None:
    """As every value can."""
    assert len({parse_event(b'{"id": "1", "name": "x", "payload": {"a": 1}}') for _ in range(2)}) == 1
