"""How a run chooses: as a list of actions says, at random, or so that every schedule gets its turn."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from tests.interleavings.fingerprint import State
from tests.interleavings.virtual_loop import Action

__all__ = ["Branch", "Pruned", "Replay", "Search", "Seen", "Strategy", "Walk"]

Branch = tuple[tuple[int, ...], frozenset[Action]]
"""The choices that lead to a schedule that has not been tried, and what is asleep there."""

Seen = dict[int, list[frozenset[Action]]]


class Pruned(Exception):
    """The run has reached a state that another one has gone on from."""


class Strategy(Protocol):
    """Chooses the next action of a run."""

    def choose(self, actions: list[Action], state: Callable[[], State]) -> int: ...


@dataclass
class Replay:
    """Takes each named action as soon as it is possible; until then, whoever is named next goes on first."""

    labels: list[str]

    def choose(self, actions: list[Action], state: Callable[[], State]) -> int:
        offered = [str(action) for action in actions]
        if not self.labels:
            return 0
        wanted, *others = self.labels[0].split(" | ")
        if {wanted, *others} <= set(offered):
            del self.labels[0]
            return offered.index(wanted)
        others = [index for index, label in enumerate(offered) if label != wanted]
        named = [index for index in others if offered[index].split()[0] == wanted.split()[0]]
        return (named or others or [0])[0]


@dataclass
class Walk:
    """Chooses at random; a crash or a stop now and then, not before every second step."""

    random: random.Random

    def choose(self, actions: list[Action], state: Callable[[], State]) -> int:
        weights = [0.1 if action.kind in ("crashes", "stalls") else 1.0 for action in actions]
        return self.random.choices(range(len(actions)), weights)[0]


@dataclass
class Search:
    """Follows the choices that were made before, then the first way that nobody has gone; notes the others.

    What is asleep has been tried in a run that differs from this one only in the order of things that do not touch
    each other (Godefroid's sleep sets). Processes that do the same may exchange their parts.
    """

    prefix: tuple[int, ...]
    asleep: frozenset[Action]
    seen: Seen
    waiting: list[Branch]
    taken: list[int] = field(default_factory=list)

    def choose(self, actions: list[Action], state: Callable[[], State]) -> int:
        index = 0
        if len(actions) > 1:
            if len(self.taken) < len(self.prefix):
                index = self.prefix[len(self.taken)]
                self.taken.append(index)
                return index
            index = self._branch(state(), actions)
            self.taken.append(index)
        if len(self.taken) >= len(self.prefix):
            self.asleep = _still(self.asleep, actions[index])
        return index

    def _branch(self, state: State, actions: list[Action]) -> int:
        before = self.seen.setdefault(state.number, [])
        asleep = frozenset(replace(action, process=state.parts[action.process]) for action in self.asleep)
        if any(other <= asleep for other in before):
            raise Pruned
        before.append(asleep)
        awake = [index for index, action in enumerate(actions) if action not in self.asleep]
        if not awake:
            raise Pruned
        tried = self.asleep
        for index in awake:
            if index != awake[0]:
                self.waiting.append(((*self.taken, index), _still(tried, actions[index])))
            tried |= {actions[index]}
        return awake[0]


def _still(asleep: frozenset[Action], action: Action) -> frozenset[Action]:
    """Return what is still asleep after this action: what does not touch the same thing."""
    return frozenset(other for other in asleep if _apart(other, action))


def _apart(one: Action, other: Action) -> bool:
    """Return True if two steps of different processes have the same outcome in either order."""
    if one.process == other.process or not one.kind == other.kind == "does":
        return False
    first, second = one.name.split(), other.name.split()
    if {"starts", "hears"} & {first[0], second[0]}:
        return True
    return first[-1] != second[-1] or first[0] == second[0] == "select"
