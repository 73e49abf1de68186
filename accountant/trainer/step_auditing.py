"""Audits of noisy fine-tuning: unlearning against retraining and the same noisy steps, beside what is claimed.

Samples of the two final laws are told apart by a threshold test on a projection. Half of a pilot finds directions, the other
half chooses one and the thresholds, and the trials left count errors: Clopper-Pearson intervals make of them lower bounds on
epsilon and mu that hold with the stated confidence whatever the laws are. A bound that stays below the claim proves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from accountant.curves import Guarantee
from accountant.numerics import Floats, InputError, Progress, integer, number
from accountant.problem import Schedule, Stepping
from accountant.questions import StepAccountant
from accountant.trainer.fine_tuning import fine_tune
from accountant.trainer.noise import Seeds
from accountant.trainer.step_losses import StepLoss
from accountant.trainer.trade_off import epsilon_of_errors, error_bound, mu_of_errors, normal_cdf

#: Fewest trials of each law; of a third of them a test is chosen.
LEAST_SAMPLES: Final = 30
#: Most parameters of which all covariances are used.
_MOST_COVARIANCES: Final = 200
#: Thresholds that are looked at.
_THRESHOLDS: Final = 400
#: Bounds that near to the best are as good; the middle of them is the safest.
_AS_GOOD: Final = 1e-3
#: Directions that must win by so much in standard deviations, relatively, to be preferred to the one before.
_CLEARLY: Final = 1.05
Bound = Callable[[Floats, Floats], Floats]


@dataclass(frozen=True)
class ToldApart:
    """How far apart two laws are at least: epsilon_lower at delta and mu_lower, each with the given confidence.

    trials: samples of each law that errors were counted on. distance: of the means along the direction, in standard deviations.
    """

    trials: int
    confidence: float
    delta: float
    epsilon_lower: float
    mu_lower: float
    distance: float

    def refutes(self, guarantee: Guarantee) -> bool:
        """Whether the claim is wrong, by its epsilon at delta or, of a single Gaussian, by its mu."""
        if self.epsilon_lower > guarantee.epsilon(self.delta):
            return True
        return guarantee.kind == "gdp" and guarantee.values.size == 1 and self.mu_lower > float(guarantee.values[0])


@dataclass(frozen=True)
class StepInstance:
    """Two starts and the noisy steps that both take.

    start, reference: parameters (p,) of the model that learned with the records, and of the one that did not. features (n, d),
    labels (n,): what is retained. delta: at which epsilon is compared. schedule: step sizes and noise that change on the way;
    steps are then those of its open last phase, None where there is none.
    """

    name: str
    description: str
    loss: StepLoss
    algorithm: Stepping
    sigma: float
    steps: int | None
    start: Floats
    reference: Floats
    features: Floats
    labels: Floats
    batch_size: int
    delta: float = 1e-5
    schedule: Schedule | None = None

    @property
    def guarantee(self) -> Guarantee:
        """What the accountant claims."""
        accountant = StepAccountant(self.algorithm, schedule=self.schedule)
        outcome = accountant.ask("epsilon", sigma=self.sigma, delta=self.delta, steps=self.steps)
        return replace(outcome, epsilon=outcome.answer).guarantee


def audit_steps(
    instance: StepInstance,
    *,
    trials: int = 4000,
    confidence: float = 0.99,
    seed: int | None = None,
    fault: str | None = None,
    progress: Progress | None = None,
) -> ToldApart:
    """Run ``trials`` of unlearning and as many of the reference, and bound how far apart they are from below.

    fault: one of ``STEP_FAULTS``, of the unlearning run and the reference alike, as a wrong program would have it.

    >>> from accountant.trainer import repulsive_instance
    >>> found = audit_steps(repulsive_instance(mu=2.0), trials=2000, seed=0)
    >>> 1.5 < found.mu_lower < 2.0
    True
    """
    count = integer("trials", trials, at_least=LEAST_SAMPLES)
    order_seed, *rest = Seeds(seed).spawn().spawn(3)
    # Both runs go through one order, which may be public: the claim holds whatever it is.
    order = np.random.default_rng(order_seed).permutation(instance.labels.size)
    samples, seeds = [], [None if seed is None else int(each.generate_state(1)[0]) for each in rest]
    for part, start in enumerate((instance.start, instance.reference)):

        def tell(done: int, total: int, part: int = part) -> None:
            if progress is not None:
                progress(part * total + done, 2 * total)

        samples.append(
            fine_tune(
                instance.loss, instance.algorithm, start, instance.features, instance.labels, sigma=instance.sigma,
                steps=instance.steps, schedule=instance.schedule, batch_size=instance.batch_size, order=order, trials=count,
                seed=seeds[part], fault=fault, progress=tell,
            )
        )  # fmt: skip
    return tell_apart(*samples, delta=instance.delta, confidence=confidence)


def tell_apart(ours: ArrayLike, theirs: ArrayLike, *, delta: float, confidence: float = 0.99) -> ToldApart:
    """Lower bounds from independent samples of two laws, (p, trials) each: parameters, or whatever is released.

    delta: in (0, 1). confidence: in (0, 1), of each bound. Raises InputError for fewer than 30 trials, or other shapes.

    >>> rng = np.random.default_rng(0)
    >>> one, other = rng.standard_normal((2, 3, 3000))
    >>> one[1] += 2.0
    >>> found = tell_apart(one, other, delta=1e-5)
    >>> 1.6 < found.mu_lower < 2.0
    True
    """
    a, b = (np.asarray(each, dtype=np.float64) for each in (ours, theirs))
    wrong = a.ndim != 2 or a.shape != b.shape or a.shape[1] < LEAST_SAMPLES
    if wrong or not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError(
            f"samples must be finite, (p, trials) both with at least {LEAST_SAMPLES} trials, got {a.shape} and {b.shape}"
        )
    level, share = number("confidence", confidence, above=0, below=1), number("delta", delta, above=0, below=1)
    pilot = a.shape[1] // 3
    direction = _direction(a[:, :pilot], b[:, :pilot])
    scores, null = direction @ a, direction @ b
    test = _Thresholds(scores[:pilot], null[:pilot], scores[pilot:], null[pilot:])
    risk = 1 - level
    # Either law may be the null: they share the risk, and so do the two errors of a test.
    forward = test.bound(lambda alpha, beta: epsilon_of_errors(alpha, beta, share), risk / 4)
    backward = test.bound(lambda alpha, beta: epsilon_of_errors(beta, alpha, share), risk / 4)
    spread = math.sqrt((test.scores.var() + test.null.var()) / 2)
    gap = abs(float(test.scores.mean() - test.null.mean()))
    return ToldApart(
        trials=a.shape[1] - pilot,
        confidence=level,
        delta=share,
        epsilon_lower=max(forward, backward, 0.0),
        mu_lower=max(test.bound(mu_of_errors, risk / 2), 0.0),
        distance=gap / spread if spread > 0 else (math.inf if gap > 0 else 0.0),
    )


class _Thresholds:
    """Threshold tests on scores that grow towards our law, chosen on a pilot and counted on other trials."""

    def __init__(self, pilot: Floats, pilot_null: Floats, scores: Floats, null: Floats) -> None:
        self.scores, self.null = scores, null
        ends = np.concatenate([pilot, pilot_null])
        self.thresholds = np.linspace(ends.min(), ends.max(), _THRESHOLDS)
        # Two normal laws choose more steadily than counts of rare errors; without any spread counts are all there is.
        self.expected = tuple(
            _below(sign * (self.thresholds - sample.mean()), float(sample.std()))
            for sign, sample in ((-1.0, pilot_null), (1.0, pilot))
        )

    def bound(self, value: Bound, risk: float) -> float:
        """Of the test that is expected to give the largest bound, wrong with probability 2 ``risk``."""
        count = self.null.size
        expected = value(error_bound(self.expected[0], count, risk), error_bound(self.expected[1], count, risk))
        best = float(expected.max())
        if not best > -math.inf:
            return -math.inf
        good = np.flatnonzero(expected >= best - _AS_GOOD * abs(best))
        threshold = self.thresholds[good[good.size // 2]]
        alpha, beta = float((self.null > threshold).mean()), float((self.scores <= threshold).mean())
        return float(value(error_bound(np.array(alpha), count, risk), error_bound(np.array(beta), count, risk)))


def _direction(ours: Floats, theirs: Floats) -> Floats:
    """Of directions from the first half of a pilot the one that separates its second half best, (p,)."""
    half = ours.shape[1] // 2
    one, other = ours[:, :half], theirs[:, :half]
    gap = one.mean(axis=1) - other.mean(axis=1)
    within = one.var(axis=1) + other.var(axis=1)
    # Entries that hardly vary tell the most.
    found = [gap, gap / (within + 1e-12 * within.max() + 1e-300)]
    if gap.size <= _MOST_COVARIANCES and 4 * gap.size <= half and gap.size > 1:
        joint = np.cov(one) + np.cov(other)
        found.append(np.linalg.solve(joint + (1e-9 * np.trace(joint) / gap.size + 1e-300) * np.eye(gap.size), gap))
    best, power = gap, -1.0
    for each in found:
        longest = float(np.abs(each).max())
        if not 0 < longest < math.inf:
            continue
        direction = each / longest
        mine, null = direction @ ours[:, half:], direction @ theirs[:, half:]
        spread = math.sqrt(float(mine.var() + null.var()))
        separation = float(mine.mean() - null.mean())
        seen = abs(separation) / spread if spread > 0 else (math.inf if separation else 0.0)
        if seen > power * _CLEARLY:
            best, power = math.copysign(1.0, separation) * direction, seen
    return best


def _below(distance: Floats, spread: float) -> Floats:
    return normal_cdf(distance / spread) if spread > 0 else np.where(distance > 0, 1.0, np.where(distance < 0, 0.0, 0.5))
