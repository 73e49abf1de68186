"""How a question becomes rows of numbers, and the rows an outcome; refusals of single rows are values on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from accountant.averaging import Components, OnePoint, OwnDraw, Placing
from accountant.curves import too_far_apart
from accountant.numerics import (
    LARGEST,
    MAX_COUNT,
    SMALLEST,
    Floats,
    InputError,
    UnreachableError,
    broadcast,
    digits,
    limit_of,
    plain,
)
from accountant.problem import MAX_EPSILON, REMEDIES, SECRET, oversize, rounding_of, too_large
from accountant.questions.answers import Counting, delta_of, epsilon_of, share_of_rounding, sigma_of
from accountant.questions.length import Length
from accountant.questions.outcome import Outcome, Unknown, Value
from accountant.questions.query import Query
from accountant.questions.question import Question, Refusals

#: What each unknown is computed from, and how.
_SOLVERS: Final[dict[str, tuple[Callable[..., Floats], tuple[str, str]]]] = {
    "sigma": (sigma_of, ("epsilon", "delta")),
    "epsilon": (epsilon_of, ("sigma", "delta")),
    "delta": (delta_of, ("sigma", "epsilon")),
}
#: The query, the numbers that are known of it by name, and the unknown as it is given back.
Answered = tuple[Query, dict[str, Value], Value]


@dataclass(frozen=True, eq=False)
class Asking:
    """Asks about one placing in one setup, unless ``refusal`` says that it proves nothing."""

    placing: Placing
    length: Length
    refusal: InputError | None

    def ask(self, unknown: Unknown, asked: Question, refused: Refusals) -> Outcome:
        """The unknown from the other numbers, with all that follows from it."""
        query, known, answer = self._answered(unknown, asked, refused)
        return self.outcome(query, asked, refused, answer=answer, **known)

    def answer(self, unknown: Unknown, asked: Question) -> Value:
        """The unknown alone; InputError or UnreachableError for the first row that has no answer."""
        return self._answered(unknown, asked, Refusals(raising=True))[2]

    def _answered(self, unknown: Unknown, asked: Question, refused: Refusals) -> Answered:
        if unknown in ("epochs", "steps"):
            return self._fewest(unknown, asked, refused)
        query = self.query(self.total(asked, refused), asked.start_distance)
        solve, needed = _SOLVERS[unknown]
        complete = self._complete(asked) if "delta" in needed else asked
        known = {name: complete.number(name) for name in needed}
        values = solve(query, **known)
        refused.add(np.isnan(values), lambda _: too_far_apart())
        self._check_oversize(query, known, values, refused)
        if unknown == "sigma":
            refused.add(np.isposinf(values), _no_sigma(query, values.shape, **known))
        if self.placing.bounds_average and not query.setting.given_distance:
            # A group's average is bounded, not computed: what holds of the worst placement may be smaller.
            values = np.fmin(values, solve(replace(query, components=self.placing.worst.components), **known))
        self._check_rounding(query, known | {unknown: values}, refused)
        answer = plain(np.where(refused.mask(values.shape), np.inf, values))
        return query, {name: plain(value) for name, value in known.items()} | {unknown: answer}, answer

    def outcome(self, query: Query, asked: Question, refused: Refusals, **numbers: Any) -> Outcome:
        """What is known of a query."""
        start = None if asked.start_distance is None else plain(np.asarray(asked.start_distance, dtype=np.float64))
        return Outcome(placing=self.placing, length=self.length, query=query, start_distance=start, refused=refused, **numbers)

    def total(self, asked: Question, refused: Refusals) -> Floats:
        """All steps of the lengths asked about; where the bound says nothing of so few, its fewest, refused."""
        fewest = self.placing.bound.minimum_steps
        total = self.length.total(epochs=asked.epochs, steps=asked.steps)
        short = total - self.length.scheduled_steps < fewest
        if not self.length.closed and np.any(short):
            refused.add(short, lambda _: self.length.too_short(steps=asked.steps))
            return np.maximum(total, self.length.scheduled_steps + fewest)
        return total

    def query(self, total: Floats, start_distance: ArrayLike | None) -> Query:
        """For so many steps in all, from what learning leaves or from a given distance."""
        placing = self.placing
        # Refuses a run whose rounding nothing bounds.
        rounding_of(placing.setting.algorithm)
        start = self._start(start_distance)
        if start_distance is None:
            if self.refusal is not None:
                raise self.refusal
            return Query(placing.bound, placing.setting, placing.components, total, start)
        # A given distance is one number, whatever the position was.
        last = np.array([float(placing.setting.algorithm.steps_per_epoch - 1)])
        one: Components = OnePoint(last, np.ones(1))
        if (algorithm := placing.setting.algorithm).own_draws:
            one = OwnDraw(last, np.zeros(0), points=placing.group_size, fixed=algorithm.assignment == SECRET)
        return Query(placing.bound, replace(placing.setting, given_distance=True), one, total, start)

    def _check_oversize(self, query: Query, known: Mapping[str, Floats], values: Floats, refused: Refusals) -> None:
        """Refuse rows whose delta does not pay for batches of own draws that come out too large."""
        algorithm, delta = self.placing.setting.algorithm, known.get("delta")
        if not algorithm.own_draws or delta is None:
            return
        steps, each = np.broadcast_to(query.steps, values.shape), np.broadcast_to(delta, values.shape)
        points = self.placing.group_size

        def explain(row: int) -> UnreachableError:
            reason = too_large(algorithm, float(each.flat[row]), steps=int(steps.flat[row]), points=points)
            return UnreachableError(reason or "what batches cost that come out too large leaves nothing of delta")

        # Of other rows without an answer something else is said.
        unpaid = np.isposinf(values)
        if "epsilon" in known and unpaid.any():
            least = {n: oversize(algorithm, steps=int(n), points=points).least for n in np.unique(steps[unpaid]).tolist()}
            unpaid = unpaid & (np.log(each) <= np.vectorize(lambda n: least.get(n, -np.inf), otypes=[float])(steps))
        refused.add(unpaid, explain)

    def _check_rounding(self, query: Query, known: Mapping[str, Floats], refused: Refusals) -> None:
        """Refuse rows whose noise is so small that rounding counts, or may."""
        algorithm = self.placing.setting.algorithm
        rounding = rounding_of(algorithm)
        if rounding is None:
            return
        finite = {name: np.where(np.isfinite(value), value, 1.0 if name == "sigma" else 0.5) for name, value in known.items()}
        delta = finite.get("delta", np.asarray(0.5))
        share = share_of_rounding(query, sigma=finite["sigma"], delta=np.clip(delta, SMALLEST, 1 - 1e-16))
        refused.add(
            ~(share <= algorithm.rounding_share),
            lambda row: UnreachableError(
                f"rounding ({algorithm.rounding}) would cost {float(share.flat[row]):.3g} of epsilon, more than the share "
                f"{algorithm.rounding_share:g} that is allowed: {REMEDIES}"
            ),
        )
        if rounding.constant > 0 and "epsilon" in known:
            refused.add(
                ~(known["epsilon"] <= MAX_EPSILON),
                lambda _: UnreachableError(
                    f"with rounding={algorithm.rounding} epsilon must be at most {MAX_EPSILON:g}: beyond it the chance that "
                    "noise makes the parameters larger than was counted would matter; a radius bounds them"
                ),
            )

    def check_share(self, query: Query, sigma: Floats, refused: Refusals) -> None:
        """Refuse rows whose noise is so small that rounding counts, of questions that name no epsilon: by its share of mu."""
        algorithm = self.placing.setting.algorithm
        rounding = rounding_of(algorithm)
        if rounding is None:
            return
        at_worst = query if query.setting.given_distance else replace(query, components=self.placing.worst.components)
        total = at_worst.solve(lambda n, start, noise: at_worst.mixture(n, start).log_mu(noise).max(axis=1), sigma)
        first, constant = rounding.parts(query.steps)
        with np.errstate(divide="ignore"):
            cost, share = np.logaddexp(first - np.log(sigma), np.log(constant)), np.log(algorithm.rounding_share)
        refused.add(
            # Where nothing differs, nothing is rounded apart.
            ~(np.isneginf(total) | (cost <= share + total)),
            lambda row: UnreachableError(
                f"rounding ({algorithm.rounding}) would cost {float(np.exp((cost - total).flat[row])):.3g} of mu, more than "
                f"the share {algorithm.rounding_share:g} that is allowed: {REMEDIES}"
            ),
        )

    def _start(self, start_distance: ArrayLike | None) -> Floats:
        setting = self.placing.setting
        if start_distance is None:
            return np.zeros(())
        if setting.timeline is not None:
            raise InputError("start_distance needs a constant algorithm without schedule")
        if setting.algorithm.norm_class < 1:
            raise InputError(
                "norm_class must be left out with start_distance, which says how far apart the models are whatever their "
                f"records are, got {setting.algorithm.norm_class}"
            )
        if isinstance(setting.reference, int):
            raise InputError(
                f"start_distance needs a reference that runs alongside unlearning, matched or converged, got reference="
                f"{setting.reference}"
            )
        return np.minimum(Question(start_distance=start_distance).number("start_distance"), setting.algorithm.diameter)

    def _complete(self, asked: Question) -> Question:
        """With the default delta where none is given."""
        return replace(asked, delta=self.length.setup.default_delta) if asked.delta is None else asked

    def _fewest(self, unknown: Unknown, asked: Question, refused: Refusals) -> Answered:
        """The smallest number of epochs or steps that is enough."""
        if self.length.closed:
            raise InputError(f"the schedule must end with an open unlearn phase to ask for {unknown}")
        known = self._complete(asked)
        counts = self._counts(self.placing, unknown, known, refused)
        if self.placing.bounds_average and asked.start_distance is None:
            counts = np.fmin(counts, self._counts(self.placing.worst, unknown, known, Refusals(raising=False)))
        counts = np.where(refused.mask(counts.shape), np.inf, counts)
        stride = self.length.steps_per_epoch if unknown == "epochs" else 1
        query = self.query(self.length.scheduled_steps + stride * counts, asked.start_distance)
        target = {name: known.number(name) for name in ("sigma", "epsilon", "delta")}
        self._check_rounding(query, target, refused)
        counts = np.where(refused.mask(counts.shape), np.inf, counts)
        numbers = {name: plain(value) for name, value in target.items()}
        return query, numbers, plain(counts)

    def _counts(self, placing: Placing, unknown: Unknown, known: Question, refused: Refusals) -> Floats:
        fewest = float(placing.bound.minimum_steps)
        if unknown == "epochs":
            return self._search(placing, unknown, known, refused, stride=self.length.steps_per_epoch, low=np.asarray(fewest))
        if not isinstance(placing.setting.reference, int):
            return self._search(placing, unknown, known, refused, stride=1, low=np.asarray(fewest))
        # For a given number of whole epochs every further step is post-processing common to both runs; and with the same
        # remainder every further epoch helps. So: the fewest epochs that suffice with all J - 1 extra steps, then the steps.
        period = placing.setting.algorithm.steps_per_epoch
        none = np.zeros(())
        epochs = self._search(placing, unknown, known, refused, stride=period, low=none, extra=period - 1)
        whole = period * np.where(np.isinf(epochs), 0.0, epochs)
        low, high = np.maximum(whole, fewest), np.maximum(whole + period - 1, fewest)
        steps = self._search(placing, unknown, known, Refusals(raising=False), stride=1, low=low, high=high)
        return np.where(np.isinf(epochs), np.inf, steps)

    def _search(
        self, placing: Placing, unknown: Unknown, known: Question, refused: Refusals, *, stride: int, low: Floats,
        extra: int = 0, high: Floats | None = None,
    ) -> Floats:  # fmt: skip
        """Smallest k from ``low`` to ``high`` such that stride * k + extra steps meet the target; monotone in between."""
        before = self.length.scheduled_steps
        query = replace(self, placing=placing).query(low, known.start_distance)
        most = np.asarray((MAX_COUNT - extra - before) // stride if high is None else high, dtype=np.float64)
        target = {name: known.number(name) for name in ("sigma", "epsilon", "delta")}
        counting = Counting(query, stride=stride, beyond=extra + before)
        counts = counting.fewest(low=low, high=most, **target)

        piling = rounding_of(placing.setting.algorithm)

        def unreachable(row: int) -> UnreachableError:
            arrays = broadcast(most, query.start, *target.values())
            count, start, sigma, epsilon, delta = (float(np.broadcast_to(a, counts.shape).flat[row]) for a in arrays)
            # Of draws that are paid for step by step the fewest steps cost least.
            fewest = stride * float(np.broadcast_to(low, counts.shape).flat[row]) + extra + before
            algorithm, points = placing.setting.algorithm, placing.group_size
            too_many = too_large(algorithm, delta, steps=int(fewest), points=points)
            if too_many is not None:
                limit = too_many
            elif algorithm.own_draws and not oversize(algorithm, steps=int(count), points=points).pays(delta):
                limit = (
                    "the longer it runs the likelier a batch is too large; a smaller step_size or larger batch_size would help"
                )
            elif piling is not None and piling.learned is not None:
                limit = "without contraction rounding piles up, the more steps the more; more noise or more digits would help"
            else:
                limit = self._limit(counting.reached(count=count, start=start, sigma=sigma, delta=delta), query)
            return UnreachableError(
                f"no number of {unknown} up to {limit_of(count)} reaches epsilon={epsilon:g} at delta={delta:g} with "
                f"sigma={sigma:g}: {limit}"
            )

        refused.add(np.isinf(counts), unreachable)
        return counts

    def _limit(self, epsilon: float, query: Query) -> str:
        """Why more unlearning does not help."""
        setting, algorithm = self.placing.setting, self.placing.setting.algorithm
        stays = f"epsilon stays at {digits(epsilon, 4)} however long unlearning runs"
        if isinstance(setting.reference, int):
            return f"{stays}, because retraining for {setting.reference} epochs still remembers where it started"
        if algorithm.rounding is not None:
            return f"{stays}, because rounding ({algorithm.rounding}) adds a difference in every step; more noise would help"
        if query.curve.kind == "not-converged":
            learned = algorithm.learn_epochs
            return f"{stays}, because in this bound learning for {learned} epochs still remembers where it started"
        if algorithm.log_contraction == 0:
            return f"{stays}, because without strong convexity (contraction 1) it falls only as 1/sqrt(steps)"
        return stays


def _no_sigma(query: Query, shape: tuple[int, ...], *, epsilon: Floats, delta: Floats) -> Callable[[int], UnreachableError]:
    """What to say of a row for which no noise is enough."""
    reason = f"it would exceed {LARGEST:g}"
    if query.curve.kind != "gdp":
        # The divergence goes with the square of the noise, which leaves the double range first.
        reason = f"bound={query.bound.name} never reaches epsilon = 0 and is not resolved below 1e-150"
    rounding = query.setting.algorithm.rounding
    if rounding is not None:
        reason = f"rounding ({rounding}) of parameters that more noise only makes larger costs more"

    def explain(row: int) -> UnreachableError:
        e, d = (float(np.broadcast_to(values, shape).flat[row]) for values in (epsilon, delta))
        return UnreachableError(f"no sigma proves epsilon={e:g} at delta={d:g}: {reason}")

    return explain
