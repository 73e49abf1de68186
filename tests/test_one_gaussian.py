"""Rows with one Gaussian at the end: their distances against runs of the algorithms, at any size of the numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from mpmath import log as mp_log
from mpmath import mp, mpf

from accountant import PNSGD, Problem
from accountant.methods import METHODS
from accountant.methods.d2d import log_gamma
from accountant.numerics import Floats
from accountant.questions import Setup

Rows = Sequence[int]
#: What a step sees: the rows whose gradients are summed, and the divisor.
Batch = tuple[Rows, int]


def log_distance(name: str, setup: Setup, steps: float) -> float:
    """What a row says of the logarithm of the largest distance."""
    method: Any = METHODS[name]
    method.check(setup)
    if hasattr(method, "components"):
        return float(method.components(setup, np.array([steps]))[1].max())
    return float(method._log_distance_after(setup, np.array([steps]))[0])


# Runs


class Logistic:
    """The mean of log(1 + exp(-y x.w)), with an l2 term, written from the definition."""

    def __init__(self, x: Floats, y: Floats, l2: float) -> None:
        self.x, self.y, self.l2 = x, y, l2

    def gradient(self, w: Floats, batch: Batch) -> Floats:
        rows, divisor = batch
        x, y = self.x[list(rows)], self.y[list(rows)]
        return -(x.T @ (y / (1 + np.exp(y * (x @ w))))) / divisor + self.l2 * w

    def newton(self, w: Floats, batch: Batch) -> Floats:
        rows, divisor = batch
        x, y = self.x[list(rows)], self.y[list(rows)]
        p = 1 / (1 + np.exp(y * (x @ w)))
        hessian = (x.T * (p * (1 - p))) @ x / divisor + self.l2 * np.eye(w.size)
        return w - np.linalg.solve(hessian, self.gradient(w, batch))

    def minimiser(self, batch: Batch, size: int) -> Floats:
        w = np.zeros(size)
        for _ in range(80):
            step = self.newton(w, batch) - w
            w = w + step / max(1.0, float(np.linalg.norm(step)))
        return w


class Wave(Logistic):
    """M^2/L cos(L w/M + phase): smooth, not convex."""

    def __init__(self, phases: Floats, smoothness: float, lipschitz: float) -> None:
        self.phases, self.smoothness, self.lipschitz = phases, smoothness, lipschitz

    def gradient(self, w: Floats, batch: Batch) -> Floats:
        rows, divisor = batch
        angles = self.smoothness * w[0] / self.lipschitz + self.phases[list(rows)]
        return np.array([-self.lipschitz * np.sin(angles).sum() / divisor])


def descend(
    loss: Logistic, w: Floats, cycle: list[Batch], *, first: int, steps: int, eta: float, radius: float | None
) -> Floats:
    for at in range(first, first + steps):
        w = w - eta * loss.gradient(w, cycle[at % len(cycle)])
        if radius is not None:
            w = w * min(1.0, radius / max(float(np.linalg.norm(w)), 1e-300))
    return w


def random_loss(
    rng: np.random.Generator, n: int, leaving: int, adjacency: str, *, convex: bool
) -> tuple[Logistic, Problem, int]:
    """A loss of n rows and as many stand-ins as leave, often as bad as rows can be: all alike but those that leave."""
    rows = n + leaving
    if not convex:
        size, bound = 10 ** rng.uniform(-1, 1), 10 ** rng.uniform(-1, 1)
        problem = Problem(n=n, smoothness=size, lipschitz=bound, adjacency=adjacency)
        return Wave(rng.uniform(0, 2 * np.pi, rows), size, bound), problem, 1
    bound, d = 10 ** rng.uniform(-0.5, 1), int(rng.integers(1, 4))
    x, y = rng.normal(size=(rows, d)), rng.choice([-1.0, 1.0], rows)
    x *= bound / np.linalg.norm(x, axis=1, keepdims=True)
    if rng.random() < 0.6:
        x[:], y[:] = x[0], 1.0
        y[:leaving] = -1.0
    l2 = bound**2 * 10 ** rng.uniform(-3, 0.7)
    words: dict[str, Any] = {"feature_bound": bound * (1 + 1e-12), "intercept": False, "adjacency": adjacency}
    return Logistic(x, y, l2), Problem.from_loss("logistic", n=n, l2=l2, **words), d


def gone(rows: Rows, divisor: int, leaving: int, how: str, n: int) -> Batch:
    """A batch after rows 0 ... leaving - 1 went: replaced by others, zeroed out, or removed, also from the divisor."""
    if how == "replace":
        return [n + row if row < leaving else row for row in rows], divisor
    stay = [row for row in rows if row >= leaving]
    return stay, divisor if how == "zero-out" else len(stay)


def check_run(rng: np.random.Generator, *, most: dict[str, float]) -> None:
    """One random problem: no row's distance is below that of the two runs; the largest share of it goes into ``most``."""
    n = int(rng.integers(2, 10))
    leaving, convex = int(rng.integers(1, min(n, 4))), bool(rng.random() < 0.7)
    how = str(rng.choice(["replace", "zero-out", "remove"]))
    loss, problem, d = random_loss(rng, n, leaving, "zero-out" if how == "zero-out" else "replace", convex=convex)
    size = n if rng.random() < 0.4 else int(rng.integers(1, n + 1))
    order = rng.permutation(n).tolist()
    before: list[Batch] = [(order[at : at + size], min(size, n - at)) for at in range(0, n, size)]
    after = [gone(rows, divisor, leaving, how, n) for rows, divisor in before]
    if min(divisor for _, divisor in after) == 0:
        return
    radius = float(10 ** rng.uniform(-1.5, 1)) if rng.random() < 0.3 else None
    eta, epochs = float(rng.uniform(0.05, 1)) * 2 / problem.smoothness, int(rng.integers(1, 7))
    length = epochs * len(before)
    back, more = int(rng.integers(0, length + 1)), int(rng.integers(0, 2 * len(before) + 4))
    start = np.zeros(d) if radius else rng.normal(size=d)

    def compare(name: str, setup: Setup, steps: int, one: Floats, other: Floats) -> None:
        bound, found = math.exp(log_distance(name, setup, float(steps))), float(np.linalg.norm(one - other))
        # The runs are in doubles.
        assert found <= bound * (1 + 1e-10) + 1e-11, (name, how)
        if bound > 1e-6:
            most[name] = max(most.get(name, 0.0), found / bound)

    run: dict[str, Any] = {"eta": eta, "radius": radius}
    algorithm = PNSGD(problem, size, step_size=eta, learn_epochs=epochs, radius=radius)
    setup = Setup(algorithm, group_size=leaving, batches="worst")
    saved = descend(loss, start, before, first=0, steps=length - back, **run)
    unlearned = descend(loss, saved, after, first=length - back, steps=back, **run)
    anew = descend(loss, start, after, first=0, steps=length, **run)
    compare("rewind-smooth", setup, back, unlearned, anew)
    if not convex:
        return
    compare("rewind-exact", setup, back, unlearned, anew)
    learned = descend(loss, start, before, first=0, steps=length, **run)
    after_more = [descend(loss, w, after, first=0, steps=more, **run) for w in (learned, anew)]
    compare("d2d-stochastic", setup, more, after_more[0], after_more[1])
    if len(before) > 1:
        return
    run = {"eta": 2 / (problem.smoothness + problem.strong_convexity), "radius": None, "first": 0}
    learned, anew = (descend(loss, start, batches, steps=epochs, **run) for batches in (before, after))
    full = Setup(PNSGD(problem, learn_epochs=epochs), group_size=leaving)
    after_more = [descend(loss, w, after, steps=more, **run) for w in (learned, anew)]
    compare("d2d-exact", full, more, after_more[0], after_more[1])
    newton, steps = Setup(PNSGD(problem), group_size=leaving), int(rng.integers(0, 4))
    if METHODS["newton-exact"].refusal(newton) is None:
        w, aim = loss.minimiser(before[0], d), loss.minimiser(after[0], d)
        for _ in range(steps):
            w = loss.newton(w, after[0])
        compare("newton-exact", newton, steps, w, aim)


