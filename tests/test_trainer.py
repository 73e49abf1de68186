"""The trainer against finite differences, exact Gaussian laws and a plain loop; derived constants against measured ones."""

import gzip
import math
import struct
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import mpmath
import numpy as np
import pytest
from conftest import DATA

from accountant import (
    PNSGD,
    InputError,
    Learn,
    Problem,
    Schedule,
    Unlearn,
    UnlearningAccountant,
    UnlearningStream,
    gdp_delta,
    preset,
)
from accountant.numerics import MissingExtraError
from accountant.problem import LOSS_CONSTANTS, cosine
from accountant.trainer import Logistic, Trainer, accuracy, descent_to_delete, load, load_digits, needs, random_points, release
from accountant.trainer.baselines import langevin, retrain
from accountant.trainer.constants import check_constants, measure
from accountant.trainer.data import load_mnist, read_idx, unit_rows
from accountant.trainer.instances import Linear
from accountant.trainer.losses import LOSSES, Loss, Multinomial, Ridge, SmoothedHinge
from accountant.trainer.points import check_points, gradient, objective, scores

RNG = np.random.default_rng(12)
X = unit_rows(RNG.standard_normal((40, 5))) * RNG.uniform(0.2, 1.0, (40, 1))
SIGNS = np.where(RNG.random(40) < 0.5, 1, -1)
CLASSES = RNG.integers(0, 3, 40)
REALS = RNG.standard_normal(40)
CASES: list[tuple[Loss, Any]] = [
    (Logistic(regularisation=0.1), SIGNS),
    (Logistic(regularisation=0.0, clip=0.3), SIGNS),
    (SmoothedHinge(regularisation=0.1, width=0.5), SIGNS),
    (SmoothedHinge(regularisation=0.1, width=0.5, clip=0.2), SIGNS),
    (Ridge(regularisation=0.05, clip=0.7), REALS),
    (Multinomial(regularisation=0.1, classes=3), CLASSES),
]
NAMES = [f"{loss.name}-{loss.clip}" for loss, _ in CASES]


def each(loss: Loss, labels: Any, **options: Any) -> Trainer:
    """A trainer on X, b = 8 unless said otherwise."""
    settings = {"batch_size": 8, "learn_epochs": 3} | options.pop("algorithm", {})
    problem = loss.problem(X.shape[0], adjacency=options.pop("adjacency", "replace"))
    return Trainer(loss, PNSGD(problem, **settings), **({"sigma": 0.1, "seed": 5} | options))


def of_steps(steps: int) -> Schedule:
    """Learning of so many steps, which need not be whole epochs."""
    return Schedule([Learn(steps=steps), Unlearn()])


# Losses


def test_the_table_has_every_loss_under_its_name() -> None:
    assert set(LOSSES) == {"logistic", "multinomial", "ridge", "smoothed-hinge"}
    assert all(loss.name == name for name, loss in LOSSES.items())


def test_the_trainer_takes_every_constant_from_where_the_accountant_has_it() -> None:
    assert set(LOSS_CONSTANTS) == set(LOSSES)
    for name, constants in LOSS_CONSTANTS.items():
        assert issubclass(LOSSES[name], constants)
        for own in ("smoothness", "strong_convexity", "lipschitz", "curvature", "steepest"):
            assert getattr(LOSSES[name], own) is getattr(constants, own)


def test_logistic_gives_the_published_constants() -> None:
    loss = Logistic(regularisation=0.011264)
    assert loss.problem(11_264) == preset("mnist")
    assert (loss.smoothness, loss.strong_convexity, loss.lipschitz) == (0.261264, 0.011264, 1.0)


@pytest.mark.parametrize(("loss", "labels"), [case for case in CASES if case[0].clip is None])
def test_gradients_are_those_of_the_objective(loss: Loss, labels: Any) -> None:
    w = np.random.default_rng(1).standard_normal((loss.outputs * 5, 3))
    found, step = gradient(loss, w, X, labels), 1e-6
    for i in range(w.shape[0]):
        move = np.zeros((w.shape[0], 1))
        move[i] = step
        slope = (objective(loss, w + move, X, labels) - objective(loss, w - move, X, labels)) / (2 * step)
        np.testing.assert_allclose(found[i], slope, rtol=0, atol=1e-8)


def test_derivatives_agree_with_many_digits_far_out_too() -> None:
    at = np.array([-800.0, -30.0, -1.0, 0.0, 0.3, 1.7, 25.0, 900.0])
    logistic = Logistic(regularisation=0).derivatives(at[:, None], np.ones(8))[:, 0]
    with mpmath.workdps(40):
        exact = [float(-1 / (1 + mpmath.exp(mpmath.mpf(s)))) for s in at]
        softmax = [mpmath.exp(s) for s in (3, -2, 1)]
        shares = [float(e / sum(softmax)) for e in softmax]
    np.testing.assert_allclose(logistic, exact, atol=2e-16)
    r = Multinomial(regularisation=0, classes=3).derivatives(np.array([[3.0, -2.0, 1.0], [3e3, -2e3, 1e3]]), np.array([1, 1]))
    np.testing.assert_allclose(r[0], np.array(shares) - [0, 1, 0], atol=1e-15)
    np.testing.assert_allclose(r[1], [1, -1, 0], atol=1e-15)


@pytest.mark.parametrize(("loss", "labels"), CASES, ids=NAMES)
def test_constants_hold_and_are_attained_where_they_should_be(loss: Loss, labels: Any) -> None:
    found = check_constants(loss, X, labels)
    assert found.lipschitz <= loss.lipschitz * (1 + 1e-12)
    # Adversarial: rows of norm one, and parameters that put the scores where the loss bends most, or is steepest.
    unit = unit_rows(X)
    point = unit[0]
    if isinstance(loss, Multinomial):
        flat, steep = np.zeros((15, 1)), np.zeros((15, 1))
        # Two classes share all probability; one wrong class has it.
        flat[0:10, 0], flat[10:15, 0] = 0.0, -300 * point
        steep[0:5, 0] = 300 * point
        y = np.full(40, 1)
        assert measure(loss, unit[:1], y[:1], parameters=flat).smoothness == pytest.approx(loss.smoothness, rel=1e-8)
        assert measure(loss, unit[:1], y[:1], parameters=steep).lipschitz == pytest.approx(loss.lipschitz, rel=1e-8)
        return
    y = np.ones(1)
    margin = {"logistic": 0.0, "smoothed-hinge": 1 - 0.1 * loss.lipschitz, "ridge": 1.0}[loss.name]
    if loss.clip is not None and loss.name == "logistic":
        # r at the bend of log(1 + e^-s) is 1/2, beyond the cut: the largest slope left is c (1 - c).
        margin, steepest = math.log(1 / loss.clip - 1) + 1e-3, loss.clip * (1 - loss.clip)
        bend = measure(loss, unit[:1], y, parameters=margin * point[:, None]).smoothness
        assert bend == pytest.approx(steepest, rel=1e-2)
    else:
        bend = measure(loss, unit[:1], y, parameters=margin * point[:, None]).smoothness
        assert bend == pytest.approx(loss.smoothness, rel=1e-6)
    assert measure(loss, unit[:1], y, parameters=-1e3 * point[:, None]).lipschitz == pytest.approx(loss.lipschitz, rel=1e-8)


