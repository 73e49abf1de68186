"""Streams of requests: the published recursions exactly, and never below the minorant or exact Gaussians of the whole run."""

import csv
import itertools
import json
import math
import re
from collections import defaultdict
from typing import Any

import numpy as np
import oracle
import oracle_deletions
import pytest
from conftest import DATA
from problems import random_algorithm
from test_groups import settings

from accountant import (
    PNSGD,
    InputError,
    Problem,
    UnlearningAccountant,
    UnlearningStream,
    UnreachableError,
    gdp_delta,
    mixture_delta,
    optimal_shifts,
    preset,
)
from accountant.bounds import optimal

MNIST = UnlearningAccountant(PNSGD(preset("mnist")))
SMALL = UnlearningAccountant(PNSGD(Problem(n=60, smoothness=1.0, strong_convexity=0.2), 6))


def stream(accountant: UnlearningAccountant, **words: Any) -> UnlearningStream:
    return UnlearningStream(accountant, **({"sigma": 0.03, "epsilon": 1.0} | words))


@pytest.mark.parametrize(
    ("bound", "first", "total", "begins"),
    [
        ("optimal", None, 358, [0, 0, 0, 0, 0, 2, 4, 4]),
        ("paper", None, 1786, [4, 18, 18, 18]),
        ("paper-geometric", "paper", 887, [4, 4, 7, 8, 9]),
        ("paper-geometric", None, 886, [2, 5, 7, 8, 9]),
    ],
)
def test_a_hundred_requests_of_mnist(bound: str, first: str | None, total: int, begins: list[int]) -> None:
    for unit in ("epochs", "steps"):
        steps = stream(MNIST.with_(bound=bound), unit=unit, first_bound=first).request_all(np.ones(100))
        assert steps.sum() == total
        assert steps[: len(begins)].tolist() == begins


@pytest.mark.parametrize("bound", ["optimal", "paper"])
def test_requests_ahead_are_those_that_follow_and_leave_the_stream_as_it_is(bound: str) -> None:
    now = stream(SMALL.with_(bound=bound))
    now.request(2)
    before = now.to_json()
    ahead = now.ahead()
    looked = [ahead.request(1) for _ in range(5)]
    assert now.to_json() == before
    assert [now.request(1) for _ in range(5)] == looked
    assert now.to_json() == ahead.to_json() != before


