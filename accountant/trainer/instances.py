"""Instances to audit: data, losses and settings whose exact answer is known or whose harm is plain."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from accountant.numerics import InputError, choice, integer, number
from accountant.problem import FRESH, PNSGD, POISSON, SECRET
from accountant.questions import UnlearningAccountant
from accountant.requests import UnlearningStream
from accountant.trainer.losses import Array, Logistic, Loss


@dataclass(frozen=True, kw_only=True)
class Linear(Loss):
    """y s for labels +1 and -1, whose data gradient y x is the same everywhere: with it noisy SGD is exactly Gaussian."""

    name: ClassVar[str] = "linear"
    steepest: ClassVar[float] = 1.0
    labels: ClassVar[str] = "1 or -1"

    @property
    def curvature(self) -> float:
        return 0.0

    def values(self, scores: Array, labels: Array) -> Array:
        return labels * scores[..., 0]

    def derivatives(self, scores: Array, labels: Array) -> Array:
        return np.broadcast_to(labels[..., None], scores.shape).astype(scores.dtype)


#: An epsilon that every answer to a request keeps.
_NO_TARGET: Final = 1e6


class Asked(NamedTuple):
    """A later request: the row that goes, what takes its place under adjacency replace, and the steps that answer it."""

    removed: int
    replacement: tuple[Array, float] | None
    steps: int


@dataclass(frozen=True, eq=False)
class Instance:
    """One comparison: D, the point that is deleted, what replaces it, and how long learning and unlearning are.

    features (n, d), labels (n,): D. The batch order is the rows', so the last row is the one that a request finds worst.
    removed: its row. replacement: the (feature row, label) in its place under adjacency replace, None without one. witness: the
        row of a record that stays, whose direction shows which batch it is in, for runs of own draws.
    learn_epochs, unlearn_epochs: steps run; retraining takes as many. sigma: noise. delta: at which epsilons are compared.
    later: requests after the first one, whose answer has unlearn_epochs.
    """

    name: str
    description: str
    loss: Loss
    algorithm: PNSGD
    features: Array
    labels: Array
    removed: int
    replacement: tuple[Array, float] | None
    learn_epochs: int
    unlearn_epochs: int
    sigma: float
    delta: float
    #: Whether the two laws are Gaussian at exactly the distance that ``optimal`` gives.
    exact: bool = False
    dtype: str = "float64"
    witness: int | None = None
    later: tuple[Asked, ...] = ()

    def accountant(self, bound: str) -> UnlearningAccountant:
        """The claim that is audited: this batch order's, or of own draws the average over them, for matched retraining."""
        if self.algorithm.own_draws:
            return UnlearningAccountant(self.algorithm, bound=bound)
        position = self.removed // int(self.algorithm.batch_size)
        return UnlearningAccountant(self.algorithm, bound=bound, batches=position)

    def claim(self, bound: str) -> Claim:
        """What ``bound`` says after the last request, at delta."""
        own, first = self.algorithm.own_draws, self.unlearn_epochs * self.algorithm.steps_per_epoch
        if self.later:
            accountant = UnlearningAccountant(self.algorithm, bound=bound, batches="random" if own else "worst")
            # The target asks for nothing: requests were answered with so many steps, enough or not.
            stream = UnlearningStream(accountant, sigma=self.sigma, epsilon=_NO_TARGET, delta=self.delta)
            epsilon = stream.follow([first, *(each.steps for each in self.later)]).epsilon[-1]
            return Claim(bound, float(epsilon), None if own else stream.mu_worst)
        accountant = self.accountant(bound)
        if own:
            return Claim(bound, float(accountant.epsilon(sigma=self.sigma, epochs=self.unlearn_epochs, delta=self.delta)), None)
        guarantee = accountant.guarantee(sigma=self.sigma, epochs=self.unlearn_epochs)
        return Claim(bound, float(guarantee.epsilon(self.delta)), guarantee.mu_worst)


class Claim(NamedTuple):
    """What a bound says of the instance; mu is None for a Rényi bound, and for averages over draws."""

    bound: str
    epsilon: float
    mu: float | None


