"""Certificates of streams of a partition (format 6): they prove what the stream states, to twelve digits, and nothing less."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from functools import cache
from math import comb
from typing import Any

import mpmath
import numpy as np
import pytest

pytest.importorskip("flint")

from sealing import reason, sealed

from accountant import PNSGD, Problem, UnlearningAccountant
from accountant.certificates import Happened, certify_stream, check, digest, json_schema, law_texts
from accountant.curves import Guarantee
from accountant.numerics import InputError
from accountant.requests import UnlearningStream, stated_after


def accountant(*, n: int = 60, batch: int = 15, adjacency: str = "zero-out", batches: str = "random", **more: Any) -> Any:
    problem = Problem(n=n, smoothness=1.0, strong_convexity=0.05, lipschitz=1.0, adjacency=adjacency)
    options: dict[str, Any] = {"learn_epochs": 6, "step_size": 0.5}
    return UnlearningAccountant(PNSGD(problem, batch, **options | more), batches=batches)


CASES: dict[str, tuple[Any, list[tuple[int, int]]]] = {
    "one": (accountant(), [(1, 5)]),
    "one, a smaller last batch": (accountant(n=64), [(1, 5)]),
    "several": (accountant(), [(1, 5), (1, 3), (2, 9)]),
    "several after endless learning": (accountant(learn_epochs=None), [(1, 5), (1, 2), (1, 7)]),
    "several, a smaller last batch": (accountant(n=64, adjacency="replace"), [(1, 5), (1, 3), (1, 9)]),
    "several, points dropped": (accountant(n=64, last_batch="drop"), [(1, 4), (2, 5)]),
    "a group": (accountant(), [(3, 8)]),
    "a group, a smaller last batch": (accountant(n=64), [(3, 8)]),
    "a group, points dropped": (accountant(n=64, last_batch="drop"), [(2, 5)]),
    "a large group": (accountant(n=300), [(20, 60)]),
    "groups": (accountant(), [(2, 8), (12, 30), (3, 9)]),
    "earlier ones at their worst": (accountant(n=300), [(1, 200), (3, 2)]),
    "no steps": (accountant(), [(1, 0), (1, 4)]),
    "full batches": (accountant(batch=60), [(1, 3), (2, 4)]),
    "whatever the order": (accountant(batches="worst"), [(2, 8), (1, 3)]),
    "rounding": (accountant(rounding="float64", dimension=3), [(1, 5), (2, 9)]),
}
DELTA = 1e-3


def answered(name: str, *, but_last: bool = False) -> UnlearningStream:
    who, happened = CASES[name]
    stream = UnlearningStream(who, sigma=0.9, epsilon=1.0, delta=DELTA)
    for points, steps in happened[: len(happened) - but_last]:
        stream.answer(points, steps)
    return stream


@cache
def written(name: str) -> str:
    return json.dumps(certify_stream(answered(name), CASES[name][1]))


def made(name: str) -> Any:
    return json.loads(written(name))


def law_refused(cert: Any) -> bool:
    """Whether the law alone is refused, whatever the result says: an attacker computes the result that belongs to it."""
    try:
        check.check_law(cert["witness"], check.Terms(cert["inputs"]))
    except (check.Refused, IndexError, KeyError, TypeError, ValueError):
        # As check() takes them.
        return True
    return False


def stated(name: str) -> float:
    curve = stated_after(answered(name, but_last=True), *CASES[name][1][-1]).curve
    return float(Guarantee(**curve.arguments, statement="", assumptions=(), context={}).epsilon(DELTA))


@pytest.mark.parametrize("name", CASES)
def test_a_certificate_proves_what_the_stream_states_to_twelve_digits(name: str) -> None:
    cert = made(name)
    assert reason(cert) is None
    assert cert["version"] == 6
    low, high = (float(end) for end in cert["result"]["epsilon"])
    assert low == pytest.approx(stated(name), rel=2e-12)
    assert high <= float(cert["inputs"]["epsilon"]) <= high * (1 + 1e-11)


def test_the_cases_are_of_every_kind() -> None:
    found = {(made(name)["witness"][0]["group"], any(k["worst"] for k in made(name)["witness"][0]["kinds"])) for name in CASES}
    assert found >= {("tails", False), ("tails", True), ("drawn", True), ("drawn", False), ("replaced", False)}


# --- Against every placement, in numbers of many digits


def strings(cert: Any, *, age: Callable[[int], int]) -> list[list[mpmath.mpf]]:
    """mu of each request's point by the batch that it lies in: of shifts that are looked for here, not read from the file.

    The smallest sum of squares of shifts of which those after each arrival cover what arrives is that of the least concave
    majorant; with all arrivals of one batch it is found by pooling.
    """
    v, period = cert["inputs"], check.Terms(cert["inputs"]).batches
    eta, m, smooth, sigma = (mpmath.mpf(v[key]) for key in ("step_size", "strong_convexity", "smoothness", "sigma"))
    c, change = 1 - min(eta * m, 2 - eta * smooth), (2 if v["adjacency"] == "replace" else 1) * eta * mpmath.mpf(v["lipschitz"])
    sizes = [min(v["batch_size"], v["n"] - j * v["batch_size"]) for j in range(period)]
    found, before = [], 0
    for at, row in enumerate(v["requests"]):
        mus = []
        for j, size in enumerate(sizes):
            window = v["learn_epochs"] * period + before + age(at)
            first = age(at) + (before - 1 - j) % period
            mus.append(
                _best([(r, c**r * change / size) for r in range(first, window, period)], c) / mpmath.sqrt(2 * eta * sigma**2)
            )
        found.append(mus)
        before += row["steps"]
    return found


def _best(arrivals: list[tuple[int, mpmath.mpf]], c: mpmath.mpf) -> mpmath.mpf:
    """The root of the smallest sum of a_r^2 with sum_{s <= r} c^s a_s >= what arrived by r, for every arrival r."""
    clock = lambda r: (1 - c ** (2 * (r + 1))) / (1 - c**2)  # noqa: E731
    owed, pools = mpmath.mpf(0), [(mpmath.mpf(0), mpmath.mpf(0))]
    for r, weight in arrivals:
        owed += weight
        pools.append((clock(r), owed))
        # Slopes must not rise: what is owed early is paid early, by a concave function of the clock.
        while len(pools) > 2 and _slope(pools[-3], pools[-2]) <= _slope(pools[-2], pools[-1]):
            del pools[-2]
    return mpmath.sqrt(sum(_slope(a, b) ** 2 * (b[0] - a[0]) for a, b in itertools.pairwise(pools)))


def _slope(a: tuple[mpmath.mpf, mpmath.mpf], b: tuple[mpmath.mpf, mpmath.mpf]) -> mpmath.mpf:
    return (b[1] - a[1]) / (b[0] - a[0])


def placements(sizes: list[int], requests: list[int]) -> list[tuple[list[tuple[int, ...]], Fraction]]:
    """Every way in which the points of requests lie in batches, without replacement: counts by batch, and its chance."""

    def go(room: tuple[int, ...], left: list[int]) -> list[tuple[list[tuple[int, ...]], Fraction]]:
        if not left:
            return [([], Fraction(1))]
        ways = []
        for counts in itertools.product(*(range(min(size, left[0]) + 1) for size in room)):
            if sum(counts) == left[0]:
                chance = Fraction(
                    int(np.prod([comb(s, k) for s, k in zip(room, counts, strict=True)])), comb(sum(room), left[0])
                )
                rest = tuple(s - k for s, k in zip(room, counts, strict=True))
                ways += [([counts, *more], chance * p) for more, p in go(rest, left[1:])]
        return ways

    return go(tuple(sizes), requests)


def tiny(happened: list[tuple[int, int]], **more: Any) -> Any:
    """A certificate of a stream of few points, of which every placement can be looked at."""
    who = accountant(**{"n": 11, "batch": 3, "learn_epochs": 3, "adjacency": "replace"} | more)
    stream = UnlearningStream(who, sigma=3.0, epsilon=1.0, delta=0.01)
    for points, steps in happened:
        stream.answer(points, steps)
    return json.loads(json.dumps(certify_stream(stream, happened)))


def hockey(epsilon: mpmath.mpf, mu: mpmath.mpf) -> mpmath.mpf:
    return mpmath.ncdf(mu / 2 - epsilon / mu) - mpmath.exp(epsilon) * mpmath.ncdf(-mu / 2 - epsilon / mu)


@pytest.mark.parametrize("happened", [[(1, 4)], [(3, 5)], [(1, 2), (1, 3)], [(2, 3), (2, 4)], [(1, 0), (1, 3), (2, 2)]])
def test_what_is_proved_is_no_less_than_the_average_over_every_placement(happened: list[tuple[int, int]]) -> None:
    with mpmath.workdps(30):
        cert = tiny(happened)
        assert reason(cert) is None
        total = sum(steps for _, steps in happened)
        ages = [total - sum(steps for _, steps in happened[:k]) for k in range(len(happened))]
        mus = strings(cert, age=lambda at: ages[at])
        epsilon, average = mpmath.mpf(cert["result"]["epsilon"][1]), mpmath.mpf(0)
        sizes, every = [3, 3, 3, 2], mpmath.mpf(0)
        for counts, chance in placements(sizes, [points for points, _ in happened]):
            mu = sum(k * mu for row, of in zip(counts, mus, strict=True) for k, mu in zip(row, of, strict=True))
            p = mpmath.mpf(chance.numerator) / chance.denominator
            average, every = average + p * hockey(epsilon, mu), every + p
        assert every == pytest.approx(1)
        assert average <= mpmath.mpf("0.01")
        # And not far above: the certificate is of something.
        assert average > mpmath.mpf("0.002")


@pytest.mark.parametrize(("n", "points", "group"), [(60, 3, "drawn"), (300, 20, "replaced")])
def test_a_group_that_left_next_to_nothing_is_proved_not_to_have_left_more(n: int, points: int, group: str) -> None:
    stream = UnlearningStream(accountant(n=n), sigma=0.9, epsilon=1.0, delta=DELTA)
    stream.answer(points, 3000)
    cert = json.loads(json.dumps(certify_stream(stream, [Happened(points, 3000)])))
    assert cert["witness"][0]["group"] == group
    assert 0 < float(cert["result"]["mu"][1]) < 1e-29
    assert reason(cert) is None


def test_epsilon_is_that_of_the_listed_mixture_by_mpmath() -> None:
    with mpmath.workdps(40):
        for name in ("several", "a group"):
            cert = made(name)
            listed = [(mpmath.mpf(mu), mpmath.mpf(chance)) for mu, chance in cert["witness"][0]["inner"]]
            before = [mpmath.mpf(1), *(chance for _, chance in listed)]
            epsilon, total = mpmath.mpf(cert["result"]["epsilon"][1]), mpmath.mpf(0)
            bend = mpmath.sqrt(2 * epsilon) if name == "a group" else mpmath.inf
            for k, (mu, _) in enumerate(listed):
                value = hockey(epsilon, min(mu, bend)) + max(mu - bend, 0) / mpmath.sqrt(2 * mpmath.pi) if mu else 0
                total += (before[k] - before[k + 1]) * value
            assert abs(total / mpmath.mpf(DELTA) - 1) < mpmath.mpf(10) ** -15


# --- Attacks


@pytest.mark.parametrize("share", [0.04, pytest.param(1.0, marks=pytest.mark.slow)])
def test_every_fact_that_is_changed_is_refused(share: float) -> None:
    """A number by one in its last digit, in both directions, or another word: without and with new digests."""
    rng = np.random.default_rng(7)
    for name in ("several, a smaller last batch", "a group"):
        cert = made(name)
        for path in leaves(cert):
            if rng.random() > share:
                continue
            for new in ulps(at(cert, path)):
                other = copy.deepcopy(cert)
                at(other, path[:-1])[path[-1]] = new
                assert reason(other) is not None, path
                if path[0] in ("witness", "result") and reason(sealed(other)) is None:
                    assert harmless(cert, other, path), path


def harmless(cert: Any, other: Any, path: tuple[Any, ...]) -> bool:
    """What may be said otherwise: larger shifts, larger tails or a longer window prove no less; the same enclosures hold."""
    old, new = at(cert, path), at(other, path)
    if path[0] == "result":
        # Ends are written with room: an end that still lies on its side of the truth may move by less than the width allowed.
        near = abs(Fraction(new) - Fraction(old)) < Fraction(old) / 10**25
        return near or (Fraction(new) < Fraction(old) if path[-1] == 0 else Fraction(new) > Fraction(old))
    if "pieces" in path and path[-1] == 2:
        # They are written a few digits above what covers the differences, as was just verified of the smaller ones.
        return abs(Fraction(new) - Fraction(old)) < Fraction(1, 10**40)
    # Chances of next to nothing: below the digits of every enclosure, and the law still has no larger tails.
    return path[2] in ("cells", "cell", "inner") and not law_refused(other)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        keys = value if isinstance(value, dict) else range(len(value))
        return [found for key in keys for found in leaves(value[key], (*path, key))]
    return [path]


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def ulps(value: Any) -> list[Any]:
    """One more and one less in the last digit that is written, or another word."""
    if isinstance(value, bool) or value is None:
        return [not value]
    if isinstance(value, int):
        return [value + 1, *([value - 1] if value else [])]
    with suppress(ValueError):
        number, places = Fraction(value), len(value.partition(".")[2].partition("e")[0])
        if not number:
            return ["1e-999"]
        exponent = int(value.partition("e")[2] or 0) - places
        step = Fraction(10) ** exponent
        return [mpmath_text(number + step, value), mpmath_text(number - step, value)]
    return [value + " "]


def mpmath_text(number: Fraction, like: str) -> str:
    from accountant.numerics import exact_text, rounded_text

    if number <= 0:
        return "0"
    text = rounded_text(number, 60, up=True)
    return text if Fraction(text) == number else exact_text(number)


@pytest.mark.parametrize("stride", [12, pytest.param(1, marks=pytest.mark.slow)])
def test_lists_with_smaller_tails_are_refused_whatever_the_result_says(stride: int) -> None:
    # Where only convex functions read a group, or its outcomes were pooled, one chance alone leaves some room.
    tight = {
        "one": 1.0,
        "several": 1.0,
        "several, a smaller last batch": 0.8,
        "a group": 0.0,
        "a large group": 0.1,
        "groups": 0.3,
    }
    for name, share in tight.items():
        cert = made(name)
        assert not law_refused(cert)
        inner, count = cert["witness"][0]["inner"], 0
        for row in range(0, len(inner) - 1, stride):
            other = copy.deepcopy(cert)
            other["witness"][0]["inner"][row][1] = f"{float(inner[row][1]) * (1 - 1e-5):.15g}"
            count += law_refused(other)
        assert count >= int(share * len(range(0, len(inner) - 1, stride))), name
        other = copy.deepcopy(cert)
        other["witness"][0]["inner"] = [[f"{float(mu) * (1 - 1e-6):.15g}", chance] for mu, chance in inner]
        assert law_refused(other), name
        other = copy.deepcopy(cert)
        other["witness"][0]["inner"] = [[mu, f"{float(chance) * 0.97:.15g}"] for mu, chance in inner]
        assert law_refused(other), name
        other = copy.deepcopy(cert)
        other["inputs"]["rounding"] = "0.001"
        assert law_refused(other), name


def change(name: str, **values: Any) -> Callable[[Any], object]:
    return lambda cert: cert["inputs"].update({name: values["to"]})


def row(k: int, **values: int) -> Callable[[Any], object]:
    return lambda cert: cert["inputs"]["requests"][k].update(values)


def witness(**values: Any) -> Callable[[Any], object]:
    return lambda cert: cert["witness"][0].update(values)


def kinds(**values: Any) -> Callable[[Any], object]:
    return lambda cert: [kind.update(values) for kind in cert["witness"][0]["kinds"]]


def shifts(factor: Fraction) -> Callable[[Any], object]:
    def scaled(cert: Any) -> None:
        for kind in cert["witness"][0]["kinds"]:
            for piece in itertools.chain(*kind["pieces"]):
                piece[2] = str(Fraction(piece[2]) * factor)

    return scaled


def swapped(cert: Any) -> None:
    pieces = cert["witness"][0]["kinds"][-1]["pieces"]
    pieces[0], pieces[-1] = pieces[-1], pieces[0]


def fewer_epochs(cert: Any) -> None:
    for kind in cert["witness"][0]["kinds"]:
        kind["epochs"] -= 1


def without_the_last_batch(cert: Any) -> None:
    cert["witness"][0]["kinds"][-1]["pieces"].pop()


def without_the_largest(cert: Any) -> None:
    # That of a group's list is where what is next to nothing went; the one before it may well be the largest.
    inner = cert["witness"][0]["inner"]
    del inner[-2:]
    inner[-1][1] = "0"


EVERY = tuple(CASES)
CHEATS: list[tuple[tuple[str, ...], Callable[[Any], object]]] = [
    (EVERY, shifts(1 - Fraction(1, 10**20))),
    (("several", "a group", "several, a smaller last batch"), swapped),
    (EVERY, without_the_last_batch),
    (("several", "a group", "groups", "one", "a large group"), without_the_largest),
    (("several", "a group", "groups", "one", "full batches", "whatever the order"), fewer_epochs),
    (EVERY, row(-1, points=40)),
    (EVERY, row(-1, steps=1)),
    (("several", "groups", "several, points dropped"), row(0, points=4)),
    (("several", "groups"), row(0, steps=1)),
    (EVERY, change("sigma", to="0.89")),
    (("several", "a group", "one"), change("lipschitz", to="1.0000000001")),
    (("several", "a group", "one"), change("batch_size", to=14)),
    (("several", "a group", "one"), change("adjacency", to="replace")),
    (("several", "a group", "one"), change("strong_convexity", to="0.049")),
    (("several", "a group", "one"), change("learn_epochs", to=7)),
    (("several",), change("n", to=59)),
    # Dropped points never differ: kept in a smaller batch of their own they do.
    (("several, points dropped", "a group, points dropped"), change("last_batch", to="keep")),
    # Averages for those who were promised the worst, and the law of a group for those whose earlier requests are averaged.
    (("several", "a group", "one"), change("placement", to="worst")),
    (("several", "groups"), witness(group="drawn")),
    (("several", "groups"), witness(group="replaced")),
    (("a group", "a group, points dropped"), witness(group="tails")),
    (("a large group",), witness(group="tails")),
    (("several", "groups"), kinds(worst=True)),
    (("several",), witness(requests=[0, 0, 2])),
    (("several",), witness(requests=[0, 1])),
    (("several", "a group"), witness(cell="0")),
    (("several", "a group", "one"), witness(outer=[["1", "0"]])),
    (("several", "a group", "one"), witness(inner=[])),
]


@pytest.mark.parametrize("number", range(len(CHEATS)))
def test_cheats_are_refused_whatever_the_result_says(number: int) -> None:
    names, cheat = CHEATS[number]
    for name in names:
        cert = made(name)
        cheat(cert)
        assert cert != made(name), name
        assert law_refused(cert), name
        assert reason(sealed(cert)) is not None, name


def test_a_law_that_takes_points_as_independent_is_refused() -> None:
    """The witness of another stream of the same shifts, of so many points that being elsewhere does not matter."""
    few, many = accountant(n=60), accountant(n=6000, batch=1500)
    # The same shifts for batches of 15 and of 1500 need a hundred times the Lipschitz constant.
    cert = made("several")
    stream = UnlearningStream(
        UnlearningAccountant(PNSGD(Problem(n=6000, smoothness=1.0, strong_convexity=0.05, lipschitz=100.0,
                                           adjacency="zero-out"), 1500, learn_epochs=6, step_size=0.5)),
        sigma=0.9, epsilon=1.0, delta=DELTA,
    )  # fmt: skip
    for points, steps in CASES["several"][1]:
        stream.answer(points, steps)
    other = json.loads(json.dumps(certify_stream(stream, CASES["several"][1])))
    assert reason(other) is None
    assert few.steps_per_epoch == many.steps_per_epoch
    assert Fraction(other["result"]["epsilon"][1]) < Fraction(cert["result"]["epsilon"][1])
    other["inputs"] |= {"n": 60, "batch_size": 15, "lipschitz": "1"}
    assert law_refused(other)


def test_fixed_texts_and_schema_are_those_of_the_checker() -> None:
    lists = [law_texts.PARTS_THEOREMS, law_texts.PARTS_ASSUMPTIONS, law_texts.PARTS_LIMITS]
    assert digest(lists)[7:39] == check.FIXED_TEXTS[6]
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json_schema(6))
    for name in CASES:
        validator.validate(made(name))


# --- Refused, with the reason


def test_groups_that_a_checker_does_not_follow_are_refused() -> None:
    for n, points, why in ((300, 129, "at most 128 of them"), (300, 160, "more than half"), (60, 40, "more than half")):
        stream = UnlearningStream(accountant(n=n), sigma=0.9, epsilon=1.0, delta=DELTA)
        stream.answer(points, 200)
        with pytest.raises(InputError, match=f"of {points} points of a partition at once.* {why}"):
            certify_stream(stream, [Happened(points, 200)])


@pytest.mark.slow
def test_the_largest_group_that_is_not_refused_is_one_that_the_checker_has_the_time_for() -> None:
    stream = UnlearningStream(accountant(n=300), sigma=0.9, epsilon=1.0, delta=DELTA)
    stream.answer(128, 200)
    cert = json.loads(json.dumps(certify_stream(stream, [Happened(128, 200)])))
    assert cert["witness"][0]["group"] == "replaced"
    assert reason(cert) is None


def test_what_only_a_ball_makes_small_has_no_certificate() -> None:
    for happened in ([(1, 1), (2, 2)], [(1, 60)]):
        stream = UnlearningStream(accountant(radius=0.02, learn_epochs=None), sigma=0.9, epsilon=1.0, delta=DELTA)
        for points, steps in happened:
            stream.answer(points, steps)
        with pytest.raises(InputError, match="radius"):
            certify_stream(stream, happened)


def test_an_estimator_of_a_partition_certifies_its_guarantee(tmp_path: Any) -> None:
    from accountant.trainer import PNSGDClassifier

    rng = np.random.default_rng(3)
    x = rng.standard_normal((200, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    options: dict[str, Any] = {"assignment": "partition", "adjacency": "zero-out", "epsilon": 1.0, "delta": 1e-3}
    model = PNSGDClassifier(**options, batch_size=30, random_state=0).fit(x, x[:, 0] > 0)
    path = tmp_path / "certificate.json"
    for rows in ([3], [5, 6, 7], [9]):
        model.unlearn(rows)
        model.certify(path)
        cert = json.loads(path.read_text())
        assert reason(cert) is None
        assert cert["version"] == 6
        assert float(cert["inputs"]["epsilon"]) == pytest.approx(float(model.guarantee_.epsilon(1e-3)), rel=1e-11)
    model.save(tmp_path / "model.npz")
    PNSGDClassifier.load(tmp_path / "model.npz").certify(path)
    assert reason(json.loads(path.read_text())) is None
