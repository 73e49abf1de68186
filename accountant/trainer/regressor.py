"""The estimator for numbers, with the interface of scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from accountant.trainer.estimator import Estimator
from accountant.trainer.fitting import FLOATS, serial
from accountant.trainer.labels import RowLabels
from accountant.trainer.losses import Array, Loss, Ridge
from accountant.trainer.scikit import RegressorMixin, validate_data


class PNSGDRegressor(RegressorMixin, Estimator):  # type: ignore[misc]
    """Linear regression by noisy projected SGD that can unlearn rows with an (epsilon, delta) guarantee.

    The loss is half a squared residual, with the gradient clipped to norm ``clip``: a residual beyond clip/||x|| counts like
    one of that size (Huber). So targets should have a scale of about 1: divide them by a number chosen without looking at them.

    clip: C > 0, bound on the norm of a row's gradient, in units of the target times those of the features.
    All else as for :class:`PNSGDClassifier`, but classes and their weights; coef_ (d,), intercept_ a float.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).uniform(-0.5, 0.5, (200, 3))
    >>> model = PNSGDRegressor(epsilon=1.0, delta=1e-3, random_state=0).fit(X, X[:, 0])
    >>> model.unlearn([17]).guarantee_.epsilon(1e-3) <= 1.0
    True
    >>> model.predict(X).shape
    (200,)
    """

    def __init__(
        self,
        *,
        epsilon: float = 1.0,
        delta: float | None = None,
        clip: float = 1.0,
        requests: int = 100,
        batch_size: int | str | None = "auto",
        step_size: float | str | None = "auto",
        learn_epochs: int | str = "auto",
        unlearn_epochs: int | None = None,
        regularisation: float | str = "auto",
        feature_bound: float = 1.0,
        feature_range: tuple[ArrayLike, ArrayLike] | None = None,
        classes_of_norm: Sequence[float] | None = None,
        long_rows: str = "scale",
        fit_intercept: bool = True,
        weight_bound: float = 1.0,
        adjacency: str = "remove",
        assignment: str = "secret",
        largest_n: int | None = None,
        bound: str = "optimal",
        batches: str = "random",
        radius: float | None = None,
        sigma: float | None = None,
        dtype: str = "float64",
        random_state: int | None = None,
    ) -> None:
        self.epsilon = epsilon
        self.delta = delta
        self.clip = clip
        self.requests = requests
        self.batch_size = batch_size
        self.step_size = step_size
        self.learn_epochs = learn_epochs
        self.unlearn_epochs = unlearn_epochs
        self.regularisation = regularisation
        self.feature_bound = feature_bound
        self.feature_range = feature_range
        self.classes_of_norm = classes_of_norm
        self.long_rows = long_rows
        self.fit_intercept = fit_intercept
        self.weight_bound = weight_bound
        self.adjacency = adjacency
        self.assignment = assignment
        self.largest_n = largest_n
        self.bound = bound
        self.batches = batches
        self.radius = radius
        self.sigma = sigma
        self.dtype = dtype
        self.random_state = random_state

    @serial
    def fit(self, X: ArrayLike, y: ArrayLike, ids: ArrayLike | None = None, *, sample_weight: ArrayLike | None = None) -> Self:
        """Learn from rows X (n, d), n >= 2, with targets y (n,). Returns self.

        ids, sample_weight: (n,) identifiers and weights, as :meth:`PNSGDClassifier.fit` has them.
        """
        self._forget()
        x, labels = validate_data(self, X, y, dtype=FLOATS, accept_sparse="csr", y_numeric=True, ensure_min_samples=2)
        self._learn(x, self._labels(labels), RowLabels.of(X, x.shape[0]), ids, sample_weight)
        return self

    def _loss_of(self, feature_bound: float, regularisation: float) -> Loss:
        thresholds = () if self._norm_classes is None else self._norm_classes.thresholds
        return Ridge(regularisation=regularisation, feature_bound=feature_bound, clip=self.clip, thresholds=thresholds)

    def _labels(self, y: ArrayLike) -> Array:
        return np.asarray(y, dtype=np.float64)

    def _published(self, weights: Array, constants: Array) -> tuple[Array, Array | float]:
        return weights[0], float(constants[0])

    def predict(self, X: ArrayLike) -> Array:
        """Predictions (n,) for rows X (n, d)."""
        return self._scores(X)[:, 0]
