"""Newton steps against exact minimisers, exact instances and exact Gaussians: the noise is never too little."""

import math
from typing import Any

import numpy as np
import pytest
from mpmath import findroot, mp, mpf

from accountant import PNSGD, InputError, Problem, preset
from accountant.methods import METHODS, removals_left
from accountant.problem import LogisticConstants, MultinomialConstants, RidgeConstants, SmoothedHingeConstants
from accountant.questions import Setup

MNIST = Setup(PNSGD(preset("mnist"), dimension=784))
EXACT, PUBLISHED = METHODS["newton-exact"], METHODS["newton"]
#: tau of the logistic loss in 30 digits: p (1 - p) (1 - 2p) at p = (3 - sqrt 3)/6.
TAU = mpf(1) / (6 * mp.sqrt(3))


def ask(method: Any, what: str, setup: Setup, **question: float) -> float:
    return float(getattr(method, what)(setup, **{name: np.array([float(value)]) for name, value in question.items()})[0])


def logistic(n: int, l2: float, bound: float = 1.0, **words: Any) -> Setup:
    adjacency = words.pop("adjacency", "replace")
    problem = Problem.from_loss("logistic", n=n, l2=l2, feature_bound=bound, intercept=False, adjacency=adjacency)
    return Setup(PNSGD(problem), **words)


# The constant


def test_the_change_of_a_logistic_hessian_is_the_third_derivatives_maximum() -> None:
    s = np.linspace(-20, 20, 400_001)
    p = 1 / (1 + np.exp(-s))
    third = np.abs(p * (1 - p) * (1 - 2 * p)).max()
    found = LogisticConstants(regularisation=0.1).hessian_lipschitz
    assert third <= found <= third * (1 + 1e-8)
    assert found >= TAU
    assert LogisticConstants(regularisation=0.1, feature_bound=3.0).hessian_lipschitz == pytest.approx(27 * found, rel=1e-14)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_the_change_of_a_multinomial_hessian_is_never_more_and_nearly_that_much(classes: int) -> None:
    rng = np.random.default_rng(0)
    bound = MultinomialConstants(regularisation=0.1).hessian_lipschitz

    def hessian(s: np.ndarray) -> np.ndarray:
        p = np.exp(s - s.max())
        p /= p.sum()
        return np.diag(p) - np.outer(p, p)

    most = 0.0
    for _ in range(3000):
        s = rng.normal(size=classes) * 10 ** rng.uniform(-1, 1)
        move = rng.normal(size=classes)
        move *= 10 ** rng.uniform(-3, 1) / np.linalg.norm(move)
        most = max(most, float(np.linalg.norm(hessian(s + move) - hessian(s), 2) / np.linalg.norm(move)))
    assert most <= bound
    # Two classes of probabilities (3 -+ sqrt 3)/6, all others without any, along their difference.
    s, move = np.full(classes, -60.0), np.zeros(classes)
    s[:2], move[:2] = [math.log((3 - math.sqrt(3)) / (3 + math.sqrt(3))), 0.0], [1e-4, -1e-4]
    change = np.linalg.norm(hessian(s + move) - hessian(s - move), 2) / np.linalg.norm(2 * move)
    assert bound * (1 - 1e-6) <= change <= bound * (1 + 1e-6)


def test_where_curvature_jumps_there_is_no_such_constant() -> None:
    assert SmoothedHingeConstants(regularisation=0.1).hessian_lipschitz == math.inf
    assert RidgeConstants(regularisation=0.1, clip=1.0).hessian_lipschitz == math.inf
    assert LogisticConstants(regularisation=0.1, clip=0.5).hessian_lipschitz == math.inf
    assert LogisticConstants(regularisation=0.1, clip=1.0).hessian_lipschitz < 0.1
    assert 0 < LogisticConstants(regularisation=0.1, feature_bound=1e-130).hessian_lipschitz <= 1e-300
    assert LogisticConstants(regularisation=0.1, feature_bound=1e130).hessian_lipschitz == math.inf


# The distance