@dataclass(frozen=True, kw_only=True)
class TooFlat(Logistic):
    """Claims half the curvature."""

    @property
    def curvature(self) -> float:
        return 0.125


@dataclass(frozen=True, kw_only=True)
class TooSteep(Logistic):
    """Its derivative is twice what it says."""

    steepest: ClassVar[float] = 1.0

    def derivatives(self, scores: Any, labels: Any) -> Any:
        return 2 * np.tanh(scores / 16)


@dataclass(frozen=True, kw_only=True)
class Concave(Logistic):
    def derivatives(self, scores: Any, labels: Any) -> Any:
        return -0.1 * np.tanh(scores)


@dataclass(frozen=True, kw_only=True)
class ClippedSoftmax(Multinomial):
    """What is refused, and why: scaling the residual of several classes down to a norm is no longer convex."""

    def clipped(self, scores: Any, labels: Any, limits: Any) -> Any:
        r = self.derivatives(scores, labels)
        return r * (0.3 / np.maximum(0.3, np.linalg.norm(r, axis=-1, keepdims=True)))


@dataclass(frozen=True, kw_only=True)
class Curl(Multinomial):
    """Something that no loss has as its gradient."""

    def derivatives(self, scores: Any, labels: Any) -> Any:
        return 0.1 * scores + 0.01 * np.roll(scores, 1, axis=-1)


@pytest.mark.parametrize(
    ("loss", "labels", "word"),
    [
        (TooFlat(regularisation=0.1), SIGNS, "smoothness"),
        (TooSteep(regularisation=0.1), SIGNS, "lipschitz"),
        (Concave(regularisation=0.1), SIGNS, "strong_convexity"),
        (ClippedSoftmax(regularisation=0.1, classes=3), CLASSES, "strong_convexity"),
    ],
)
def test_the_check_of_constants_can_fail(loss: Loss, labels: Any, word: str) -> None:
    with pytest.raises(InputError, match=word):
        check_constants(loss, unit_rows(X), labels)


def test_the_check_sees_derivatives_that_are_no_gradient() -> None:
    with pytest.raises(InputError, match="asymmetry"):
        check_constants(Curl(regularisation=0.1, classes=3), X, CLASSES, parameters=np.eye(15))


def test_clipping_is_per_point_and_leaves_a_monotone_derivative() -> None:
    loss = Ridge(regularisation=0, clip=0.5)
    at = np.linspace(-5, 5, 401)[:, None]
    r = loss.clipped(at, np.full(401, 0.7), np.full(401, loss.clip / 0.8))[:, 0]
    assert (np.diff(r) >= 0).all()
    assert np.diff(r).max() <= np.diff(at[:, 0]).max() * (1 + 1e-9)
    assert np.abs(r).max() * 0.8 == pytest.approx(0.5)
    # Naive: every gradient vector clipped by itself.
    w = np.random.default_rng(2).standard_normal(5) * 3
    each_one = (X @ w - REALS)[:, None] * X
    each_one *= np.minimum(1, 0.5 / np.linalg.norm(each_one, axis=1))[:, None]
    np.testing.assert_allclose(gradient(loss, w, X, REALS), each_one.mean(axis=0), atol=1e-14)


# The algorithm


def loop(trainer: Trainer, run: Any, x: Any, y: Any, *, start: Any, steps: int) -> Any:
    """Noiseless PNSGD of one trial, one gradient at a time."""
    loss, algorithm, w = trainer.loss, trainer.algorithm, np.array(start, dtype=float)
    order, J, b = run.orders[0], algorithm.steps_per_epoch, int(algorithm.batch_size)
    for k in range(steps):
        batch = order[(k % J) * b : (k % J + 1) * b]
        total = sum(gradient(loss, w, x[i : i + 1], y[i : i + 1]) - loss.regularisation * w for i in batch)
        w = w - algorithm.eta * (total / len(batch) + loss.regularisation * w)
        if algorithm.radius is not None:
            w *= min(1, algorithm.radius / np.linalg.norm(w))
    return w


@pytest.mark.parametrize("last_batch", ["keep", "drop"])
@pytest.mark.parametrize("radius", [None, 0.2])
@pytest.mark.parametrize(("loss", "labels"), CASES, ids=NAMES)
def test_steps_are_those_of_a_plain_loop(loss: Loss, labels: Any, radius: float | None, last_batch: str) -> None:
    start = np.linspace(-0.3, 0.3, loss.outputs * 5)
    for orders in ("own", "shared"):
        trainer = each(
            loss, labels, sigma=0, orders=orders, trials=1, initial=start, schedule=of_steps(11),
            algorithm={"batch_size": 7, "radius": radius, "last_batch": last_batch},
        )  # fmt: skip
        run = trainer.learn(X, labels)
        inside = start if radius is None else start * min(1, radius / np.linalg.norm(start))
        np.testing.assert_allclose(
            run.parameters[:, 0], loop(trainer, run, X, labels, start=inside, steps=11), rtol=1e-12, atol=1e-14
        )
        if radius is not None:
            assert np.linalg.norm(run.parameters) <= radius * (1 + 1e-12)


def test_long_runs_whose_rows_are_reordered_first_are_the_same() -> None:
    loss, labels = CASES[0]
    for orders in ("own", "shared"):
        trainer = each(loss, labels, sigma=0, trials=3, orders=orders, algorithm={"batch_size": 9, "learn_epochs": 7})
        run = trainer.learn(X, labels, epochs=7)
        np.testing.assert_allclose(run.parameters[:, 0], loop(trainer, run, X, labels, start=np.zeros(5), steps=35), atol=1e-13)


def test_batches_larger_than_what_is_multiplied_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = each(CASES[0][0], SIGNS, trials=3, algorithm={"batch_size": 20}).learn(X, SIGNS)
    monkeypatch.setattr("accountant.trainer.steps.ROWS", 3)
    parts = each(CASES[0][0], SIGNS, trials=3, algorithm={"batch_size": 20}).learn(X, SIGNS)
    np.testing.assert_allclose(whole.parameters, parts.parameters, atol=1e-14)


