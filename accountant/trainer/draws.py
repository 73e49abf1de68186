"""Keyed draws: every record draws its batches by itself, by a hash of what it is called, under a key that stays secret.

A record is in batch H(key; counter, epoch, identifier) mod J, H being BLAKE2b with a key of 256 bits and J the number of
batches. ``secret`` draws have epoch 0 for ever, ``fresh`` ones the number of the epoch. ``poisson`` takes from the digest of an
epoch the gaps between the steps that a record is in, which are geometric: with chance q = 1/J it is in the next step, whatever
came before. The counter says how often the identifier was used before: whoever comes back, or comes back edited, draws anew.

Of a digest 128 bits count, so no batch has a chance that is off by more than J/2^128 of it; gaps are off by what logarithms of
64 bits in doubles are, some 2^-52. That draws are random is an assumption about BLAKE2b, like that about the noise.

The key, and all that follows from it while a record is in, must stay secret for ever (docs/guides/trainer.md).
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from accountant.numerics import InputError, UnreachableError
from accountant.problem import PNSGD, POISSON, SECRET, load_limit
from accountant.trainer.identifiers import Identifier, encoded, identifiers

#: Bytes of a key.
KEY: Final = 32
#: What a digest is for; BLAKE2b gives another function for each.
_BATCH: Final = b"batch"
_GAPS: Final = b"gaps"
_USED: Final = b"used"
#: 64-bit words of a digest of gaps.
_WORDS: Final = 8
#: Records that are hashed at a time: of a million messages and digests there should never be all.
_AT_ONCE: Final = 1 << 16
#: Keys that are tried until no batch is too large.
_TRIES: Final = 1000

Positions = NDArray[np.int64]


class Places(NamedTuple):
    """Who is in which step of an epoch, (m,) each: trial, position in the epoch and row, sorted by trial, then position."""

    trials: NDArray[np.int64]
    positions: NDArray[np.int64]
    rows: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Draws:
    """The records of a run, what they are called, and the keys by which they draw. Treat it as fixed: changes give another one.

    assignment, batches: how they draw, and J. keys: of every trial; key_is_secret: they follow from no seed that was given.
    identifiers, counters, numbers, joined: of every row (n,), what it is called, how often that was used before, when it came
        in (0, 1, ... over all records), and how many steps were run until then.
    used: keyed hashes of the identifiers of records that left, and how many those were: nothing else is kept of them.
    came: records that ever came in. redrawn: whether keys are those under which no batch was too large at the start.
    """

    assignment: str
    batches: int
    keys: tuple[bytes, ...] = field(repr=False)
    key_is_secret: bool
    identifiers: tuple[Identifier, ...] = field(repr=False)
    counters: NDArray[np.int64] = field(repr=False)
    numbers: NDArray[np.int64] = field(repr=False)
    joined: NDArray[np.int64] = field(repr=False)
    used: Mapping[bytes, int] = field(repr=False)
    came: int
    redrawn: bool = False
    #: Of secret draws: the batch of every row in every trial, (trials, n).
    own: Positions | None = field(default=None, repr=False)

    @classmethod
    def begun(
        cls, algorithm: PNSGD, keys: Callable[[int], bytes], trials: int, names: Sequence[Identifier], *, key_is_secret: bool
    ) -> Self:
        """Of records that are there from the start. keys: makes a trial's next key, one after the other."""
        count = len(names)
        zeros = np.zeros(count, dtype=np.int64)
        draws = cls(
            assignment=algorithm.assignment,
            batches=algorithm.steps_per_epoch,
            keys=tuple(keys(trial) for trial in range(trials)),
            key_is_secret=key_is_secret,
            identifiers=tuple(names),
            counters=zeros,
            numbers=np.arange(count),
            joined=zeros,
            used={},
            came=count,
        )
        draws = draws.drawn()
        return draws._redrawn(load_limit(algorithm), keys) if algorithm.redraw else draws

    @property
    def trials(self) -> int:
        return len(self.keys)

    @property
    def fixed(self) -> bool:
        """Whether all epochs have the same batches."""
        return self.assignment == SECRET

    def find(self, name: str, names: Sequence[Identifier]) -> NDArray[np.int64]:
        """The rows of these records, (S,), or InputError that calls them ``name``."""
        places = {each: row for row, each in enumerate(self.identifiers)}
        missing = [each for each in names if each not in places]
        if missing:
            raise InputError(f"{name} must be identifiers of records that are there, got {missing[0]!r}")
        return np.array([places[each] for each in names], dtype=np.int64)

    def find_numbers(self, name: str, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of the records with these numbers, (S,), or InputError that calls them ``name``."""
        rows = np.searchsorted(self.numbers, numbers)
        there = rows < self.numbers.size
        there[there] = self.numbers[rows[there]] == numbers[there]
        if not there.all():
            raise InputError(f"{name} must name rows that have not been removed before, got {numbers[~there][0]}")
        return rows

    def with_records(self, names: Sequence[Identifier], step: int) -> Self:
        """And these, that come in after so many steps; InputError for identifiers of records that are there."""
        here = set(self.identifiers)
        twice = [each for each in names if each in here]
        if twice:
            raise InputError(f"ids must be of no record that is there, got {twice[0]!r}: remove that one first")
        if self.redrawn:
            raise InputError("records cannot join under redraw, which is proved for those that were there at the start")
        count = len(names)
        counters = np.array([self.used.get(self._tag(each), 0) for each in names], dtype=np.int64)
        new = replace(
            self,
            identifiers=(*self.identifiers, *names),
            counters=np.append(self.counters, counters),
            numbers=np.append(self.numbers, self.came + np.arange(count)),
            joined=np.append(self.joined, np.full(count, step)),
            came=self.came + count,
            own=None,
        )
        if self.own is None:
            return new
        return replace(new, own=np.concatenate([self.own, self._batches(names, counters)], axis=1))

    def without_rows(self, rows: NDArray[np.int64]) -> Self:
        """Without these rows; of what they were called a keyed hash is kept."""
        left = np.ones(len(self.identifiers), dtype=bool)
        left[rows] = False
        used = dict(self.used)
        for row in rows.tolist():
            used[self._tag(self.identifiers[row])] = int(self.counters[row]) + 1
        return replace(
            self,
            identifiers=tuple(compress(self.identifiers, left.tolist())),
            counters=self.counters[left],
            numbers=self.numbers[left],
            joined=self.joined[left],
            used=used,
            own=None if self.own is None else self.own[:, left],
        )

    def names_of(self, ids: object, count: int, name: str = "ids") -> tuple[Identifier, ...]:
        """Identifiers of so many records that come next, checked; where none are given their numbers serve."""
        return tuple(range(self.came, self.came + count)) if ids is None else identifiers(name, ids, count)

    def places(self, epoch: int, trials: slice = slice(None)) -> Places:
        """Who is where in an epoch, in these trials, which are counted from the first of them."""
        if self.own is not None:
            return _sorted(self.own[trials])
        keys = self.keys[trials]
        if self.assignment == POISSON:
            return self._visits(epoch, keys)
        return _sorted(self._batches(self.identifiers, self.counters, epoch=epoch, keys=keys))

    def drawn(self) -> Self:
        """With the batches of secret draws at hand."""
        return replace(self, own=self._batches(self.identifiers, self.counters)) if self.fixed else self

    def _redrawn(self, limit: float, keys: Callable[[int], bytes]) -> Self:
        """Under the first key of every trial under which no batch has more than ``limit`` records."""
        assert self.own is not None
        own, now = self.own.copy(), list(self.keys)
        for trial in range(self.trials):
            for _ in range(_TRIES):
                if np.bincount(own[trial], minlength=self.batches).max() <= limit:
                    break
                now[trial] = keys(trial)
                own[trial] = self._batches(self.identifiers, self.counters, keys=now[trial : trial + 1])[0]
            else:
                # Nothing is said of sizes but that they do not fit.
                raise UnreachableError(
                    f"redraw found no key in {_TRIES} under which no batch is too large: make batches larger"
                )
        return replace(self, keys=tuple(now), own=own, redrawn=True)

    def _tag(self, name: Identifier) -> bytes:
        return hashlib.blake2b(encoded(name), key=self.keys[0], digest_size=16, person=_USED).digest()

    def _batches(
        self,
        names: Sequence[Identifier],
        counters: NDArray[np.int64],
        *,
        epoch: int = 0,
        keys: Sequence[bytes] | None = None,
    ) -> Positions:
        """The batch of every record in an epoch of every trial, (trials, n)."""
        keys = self.keys if keys is None else keys
        found = np.empty((len(keys), len(names)), dtype=np.int64)
        for first in range(0, len(names), _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            words = _digests(keys, _messages(names[some], counters[some], epoch), _BATCH, 16)
            found[:, some] = _modulo(words, self.batches).reshape(len(keys), -1)
        return found

    def _visits(self, epoch: int, keys: Sequence[bytes]) -> Places:
        """The steps of an epoch that every record is in."""
        n, chance = len(self.identifiers), 1 / self.batches
        messages = _messages(self.identifiers, self.counters, epoch)
        # log(1 - q), -inf for q = 1: then no gap is longer than zero.
        fails = math.log1p(-chance) if chance < 1 else -math.inf
        found: list[NDArray[np.int64]] = []
        who, at = np.arange(len(keys) * n), np.full(len(keys) * n, -1, dtype=np.int64)
        block = 0
        while who.size:
            words = _digests_of(keys, messages, who, block)
            uniform = (words.astype(np.float64) + 0.5) * 2.0**-64
            gaps = np.minimum(np.floor(np.log(np.minimum(uniform, 1.0)) / fails), self.batches).astype(np.int64)
            steps = at[:, None] + np.cumsum(gaps + 1, axis=1)
            inside = steps < self.batches
            found.append(np.stack([np.repeat(who, inside.sum(axis=1)), steps[inside]]))
            more = inside[:, -1]
            who, at, block = who[more], steps[more, -1], block + 1
        ids, positions = np.concatenate(found, axis=1) if found else np.zeros((2, 0), dtype=np.int64)
        order = np.lexsort((ids % n, positions, ids // n)) if n else ids
        return Places(ids[order] // n if n else ids, positions[order], ids[order] % n if n else ids)


def new_key() -> bytes:
    """A key of the operating system."""
    return secrets.token_bytes(KEY)


def seeded_key(seed: np.random.SeedSequence) -> bytes:
    """A key that follows from a seed, which is as secret as the seed is: no key, where that was given."""
    return seed.generate_state(KEY // 4, np.uint32).astype("<u4").tobytes()


def _messages(names: Sequence[Identifier], counters: NDArray[np.int64], epoch: int) -> list[bytes]:
    """What is hashed of every record; counter and epoch are 8 bytes each, so no two records share a message."""
    end = epoch.to_bytes(8, "big")
    return [counter.to_bytes(8, "big") + end + encoded(name) for name, counter in zip(names, counters.tolist(), strict=True)]


def _digests(keys: Sequence[bytes], messages: Sequence[bytes], purpose: bytes, size: int) -> NDArray[np.uint64]:
    """Words (keys * messages, size/8) of the digests of all messages under all keys."""
    blake2b = hashlib.blake2b
    digests = b"".join(
        blake2b(message, key=key, digest_size=size, person=purpose).digest() for key in keys for message in messages
    )
    return np.frombuffer(digests, dtype="<u8").reshape(-1, size // 8).astype(np.uint64)


def _digests_of(keys: Sequence[bytes], messages: Sequence[bytes], who: NDArray[np.int64], block: int) -> NDArray[np.uint64]:
    """Words (m, 8), the next ``block`` of them, for records ``who`` = trial * n + row."""
    blake2b, n, end = hashlib.blake2b, len(messages), block.to_bytes(8, "big")
    digests = b"".join(
        blake2b(end + messages[row], key=keys[trial], digest_size=8 * _WORDS, person=_GAPS).digest()
        for trial, row in zip((who // n).tolist(), (who % n).tolist(), strict=True)
    )
    return np.frombuffer(digests, dtype="<u8").reshape(-1, _WORDS).astype(np.uint64)


def _modulo(words: NDArray[np.uint64], batches: int) -> Positions:
    """Digests (m, 2), as numbers of 128 bits, modulo J < 2^31."""
    j = np.uint64(batches)
    top = np.uint64(2**64 % batches)
    return ((words[:, 0] % j * top + words[:, 1] % j) % j).astype(np.int64)


def _sorted(positions: Positions) -> Places:
    """The rows of every trial in the order of their batches; positions (trials, n)."""
    trials, n = positions.shape
    rows = np.argsort(positions, axis=1, kind="stable")
    order = np.take_along_axis(positions, rows, axis=1)
    return Places(np.repeat(np.arange(trials), n), order.ravel(), rows.ravel())
