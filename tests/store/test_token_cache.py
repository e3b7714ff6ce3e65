"""The cache, in which a process keeps what it has read of stored tokens."""

from __future__ import annotations

import pytest

from zaikio_oauth.store.token_cache import MAX_DROPS, Reading, TokenCache


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
    cache.put("a", "value", Reading(0))

    clock.now += age

    assert cache.get("a") == ("value" if kept else None)


def test_a_ttl_of_zero_disables_the_cache() -> None:
    """Every look-up then reads from the database."""
    cache: TokenCache[str] = TokenCache(0)
    cache.put("a", "value", Reading(0))

    assert (cache.enabled, cache.get("a")) == (False, None)


def test_the_least_recently_used_values_are_removed_when_the_cache_is_full() -> None:
    """The number of entries is limited."""
    cache: TokenCache[int] = TokenCache(5, max_entries=3)
    for number in range(5):
        cache.put(str(number), number, Reading(0))
        assert cache.get("0") == 0

    assert [cache.get(str(number)) for number in range(5)] == [0, None, None, 3, 4]


def test_a_value_read_before_a_logout_is_not_cached() -> None:
    """The look-up was in progress when the person logged out."""
    cache: TokenCache[str] = TokenCache(5)
    before = cache.reading()
    cache.drop("a")
    cache.put("a", "stale", before)
    assert cache.get("a") is None


def test_each_removal_makes_the_reads_before_it_stale() -> None:
    """Also the second one of the same value, whose read began between the two."""
    cache: TokenCache[str] = TokenCache(5)
    cache.drop("a")
    between = cache.reading()
    cache.drop("a")
    cache.put("a", "stale", between)
    assert cache.get("a") is None
    cache.put("a", "fresh", cache.reading())
    assert cache.get("a") == "fresh"


def labels(value: str) -> tuple[str | None, ...]:
    """Return the words of the value."""
    return (*value.split(), None)


def test_a_value_read_before_its_label_was_removed_is_not_cached() -> None:
    """The look-up by bearer was in progress when the token that it found was refreshed; others are not affected."""
    cache: TokenCache[str] = TokenCache(5, labels=labels)
    before = cache.reading()
    cache.drop("id-1")
    cache.put("search", "id-1 bearer", before)
    cache.put("another search", "id-2 bearer", before)
    cache.put("afterwards", "id-1 bearer", cache.reading())

    assert [cache.get(key) for key in ("search", "another search", "afterwards")] == [
        None,
        "id-2 bearer",
        "id-1 bearer",
    ]


def test_a_value_read_before_more_removals_than_are_remembered_is_not_cached() -> None:
    """Whether it was among them is no longer known, one by one or all at once."""
    for at_once in (False, True):
        cache: TokenCache[str] = TokenCache(5, labels=labels)
        names = ["id-1", *(f"other-{number}" for number in range(MAX_DROPS))]
        for each in [names] if at_once else [[name] for name in names]:
            cache.drop(*each)
        cache.put("stale", "id-1", Reading(0))
        cache.put("perhaps stale", "id-2", Reading(0))
        cache.put("fresh", "id-1", cache.reading())

        assert [cache.get(key) for key in ("stale", "perhaps stale", "fresh")] == [None, None, "id-1"]
        cache.drop("id-1")
        assert cache.get("fresh") is None


def test_values_are_removed_by_key_or_label() -> None:
    """The other values are kept, and not looked at: a full cache costs a refresh nothing."""
    looked_at: list[str] = []

    def noted(value: str) -> tuple[str | None, ...]:
        looked_at.append(value)
        return labels(value)

    cache: TokenCache[str] = TokenCache(5, labels=noted)
    for number in range(1000):
        cache.put(f"id-{number}", f"id-{number} bearer-{number}", Reading(0))
    cache.put("search", "id-7 bearer-7", Reading(0))
    looked_at.clear()

    cache.drop("id-7")
    cache.drop("bearer-8", "id-9")

    removed = ("id-7", "search", "id-8", "id-9")
    assert [cache.get(key) for key in removed] == [None] * 4
    assert cache.get("id-6") == "id-6 bearer-6"
    assert len(looked_at) == len(removed)


def test_all_values_with_a_label_are_removed() -> None:
    """Such as those of several searches that have found the same token."""
    cache: TokenCache[str] = TokenCache(5, labels=labels)
    for key in ("one search", "another search", "a third search"):
        cache.put(key, "id-1 bearer", Reading(0))
    cache.put("another bearer's", "id-2", Reading(0))
    cache.drop("bearer")
    assert [cache.get(key) for key in ("one search", "another search", "a third search")] == [None] * 3
    assert cache.get("another bearer's") == "id-2"


def test_a_label_is_forgotten_with_its_last_value() -> None:
    """However a value leaves: removed, displaced, replaced or too old. Otherwise the labels would fill the memory."""
    clock = Clock()
    cache: TokenCache[str] = TokenCache(5, labels=labels, max_entries=3, monotonic=clock)
    for number in range(5):
        cache.put(str(number), f"shared own-{number}", Reading(0))
    cache.put("3", "shared new", Reading(0))
    assert set(cache._keys) == {"shared", "own-2", "own-4", "new"}
    cache.drop("own-2")
    cache.drop("4")
    assert set(cache._keys) == {"shared", "new"}
    assert cache.get("3") == "shared new"
    clock.now += 6
    assert cache.get("3") is None
    assert cache._keys == {}


def test_a_value_that_was_replaced_is_the_newest() -> None:
    """It is not displaced before those that were read earlier, and is not removed by what only its predecessor had."""
    cache: TokenCache[str] = TokenCache(5, labels=labels, max_entries=2)
    cache.put("a", "old", Reading(0))
    cache.put("b", "other", Reading(0))
    cache.put("a", "new", Reading(0))
    cache.drop("old")
    cache.put("c", "another", cache.reading())

    assert [cache.get(key) for key in "abc"] == ["new", None, "another"]


def test_a_value_is_kept_while_nothing_has_changed() -> None:
    """As long as it lasts by itself; without a version, or with another one, it expires as usual."""
    clock = Clock()
    version: list[int | None] = [1]
    cache: TokenCache[str] = TokenCache(5, monotonic=clock, version=lambda: version[0], lasting=lambda value: 60.0)
    cache.put("a", "value", cache.reading())
    cache.put("unknown", "value", Reading(0))
    for _ in range(5):
        clock.now += 11
        assert cache.get("a") == "value"
    assert cache.get("unknown") is None
    clock.now += 5
    assert cache.get("a") is None

    cache.put("b", "value", cache.reading())
    version[0] = 2
    clock.now += 4
    assert cache.get("b") == "value"
    clock.now += 1
    assert cache.get("b") is None

    cache.put("c", "value", cache.reading())
    version[0] = None
    clock.now += 5
    assert cache.get("c") is None


def test_everything_is_removed_at_once() -> None:
    """What was being read meanwhile is not cached either."""
    cache: TokenCache[str] = TokenCache(5, labels=labels)
    before = cache.reading()
    cache.put("a", "id-1", before)
    cache.clear()
    cache.put("b", "id-2", before)
    assert [cache.get(key) for key in "ab"] == [None, None]
    cache.put("b", "id-2", cache.reading())
    assert cache.get("b") == "id-2"
    assert set(cache._keys) == {"id-2"}
