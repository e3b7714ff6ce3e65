"""The refresh token of a row that was read is decrypted when it is needed, and nobody sees the difference."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from collections.abc import Callable

import pytest
from fastapi import FastAPI
from fastapi.encoders import jsonable_encoder
from pydantic import ValidationError
from starlette.testclient import TestClient

from tests.data import some_access_token
from zaikio_oauth import AccessToken
from zaikio_oauth.access_token import Secret
from zaikio_oauth.store.access_tokens import AccessTokenRepository
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.encryption import Cipher, Place


@pytest.fixture
def decrypted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list of the columns that are decrypted from now on."""
    columns: list[str] = []
    decrypt = Cipher.decrypt

    def noting(cipher: Cipher, ciphertext: str, place: Place) -> Secret | None:
        columns.append(place.column)
        return decrypt(cipher, ciphertext, place)

    monkeypatch.setattr(Cipher, "decrypt", noting)
    return columns


@pytest.fixture
async def added(database: Database) -> AccessToken:
    """Return a token as it was stored."""
    return await AccessTokenRepository(database).add(some_access_token(refresh_token="the-secret-of-refreshes"))


@pytest.fixture
async def found(database: Database, added: AccessToken) -> AccessToken:
    """Return the same one as it is read."""
    stored = await AccessTokenRepository(database).get(added.id)
    assert stored is not None
    return stored.access_token


async def test_only_what_is_needed_is_decrypted(database: Database, added: AccessToken, decrypted: list[str]) -> None:
    """Whether there is a refresh token is known without."""
    stored = await AccessTokenRepository(database).get(added.id)
    assert stored is not None
    assert stored.access_token.refreshable()
    assert decrypted == ["token"]
    assert stored.access_token.refresh_token == "the-secret-of-refreshes"
    assert decrypted == ["token", "refresh_token"]


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, AccessToken.model_copy, lambda token: pickle.loads(pickle.dumps(token))],  # noqa: S301
    ids=["copy", "deepcopy", "model_copy", "pickle"],
)
async def test_it_is_equal_to_the_token_that_was_stored(
    added: AccessToken, found: AccessToken, copied: Callable[[AccessToken], AccessToken]
) -> None:
    """Both ways, and as a key; so is a copy."""
    for token in (found, copied(found)):
        assert token == added
        assert added == token
        assert {token: 1}[added] == 1
        assert dict(token) == dict(added)
        assert type(dict(token)["refresh_token"]) is Secret
        assert token != added.model_copy(update={"refresh_token": "another"})
    assert found == copied(found)


async def test_a_pickle_has_no_need_of_the_key(found: AccessToken) -> None:
    """It is the token as such, for a process that may have no configuration."""
    assert b"cipher" not in pickle.dumps(found).lower()


@pytest.mark.filterwarnings("error")
async def test_it_is_shown_nowhere(found: AccessToken, caplog: pytest.LogCaptureFixture) -> None:
    """Nor is its ciphertext: ``repr``, JSON, and responses of FastAPI."""
    app = FastAPI()

    @app.get("/token")
    def one() -> AccessToken:
        return found

    @app.get("/optional")
    def optional() -> AccessToken | None:
        return found

    @app.get("/untyped")
    def untyped():  # type: ignore[no-untyped-def]  # noqa: ANN202
        return {"token": found}

    logging.getLogger("app").warning("got %s %r %r", found, [found], vars(found))
    with TestClient(app) as client:
        answers = [client.get(path).text for path in ("/token", "/optional", "/untyped")]
    shown = [repr(found), caplog.text, found.model_dump_json(), json.dumps(jsonable_encoder(found)), *answers]
    for text in shown:
        assert "refreshes" not in text
        assert "gAAAA" not in text
    assert answers[0] == answers[1]


async def test_an_app_may_extend_the_class(found: AccessToken) -> None:
    """It has the field, not what decrypts it, as its default."""

    class Ours(AccessToken):
        note: str = ""

    values = dict(found)
    assert Ours(**values, note="x").refresh_token == "the-secret-of-refreshes"
    del values["refresh_token"]
    assert Ours(**values).refresh_token is None
    with pytest.raises(ValidationError):
        found.refresh_token = "another"  # type: ignore[misc]