@pytest.mark.parametrize("problems", [200, pytest.param(6000, marks=pytest.mark.slow)])
def test_runs_on_logistic_and_on_wavy_losses_are_never_further_apart_than_reported(problems: int) -> None:
    """Replaced, zeroed out, and really removed, in random batches, with and without a ball."""
    rng, most = np.random.default_rng(5), dict[str, float]()
    for _ in range(problems):
        check_run(rng, most=most)
    assert set(most) == {"rewind-smooth", "rewind-exact", "d2d-stochastic", "d2d-exact", "newton-exact"}
    # The bounds are no far cry from what happens.
    assert min(most.values()) > 0.3


# Arithmetic


@mp.workdps(700)
def test_the_contraction_of_descent_is_never_rounded_below_what_it_is() -> None:
    """Also next to L = m, where its digits are those of L - m, at m = L/3, and where m/L is no double with all its digits."""
    rng = np.random.default_rng(0)
    for at in range(1500):
        large = float(rng.uniform(1, 10) * 10.0 ** rng.choice([-299, 0, 5, 299]))
        m = [
            large * rng.uniform(0, 1),
            large * (1 - 2.0 ** -rng.integers(1, 53)),
            large / 3 * (1 + rng.uniform(-1e-15, 1e-15)),
            large * 10.0 ** -rng.uniform(0, 315),
        ][at % 4]
        if not 1e-300 <= m < large:
            continue
        found = log_gamma(Problem(n=10, smoothness=large, strong_convexity=float(m)))
        exact = mp_log((mpf(large) - mpf(m)) / (mpf(large) + mpf(m)))
        assert exact <= found <= 0
        assert m / large < 1e-299 or found <= exact * (1 - mpf(2) ** -48)


