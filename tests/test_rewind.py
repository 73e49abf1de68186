"""Rewind-to-Delete and stochastic Descent-to-Delete against runs on losses that attain the bounds."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import oracle_rewind as truth
import pytest
from mpmath import mp, mpf

from accountant import PNSGD, InputError, Learn, Problem, Schedule, Unlearn, UnlearningAccountant, preset
from accountant.methods import METHODS, compare
from accountant.questions import Setup

EXACT = ("rewind-smooth", "rewind-exact", "d2d-stochastic")
REWINDS = ("rewind", "rewind-smooth", "rewind-exact")


def ask(method: str, what: str, setup: Setup, **question: float) -> float:
    arrays: dict[str, Any] = {name: np.array([float(value)]) for name, value in question.items()}
    return float(getattr(METHODS[method], what)(setup, **arrays)[0])


def drawn(rng: np.random.Generator, *, full: bool = False, group: bool = False) -> tuple[Setup, list[int]]:
    """A setup whose numbers are fractions of few bits, and the sizes of its batches."""
    n, epochs = int(rng.integers(2, 12)), int(rng.integers(1, 5))
    size = n if full else int(rng.integers(1, n + 1))
    smoothness = float(2.0 ** rng.integers(-3, 4))
    # At most 2/(L + m), so that the flattest loss is the worst.
    flat = float(smoothness * rng.choice([0.0, 0.125, 0.5, 1.0]))
    eta = float(rng.choice([0.25, 0.5, 0.75, 1.0])) / smoothness
    problem = Problem(
        n=n,
        smoothness=smoothness,
        strong_convexity=flat,
        lipschitz=float(rng.choice([0.5, 1.0, 3.0])),
        adjacency=str(rng.choice(["replace", "zero-out"])),
    )
    algorithm = PNSGD(problem, size, step_size=eta, learn_epochs=epochs)
    points = int(rng.integers(1, n)) if group else 1
    sizes = [min(size, n - at) for at in range(0, n, size)]
    return Setup(algorithm, group_size=points), sizes


def loss_of(method: str, setup: Setup) -> dict[str, Fraction]:
    """The loss that attains a method's bound: concave as can be where no convexity is assumed, else as flat as can be."""
    problem = setup.problem
    curvature = -problem.smoothness if method == "rewind-smooth" else problem.strong_convexity
    return {
        "eta": Fraction(setup.algorithm.eta),
        "curvature": Fraction(curvature),
        "gradient": Fraction(problem.lipschitz),
    }


def distances(method: str, setup: Setup, sizes: list[int], steps: int) -> list[Fraction]:
    """Of the two models for a deleted point in each batch, by running both."""
    found = []
    stand_in = -1 if setup.problem.adjacency == "replace" else 0
    for at in range(len(sizes)):
        before, after = ([value * (j == at) for j in range(len(sizes))] for value in (1, stand_in))
        words: dict[str, Any] = {"epochs": setup.algorithm.learn_epochs, **loss_of(method, setup)}
        if method == "d2d-stochastic":
            found.append(truth.descended(sizes, before, after, steps=steps, **words))
        else:
            found.append(truth.rewound(sizes, before, after, back=steps, **words))
    return found


@pytest.mark.parametrize("method", EXACT)
@mp.workdps(30)
def test_no_bound_is_below_the_two_runs_nor_above_them(method: str) -> None:
    """2000 random problems: delta is that of the exact Gaussians, averaged over the batches."""
    rng = np.random.default_rng(21)
    for _ in range(2000):
        setup, sizes = drawn(rng)
        length = len(sizes) * (setup.algorithm.learn_epochs or 0)
        steps = int(rng.integers(0, length + 1))
        apart = distances(method, setup, sizes, steps)
        largest = float(max(apart))
        sigma = (largest or 1.0) * float(10 ** rng.uniform(-0.7, 1))
        epsilon = float(rng.choice([0.0, 10 ** rng.uniform(-2, 1)]))
        exact = truth.averaged_delta(epsilon, apart, sizes, setup.problem.n, sigma)
        found = ask(method, "delta", setup, sigma=sigma, epsilon=epsilon, steps=steps)
        assert exact <= found, (setup, steps, sigma, epsilon)
        assert exact < 1e-280 or found <= exact * (1 + mpf("1e-9")), (setup, steps, sigma, epsilon)
        if largest and 1e-280 < exact < 0.99 and epsilon:
            assert ask(method, "epsilon", setup, sigma=sigma, delta=float(exact), steps=steps) == pytest.approx(
                epsilon, rel=1e-6
            )


