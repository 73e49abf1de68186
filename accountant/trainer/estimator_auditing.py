"""Audits of the estimators as they are used: ``fit`` and ``unlearn`` against ``fit`` without the rows, by their public methods.

Nothing of the trainer is looked at, only ``coef_`` and ``intercept_``: what is audited is the whole way from rows to a released
model, calibration of the noise and counting of steps included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accountant.numerics import Floats, InputError, Progress, check_jobs, integer, spread
from accountant.trainer.audited import ChunkSeeds
from accountant.trainer.estimator import Estimator
from accountant.trainer.step_auditing import LEAST_SAMPLES, tell_apart

#: Fits of one task.
_FITS: Final = 20


@dataclass(frozen=True)
class EstimatorAudit:
    """How far apart models are at least, beside what the estimator says of them.

    estimator: its class. trials: models of each law that errors were counted on. steps: unlearning steps of all requests.
    epsilon_lower: at delta, with the given confidence. epsilon: claimed by ``guarantee_``.
    """

    estimator: str
    trials: int
    confidence: float
    delta: float
    steps: int
    epsilon_lower: float
    epsilon: float

    @property
    def violated(self) -> bool:
        """Whether the claim is refuted."""
        return self.epsilon_lower > self.epsilon

    def to_dict(self) -> dict[str, object]:
        """JSON types only."""
        return {**asdict(self), "violated": self.violated}


class _Task(NamedTuple):
    """Fits of one law. requests: rows of each, () for the reference. seeds: of every fit, None for fresh ones."""

    estimator: Estimator
    features: Floats
    labels: NDArray[Any]
    requests: tuple[tuple[int, ...], ...]
    seeds: tuple[int | None, ...]


class _Fits(NamedTuple):
    """Released parameters (p, fits), and of the last model what it claims and how it took its steps."""

    parameters: Floats
    epsilon: float
    steps: int
    settings: dict[str, Any]


def audit_estimator(
    estimator: Estimator,
    X: ArrayLike,
    y: ArrayLike,
    removed: Sequence[int | Sequence[int]],
    *,
    trials: int = 400,
    confidence: float = 0.99,
    seed: int | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> EstimatorAudit:
    """Fit ``trials`` models and unlearn, fit as many without the rows, and bound from below how far they can be told apart.

    estimator: its settings; nothing of it is changed. X (n, d), y (n,): rows with the ones that go. removed: the requests, one
    after the other, a row number or several each. The reference learns as long in all: without the rows under adjacency remove,
    with rows of zeros under zero-out and replace (by which the removed ones are replaced; fit_intercept must be False). The
    noise and whatever else follows of rows are those of all rows, as the claim has them. Steps of requests are made up to whole
    epochs in the reference, so learning should be long, or requests be whole epochs. A third of the trials choose the test.
    confidence, seed, jobs, progress: as for :func:`audit`. Raises InputError where steps would differ without the rows, by
    another step size or number of batches.

    >>> from accountant.trainer import PNSGDRegressor
    >>> settings = {"batch_size": 4, "regularisation": 1.0, "learn_epochs": 10, "unlearn_epochs": 1, "fit_intercept": False}
    >>> model = PNSGDRegressor(epsilon=0.5, delta=0.1, clip=1.0, **settings)
    >>> audit_estimator(model, np.eye(4).repeat(3, axis=0), np.full(12, 9.0), [11], trials=30, seed=0).violated
    False
    """
    count, workers = integer("trials", trials, at_least=LEAST_SAMPLES), check_jobs(jobs)
    if not isinstance(estimator, Estimator):
        raise InputError(f"estimator must be a PNSGDClassifier or PNSGDRegressor, got {type(estimator).__name__}")
    requests = tuple(tuple(np.atleast_1d(np.asarray(each, dtype=np.int64)).tolist()) for each in removed)
    if not requests:
        raise InputError("removed must have at least one request, got none")
    x, labels = np.asarray(X), np.asarray(y)
    seeds = ChunkSeeds(seed)
    first = _fits(_Task(estimator, x, labels, requests, (seeds.next(),)), None)
    pinned = _pinned(first)
    other, left = _without(estimator, x, labels, [row for request in requests for row in request])
    longer = pinned["learn_epochs"] + -(-first.steps // first.settings["steps_per_epoch"])
    laws = [
        (_with(estimator, pinned), x, labels, requests),
        (_with(estimator, {**pinned, "learn_epochs": longer}), other, left, ()),
    ]
    tasks = [
        _Task(model, rows, targets, asked, tuple(seeds.next() for _ in range(min(_FITS, count - begin))))
        for model, rows, targets, asked in laws
        for begin in range(0, count, _FITS)
    ]
    found = list(spread(_fits, tasks, jobs=workers, progress=progress, weights=[len(task.seeds) for task in tasks]))
    half = len(found) // 2
    _check_same(first.settings, found[0].settings)
    _check_same(first.settings, found[half].settings)
    ours, theirs = (np.concatenate([each.parameters for each in part], axis=1) for part in (found[:half], found[half:]))
    told = tell_apart(ours, theirs, delta=first.settings["delta"], confidence=confidence)
    return EstimatorAudit(
        estimator=type(estimator).__name__,
        trials=told.trials,
        confidence=told.confidence,
        delta=told.delta,
        steps=first.steps,
        epsilon_lower=told.epsilon_lower,
        epsilon=first.epsilon,
    )


def _fits(task: _Task, progress: Progress | None) -> _Fits:
    released, model = [], task.estimator
    for done, seed in enumerate(task.seeds):
        model = _with(task.estimator, {"random_state": seed})
        model.fit(task.features, task.labels)
        for rows in task.requests:
            model.unlearn(list(rows))
        released.append(np.append(np.ravel(model.coef_), np.ravel(model.intercept_)))
        if progress is not None:
            progress(done + 1, len(task.seeds))
    epsilon = float(model.guarantee_.epsilon(model.delta_)) if task.requests else 0.0
    settings = {
        **{
            name: getattr(model, f"{name}_")
            for name in ("sigma", "delta", "batch_size", "step_size", "regularisation", "learn_epochs")
        },
        "steps_per_epoch": model._trainer.algorithm.steps_per_epoch,
        "largest_n": model._trainer.algorithm.largest_n,
    }
    return _Fits(np.array(released).T, epsilon, int(sum(model.steps_run_)), settings)


def _pinned(first: _Fits) -> dict[str, Any]:
    """The settings that must not follow from the rows that are left; what is no setting is checked."""
    return {name: value for name, value in first.settings.items() if name != "steps_per_epoch" and value is not None}


def _with(estimator: Estimator, settings: dict[str, Any]) -> Any:
    """An unfitted estimator of the same settings but these."""
    return type(estimator)(**{**estimator.get_params(deep=False), **settings})


def _without(estimator: Estimator, x: Floats, labels: NDArray[Any], rows: list[int]) -> tuple[Floats, NDArray[Any]]:
    if estimator.adjacency == "remove":
        return np.delete(x, rows, axis=0), np.delete(labels, rows)
    if estimator.fit_intercept:
        raise InputError(
            f"fit_intercept must be False to audit adjacency {estimator.adjacency}: of a row of zeros an intercept still learns"
        )
    left = x.copy()
    left[rows] = 0
    return left, labels


def _check_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """InputError where the reference takes other steps, which no claim is about."""
    for name, value in ours.items():
        if name != "learn_epochs" and value != theirs[name]:
            raise InputError(f"{name} must be the same without the rows, got {value} with them and {theirs[name]} without")