def minimise(x: np.ndarray, y: np.ndarray, l2: float, divisor: int, start: np.ndarray | None = None, steps: int = 60) -> Any:
    """Damped Newton on sum log(1 + exp(-y x.w))/divisor + l2/2 |w|^2, written from the definition."""
    w = np.zeros(x.shape[1]) if start is None else start.copy()
    for _ in range(steps):
        margin = y * (x @ w)
        p = 1 / (1 + np.exp(margin))
        gradient = -(x.T @ (y * p)) / divisor + l2 * w
        hessian = (x.T * (p * (1 - p))) @ x / divisor + l2 * np.eye(w.size)
        step = np.linalg.solve(hessian, gradient)
        if start is None and np.linalg.norm(step) > 1:
            step /= np.linalg.norm(step)
        w = w - step
    return w


def random_request(rng: np.random.Generator) -> tuple[Any, ...]:
    """A logistic problem and a request; rows of the bound's length, as they matter most."""
    n, d = int(rng.integers(2, 9)), int(rng.integers(1, 4))
    bound, size = float(10 ** rng.uniform(-0.5, 0.5)), int(rng.integers(1, 3))
    x = rng.normal(size=(n, d))
    x *= bound / np.linalg.norm(x, axis=1, keepdims=True)
    y = rng.choice([-1.0, 1.0], size=n)
    if rng.random() < 0.5:
        # All alike but those that go.
        x[:] = x[0]
        y[:] = 1.0
    adjacency = str(rng.choice(["replace", "zero-out"]))
    l2 = float(10 ** rng.uniform(-1.5, 0.5)) * bound**2
    return n, l2, bound, min(size, n - 1), adjacency, x, y


def changed(x: np.ndarray, y: np.ndarray, size: int, adjacency: str) -> tuple[np.ndarray, np.ndarray]:
    """The data after the request: the first points are turned round, or left out."""
    if adjacency == "zero-out":
        return x[size:], y[size:]
    return x, np.concatenate([-y[:size], y[size:]])


def test_no_random_problem_is_further_from_its_minimiser_than_is_said() -> None:
    """2,000 logistic problems with exact minimisers; the instances come near."""
    rng, checked, nearest = np.random.default_rng(1), 0, 0.0
    while checked < 2000:
        n, l2, bound, size, adjacency, x, y = random_request(rng)
        setup = logistic(n, l2, bound, group_size=size, adjacency=adjacency)
        if EXACT.refusal(setup) is not None:
            continue
        checked += 1
        learned = minimise(x, y, l2, n)
        x, y = changed(x, y, size, adjacency)
        target = minimise(x, y, l2, n)
        said = np.exp(EXACT._log_distance_after(setup, np.arange(4.0)))  # type: ignore[attr-defined]
        for steps in range(4):
            distance = np.linalg.norm(minimise(x, y, l2, n, learned, steps) - target)
            assert distance <= said[steps] + 1e-12, (setup, steps)
            nearest = max(nearest, distance / said[steps] if steps == 0 else 0.0)
    # A logistic gradient and that of the turned label are M apart, not 2M: half of what is said without a step.
    assert nearest > 0.45


@pytest.mark.parametrize("n", [10, 100, 10_000])
def test_an_instance_attains_the_distance_of_one_step(n: int) -> None:
    """F'' = m + gamma (w0 - w) below w0, the old minimiser, and m above it: the step goes too far by gamma/(2m) Z'^2, where
    m Z' + gamma Z'^2/2 = 2M/n. What is said is that with Z = 2M/(mn), more by (Z/Z')^2, which tends to 1."""
    setup = logistic(n, 1.0)
    m, gamma, pull = mpf(1), TAU, mpf(2) / n
    z = findroot(lambda x: m * x + gamma * x * x / 2 - pull, pull)
    truth = pull / m - z
    assert abs(truth - gamma * z * z / (2 * m)) < mpf(10) ** -14 * truth
    said = mpf(float(np.exp(EXACT._log_distance_after(setup, np.ones(1)))[0]))  # type: ignore[attr-defined]
    assert truth <= said <= truth * (pull / m / z) ** 2 * (1 + mpf(10) ** -12)
    assert (said / truth < 1.001) == (n >= 1000)


# The guarantee


def gaussian(epsilon: float, mu: mpf) -> mpf:
    """delta of mu-GDP from its formula, to 40 digits."""
    with mp.workdps(60):
        return mp.ncdf(-epsilon / mu + mu / 2) - mp.exp(mpf(epsilon)) * mp.ncdf(-epsilon / mu - mu / 2)