@pytest.mark.skipif(not (DATA / "k_lists.csv").exists(), reason="the published K-lists are not beside the project")
def test_every_reproducible_entry_of_the_published_k_lists() -> None:
    lists: dict[tuple[str, ...], list[tuple[int, int]]] = defaultdict(list)
    with open(DATA / "k_lists.csv", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["reproducible"] == "1":
                key = (row["dataset"], row["batch_size"], row["sigma"], row["target_epsilon"])
                lists[key].append((int(row["request_index"]), int(row["k_epochs"])))
    assert sum(len(entries) for entries in lists.values()) == 2600
    for (dataset, batch_size, sigma, epsilon), entries in lists.items():
        algorithm = PNSGD(preset(dataset.lower()), int(batch_size) or "full")
        found = stream(
            UnlearningAccountant(algorithm, bound="paper-geometric"),
            sigma=float(sigma),
            epsilon=float(epsilon),
            unit="epochs",
            first_bound="paper",
        ).request_all(np.ones(100))
        published = [epochs for _, epochs in sorted(entries)]
        assert (found // algorithm.steps_per_epoch)[: len(published)].tolist() == published


def test_one_request_is_the_accountants_answer() -> None:
    for batch_size in (32, 128, 11_264):
        for bound in ("optimal", "paper"):
            for batches in ("random", "worst"):
                accountant = UnlearningAccountant(PNSGD(preset("mnist"), batch_size), bound=bound, batches=batches)
                for sigma in (0.001, 0.03):
                    assert stream(accountant, sigma=sigma).request() == accountant.steps(sigma=sigma, epsilon=1.0)
                    in_epochs = stream(accountant, sigma=sigma, unit="epochs").request()
                    assert in_epochs == accountant.epochs(sigma=sigma, epsilon=1.0) * accountant.steps_per_epoch


def test_single_steps_of_small_batches_take_under_a_tenth_of_an_epoch() -> None:
    accountant = UnlearningAccountant(PNSGD(preset("mnist"), 32))
    assert 10 * stream(accountant).request() < accountant.steps_per_epoch == 352


def worst_positions(algorithm: PNSGD, points: int, done: int) -> list[int]:
    """The batches visited last, filled one after the other."""
    period, size = algorithm.steps_per_epoch, int(algorithm.batch_size)
    positions: list[int] = []
    for back in range(period):
        positions += [(done - 1 - back) % period] * size
        if len(positions) >= points:
            break
    return positions[:points]


@pytest.mark.parametrize("unit", ["steps", "epochs"])
def test_the_minorant_and_the_exact_gaussians_of_the_whole_run(unit: str) -> None:
    """Equal where every string is its chord, which is from (J - 2)/2 steps on; otherwise above, by the factor of one string."""
    rng = np.random.default_rng(21)
    equal = above = 0
    for case in range(120):
        period = int(rng.integers(1, 9))
        size = int(rng.integers(2, 5))
        algorithm = PNSGD(
            Problem(n=period * size * 9, smoothness=1.0, strong_convexity=float(rng.uniform(0.02, 0.6))),
            size * 9,
            step_size=float(rng.uniform(0.2, 1)),
        )
        accountant = UnlearningAccountant(algorithm, batches="worst")
        one = accountant.guarantee(sigma=1.0, steps=0).mu_worst
        run = stream(accountant, sigma=1.0, epsilon=float(one * rng.uniform(0.1, 3)), delta=0.05, unit=unit)
        learn_epochs = math.ceil(-50 / (algorithm.log_contraction * period)) + 1
        requests: list[dict[str, Any]] = []
        done = 0
        straight = True
        for _ in range(int(rng.integers(1, 6))):
            points = int(rng.integers(1, 4))
            positions = worst_positions(algorithm, points, done)
            steps = run.request(points)
            done += steps
            requests.append({"positions": positions, "steps": steps})
            straight &= 2 * steps >= period - 2 and points <= size * 9
            arrays = oracle_deletions.unrolled_stream(learn_epochs=learn_epochs, requests=requests, **settings(algorithm))
            c, h, variance = (np.array(a, dtype=float) for a in arrays)
            exact = optimal_shifts(contraction=c, sensitivity=h, noise_std=np.sqrt(variance))
            assert run.mu_worst is not None
            assert run.mu_worst >= exact.mu * (1 - 1e-12), case
            assert exact.mu_exact is not None
            assert run.mu_worst >= exact.mu_exact * (1 - 1e-12)
            assert float(oracle.gdp_delta(epsilon=run.epsilon, mu=exact.mu)) <= 0.05
            if straight:
                assert run.mu_worst == pytest.approx(exact.mu, rel=1e-10)
                equal += 1
            else:
                assert run.mu_worst <= exact.mu * 2.2
                above += 1
        if case % 20 == 0 and algorithm.eta * (1 + algorithm.problem.strong_convexity) <= 2:
            difference, spread = oracle_deletions.gaussian_stream(
                learn_epochs=learn_epochs, requests=requests, **settings(algorithm)
            )
            gauss = abs(difference) / oracle.mp.sqrt(spread)
            assert run.mu_worst >= float(gauss) * (1 - 1e-12)
            if straight:
                assert run.mu_worst == pytest.approx(float(gauss), rel=1e-10)
    assert equal > 60
    assert unit == "epochs" or above > 50


@pytest.mark.parametrize("batch_size", [4, 5, 12])
@pytest.mark.parametrize("learn_epochs", [None, 2])
def test_all_requests_are_averaged_over_their_batches(batch_size: int, learn_epochs: int | None) -> None:
    """The mixture of minorants over all positions, drawn without replacement, meets the target every time."""
    algorithm = PNSGD(Problem(n=12, smoothness=1.0, strong_convexity=0.2), batch_size, learn_epochs=learn_epochs)
    period, sizes = algorithm.steps_per_epoch, algorithm.batch_sizes(np.arange(algorithm.steps_per_epoch))
    accountant = UnlearningAccountant(algorithm)
    # delta(mu) at epsilon = 0.5 stays meaningful: a tenth of the noise that needs no step.
    sigma = accountant.sigma(epsilon=0.5, delta=0.01, steps=0) / 3
    run = stream(accountant, sigma=sigma, epsilon=0.5, delta=0.01)
    answered: list[int] = []
    for _ in range(4):
        answered.append(run.request())
        weights, mus = [], []
        for tuples in itertools.product(range(period), repeat=len(answered)):
            # Named one after the other, of the places that are left.
            weights.append(math.prod((sizes[j] - tuples[:k].count(j)) / (12 - k) for k, j in enumerate(tuples)))
            if weights[-1] <= 0:
                weights.pop()
                continue
            arrays = oracle_deletions.unrolled_stream(
                learn_epochs=learn_epochs or 40,
                requests=[{"positions": [j], "steps": steps} for j, steps in zip(tuples, answered, strict=True)],
                **settings(algorithm),
            )
            c, h, variance = (np.array(a, dtype=float) for a in arrays)
            mus.append(optimal_shifts(contraction=c, sensitivity=h, noise_std=np.sqrt(variance) * sigma).mu)
        assert sum(weights) == pytest.approx(1)
        assert mixture_delta(epsilon=0.5, weights=np.array(weights) / sum(weights), mu=mus) <= 0.01
    assert sum(answered) > 0


def test_random_is_never_more_steps_than_worst() -> None:
    for batch_size in (6, 7, 13):
        algorithm = PNSGD(Problem(n=60, smoothness=1.0, strong_convexity=0.2), batch_size)
        for points in (1, 4):
            random, worst = (
                stream(UnlearningAccountant(algorithm, batches=batches), sigma=0.05).request_all(np.full(10, points))
                for batches in ("random", "worst")
            )
            assert random.sum() <= worst.sum()


def test_without_contraction_the_sum_of_mu_is_carried() -> None:
    rng = np.random.default_rng(22)
    for _ in range(25):
        period, size = int(rng.integers(1, 6)), int(rng.integers(1, 4))
        algorithm = PNSGD(Problem(n=period * size * 3, smoothness=1.0), size * 3, learn_epochs=int(rng.integers(1, 9)))
        accountant = UnlearningAccountant(algorithm, batches="worst")
        one = accountant.guarantee(sigma=1.0, steps=0).mu_worst
        run = stream(accountant, sigma=1.0, epsilon=float(one * rng.uniform(0.5, 3)), delta=0.05)
        requests: list[dict[str, Any]] = []
        done = 0
        for _ in range(3):
            try:
                steps = run.request()
            except UnreachableError:
                break
            requests.append({"positions": [(done - 1) % period], "steps": min(steps, 4000)})
            done += steps
            if steps > 4000:
                break
            arrays = oracle_deletions.unrolled_stream(
                learn_epochs=int(algorithm.learn_epochs or 0), requests=requests, **settings(algorithm)
            )
            c, h, variance = (np.array(a, dtype=float) for a in arrays)
            exact = optimal_shifts(contraction=c, sensitivity=h, noise_std=np.sqrt(variance)).mu
            assert run.mu_worst is not None
            assert run.mu_worst >= exact * (1 - 1e-12)


def test_with_a_radius_every_request_is_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    """By strings; blocks, which prove more, are in test_ball.py."""
    monkeypatch.setattr(optimal.Optimal, "ball", lambda self, setting: None)
    rng = np.random.default_rng(23)
    for _ in range(40):
        algorithm = random_algorithm(rng, last_batch="keep", radius=float(10 ** rng.uniform(-2, 0.5)))
        accountant = UnlearningAccountant(algorithm, batches="worst")
        one = accountant.guarantee(sigma=1.0, steps=0).mu_worst
        run = stream(accountant, sigma=1.0, epsilon=float(one * rng.uniform(0.3, 2)), delta=0.05)
        requests: list[dict[str, Any]] = []
        done = 0
        for _ in range(3):
            position = (done - 1) % algorithm.steps_per_epoch
            room = algorithm.batch_sizes(position) - sum(r["positions"].count(position) for r in requests)
            try:
                steps = run.request()
            except InputError:
                break
            if done + steps > 3000 or room < 1:
                break
            requests.append({"positions": [position], "steps": steps})
            done += steps
            arrays = oracle_deletions.unrolled_stream(
                learn_epochs=int(algorithm.learn_epochs or 0), requests=requests, **settings(algorithm)
            )
            c, h, variance = (np.array(a, dtype=float) for a in arrays)
            exact = optimal_shifts(contraction=c, sensitivity=h, noise_std=np.sqrt(variance), diameter=algorithm.diameter).mu
            assert float(oracle.gdp_delta(epsilon=run.epsilon, mu=exact)) <= 0.05


def test_the_published_recursion_by_hand() -> None:
    """Z^(s+1) = min(c^N Z^(s) + Z_B, 2R), through the accountant's start_distance."""
    algorithm = PNSGD(preset("mnist"), 512, radius=2e-4)
    accountant = UnlearningAccountant(algorithm, bound="paper")
    z_b = 2 * algorithm.eta / 512 / (1 - algorithm.contraction**22)
    run = stream(accountant, sigma=0.02)
    distance = 0.0
    for points in (1, 3, 1, 2, 5):
        distance = min(distance + points * z_b, 4e-4)
        steps = run.request(points)
        assert steps == accountant.steps(sigma=0.02, epsilon=1.0, start_distance=distance)
        distance *= algorithm.contraction**steps
    assert run.mu_worst is None


def test_requests_that_wait_are_merged() -> None:
    merged, at_once = stream(SMALL, sigma=0.02), stream(SMALL, sigma=0.02)
    merged.arrive(2)
    merged.arrive()
    assert merged.process() == at_once.request(3)
    assert merged.process() == 0
    assert (merged.requests, merged.points, merged.total_steps) == (1, 3, at_once.total_steps)
    merged.arrive(2)
    assert merged.request(2) == at_once.request(4)


def test_the_state_is_a_few_numbers_and_travels_as_json() -> None:
    for accountant in (SMALL, SMALL.with_(bound="paper"), UnlearningAccountant(PNSGD(preset("mnist"), 100))):
        run = stream(accountant, sigma=0.02)
        run.request_all([1, 2, 1])
        run.arrive(2)
        text = run.to_json()
        # But for the law of what averaged requests left.
        assert len(text) < (60_000 if accountant.bound == "optimal" else 1500)
        assert len(re.sub(r'"tail": "[^"]*"', "", text)) < 1500
        again = UnlearningStream.from_json(text, accountant)
        assert again.to_json() == text
        assert again.mu_worst == run.mu_worst
        assert [again.request(p) for p in (1, 1, 3)] == [run.request(p) for p in (1, 1, 3)]
        assert again.to_json() == run.to_json()


def test_a_long_stream_keeps_the_target_and_its_state_small() -> None:
    accountant = UnlearningAccountant(PNSGD(Problem(n=200_000, smoothness=0.26, strong_convexity=0.01)))
    run = stream(accountant, sigma=0.003)
    steps = run.request_all(np.ones(100_000))
    assert run.requests == 100_000
    assert run.total_steps == steps.sum()
    assert len(run.to_json()) < 1500
    # In the steady state the worst mu stays at what the target allows, up to one step.
    assert run.mu_worst is not None
    allowed = float(oracle.gdp_mu(epsilon=1.0, delta=1 / 200_000))
    assert allowed * accountant.algorithm.contraction <= run.mu_worst <= allowed


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.update(format=2), "must have format 1"),
        (lambda d: d["settings"].update(sigma=0.5, bound="paper"), "stream state belongs to bound = 'paper'"),
        (lambda d: d["settings"]["problem"].update(n=61), "stream state belongs to problem"),
        (lambda d: d["settings"].pop("unit"), "must have settings with"),
        (lambda d: d["state"].pop("mu"), "stream state must hold"),
        (lambda d: d["state"].update(distance=-1), "distance of the stream state must be"),
        (lambda d: d["state"].update(points=61), "points of the stream state must be a whole number from 0 to 60"),
        (lambda d: d.update(pending=True), "pending of the stream state"),
        (lambda d: d.pop("pending"), "exactly the keys"),
    ],
)
def test_a_state_of_something_else_is_refused(change: Any, says: str) -> None:
    run = stream(SMALL)
    run.request()
    data = json.loads(run.to_json())
    change(data)
    with pytest.raises(InputError) as error:
        UnlearningStream.from_json(json.dumps(data), SMALL)
    assert says in str(error.value)
    for text in ("[]", "{", "null"):
        with pytest.raises(InputError, match="stream state must"):
            UnlearningStream.from_json(text, SMALL)


