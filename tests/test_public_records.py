"""Public records lower the sensitivity by making batches larger, and are not among those whose place is averaged over."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np
import oracle_rewind as truth
import pytest
from mpmath import mp, mpf

from accountant import PNSGD, InputError, Learn, Problem, Schedule, Unlearn, UnlearningAccountant, UnlearningStream, preset
from accountant.averaging import Placing
from accountant.bounds import BOUNDS
from accountant.certificates import certify
from accountant.methods import METHODS, compare
from accountant.questions import Setup
from accountant.trainer import Logistic, Trainer


def layout(n: int, size: int, share: str) -> list[list[bool]]:
    """Whether each place of each batch is private: the first places of a batch are public, as many as the share allows."""
    batches = []
    for start in range(0, n, size):
        length = min(size, n - start)
        public = 0
        while Fraction(public + 1) <= Fraction(share) * length:
            public += 1
        batches.append([place >= public for place in range(length)])
    return batches


def exact_mu(algorithm: PNSGD, counts: list[int], steps: int, sigma: float) -> mpf:
    """mu of the two Gaussians that noisy SGD leaves on f(x; d) = (m/2) x^2 + M d x, with so many deleted points per batch."""
    problem, sizes = algorithm.problem, [int(size) for size in algorithm.batch_sizes(range(algorithm.steps_per_epoch))]
    loss = {
        "eta": Fraction(algorithm.eta),
        "curvature": Fraction(problem.strong_convexity),
        "gradient": Fraction(problem.lipschitz),
    }
    stand_in = -1 if problem.adjacency == "replace" else 0
    length = (algorithm.learn_epochs or 0) * len(sizes)
    distance = truth.descended(
        sizes, counts, [stand_in * count for count in counts], epochs=algorithm.learn_epochs or 0, steps=steps, **loss
    )
    kept = (1 - loss["eta"] * loss["curvature"]) ** 2
    variance = 2 * loss["eta"] * sum((kept**k for k in range(length + steps)), Fraction(0))
    return mpf(distance.numerator) / distance.denominator / mp.sqrt(mpf(variance.numerator) / variance.denominator) / mpf(sigma)


def drawn(rng: np.random.Generator, *, most: int = 14) -> tuple[PNSGD, str]:
    n = int(rng.integers(2, most))
    share = str(rng.choice(["0.25", "0.29", "0.5", "0.6", "0.9"]))
    problem = Problem(
        n=n,
        smoothness=1.0,
        strong_convexity=float(rng.choice([0.125, 0.25, 0.5])),
        lipschitz=float(rng.choice([0.5, 1.0])),
        adjacency=str(rng.choice(["replace", "zero-out"])),
    )
    size, epochs = int(rng.integers(1, n + 1)), int(rng.integers(1, 4))
    return PNSGD(problem, size, step_size=0.5, learn_epochs=epochs, public_share=float(share)), share


@mp.workdps(30)
def test_single_private_records_are_averaged_over_the_private_places() -> None:
    """2000 random problems: never below the exact Gaussians; equal where the string is a chord."""
    rng = np.random.default_rng(31)
    tight = 0
    for _ in range(2000):
        algorithm, share = drawn(rng)
        places = layout(algorithm.problem.n, int(algorithm.batch_size), share)
        steps, per_epoch = int(rng.integers(0, 8)), len(places)
        private = [sum(batch) for batch in places]
        assert algorithm.private_sizes(range(per_epoch)).tolist() == private
        assert algorithm.private_records == sum(private)
        sigma = float(10 ** rng.uniform(-1, 0.5)) / int(algorithm.batch_size)
        exact = mpf(0)
        for batch, count in enumerate(private):
            mu = exact_mu(algorithm, [int(at == batch) for at in range(per_epoch)], steps, sigma)
            exact += mpf(count) / sum(private) * truth.gaussian_delta(mpf("0.5"), mu)
        found = UnlearningAccountant(algorithm).delta(sigma=sigma, epsilon=0.5, steps=steps)
        assert exact <= found, algorithm
        tight += found <= exact * (1 + mpf("1e-9"))
    assert tight > 300


@mp.workdps(30)
def test_groups_of_private_records_are_averaged_over_all_their_places() -> None:
    rng = np.random.default_rng(32)
    for _ in range(150):
        algorithm, share = drawn(rng, most=9)
        places = layout(algorithm.problem.n, int(algorithm.batch_size), share)
        slots = [batch for batch, row in enumerate(places) for private in row if private]
        if len(slots) < 2:
            continue
        points, steps = int(rng.integers(2, len(slots) + 1)), int(rng.integers(1, 8))
        sigma = float(10 ** rng.uniform(-0.5, 0.5)) / int(algorithm.batch_size)
        chosen = list(combinations(slots, points))
        deltas = []
        for some in chosen:
            counts = [some.count(batch) for batch in range(len(places))]
            deltas.append(truth.gaussian_delta(mpf("0.5"), exact_mu(algorithm, counts, steps, sigma)))
        question: dict[str, Any] = {"sigma": sigma, "epsilon": 0.5, "steps": steps}
        assert sum(deltas) / len(deltas) <= UnlearningAccountant(algorithm, group_size=points).delta(**question)
        assert max(deltas) <= UnlearningAccountant(algorithm, group_size=points, batches="worst").delta(**question)


def test_as_many_public_records_as_private_ones_halve_the_noise() -> None:
    """n and b count all records, so that the number of batches stays; the same private records, the same target."""
    for size in (1000, 50, 10):
        alone = UnlearningAccountant(PNSGD(Problem(n=1000, smoothness=1.0, strong_convexity=0.1), size))
        joined = UnlearningAccountant(PNSGD(Problem(n=2000, smoothness=1.0, strong_convexity=0.1), 2 * size, public_share=0.5))
        for points in (1, 7):
            whole, half = (
                UnlearningAccountant(one.algorithm, group_size=points).sigma(epsilon=1.0, delta=1e-4, epochs=1)
                for one in (alone, joined)
            )
            assert half == pytest.approx(whole / 2, rel=1e-9)


def test_equal_shares_change_nothing_for_single_records() -> None:
    algorithm = PNSGD(preset("mnist"), 128)
    for share in (0.25, 0.5):
        shared = PNSGD(preset("mnist"), 128, public_share=share)
        found = [UnlearningAccountant(one).sigma(epsilon=1.0, delta=1e-5, epochs=1) for one in (algorithm, shared)]
        assert found[0] == pytest.approx(found[1], rel=1e-12)


def test_the_share_is_the_decimal_that_it_was_typed_as() -> None:
    """0.29 * 100 is less than 29 in doubles."""
    assert PNSGD(Problem(n=100, smoothness=1.0), public_share=0.29).private_records == 71


def test_methods_on_one_release_average_over_private_places_too() -> None:
    algorithm = PNSGD(Problem(n=10, smoothness=1.0, strong_convexity=0.25), 4, step_size=0.5, learn_epochs=3, public_share=0.5)
    assert algorithm.private_sizes(range(3)).tolist() == [2, 2, 1]
    for name in ("rewind-exact", "rewind-smooth", "d2d-stochastic"):
        weights, _ = METHODS[name].components(Setup(algorithm), np.array([1.0]))  # type: ignore[attr-defined]
        assert np.exp(weights).tolist() == pytest.approx([0.4, 0.4, 0.2])


def test_no_more_than_the_private_records_can_be_deleted() -> None:
    algorithm = PNSGD(Problem(n=100, smoothness=1.0, strong_convexity=0.1), 10, public_share=0.8)
    for make in (Setup, UnlearningAccountant):
        make(algorithm, group_size=20)
        with pytest.raises(InputError, match=r"group_size must be .*20"):
            make(algorithm, group_size=21)
    with pytest.raises(InputError, match="at most 2 points in batch 0"):
        Placing.of(BOUNDS["optimal"], Setup(algorithm).setting, (3, *[0] * 9), None)
    rows = {row.method: row for row in compare(Setup(PNSGD(algorithm.problem, public_share=0.8)), epsilon=1.0, delta=1e-3)}
    assert rows["langevin"].sigma is not None
    assert rows["secret"].sigma is None


@pytest.mark.parametrize("share", [-0.1, 1.0, 1.5, float("nan"), "a", True, 1e-320])
def test_shares_out_of_range_are_refused(share: Any) -> None:
    with pytest.raises(InputError, match="public_share"):
        PNSGD(Problem(n=10, smoothness=1.0), public_share=share)


def test_what_takes_every_record_for_private_refuses_a_share() -> None:
    loss = Logistic(regularisation=0.1)
    algorithm = PNSGD(loss.problem(100), 10, public_share=0.5)
    accountant = UnlearningAccountant(algorithm)
    for act in (
        lambda: PNSGD(Problem(n=10, smoothness=1.0), 5, assignment="secret", public_share=0.5),
        lambda: UnlearningStream(accountant, sigma=1.0, epsilon=1.0),
        lambda: certify(accountant, sigma=1.0, epsilon=1.0, delta=1e-3, steps=3),
        lambda: UnlearningAccountant(algorithm, batches="reshuffle").epsilon(sigma=1.0, delta=1e-3, steps=3),
        lambda: UnlearningAccountant(algorithm, schedule=Schedule([Learn(epochs=3), Unlearn(steps=2, sigma=2.0)])).epsilon(
            sigma=1.0, delta=1e-3
        ),
        lambda: Trainer(loss, algorithm, sigma=0.1),
    ):
        with pytest.raises(InputError, match="public_share"):
            act()
    with pytest.raises(InputError, match="last_batch must be keep with public_share"):
        PNSGD(Problem(n=11, smoothness=1.0), 5, last_batch="drop", public_share=0.5)