@pytest.mark.parametrize("gap", [2.0**-52, 2.0**-30, 1e-9, 0.5, 1 - 2.0**-40, 1 - 1e-12])
@mp.workdps(60)
def test_descent_forgets_exactly_by_its_contraction_at_any_condition_number(gap: float) -> None:
    """Of L = 1 and m = 1 - gap the distance is Z (1 - gamma^T) gamma^I, to all digits."""
    m = 1 - gap
    gamma, z = (1 - mpf(m)) / (1 + mpf(m)), 2 * mpf(3) / (mpf(m) * 7)
    for epochs, steps in ((None, 1), (None, 20), (1, 3), (50, 0)):
        problem = Problem(n=7, smoothness=1.0, strong_convexity=m, lipschitz=3.0)
        exact = mp_log(z * (1 if epochs is None else 1 - gamma**epochs)) + steps * mp_log(gamma)
        found = log_distance("d2d-exact", Setup(PNSGD(problem, learn_epochs=epochs)), steps)
        assert exact <= found <= exact + mpf(10) ** -11


def test_where_a_step_size_in_doubles_does_not_contract_two_minimisers_are_still_near() -> None:
    """2/(L + m) is 2/L in doubles; 2M/(mn) is what it is."""
    setup = Setup(PNSGD(Problem(n=10, smoothness=1.0, strong_convexity=1e-17, lipschitz=1.0)))
    assert log_distance("d2d-exact", setup, 0.0) == pytest.approx(math.log(2e16), rel=1e-14)


def exact_log_distance(name: str, setup: Setup, steps: int) -> mpf:
    """h (1 + c + ... + c^(t-1)) c^K on full batches of converged or finite learning."""
    algorithm, problem = setup.algorithm, setup.problem
    eta = mpf(algorithm.eta)
    bends = (1 - eta * mpf(problem.strong_convexity), 1 - eta * mpf(problem.smoothness))
    c = 1 + eta * mpf(problem.smoothness) if name == "rewind-smooth" else max(map(abs, bends))
    epochs = algorithm.learn_epochs
    visits = None if epochs is None else epochs - (steps if name.startswith("rewind") else 0)
    total = 1 / (1 - c) if visits is None else mpf(visits) if c == 1 else (1 - c**visits) / (1 - c)
    return mp_log(2 * eta * mpf(problem.lipschitz) / problem.n * total) + steps * mp_log(c)


