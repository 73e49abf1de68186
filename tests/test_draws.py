"""Keyed draws against the hash they are made of, and against the laws that they must have."""

import hashlib
import itertools
import math
import pickle
import struct
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

from accountant import PNSGD, InputError, Problem, UnreachableError
from accountant.problem import load_limit
from accountant.trainer import draws as draws_file
from accountant.trainer.draws import Draws, new_key, seeded_key
from accountant.trainer.identifiers import encoded, identifiers

KEY = bytes(range(32))


def algorithm(n: int, batch_size: int, assignment: str = "secret", **options: Any) -> PNSGD:
    problem = Problem(n=n, smoothness=1.1, strong_convexity=0.1, adjacency="remove")
    return PNSGD(problem, batch_size, assignment=assignment, learn_epochs=3, **options)


def draws_of(
    names: Any, batches: int, assignment: str = "secret", *, key: Callable[[int], bytes] | None = None, trials: int = 1
) -> Draws:
    n = len(names)
    made = algorithm(n, -(-n // batches), assignment)
    assert made.steps_per_epoch == batches
    return Draws.begun(made, key or (lambda trial: new_key()), trials, tuple(names), key_is_secret=key is None)


def fits(counts: Any, chances: Any) -> bool:
    """Whether a test of goodness of fit passes at one in a million."""
    counts = np.asarray(counts, dtype=float)
    expected = np.asarray(chances) * counts.sum()
    return bool(((counts - expected) ** 2 / expected).sum() < chi2.isf(1e-6, counts.size - 1))


# Identifiers


def test_identifiers_are_told_apart_by_type_and_value() -> None:
    odd: list[str | int] = ["", "1", "01", "1 ", "i1", "t1", "\x00", "é", "\ud800", 0, 1, -1, 10, 16, 2**64, -(2**64)]
    assert len({encoded(each) for each in odd}) == len(odd)


def test_identifiers_of_numpy_and_pandas_are_those_of_python() -> None:
    assert identifiers("ids", np.array([3, 1], dtype=np.int16)) == (3, 1)
    assert identifiers("ids", np.array(["a", "b"])) == ("a", "b")
    assert identifiers("ids", np.array(["a", 1], dtype=object)) == ("a", 1)
    found = identifiers("ids", [np.uint8(7), np.str_("7")])
    assert found == (7, "7")
    assert [type(each) for each in found] == [int, str]
    pandas = pytest.importorskip("pandas")
    assert identifiers("ids", pandas.Index(["a", "b"])) == ("a", "b")
    assert identifiers("ids", pandas.Series([5, 6])) == (5, 6)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([True], "text or integers"),
        ([np.bool_(False)], "text or integers"),
        ([1.0], "text or integers"),
        ([None], "text or integers"),
        ([b"a"], "text or integers"),
        ([("a", 1)], "text or integers"),
        ([2**1024], "1024 bits"),
        (np.array([1.5]), "text or integers"),
        (np.array([[1, 2]]), "one-dimensional"),
        ("a17", "a list"),
        (b"a17", "a list"),
        (17, "a list"),
        ([], "got none"),
        (["a", "b", "a"], "got 'a' more than once"),
        ([1, np.int64(1)], "got 1 more than once"),
    ],
)
def test_other_identifiers_are_refused(values: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        identifiers("ids", values)


def test_there_is_one_identifier_for_each_row() -> None:
    with pytest.raises(InputError, match="one for each of the 3 rows, got 2"):
        identifiers("ids", ["a", "b"], 3)


# Draws


def message(name: str | int, counter: int, epoch: int) -> bytes:
    """What is hashed, as docs/guides/trainer.md has it."""
    called = "i" + format(name, "x") if isinstance(name, int) else "t" + name
    return struct.pack(">QQ", counter, epoch) + called.encode("utf-8", "surrogatepass")


def by_hand(name: str | int, counter: int, epoch: int, batches: int, key: bytes = KEY) -> int:
    digest = hashlib.blake2b(message(name, counter, epoch), key=key, digest_size=16, person=b"batch").digest()
    high, low = struct.unpack("<QQ", digest)
    return (high * 2**64 + low) % batches


def steps_by_hand(name: str | int, counter: int, epoch: int, batches: int, key: bytes = KEY, words: int = 8) -> list[int]:
    """The steps of Poisson sampling: geometric gaps, by inversion of words of 64 bits."""
    found: list[int] = []
    step, block = -1, 0
    while True:
        text = struct.pack(">Q", block) + message(name, counter, epoch)
        digest = hashlib.blake2b(text, key=key, digest_size=8 * words, person=b"gaps").digest()
        for word in struct.unpack(f"<{words}Q", digest):
            gap = math.log((word + 0.5) / 2**64) / math.log1p(-1 / batches) if batches > 1 else 0
            step += math.floor(gap) + 1
            if step >= batches:
                return found
            found.append(step)
        block += 1


@pytest.mark.parametrize("batches", [1, 2, 7, 100])
def test_a_batch_is_the_hash_of_counter_epoch_and_identifier_modulo_j(batches: int) -> None:
    names = [*range(50), *map(str, range(50))]
    draws = draws_of(names, batches, key=lambda trial: KEY)
    assert draws.own is not None
    assert draws.own[0].tolist() == [by_hand(name, 0, 0, batches) for name in names]
    fresh = draws_of(names, batches, "fresh", key=lambda trial: KEY)
    for epoch in (0, 1, 9):
        places = fresh.places(epoch)
        found = dict(zip(places.rows.tolist(), places.positions.tolist(), strict=True))
        assert [found[row] for row in range(100)] == [by_hand(name, 0, epoch, batches) for name in names]


@pytest.mark.parametrize("batches", [1, 2, 7, 42])
@pytest.mark.parametrize("assignment", ["secret", "fresh", "poisson"])
def test_who_is_where_is_known_by_hand_also_after_records_left_and_came_back(assignment: str, batches: int) -> None:
    keys = [bytes([trial]) * 32 for trial in range(3)]
    names: list[str | int] = [*range(40), *(f"é{k}" for k in range(40)), "\ud800", -17, 2**70]
    draws = draws_of(names, batches, assignment, key=lambda trial: keys[trial], trials=3)
    draws = draws.without_rows(np.array([1, 50])).with_records(["é10", "new", 1], step=5)
    draws = draws.without_rows(draws.find("ids", [1])).with_records([1], step=9)
    # Who came back, and how often it was there before.
    rows = [(name, 0) for name in names if name not in (1, "é10")] + [("é10", 1), ("new", 0), (1, 2)]

    for epoch in (0, 1, 300):
        expected = set()
        for trial, key in enumerate(keys):
            for row, (name, counter) in enumerate(rows):
                if assignment == "poisson":
                    steps = steps_by_hand(name, counter, epoch, batches, key)
                else:
                    steps = [by_hand(name, counter, epoch if assignment == "fresh" else 0, batches, key)]
                expected |= {(trial, step, row) for step in steps}
        places = draws.places(epoch)
        found = list(zip(places.trials.tolist(), places.positions.tolist(), places.rows.tolist(), strict=True))
        assert len(found) == len(expected)
        assert set(found) == expected


def test_remainders_of_128_bits_are_those_of_whole_numbers() -> None:
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**64, (200, 2), dtype=np.uint64)
    words[:4] = [[0, 0], [2**64 - 1, 2**64 - 1], [1, 0], [0, 2**64 - 1]]
    for batches in (1, 2, 3, 88, 352, 10**7, 2**31 - 1):
        whole = [(int(a) * 2**64 + int(b)) % batches for a, b in words]
        assert draws_file._modulo(words, batches).tolist() == whole


