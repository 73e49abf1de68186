"""Audits: how well trials of the real algorithm can be told apart, beside what the accountant claims.

Two laws are compared: parameters that were learned on D and unlearned, and parameters retrained on D' alike. Any threshold
test between them refutes (epsilon, delta)-indistinguishability as soon as

    1 - delta - beta > e^epsilon alpha            (alpha, beta: its errors of type I and II)

and mu-GDP as soon as Phi^-1(1 - alpha) - Phi^-1(beta) > mu. A part of the trials chooses the direction and the thresholds, the
others count errors, of which Clopper-Pearson intervals are taken: the lower bounds hold with the stated confidence whatever
the two laws are. They are bounds on what this attack sees, not guarantees: an attack that fails proves nothing.

Where records draw their batches by themselves every trial has a key of its own, and the test may use whatever else tells a draw
(:mod:`accountant.trainer.drawn_auditing`). Trials run in chunks (:mod:`accountant.trainer.audited`), of which numbers along a
few directions are kept: only the trials that choose these keep all parameters, so there is a limit to them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from accountant.curves import gdp_epsilon
from accountant.numerics import Floats, Progress, check_jobs, integer, number
from accountant.trainer.audited import ChunkSeeds, run_chunks
from accountant.trainer.drawn_auditing import Cells, cell_scores, chosen_test, shown_epsilon, witness_cells
from accountant.trainer.faults import check_fault
from accountant.trainer.instances import Claim, Instance
from accountant.trainer.losses import Array
from accountant.trainer.trade_off import epsilon_of_errors, error_bound, mu_of_errors, normal_cdf

#: Of every so many trials one more is made to choose the test with.
_PILOT: Final = 5
#: The same of own draws, whose laws are no normal ones: there it is chosen by counting.
_OWN_PILOT: Final = 2
#: Most of those, where means choose and where counts do, and most of their parameters together.
_MOST_PILOTS: Final = 20_000
_MOST_OWN_PILOTS: Final = 100_000
_MOST_NUMBERS: Final = 1 << 22
#: Fewest trials of each law; fewer would bound nothing.
LEAST: Final = 100
#: Points of the empirical trade-off curve.
_POINTS: Final = 25


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
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Run ``trials`` of unlearning and as many of retraining, and bound how far apart they are from below.

    A fifth more choose the test, half as many more where records draw by themselves, but at most 20,000 and 100,000, and no
    more than 32 MB hold. trials: at least 100. confidence: in (0, 1), of each lower bound. fault: one of ``FAULTS``, to see
    whether it is found; those of draws are for secret draws. jobs: processes, at least 1, or -1 for one on each processor;
    None: as ``joblib.parallel_config`` says, else one. What is found does not depend on it. progress: told of trials done.
    The claims are those of ``optimal`` and, of a partition that has learned until it converged, ``paper`` for the algorithm as
    it should have run.

    >>> from accountant.trainer import gaussian_instance
    >>> found = audit(gaussian_instance(mu=2.0), trials=500, seed=0)
    >>> found.mu_lower < 2.0, found.violated
    (True, ())
    """
    count = integer("trials", trials, at_least=LEAST)
    level = number("confidence", confidence, above=0, below=1)
    check_fault(fault, instance.algorithm, instance.name)
    own, risk, workers = instance.algorithm.own_draws, (1 - level) / 2, check_jobs(jobs)
    pilot, seeds = _pilot(instance, count), ChunkSeeds(seed)
    first = run_chunks(
        instance, pilot, seeds=seeds, fault=fault, directions=None, jobs=workers, progress=_told(progress, 0, pilot + count)
    )
    towards = _directions(instance, first.unlearned, first.retrained)
    others = run_chunks(
        instance, count, seeds=seeds, fault=fault, directions=towards, jobs=workers,
        progress=_told(progress, pilot, pilot + count),
    )  # fmt: skip
    ours, theirs = (
        np.concatenate([towards @ of_pilot, of_others], axis=1)
        for of_pilot, of_others in ((first.unlearned, others.unlearned), (first.retrained, others.retrained))
    )
    cells = _all_cells(first.cells, others.cells)
    scores, null = (ours[0], theirs[0]) if not own else _best_scores(instance, ours, theirs, cells, pilot)
    tests = _Tests(scores[:pilot], null[:pilot], scores[pilot:], null[pilot:], risk=risk)
    mu = tests.mu_lower()
    if own:
        test = chosen_test(scores[:pilot], null[:pilot], delta=instance.delta, risk=1 - level)
        epsilon = shown_epsilon(test, scores[pilot:], null[pilot:], delta=instance.delta, risk=1 - level)
    else:
        epsilon = tests.epsilon_lower(instance.delta)
    bounds = ("optimal",) if own or instance.algorithm.learn_epochs is not None else ("optimal", "paper")
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
        claims=tuple(instance.claim(bound) for bound in bounds),
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


def _pilot(instance: Instance, count: int) -> int:
    """Trials that choose the test."""
    own, parameters = instance.algorithm.own_draws, instance.loss.outputs * instance.features.shape[1]
    wanted = count // (_OWN_PILOT if own else _PILOT)
    return max(min(wanted, _MOST_OWN_PILOTS if own else _MOST_PILOTS, _MOST_NUMBERS // parameters), LEAST)


def _told(progress: Progress | None, begin: int, total: int) -> Progress | None:
    """Progress of some of all trials, from the ``begin``-th on."""
    return None if progress is None else lambda done, _: progress(begin + done, total)


def _all_cells(first: tuple[Cells, Cells] | None, others: tuple[Cells, Cells] | None) -> tuple[Cells, Cells] | None:
    """What was published in all trials, (trials,) each."""
    if first is None or others is None:
        return None
    return np.concatenate([first[0], others[0]]), np.concatenate([first[1], others[1]])


def _best_scores(
    instance: Instance, ours: Floats, theirs: Floats, published: tuple[Cells, Cells] | None, pilot: int
) -> tuple[Floats, Floats]:
    """Scores (trials,) in cells, if they see clearly more in the second half of the pilot than those without.

    ours, theirs: along the direction, and along the witness's where there is one, (k, trials).
    """
    half, best, most = pilot // 2, (ours[0], theirs[0]), -1.0
    tried = [best]
    if published is not None:
        tried.append(cell_scores(ours[0], theirs[0], *published, half))
    elif instance.witness is not None:
        tried.append(cell_scores(ours[0], theirs[0], *witness_cells(ours[1], theirs[1], half), half))
    for one, other in tried:
        test = chosen_test(one[:half], other[:half], delta=instance.delta, risk=0.1)
        found = shown_epsilon(test, one[half:pilot], other[half:pilot], delta=instance.delta, risk=0.1)
        # Cells that tell nothing cost a little, so they must win clearly.
        if found > most * 1.02:
            best, most = (one, other), found
    return best


def _directions(instance: Instance, unlearned: Array, retrained: Array) -> Array:
    """What parameters are looked at along, (k, p): where laws separate, and the witness."""
    found = _direction(instance, unlearned, retrained)
    if instance.witness is None:
        return found[None]
    return np.stack([found, np.asarray(instance.features[instance.witness], dtype=np.float64)])


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


def _exact(instance: Instance) -> float | None:
    """mu of the two Gaussians of an exact instance."""
    if not instance.exact:
        return None
    accountant = instance.accountant("optimal")
    mu, ratio = instance.claim("optimal").mu, accountant.tightness(epochs=instance.unlearn_epochs)
    return None if mu is None or ratio is None else mu / ratio
