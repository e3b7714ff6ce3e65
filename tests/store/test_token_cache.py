"""The cache, in which a process keeps stored tokens for a few seconds."""

from __future__ import annotations

import pytest

from zaikio_oauth.store.token_cache import TokenCache


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("age", "kept"), [(0.0, True), (4.999, True), (5.0, False), (5.001, False)])
def test_a_value_is_kept_until_it_expires(age: float, kept: bool) -> None:
    """The limit is exact and uses a monotonic clock."""
    clock = Clock()
    cache: TokenCache[str] = TokenCache(5, monotonic=clock)
    cache.put("a", "value", dropped=0)

    clock.now += age

    assert cache.get("a") == ("value" if kept else None)


def test_a_ttl_of_zero_disables_the_cache() -> None:
    """Every look-up then reads from the database."""
    cache: TokenCache[str] = TokenCache(0)
    cache.put("a", "value", dropped=0)

    assert (cache.enabled, cache.get("a")) == (False, None)


def test_the_oldest_values_are_removed_when_the_cache_is_full() -> None:
    """The number of entries is limited."""
    cache: TokenCache[int] = TokenCache(5, max_entries=3)
    for number in range(5):
        cache.put(str(number), number, dropped=0)

    assert [cache.get(str(number)) for number in range(5)] == [None, None, 2, 3, 4]


def test_a_value_read_before_a_logout_is_not_cached() -> None:
    """The look-up was in progress when the person logged out."""
    cache: TokenCache[str] = TokenCache(5)
    before = cache.dropped
    cache.drop("a")
    cache.put("a", "stale", dropped=before)
    assert cache.get("a") is None
    before = cache.dropped
    cache.drop_if(lambda value: False)
    cache.put("a", "stale", dropped=before)
    assert cache.get("a") is None


def test_values_can_be_removed() -> None:
    """The other values are kept."""
    cache: TokenCache[int] = TokenCache(5)
    for number in range(4):
        cache.put(str(number), number, dropped=0)

    cache.drop_if(lambda value: value % 2 == 0)
    cache.drop("3")

    assert [cache.get(str(number)) for number in range(4)] == [None, 1, None, None]