def test_draws_are_uniform_and_independent_of_each_other() -> None:
    draws = draws_of(range(20_000), 20)
    assert draws.own is not None
    assert fits(np.bincount(draws.own[0], minlength=20), np.full(20, 0.05))
    # Of neighbouring identifiers, and of one identifier under neighbouring keys.
    pairs = draws.own[0, ::2] * 20 + draws.own[0, 1::2]
    assert fits(np.bincount(pairs, minlength=400), np.full(400, 1 / 400))
    many = draws_of(range(8), 4, trials=5000)
    assert many.own is not None
    assert fits(np.bincount(many.own[:, 0] * 4 + many.own[:, 7], minlength=16), np.full(16, 1 / 16))
    assert fits(np.bincount(many.own[:-1, 3] * 4 + many.own[1:, 3], minlength=16), np.full(16, 1 / 16))


def test_fresh_draws_of_two_epochs_are_independent() -> None:
    draws = draws_of(range(20_000), 5, "fresh")
    first, second = (places.positions[np.argsort(places.rows)] for places in (draws.places(0), draws.places(1)))
    assert fits(np.bincount(first * 5 + second, minlength=25), np.full(25, 1 / 25))


@pytest.mark.parametrize("batches", [1, 2, 3, 5])
def test_poisson_sampling_takes_each_step_with_the_same_chance_whatever_came_before(batches: int) -> None:
    """Every subset of the steps of an epoch, and of neighbours in two epochs, as often as independent steps have it."""
    n = 6000
    draws = draws_of(range(n), batches, "poisson", trials=2)
    patterns = np.zeros((2, 2 * n), dtype=int)
    for epoch in (0, 1):
        places = draws.places(epoch)
        assert (np.diff(places.trials * batches + places.positions) >= 0).all()
        np.add.at(patterns[epoch], places.trials * n + places.rows, 2**places.positions)
    q = 1 / batches
    chances = np.array(
        [np.prod([q if step else 1 - q for step in steps]) for steps in itertools.product((0, 1), repeat=batches)]
    )
    if batches == 1:
        assert (patterns == 1).all()
        return
    for epoch in (0, 1):
        counts = Counter(patterns[epoch].tolist())
        order = [sum(step << at for at, step in enumerate(steps)) for steps in itertools.product((0, 1), repeat=batches)]
        assert fits([counts[pattern] for pattern in order], chances)
    last, first = patterns[0] >> (batches - 1), patterns[1] & 1
    pair = np.array([(1 - q) ** 2, q * (1 - q), q * (1 - q), q**2])
    assert fits(np.bincount(last * 2 + first, minlength=4), pair)