@pytest.mark.parametrize(
    ("accountant", "words", "says"),
    [
        (SMALL.with_(batches=3), {}, "batches must be random or worst for a stream"),
        (SMALL.with_(batches="reshuffle"), {}, "batches must be random or worst for a stream"),
        (SMALL.with_(group_size=2), {}, "group_size must be 1 for a stream"),
        (SMALL.with_(reference=9), {}, "reference must be matched or converged"),
        (
            UnlearningAccountant(PNSGD(preset("mnist"), radius=1.0, learn_epochs=3), reference="converged"),
            {},
            "reference must be matched for a stream after finite learning",
        ),
        (SMALL, {"unit": "days"}, "unit must be one of steps, epochs"),
        (SMALL, {"sigma": 0.0}, "sigma must be"),
        (SMALL, {"delta": 1.0}, "delta must be"),
        (SMALL, {"first_bound": "paper"}, "goes with a published bound"),
        (SMALL.with_(bound="paper"), {"first_bound": "optimal"}, "first_bound must be one of paper, paper-geometric"),
        (
            UnlearningAccountant(PNSGD(preset("mnist"), radius=1.0, learn_epochs=3), bound="paper"),
            {},
            "learn_epochs must be left out",
        ),
        (UnlearningAccountant(PNSGD(Problem(n=9, smoothness=1.0))), {}, "unbounded"),
    ],
)
def test_what_a_stream_does_not_cover_is_refused(accountant: UnlearningAccountant, words: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as error:
        stream(accountant, **words)
    assert says in str(error.value)


def test_bad_requests_leave_the_stream_as_it_was() -> None:
    run = stream(SMALL, sigma=0.05)
    run.request(2)
    before = run.to_json()
    for points, says in ((0, "points must be"), (59, "points must be at most 58, what is left"), (1.5, "points must be")):
        with pytest.raises(InputError, match=says):
            run.request(points)
    with pytest.raises(InputError, match="one-dimensional"):
        run.request_all([[1]])
    assert run.to_json() == before
    convex = UnlearningAccountant(PNSGD(Problem(n=9, smoothness=1.0), learn_epochs=3))
    stuck = stream(convex, sigma=1e-12)
    with pytest.raises(UnreachableError, match="no number of steps"):
        stuck.request()
    assert (stuck.pending, stuck.requests) == (0, 0)


def test_large_constants_and_tiny_noise() -> None:
    large = UnlearningAccountant(PNSGD(Problem(n=19, lipschitz=1e200, smoothness=1.0, strong_convexity=0.5), 10))
    assert stream(large, sigma=1e200, delta=1e-5).request() == large.steps(sigma=1e200, epsilon=1.0, delta=1e-5)
    # The first request is let off because its point is dropped with probability 9/19; the second pays for what it left.
    dropping = UnlearningAccountant(
        PNSGD(Problem(n=19, smoothness=1.0, strong_convexity=0.5), 10, learn_epochs=5, last_batch="drop")
    )
    run = stream(dropping, sigma=1e-145, delta=0.6)
    steps = [run.request(), run.request()]
    assert steps[0] == 0
    old = dropping.with_(batches="worst").guarantee(sigma=1e-145, steps=steps[1]).mu_worst
    assert gdp_delta(epsilon=1.0, mu=old) <= 0.6
