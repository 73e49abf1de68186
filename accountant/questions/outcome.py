"""The answer: what a run proves, or takes, with everything that rests on it; a refusal is a value for each row."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from accountant.averaging import EveryPlacement, OnePoint, OwnDraw, OwnPlacements, Placed, Placing, WorstSum
from accountant.bounds import Setting, assumptions_of
from accountant.curves import (
    CONTRACTION,
    GAUSSIAN,
    MAX_ALPHA,
    BallCurve,
    GDPCurve,
    Guarantee,
    Mixture,
    Paid,
    rounded_up,
    settled,
    too_far_apart,
)
from accountant.numerics import Floats, InputError, Numbers, UnreachableError, broadcast, numbers, plain, shown
from accountant.problem import RESHUFFLE, Number, Schedule, rounding_of
from accountant.questions.answers import epsilon_of, rdp_of, share_of_rounding
from accountant.questions.length import Length
from accountant.questions.query import Query, before, log_of
from accountant.questions.question import Refusals

#: What the accountant itself can be asked for.
Unknown = Literal["sigma", "epsilon", "delta", "epochs", "steps"]
UNKNOWNS: Final[tuple[str, ...]] = get_args(Unknown)
Value = float | Floats


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcome:
    """The answer to one question: its numbers in the common shape of the arguments, floats where all of them are scalars.

    answer: the unknown, as the accountant's method of that name gives it; NaN of a run that was asked for nothing yet.
    sigma, epsilon, delta: None where the question did not say it. steps: unlearning steps, those of a schedule included.
    Where a row has no answer the unknown is inf, and :attr:`refusals` says why. What follows from the numbers is computed when
    it is asked for; but for the refusals it is about single numbers, and raises InputError for arrays.
    """

    placing: Placing
    length: Length
    query: Query
    answer: Value = math.nan
    sigma: Value | None = None
    epsilon: Value | None = None
    delta: Value | None = None
    start_distance: Value | None = None
    refused: Refusals = field(default_factory=lambda: Refusals(raising=True))

    @property
    def steps(self) -> Value:
        """Unlearning steps in all."""
        return plain(self.query.steps)

    @property
    def refusals(self) -> dict[int, str]:
        """Why rows have no answer, by their place in the flattened question.

        >>> from accountant import PNSGD, UnlearningAccountant, preset
        >>> paper = UnlearningAccountant(PNSGD(preset("mnist"), 128), bound="paper")
        >>> paper.ask("epsilon", sigma=0.01, steps=[0, 88]).refusals[0]
        'steps must be at least 1 for bound=paper, which says nothing without unlearning, got 0; bound=optimal answers'
        """
        known = [np.shape(value) for value in (self.sigma, self.epsilon, self.delta) if value is not None]
        return self.refused.sentences(np.broadcast_shapes(self.query.steps.shape, self.query.start.shape, *known))

    @property
    def step_count(self) -> int:
        """The steps of a single question."""
        return int(self._single("step_count", "epochs and steps").query.steps)

    @property
    def gradient_evaluations(self) -> int:
        """Per-sample gradients that unlearning computes."""
        return self.length.gradient_evaluations(self.step_count)

    @cached_property
    def averaging(self) -> str:
        """How the average over placements is found: "exact", or the name of the upper bound."""
        self._single("step_count", "epochs and steps")
        return self.query.components.method(self.query.bound, self.query.setting, self.query.steps[None])

    @cached_property
    def split(self) -> tuple[int, ...]:
        """The unlearning steps of each block where blocks behind a radius prove most, in their order; one for a single string.

        The first block has all of learning, too, and may have no step more.
        """
        mixture = self._mixture
        if self.sigma is None or not isinstance(mixture.curve, BallCurve):
            return (self.step_count,)
        log_mu = mixture.log_mu(np.array([self._noise]))
        if self.epsilon is not None:
            epsilon = float(self.epsilon)
        elif self.delta is not None or self.length.setup.problem.n > 1:
            delta = self.length.setup.default_delta if self.delta is None else self.delta
            epsilon = float(mixture.curve.epsilon(np.log(np.array([delta])), mixture.log_weights, log_mu)[0])
        else:
            epsilon = 0.0
        return tuple(int(length) for length in mixture.curve.split(epsilon, mixture.log_weights, log_mu))

    @property
    def blocks(self) -> int:
        """Into how many blocks the run was split, where a radius lets them contract; 1: a single string."""
        return len(self.split)

    @cached_property
    def tightness(self) -> float | None:
        """mu/mu_exact where the points are said to be, or at their worst; None where no exact case is known, or with blocks."""
        return self._tightness(self.placing)

    @cached_property
    def tightness_worst(self) -> float | None:
        """mu/mu_exact where the points are said to be, otherwise at their worst whatever the batches are averaged over."""
        said = isinstance(self.placing.batches, (int, tuple))
        return self.tightness if said else self._tightness(self.placing.worst)

    def _tightness(self, placing: Placing) -> float | None:
        query = self._single("tightness", "epochs, steps and start_distance").query
        if placing.setting.algorithm.rounding is not None or (query.ball is not None and self.blocks > 1):
            return None
        counts = np.ones(1) if query.setting.given_distance else placing.judged(query.steps)
        if counts is None:
            return None
        gap = query.bound.log_tightness(query.setting, counts, int(query.steps), float(log_of(query.start)))
        return None if gap is None else math.exp(gap)

    @cached_property
    def _at_worst(self) -> Query:
        """The same run with the points where they do most; a given distance is one number, wherever they are."""
        given = self.query.setting.given_distance
        return self.query if given else replace(self.query, components=self.placing.worst.components)

    @property
    def epsilon_proved(self) -> Value:
        """Smallest epsilon proven at this delta for this noise and length, rounded up."""
        known = {"sigma": np.asarray(self._noise), "delta": np.asarray(self.delta)}
        values = epsilon_of(self.query, **known)
        if np.isnan(values).any():
            raise too_far_apart()
        if self.placing.bounds_average and not self.query.setting.given_distance:
            values = np.fmin(values, epsilon_of(self._at_worst, **known))
        return plain(values)

    @property
    def epochs(self) -> Value | None:
        """The steps in epochs, whole numbers where they are; None where batches have several sizes."""
        if not self.length.counts_epochs:
            return None
        steps, per_epoch = self.step_count, self.length.steps_per_epoch
        return steps // per_epoch if steps % per_epoch == 0 else steps / per_epoch

    @property
    def mu_worst(self) -> float | None:
        """GDP bound whatever the batch order, None for the published bounds, and where blocks contract: they prove points of a
        curve, and no mu."""
        if self.query.ball is not None and self.blocks > 1:
            return None
        query, noise = self._single("mu_worst", "epochs, steps and start_distance")._at_worst, np.array([self._noise])
        mixture = query.mixture(query.steps[None], query.start[None])
        mu = rounded_up(mixture.log_mu(noise)[0])
        return float(mu.max()) if mixture.curve.kind in (*GAUSSIAN, CONTRACTION) else None

    @property
    def gdp(self) -> Floats:
        """mu of one point in every batch position 0 ... J-1 (cell, for a schedule), of strings; shape (..., J)."""
        query = self.query
        if not query.setting.given_distance:
            query = replace(query, components=self.placing.every_position)
        n, start, noise = broadcast(query.steps, query.start, np.asarray(self._noise))
        log_mu = query.mixture(n.ravel(), start.ravel()).log_mu(noise.ravel())
        return rounded_up(log_mu).reshape(*n.shape, -1)

    def rdp(self, alpha: ArrayLike) -> Value:
        """Bound on both Rényi divergences of order ``alpha`` > 1, rounded up; UnreachableError beyond the largest double."""
        rounding = rounding_of(self.placing.setting.algorithm)
        if rounding is not None and rounding.constant > 0:
            raise InputError(
                "Rényi divergences with rounding need a radius: without one the parameters are bounded but for a chance"
            )
        if self.way is not None and (self.way.added > 0 or self.way.redrawn > 0):
            raise InputError(
                "Rényi divergences need batches that are never too large: with own draws they may be, which delta pays for"
            )
        orders, noise = numbers("alpha", alpha, above=1, at_most=MAX_ALPHA), np.asarray(self._noise)
        values = rdp_of(self.query, sigma=noise, alpha=orders)
        if np.isnan(values).any():
            raise too_far_apart()
        if self.placing.bounds_average and not self.query.setting.given_distance:
            values = np.fmin(values, rdp_of(self._at_worst, sigma=noise, alpha=orders))
        if not np.all(np.isfinite(values)):
            raise UnreachableError("the divergence exceeds the largest double: sigma is too small or alpha too large")
        return plain(values)

    @cached_property
    def _mixture(self) -> Mixture:
        """The components of a single question, at sigma = 1."""
        query = self._single("guarantee", "epochs, steps and start_distance").query
        return query.mixture(query.steps[None], query.start[None])

    @cached_property
    def way(self) -> Paid | None:
        """How batches of own draws are paid for that may come out too large; None for a partition.

        The run must be the one that is paid for: a key that is redrawn at the start, or never.
        """
        if not self.placing.setting.algorithm.own_draws:
            return None
        mixture = self._mixture
        delta = self.length.setup.default_delta if self.delta is None else self.delta
        return settled(mixture.curve, np.log(np.array([delta])), mixture.log_weights, mixture.log_mu(np.array([self._noise])))

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the answer rests on, a sentence each."""
        setting, placing = self.query.setting, self.placing
        if self.way is not None and setting.algorithm.redraw is None:
            # The run that was answered for, where there was a choice.
            setting = replace(setting, algorithm=replace(setting.algorithm, redraw=self.way.redrawn > 0))
        return assumptions_of(setting, placing.batches, placing.group_size)

    @cached_property
    def guarantee(self) -> Guarantee:
        """The whole privacy curve, with what it rests on; of blocks, of the split that was found for the outcome's epsilon."""
        query, noise, mixture = self.query, self._noise, self._mixture
        assert isinstance(noise, float)
        setup, at = self.length.setup, np.array([noise])
        if self.placing.bounds_average and not query.setting.given_distance and setup.problem.n > 1:
            log_delta = np.log(np.array([setup.default_delta]))
            average = mixture.curve.epsilon(log_delta, mixture.log_weights, mixture.log_mu(at))[0]
            surely = self._at_worst.mixture(query.steps[None], query.start[None])
            if surely.curve.epsilon(log_delta, surely.log_weights, surely.log_mu(at))[0] < average:
                return replace(self, placing=self.placing.worst, query=self._at_worst).guarantee
        mu, blocks = rounded_up(mixture.log_mu(at)[0]), None
        bound, placing, kind = query.bound, self.placing, mixture.curve.kind
        if isinstance(mixture.curve, BallCurve):
            kind = CONTRACTION if self.blocks > 1 else GDPCurve().kind
            if self.blocks > 1:
                mu, blocks = mixture.curve.bounds(np.array(self.split, dtype=np.float64), mixture.log_mu(at))
        weights, paid = np.exp(mixture.log_weights), self._paid(mixture, mu)
        return Guarantee(
            kind=kind,
            blocks=blocks,
            **(
                paid
                if paid is not None
                else {"weights": weights, "values": mu if kind in (*GAUSSIAN, CONTRACTION) else 0.5 * mu**2}
            ),
            conversion=getattr(mixture.curve, "conversion", "exact"),
            statement=f"After {self.step_count} unlearning steps with noise sigma={shown(noise)}, the unlearned model is "
            f"indistinguishable from a retrained one, up to the curve given here ({bound.name} bound, batches "
            f"{placing.batches}, reference {placing.setting.reference}).",
            assumptions=self.assumptions,
            context={
                **self.settings,
                "source": bound.source,
                "sigma": noise,
                "steps": self.step_count,
                "averaging": self.averaging,
                "start_distance": self.start_distance,
            },
        )

    def _paid(self, mixture: Mixture, mu: Floats) -> dict[str, Any] | None:
        """Of own draws: components inside and outside, and what too large batches cost, as a Guarantee has them."""
        if self.way is None:
            return None
        inside, weights = mu.size - getattr(self.way.curve, "outside", 0), np.exp(mixture.log_weights)
        stand_in = (weights[inside:], mu[inside:]) if inside < mu.size else None
        own = {"weights": weights[:inside], "values": mu[:inside], "stand_in": stand_in}
        return own | {"added": self.way.added, "redrawn": self.way.redrawn}

    @property
    def rounding_share(self) -> float | None:
        """The share of epsilon that rounding costs; None where it is not accounted for."""
        if rounding_of(self.placing.setting.algorithm) is None:
            return None
        return float(share_of_rounding(self.query, sigma=np.asarray(self._noise), delta=np.asarray(self.delta)))

    def components_in(self, number: Number) -> Mixture:
        """The components of the privacy curve at sigma = 1 as numbers of any arithmetic, one row.

        InputError where the average over placements is bounded on a grid, which more digits do not make finer.
        """
        query = self._single("components_at", "epochs, steps and start_distance").query
        setting, start = self._in(number)
        return query.components.mixture(query.bound, setting, query.steps[None], start)

    def chain_in(self, number: Number) -> tuple[Numbers, Numbers, Numbers]:
        """Of blocks: log weights (C,) and log mu at sigma = 1 of the first block's components (C,) and of the others (B,)."""
        query, split = self.query, np.array(self.split, dtype=np.float64)
        setting, start = self._in(number)
        ball = query.bound.ball(setting)
        assert ball is not None
        log_weights = query.components.mixture(query.bound, setting, query.steps[None], start).log_weights
        first = before(query, setting, ball, split[:1], split.sum(keepdims=True), start, width=log_weights.size)
        each, where = np.unique(split[1:], return_inverse=True)
        return log_weights, first[0], np.asarray(ball.log_block(each))[where]

    def _in(self, number: Number) -> tuple[Setting, Numbers]:
        """The setting and log of the start distance (1,) as numbers of any arithmetic; InputError of averages on grids."""
        query = self.query
        if self.placing.setting.algorithm.rounding is not None:
            raise InputError("rounding is accounted for in doubles only: leave it out for answers to many digits")
        if not isinstance(query.components, (OnePoint, OwnDraw, OwnPlacements, Placed, WorstSum, EveryPlacement)):
            batches = self.placing.batches
            what = "reshuffled batches" if batches == RESHUFFLE else "a large group at random"
            raise InputError(f"batches={batches} averages {what} on a grid, of which doubles are all there is; use worst")
        ar, setting = number.arithmetic, replace(query.setting, number=number)
        given = 0.0 if self.start_distance is None else float(self.start_distance)
        with np.errstate(divide="ignore"):
            start = ar.log(ar.minimum(ar.asarray(number.read(given)), ar.exp(setting.constants.log_diameter)))
        return setting, np.reshape(np.asarray(start), 1)

    @property
    def settings(self) -> dict[str, Any]:
        """What the question was about, by the names of the accountant's arguments, as JSON types."""
        return described(self.placing, self.length.setup.schedule)

    @property
    def _noise(self) -> Value:
        if self.sigma is None:
            raise InputError("sigma must be given: what is asked for depends on the noise")
        return self.sigma

    def _single(self, name: str, arrays: str) -> Outcome:
        """This outcome, unless it is of several questions."""
        if self.query.steps.ndim or self.query.start.ndim:
            raise InputError(f"{name} takes single numbers; {arrays} must not be arrays")
        return self


def described(placing: Placing, schedule: Schedule | None) -> dict[str, Any]:
    """What is asked about, by the names of the accountant's arguments, as JSON types."""
    algorithm = placing.setting.algorithm
    return {
        "bound": placing.bound.name,
        "batches": list(placing.batches) if isinstance(placing.batches, tuple) else placing.batches,
        "reference": placing.setting.reference,
        "group_size": placing.group_size,
        "schedule": None if schedule is None else schedule.to_list(),
        "problem": algorithm.problem.to_dict(),
        "algorithm": algorithm.to_dict(),
    }