def test_many_visits_in_one_epoch_need_another_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two words a digest instead of eight: the law is the same."""
    monkeypatch.setattr(draws_file, "_WORDS", 2)
    draws = draws_of(range(8000), 4, "poisson")
    counts = np.bincount(np.bincount(draws.places(0).rows, minlength=8000), minlength=5)
    assert fits(counts, [0.75**4, 4 * 0.25 * 0.75**3, 6 * 0.25**2 * 0.75**2, 4 * 0.25**3 * 0.75, 0.25**4])
    few = draws_of(range(200), 4, "poisson", key=lambda trial: KEY).places(3)
    steps = [sorted(few.positions[few.rows == row].tolist()) for row in range(200)]
    assert steps == [steps_by_hand(row, 0, 3, 4, words=2) for row in range(200)]


def test_trials_of_a_part_are_those_of_all() -> None:
    for assignment in ("secret", "fresh", "poisson"):
        draws = draws_of(range(30), 5, assignment, trials=6)
        whole, part = draws.places(2), draws.places(2, slice(2, 5))
        inside = (whole.trials >= 2) & (whole.trials < 5)
        np.testing.assert_array_equal(whole.trials[inside] - 2, part.trials)
        np.testing.assert_array_equal(whole.positions[inside], part.positions)
        np.testing.assert_array_equal(whole.rows[inside], part.rows)


# Records that come and go


def test_who_leaves_moves_nobody_and_who_comes_back_draws_anew() -> None:
    draws = draws_of(range(1000), 100)
    left = draws.without_rows(np.array([3, 700]))
    assert draws.own is not None
    assert left.own is not None
    np.testing.assert_array_equal(left.own, np.delete(draws.own, [3, 700], axis=1))
    assert left.numbers.tolist() == [each for each in range(1000) if each not in (3, 700)]
    again = left.with_records([700, "new", 3], step=40)
    assert again.own is not None
    np.testing.assert_array_equal(again.own[:, :-3], left.own)
    assert again.counters[-3:].tolist() == [1, 0, 1]
    assert again.numbers[-3:].tolist() == [1000, 1001, 1002]
    assert again.joined[-3:].tolist() == [40, 40, 40]
    # 400 identifiers that come back: as many in their old batch as chance has it.
    many = draws.without_rows(np.arange(400)).with_records(range(400), step=1)
    assert many.own is not None
    assert (many.own[0, -400:] == draws.own[0, :400]).sum() < 20
    once = many.without_rows(np.arange(600, 1000)).with_records(range(400), step=2)
    assert set(once.counters[-400:].tolist()) == {2}


def test_what_a_record_was_called_goes_with_it() -> None:
    draws = draws_of(["unmistakable", *map(str, range(20))], 3)
    assert b"unmistakable" in pickle.dumps(draws)
    gone = draws.without_rows(draws.find("ids", ["unmistakable"]))
    assert b"unmistakable" not in pickle.dumps(gone)
    with pytest.raises(InputError, match="records that are there, got 'unmistakable'"):
        gone.find("ids", ["unmistakable"])
    [tag] = gone.used
    assert tag == hashlib.blake2b(b"tunmistakable", key=draws.keys[0], digest_size=16, person=b"used").digest()


def test_a_second_living_record_of_one_identifier_is_refused() -> None:
    draws = draws_of(["a", "b", "c"], 3)
    with pytest.raises(InputError, match="no record that is there, got 'b'"):
        draws.with_records(["d", "b"], 1)
    assert draws.with_records([1, "1"], 1).came == 5
    with pytest.raises(InputError, match="not been removed before, got 1"):
        draws.without_rows(np.array([1])).find_numbers("removed", np.array([0, 1]))
    nobody = draws.without_rows(np.arange(3))
    for gone in ([0], [2, 0], [7]):
        with pytest.raises(InputError, match=f"not been removed before, got {gone[0]}"):
            nobody.find_numbers("removed", np.array(gone))
    assert nobody.find_numbers("removed", np.array([], dtype=np.int64)).size == 0


def test_keys_are_no_part_of_what_is_shown() -> None:
    draws = draws_of(["named", "other"], 2)
    assert draws.key_is_secret
    text = repr(draws)
    assert draws.keys[0].hex() not in text
    assert repr(draws.keys[0]) not in text
    assert "named" not in text
    assert len(draws.keys[0]) == 32
    assert new_key() != new_key()
    assert (
        seeded_key(np.random.SeedSequence(1)) == seeded_key(np.random.SeedSequence(1)) != seeded_key(np.random.SeedSequence(2))
    )


# Redrawing


def test_a_key_is_redrawn_until_no_batch_is_too_large() -> None:
    """Two batches of 6 records, at most 4 in one: what is left of the binomial law."""
    made = algorithm(6, 3, step_size=1.25, redraw=True)
    assert load_limit(made) == 4
    draws = Draws.begun(made, lambda trial: new_key(), 4000, tuple(range(6)), key_is_secret=True)
    assert draws.redrawn
    assert draws.own is not None
    sizes = draws.own.sum(axis=1)
    assert fits(np.bincount(sizes, minlength=5)[2:], np.array([15, 20, 15]) / 50)
    assert len(set(draws.keys)) == 4000
    with pytest.raises(InputError, match="redraw"):
        draws.with_records(["late"], 3)
    free = Draws.begun(
        algorithm(6, 3, step_size=1.25, redraw=False), lambda trial: new_key(), 500, tuple(range(6)), key_is_secret=True
    )
    assert free.own is not None
    assert {0, 6} & set(free.own.sum(axis=1).tolist())


def test_hopeless_redrawing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draws_file, "load_limit", lambda algorithm: 2.0)
    with pytest.raises(UnreachableError, match="no key"):
        Draws.begun(algorithm(6, 3, redraw=True), lambda trial: new_key(), 1, tuple(range(6)), key_is_secret=True)
