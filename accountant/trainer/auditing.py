"""Audits: how well trials of the real algorithm can be told apart, beside what the accountant claims.

Two laws are compared: parameters that were learned on D and unlearned, and parameters retrained on D' alike. Any threshold
test between them refutes (epsilon, delta)-indistinguishability as soon as

    1 - delta - beta > e^epsilon alpha            (alpha, beta: its errors of type I and II)

and mu-GDP as soon as Phi^-1(1 - alpha) - Phi^-1(beta) > mu. A part of the trials chooses the direction and the thresholds, the
others count errors, of which Clopper-Pearson intervals are taken: the lower bounds hold with the stated confidence whatever
the two laws are. They are bounds on what this attack sees, not guarantees: an attack that fails proves nothing.

Where records draw their batches by themselves every trial has a key of its own, and the test may use whatever else tells a draw
(:mod:`accountant.trainer.drawn_auditing`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accountant.curves import gdp_epsilon
from accountant.numerics import Floats, InputError, Progress, choice, integer, number
from accountant.problem import PNSGD, SECRET
from accountant.trainer.drawn_auditing import (
    DRAW_FAULTS,
    Cells,
    Faulty,
    cell_scores,
    chosen_test,
    published_cells,
    shown_epsilon,
    witness_cells,
)
from accountant.trainer.instances import Instance
from accountant.trainer.losses import Array
from accountant.trainer.trade_off import epsilon_of_errors, error_bound, mu_of_errors, normal_cdf
from accountant.trainer.training import Trainer

#: Of every so many trials one more is made to choose the test with.
_PILOT: Final = 5
#: The same of own draws, whose laws are no normal ones: there it is chosen by counting.
_OWN_PILOT: Final = 2
#: Fewest trials of each law; fewer would bound nothing.
LEAST: Final = 100
#: Points of the empirical trade-off curve.
_POINTS: Final = 25
#: Ways to break the trainer on purpose, for audits of the audit.
FAULTS: Final[dict[str, str]] = {
    "half-noise": "every step adds half the noise",
    "short": "unlearning stops one epoch early",
    "kept": "unlearning goes on with the deleted point",
    **DRAW_FAULTS,
}


class Claim(NamedTuple):
    """What a bound says of the instance; mu is None for a Rényi bound."""

    bound: str
    epsilon: float
    mu: float | None


@dataclass(frozen=True)
class Audit:
    """Lower bounds, each with the given confidence, beside what is claimed.

    epsilon_lower: from threshold tests, whatever the laws are. mu_lower: of any mu-GDP that the laws have; mu_estimate: the
    distance of the means in standard deviations. epsilon_gdp_lower: epsilon of mu_lower-GDP at delta. mu_exact: of an instance
    with a closed form. violated: bounds whose claim is refuted. errors: type I and II error of thresholds, for a picture.
    """

    instance: str
    description: str
    trials: int
    confidence: float
    seed: int | None
    fault: str | None
    sigma: float
    delta: float
    epsilon_lower: float
    epsilon_gdp_lower: float
    mu_lower: float
    mu_estimate: float
    mu_exact: float | None
    claims: tuple[Claim, ...]
    errors: tuple[tuple[float, float], ...] = field(repr=False)

    @property
    def violated(self) -> tuple[str, ...]:
        """Bounds of which a lower bound lies above the claim."""
        return tuple(
            claim.bound
            for claim in self.claims
            if self.epsilon_lower > claim.epsilon or (claim.mu is not None and self.mu_lower > claim.mu)
        )

    def to_dict(self) -> dict[str, object]:
        """JSON types only."""
        names = (
            "instance", "description", "trials", "confidence", "seed", "fault", "sigma", "delta", "epsilon_lower",
            "epsilon_gdp_lower", "mu_lower", "mu_estimate", "mu_exact",
        )  # fmt: skip
        return {
            **{name: getattr(self, name) for name in names},
            "claims": [claim._asdict() for claim in self.claims],
            "violated": list(self.violated),
            "errors": [list(pair) for pair in self.errors],
        }


def audit(
    instance: Instance,
    *,
    trials: int = 20_000,
    confidence: float = 0.99,
    seed: int | None = None,
    fault: str | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Run ``trials`` of unlearning and as many of retraining, and bound how far apart they are from below.

    A fifth more choose the test, half as many more where records draw by themselves. trials: at least 100. confidence: in
    (0, 1), of each lower bound. fault: one of ``FAULTS``, to see whether it is found; those of draws are for secret draws. The
    claims are those of ``optimal`` and, of a partition, ``paper`` for the algorithm as it should have run.

    >>> from accountant.trainer import gaussian_instance
    >>> found = audit(gaussian_instance(mu=2.0), trials=500, seed=0)
    >>> found.mu_lower < 2.0, found.violated
    (True, ())
    """
    count = integer("trials", trials, at_least=LEAST)
    level = number("confidence", confidence, above=0, below=1)
    if fault is not None:
        choice("fault", fault, tuple(FAULTS))
        if fault in DRAW_FAULTS and instance.algorithm.assignment != SECRET:
            raise InputError(f"fault={fault} needs an instance with secret draws, got {instance.name}")
    own, risk = instance.algorithm.own_draws, (1 - level) / 2
    pilot = max(count // (_OWN_PILOT if own else _PILOT), LEAST)
    unlearned, retrained, cells = _samples(instance, count + pilot, seed, fault, progress)
    direction = _direction(instance, unlearned[:, :pilot], retrained[:, :pilot])
    ours, theirs = direction @ unlearned, direction @ retrained
    if own:
        ours, theirs = _best_scores(instance, (unlearned, retrained), (ours, theirs), cells, pilot)
    tests = _Tests(ours[:pilot], theirs[:pilot], ours[pilot:], theirs[pilot:], risk=risk)
    mu = tests.mu_lower()
    if own:
        test = chosen_test(ours[:pilot], theirs[:pilot], delta=instance.delta, risk=1 - level)
        epsilon = shown_epsilon(test, ours[pilot:], theirs[pilot:], delta=instance.delta, risk=1 - level)
    else:
        epsilon = tests.epsilon_lower(instance.delta)
    claims = tuple(_claim(instance, bound) for bound in (("optimal",) if own else ("optimal", "paper")))
    return Audit(
        instance=instance.name,
        description=instance.description,
        trials=count,
        confidence=level,
        seed=seed,
        fault=fault,
        sigma=instance.sigma,
        delta=instance.delta,
        epsilon_lower=epsilon,
        epsilon_gdp_lower=float(gdp_epsilon(delta=instance.delta, mu=mu)),
        mu_lower=mu,
        mu_estimate=tests.distance(),
        mu_exact=_exact(instance),
        claims=claims,
        errors=tests.errors(),
    )


class _Tests:
    """Threshold tests on scores that grow towards the unlearned law, chosen on one part of them and counted on another."""

    def __init__(self, pilot: Floats, pilot_null: Floats, scores: Floats, null: Floats, *, risk: float) -> None:
        self.scores, self.null, self.risk = np.sort(scores), np.sort(null), risk
        centre, spread = pilot.mean(), pilot.std() or 1.0
        null_centre, null_spread = pilot_null.mean(), pilot_null.std() or 1.0
        first, last = min(centre - 4 * spread, null_centre - 4 * null_spread), max(centre, null_centre)
        self.thresholds = np.linspace(first, last + 4 * max(spread, null_spread), 400)
        # Expected errors of two normal laws choose well for others, too, and more steadily than counts of rare errors.
        self.expected = (
            normal_cdf(-(self.thresholds - null_centre) / null_spread),
            normal_cdf((self.thresholds - centre) / spread),
        )

    def mu_lower(self) -> float:
        return max(self._best(mu_of_errors), 0.0)

    def epsilon_lower(self, delta: float) -> float:
        # Either law may be the null: the larger of the two bounds is in [1 - confidence] only if their risks are shared.
        half = self.risk / 2
        forward = self._best(lambda a, b: epsilon_of_errors(a, b, delta), risk=half)
        backward = self._best(lambda a, b: epsilon_of_errors(b, a, delta), risk=half)
        return max(forward, backward, 0.0)

    def distance(self) -> float:
        """Of the means, in standard deviations."""
        spread = math.sqrt((self.scores.var() + self.null.var()) / 2)
        return float(abs(self.scores.mean() - self.null.mean())) / spread if spread > 0 else 0.0

    def errors(self) -> tuple[tuple[float, float], ...]:
        """Counted errors of thresholds from one end to the other."""
        return tuple(self._counted(t) for t in self.thresholds[:: self.thresholds.size // _POINTS])

    def _counted(self, threshold: float) -> tuple[float, float]:
        count = self.null.size
        return (
            (count - int(np.searchsorted(self.null, threshold, "right"))) / count,
            int(np.searchsorted(self.scores, threshold, "right")) / count,
        )

    def _best(self, bound: Callable[[Floats, Floats], Floats], *, risk: float | None = None) -> float:
        """The bound of the test that is expected to give the largest one."""
        share, count = self.risk if risk is None else risk, self.null.size
        value = bound(error_bound(self.expected[0], count, share), error_bound(self.expected[1], count, share))
        alpha, beta = self._counted(self.thresholds[int(np.argmax(value))])
        return float(bound(error_bound(np.array(alpha), count, share), error_bound(np.array(beta), count, share)))


def _best_scores(
    instance: Instance,
    samples: tuple[Array, Array],
    plain: tuple[Floats, Floats],
    published: tuple[Cells, Cells] | None,
    pilot: int,
) -> tuple[Floats, Floats]:
    """Scores in cells, if they see clearly more in the second half of the pilot than those without."""
    half, best, most = pilot // 2, plain, -1.0
    cells = witness_cells(instance, *samples, half) if published is None else published
    for ours, theirs in (plain, cell_scores(*plain, *cells, half)):
        test = chosen_test(ours[:half], theirs[:half], delta=instance.delta, risk=0.1)
        found = shown_epsilon(test, ours[half:pilot], theirs[half:pilot], delta=instance.delta, risk=0.1)
        # Cells that tell nothing cost a little, so they must win clearly.
        if found > most * 1.02:
            best, most = (ours, theirs), found
    return best


def _samples(
    instance: Instance, trials: int, seed: int | None, fault: str | None, progress: Progress | None
) -> tuple[Array, Array, tuple[Cells, Cells] | None]:
    """Parameters (p, trials) after unlearning, and of retraining, and a cell of each trial, if something is published."""
    sigma = instance.sigma / 2 if fault == "half-noise" else instance.sigma
    whole, kept = instance.learn_epochs + instance.unlearn_epochs, fault == "kept"
    algorithm = replace(instance.algorithm, learn_epochs=whole) if kept else instance.algorithm
    trainer, order = _trainer(instance, algorithm, sigma, trials, seed, fault)
    parts = [0]

    def tell(done: int, total: int) -> None:
        if progress is not None:
            progress(int(1000 * (parts[0] + done / total)), 3000)

    x, y = instance.features, instance.labels
    row = [instance.removed]
    new_x, new_y = None, None
    if instance.replacement is not None:
        new_x, new_y = np.asarray(instance.replacement[0])[None], np.array([instance.replacement[1]])
    learned = trainer.learn(x, y, epochs=whole if kept else instance.learn_epochs, orders=order, progress=tell)
    parts[0] = 1
    epochs = 0 if kept else instance.unlearn_epochs - (fault == "short")
    changed = trainer.unlearn(learned, row, features=new_x, labels=new_y, epochs=epochs, progress=tell)
    parts[0] = 2
    if fault == "short":
        # Retraining is as long as what should have run.
        changed = replace(changed, steps=changed.steps + trainer.algorithm.steps_per_epoch)
    cells = published_cells(learned, instance.removed, seed) if fault == "sizes" else None
    return changed.parameters, trainer.retrain(changed, progress=tell).parameters, cells


def _trainer(
    instance: Instance, algorithm: PNSGD, sigma: float, trials: int, seed: int | None, fault: str | None
) -> tuple[Trainer, NDArray[np.int64] | None]:
    """The trainer, and the one batch order of all trials; None where every trial has draws of its own."""
    if algorithm.own_draws:
        return Faulty(instance.loss, algorithm, sigma=sigma, trials=trials, dtype=instance.dtype, seed=seed, fault=fault), None
    shared = Trainer(instance.loss, algorithm, sigma=sigma, trials=trials, orders="shared", dtype=instance.dtype, seed=seed)
    return shared, np.arange(instance.labels.size)[None]


def _direction(instance: Instance, unlearned: Array, retrained: Array) -> Array:
    """Of all directions that may separate the laws the one that does on the pilot's second half, (p,)."""
    half = unlearned.shape[1] // 2
    one, other = unlearned[:, :half].astype(np.float64), retrained[:, :half].astype(np.float64)
    gap = one.mean(axis=1) - other.mean(axis=1)
    found = [gap]
    if instance.loss.outputs == 1:
        # The deleted point pushes along its row.
        found.append(np.asarray(instance.features[instance.removed], dtype=np.float64))
    size = gap.size
    if 4 * size <= half:
        within = (np.cov(one) + np.cov(other)).reshape(size, size)
        found.append(np.linalg.solve(within + 1e-9 * np.trace(within) / size * np.eye(size) + 1e-300 * np.eye(size), gap))
    best, power = gap, -1.0
    for direction in found:
        ours, theirs = direction @ unlearned[:, half:], direction @ retrained[:, half:]
        spread = math.sqrt(float(ours.var() + theirs.var()))
        separation = float(ours.mean() - theirs.mean()) / spread if spread > 0 else 0.0
        if abs(separation) > power:
            best, power = math.copysign(1.0, separation) * direction, abs(separation)
    return best


def _claim(instance: Instance, bound: str) -> Claim:
    if instance.algorithm.own_draws:
        found = instance.accountant(bound).epsilon(sigma=instance.sigma, epochs=instance.unlearn_epochs, delta=instance.delta)
        return Claim(bound, float(found), None)
    guarantee = instance.accountant(bound).guarantee(sigma=instance.sigma, epochs=instance.unlearn_epochs)
    return Claim(bound, float(guarantee.epsilon(instance.delta)), guarantee.mu_worst)


def _exact(instance: Instance) -> float | None:
    """mu of the two Gaussians of an exact instance."""
    if not instance.exact:
        return None
    accountant = instance.accountant("optimal")
    mu, ratio = _claim(instance, "optimal").mu, accountant.tightness(epochs=instance.unlearn_epochs)
    return None if mu is None or ratio is None else mu / ratio
