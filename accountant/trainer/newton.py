"""Exact learning, and unlearning by Newton steps: the inner model is the secret, what is released has one Gaussian on it.

The run keeps its data and a *measured* residual: the norm of its gradient over m, with a bound on the rounding of its sums.
No model is further from the minimiser of its data than that, whatever came before ("Newton steps" in docs/theory.md). With a
budget, a request whose steps miss it is answered by learning anew, so that every run is within the budget of its minimiser, and
releases at noise sigma are (budget/sigma)-GDP beside the minimiser with the same noise. Residuals, and when a run learned anew,
depend on the data: they stay secret, as the inner model does. What the noise is worth: :mod:`accountant.trainer.training`.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accountant.curves import gdp_epsilon
from accountant.numerics import Floats, InputError, UnreachableError, choice, integer, number
from accountant.problem import Problem
from accountant.trainer.losses import Array, Loss
from accountant.trainer.points import check_points, is_sparse, row_norms, row_numbers, scores
from accountant.trainer.step_auditing import LEAST_SAMPLES, ToldApart, tell_apart

#: What a step's gradient is of: all that is left, or the points that go alone, as published.
GRADIENTS: Final = ("all", "removed")
#: Most Newton steps of learning, and halvings of one of them.
_MOST_STEPS: Final = 200
_HALVINGS: Final = 40
_UNIT: Final = 2.0**-53


@dataclass(frozen=True, eq=False)
class NewtonRun:
    """A model and its data; unlearning gives another one.

    parameters: (outputs*d,), read-only, the inner model. features (n, d), labels (n,): the data now; zeroed: (n,) whether a
    point was dropped. residual: bound on the distance from the minimiser, measured. requests: answered. steps: Newton steps so
    far, those of learning included. relearned: requests that were answered by learning anew.
    """

    loss: Loss
    problem: Problem
    parameters: Floats
    features: Floats
    labels: Array
    zeroed: NDArray[np.bool_]
    residual: float
    requests: int = 0
    steps: int = 0
    relearned: int = 0

    def __post_init__(self) -> None:
        self.parameters.flags.writeable = False

    def unlearn(
        self,
        rows: ArrayLike,
        *,
        features: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        steps: int = 1,
        gradient: Literal["all", "removed"] = "all",
        budget: float | None = None,
    ) -> NewtonRun:
        """Delete ``rows``, numbers (S,), and take ``steps`` Newton steps on what is left.

        features (S, d), labels (S,): what replaces them under adjacency replace; left out under zero-out. gradient: of all that
        is left, which corrects what earlier steps missed; or of the rows that go alone, one step. budget: residual above which
        the run learns anew; None: never. Raises InputError for bad arguments, UnreachableError for a budget below rounding.

        >>> from accountant.trainer import Logistic, newton_learn
        >>> loss = Logistic(regularisation=0.1)
        >>> rows, labels = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.8, 0.6]]), [1, 1, -1, -1]
        >>> run = newton_learn(loss, loss.problem(4, adjacency="zero-out"), rows, labels)
        >>> after = run.unlearn([2])
        >>> run.residual < 1e-12 < after.residual < 0.1, after.unlearn([1], budget=1e-12).relearned
        (True, 1)
        """
        count = integer("steps", steps, at_least=0)
        most = None if budget is None else number("budget", budget, above=0)
        if choice("gradient", gradient, GRADIENTS) == "removed" and count != 1:
            raise InputError(f"steps must be 1 where gradient is removed: later steps need the gradient of all, got {count}")
        changed = self._without(rows, features, labels)
        w = self.parameters
        for _ in range(count):
            pull = changed._gradient(w)
            if gradient == "removed":
                pull = pull - self._gradient(w)
            w = w - np.linalg.solve(changed._hessian(w), pull)
        moved = replace(changed, parameters=w, steps=self.steps + count, requests=self.requests + 1)
        moved = replace(moved, residual=moved._measured(w))
        if most is None or moved.residual <= most:
            return moved
        anew = moved._minimised(tolerance=most)
        return replace(anew, relearned=self.relearned + 1)

    def release(self, *, sigma: float, trials: int = 1, seed: int | None = None) -> Floats:
        """Parameters with N(0, sigma^2 I) on them, (outputs*d, trials), of which one may be published.

        sigma >= 0. seed: for reproducible trials; give none where a guarantee matters, and no two releases the same.
        """
        std, count = number("sigma", sigma, at_least=0), integer("trials", trials, at_least=1)
        entropy = secrets.randbits(256) if seed is None else integer("seed", seed, at_least=0)
        noise = np.random.default_rng(entropy).standard_normal((count, self.parameters.size)).T
        return self.parameters[:, None] + std * noise

    def retrained(self) -> NewtonRun:
        """The same data learned from the beginning."""
        zero = replace(self, parameters=np.zeros(self.parameters.size), steps=0, requests=0, relearned=0)
        return zero._minimised(tolerance=None)

    def _without(self, rows: ArrayLike, features: ArrayLike | None, labels: ArrayLike | None) -> NewtonRun:
        """The run with other data."""
        at = row_numbers("rows", rows, self.labels.size)
        if self.zeroed[at].any():
            raise InputError(f"rows must be points that are still there, got {at[self.zeroed[at]][0]}, which was dropped")
        x, y, zeroed = self.features.copy(), self.labels.copy(), self.zeroed.copy()
        if self.problem.adjacency == "zero-out":
            if features is not None or labels is not None:
                raise InputError("features and labels must be left out under adjacency zero-out, which replaces nothing")
            x[at], zeroed[at] = 0.0, True
        else:
            if features is None or labels is None:
                raise InputError("features and labels must be given under adjacency replace: what takes the rows' place")
            new_x, new_y = check_points(self.loss, features, labels)
            if new_x.shape != (at.size, x.shape[1]):
                raise InputError(f"features must have shape {(at.size, x.shape[1])}, as the rows that go, got {new_x.shape}")
            x[at], y[at] = new_x, new_y
        return replace(self, features=x, labels=y, zeroed=zeroed)

    def _derivatives(self, w: Floats) -> tuple[Array, Array]:
        """Scores (n, outputs) and the clipped derivatives in them."""
        s = scores(self.loss, w, self.features)[:, 0]
        return s, self.loss.clipped(s, self.labels, self.loss.limits(row_norms(self.features)))

    def _gradient(self, w: Floats) -> Floats:
        r = self._derivatives(w)[1]
        data: Floats = (r.T @ self.features).reshape(w.shape) / self.labels.size
        return data + self.loss.regularisation * w

    def _hessian(self, w: Floats) -> Floats:
        s, r = self._derivatives(w)
        each, limits = self.loss.hessians(s, self.labels), self.loss.limits(row_norms(self.features))
        if limits is not None:
            # Where the clipping cuts a single output's derivative it is constant.
            each = np.where((np.abs(r) >= limits[:, None])[..., None], 0.0, each)
        k, d, x = self.loss.outputs, self.features.shape[1], self.features
        result = np.empty((k, d, k, d))
        for a in range(k):
            for b in range(a + 1):
                result[a, :, b, :] = (x.T * each[:, a, b]) @ x
                result[b, :, a, :] = result[a, :, b, :].T
        whole: Floats = result.reshape(k * d, k * d) / self.labels.size
        whole[np.diag_indices(k * d)] += self.loss.regularisation
        return whole

    def _measured(self, w: Floats, pull: Floats | None = None) -> float:
        """Bound on the distance from the minimiser: (||gradient|| + what rounding may hide)/m."""
        norm = float(np.linalg.norm(self._gradient(w) if pull is None else pull))
        return (norm + self._hidden(w, norm)) / self.problem.strong_convexity * (1 + 4 * _UNIT)

    def _hidden(self, w: Floats, norm: float) -> float:
        """Bound on the error of a gradient of that norm: sums of n and of d products are off by n and d units.

        Four times that, for several outputs and for the derivatives themselves.
        """
        (n, d), loss = self.features.shape, self.loss
        curved = loss.curvature * loss.feature_bound**2 * (d + 2) + 3 * loss.regularisation
        size = float(np.linalg.norm(w))
        return 4 * _UNIT * ((n + 8) * loss.lipschitz + curved * size + norm * (w.size + 2))

    def _minimised(self, *, tolerance: float | None) -> NewtonRun:
        """Newton steps, halved until the gradient shrinks, until it is all rounding, or within the tolerance."""
        w, steps = self.parameters, 0
        pull = self._gradient(w)
        while steps < _MOST_STEPS:
            norm = float(np.linalg.norm(pull))
            enough = norm <= self._hidden(w, norm) if tolerance is None else self._measured(w, pull) <= tolerance
            if enough:
                break
            step = np.linalg.solve(self._hessian(w), pull)
            for halving in range(_HALVINGS):
                tried = w - step * 0.5**halving
                next_pull = self._gradient(tried)
                if np.linalg.norm(next_pull) < norm:
                    break
            else:
                break
            w, pull, steps = tried, next_pull, steps + 1
        residual = self._measured(w)
        if tolerance is not None and residual > tolerance:
            raise UnreachableError(
                f"budget must be at least {residual:.3g}, what rounding leaves after learning, got {tolerance:g}"
            )
        return replace(self, parameters=w, residual=residual, steps=self.steps + steps)


def newton_learn(
    loss: Loss, problem: Problem, features: ArrayLike, labels: ArrayLike, *, tolerance: float | None = None
) -> NewtonRun:
    """The minimiser of the mean loss on features (n, d) and labels (n,), up to rounding or to a residual of ``tolerance``.

    problem: with the loss's constants, strongly convex, of n points, adjacency replace or zero-out. A step solves a linear
    system of outputs*d unknowns and keeps it in memory. Raises InputError for bad arguments and for sparse features,
    UnreachableError for a tolerance below rounding.

    >>> from accountant.trainer import Logistic
    >>> loss = Logistic(regularisation=0.1)
    >>> run = newton_learn(loss, loss.problem(4), np.eye(4), [1, 1, -1, -1])
    >>> released = run.release(sigma=0.01)
    >>> released.shape, run.residual < 1e-13
    ((4, 1), True)
    """
    loss.check_covered(problem)
    if not problem.strong_convexity > 0:
        raise InputError("strong_convexity must be > 0 for Newton steps, got 0")
    if problem.adjacency not in ("replace", "zero-out"):
        raise InputError(f"adjacency must be replace or zero-out for Newton steps, got {problem.adjacency}")
    if is_sparse(features):
        raise InputError("features must be a dense array for Newton steps, whose Hessians are dense, got a sparse matrix")
    most = None if tolerance is None else number("tolerance", tolerance, above=0)
    x, y = check_points(loss, features, labels)
    if y.size != problem.n:
        raise InputError(f"features must have n = {problem.n} rows, as the problem has, got {y.size}")
    start = NewtonRun(
        loss, problem, np.zeros(loss.outputs * x.shape[1]), x.astype(np.float64), y, np.zeros(y.size, dtype=np.bool_), 0.0
    )
    return start._minimised(tolerance=most)


@dataclass(frozen=True)
class NewtonAudit:
    """What releases tell, beside what is known of the two inner models.

    The two laws are Gaussians of one covariance, so no direction is better than the line between them, along which they are
    told apart.

    told: lower bounds from samples. mu_exact: distance of the two models over sigma, up to rounding. mu_measured: what the two
    residuals prove, which is no less.
    """

    told: ToldApart
    mu_exact: float
    mu_measured: float

    def refutes(self, mu: float) -> bool:
        """Whether a claim of mu-GDP is wrong, with the confidence of the bounds."""
        claimed = number("mu", mu, at_least=0)
        if self.told.mu_lower > claimed:
            return True
        return self.told.epsilon_lower > (gdp_epsilon(delta=self.told.delta, mu=claimed) if claimed > 0 else 0.0)


def audit_newton(
    run: NewtonRun,
    *,
    sigma: float,
    trials: int = 4000,
    delta: float = 1e-5,
    confidence: float = 0.99,
    seed: int | None = None,
) -> NewtonAudit:
    """Releases of ``run`` and of :meth:`~NewtonRun.retrained`, ``trials`` each, told apart; arguments as of ``audit_steps``.

    >>> from accountant.trainer import Logistic, newton_learn
    >>> loss = Logistic(regularisation=0.1)
    >>> rows, labels = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.8, 0.6]]), [1, 1, -1, -1]
    >>> run = newton_learn(loss, loss.problem(4, adjacency="zero-out"), rows, labels).unlearn([2])
    >>> found = audit_newton(run, sigma=0.005, seed=0)
    >>> found.told.mu_lower < found.mu_exact < found.mu_measured
    True
    """
    noise, count = number("sigma", sigma, above=0), integer("trials", trials, at_least=LEAST_SAMPLES)
    anew = run.retrained()
    apart = run.parameters - anew.parameters
    length = float(np.linalg.norm(apart))
    direction = apart / length if length > 0 else np.eye(1, apart.size)[0]
    seeds = (
        [None, None] if seed is None else np.random.SeedSequence(integer("seed", seed, at_least=0)).generate_state(2).tolist()
    )
    samples = [
        (direction @ each.release(sigma=noise, trials=count, seed=own))[None]
        for each, own in zip((run, anew), seeds, strict=True)
    ]
    told = tell_apart(*samples, delta=delta, confidence=confidence)
    return NewtonAudit(told, length / noise, (run.residual + anew.residual) / noise)