def distance(setup: Setup, steps: int) -> mpf:
    """Z q^(2^K - 1) in digits."""
    problem = setup.problem
    factor = {"replace": 2, "zero-out": 1}[problem.adjacency]
    assert problem.loss is not None
    gamma = TAU * mpf(problem.loss.feature_bound) ** 3
    z = factor * mpf(problem.lipschitz) * setup.group_size / (mpf(problem.strong_convexity) * problem.n)
    return z * (gamma * z / (2 * mpf(problem.strong_convexity))) ** (2**steps - 1)


def random_setup(rng: np.random.Generator) -> Setup:
    bound = float(10 ** rng.uniform(-1, 1))
    l2, n = bound**2 * float(10 ** rng.uniform(-3, 1)), int(10 ** rng.uniform(1, 7))
    size, adjacency = int(rng.integers(1, 4)), str(rng.choice(["replace", "zero-out"]))
    return logistic(n, l2, bound, group_size=size, adjacency=adjacency)


def test_noise_is_the_exact_gaussians_and_the_published_formula_asks_for_more() -> None:
    rng, done = np.random.default_rng(2), 0
    while done < 150:
        setup = random_setup(rng)
        if EXACT.refusal(setup) is not None:
            continue
        done += 1
        steps, delta = int(rng.integers(0, 4)), float(10 ** rng.uniform(-10, -2))
        epsilon = float(10 ** rng.uniform(-3, 0))
        sigma = ask(EXACT, "sigma", setup, epsilon=epsilon, delta=delta, steps=steps)
        mu = distance(setup, steps) / mpf(sigma)
        assert gaussian(epsilon, mu) <= delta
        assert gaussian(epsilon, mu * (1 + mpf(10) ** -9)) > delta or sigma <= 1e-300
        if steps:
            published = ask(PUBLISHED, "sigma", setup, epsilon=epsilon, delta=delta, steps=steps)
            formula = distance(setup, steps) * mp.sqrt(2 * mp.log(mpf(1.25) / mpf(delta))) / mpf(epsilon)
            assert max(formula, sigma) <= published <= max(formula * (1 + mpf(10) ** -11), mpf("1.1e-300"))


def test_the_published_formula_is_that_of_the_source() -> None:
    """gamma = 2 M m^2 L^2/(lambda^3 n^2) in the source's letters: Hessian constant M, m deletions, Lipschitz L."""
    setup = logistic(1000, 0.1, group_size=3)
    hessian, lipschitz, strong, n, deleted = float(TAU), 1.0, 0.1, 1000, 3
    gamma = 2 * hessian * deleted**2 * lipschitz**2 / (strong**3 * n**2)
    sigma = gamma / 0.5 * math.sqrt(2 * math.log(1.25 / 1e-5))
    assert ask(PUBLISHED, "sigma", setup, epsilon=0.5, delta=1e-5, steps=1) == pytest.approx(sigma, rel=1e-12)
    needed = PUBLISHED.needed(setup, epsilon=np.array([1.0, 9.0, 1.0]), delta=np.full(3, 1e-5), steps=np.array([0.0, 1.0, 1.0]))
    assert "without a Newton step" in needed.refusals[0]
    assert "too little noise" in needed.refusals[1]
    with pytest.raises(InputError, match="no streams"):
        PUBLISHED.stream(setup, sigma=1.0, epsilon=1.0, delta=1e-5)


# Many requests


def test_a_stream_is_the_recursion_and_no_run_is_further_away() -> None:
    rng = np.random.default_rng(3)
    for _ in range(60):
        n, d, l2, adjacency = 40, 3, 0.3, str(rng.choice(["replace", "zero-out"]))
        setup = logistic(n, l2, adjacency=adjacency)
        x = rng.normal(size=(n, d))
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        y = rng.choice([-1.0, 1.0], size=n)
        stream = EXACT.stream(setup, sigma=1.0, epsilon=1.0, delta=1e-5)
        model, bound = minimise(x, y, l2, n), mpf(0)
        z = distance(setup, 0)
        for _ in range(6):
            steps, size = int(rng.integers(0, 3)), int(rng.integers(1, 3))
            x, y = changed(x, y, size, adjacency)
            bound += z * size
            bound *= (TAU * bound / (2 * mpf(l2))) ** (2**steps - 1)
            found = stream.follow(np.array([float(steps)]), np.array([float(size)]))
            model = minimise(x, y, l2, n, model, steps)
            assert np.linalg.norm(model - minimise(x, y, l2, n)) <= float(bound) + 1e-12
            assert gaussian(float(found.epsilon[0]), bound) <= 1e-5 * (1 + 1e-9)
            assert found.epsilon[0] == 0 or gaussian(float(found.epsilon[0]) * (1 - 1e-6), bound) > 1e-5
            # The points that were turned round or left out are the first ones; others come to the front.
            x, y = np.roll(x, -size, axis=0), np.roll(y, -size)