@pytest.mark.parametrize("method", EXACT)
@mp.workdps(30)
def test_several_points_are_in_the_worst_batch(method: str) -> None:
    """Attained where the worst batch has room for them; which batch is the worst is found by running."""
    rng = np.random.default_rng(22)
    for _ in range(300):
        setup, sizes = drawn(rng, group=True)
        # A single point that is not averaged over is asked about as "worst".
        setup = setup.with_(batches="worst") if setup.group_size == 1 else setup
        length = len(sizes) * (setup.algorithm.learn_epochs or 0)
        steps, points = int(rng.integers(0, length + 1)), setup.group_size
        apart = distances(method, setup, sizes, steps)
        sigma = float(points * max(apart) or 1.0) * float(10 ** rng.uniform(-0.5, 1))
        exact = truth.gaussian_delta(mpf(0.5), points * mpf(max(apart).numerator) / max(apart).denominator / mpf(sigma))
        found = ask(method, "delta", setup, sigma=sigma, epsilon=0.5, steps=steps)
        assert exact <= found
        assert exact < 1e-280 or found <= exact * (1 + mpf("1e-9"))
        # Any other placement is no worse: batches that hold some points each.
        counts = rng.multivariate_hypergeometric(sizes, points)
        placed = sum(count * mpf(d.numerator) / d.denominator for count, d in zip(counts.tolist(), apart, strict=True))
        assert truth.gaussian_delta(mpf(0.5), placed / mpf(sigma)) <= found


@mp.workdps(40)
def test_points_that_really_leave_are_covered_by_replacement_and_by_the_published_formula() -> None:
    """Their divisor leaves with them, n becomes n - S: the sensitivity is 2 eta M S/n all the same."""
    rng = np.random.default_rng(23)
    for _ in range(500):
        setup, _ = drawn(rng, full=True, group=True)
        setup = setup.with_(adjacency="replace")
        problem, algorithm, epochs = setup.problem, setup.algorithm, setup.algorithm.learn_epochs or 0
        back = int(rng.integers(0, epochs))
        for method in ("rewind-smooth", "rewind-exact"):
            apart = truth.removed(problem.n, setup.group_size, epochs=epochs, back=back, **loss_of(method, setup))
            mu = mpf(apart.numerator) / apart.denominator
            sigma = float(mu or 1) * float(10 ** rng.uniform(-0.5, 1))
            exact = truth.gaussian_delta(mpf(0.3), mu / mpf(sigma))
            assert exact <= ask(method, "delta", setup, sigma=sigma, epsilon=0.3, steps=back) * (1 + mpf("1e-12"))
            assert exact <= ask("rewind", "delta", setup, sigma=sigma, epsilon=0.3, steps=back)
        assert algorithm.batch_size == problem.n