@pytest.mark.parametrize("orders", ["own", "shared"])
def test_the_law_on_quadratic_losses_is_the_exact_gaussian(orders: str) -> None:
    """Ridge without clipping in reach: affine maps, so means and covariances after any number of steps are closed form."""
    loss = Ridge(regularisation=0.5, clip=1e6)
    order = np.random.default_rng(3).permutation(40)
    trainer = Trainer(
        loss, PNSGD(loss.problem(40), 8, learn_epochs=2), sigma=0.3, trials=20_000, orders=orders, initial=0.4,
        initial_variance=0.7, seed=8, schedule=of_steps(13),
    )  # fmt: skip
    run = trainer.learn(X, REALS, orders=order[None] if orders == "shared" else np.tile(order, (20_000, 1)))
    eta, mean, covariance = trainer.algorithm.eta, np.full(5, 0.4), 0.7 * np.eye(5)
    for k in range(13):
        batch = order[k % 5 * 8 : k % 5 * 8 + 8]
        step = np.eye(5) - eta * (X[batch].T @ X[batch] / 8 + 0.5 * np.eye(5))
        mean = step @ mean + eta * X[batch].T @ REALS[batch] / 8
        covariance = step @ covariance @ step.T + 2 * eta * 0.3**2 * np.eye(5)
    centred = run.parameters - mean[:, None]
    assert np.abs(centred.mean(axis=1) / np.sqrt(np.diag(covariance) / 20_000)).max() < 4.5
    # Standard errors of a covariance's entries: sqrt((s_ii s_jj + s_ij^2)/N).
    error = np.sqrt((np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) / 20_000)
    assert np.abs((centred @ centred.T / 20_000 - covariance) / error).max() < 4.5
    # Gaussian fourth moments.
    z = centred / np.sqrt(np.diag(covariance))[:, None]
    assert np.abs((z**4).mean(axis=1) - 3).max() < 4.5 * math.sqrt(96 / 20_000)


def test_noise_per_step_is_the_accountants() -> None:
    problem = Problem(n=40, smoothness=1.25, strong_convexity=0.0, lipschitz=1.0)
    loss = Logistic(regularisation=0)
    algorithm = PNSGD(problem, 8, learn_epochs=1, step_size=1e-3)
    run = Trainer(loss, algorithm, sigma=2.0, trials=4000, seed=1, schedule=of_steps(1)).learn(X, SIGNS)
    spread = run.parameters.std(axis=1)
    assert np.abs(spread / algorithm.noise_std(2.0) - 1).max() < 4.5 / math.sqrt(2 * 4000)


