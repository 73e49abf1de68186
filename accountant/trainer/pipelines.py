"""Estimators in a :class:`sklearn.pipeline.Pipeline`: which steps before one remember rows, and requests through the steps.

A guarantee is about the estimator. A step that has learned from the rows, such as ``StandardScaler``, keeps what it learned of
the deleted ones, and with it whatever it does to the others. Steps that treat each row by itself, by numbers that were set
beforehand, remember nothing: ``Normalizer``, ``FunctionTransformer``, ``HashingVectorizer``, an ``OneHotEncoder`` with given
``categories``; and ``feature_range`` of the estimator does what scalers are for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from accountant.numerics import InputError
from accountant.trainer.before import learned_steps, what_they_do
from accountant.trainer.estimator import Estimator

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


def check_pipeline(pipeline: Pipeline) -> None:
    """InputError where a step before the last one has, or may have, learned from rows, with what to use instead.

    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import Normalizer
    >>> from accountant.trainer import PNSGDClassifier
    >>> check_pipeline(make_pipeline(Normalizer(), PNSGDClassifier()))
    """
    _last(pipeline)
    found = learned_steps(pipeline)
    if found:
        raise InputError(
            f"pipeline must have steps that learn nothing from rows before the estimator, got {what_they_do(found)}"
        )


def unlearn_in(
    pipeline: Pipeline, indices: ArrayLike | None = None, X: ArrayLike | None = None, y: ArrayLike | None = None, **options: Any
) -> Pipeline:
    """Answer a request to the estimator at the end of a pipeline; arguments as for its ``unlearn``. Returns the pipeline.

    X (S, d): rows that take places, as the pipeline takes them: they go through its steps. indices are row numbers of the X
    given to the pipeline, or labels where its steps keep the index. Raises InputError for a pipeline that
    :func:`check_pipeline` refuses, and whatever ``unlearn`` raises.

    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import Normalizer
    >>> from accountant.trainer import PNSGDClassifier
    >>> X = np.random.default_rng(0).uniform(-1, 1, (200, 3))
    >>> pipeline = make_pipeline(Normalizer(), PNSGDClassifier(batch_size=50, regularisation=0.1, sigma=0.1))
    >>> unlearn_in(pipeline.fit(X, X[:, 0] > 0), [17])[-1].requests_
    ((17,),)
    """
    check_pipeline(pipeline)
    _last(pipeline).unlearn(indices, None if X is None else _through(pipeline, X), y, **options)
    return pipeline


def learn_more_in(pipeline: Pipeline, X: ArrayLike, y: ArrayLike, **options: Any) -> Pipeline:
    """Rows X (k, d) with y (k,) join the estimator at the end of a pipeline; as its ``learn_more``. Returns the pipeline.

    Raises InputError for a pipeline that :func:`check_pipeline` refuses, and whatever ``learn_more`` raises.
    """
    check_pipeline(pipeline)
    _last(pipeline).learn_more(_through(pipeline, X), y, **options)
    return pipeline


def _last(pipeline: Pipeline) -> Estimator:
    steps = getattr(pipeline, "steps", None)
    last = steps[-1][1] if steps else None
    if not isinstance(last, Estimator):
        raise InputError(f"pipeline must be a Pipeline that ends with PNSGDClassifier or PNSGDRegressor, got {pipeline!r}")
    return last


def _through(pipeline: Pipeline, X: ArrayLike) -> Any:
    for _, step in pipeline.steps[:-1]:
        if step is not None and step != "passthrough":
            X = step.transform(X)
    return X