@mp.workdps(40)
def test_the_published_formula_is_the_sources() -> None:
    rng = np.random.default_rng(24)
    for _ in range(300):
        n, epochs = int(10 ** rng.uniform(0.5, 6)), int(10 ** rng.uniform(0, 3))
        problem = Problem(n=n, smoothness=float(10 ** rng.uniform(-3, 3)), lipschitz=float(10 ** rng.uniform(-2, 2)))
        eta = float(10 ** rng.uniform(-4, -1)) / problem.smoothness
        points, back = int(rng.integers(1, max(n // 4, 2))), int(rng.integers(0, epochs))
        setup = Setup(PNSGD(problem, step_size=eta, learn_epochs=epochs), group_size=points)
        epsilon, delta = float(10 ** rng.uniform(-3, 0)), float(10 ** -rng.uniform(0.1, 30))
        words = {"steps": epochs, "back": back, "n": n, "points": points, "eta": eta}
        exact = truth.published_sigma(
            epsilon=epsilon, delta=delta, smoothness=problem.smoothness, bound=problem.lipschitz, **words
        )
        found = ask("rewind", "sigma", setup, epsilon=epsilon, delta=delta, steps=back)
        assert exact <= found <= exact * (1 + mpf("1e-10"))
        assert ask("rewind", "epsilon", setup, sigma=found, delta=delta, steps=back) == pytest.approx(epsilon, rel=1e-9)
        assert delta * (1 - 1e-8) <= ask("rewind", "delta", setup, sigma=found, epsilon=epsilon, steps=back) * (1 + 1e-8)


@mp.workdps(30)
def test_the_published_formula_gives_enough_noise_up_to_epsilon_one() -> None:
    """The classical Gaussian mechanism at mu = epsilon/sqrt(2 log(1.25/delta)), on a grid; the exact bounds ask for less."""
    for epsilon in [*np.geomspace(1e-6, 1, 25).tolist(), 1.0]:
        for delta in [*np.geomspace(1e-40, 0.1, 25).tolist(), *np.linspace(0.1, 0.999, 25).tolist()]:
            mu = mpf(epsilon) / mp.sqrt(2 * mp.log(mpf("1.25") / mpf(delta)))
            assert truth.gaussian_delta(mpf(epsilon), mu) <= delta
    rng = np.random.default_rng(25)
    for _ in range(500):
        setup, _ = drawn(rng, full=True, group=True)
        question = {
            "epsilon": 10 ** rng.uniform(-4, 0, 10),
            "delta": 10 ** -rng.uniform(0.01, 40, 10),
            "steps": rng.integers(0, setup.algorithm.learn_epochs or 1, 10).astype(float),
        }
        published, smooth, exact = (METHODS[name].sigma(setup, **question) for name in REWINDS)
        assert np.all(exact <= smooth * (1 + 1e-12))
        assert np.all(smooth <= published)


def test_the_exact_bound_is_the_engines_with_shorter_learning_and_noise_at_the_end() -> None:
    """Going back K = kJ steps is learning T - k epochs, and then K steps on what is left."""
    rng = np.random.default_rng(26)
    for _ in range(25):
        setup, sizes = drawn(rng)
        epochs, per_epoch = setup.algorithm.learn_epochs or 0, len(sizes)
        if epochs < 2:
            continue
        back = int(rng.integers(1, epochs))
        steps = back * per_epoch
        quiet = [Unlearn(steps=steps - 1, sigma=0.0)] if steps > 1 else []
        short = PNSGD(setup.problem, setup.algorithm.batch_size, step_size=setup.algorithm.eta, learn_epochs=epochs - back)
        engine = UnlearningAccountant(
            short, schedule=Schedule([Learn(epochs=epochs - back, sigma=0.0), *quiet, Unlearn(steps=1, sigma=1.0)])
        )
        noise = 0.3 * setup.algorithm.eta
        found = ask("rewind-exact", "epsilon", setup, sigma=noise, delta=1e-3, steps=steps)
        assert found == pytest.approx(engine.epsilon(sigma=noise / math.sqrt(2 * setup.algorithm.eta), delta=1e-3), rel=1e-9)


def test_on_full_batches_stochastic_descent_is_descent() -> None:
    base = Setup(PNSGD(preset("mnist"), dimension=784))
    eta = 2 / (base.problem.smoothness + base.problem.strong_convexity)
    for steps in (0, 1, 30):
        for learned in (None, 3):
            setup = base.with_(step_size=eta, learn_epochs=learned)
            sigma, other = (
                ask(name, "sigma", setup, epsilon=1.0, delta=1e-5, steps=steps) for name in ("d2d-stochastic", "d2d-exact")
            )
            assert sigma == pytest.approx(other, rel=1e-9)


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("radius", [0.25, 3.0])
@mp.workdps(30)
def test_in_a_ball_models_are_at_most_its_diameter_apart(method: str, radius: float) -> None:
    """Attained by two linear losses: they pull to -R from R together, and not at all when one of them is turned round."""
    setup = Setup(PNSGD(Problem(n=2, smoothness=1.0, lipschitz=100.0), step_size=1.0, learn_epochs=5, radius=radius))
    for steps in (0, 2):
        found = ask(method, "delta", setup, sigma=2.0, epsilon=0.3, steps=steps)
        exact = truth.gaussian_delta(mpf("0.3"), mpf(radius))
        assert exact * (1 - mpf("1e-12")) <= found <= exact * (1 + mpf("1e-9"))


# Streams


@pytest.mark.parametrize("method", REWINDS)
@mp.workdps(30)
def test_a_stream_goes_back_from_all_points_that_were_deleted_so_far(method: str) -> None:
    problem = Problem(n=40, smoothness=1.0, strong_convexity=0.25, lipschitz=1.0)
    setup = Setup(PNSGD(problem, step_size=0.5, learn_epochs=6))
    stream = METHODS[method].stream(setup, sigma=40.0, epsilon=0.5, delta=1e-2)
    counts, points = np.array([5.0, 2.0, 4.0]), np.array([1.0, 3.0, 2.0])
    found = stream.follow(counts, points)
    for at, count in enumerate(counts.tolist()):
        together = setup.with_(group_size=int(points[: at + 1].sum()))
        assert found.epsilon[at] == ask(method, "epsilon", together, sigma=40.0, delta=1e-2, steps=count)
        assert found.needed[at] == ask(method, "fewest", together, sigma=40.0, epsilon=0.5, delta=1e-2)


@pytest.mark.parametrize("method", [*REWINDS, "d2d-stochastic"])
def test_a_stream_may_delete_all_points_and_no_more(method: str) -> None:
    """The published formula has a divisor n - S: it proves nothing of all n."""
    setup = Setup(PNSGD(Problem(n=4, smoothness=1.0, strong_convexity=0.25), learn_epochs=6))
    stream = METHODS[method].stream(setup, sigma=40.0, epsilon=0.5, delta=1e-2)
    found = stream.follow(np.array([5.0, 2.0]), np.array([3.0, 1.0]))
    assert np.isinf(found.epsilon[1]) == np.isinf(found.needed[1]) == (method == "rewind")
    with pytest.raises(InputError, match="points must be at most 0, what is left"):
        stream.request()


@mp.workdps(40)
def test_a_stream_of_descents_is_not_below_its_runs() -> None:
    """Two requests, each of a point in any batch: the inner model goes on, and retraining is without both from the start."""
    eta, m, M, sigma = Fraction(1, 2), Fraction(1, 4), Fraction(1), 0.7
    for size in (2, 3, 6):
        n = 6
        problem = Problem(n=n, smoothness=1.0, strong_convexity=0.25, lipschitz=1.0)
        setup = Setup(PNSGD(problem, size, step_size=0.5, learn_epochs=30))
        sizes = [size] * (n // size)
        loss = {"eta": eta, "curvature": m, "gradient": M}
        stream = METHODS["d2d-stochastic"].stream(setup, sigma=sigma, epsilon=1.0, delta=1e-2, unit="steps")
        found = stream.follow(np.array([2.0, 3.0]), np.ones(2)).epsilon
        for first in range(len(sizes)):
            for second in range(len(sizes)):
                both, one, none = [[0] * len(sizes) for _ in range(3)]
                for sums, signs in ((both, (1, 1)), (one, (-1, 1)), (none, (-1, -1))):
                    sums[first] += signs[0]
                    sums[second] += signs[1]
                length = 30 * len(sizes)
                path = truth.visits(length, sizes, both) + truth.visits(2, sizes, one, start=length)
                path += truth.visits(3, sizes, none, start=length + 2)
                a = truth.run(Fraction(0), path, **loss)
                b = truth.run(Fraction(0), truth.visits(length + 5, sizes, none), **loss)
                distance = abs(a[-1] - b[-1])
                mu = mpf(distance.numerator) / distance.denominator / mpf(sigma)
                assert truth.gaussian_delta(mpf(float(found[1])), mu) <= mpf("0.01")


@mp.workdps(40)
def test_points_that_leave_a_stream_of_descents_together_add_up() -> None:
    """Full batches and a quadratic loss: converged models are 2 M S/(m n) apart, and K steps leave c^K of that."""
    setup = Setup(PNSGD(Problem(n=40, smoothness=1.0, strong_convexity=0.25, lipschitz=1.0), step_size=0.5, learn_epochs=9))
    stream = METHODS["d2d-stochastic"].stream(setup, sigma=1.0, epsilon=1.0, delta=1e-2)
    found = stream.follow(np.array([1.0, 2.0]), np.array([3.0, 2.0])).epsilon
    kept, distance = mpf("0.875"), mpf(0)
    for epsilon, count, points in zip(found.tolist(), (1, 2), (3, 2), strict=True):
        distance = (distance + points * 2 / (mpf("0.25") * 40)) * kept**count
        assert truth.gaussian_delta(mpf(epsilon), distance) <= mpf("0.01") < truth.gaussian_delta(mpf(epsilon) - 1e-6, distance)


# Bad input and extremes


@pytest.mark.parametrize("method", [*REWINDS, "d2d-stochastic"])
@pytest.mark.parametrize(
    ("changes", "argument"),
    [
        ({"assignment": "secret", "learn_epochs": 5}, "assignment"),
        ({"batches": 2, "learn_epochs": 5}, "batches"),
        ({"reference": "converged", "learn_epochs": 5}, "reference"),
        ({"reference": 10, "learn_epochs": 5}, "reference"),
        ({"rounding": "float64", "learn_epochs": 5}, "rounding"),
        ({"schedule": Schedule([Learn(epochs=3), Unlearn(steps=2)]), "learn_epochs": 3}, "schedule"),
        ({"strong_convexity": 0.0}, "learn_epochs"),
    ],
)
def test_what_the_bounds_do_not_cover_is_refused_by_name(method: str, changes: dict[str, Any], argument: str) -> None:
    setup = Setup(PNSGD(Problem(n=100, smoothness=1.0, strong_convexity=0.1), dimension=3)).with_(**changes)
    with pytest.raises(InputError, match=argument):
        METHODS[method].check(setup)
    with pytest.raises(InputError, match=argument):
        METHODS[method].stream(setup, sigma=1.0, epsilon=1.0, delta=1e-5)


def test_what_the_published_formula_does_not_cover() -> None:
    setup = Setup(PNSGD(Problem(n=100, smoothness=1.0), learn_epochs=5))
    for changes, argument in (
        ({"batch_size": 10}, "batch_size"),
        ({"radius": 1.0}, "radius"),
        ({"group_size": 100}, "group_size"),
    ):
        assert argument in (METHODS["rewind"].refusal(setup.with_(**changes)) or "")
    needed = METHODS["rewind"].needed(setup, epsilon=np.array([0.0, 1.1, 1.0]), delta=np.array([1e-5]), steps=np.array([1.0]))
    assert needed.refusals[0] == "rewind never reaches epsilon = 0"
    assert needed.refusals[1] == "rewind is published for epsilon up to 1, got 1.1"
    assert np.isinf(needed.sigma).tolist() == [True, True, False]


@pytest.mark.parametrize("method", REWINDS)
def test_going_back_all_the_way_is_a_retraining(method: str) -> None:
    setup = Setup(PNSGD(Problem(n=100, smoothness=1.0), learn_epochs=5))
    for steps in (5, 6, 1e9):
        assert ask(method, "epsilon", setup, sigma=1e-200, delta=1e-5, steps=steps) == 0
        assert METHODS[method].released_std(setup, ask(method, "sigma", setup, epsilon=1.0, delta=1e-5, steps=steps)) == 0
    assert ask(method, "fewest", setup, sigma=1e-9, epsilon=1.0, delta=1e-5) == 5
    assert ask(method, "epsilon", setup, sigma=1e-9, delta=1e-5, steps=4) == math.inf or method != "rewind"


@pytest.mark.parametrize("method", [*REWINDS, "d2d-stochastic"])
@pytest.mark.parametrize("smoothness", [1e-299, 1e-100, 1.0, 1e100, 1e300])
@pytest.mark.parametrize("lipschitz", [1e-300, 1.0, 1e300])
def test_extremes_are_right_or_refused(method: str, smoothness: float, lipschitz: float) -> None:
    """sigma is in proportion to M/L: what is no double is refused, and nothing is 0 that should not be."""
    for step in (1.0, 1e-5):
        for epochs in (3, 10**6):
            problem = Problem(n=10, smoothness=smoothness, strong_convexity=smoothness / 4, lipschitz=lipschitz)
            try:
                setup = Setup(PNSGD(problem, step_size=step / smoothness, learn_epochs=epochs))
            except InputError:
                continue
            one = Setup(PNSGD(Problem(n=10, smoothness=1.0, strong_convexity=0.25), step_size=step, learn_epochs=epochs))
            question = {"epsilon": 0.5, "delta": 1e-5, "steps": 2.0}
            unit, found = (ask(method, "sigma", case, **question) for case in (one, setup))
            log_scale = math.log(unit) + math.log(lipschitz) - math.log(smoothness) if unit < math.inf else math.inf
            if log_scale > 690:
                assert found == math.inf or found > 1e299
            elif log_scale < -690:
                assert 1e-300 <= found < 1e-298
            else:
                assert math.log(found) == pytest.approx(log_scale, abs=1e-6 * max(1.0, abs(log_scale)) if epochs > 9 else 1e-9)


def test_claims_about_losses_that_need_not_be_convex_are_not_judged_by_convexity() -> None:
    assert {METHODS[name].tightest for name in ("rewind", "rewind-smooth", "rewind-random")} == {"rewind-smooth"}


def test_gaps_are_rows_with_their_reason() -> None:
    (row,) = compare(Setup(PNSGD(preset("mnist"))), epsilon=1.0, methods=["rewind-random"])
    assert (row.sigma, row.steps) == (None, None)
    assert row.reason is not None
    assert row.reason.startswith("rewind-random is a gap: ")


@mp.workdps(30)
def test_a_mean_distance_alone_proves_nothing() -> None:
    """Why the stochastic formula is a gap: distance 1 with probability 0.01 is more than 0.01 always, at the same noise."""
    sigma, epsilon = mpf("0.05"), mpf(1)
    spread = mpf("0.01") * truth.gaussian_delta(epsilon, 1 / sigma)
    assert spread > 5 * truth.gaussian_delta(epsilon, mpf("0.01") / sigma)