def test_orders_are_uniform_permutations_fixed_for_the_run() -> None:
    trainer = each(*CASES[0], trials=4000, sigma=0, schedule=of_steps(0))
    run = trainer.learn(X, SIGNS)
    assert (np.sort(run.orders, axis=1) == np.arange(40)).all()
    # Point 0 is in each of the 5 batches, and at each place, equally often.
    place = np.argmax(run.orders == 0, axis=1)
    counts = np.bincount(place // 8, minlength=5)
    assert np.abs(counts - 800).max() < 4.5 * math.sqrt(4000 * 0.2 * 0.8)
    pairs = (np.argmax(run.orders == 0, axis=1) // 8 == np.argmax(run.orders == 1, axis=1) // 8).mean()
    assert abs(pairs - 7 / 39) < 4.5 * math.sqrt(7 / 39 * 32 / 39 / 4000)
    more = trainer.unlearn(run, [3], features=X[:1], labels=SIGNS[:1], epochs=1)
    assert more.orders is run.orders


def test_a_seed_gives_the_same_again_and_trials_do_not_depend_on_their_number() -> None:
    loss = CASES[0][0]
    for orders in ("own", "shared"):
        for dtype in ("float32", "float64"):
            first, second, fewer = (
                each(loss, SIGNS, trials=trials, orders=orders, dtype=dtype, initial_variance=1.0).learn(X, SIGNS)
                for trials in (6, 6, 3)
            )
            assert first.parameters.dtype == np.float64
            assert first.features.dtype == dtype
            np.testing.assert_array_equal(first.parameters, second.parameters)
            np.testing.assert_array_equal(first.orders[:3], fewer.orders)
            np.testing.assert_allclose(first.parameters[:, :3], fewer.parameters, rtol=2e-5, atol=1e-6)
    trainer = each(loss, SIGNS)
    assert (trainer.learn(X, SIGNS).parameters != trainer.learn(X, SIGNS).parameters).all(), "noise must not repeat"
    one, two = (each(loss, SIGNS, seed=None).learn(X, SIGNS) for _ in range(2))
    assert (one.parameters != two.parameters).all()


def test_one_shared_order_is_the_same_as_that_order_given_to_every_trial() -> None:
    loss = CASES[5][0]
    shared = each(loss, CLASSES, trials=5, orders="shared", schedule=of_steps(8)).learn(X, CLASSES)
    trainer = each(loss, CLASSES, trials=5, schedule=of_steps(8))
    own = trainer.learn(X, CLASSES, steps=8, orders=np.tile(shared.orders, (5, 1)))
    np.testing.assert_allclose(own.parameters, shared.parameters, atol=1e-13)
    assert (own.steps, own.next_batch, shared.next_batch) == (8, 3, 3)


def test_float32_follows_float64() -> None:
    exact, short = (each(*CASES[0], sigma=0, dtype=dtype).learn(X, SIGNS) for dtype in ("float64", "float32"))
    np.testing.assert_allclose(short.parameters, exact.parameters, atol=1e-6)


# Unlearning


def test_zero_out_drops_the_data_part_and_keeps_the_divisor() -> None:
    loss, labels = CASES[0]
    trainer = each(loss, labels, sigma=0, adjacency="zero-out", initial=0.2, schedule=of_steps(7))
    run = trainer.learn(X, labels, steps=7)
    after = trainer.unlearn(run, [4, 30], steps=6)
    w, eta, order = run.parameters[:, 0], trainer.algorithm.eta, run.orders[0]
    for k in range(7, 13):
        batch = order[k % 5 * 8 : k % 5 * 8 + 8]
        kept = [i for i in batch if i not in (4, 30)]
        data = sum(gradient(loss, w, X[i : i + 1], labels[i : i + 1]) - loss.regularisation * w for i in kept)
        w = w - eta * (data / 8 + loss.regularisation * w)
    np.testing.assert_allclose(after.parameters[:, 0], w, atol=1e-14)
    assert not after.features[[4, 30]].any()
    np.testing.assert_array_equal(run.features, X)
    assert not np.shares_memory(run.features, X)
    plain = each(loss, labels, sigma=0, adjacency="zero-out")
    after = plain.unlearn(plain.learn(X, labels), [4, 30], steps=6)
    with pytest.raises(InputError, match="removed must name points that are still there, got 30"):
        plain.unlearn(after, [30], steps=1)


def test_replacing_goes_on_with_the_new_rows_over_the_same_order_and_requests_follow() -> None:
    loss, labels = CASES[0]
    for orders in ("own", "shared"):
        trainer = each(loss, labels, sigma=0, orders=orders)
        run = trainer.learn(X, labels)
        x, y = X.copy(), labels.copy()
        for index in (7, 22):
            x[index], y[index] = -x[index], -y[index]
            run = trainer.unlearn(run, [index], features=x[[index]], labels=y[[index]], epochs=1)
            want = x, y
        assert (run.requests, run.steps) == (2, 25)
        np.testing.assert_array_equal(run.features, want[0])
        middle = x.copy(), y.copy()
        middle[0][22], middle[1][22] = X[22], labels[22]
        w = np.zeros(5)
        for data, count in ((X, labels), 15), (middle, 5), ((x, y), 5):
            w = loop(trainer, run, *data, start=w, steps=count)
        np.testing.assert_allclose(run.parameters[:, 0], w, atol=1e-13)


def test_unlearned_and_retrained_have_the_same_law_where_the_learned_point_is_forgotten() -> None:
    """After many epochs unlearning from D and retraining on D' over the same orders agree in mean."""
    loss, labels = CASES[0]
    trainer = each(loss, labels, trials=2000, orders="shared", adjacency="zero-out")
    run = trainer.learn(X, labels)
    gone = trainer.unlearn(run, [1], epochs=30)
    again = trainer.retrain(gone)
    assert (again.steps, again.learned) == (165, 15)
    assert again.orders is gone.orders
    both = np.stack([gone.parameters, again.parameters])
    gap = np.abs(both[0].mean(axis=1) - both[1].mean(axis=1))
    assert (gap < 4.5 * both.std(axis=2).max(axis=0) * math.sqrt(2 / 2000)).all()


def test_removing_every_point_of_a_class_or_all_points_is_no_accident() -> None:
    loss, labels = CASES[0]
    trainer = each(loss, labels, adjacency="zero-out")
    run = trainer.learn(X, labels)
    ones = np.flatnonzero(labels == 1)
    left = trainer.unlearn(run, ones, epochs=20)
    assert np.isfinite(left.parameters).all()
    nothing = trainer.unlearn(left, np.flatnonzero(labels == -1), epochs=1)
    assert not nothing.features.any()
    assert np.isfinite(trainer.learn(X, np.ones(40)).parameters).all()


# Lengths and schedules: the accountant's


def test_what_runs_is_what_is_accounted() -> None:
    loss, labels = CASES[0]
    trainer = each(loss, labels)
    assert trainer.accountant().algorithm == trainer.algorithm
    run = trainer.learn(X, labels)
    assert run.steps == run.learned == 3 * trainer.algorithm.steps_per_epoch
    for same in ({"epochs": 3}, {"steps": 15}):
        assert trainer.learn(X, labels, **same).steps == 15
    run = trainer.unlearn(run, [0], features=X[:1], labels=labels[:1], epochs=2)
    assert (run.steps, run.learned) == (5 * trainer.algorithm.steps_per_epoch, 15)
    with pytest.raises(InputError, match="epochs or steps must be given"):
        each(loss, labels, algorithm={"learn_epochs": None}).learn(X, labels)


def linear(n: int, b: int, *, m: float, eta: float, **options: Any) -> tuple[Loss, PNSGD]:
    """Linear losses, on which both laws are Gaussian."""
    loss = Linear(regularisation=m, feature_bound=1.0)
    return loss, PNSGD(Problem(n=n, smoothness=1.0, strong_convexity=m), b, step_size=eta, **options)


def exact_mu(algorithm: PNSGD, *, sigma: float, learned: int, unlearned: int, place: int) -> float:
    """Of the means of the unlearned and the retrained law, in standard deviations: the point at ``place`` turns round."""
    loss = Linear(regularisation=algorithm.problem.strong_convexity, feature_bound=1.0)
    n, order = algorithm.problem.n, np.arange(algorithm.problem.n)[None]
    trainer = Trainer(loss, algorithm, sigma=0.0, schedule=Schedule([Learn(steps=learned), Unlearn()]))
    x, y = np.ones((n, 1)), np.ones(n)
    run = trainer.learn(x, y, orders=order)
    run = trainer.unlearn(run, [place], features=x[:1], labels=[-1], steps=unlearned)
    gap = abs(float((run.parameters - trainer.retrain(run).parameters)[0, 0]))
    squares = np.cumprod(np.full(learned + unlearned, algorithm.contraction**2)) / algorithm.contraction**2
    return gap / (algorithm.noise_std(sigma) * math.sqrt(squares.sum()))


def test_learning_longer_than_is_accounted_for_is_refused_and_can_be_accounted_for() -> None:
    """One epoch accounted for, twenty run: 0.2307 was claimed where 0.4590 is the truth."""
    loss, one = linear(20, 5, m=1.0, eta=0.1, learn_epochs=1)
    x, y = np.ones((20, 1)), np.ones(20)
    truth = exact_mu(one, sigma=0.2, learned=80, unlearned=2, place=19)
    assert truth == pytest.approx(0.4590, abs=5e-5)
    trainer = Trainer(loss, one, sigma=0.2)
    claim = trainer.accountant(batches=3).guarantee(sigma=0.2, steps=2).mu_worst
    assert claim == pytest.approx(0.2307, abs=5e-5)
    assert claim >= exact_mu(one, sigma=0.2, learned=4, unlearned=2, place=19)
    for asked in ({"epochs": 20}, {"steps": 80}, {"steps": 5}, {"steps": 3}, {"epochs": 0}, {"steps": 0}):
        wanted = "epochs must be 1," if "epochs" in asked else "steps must be 4,"
        with pytest.raises(InputError, match=wanted):
            trainer.learn(x, y, **asked)
    for algorithm in (replace(one, learn_epochs=20), replace(one, learn_epochs=None)):
        right = Trainer(loss, algorithm, sigma=0.2)
        run = right.learn(x, y, epochs=20)
        assert right.accountant(run, batches=3).guarantee(sigma=0.2, steps=2).mu_worst == pytest.approx(truth)
        assert right.accountant(batches=3).guarantee(sigma=0.2, steps=2).mu_worst >= truth * (1 - 1e-12)


def test_part_of_an_epoch_is_not_covered_by_converged_learning() -> None:
    """0.3347 was claimed for the first batch after 81 steps, where 0.4591 is the truth."""
    loss, algorithm = linear(20, 5, m=1.0, eta=0.1)
    trainer = Trainer(loss, algorithm, sigma=0.2)
    truth = exact_mu(algorithm, sigma=0.2, learned=81, unlearned=2, place=0)
    assert truth == pytest.approx(0.4591, abs=5e-5)
    assert trainer.accountant(batches=0).guarantee(sigma=0.2, steps=2).mu_worst == pytest.approx(0.3347, abs=5e-5)
    x, y = np.ones((20, 1)), np.ones(20)
    with pytest.raises(InputError, match=r"steps must be whole epochs of 4 steps .* got 81; a schedule with Learn\(steps=81\)"):
        trainer.learn(x, y, steps=81)
    assert trainer.learn(x, y, steps=80).steps == 80
    counted = Trainer(loss, algorithm, sigma=0.2, schedule=Schedule([Learn(steps=81), Unlearn()]))
    assert counted.learn(x, y).steps == 81
    assert counted.accountant(batches=0).guarantee(sigma=0.2, steps=2).mu_worst == pytest.approx(truth)


def test_a_short_last_batch_ends_no_part_of_an_epoch() -> None:
    """The short batch visited last: delta(0.5) = 0.0502 was claimed where 0.4180 is the truth."""
    loss, algorithm = linear(21, 10, m=0.9, eta=1.0)
    places = [exact_mu(algorithm, sigma=0.05, learned=91, unlearned=0, place=place) for place in (0, 10, 20)]
    truth = sum(share * gdp_delta(epsilon=0.5, mu=mu) for share, mu in zip((10 / 21, 10 / 21, 1 / 21), places, strict=True))
    trainer = Trainer(loss, algorithm, sigma=0.05)
    assert trainer.accountant().delta(sigma=0.05, epsilon=0.5, steps=0) == pytest.approx(0.0502, abs=5e-5)
    x, y = np.ones((21, 1)), np.ones(21)
    with pytest.raises(InputError, match="whole epochs of 3 steps"):
        trainer.learn(x, y, steps=91)
    schedule = Schedule([Learn(steps=91), Unlearn()])
    counted = Trainer(loss, algorithm, sigma=0.05, schedule=schedule).accountant()
    assert truth == pytest.approx(0.4180, abs=5e-5)
    assert truth <= counted.delta(sigma=0.05, epsilon=0.5, steps=0)


def test_converged_learning_covers_every_number_of_whole_epochs() -> None:
    """Last batches kept, dropped and short, with and without a radius, no unlearning at all included."""
    rng = np.random.default_rng(4)
    for _ in range(120):
        n, m = int(rng.integers(4, 40)), float(rng.choice([0.01, 0.1, 0.5, 0.9]))
        problem = Problem(n=n, smoothness=1.0, strong_convexity=m, adjacency=str(rng.choice(["replace", "zero-out"])))
        options: dict[str, Any] = {
            "step_size": float(rng.choice([0.1, 0.5, 1.0, 1.5])),
            "radius": float(rng.choice([0.05, 0.5, 3])) if rng.random() < 0.4 else None,
            "last_batch": str(rng.choice(["keep", "drop"])),
        }
        b, steps = int(rng.integers(1, n + 1)), int(rng.choice([0, 1, 2, 3, 7, 20]))
        for batches in ("random", "worst", 0):
            covering = UnlearningAccountant(PNSGD(problem, b, **options), batches=batches)
            finite = UnlearningAccountant(PNSGD(problem, b, learn_epochs=int(rng.integers(1, 6)), **options), batches=batches)
            most = covering.delta(sigma=0.3, epsilon=0.5, steps=steps)
            assert finite.delta(sigma=0.3, epsilon=0.5, steps=steps) <= most * (1 + 1e-9)


def test_steps_after_converged_learning_move_the_batches() -> None:
    """A part of an epoch was once joined with the converged learning before it: 0.0330 for 0.0389."""
    problem = Problem(n=20, smoothness=1.0, strong_convexity=0.5)
    for radius in (None, 3.0):
        algorithm = PNSGD(problem, 5, step_size=0.1, radius=radius)
        for last in ([Learn(steps=3)], [Learn(steps=1), Learn(steps=2)], [Learn(epochs=1), Learn(steps=3)], [Learn(steps=4)]):
            for position in ("worst", 0, 1, 2, 3):
                found, near = (
                    UnlearningAccountant(algorithm, schedule=Schedule([first, *last, Unlearn()]), batches=position).delta(
                        sigma=0.3, epsilon=0.5, steps=2
                    )
                    for first in (Learn(), Learn(epochs=300))
                )
                assert found == pytest.approx(near, rel=1e-9)
    moved = UnlearningAccountant(algorithm, schedule=Schedule([Learn(), Learn(steps=3), Unlearn()]))
    with pytest.raises(InputError, match="constant algorithm"):
        UnlearningStream(moved, sigma=0.3, epsilon=1.0)


def test_the_accountant_of_a_run_counts_what_has_run() -> None:
    loss, labels = CASES[0]
    trainer = each(loss, labels, algorithm={"learn_epochs": None, "radius": 2.0})
    run = trainer.learn(X, labels, epochs=2)
    assert trainer.accountant().algorithm.learn_epochs is None
    counted = trainer.accountant(run, batches="worst")
    assert counted.algorithm == replace(trainer.algorithm, learn_epochs=2)
    assert counted.delta(sigma=0.1, epsilon=1, steps=0) < trainer.accountant(batches="worst").delta(
        sigma=0.1, epsilon=1, steps=0
    )
    # What covers finite learning is about matched retraining; how long the learned model ran counts for others.
    for reference in ("converged", 4):
        with pytest.raises(InputError, match="reference must be matched"):
            trainer.accountant(reference=reference)
        assert trainer.accountant(run, reference=reference).algorithm.learn_epochs == 2
    # Orders are drawn once here, not in every epoch.
    for asked in ((), (run,)):
        with pytest.raises(InputError, match="keeps the one batch order"):
            trainer.accountant(*asked, batches="reshuffle")
    assert trainer.accountant(trainer.learn(X, labels, epochs=0)).algorithm.learn_epochs is None
    schedule = Schedule([Learn(), Unlearn(sigma=2.0)])
    scheduled = each(loss, labels, schedule=schedule, algorithm={"learn_epochs": None})
    assert scheduled.accountant(scheduled.learn(X, labels, epochs=2)).algorithm.learn_epochs == 2


def test_retraining_runs_the_steps_of_the_run_again() -> None:
    loss, labels = CASES[0]
    data = X.copy(), labels.copy()
    data[0][0], data[1][0] = X[1], labels[1]
    row = {"features": X[1:2], "labels": labels[1:2]}
    rate = [0.5, 0.25]
    for schedule, algorithm, steps in (
        (None, {}, [4, 3]),
        (None, {"learn_epochs": None}, [4, 0]),
        (of_steps(7), {}, [4]),
        (Schedule([Learn(), Unlearn(steps=2, step_size=rate), Unlearn()]), {}, [4]),
        (Schedule([Learn(), Unlearn(steps=2, step_size=rate), Unlearn()]), {"learn_epochs": None}, [4]),
        (Schedule([Learn(epochs=1), Learn(steps=2, batch_size=16), Unlearn(steps=3)]), {}, [None]),
    ):
        trainer = each(loss, labels, sigma=0, schedule=schedule, algorithm=algorithm)
        length = {"epochs": 3} if algorithm else {}
        run = trainer.learn(X, labels, **length)
        if schedule is None:
            assert trainer.retrain(run).steps == run.steps
        learned = run.learned
        for count in steps:
            run = trainer.unlearn(run, [0], **row, steps=count)
        again = trainer.retrain(run)
        assert (again.steps, again.learned, again.requests) == (run.steps, learned, run.requests)
        # The same on the new rows from the start, and without a request in between.
        fresh = trainer.learn(*data, **length, orders=run.orders)
        for count in steps:
            fresh = trainer.unlearn(fresh, [0], **row, steps=count)
        np.testing.assert_allclose(again.parameters, fresh.parameters, atol=1e-14)
        assert (again.batch_size, again.next_batch) == (run.batch_size, run.next_batch)


def test_a_run_of_other_settings_is_none_of_this_trainer() -> None:
    """Learned for one epoch or with hardly any noise, it would be accounted for as something else."""
    loss, labels = CASES[0]
    trainer = each(loss, labels)
    row = {"features": X[:1], "labels": labels[:1], "steps": 1}
    other = Logistic(regularisation=0.1, clip=0.5)
    for name, made in (
        ("algorithm", each(loss, labels, algorithm={"learn_epochs": 1})),
        ("algorithm", each(loss, labels, algorithm={"batch_size": 4})),
        ("algorithm", each(loss, labels, algorithm={"radius": 5.0})),
        ("sigma", each(loss, labels, sigma=1e-9)),
        ("schedule", each(loss, labels, schedule=of_steps(15))),
        ("loss", Trainer(other, trainer.algorithm, sigma=0.1)),
    ):
        run = made.learn(X, labels)
        for call in (trainer.retrain, trainer.accountant, lambda run: trainer.unlearn(run, [0], **row)):
            with pytest.raises(InputError, match=f"run must have been made with this trainer's {name}"):
                call(run)
    again = each(loss, labels, seed=None)
    assert again.unlearn(trainer.learn(X, labels), [0], **row).steps == 16


@pytest.mark.parametrize("orders", ["own", "shared"])
@pytest.mark.parametrize(("loss", "labels"), CASES, ids=NAMES)
def test_float32_is_the_type_of_rows_alone(loss: Loss, labels: Any, orders: str) -> None:
    """On rows that float32 holds exactly nothing differs from float64 but how sums are cut."""
    rows = X.astype(np.float32).astype(np.float64)
    y = np.asarray(labels).astype(np.float32).astype(np.float64)
    settings: dict[str, Any] = {"trials": 3, "orders": orders, "initial_variance": 0.5, "algorithm": {"radius": 0.7}}
    wide, narrow = (each(loss, labels, dtype=dtype, **settings).learn(rows, y) for dtype in ("float64", "float32"))
    assert narrow.features.dtype == np.float32
    assert narrow.parameters.dtype == np.float64
    np.testing.assert_allclose(narrow.parameters, wide.parameters, rtol=0, atol=1e-14)


def test_rows_are_checked_as_they_are_kept() -> None:
    """Rounding to float32 puts rows of norm one outside the bound: they are put back before they are used."""
    loss, labels = CASES[0]
    rows = unit_rows(np.random.default_rng(0).standard_normal((40, 30)))
    outside = np.linalg.norm(rows.astype(np.float32).astype(np.float64), axis=1) > 1
    assert outside.any()
    trainer = each(loss, labels, dtype="float32")
    run = trainer.learn(rows, labels)
    changed = trainer.unlearn(run, [0], features=rows[outside][:1], labels=[1], steps=1)
    for kept in (run.features, changed.features):
        assert np.linalg.norm(kept.astype(np.float64), axis=1).max() <= 1.0
    refused("features must be finite numbers", lambda: trainer.learn(np.full((40, 5), 1e300), labels))
    refused("features must be a numeric array", lambda: trainer.learn([["a"]], labels))


def test_schedules_run_step_by_step() -> None:
    loss, labels = CASES[0]
    rate = cosine(start=2.0, end=0.1, steps=9)
    schedule = Schedule(
        [
            Learn(steps=9, step_size=rate),
            Learn(epochs=2, batch_size=16),
            Learn(steps=2),
            Unlearn(steps=2, step_size=[0.5, 0.25]),
            Unlearn(),
        ]
    )
    trainer = each(loss, labels, sigma=0, schedule=schedule, algorithm={"learn_epochs": None})
    run = trainer.learn(X, labels)
    order, w, eta = run.orders[0], np.zeros(5), trainer.algorithm.eta

    def step(w: Any, size: int, j: int, eta: float) -> Any:
        batch = order[j * size : (j + 1) * size]
        return w - eta * gradient(loss, w, X[batch], labels[batch])

    for k in range(9):
        w = step(w, 8, k % 5, rate(np.array([float(k)]))[0])
    for k in range(6):
        w = step(w, 16, k % 3, eta)
    for k in range(2):
        w = step(w, 8, k, eta)
    np.testing.assert_allclose(run.parameters[:, 0], w, atol=1e-14)
    after = trainer.unlearn(run, [0], features=X[:1], labels=labels[:1], steps=4)
    for k, size in enumerate([0.5, 0.25, eta, eta], start=2):
        w = step(w, 8, k % 5, size)
    np.testing.assert_allclose(after.parameters[:, 0], w, atol=1e-14)
    assert after.steps == 21
    with pytest.raises(InputError, match="must be at least 2, those of the schedule, got 1"):
        trainer.unlearn(run, [0], features=X[:1], labels=labels[:1], steps=1)
    with pytest.raises(InputError, match="constant algorithm"):
        trainer.unlearn(after, [1], features=X[:1], labels=labels[:1], steps=4)
    with pytest.raises(InputError, match="must be left out with a schedule"):
        trainer.learn(X, labels, steps=3)


def test_noise_of_a_schedule_follows_its_sigma() -> None:
    loss, labels = CASES[0]
    schedule = Schedule([Learn(steps=1, sigma=0.0), Unlearn(steps=1, sigma=3.0)])
    trainer = each(loss, labels, trials=4000, orders="shared", schedule=schedule)
    run = trainer.learn(X, labels)
    np.testing.assert_allclose(run.parameters, run.parameters[:, :1] + np.zeros(4000), atol=1e-13)
    run = trainer.unlearn(run, [0], features=X[:1], labels=labels[:1])
    assert np.abs(run.parameters.std(axis=1) / trainer.algorithm.noise_std(0.3) - 1).max() < 4.5 / math.sqrt(8000)


def test_progress_counts_to_its_total() -> None:
    seen: list[tuple[int, int]] = []
    each(*CASES[0], trials=3, orders="shared").learn(X, SIGNS, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (15, 15)


# Baselines


def test_descent_to_delete_is_descent_and_one_noise() -> None:
    loss, labels = CASES[0]
    problem = loss.problem(40, adjacency="zero-out")
    trainer = descent_to_delete(loss, problem)
    run = trainer.learn(X, labels, steps=400)
    # Converged: the gradient of the objective is zero.
    assert np.abs(gradient(loss, run.parameters, X, labels)).max() < 1e-12
    after = trainer.unlearn(run, [2], steps=5)
    x = X.copy()
    x[2] = 0
    w = run.parameters
    for _ in range(5):
        w = w - 2 / (problem.smoothness + problem.strong_convexity) * gradient(loss, w, x, labels)
    np.testing.assert_allclose(after.parameters, w, atol=1e-14)
    released, kept = release(after, sigma=0.5, trials=4000, seed=1)
    assert kept is after
    assert released.shape == (5, 4000)
    assert np.abs((released - after.parameters).std(axis=1) / 0.5 - 1).max() < 4.5 / math.sqrt(8000)
    released, kept = release(after, sigma=0.5, seed=1, keep_secret=False)
    np.testing.assert_array_equal(kept.parameters, released)
    with pytest.raises(InputError, match="trials must be 1"):
        release(after, sigma=0.5, trials=2, keep_secret=False)


def test_langevin_and_retraining_are_full_batch() -> None:
    loss, labels = CASES[0]
    trainer = langevin(loss, loss.problem(40), sigma=0.1, seed=1)
    assert trainer.algorithm.steps_per_epoch == 1
    with pytest.raises(InputError, match="step_size must be at most 1/smoothness"):
        langevin(loss, loss.problem(40), sigma=0.1, step_size=1.5 / loss.smoothness)
    run = retrain(loss, loss.problem(40), X, labels, steps=400)
    assert np.abs(gradient(loss, run.parameters, X, labels)).max() < 1e-12


# Data


def images(seed: int, count: int = 12, side: int = 6) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, side, side)).astype(np.uint8), np.array([3, 8, 5] * (count // 3), np.uint8)


def write_idx(path: Path, array: Any, *, packed: bool) -> None:
    content = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    target = path.with_name(path.name + ".gz") if packed else path
    target.write_bytes(gzip.compress(content, mtime=0) if packed else content)


def test_npz_and_idx_files_give_the_published_preparation(tmp_path: Path) -> None:
    (x, y), (test_x, test_y) = images(1), images(2)
    np.savez_compressed(tmp_path / "d.npz", train_images=x, train_labels=y, test_images=test_x, test_labels=test_y)
    names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    for packed, (name, array) in zip((True, False, True, False), zip(names, (x, y, test_x, test_y), strict=True), strict=True):
        write_idx(tmp_path / name, array, packed=packed)
    digits = load_mnist(tmp_path / "d.npz", rows=None)
    other = load_mnist(tmp_path, rows=6)
    row = x[3].reshape(-1) / 255 - 0.5
    np.testing.assert_allclose(digits.features[1], row / np.linalg.norm(row), rtol=1e-14)
    assert digits.labels.tolist() == [1] * 4 + [-1] * 4
    np.testing.assert_array_equal(other.features, digits.features[:6])
    np.testing.assert_array_equal(other.test_features, digits.test_features)


def test_damaged_files_give_one_sentence(tmp_path: Path) -> None:
    x, y = images(1)
    good = tmp_path / "good.npz"
    np.savez_compressed(good, train_images=x, train_labels=y, test_images=x, test_labels=y)
    content = good.read_bytes()
    bad: dict[str, bytes] = {
        "cut": content[: len(content) // 2],
        "flipped": content[:60] + bytes(b ^ 0x5A for b in content[60:200]) + content[200:],
        "text": b"not a zip file",
        "empty": b"",
    }
    for name, data in bad.items():
        (tmp_path / f"{name}.npz").write_bytes(data)
        with pytest.raises(InputError, match=r"data file .* must be a \.npz file of train_images"):
            load(tmp_path / f"{name}.npz")
    np.savez(tmp_path / "less.npz", train_images=x, train_labels=y)
    with pytest.raises(InputError, match="no array test_images"):
        load(tmp_path / "less.npz")
    np.save(tmp_path / "one.npy", x)
    with pytest.raises(InputError, match="one array"):
        load(tmp_path / "one.npy")
    np.savez(tmp_path / "objects.npz", train_images=np.array([{}]), train_labels=y, test_images=x, test_labels=y)
    with pytest.raises(InputError, match=r"must be a \.npz file"):
        load(tmp_path / "objects.npz")
    np.savez(tmp_path / "shapes.npz", train_images=x, train_labels=y[:-1], test_images=x, test_labels=y)
    with pytest.raises(InputError, match=r"training data in .* must be images"):
        load(tmp_path / "shapes.npz")
    np.savez(tmp_path / "digits.npz", train_images=x, train_labels=y * 0, test_images=x, test_labels=y)
    with pytest.raises(InputError, match="must have images of the digits 3 or 8"):
        load(tmp_path / "digits.npz")
    np.savez(tmp_path / "grey.npz", train_images=x * 0.0 + np.nan, train_labels=y, test_images=x, test_labels=y)
    with pytest.raises(InputError, match="pixels from 0 to 255"):
        load(tmp_path / "grey.npz")
    with pytest.raises(InputError, match="rows must be a whole number from 1 to 8, got 11264"):
        load(good)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        load(tmp_path / "nowhere.npz")
    with pytest.raises(InputError, match="must have a file train-images-idx3-ubyte"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "header"),
        (bytes([0, 0, 8, 1]) + struct.pack(">I", 5) + b"1234", "5 bytes of data are announced, 4 are there"),
        (bytes([0, 0, 8, 1]) + struct.pack(">I", 3) + b"1234", "3 bytes of data are announced, more are there"),
        (bytes([0, 0, 9, 1]) + struct.pack(">I", 1) + b"1", "header must say bytes"),
        (gzip.compress(bytes([0, 0, 8, 1]) + struct.pack(">I", 40) + bytes(40), mtime=0)[:-12], "IDX"),
        (b"\x1f\x8bnonsense", "IDX"),
    ],
)
def test_damaged_idx_files(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_idx(tmp_path / "f", dimensions=1)
    huge = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**31, 2**31, 2**31)
    (tmp_path / "huge").write_bytes(huge)
    with pytest.raises(InputError, match="header asks for"):
        read_idx(tmp_path / "huge", dimensions=3)


def test_the_embedded_digits_or_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "sklearn.datasets", None)
        with pytest.raises(MissingExtraError, match=r"pip install 'unlearning-accountant\[sklearn\]'"):
            load()
    pytest.importorskip("sklearn")
    digits = load_digits()
    assert digits.features.shape == (287, 64)
    assert digits.test_features.shape == (70, 64)
    assert np.linalg.norm(digits.features, axis=1) == pytest.approx(1)
    loss = Logistic(regularisation=0.01)
    run = retrain(loss, loss.problem(287), digits.features, digits.labels, steps=300)
    assert accuracy(loss, run.parameters, digits.test_features, digits.test_labels)[0] > 0.9


def test_replacements_are_unit_vectors_with_both_labels() -> None:
    x, y = random_points(200, 7, np.random.default_rng(0))
    assert np.linalg.norm(x, axis=1) == pytest.approx(1)
    assert 60 < (y == 1).sum() < 140
    assert np.abs(x.mean(axis=0)).max() < 4.5 / math.sqrt(7 * 200)


@pytest.mark.skipif(not (DATA / "mnist_3v8.npz").exists(), reason="the published data is not here")
def test_noiseless_retraining_on_mnist_has_the_published_accuracy() -> None:
    """1786 of 1984 right after one point was replaced, as published; which point it is does not matter."""
    digits = load(DATA / "mnist_3v8.npz")
    assert digits.features.shape == (11_264, 784)
    assert ((digits.labels == 1).sum(), digits.test_labels.size) == (6131, 1984)
    loss = Logistic(regularisation=0.011264)
    assert check_constants(loss, digits.features[::500], digits.labels[::500]).smoothness <= 0.261264 * (1 + 1e-8)
    # A step of the fastest descent there is does what several of the published ones do.
    trainer = descent_to_delete(loss, preset("mnist"), dtype="float32")
    run = trainer.learn(digits.features, digits.labels, steps=150)
    right = accuracy(loss, run.parameters, digits.test_features, digits.test_labels)[0] * 1984
    assert abs(right - 1786) <= 2


# Refusals


def refused(words: str, call: Any) -> None:
    with pytest.raises(InputError, match=words):
        call()


def test_bad_losses() -> None:
    refused("regularisation must be", lambda: Logistic(regularisation=-1))
    refused("regularisation must be", lambda: Logistic(regularisation=math.nan))
    refused("feature_bound must be", lambda: Logistic(regularisation=1, feature_bound=0))
    refused("clip must be given for ridge", lambda: Ridge(regularisation=1))
    refused("width must be", lambda: SmoothedHinge(regularisation=1, width=0))
    refused("classes must be", lambda: Multinomial(regularisation=1, classes=1))
    refused("clip must be left out or at least sqrt", lambda: Multinomial(regularisation=1, classes=3, clip=1.0))


def test_bad_data() -> None:
    loss, labels = CASES[0]
    trainer = each(loss, labels)
    for value in (math.nan, math.inf, 1e200):
        x = X.copy()
        x[7, 2] = value
        refused("features must be finite numbers, got .* in row 7", lambda x=x: trainer.learn(x, labels))
    refused("features must have rows of norm at most feature_bound = 1, got .* in row", lambda: trainer.learn(3 * X, labels))
    refused("features must have shape", lambda: trainer.learn(X[0], labels))
    refused("features must be a numeric array", lambda: trainer.learn([["a"]], labels))
    refused("features must be a numeric array", lambda: trainer.learn([[1, 2], [3]], labels))
    refused("labels must be 1 or -1 for logistic, got 0", lambda: trainer.learn(X, labels * 0))
    refused("labels must be finite, got nan at row 1", lambda: trainer.learn(X, np.array([1, math.nan] * 20)))
    refused("labels must be a numeric array", lambda: trainer.learn(X, ["three"] * 40))
    refused("labels must be one for each of the 40 rows", lambda: trainer.learn(X, labels[:-1]))
    refused("labels must be integers from 0 to 2", lambda: each(CASES[5][0], CLASSES).learn(X, CLASSES + 1))
    refused("features must have n = 40 rows", lambda: trainer.learn(X[:39], labels[:39]))
    refused("orders must be permutations", lambda: trainer.learn(X, labels, orders=np.zeros((1, 40), int)))
    refused("parameters must have shape", lambda: scores(loss, np.zeros(4), X))
    refused("features must have rows of a finite norm > 0", lambda: unit_rows(np.zeros((2, 3))))


def test_bad_settings() -> None:
    loss, labels = CASES[0]
    refused("batch_size must be a whole number from 1 to 40, got 41", lambda: each(loss, labels, algorithm={"batch_size": 41}))
    refused("sigma must be", lambda: each(loss, labels, sigma=-1))
    refused("trials must be", lambda: each(loss, labels, trials=0))
    refused("orders must be one of own, shared", lambda: each(loss, labels, orders="mine"))
    refused("dtype must be one of", lambda: each(loss, labels, dtype="float16"))
    refused("seed must be", lambda: each(loss, labels, seed=-1))
    refused("initial_variance must be", lambda: each(loss, labels, initial_variance=-1))
    refused("initial must be a number or one for each of the 5", lambda: each(loss, labels, initial=[1, 2]).learn(X, labels))
    refused("loss must be a Loss", lambda: Trainer("logistic", PNSGD(preset("mnist")), sigma=1))
    refused("algorithm must be a PNSGD", lambda: Trainer(loss, preset("mnist"), sigma=1))
    flat = Problem(n=40, smoothness=0.3, strong_convexity=0.1)
    refused("smoothness of the problem must be at least 0.35", lambda: Trainer(loss, PNSGD(flat), sigma=1))
    steep = Problem(n=40, smoothness=0.35, strong_convexity=0.1, lipschitz=0.5)
    refused("lipschitz of the problem must be at least 1", lambda: Trainer(loss, PNSGD(steep), sigma=1))
    bent = Problem(n=40, smoothness=0.35, strong_convexity=0.2)
    refused("strong_convexity of the problem must be at most 0.1", lambda: Trainer(loss, PNSGD(bent), sigma=1))
    convex = Logistic(regularisation=0)
    refused("radius", lambda: each(convex, labels, algorithm={"learn_epochs": None}))
    assert each(convex, labels, algorithm={"learn_epochs": None, "radius": 1.0}).learn(X, labels, epochs=1).steps == 5


def test_bad_requests() -> None:
    loss, labels = CASES[0]
    trainer = each(loss, labels)
    run = trainer.learn(X, labels)
    row = {"features": X[:1], "labels": labels[:1], "steps": 1}
    for wrong in (40, -1):
        refused(f"removed must be .* from 0 to 39, got {wrong}", lambda wrong=wrong: trainer.unlearn(run, [wrong], **row))
    refused("removed must name every point once, got 3 2 times", lambda: trainer.unlearn(run, [3, 3], **row))
    for odd in ([], [1.5], [True], ["a"], [[1]], [[1], [1, 2]]):
        refused("removed must be row numbers", lambda odd=odd: trainer.unlearn(run, odd, **row))
    refused("features and labels must be given", lambda: trainer.unlearn(run, [1], steps=1))
    refused("features must have shape", lambda: trainer.unlearn(run, [1, 2], **row))
    refused("labels must be 1 or -1", lambda: trainer.unlearn(run, [1], features=X[:1], labels=[2], steps=1))
    refused("features must have rows of norm", lambda: trainer.unlearn(run, [1], features=9 * X[:1], labels=[1], steps=1))
    refused("exactly one of epochs and steps", lambda: trainer.unlearn(run, [1], **row, epochs=1))
    refused("run must be a Run of this trainer's 2 trials", lambda: each(loss, labels, trials=2).unlearn(run, [1], **row))
    refused("run must have float32 rows", lambda: each(loss, labels, dtype="float32").unlearn(run, [1], **row))
    out = each(loss, labels, adjacency="zero-out")
    refused("features and labels must be left out", lambda: out.unlearn(out.learn(X, labels), [1], **row))


def test_memory_that_would_not_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    loss, labels = CASES[0]
    monkeypatch.setattr(needs, "available_bytes", lambda: 1e6)
    refused(r"training needs about .* GB of memory and 1 MB are available: lower trials \(10000000\)",
            lambda: each(loss, labels, trials=10_000_000).learn(X, labels))  # fmt: skip
    monkeypatch.undo()
    assert 0 < needs.available_bytes() < math.inf


def test_without_psutil_no_memory_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert needs.available_bytes() == math.inf
    needs.check_memory(1e30, lower="nothing")


def test_overflow_is_announced() -> None:
    loss, labels = CASES[0]
    flat = Logistic(regularisation=0, feature_bound=1e-8)
    for dtype in ("float32", "float64"):
        loud = each(flat, labels, sigma=1e300, dtype=dtype)
        refused("sigma must be small enough", lambda loud=loud: loud.learn(1e-9 * X, labels))
    assert np.isfinite(each(loss, labels, sigma=1e200, dtype="float32").learn(X, labels).parameters).all()
    refused("must be finite numbers", lambda: scores(loss, np.full(5, math.nan), X))
    refused("must be finite numbers", lambda: accuracy(loss, np.full(5, 1.5e308), X * 1e10, labels))


def test_rows_that_rounding_puts_outside_the_bound_are_put_back() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 30))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    for features in (x * (1 + 5e-7), x.astype(np.float32)):
        kept, _ = check_points(Logistic(regularisation=0.1), features, np.ones(200))
        assert np.linalg.norm(kept.astype(np.float64), axis=1).max() <= 1.0
        assert np.allclose(kept, x, atol=1e-6)