@pytest.mark.parametrize("name", ["rewind-smooth", "rewind-exact", "d2d-stochastic"])
@mp.workdps(400)
def test_distances_are_rounded_up_where_large_logarithms_cancel(name: str) -> None:
    """eta and M of sizes 1e-250 to 1e250: the roundings of their logarithms stay, however small the sum is."""
    rng = np.random.default_rng(1)
    for _ in range(400):
        smoothness = float(10.0 ** rng.uniform(-250, 250))
        problem = Problem(
            n=int(10 ** rng.uniform(0.4, 12)),
            smoothness=smoothness,
            strong_convexity=float(smoothness * 10.0 ** -rng.uniform(0, 40)),
            lipschitz=float(10.0 ** rng.uniform(-250, 250)),
        )
        epochs, steps = int(10 ** rng.uniform(0.5, 4)), int(10 ** rng.uniform(0, 2))
        learned = None if name == "d2d-stochastic" and rng.random() < 0.5 else epochs
        steps = min(steps, epochs - 1)
        eta = float(10.0 ** -rng.uniform(0, 40) / smoothness)
        setup = Setup(PNSGD(problem, step_size=eta, learn_epochs=learned))
        exact, found = exact_log_distance(name, setup, steps), log_distance(name, setup, steps)
        assert exact <= found <= exact + mpf(10) ** -11


@pytest.mark.parametrize("name", ["d2d", "d2d-open"])
def test_a_published_formula_whose_distance_is_no_double_still_reaches_no_zero(name: str) -> None:
    """A smallest epsilon stands for less, and the noise that it asks for is some."""
    setup = Setup(PNSGD(Problem(n=10, smoothness=1.0, strong_convexity=1 - 1e-13), dimension=3))
    method, one = METHODS[name], {"delta": np.array([1e-5]), "steps": np.array([60.0])}
    epsilon = method.epsilon(setup, sigma=np.array([1.0]), **one)
    assert 0 < epsilon[0] < 1e-290
    assert method.sigma(setup, epsilon=epsilon, **one)[0] <= 1.0


@pytest.mark.parametrize("name", ["rewind-smooth", "rewind-exact", "d2d-stochastic"])
def test_the_noise_for_so_many_steps_needs_no_more_of_them(name: str) -> None:
    """Also where another step back changes nothing, as it saw no deleted point: the two bounds are equal to the last bit."""
    rng, method, per_epoch = np.random.default_rng(1), METHODS[name], list[int]()
    for _ in range(150):
        n, smoothness, epochs = int(rng.integers(2, 40)), 10 ** rng.uniform(-2, 2), int(rng.integers(1, 12))
        problem = Problem(n=n, smoothness=smoothness, strong_convexity=smoothness * rng.uniform(0.001, 0.9))
        algorithm = PNSGD(
            problem, int(rng.integers(1, n + 1)), step_size=rng.uniform(0.05, 1) / smoothness, learn_epochs=epochs
        )
        setup = Setup(algorithm, group_size=int(rng.integers(1, n)))
        steps, target = int(rng.integers(0, epochs * algorithm.steps_per_epoch)), np.array([10 ** rng.uniform(-2, 1)])
        delta = np.array([10 ** -rng.uniform(1, 9)])
        sigma = method.sigma(setup, epsilon=target, delta=delta, steps=np.array([float(steps)]))
        per_epoch.append(algorithm.steps_per_epoch)
        assert method.fewest(setup, sigma=sigma, epsilon=target, delta=delta, unit="steps")[0] <= steps
    assert max(per_epoch) > 10
