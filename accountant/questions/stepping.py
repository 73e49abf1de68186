"""Questions about noisy steps that both runs share: fine-tuning and the like, without epochs or numbers of records.

The same questions as of :class:`UnlearningAccountant`, which makes this accountant where its algorithm is of that kind. sigma
is the standard deviation of one step's noise; delta has no default, since there is no n.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

import numpy as np

from accountant.bounds import CommonSteps, Witness
from accountant.curves import CONTRACTION, BlockCurve, Guarantee, Mixture, rounded_up, too_far_apart
from accountant.numerics import (
    DOUBLE,
    LARGEST,
    MAX_COUNT,
    Floats,
    InputError,
    UnreachableError,
    broadcast,
    digits,
    in_blocks,
    limit_of,
    plain,
    shown,
)
from accountant.problem import FineTuning, Stages, Stepping, closed
from accountant.questions.answers import Counting, delta_of, epsilon_of, sigma_of
from accountant.questions.question import Question, Refusals

Value = float | Floats
_SOLVERS: Final[dict[str, tuple[Callable[..., Floats], tuple[str, str]]]] = {
    "sigma": (sigma_of, ("epsilon", "delta")),
    "epsilon": (epsilon_of, ("sigma", "delta")),
    "delta": (delta_of, ("sigma", "epsilon")),
}


@dataclass(frozen=True, eq=False)
class StepQuery:
    """Numbers of steps asked about, and distances at their start (NaN: the algorithm's own), arrays that broadcast.

    stages: the schedule, whose own steps are counted in ``steps``.
    """

    algorithm: Stepping
    steps: Floats
    start: Floats
    stages: Stages | None = None
    width: int = 1

    def at(self, steps: Floats, start: Floats) -> StepQuery:
        """The same question about other rows."""
        return replace(self, steps=steps, start=start)

    def bound(self, start: float) -> CommonSteps:
        """The bound from models that far apart."""
        own = self.algorithm.start_distance
        start = own if math.isnan(start) else min(start, self.algorithm.diameter)
        stages = None if self.stages is None or self.stages.plain else self.stages
        return CommonSteps(self.algorithm, start, stages)

    def mixture(self, steps: Floats, start: Floats) -> Mixture:
        """The component at sigma = 1 for rows (P,) of one start."""
        bound = self.bound(float(start[0]))
        log_mu = bound.log_first(steps)
        # The constants enter with roundings, some of them as powers to the number of steps.
        log_mu = log_mu + 16 * DOUBLE.unit_roundoff * (1 + np.abs(np.where(np.isfinite(log_mu), log_mu, 0.0)))
        return Mixture(np.zeros(1), log_mu[:, None], bound.curve(steps))

    def solve(self, block: Callable[..., Floats], *arguments: Floats) -> Floats:
        """``block(steps, start, *arguments)`` on flattened rows that one mixture serves."""
        arrays = broadcast(self.steps, self.start, *arguments)
        flat = [array.ravel() for array in arrays]
        keys = np.nan_to_num(flat[1], nan=-1.0)
        result = np.empty(flat[0].size)
        for key in np.unique(keys).tolist():
            rows = keys == key
            result[rows] = in_blocks(block, *(array[rows] for array in flat))
        return result.reshape(arrays[0].shape)


@dataclass(frozen=True, eq=False, kw_only=True)
class StepOutcome:
    """The answer to one question about common steps; fields as of :class:`~accountant.questions.Outcome`."""

    query: StepQuery
    answer: Value = math.nan
    sigma: Value | None = None
    epsilon: Value | None = None
    delta: Value | None = None
    start_distance: Value | None = None
    refused: Refusals = field(default_factory=lambda: Refusals(raising=True))

    @property
    def algorithm(self) -> Stepping:
        return self.query.algorithm

    @property
    def steps(self) -> Value:
        """Noisy steps in all, those of a schedule included."""
        return plain(self.query.steps)

    @property
    def step_count(self) -> int:
        """The steps of a single question."""
        return int(self._single.query.steps)

    @property
    def refusals(self) -> dict[int, str]:
        """Why rows have no answer, by their place in the flattened question."""
        known = [np.shape(value) for value in (self.sigma, self.epsilon, self.delta) if value is not None]
        return self.refused.sentences(np.broadcast_shapes(self.query.steps.shape, self.query.start.shape, *known))

    @cached_property
    def split(self) -> tuple[int, ...]:
        """The steps of each block, in their order, where the model is clipped in every step; one for a single string."""
        mixture, log_mu = self._mixture
        if not isinstance(mixture.curve, BlockCurve):
            return (self.step_count,)
        epsilon = 0.0 if self.epsilon is None else float(self.epsilon)
        return tuple(int(length) for length in mixture.curve.split(epsilon, mixture.log_weights, log_mu))

    @property
    def blocks(self) -> int:
        """Into how many blocks the steps were split where the model is clipped in every step; 1: a single string."""
        return len(self.split)

    @property
    def mu(self) -> float | None:
        """The string's mu; None where blocks contract, which proves points of a curve and no mu."""
        mixture, log_mu = self._mixture
        return None if isinstance(mixture.curve, BlockCurve) else float(rounded_up(log_mu)[0, 0])

    @property
    def tightness(self) -> float | None:
        """mu/mu_exact: 1 where two Gaussian runs attain the string; None where no exact case is known.

        Attained without projection by one step, whose loss pushes the two models apart, and by any number of steps of smooth
        losses, f(x) = -L|x|^2/2. After more clipped steps noise may have carried a model to the other's side, where the same
        loss pushes both one way: what is proved is nearly attained where the start is many standard deviations wide.
        """
        return self.bound.tightness(self.step_count)

    @property
    def witness(self) -> Witness:
        """The shifts that prove the string's mu, and the distances that they leave, step by step."""
        return self.bound.witness(self.step_count)

    @property
    def bound(self) -> CommonSteps:
        """The bound of a single question."""
        query = self._single.query
        return query.bound(float(query.start))

    @property
    def guarantee(self) -> Guarantee:
        """The whole privacy curve, with what it rests on; of blocks, of the split that was found for the outcome's epsilon."""
        mixture, log_mu = self._mixture
        statement = (
            f"After {self.step_count} noisy steps with noise sigma={shown(float(self._noise))}"
            f"{'' if self.query.stages is None else ' times what the schedule says'}, the unlearned model is "
            "indistinguishable from the reference, clipped alike and trained by the same steps, up to the curve given here."
        )
        values, blocks = rounded_up(log_mu[0]), None
        if isinstance(mixture.curve, BlockCurve):
            values, blocks = mixture.curve.bounds(np.array(self.split, dtype=np.float64), log_mu)
        return Guarantee(
            kind="gdp" if blocks is None else CONTRACTION,
            weights=np.ones(1),
            values=values,
            blocks=blocks,
            statement=statement,
            assumptions=self.assumptions,
            context={**self.settings, "source": CommonSteps.source, "sigma": float(self._noise), "steps": self.step_count},
        )

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the answer rests on, a sentence each."""
        given = None if self.start_distance is None else float(np.max(self.start_distance))
        return assumed(self.algorithm, given=given, stages=self.query.stages)

    @property
    def settings(self) -> dict[str, Any]:
        """What the question was about, as JSON types."""
        return settings_of(self.algorithm, self.query.stages)

    @cached_property
    def _mixture(self) -> tuple[Mixture, Floats]:
        query = self._single.query
        mixture = query.mixture(query.steps[None], query.start[None])
        return mixture, mixture.log_mu(np.array([float(self._noise)]))

    @property
    def _noise(self) -> Value:
        if self.sigma is None:
            raise InputError("sigma must be given: what is asked for depends on the noise")
        return self.sigma

    @property
    def _single(self) -> StepOutcome:
        if self.query.steps.ndim or self.query.start.ndim:
            raise InputError("this takes single numbers; steps and start_distance must not be arrays")
        return self


def settings_of(algorithm: Stepping, stages: Stages | None) -> dict[str, Any]:
    """What was asked about, as JSON types; the schedule where there is one."""
    settings = {"bound": CommonSteps.name, "algorithm": {"name": algorithm.name, **algorithm.to_dict()}}
    return settings if stages is None else settings | {"schedule": stages.schedule.to_list()}


def assumed(algorithm: Stepping, *, given: float | None = None, stages: Stages | None = None) -> tuple[str, ...]:
    """What a guarantee of common steps rests on, a sentence each; given: the start_distance that somebody declared."""
    clip = getattr(algorithm, "gradient_clip", None)
    lines = [algorithm.meaning + ("" if clip is None else f", to norm {shown(clip)}")]
    if isinstance(algorithm, FineTuning) and clip is None:
        lines = ["gradients need not be clipped, whatever the loss is: every step clips the model before its noise"]
    if stages is None or stages.plain:
        lines.append(f"every step has step size {shown(algorithm.step_size)} and weight decay {shown(algorithm.weight_decay)}")
    else:
        lines += [*stages.told(), f"every step has weight decay {shown(algorithm.weight_decay)}"]
    if given is not None:
        lines.append("start_distance bounds the distance of the two models before the first step")
    elif algorithm.start_clip is not None:
        where = "starts at the public centre of the ball" if algorithm.start == "centre" else "is clipped alike"
        lines.append(
            f"the model is clipped to norm {shown(algorithm.start_clip)} before the first step, and the reference {where}"
        )
    if algorithm.model_clip is not None:
        when = "before its noise" if getattr(algorithm, "clip_first", False) else "after its noise"
        # The start counts as no further apart than the ball is wide, whoever said how far it is.
        own = algorithm.start_clip
        larger = given > algorithm.diameter if given is not None else own is None or own > algorithm.model_clip
        if larger and not getattr(algorithm, "clip_first", False):
            lines.append(f"both models are clipped to norm {shown(algorithm.model_clip)} before the first step, too")
        lines.append(f"every step clips the model to norm {shown(algorithm.model_clip)}, {when}")
    scheduled = "" if stages is None else ", times the schedule's,"
    lines += [
        f"sigma{scheduled} is the standard deviation of the noise that each step adds to each parameter, buffers that are "
        "trained included",
        "reference: retrained without the records (or the public initialisation), clipped, then the same noisy steps on "
        "the same retained data; the steps see no deleted record, and nothing computed from one but the model they start at",
        "the order of these steps is drawn anew, independent of the past, or public; their numbers, sizes and times are public",
        "every request starts again from a clipped model: requests do not pile up, and it does not count how many records go",
        "requests may be chosen in knowledge of models released before; each release is compared with a reference of its own",
    ]
    return tuple(lines)


@dataclass(frozen=True, eq=False)
class StepAsking:
    """Asks about one algorithm, unless ``refusal`` says that it proves nothing."""

    algorithm: Stepping
    refusal: InputError | None
    stages: Stages | None = None

    def ask(self, unknown: str, asked: Question, refused: Refusals) -> StepOutcome:
        """The unknown from the other numbers, with all that follows from it."""
        query, known, answer = self._answered(unknown, asked, refused)
        return self.outcome(query, asked, refused, answer=answer, **known)

    def answer(self, unknown: str, asked: Question) -> Value:
        """The unknown alone; InputError or UnreachableError for the first row that has no answer."""
        return self._answered(unknown, asked, Refusals(raising=True))[2]

    def outcome(self, query: StepQuery, asked: Question, refused: Refusals, **numbers: Any) -> StepOutcome:
        """What is known of a query."""
        start = None if asked.start_distance is None else plain(np.asarray(asked.start_distance, dtype=np.float64))
        return StepOutcome(query=query, start_distance=start, refused=refused, **numbers)

    def query(self, asked: Question) -> StepQuery:
        """For the steps and the start that were asked about."""
        if asked.start_distance is None:
            if self.refusal is not None:
                raise self.refusal
            start = np.asarray(math.nan)
        else:
            start = asked.number("start_distance")
        if asked.epochs is not None:
            raise InputError("epochs must be left out: common steps are counted one by one, give steps")
        if self.stages is None:
            steps = np.zeros(()) if asked.steps is None else asked.number("steps")
        elif self.stages.open:
            steps = self.stages.fixed + (np.zeros(()) if asked.steps is None else asked.number("steps"))
        elif asked.steps is None:
            steps = np.asarray(float(self.stages.fixed))
        else:
            raise closed()
        return StepQuery(self.algorithm, steps, start, self.stages)

    def _answered(self, unknown: str, asked: Question, refused: Refusals) -> tuple[StepQuery, dict[str, Value], Value]:
        if unknown == "epochs":
            raise InputError("epochs cannot be asked for: common steps are counted one by one, ask for steps")
        query = self.query(asked)
        if unknown == "steps":
            return self._fewest(query, asked, refused)
        if asked.steps is None and (self.stages is None or self.stages.open):
            raise InputError("steps must be given")
        solve, needed = _SOLVERS[unknown]
        known = {name: asked.number(name) for name in needed}
        refused.add(query.steps < 1, lambda _: InputError("steps must be at least 1: without a noisy step nothing is hidden"))
        query = replace(query, steps=np.maximum(query.steps, 1.0))
        values = solve(query, **known)
        refused.add(np.isnan(values), lambda _: too_far_apart())
        refused.add(np.isposinf(values), lambda _: UnreachableError(f"no sigma up to {LARGEST:g} is enough"))
        answer = plain(np.where(refused.mask(values.shape), np.inf, values))
        return query, {name: plain(value) for name, value in known.items()} | {unknown: answer}, answer

    def _fewest(self, query: StepQuery, asked: Question, refused: Refusals) -> tuple[StepQuery, dict[str, Value], Value]:
        """The smallest number of steps that is enough."""
        if self.stages is not None and not self.stages.open:
            raise InputError("the schedule must end with an open unlearn phase to ask for steps")
        target = {name: asked.number(name) for name in ("sigma", "epsilon", "delta")}
        before = 0 if self.stages is None else self.stages.fixed
        low = np.asarray(0.0 if before else 1.0)
        counting = Counting(query.at(low, query.start), stride=1, beyond=before)
        high = np.asarray(float(self._most(target) - before))
        counts = counting.fewest(low=low, high=high, **target)

        def unreachable(row: int) -> UnreachableError:
            sigma, epsilon, delta = (float(np.broadcast_to(value, counts.shape).flat[row]) for value in target.values())
            start = float(np.broadcast_to(query.start, counts.shape).flat[row])
            stays = counting.reached(count=float(high), start=start, sigma=sigma, delta=delta)
            return UnreachableError(
                f"no number of steps up to {limit_of(float(high))} reaches epsilon={epsilon:g} at delta={delta:g} with "
                f"sigma={sigma:g}: epsilon stays at {digits(stays, 4)}, because every step adds what its gradient can move the "
                "two models apart; more noise, a smaller start_clip or model_clip in every step would help"
            )

        refused.add(np.isinf(counts), unreachable)
        answer = plain(np.where(refused.mask(counts.shape), np.inf, counts))
        return (
            replace(query, steps=before + np.where(np.isinf(counts), 1.0, counts)),
            {name: plain(value) for name, value in target.items()},
            answer,
        )

    def _most(self, target: Mapping[str, Floats]) -> int:
        """Steps beyond which nothing gets better, or nobody runs them."""
        return MAX_COUNT if math.isinf(self.algorithm.diameter) else 1_000_000
