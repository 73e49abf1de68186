"""All settings of a grid beside one another: which are on the Pareto front, and which are refused and why.

A setting is on the front if no other is as good in everything and better in something: regularisation (the less, the less it
biases), noise that stays in the model, gradient evaluations per request, and in all with learning. With scores of the user:
score, and both costs. Costs within a tenth are as good as equal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Final

import numpy as np

from accountant.numerics import InputError, Progress, UnreachableError, number
from accountant.problem import SECRET, LossConstants
from accountant.questions import UnlearningAccountant
from accountant.requests.calibrating import answered
from accountant.requests.settings import AUTO, DEAREST, HEARD, SHARE, Question, TunedSetting, preference, two_digits_up
from accountant.requests.traffic import Expected, duration, expected_requests
from accountant.requests.tuning import chosen

#: What is tried where nothing is said: multiples of the regularisation that is chosen, and shares of learning; every so
#: many-th batch size.
PENALTIES: Final = (0.5, 1.0, 2.0)
SHARES: Final = (SHARE / 4, SHARE, 4 * SHARE)
_STRIDE: Final = 2
#: Costs that differ by no more than this factor are as good as equal: steps are whole.
NEARLY: Final = 1.1
#: What scores may tell apart.
SCORED: Final = ("batch_size", "step_size", "regularisation", "learn_epochs", "share")
_SAME: Final = 1e-9
Offered = int | float | str


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A setting of the grid, with the cost that a request was allowed, in fits.

    front: whether no other setting is better. score: that of the user. merged: gradient evaluations of all requests where those
    of one window are processed together; None where that was not asked, no number of steps is enough, or the setting is not on
    the front at the regularisation that is chosen.
    """

    setting: TunedSetting
    share: float
    front: bool = False
    score: float | None = None
    merged: int | None = None
    #: Whether the noise was read to all digits, not just roughly, which may be some percent more.
    read: bool = False

    @property
    def evaluations_in_all(self) -> float:
        """Of learning and all requests."""
        return self.setting.learning_gradient_evaluations + self.setting.gradient_evaluations

    @property
    def goods(self) -> tuple[float, ...]:
        """What is wanted small, besides the costs."""
        return (self.setting.regularisation, self.setting.noise) if self.score is None else (-self.score,)

    @property
    def costs(self) -> tuple[float, float]:
        """Gradient evaluations per request, and in all."""
        return self.setting.gradient_evaluations_per_request, self.evaluations_in_all

    def to_dict(self) -> dict[str, Any]:
        """JSON types; null where there is none."""
        setting = self.setting
        values = {
            "batch_size": setting.batch_size,
            "step_size": setting.step_size,
            "regularisation": setting.regularisation,
            "learn_epochs": setting.learn_epochs,
            "share": self.share,
            "sigma": setting.sigma,
            "noise": setting.noise,
            "steps_per_request": setting.steps_per_request,
            "last_steps": setting.last_steps,
            "gradient_evaluations_per_request": setting.gradient_evaluations_per_request,
            "gradient_evaluations": setting.gradient_evaluations,
            "learning_gradient_evaluations": setting.learning_gradient_evaluations,
            "fits": setting.share,
            "redraw": setting.algorithm.redraw,
            "merged_gradient_evaluations": self.merged,
            "score": self.score,
            "front": self.front,
            "read": self.read,
            "confirmed": setting.confirmed,
            "refused": setting.refused,
            "warning": setting.warning,
        }
        return {name: None if isinstance(value, float) and math.isinf(value) else value for name, value in values.items()}


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What :func:`tune` found: the setting that is chosen, and all that were tried, in the order of regularisation and cost."""

    chosen: TunedSetting
    tried: tuple[Tried, ...]
    question: Question
    expected: Expected
    window: float | None

    @property
    def chosen_row(self) -> Tried:
        """The setting that is chosen, as one of those that were tried."""
        rows = (row for row in self.tried if row.setting is self.chosen)
        return next(rows, Tried(setting=self.chosen, share=self.question.share, read=True))

    @property
    def front(self) -> tuple[Tried, ...]:
        return tuple(row for row in self.tried if row.front)

    @property
    def refused(self) -> tuple[Tried, ...]:
        return tuple(row for row in self.tried if row.setting.refused is not None)


def tune(
    *,
    loss: LossConstants,
    n: int,
    epsilon: float,
    delta: float | None = None,
    requests: int | str = 100,
    over: str | float | None = None,
    window: str | float | None = None,
    batch_size: Offered | Sequence[Offered] = AUTO,
    step_size: float | str = AUTO,
    regularisation: Offered | Sequence[Offered] = AUTO,
    learn_epochs: Offered | Sequence[Offered] = AUTO,
    share: Offered | Sequence[Offered] = AUTO,
    scores: Iterable[Mapping[str, float]] | None = None,
    adjacency: str = "remove",
    assignment: str = SECRET,
    largest_n: int | None = None,
    radius: float | None = None,
    rounding: str | None = None,
    dimension: int | None = None,
    batches: str = "random",
    exact: bool = False,
    over_name: str = "over",
    progress: Progress | None = None,
) -> Tuned:
    """Settings from public constants only, with noise, what stays of it in the model, and cost; and which of them to take.

    requests, over: how many, of one record each; or a rate such as "20/week", and for how long, such as "1y". window: what it
    costs where requests of such a time are processed together is told, too (needs ``over``).
    batch_size, regularisation, learn_epochs, share: one, several, or "auto": batch sizes in steps of four, up to where two in a
        row leave more noise; half to twice the regularisation that is chosen; the length of learning that follows; a quarter to
        four times a fortieth of a fit per request.
    scores: validation scores of the user, mappings with a ``score`` (more is better) and some of batch_size, step_size,
    regularisation, learn_epochs and share that say which settings it is of. Scores of the data that are learned from make the
    choice depend on them (docs/guides/tune.md).
    exact: whether streams answer every request of every setting, which takes long. Else that is done for what is chosen, until
    they repeat themselves; of all other settings a request is said to cost what it may, which the first ones need not.
    All else as for :func:`choose_setting`. Raises InputError for bad arguments; UnreachableError where nothing is possible.

    >>> from accountant.problem import LogisticConstants
    >>> loss = LogisticConstants(regularisation=0.0, feature_bound=1.0)
    >>> found = tune(loss=loss, n=10_000, epsilon=1.0, requests=20, batch_size=[64, 10_000])
    >>> found.chosen.batch_size, len(found.tried), all(row.setting.refused is None for row in found.front)
    (64, 18, True)
    """
    expected, width = _expected(requests, over, window, over_name)
    fixed: dict[str, Any] = {
        "epsilon": epsilon, "delta": delta, "requests": expected.requests, "adjacency": adjacency, "assignment": assignment,
        "largest_n": largest_n, "radius": radius, "rounding": rounding, "dimension": dimension, "batches": batches,
    }  # fmt: skip
    shares = (
        SHARES
        if _auto(share)
        else tuple(number("share", value, above=0, at_most=DEAREST) for value in _several("share", share))
    )
    questions = [Question.of(loss, n=n, share=each, sigma=None, bound="optimal", **fixed) for each in shares]
    # What is chosen is chosen at the cost that a request should have.
    question = min(questions, key=lambda each: abs(math.log(each.share / SHARE)))
    if question.requests < expected.requests:
        came = f" ({requests} for {over})" if over is not None else ""
        raise InputError(f"requests must be at most n = {question.n} records in all, got {expected.requests}{came}")
    marks = _marks(scores)
    sizes = None if _auto(batch_size) else _several("batch_size", batch_size)
    lengths = _several("learn_epochs", learn_epochs)
    best = _best(question, sizes, step_size, regularisation, lengths, exact)
    penalties = _penalties(regularisation, best)
    grid = list(product(questions, penalties, lengths))
    tried: list[Tried] = []
    for at, (each, penalty, length) in enumerate(grid):
        for setting in each.compared(sizes, step_size, penalty, length, stride=_STRIDE):
            if each is question and setting.algorithm == best.algorithm:
                setting = best
            elif exact and setting.refused is None:
                setting = each.confirmed(setting, exact=True)
            tried.append(Tried(setting=setting, share=each.share, score=_score(marks, setting, each.share), read=exact))
        if progress is not None:
            # About as many settings again are on the front.
            progress(at + 1, 2 * len(grid))
    tried = _read(tried, dict(zip(shares, questions, strict=True)), progress, len(grid))
    if width is not None:
        tried = [_merged(row, question, expected, width, best.regularisation) for row in tried]
    tried.sort(key=lambda row: (row.setting.regularisation, row.setting.gradient_evaluations_per_request, row.setting.noise))
    return Tuned(chosen=best, tried=tuple(tried), question=question, expected=expected, window=width)


def _expected(
    requests: int | str, over: str | float | None, window: str | float | None, over_name: str
) -> tuple[Expected, float | None]:
    expected = expected_requests(requests, over, over_name=over_name)
    width = None if window is None else duration(window, name="window")
    if width is not None and expected.seconds is None:
        raise InputError(f"{over_name} must be given with window: how long the requests take to come")
    return expected, width


def _auto(value: Offered | Sequence[Offered]) -> bool:
    return isinstance(value, str) and value == AUTO


def _several(name: str, value: Offered | Sequence[Offered]) -> list[Any]:
    """One or several values."""
    values = [value] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)
    if not values:
        raise InputError(f"{name} must have at least one value, got none")
    return values


def _best(
    question: Question,
    sizes: Sequence[Any] | None,
    step_size: float | str,
    regularisation: Offered | Sequence[Offered],
    lengths: Sequence[Any],
    exact: bool,
) -> TunedSetting:
    """What is chosen: where several regularisations are given, the smallest that leaves little noise, or else the largest."""
    offered = _several("regularisation", regularisation)
    if not _auto(regularisation):
        offered.sort(key=lambda value: number("regularisation", value, at_least=0))
    refusal: UnreachableError | None = None
    found: TunedSetting | None = None
    for penalty in offered:
        made: list[TunedSetting] = []
        for length in lengths:
            try:
                made.append(chosen(question, None if sizes is None else tuple(sizes), step_size, penalty, length, exact))
            except UnreachableError as error:
                refusal = error
        if made:
            found = min(made, key=lambda setting: preference(setting, question.share))
            if found.noise * question.loss.feature_bound <= HEARD:
                break
    if found is None:
        assert refusal is not None
        raise refusal
    return found


def _penalties(regularisation: Offered | Sequence[Offered], best: TunedSetting) -> list[float]:
    if not _auto(regularisation):
        return [number("regularisation", value, at_least=0) for value in _several("regularisation", regularisation)]
    return sorted({*(two_digits_up(best.regularisation * times) for times in PENALTIES), best.regularisation})


def _read(tried: list[Tried], questions: dict[float, Question], progress: Progress | None, before: int) -> list[Tried]:
    """With the front marked, and its noise read to all digits."""
    while True:
        tried = marked(tried)
        waiting = [at for at, row in enumerate(tried) if row.front and not row.read]
        if not waiting:
            return tried
        for done, at in enumerate(waiting):
            row = tried[at]
            if not row.setting.confirmed:
                row = replace(row, setting=questions[row.share].calibrated(row.setting))
            tried[at] = replace(row, read=True)
            if progress is not None:
                progress(before + done + 1, before + len(waiting))
        before += len(waiting)


def marked(tried: Sequence[Tried]) -> list[Tried]:
    """With the front marked: of those with scores, if there are any, or else of all that are not refused."""
    able = [row for row in tried if row.setting.refused is None]
    scored = [row for row in able if row.score is not None]
    goods = np.array([row.goods for row in scored or able])
    costs = np.array([row.costs for row in scored or able])
    front = set()
    for row, good, cost in zip(scored or able, goods, costs, strict=True):
        as_good = np.all(goods <= good, axis=1) & np.all(costs <= cost * NEARLY, axis=1)
        if not (as_good & (np.any(goods < good, axis=1) | np.any(costs * NEARLY < cost, axis=1))).any():
            front.add(id(row))
    return [replace(row, front=id(row) in front) for row in tried]


def _merged(row: Tried, question: Question, expected: Expected, window: float, regularisation: float) -> Tried:
    """With the cost of all requests where those of a window are processed together; on the front at this regularisation."""
    if not row.front or row.setting.regularisation != regularisation:
        return row
    count, points = expected.windows(window)
    setting = row.setting
    accountant = UnlearningAccountant(setting.algorithm, batches=question.batches)
    try:
        steps = answered(accountant, question, setting.sigma, exact=False, points=points, count=count)
    except UnreachableError:
        return row
    return replace(row, merged=setting.algorithm.gradient_evaluations(sum(steps)))


def _marks(scores: Iterable[Mapping[str, float]] | None) -> list[dict[str, float]]:
    """The scores of the user, checked."""
    marks = []
    for mark in scores or ():
        if not isinstance(mark, Mapping) or "score" not in mark or set(mark) - {"score", *SCORED}:
            known = ", ".join(SCORED)
            raise InputError(f"scores must be mappings with a score and any of {known}, got {mark!r}")
        marks.append({name: number(f"{name} of scores", value) for name, value in mark.items()})
    return marks


def _score(marks: Sequence[Mapping[str, float]], setting: TunedSetting, share: float) -> float | None:
    """The first score that is of this setting."""
    for mark in marks:
        own = {**{name: getattr(setting, name) for name in SCORED if name != "share"}, "share": share}
        if all(math.isclose(own[name], value, rel_tol=_SAME) for name, value in mark.items() if name != "score"):
            return mark["score"]
    return None
