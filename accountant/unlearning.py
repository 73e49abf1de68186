"""The accountant: sigma, epsilon, delta, epochs and steps of a PNSGD (un)learning run, each from the others."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accountant import solve
from accountant.algorithm import PNSGD
from accountant.arithmetic import DOUBLE
from accountant.bounds import BOUNDS, Bound, Setting
from accountant.bounds.optimal import Optimal
from accountant.divergences.curves import MARGIN, Curve, rounded_up
from accountant.divergences.renyi import MAX_ALPHA
from accountant.guarantee import Guarantee
from accountant.problem import ADJACENCIES
from accountant.reference import MATCHED, describe, parse_reference
from accountant.shapes import broadcast, in_blocks, plain
from accountant.validation import (
    LARGEST,
    MAX_COUNT,
    SMALLEST,
    InputError,
    UnreachableError,
    choice,
    number,
    numbers,
    shown,
    word_or_count,
)

Floats = NDArray[np.float64]

RANDOM: Final = "random"
WORST: Final = "worst"
#: Largest epsilon asked about; its Gaussian mu is still in range.
MAX_EPSILON: Final = 1e290


class UnlearningAccountant:
    """Certified unlearning of one point with PNSGD, under a named bound.

    algorithm: the :class:`~accountant.algorithm.PNSGD`, with its problem.
    bound: "optimal", "paper" or "paper-geometric".
    batches: "random" (averaged over the draw of the batch order, by joint convexity), "worst" (whatever the order), or the
        position 0 ... J-1 of the deleted point's batch. Default: random for optimal, worst for the published bounds.
    reference: what retraining means: "matched", "converged", or a number of retraining epochs.

    Numeric arguments of the methods broadcast as NumPy arrays do; scalars give a float (epochs and steps: an int). All are
    keywords: sigma > 0; epsilon >= 0; delta in (0, 1), default 1/n; epochs or steps, whole numbers >= 0, exactly one of them;
    start_distance >= 0, a bound on the distance of the two models when unlearning starts, default what learning gives.
    Raises InputError for bad arguments and settings that prove nothing, UnreachableError where no answer exists.
    """

    def __init__(
        self,
        algorithm: PNSGD,
        *,
        bound: str = "optimal",
        batches: str | int | None = None,
        reference: str | int = "matched",
    ) -> None:
        if not isinstance(algorithm, PNSGD):
            raise InputError(f"algorithm must be a PNSGD, got {algorithm!r}")
        self._bound: Bound = BOUNDS[choice("bound", bound, BOUNDS)]
        self.algorithm = algorithm
        self.batches = word_or_count(
            "batches",
            self._bound.default_batches if batches is None else batches,
            words=(RANDOM, WORST),
            count="a position",
            at_least=0,
            at_most=algorithm.steps_per_epoch - 1,
        )
        self.reference = parse_reference(reference)
        # A given distance replaces learning, so a setting may be refused without one and allowed with it.
        self._refusal: InputError | None = None
        try:
            self._bound.check(Setting(algorithm, self.reference))
        except InputError as error:
            self._refusal = error
        self._complete = True

    def __setattr__(self, name: str, value: object) -> None:
        """Settings are fixed: results are remembered for them."""
        if getattr(self, "_complete", False):
            raise AttributeError(f"an UnlearningAccountant cannot be changed; with_({name}=...) gives another one")
        super().__setattr__(name, value)

    @property
    def bound(self) -> str:
        """The name of the bound."""
        return self._bound.name

    def with_(self, **changes: Any) -> UnlearningAccountant:
        """The same accountant with another ``bound``, ``batches`` or ``reference``; a new bound brings its default batches."""
        kept: dict[str, Any] = {"bound": self.bound, "reference": self.reference}
        if "bound" not in changes:
            kept["batches"] = self.batches
        return UnlearningAccountant(self.algorithm, **(kept | changes))

    def __repr__(self) -> str:
        words = f"bound={self.bound!r}, batches={self.batches!r}, reference={self.reference!r}"
        return f"UnlearningAccountant({self.algorithm!r}, {words})"

    def epsilon(
        self,
        *,
        sigma: ArrayLike,
        delta: ArrayLike | None = None,
        epochs: ArrayLike | None = None,
        steps: ArrayLike | None = None,
        start_distance: ArrayLike | None = None,
    ) -> Any:
        """Smallest epsilon proven at ``delta`` for noise ``sigma`` after unlearning, rounded up."""
        query = self._query(epochs, steps, start_distance)

        def block(n: Floats, start: Floats, noise: Floats, d: Floats) -> Floats:
            log_mu = query.log_mu(n, start, noise)
            return query.curve.epsilon(np.log(d), query.log_weights, log_mu)

        return plain(query.solve(block, self._sigma(sigma), self._delta(delta)))

    def delta(
        self,
        *,
        sigma: ArrayLike,
        epsilon: ArrayLike,
        epochs: ArrayLike | None = None,
        steps: ArrayLike | None = None,
        start_distance: ArrayLike | None = None,
    ) -> Any:
        """Smallest delta proven at ``epsilon`` for noise ``sigma`` after unlearning, rounded up."""
        query = self._query(epochs, steps, start_distance)

        def block(n: Floats, start: Floats, noise: Floats, e: Floats) -> Floats:
            log_mu = query.log_mu(n, start, noise)
            return np.exp(query.curve.log_delta(e, query.log_weights, log_mu))

        return plain(query.solve(block, self._sigma(sigma), self._epsilon(epsilon)))

    def sigma(
        self,
        *,
        epsilon: ArrayLike,
        delta: ArrayLike | None = None,
        epochs: ArrayLike | None = None,
        steps: ArrayLike | None = None,
        start_distance: ArrayLike | None = None,
    ) -> Any:
        """Smallest noise sigma that proves (``epsilon``, ``delta``) after unlearning.

        On the safe side: re-evaluated, it gives an epsilon at most the target. Where even less noise than 1e-300 would do,
        that number is returned.
        """
        query = self._query(epochs, steps, start_distance)

        def block(n: Floats, start: Floats, e: Floats, d: Floats) -> Floats:
            log_scale, log_delta = query.log_scale(n, start), np.log(d)
            peak = log_scale.max(axis=1)
            moving = np.isfinite(peak)
            log_sigma = np.full(n.size, -np.inf)
            with np.errstate(invalid="ignore"):
                shape = log_scale[moving] - peak[moving, None]
            if moving.any():
                scale = query.curve.log_scale(e[moving], log_delta[moving], query.log_weights, shape)
                log_sigma[moving] = peak[moving] - scale + MARGIN
            sigma = np.exp(np.minimum(log_sigma, 709.0))
            # The search ends within some roundings of the answer; step over until the reported epsilon meets the target.
            # Where epsilon is small against delta it follows sigma steeply, and the first step is smaller.
            push = 2.0**-45 * np.minimum(1.0, 0.5 * e / d)
            sigma = np.maximum(sigma * (1 + push), SMALLEST)
            unmet = np.arange(n.size)
            while unmet.size:
                if np.any(sigma > LARGEST):
                    row = int(np.argmax(sigma > LARGEST))
                    reason = f"it would exceed {LARGEST:g}"
                    if query.curve.kind != "gdp":
                        # The divergence goes with the square of the noise, which leaves the double range first.
                        reason = f"bound={self.bound} never reaches epsilon = 0 and is not resolved below 1e-150"
                    raise UnreachableError(f"no sigma proves epsilon={e[row]:g} at delta={d[row]:g}: {reason}")
                log_mu = log_scale[unmet] - np.log(sigma[unmet])[:, None]
                reached = query.curve.epsilon(log_delta[unmet], query.log_weights, log_mu)
                unmet = unmet[~(reached <= e[unmet])]
                push[unmet] = np.maximum(2 * push[unmet], 2.0**-52)
                sigma[unmet] *= 1 + push[unmet]
            return sigma

        return plain(query.solve(block, self._epsilon(epsilon), self._delta(delta)))

    def epochs(
        self,
        *,
        sigma: ArrayLike,
        epsilon: ArrayLike,
        delta: ArrayLike | None = None,
        start_distance: ArrayLike | None = None,
    ) -> Any:
        """Smallest whole number of unlearning epochs that proves (``epsilon``, ``delta``); may be 0 under "optimal"."""
        per_epoch = self.algorithm.steps_per_epoch
        fewest = 0.0 if self._bound.minimum_steps == 0 else 1.0
        return self._count("epochs", per_epoch, fewest, sigma, epsilon, delta, start_distance)

    def steps(
        self,
        *,
        sigma: ArrayLike,
        epsilon: ArrayLike,
        delta: ArrayLike | None = None,
        start_distance: ArrayLike | None = None,
    ) -> Any:
        """Smallest number of unlearning steps that proves (``epsilon``, ``delta``); an epoch has J = ceil(n/b) of them.

        Also correct for a reference of a fixed number of epochs, where more steps of a started epoch help but the guarantee
        need not improve from the last step of one epoch to the first of the next.
        """
        per_epoch = self.algorithm.steps_per_epoch
        fewest = float(self._bound.minimum_steps)
        if not isinstance(self.reference, int):
            return self._count("steps", 1, fewest, sigma, epsilon, delta, start_distance)
        # For a given number of whole epochs every further step is post-processing common to both runs; and with the same
        # remainder every further epoch helps. So: the fewest epochs that suffice with all J - 1 extra steps, then the steps.
        whole = self._count("steps", per_epoch, 0.0, sigma, epsilon, delta, start_distance, extra=per_epoch - 1)
        first = np.maximum(np.asarray(whole) * per_epoch, fewest)
        last = np.maximum(np.asarray(whole) * per_epoch + per_epoch - 1, fewest)
        return self._count("steps", 1, first, sigma, epsilon, delta, start_distance, most=last)

    def step_count(self, *, epochs: int | None = None, steps: int | None = None) -> int:
        """The number of steps that one of the two stands for (scalars only)."""
        count = self._steps(epochs, steps)
        if count.ndim:
            raise InputError("step_count takes single numbers; epochs and steps must not be arrays")
        return int(count)

    def rdp(
        self,
        *,
        alpha: ArrayLike,
        sigma: ArrayLike,
        epochs: ArrayLike | None = None,
        steps: ArrayLike | None = None,
        start_distance: ArrayLike | None = None,
    ) -> Any:
        """Bound on both Rényi divergences of order ``alpha`` > 1 after unlearning, rounded up."""
        query = self._query(epochs, steps, start_distance)
        orders = numbers("alpha", alpha, above=1, at_most=MAX_ALPHA)

        def block(n: Floats, start: Floats, noise: Floats, a: Floats) -> Floats:
            log_mu = query.log_mu(n, start, noise)
            return query.curve.rdp(a, query.log_weights, log_mu)

        values = plain(query.solve(block, self._sigma(sigma), orders))
        if not np.all(np.isfinite(values)):
            raise UnreachableError("the divergence exceeds the largest double: sigma is too small or alpha too large")
        return values

    def gdp(
        self,
        *,
        sigma: ArrayLike,
        epochs: ArrayLike | None = None,
        steps: ArrayLike | None = None,
        start_distance: ArrayLike | None = None,
    ) -> Floats:
        """mu for every batch position 0 ... J-1 of the deleted point, whatever ``batches`` is; shape (..., J)."""
        query = self._query(epochs, steps, start_distance)
        if query.curve.kind != "gdp":
            raise InputError(f"bound must be optimal for gdp, got {self.bound}, which proves Renyi divergences only")
        everywhere = query.positions if query.setting.given_distance else self.algorithm.all_positions().astype(np.float64)
        n, start, noise = broadcast(query.steps, query.start, self._sigma(sigma))
        log_mu = query.log_scale_at(everywhere, n.ravel(), start.ravel()) - np.log(noise.ravel())[:, None]
        return rounded_up(log_mu).reshape(*n.shape, -1)

    def guarantee(
        self,
        *,
        sigma: float,
        epochs: int | None = None,
        steps: int | None = None,
        start_distance: float | None = None,
    ) -> Guarantee:
        """The whole privacy curve after unlearning, with what it rests on (scalars only)."""
        query = self._query(epochs, steps, start_distance)
        noise = number("sigma", sigma, above=0)
        if query.steps.ndim or query.start.ndim:
            raise InputError("guarantee takes single numbers; epochs, steps and start_distance must not be arrays")
        mu = rounded_up(query.log_mu(query.steps[None], query.start[None], np.array([noise]))[0])
        gaussian = query.curve.kind == "gdp"
        n = int(query.steps)
        return Guarantee(
            kind=query.curve.kind,
            weights=query.weights,
            values=mu if gaussian else 0.5 * mu**2,
            conversion=getattr(query.curve, "conversion", "exact"),
            statement=self._statement(noise, n),
            assumptions=self.assumptions(given_distance=query.setting.given_distance),
            context={
                **self.to_dict(),
                "source": self._bound.source,
                "sigma": noise,
                "steps": n,
                "start_distance": None if start_distance is None else float(start_distance),
            },
        )

    def tightness(
        self, *, epochs: int | None = None, steps: int | None = None, start_distance: float | None = None
    ) -> float | None:
        """mu/mu_exact at the worst position: 1 means that two Gaussian runs attain the bound, so nothing can improve it.

        None for the published bounds, which prove no mu, and where the radius binds, where no exact case is known.
        """
        query = self._query(epochs, steps, start_distance)
        if query.steps.ndim or query.start.ndim:
            raise InputError("tightness takes single numbers; epochs, steps and start_distance must not be arrays")
        if not isinstance(self._bound, Optimal):
            return None
        position = int(self._positions[-1])
        gap = self._bound.log_tightness(query.setting, position, int(query.steps), float(_log(query.start)))
        return None if gap is None else math.exp(gap)

    def assumptions(self, *, given_distance: bool = False) -> tuple[str, ...]:
        """What the guarantee rests on, a sentence each."""
        algorithm, problem = self.algorithm, self.algorithm.problem
        convexity = (
            f"{shown(problem.strong_convexity)}-strongly convex" if problem.strong_convexity > 0 else "convex"
        )
        lines = [
            f"every point's loss is {shown(problem.smoothness)}-smooth and {convexity}",
            f"the data part of every per-sample gradient has norm at most {shown(problem.lipschitz)}, by construction or by "
            "clipping that keeps convexity and smoothness",
            f"adjacency {problem.adjacency}: {ADJACENCIES[problem.adjacency].meaning}",
            "cyclic batches: one random partition, visited in the same order in every epoch of learning and unlearning",
            f"reference {describe(self.reference)}",
        ]
        if given_distance:
            lines.append("start_distance bounds the distance between the two models when unlearning starts")
        elif algorithm.learn_epochs is None and self.reference == MATCHED:
            lines.append("learning has converged (or is bounded as if it had: any finite matched learning is covered)")
        elif algorithm.learn_epochs is None:
            lines.append("learning has run until its law no longer changes")
        else:
            lines.append(f"learning runs {algorithm.learn_epochs} epochs")
        if algorithm.radius is not None:
            lines.append(f"every step projects on a ball of radius {shown(algorithm.radius)}")
        if self.batches == WORST or given_distance:
            lines.append("holds for every batch order")
        elif self.batches == RANDOM:
            lines.append("averaged over the random batch order; requests do not depend on it")
        else:
            lines.append(f"the deleted point is in batch {self.batches} (counted from 0)")
        if algorithm.dropped_points and not given_distance:
            chance = algorithm.dropped_points / problem.n
            share = f"a point is among them with probability {chance:.3g}, which the average counts"
            lines.append(
                f"{algorithm.dropped_points} points are dropped by the batch order and never used"
                + (f"; {share}" if self.batches == RANDOM else "")
            )
        lines.append("the guarantee is about the released, unlearned model alone")
        return tuple(lines)

    def to_dict(self) -> dict[str, Any]:
        """Bound, batches, reference, problem and algorithm, as JSON types."""
        return {
            "bound": self.bound,
            "batches": self.batches,
            "reference": self.reference,
            "problem": self.algorithm.problem.to_dict(),
            "algorithm": self.algorithm.to_dict(),
        }

    # --- below: how a question becomes rows of numbers

    @cached_property
    def _positions(self) -> Floats:
        """The positions of the deleted point that are considered, and with them the mixture's components."""
        last = self.algorithm.steps_per_epoch - 1
        if self.batches == RANDOM:
            return self.algorithm.all_positions().astype(np.float64)
        # Later batches are contracted less before release, and a shorter last batch weighs its points more.
        return np.array([float(last if self.batches == WORST else self.batches)])

    @cached_property
    def _weights(self) -> Floats:
        if self.batches != RANDOM:
            return np.ones(1)
        sizes = self.algorithm.batch_sizes(self._positions)
        if self.algorithm.dropped_points:
            sizes = np.append(sizes, float(self.algorithm.dropped_points))
        return sizes / self.algorithm.problem.n

    def _query(self, epochs: ArrayLike | None, steps: ArrayLike | None, start_distance: ArrayLike | None) -> _Query:
        return _Query(self, self._steps(epochs, steps), self._start(start_distance), start_distance is not None)

    def _steps(self, epochs: ArrayLike | None, steps: ArrayLike | None) -> Floats:
        per_epoch = self.algorithm.steps_per_epoch
        if steps is not None and epochs is None:
            count = numbers("steps", steps, at_least=0, at_most=MAX_COUNT, whole=True)
        elif epochs is not None and steps is None:
            count = per_epoch * numbers("epochs", epochs, at_least=0, at_most=MAX_COUNT // per_epoch, whole=True)
        else:
            given = "both" if epochs is not None else "neither"
            raise InputError(f"give either epochs or steps (0 is allowed), got {given}")
        if not np.all(count >= self._bound.minimum_steps):
            name = "steps" if steps is not None else "epochs"
            raise InputError(
                f"{name} must be at least 1 for bound={self.bound}, which says nothing without unlearning, got 0; "
                "bound=optimal answers"
            )
        return count

    def _start(self, start_distance: ArrayLike | None) -> Floats:
        if start_distance is None:
            return np.zeros(())
        if isinstance(self.reference, int):
            raise InputError(
                f"start_distance needs a reference that runs alongside unlearning, matched or converged, got reference="
                f"{self.reference}"
            )
        return np.minimum(numbers("start_distance", start_distance, at_least=0, sized=True), self.algorithm.diameter)

    def _sigma(self, sigma: ArrayLike) -> Floats:
        return numbers("sigma", sigma, above=0, sized=True)

    def _epsilon(self, epsilon: ArrayLike) -> Floats:
        return numbers("epsilon", epsilon, at_least=0, at_most=MAX_EPSILON, sized=True)

    def _delta(self, delta: ArrayLike | None) -> Floats:
        return numbers("delta", self.default_delta if delta is None else delta, above=0, below=1, sized=True)

    @property
    def default_delta(self) -> float:
        """1/n; InputError for n = 1, where that is no probability below one."""
        if self.algorithm.problem.n == 1:
            raise InputError("delta must be given for n = 1: the default 1/n would be 1")
        return 1 / self.algorithm.problem.n

    def _count(
        self,
        unit: str,
        stride: int,
        fewest: ArrayLike,
        sigma: ArrayLike,
        epsilon: ArrayLike,
        delta: ArrayLike | None,
        start_distance: ArrayLike | None,
        extra: int = 0,
        most: ArrayLike | None = None,
    ) -> Any:
        """Smallest k from ``fewest`` to ``most`` such that stride * k + extra steps meet the target; monotone in between."""
        lowest = np.asarray(fewest, dtype=np.float64)
        query = _Query(self, lowest, self._start(start_distance), start_distance is not None)
        highest = np.asarray((MAX_COUNT - extra) // stride if most is None else most, dtype=np.float64)

        def block(low: Floats, start: Floats, high: Floats, noise: Floats, e: Floats, d: Floats) -> Floats:
            log_delta = np.log(d)

            def log_mu(count: Floats, rows: NDArray[np.intp]) -> Floats:
                return query.log_mu(stride * count + extra, start[rows], noise[rows])

            def holds(count: Floats, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
                reached = log_mu(count, rows)
                # No noise after the last difference: nothing is guaranteed, which is an answer here and no error.
                finite = reached.max(axis=1) < 345
                met = np.zeros(rows.size, dtype=bool)
                if finite.any():
                    some = rows[finite]
                    met[finite] = query.curve.meets(e[some], log_delta[some], query.log_weights, reached[finite])
                return met

            count = solve.smallest_count(holds, low=low, high=high)
            if np.isinf(count).any():
                row = np.array([int(np.argmax(np.isinf(count)))])
                limit = float(query.curve.epsilon(log_delta[row], query.log_weights, log_mu(high[row], row))[0])
                raise UnreachableError(
                    f"no number of {unit} up to {high[row[0]]:.0f} reaches epsilon={e[row[0]]:g} at delta={d[row[0]]:g} with "
                    f"sigma={noise[row[0]]:g}: {self._limit(limit, query.curve)}"
                )
            return count

        counts = query.solve(block, highest, self._sigma(sigma), self._epsilon(epsilon), self._delta(delta))
        return int(counts) if np.ndim(counts) == 0 else counts.astype(np.int64)

    def _limit(self, epsilon: float, curve: Curve) -> str:
        stays = f"epsilon stays at {epsilon:.4g} however long unlearning runs"
        if isinstance(self.reference, int):
            return f"{stays}, because retraining for {self.reference} epochs still remembers where it started"
        if curve.kind == "not-converged":
            learned = self.algorithm.learn_epochs
            return f"{stays}, because in this bound learning for {learned} epochs still remembers where it started"
        if self.algorithm.log_contraction == 0:
            return f"{stays}, because without strong convexity (contraction 1) it falls only as 1/sqrt(steps)"
        return stays

    def _statement(self, sigma: float, steps: int) -> str:
        return (
            f"After {steps} unlearning steps with noise sigma={shown(sigma)}, the unlearned model is indistinguishable from a "
            f"retrained one, up to the curve given here ({self.bound} bound, batches {self.batches}, reference "
            f"{self.reference})."
        )


class _Query:
    """The steps and start distances asked about, and the mixture of curves they lead to."""

    def __init__(self, owner: UnlearningAccountant, steps: Floats, start: Floats, given_distance: bool) -> None:
        if owner._refusal is not None and not given_distance:
            raise owner._refusal
        self.steps = steps
        self.start = start
        self.setting = Setting(owner.algorithm, owner.reference, given_distance)
        self.curve: Curve = owner._bound.curve(self.setting)
        # A given distance is one number, whatever the position was.
        self.positions = owner._positions[-1:] if given_distance else owner._positions
        self.weights = np.ones(1) if given_distance else owner._weights
        self.log_weights = np.log(self.weights)
        self._bound = owner._bound
        # The constants enter as logarithms, whose errors grow with their size.
        constants = (owner.algorithm.eta, owner.algorithm.problem.lipschitz, owner.algorithm.problem.n)
        self.rounding = 8 * DOUBLE.unit_roundoff * sum(abs(math.log(value)) for value in constants)

    def log_scale_at(self, positions: Floats, steps: Floats, start: Floats) -> Floats:
        """(J,), (P,), (P,) -> (P, J)."""
        return self._bound.log_scale(self.setting, positions, steps, _log(start)) + self.rounding

    def log_scale(self, steps: Floats, start: Floats) -> Floats:
        """(P,), (P,) -> (P, J), with a last column of -inf for points that no batch contains."""
        scale = self.log_scale_at(self.positions, steps, start)
        if self.weights.size > self.positions.size:
            scale = np.append(scale, np.full((scale.shape[0], 1), -np.inf), axis=1)
        return scale

    def log_mu(self, steps: Floats, start: Floats, sigma: Floats) -> Floats:
        """log mu of every component at the given noise, (P,) each -> (P, J)."""
        return self.log_scale(steps, start) - np.log(sigma)[:, None]

    def solve(self, block: Callable[..., Floats], *arguments: Floats) -> Floats:
        return in_blocks(block, self.steps, self.start, *arguments, width=self.weights.size)


def _log(values: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.log(values)
