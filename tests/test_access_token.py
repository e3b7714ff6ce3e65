"""The access token as a value."""

from __future__ import annotations

import json
import logging
import pickle
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import FastAPI
from fastapi.encoders import jsonable_encoder
from pydantic import ValidationError
from starlette.testclient import TestClient

from tests.data import PERSON_ID, some_access_token, some_on_behalf_of
from zaikio_oauth import AccessToken

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("lives_for", "valid_for", "expected"),
    [
        pytest.param(timedelta(seconds=31), timedelta(seconds=30), True, id="a second longer"),
        pytest.param(timedelta(seconds=30), timedelta(seconds=30), False, id="just as long"),
        pytest.param(timedelta(seconds=29), timedelta(seconds=30), False, id="a second less"),
        pytest.param(timedelta(microseconds=1), timedelta(0), True, id="not yet expired"),
        pytest.param(timedelta(0), timedelta(0), False, id="expired this instant"),
    ],
)
def test_a_token_is_valid_if_it_expires_after_the_duration(
    lives_for: timedelta, valid_for: timedelta, expected: bool
) -> None:
    """The gem returned a token that was valid for 9 more seconds to a caller who needed it for 30."""
    token = some_access_token(expires_at=NOW + lives_for)

    assert token.valid_for(valid_for, now=NOW) is expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"refresh_expires_at": NOW + timedelta(seconds=1)}, True, id="lives"),
        pytest.param({"refresh_expires_at": NOW}, False, id="too old"),
        pytest.param({"refresh_expires_at": None}, True, id="unknown age"),
        pytest.param({"refresh_token": None}, False, id="none"),
    ],
)
def test_a_token_is_refreshable_until_its_refresh_token_expires(changes: dict[str, object], expected: bool) -> None:
    """The refresh token has its own expiry. The gem estimated it from the age of the row."""
    assert some_access_token(**changes).refreshable(now=NOW) is expected


def test_expires_in_is_never_negative() -> None:
    """An expired token has ``expires_in`` 0."""
    assert 3590 <= some_access_token().expires_in <= 3600
    expired = some_access_token(expires_at=NOW - timedelta(days=400))
    assert (expired.expires_in, expired.expired) == (0, True)


def test_person_id_is_the_person_who_acts() -> None:
    """This includes a person who acts on behalf of an organization. An organization's own token has no person."""
    assert some_access_token().person_id == PERSON_ID
    organization = some_access_token(bearer_type="Organization", bearer_id="o")
    assert (organization.organization, organization.person_id) == (True, None)
    on_behalf = some_access_token(bearer_type="Organization", bearer_id="o", on_behalf_of=some_on_behalf_of())
    assert on_behalf.person_id == PERSON_ID


def test_no_representation_of_a_token_shows_its_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """``repr``, ``str``, formatting, logs, JSON and FastAPI responses contain neither of the two secrets."""
    token = some_access_token()
    app = FastAPI()

    @app.get("/token")
    async def answer() -> AccessToken:
        return token

    @app.get("/untyped")
    async def untyped():  # type: ignore[no-untyped-def]  # noqa: ANN202
        return {"token": token}

    logging.getLogger("app").warning("got %s %r", token, [token])
    with TestClient(app) as client:
        answers = client.get("/token").text + client.get("/untyped").text
    shown = [repr(token), str(token), f"{token}", caplog.text, token.model_dump_json(), answers]
    shown.append(json.dumps(jsonable_encoder(token)))

    assert PERSON_ID in answers
    assert not [text for text in shown if "the-secret" in text]


def test_a_token_cannot_be_changed() -> None:
    """One token may be shared by several requests."""
    with pytest.raises(ValidationError):
        some_access_token().token = "another"  # type: ignore[misc]


def test_a_token_can_be_pickled() -> None:
    """Job queues pickle their arguments."""
    token = some_access_token(on_behalf_of=some_on_behalf_of())

    assert pickle.loads(pickle.dumps(token)) == token


def test_naive_datetimes_are_rejected() -> None:
    """A datetime without a time zone is ambiguous."""
    with pytest.raises(ValidationError):
        some_access_token(expires_at=datetime(2026, 11, 24))  # noqa: DTZ001


def test_missing_scopes_are_returned() -> None:
    """An HTTP 403 response names them."""
    token = some_access_token(scopes=("a.b.rw",))

    assert token.missing_scopes(["a.b.r", "a.c.r"]) == ("a.c.r",)


def test_a_token_that_cannot_be_made_shows_no_secret() -> None:
    """The error names the fields but not their values."""
    with pytest.raises(ValidationError) as caught:
        some_access_token(expires_at="soon", token="the-secret", refresh_token="the-other-secret")
    assert "expires_at" in str(caught.value)
    assert "secret" not in f"{caught.value} {caught.value!r}"