def gaussian_instance(
    *,
    mu: float = 2.0,
    n: int = 20,
    batch_size: int = 5,
    contraction: float = 0.9,
    adjacency: str = "replace",
    learn_epochs: int | None = None,
    requests: int = 1,
) -> Instance:
    """One parameter, linear losses and a quadratic regulariser: both laws are Gaussian, mu apart under ``optimal``.

    contraction: c in (0, 1) of a step. All points are +1; the deleted one becomes -1, or nothing under adjacency zero-out, and
    is visited last in an epoch. learn_epochs: accounted for as so many; None: as converged. requests: up to batch_size, one
    after the other and an epoch each, of points of that batch.
    """
    number("mu", mu, above=0)
    number("contraction", contraction, above=0, below=1)
    choice("adjacency", adjacency, ("replace", "zero-out"))
    loss = Linear(regularisation=1.0, feature_bound=1.0)
    algorithm = PNSGD(loss.problem(n, adjacency=adjacency), batch_size, step_size=1 - contraction, learn_epochs=learn_epochs)
    count = integer("requests", requests, at_least=1, at_most=int(algorithm.batch_sizes(algorithm.steps_per_epoch - 1)))
    # Learning that counts as converged is long enough for what its beginning would add to be a millionth.
    epochs = math.ceil(math.log(1e-7) / math.log(contraction) / algorithm.steps_per_epoch)
    new = (np.ones(1), -1.0) if adjacency == "replace" else None
    made = Instance(
        name=_gaussian_name(adjacency, learn_epochs, count),
        description="linear losses with an l2 regulariser, where both laws are Gaussian"
        + ("" if count == 1 else f", {count} requests")
        + ("" if learn_epochs is None else f", learned for {learn_epochs} epochs")
        + ("" if adjacency == "replace" else f", adjacency {adjacency}"),
        loss=loss,
        algorithm=algorithm,
        features=np.ones((n, 1)),
        labels=np.ones(n),
        removed=n - 1,
        replacement=new,
        learn_epochs=epochs if learn_epochs is None else learn_epochs,
        unlearn_epochs=1,
        sigma=1.0,
        delta=1 / n,
        exact=count == 1,
        later=tuple(Asked(n - 1 - each, new, algorithm.steps_per_epoch) for each in range(1, count)),
    )
    return _at(made, mu)


def _gaussian_name(adjacency: str, learn_epochs: int | None, requests: int) -> str:
    if requests > 1:
        return "stream"
    if learn_epochs is not None:
        return "finite"
    return "gaussian" if adjacency == "replace" else adjacency


def secret_instance(
    *,
    mu: float = 2.0,
    n: int = 8,
    batch_size: int = 2,
    contraction: float = 0.5,
    assignment: str = SECRET,
    learn_epochs: int | None = None,
    requests: int = 1,
) -> Instance:
    """Linear losses, records that draw their batches secretly, one that leaves: both laws are those that the claim is about.

    assignment: "secret", once for all epochs, or "fresh" or "poisson" in every epoch. learn_epochs, requests: as for
        gaussian_instance, up to n - 1 requests.
    mu: of the batch that is visited last. The leaver pulls along one axis, a witness that stays along another, which shows the
    witness's batch; all other records have no gradient. There is no limit to batch sizes, as losses are linear.
    """
    number("mu", mu, above=0)
    number("contraction", contraction, above=0, below=1)
    choice("assignment", assignment, (SECRET, FRESH, POISSON))
    count = integer("requests", requests, at_least=1, at_most=n - 1)
    if count > 1 and assignment != SECRET:
        raise InputError(
            f"assignment must be secret for {count} requests, got {assignment}: how they add up is proved for no other"
        )
    loss = Linear(regularisation=1.0, feature_bound=1.0)
    problem = loss.problem(n, adjacency="remove")
    algorithm = PNSGD(
        problem, batch_size, step_size=1 - contraction, assignment=assignment, largest_n=n, learn_epochs=learn_epochs
    )
    epochs = math.ceil(math.log(1e-7) / math.log(contraction) / algorithm.steps_per_epoch)
    features = np.zeros((n, 2))
    features[-count:, 0], features[0, 1] = 1.0, 1.0
    made = Instance(
        name=assignment,
        description=f"linear losses, {assignment} batches, "
        + ("one record leaves" if count == 1 else f"{count} records leave"),
        loss=loss,
        algorithm=algorithm,
        features=features,
        labels=np.ones(n),
        removed=n - 1,
        replacement=None,
        learn_epochs=epochs if learn_epochs is None else learn_epochs,
        unlearn_epochs=1,
        sigma=1.0,
        delta=0.05,
        witness=0,
        later=tuple(Asked(n - 1 - each, None, algorithm.steps_per_epoch) for each in range(1, count)),
    )
    # A partition that keeps its divisor has the same mu in each batch.
    same = PNSGD(loss.problem(n, adjacency="zero-out"), batch_size, step_size=1 - contraction)
    return replace(made, sigma=float(UnlearningAccountant(same).gdp(sigma=1.0, epochs=1).max()) / mu)