def naive(setup: Setup, allowed: float, residual: float, gradient: str, steps: int) -> int:
    """Requests that are kept, one by one in digits, out of as many as there are points."""
    z, one = distance(setup, 0), distance(setup, 1)
    ratio, reached = TAU / (2 * mpf(setup.problem.strong_convexity)), mpf(residual)
    for request in range(setup.problem.n // setup.group_size):
        if gradient == "removed":
            reached += one
        else:
            reached = (reached + z) * (ratio * (reached + z)) ** (2**steps - 1) if ratio * (reached + z) < 1 else mp.inf
        if reached > allowed:
            return request
    return setup.problem.n // setup.group_size


def test_the_budget_is_counted_request_by_request() -> None:
    rng, ends, counted = np.random.default_rng(4), set(), 0
    while counted < 150:
        setup = logistic(int(rng.integers(20, 400)), float(10 ** rng.uniform(-1.5, 0)), group_size=int(rng.integers(1, 3)))
        if EXACT.refusal(setup) is not None:
            continue
        counted += 1
        gradient = str(rng.choice(["all", "removed"]))
        steps = 1 if gradient == "removed" else int(rng.integers(1, 3))
        one = float(distance(setup, steps))
        sigma, residual = one * float(10 ** rng.uniform(0, 3)), one * float(rng.choice([0, 0.5, 20]))
        words: dict[str, Any] = {"sigma": sigma, "epsilon": 1.0, "delta": 1e-5}
        found = removals_left(setup, **words, residual=residual, gradient=gradient, steps=steps)  # type: ignore[arg-type]
        assert gaussian(1.0, mpf(found.allowed) / mpf(sigma)) <= 1e-5
        exact = naive(setup, found.allowed, residual, gradient, steps)
        if gradient == "removed" and residual > found.allowed:
            exact = 0
        assert found.left == (None if exact == setup.problem.n // setup.group_size else exact)
        ends.add("all" if found.left is None else "none" if found.left == 0 else "some")
    assert ends == {"all", "none", "some"}


# The gap


def test_noise_in_the_objective_does_not_keep_what_is_published() -> None:
    """One parameter, m = 1, F'' = m + gamma times a sawtooth of slopes +-1; the loss that goes is linear, so Z = 1 = 2M/n.

    The residual is within the published gamma Z^2 everywhere, and b is drawn with c gamma Z^2/epsilon, c^2 = 2 log(1.5/delta).
    Both models increase as b falls, so the masses of intervals are exact; the events are unions of them.
    """
    from scipy.special import ndtr

    q, epsilon, delta, period = 0.2, 0.1, 1e-5, 4.0
    gamma, pull = 2 * q, 1.0
    std = math.sqrt(2 * math.log(1.5 / delta)) * gamma / epsilon
    x = np.linspace(-8 * std, 8 * std, 2_000_001)
    hessian = 1 + gamma * np.abs(np.mod(x, period) - period / 2)
    slope = np.concatenate([[0.0], np.cumsum((hessian[1:] + hessian[:-1]) / 2)]) * (x[1] - x[0])
    # x is the minimiser of the old loss with b x, b = -F'(x).
    b = -(slope - np.interp(0.0, x, slope))
    stepped = x - pull / hessian
    retrained = np.interp(-b - pull, -b, x)
    near = np.abs(b) < 6 * std
    assert np.abs(np.interp(stepped, x, -b) + pull + b)[near].max() <= gamma
    assert (np.diff(stepped) > 0).all()
    edges = np.arange(-4 * std, 4 * std, period / 24)
    masses = [np.diff(ndtr(np.interp(edges, law[near], -b[near]) / std)) for law in (stepped, retrained)]
    excess = [np.maximum(one - math.exp(epsilon) * other, 0).sum() for one, other in (masses, masses[::-1])]
    assert max(excess) > 0.03 > 1000 * delta


# What is refused, and what is extreme


@pytest.mark.parametrize(
    ("setup", "words"),
    [
        (Setup(PNSGD(Problem(n=1000, smoothness=1.0, strong_convexity=0.1))), "loss must be given"),
        (MNIST.with_(learn_epochs=10), "learn_epochs must be left out"),
        (logistic(10, 0.01), "n must be more than 96.* times as large"),
        (
            Setup(PNSGD(Problem.from_loss("smoothed-hinge", n=1000, l2=0.1, feature_bound=1.0, width=1.0))),
            "Hessians jump, got smoothed-hinge",
        ),
        (
            Setup(PNSGD(Problem.from_loss("logistic", n=1000, l2=0.1, feature_bound=1.0, clip=0.5))),
            "without a clip that cuts",
        ),
    ],
)
def test_what_the_bound_does_not_cover_is_refused(setup: Setup, words: str) -> None:
    for method in (EXACT, PUBLISHED):
        with pytest.raises(InputError, match=words):
            method.check(setup)
    with pytest.raises(InputError, match=words):
        removals_left(setup, sigma=1.0, epsilon=1.0, delta=1e-5)


def test_noise_that_is_just_enough_for_a_request_serves_it() -> None:
    for n, l2, steps in ((11_264, 0.011264, 1), (500, 0.1, 1), (500, 0.1, 2), (10**6, 0.5, 1)):
        setup = logistic(n, l2)
        sigma = ask(EXACT, "sigma", setup, epsilon=1.0, delta=1e-5, steps=steps)
        words: dict[str, Any] = {"sigma": sigma, "epsilon": 1.0, "delta": 1e-5}
        assert removals_left(setup, **words, steps=steps).left == 1
        if steps == 1:
            assert removals_left(setup, **words, gradient="removed").left == 1
        assert removals_left(setup, **(words | {"sigma": sigma * (1 - 1e-9)}), steps=steps).left == 0


def test_a_hessian_costs_a_gradient_for_each_parameter_and_a_row_says_where_it_cannot_know() -> None:
    assert EXACT.evaluations(MNIST, 2) == 2 * 11_264 * 785
    unknown = MNIST.with_(dimension=None)
    assert EXACT.evaluations(unknown, 2) == 2 * 11_264 * 2
    said = [any("dimension is not given" in each for each in EXACT.assumptions(setup)) for setup in (MNIST, unknown)]
    assert said == [False, True]


def test_budgets_refuse_bad_numbers() -> None:
    good: dict[str, Any] = {"sigma": 1.0, "epsilon": 1.0, "delta": 1e-5}
    for bad, name in (({"sigma": 0.0}, "sigma"), ({"residual": -1.0}, "residual"), ({"gradient": "some"}, "gradient"),
                      ({"steps": 0}, "steps"), ({"gradient": "removed", "steps": 2}, "steps must be 1")):  # fmt: skip
        with pytest.raises(InputError, match=name):
            removals_left(MNIST, **(good | bad))


@pytest.mark.parametrize("sigma", [1e-300, 1.0, 1e300])
@pytest.mark.parametrize("bound", [1e-100, 1.0, 1e90])
@pytest.mark.parametrize("l2", [1e-200, 1.0, 1e200])
def test_extremes_are_right_or_refused(sigma: float, bound: float, l2: float) -> None:
    setup = logistic(10**12, l2, bound)
    for method in (EXACT, PUBLISHED):
        if method.refusal(setup) is not None:
            continue
        for steps in (0, 1, 60, 10**15):
            for delta in (1e-300, 0.5):
                found = ask(method, "epsilon", setup, sigma=sigma, delta=delta, steps=steps)
                assert found >= 0
                if steps < 4 and found < math.inf and method is EXACT:
                    with mp.workdps(700):
                        assert found > 1e5 or gaussian(found, distance(setup, steps) / mpf(sigma)) <= delta
        assert removals_left(setup, sigma=sigma, epsilon=1.0, delta=1e-5).after >= 0
