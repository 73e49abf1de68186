"""Where noise comes from: random numbers that no copy, no file and no forked process draws a second time.

Only a seed that was given makes them come again, in a copy as in the original; that is what a seed is for.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Sequence
from copy import deepcopy

import numpy as np

from accountant.numerics import integer


class Seeds:
    """One seed after the other, each once: made of ``seed`` >= 0, or by the operating system (None). Threads may share it.

    >>> from copy import copy
    >>> def first(seeds):
    ...     return int(seeds.spawn().generate_state(1)[0])
    >>> given, fresh = Seeds(5), Seeds(None)
    >>> first(copy(given)) == first(given), first(copy(fresh)) == first(fresh)
    (True, False)
    """

    def __init__(self, seed: int | None) -> None:
        self._begin(None if seed is None else np.random.SeedSequence(integer("seed", seed, at_least=0)))

    def _begin(self, given: np.random.SeedSequence | None) -> None:
        self.given = given is not None
        # 256 bits of the operating system.
        self._sequence = np.random.SeedSequence(secrets.randbits(256)) if given is None else deepcopy(given)
        self._process, self._lock = os.getpid(), threading.Lock()

    def spawn(self) -> np.random.SeedSequence:
        """The next seed."""
        if self._process != os.getpid():
            # After a fork; the lock may be held by a thread that is not here.
            self._begin(self._sequence if self.given else None)
        with self._lock:
            return self._sequence.spawn(1)[0]

    def __reduce__(self) -> tuple[object, ...]:
        return _seeds, (self._sequence if self.given else None,)


def _seeds(given: np.random.SeedSequence | None) -> Seeds:
    seeds = Seeds(None)
    seeds._begin(given)
    return seeds


class Noise:
    """The generators of a run's trials, one each, or the same one for all of them.

    replayable: they follow from a seed that was given. Then copies and pickles draw what the original draws; otherwise these,
    and forked processes, go on with fresh ones.
    """

    def __init__(self, generators: Sequence[np.random.Generator], *, replayable: bool) -> None:
        self.replayable = replayable
        self._generators, self._process = tuple(generators), os.getpid()

    @property
    def generators(self) -> tuple[np.random.Generator, ...]:
        """(trials,)"""
        if not self.replayable and self._process != os.getpid():
            self._generators, self._process = _fresh(len(self._generators), one=one_for_all(self._generators)), os.getpid()
        return self._generators

    def __reduce__(self) -> tuple[object, ...]:
        if self.replayable:
            return _noise, (self._generators,)
        return fresh_noise, (len(self._generators), one_for_all(self._generators))


def one_for_all(generators: Sequence[np.random.Generator]) -> bool:
    """Whether several trials take turns at one generator, whose numbers may then be drawn in one call."""
    return len(generators) > 1 and generators[0] is generators[-1]


def fresh_noise(trials: int, one: bool = False) -> Noise:
    """Of the operating system, for so many trials; one: of one generator for all of them.

    >>> [first, other] = fresh_noise(2).generators
    >>> bool(first.standard_normal() == other.standard_normal())
    False
    """
    return Noise(_fresh(trials, one=one), replayable=False)


def _fresh(trials: int, *, one: bool) -> tuple[np.random.Generator, ...]:
    if one:
        return (np.random.default_rng(secrets.randbits(256)),) * trials
    return tuple(np.random.default_rng(secrets.randbits(256)) for _ in range(trials))


def _noise(given: tuple[np.random.Generator, ...]) -> Noise:
    # One generator of all trials is one in the copy, too.
    return Noise(deepcopy(given), replayable=True)