def _at(instance: Instance, mu: float) -> Instance:
    """The instance with the noise at which ``optimal`` gives mu."""
    unit = instance.claim("optimal").mu
    assert unit is not None
    return replace(instance, sigma=unit * instance.sigma / mu)


def logistic_instance(*, mu: float = 2.0, n: int = 60, batch_size: int = 20, dimension: int = 5) -> Instance:
    """Logistic regression on few points, of which the deleted one and its replacement pull in opposite directions."""
    number("mu", mu, above=0)
    loss = Logistic(regularisation=0.1, feature_bound=1.0)
    algorithm = PNSGD(loss.problem(n), batch_size)
    rng = np.random.default_rng(7)
    features = rng.standard_normal((n, dimension))
    features /= np.sqrt((features**2).sum(axis=1))[:, None]
    labels = np.where(features[:, 0] >= 0, 1.0, -1.0)
    # Wrongly labelled and in nobody else's direction: its gradient is the largest and nothing else counters it.
    features[-1], labels[-1] = np.eye(dimension)[0], -1.0
    made = Instance(
        name="logistic",
        description=f"logistic regression, {n} points with {dimension} features, the worst-case point",
        loss=loss,
        algorithm=algorithm,
        features=features,
        labels=labels,
        removed=n - 1,
        replacement=(features[-1], 1.0),
        learn_epochs=20,
        unlearn_epochs=1,
        sigma=1.0,
        delta=1 / n,
    )
    return _at(made, mu)


def data_instance(
    features: ArrayLike, labels: ArrayLike, *, epsilon: float = 1.0, batch_size: int = 128, learn_epochs: int = 20
) -> Instance:
    """Logistic regression on unit rows (n, d) with labels +1 and -1, the last row deleted and its label turned round.

    lambda = 1e-6 n as in the published experiments; sigma is what ``optimal`` asks for ``epsilon`` at 1/n, whatever the order.
    """
    n = int(np.size(labels))
    loss = Logistic(regularisation=1e-6 * n, feature_bound=1.0)
    algorithm = PNSGD(loss.problem(n), min(batch_size, n))
    sigma = float(UnlearningAccountant(algorithm, batches="worst").sigma(epsilon=epsilon, epochs=1))
    # Rows come sorted by label; batches should not be.
    order = np.random.default_rng(3).permutation(n)
    x, y = np.asarray(features)[order], np.asarray(labels, dtype=np.float64)[order]
    return Instance(
        name="data",
        description=f"logistic regression, {n} points with {x.shape[1]} features, a label turned round",
        loss=loss,
        algorithm=algorithm,
        features=x,
        labels=y,
        removed=n - 1,
        replacement=(x[-1], -float(y[-1])),
        learn_epochs=learn_epochs,
        unlearn_epochs=1,
        sigma=sigma,
        delta=1 / n,
        dtype="float32",
    )
