"""The cache, in which a process keeps what it has read of stored tokens."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest

from zaikio_oauth.store.packed_values import _hash
from zaikio_oauth.store.token_cache import MAX_DROPS, SAMPLES, Reading, TokenCache


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class JsonPacking:
    """Packs values as JSON; what it was made from can be seen."""

    def __init__(self, samples: Iterable[tuple[str, Any]]) -> None:
        self.samples = list(samples)

    def pack(self, key: str, value: Any) -> bytes:
        return json.dumps([key, value]).encode()

    def unpack(self, packed: memoryview) -> tuple[str, Any]:
        key, value = json.loads(bytes(packed))
        return key, value


PACKING = partial(TokenCache[Any], packing=JsonPacking, max_unpacked=1)


@pytest.fixture(params=[TokenCache, PACKING], ids=["as they are", "packed but for one"])
def new_cache(request: pytest.FixtureRequest) -> Callable[..., TokenCache[Any]]:
    """Return what makes a cache: nobody sees whether it packs its values."""
    new: Callable[..., TokenCache[Any]] = request.param
    return new


def known(cache: TokenCache[Any], names: str) -> str:
    """Return those of the labels that take up memory."""
    packed = cache._packed
    return " ".join(
        name
        for name in names.split()
        if cache._index.keys(name) or (packed is not None and packed._index.keys(_hash(name)))
    )


@pytest.mark.parametrize(("age", "kept"), [(0.0, True), (4.999, True), (5.0, False), (5.001, False)])
def test_a_value_is_kept_until_it_expires(new_cache: Callable[..., TokenCache[Any]], age: float, kept: bool) -> None:
    """The limit is exact and uses a monotonic clock."""
    clock = Clock()
    cache = new_cache(5, monotonic=clock)
    cache.put("a", "value", Reading(0))

    clock.now += age

    assert cache.get("a") == ("value" if kept else None)


def test_a_ttl_of_zero_disables_the_cache(new_cache: Callable[..., TokenCache[Any]]) -> None:
    """Every look-up then reads from the database."""
    cache = new_cache(0)
    cache.put("a", "value", Reading(0))

    assert (cache.enabled, cache.get("a")) == (False, None)


def test_the_least_recently_used_values_are_removed_when_the_cache_is_full(
    new_cache: Callable[..., TokenCache[Any]],
) -> None:
    """The number of entries is limited."""
    cache = new_cache(5, max_entries=3)
    for number in range(5):
        cache.put(str(number), number, Reading(0))
        assert cache.get("0") == 0

    assert [cache.get(str(number)) for number in range(5)] == [0, None, None, 3, 4]


def test_a_value_read_before_a_logout_is_not_cached(new_cache: Callable[..., TokenCache[Any]]) -> None:
    """The look-up was in progress when the person logged out."""
    cache = new_cache(5)
    before = cache.reading()
    cache.drop("a")
    cache.put("a", "stale", before)
    assert cache.get("a") is None


def test_each_removal_makes_the_reads_before_it_stale(new_cache: Callable[..., TokenCache[Any]]) -> None:
    """Also the second one of the same value, whose read began between the two."""
    cache = new_cache(5)
    cache.drop("a")
    between = cache.reading()
    cache.drop("a")
    cache.put("a", "stale", between)
    assert cache.get("a") is None
    cache.put("a", "fresh", cache.reading())
    assert cache.get("a") == "fresh"


def labels(value: str, _key: str) -> tuple[str | None, ...]:
    """Return the words of the value."""
    return (*value.split(), None)


def test_a_value_read_before_its_label_was_removed_is_not_cached(new_cache: Callable[..., TokenCache[Any]]) -> None:
    """The look-up by bearer was in progress when the token that it found was refreshed; others are not affected."""
    cache = new_cache(5, labels=labels)
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


def test_a_value_read_before_more_removals_than_are_remembered_is_not_cached(
    new_cache: Callable[..., TokenCache[Any]],
) -> None:
    """Whether it was among them is no longer known, one by one or all at once."""
    for at_once in (False, True):
        cache = new_cache(5, labels=labels)
        names = ["id-1", *(f"other-{number}" for number in range(MAX_DROPS))]
        for each in [names] if at_once else [[name] for name in names]:
            cache.drop(*each)
        cache.put("stale", "id-1", Reading(0))
        cache.put("perhaps stale", "id-2", Reading(0))
        cache.put("fresh", "id-1", cache.reading())

        assert [cache.get(key) for key in ("stale", "perhaps stale", "fresh")] == [None, None, "id-1"]
        cache.drop("id-1")
        assert cache.get("fresh") is None


def test_values_are_removed_by_key_or_label(new_cache: Callable[..., TokenCache[Any]]) -> None:
    """The other values are kept, and not looked at: a full cache costs a refresh nothing."""
    looked_at: list[str] = []

    def noted(value: str, key: str) -> tuple[str | None, ...]:
        looked_at.append(value)
        return labels(value, key)

    cache = new_cache(5, labels=noted)
    for number in range(1000):
        cache.put(f"id-{number}", f"id-{number} bearer-{number}", Reading(0))
    cache.put("search", "id-7 bearer-7", Reading(0))
    looked_at.clear()

    cache.drop("id-7")
    cache.drop("bearer-8", "id-9")
    # A packed value says by itself which labels it has.
    assert len(looked_at) == (4 if new_cache is TokenCache else 1)

    removed = ("id-7", "search", "id-8", "id-9")
    assert [cache.get(key) for key in removed] == [None] * 4
    assert cache.get("id-6") == "id-6 bearer-6"


def test_all_values_with_a_label_are_removed(new_cache: Callable[..., TokenCache[Any]]) -> None:
    """Such as those of several searches that have found the same token."""
    cache = new_cache(5, labels=labels)
    for key in ("one search", "another search", "a third search"):
        cache.put(key, "id-1 bearer", Reading(0))
    cache.put("another bearer's", "id-2", Reading(0))
    cache.drop("bearer")
    assert [cache.get(key) for key in ("one search", "another search", "a third search")] == [None] * 3
    assert cache.get("another bearer's") == "id-2"


def test_a_label_is_forgotten_with_its_last_value(new_cache: Callable[..., TokenCache[Any]]) -> None:
    """However a value leaves: removed, displaced, replaced or too old. Otherwise the labels would fill the memory."""
    clock = Clock()
    cache = new_cache(5, labels=labels, max_entries=3, monotonic=clock)
    own = "shared own-0 own-1 own-2 own-3 own-4 new"
    for number in range(5):
        cache.put(str(number), f"shared own-{number}", Reading(0))
    cache.put("3", "shared new", Reading(0))
    assert known(cache, own) == "shared own-2 own-4 new"
    cache.drop("own-2")
    cache.drop("4")
    assert known(cache, own) == "shared new"
    assert cache.get("3") == "shared new"
    clock.now += 6
    assert cache.get("3") is None
    assert known(cache, own) == ""


def test_a_value_that_was_replaced_is_the_newest(new_cache: Callable[..., TokenCache[Any]]) -> None:
    """It is not displaced before those that were read earlier, and is not removed by what only its predecessor had."""
    cache = new_cache(5, labels=labels, max_entries=2)
    cache.put("a", "old", Reading(0))
    cache.put("b", "other", Reading(0))
    cache.put("a", "new", Reading(0))
    cache.drop("old")
    cache.put("c", "another", cache.reading())

    assert [cache.get(key) for key in "abc"] == ["new", None, "another"]


def test_a_value_is_kept_while_nothing_has_changed(new_cache: Callable[..., TokenCache[Any]]) -> None:
    """As long as it lasts by itself; without a version, or with another one, it expires as usual."""
    clock = Clock()
    version: list[int | None] = [1]
    cache = new_cache(
        5, monotonic=clock, clock=clock, version=lambda: version[0], lasts_until=lambda value: clock.now + 60
    )
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


def test_a_value_that_lasts_no_longer_can_be_told_apart(new_cache: Callable[..., TokenCache[Any]]) -> None:
    """By the clock on the wall, which goes on while the machine sleeps. Those who are content with it still get it."""
    clock, wall = Clock(), Clock()
    cache = new_cache(5, monotonic=clock, clock=wall, version=lambda: 1, lasts_until=lambda value: 1060.0)
    cache.put("a", "value", cache.reading())
    cache.put("b", "value", cache.reading())
    wall.now = 1059.9
    assert [cache.get(key, lasting=True) for key in "ab"] == ["value", "value"]
    wall.now = 1060.0
    assert [cache.get(key, lasting=True) for key in "ab"] == [None, None]
    assert [cache.get(key) for key in "ab"] == ["value", "value"]
    clock.now += 5
    assert [cache.get(key) for key in "ab"] == [None, None]


def test_everything_is_removed_at_once(new_cache: Callable[..., TokenCache[Any]]) -> None:
    """What was being read meanwhile is not cached either."""
    cache = new_cache(5, labels=labels)
    before = cache.reading()
    cache.put("a", "id-1", before)
    cache.put("c", "id-3", before)
    cache.clear()
    cache.put("b", "id-2", before)
    assert [cache.get(key) for key in "abc"] == [None] * 3
    cache.put("b", "id-2", cache.reading())
    assert cache.get("b") == "id-2"
    assert known(cache, "id-1 id-2") == "id-2"


def test_what_is_packed_is_found_and_counted() -> None:
    """In the order in which it was used last; the packing has seen the first values."""
    made: list[JsonPacking] = []

    def packing(samples: Iterable[tuple[str, Any]]) -> JsonPacking:
        made.append(JsonPacking(samples))
        return made[-1]

    cache: TokenCache[Any] = TokenCache(5, packing=packing, max_unpacked=5, max_entries=8)
    for number in range(8):
        cache.put(str(number), number, cache.reading())
    assert cache.get("0") == 0
    cache.put("8", 8, cache.reading())

    assert [each.samples for each in made] == [[(str(number), number) for number in range(SAMPLES)]]
    assert [cache.get(str(number)) for number in range(9)] == [0, None, *range(2, 9)]


def test_what_is_packed_is_not_older_than_it_says() -> None:
    """Neither its age nor its version begins anew when it is packed or unpacked."""
    clock = Clock()
    version: list[int | None] = [1]
    cache = PACKING(
        5, monotonic=clock, clock=clock, version=lambda: version[0], lasts_until=lambda value: clock.now + 60
    )
    for key in ("a", "b", "c", "d"):
        cache.put(key, key, cache.reading())
    clock.now += 40
    assert [cache.get(key) for key in "ab"] == ["a", "b"]
    clock.now += 19
    assert [cache.get(key) for key in "ac"] == ["a", "c"]
    clock.now += 1
    assert [cache.get(key) for key in "abcd"] == [None] * 4

    for key in ("a", "b", "c", "d"):
        cache.put(key, key, cache.reading())
    clock.now += 4
    version[0] = 2
    assert cache.get("a") == "a"
    for key in ("e", "f", "g"):
        cache.put(key, key, cache.reading())
    clock.now += 40
    assert [cache.get(key) for key in "abcdefg"] == [None] * 4 + ["e", "f", "g"]


def test_a_value_that_was_packed_does_not_return() -> None:
    """Not after it was replaced by one with other labels, and those were removed."""
    cache = PACKING(5, labels=labels)
    cache.put("a", "old", cache.reading())
    cache.put("b", "other", cache.reading())
    cache.put("a", "new", cache.reading())
    cache.drop("new")
    assert cache.get("a") is None
    assert known(cache, "old new other") == "other"


def test_one_name_is_not_taken_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are kept as hashes. If two were equal, the value of the other name must not be returned."""
    monkeypatch.setattr("zaikio_oauth.store.packed_values._hash", lambda name: 1)
    cache = PACKING(5)
    cache.put("a", "mine", cache.reading())
    cache.put("b", "theirs", cache.reading())
    assert cache.get("c") is None
    cache.put("b", "theirs", cache.reading())
    assert cache.get("b") == "theirs"


def test_the_garbage_collector_does_not_look_at_what_is_packed() -> None:
    """Else each of its runs would take longer with each token that is kept."""
    cache: TokenCache[Any] = TokenCache(5, packing=JsonPacking, max_unpacked=10, labels=labels, max_entries=5_000)
    gc.collect()
    before = len(gc.get_objects())
    for number in range(5_000):
        cache.put(str(number), f"own-{number} also-{number}", cache.reading())
    assert cache.get("7") == "own-7 also-7"
    gc.collect()
    assert len(gc.get_objects()) - before < 200
