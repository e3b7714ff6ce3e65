"""A bearer token that was verified a moment ago is not verified again, but nothing that has ended is accepted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from zaikio_oauth import BearerToken
from zaikio_oauth.hub.syntax import MAX_TOKEN_LENGTH
from zaikio_oauth.resource_server.verified_tokens import NO_ROLES, Published, VerifiedTokens

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEYS, ROLES = object(), object()


def content(jti: str = "a", *, lives: float = 60) -> BearerToken:
    """Return what a verified token says."""
    expires_at = NOW + timedelta(seconds=lives)
    return BearerToken(jti=jti, subject_type="Person", subject_id="somebody", expires_at=expires_at)


def test_a_verified_token_is_known_until_it_expires() -> None:
    """To the moment, and no other token is."""
    verified = VerifiedTokens()
    verified.put("token", Published(KEYS, NO_ROLES), content())
    by = Published(KEYS, ROLES)
    assert verified.get("token", by, NOW) == content()
    assert verified.get("tokem", by, NOW) is None
    assert verified.get("token", by, NOW + timedelta(seconds=59.999)) == content()
    assert verified.get("token", by, NOW + timedelta(seconds=60)) is None


def test_a_token_is_verified_again_by_other_keys() -> None:
    """The one that signed it may have been withdrawn; it is also verified while the keys have to be fetched."""
    for keys in (object(), None):
        verified = VerifiedTokens()
        verified.put("token", Published(KEYS, NO_ROLES), content())
        assert verified.get("token", Published(keys, ROLES), NOW) is None


def test_roles_are_named_again_by_another_list() -> None:
    """Only for a token that has roles."""
    verified = VerifiedTokens()
    verified.put("with roles", Published(KEYS, ROLES), content())
    verified.put("without", Published(KEYS, NO_ROLES), content())
    assert verified.get("with roles", Published(KEYS, ROLES), NOW)
    assert verified.get("with roles", Published(KEYS, object()), NOW) is None
    assert verified.get("without", Published(KEYS, None), NOW)


def test_the_least_recently_used_go_first() -> None:
    """Their number is limited, and so is the length of what is looked for."""
    verified = VerifiedTokens(max_entries=2)
    by = Published(KEYS, NO_ROLES)
    for name in ("first", "second"):
        verified.put(name, by, content(name))
    assert verified.get("first", by, NOW)
    verified.put("third", by, content("third"))
    assert [verified.get(name, by, NOW) is not None for name in ("first", "second", "third")] == [True, False, True]
    verified.put("x" * (MAX_TOKEN_LENGTH + 1), by, content())
    assert verified.get("x" * (MAX_TOKEN_LENGTH + 1), by, NOW) is None


def test_no_token_is_kept() -> None:
    """Only a digest, from which nobody can log in."""
    verified = VerifiedTokens()
    verified.put("the-secret-token", Published(KEYS, NO_ROLES), content())
    assert "the-secret-token" not in repr(vars(verified))
