"""The estimator for classes, with the interface of scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accountant.numerics import InputError, choice
from accountant.trainer.estimator import Estimator
from accountant.trainer.fitting import FLOATS, serial
from accountant.trainer.labels import RowLabels
from accountant.trainer.losses import Array, Logistic, Loss, Multinomial, SmoothedHinge
from accountant.trainer.runs import Run
from accountant.trainer.scikit import ClassifierMixin, available_if, check_classification_targets, validate_data
from accountant.trainer.weights import class_factors

if TYPE_CHECKING:
    from sklearn.utils import Tags

CLASSIFIER_LOSSES: Final = (Logistic.name, SmoothedHinge.name)


class PNSGDClassifier(ClassifierMixin, Estimator):  # type: ignore[misc]
    """Linear classification by noisy projected SGD that can unlearn rows with an (epsilon, delta) guarantee.

    What says "auto" follows from public numbers (n, the bound on rows, epsilon, delta, requests), never from rows or labels.

    epsilon >= 0, delta in (0, 1) (default 1/n): what holds after every request.
    requests >= 1: how many, of one row each, the noise is calibrated for: together they cost at most requests/40 fits (an epoch
        each, if learn_epochs says fewer than 40). More of them may come; ``cost_`` says what they cost.
    loss: "logistic" (multinomial for more than two classes) or "smoothed-hinge" (two classes, no probabilities).
    batch_size: rows per batch, at most n; None: all; "auto": that which leaves least noise. step_size: of (0, 1/L], L the
        smoothness with regularisation; None: 1/L; "auto": that, or less where too large batches would cost too much.
    learn_epochs >= 1: epochs of learning, accounted for as so many; "auto": until the start is forgotten, at least 10.
    regularisation: lambda >= 0 of lambda/2 ||w||^2, the intercept included; "auto": so large that noise drowns no score.
    unlearn_epochs >= 0: if given, noise is calibrated so that one row takes so many epochs, and not for requests.
    feature_bound: B > 0, bound on the 2-norm of rows, set without looking at them. long_rows: "scale" rows down to it, each by
        itself, here and in prediction; "leave" them, and then unlearning is refused if there are any.
    feature_range: (low, high), numbers or arrays (d,), the ranges that features can have, set without looking at the rows: they
        are centred, scaled and cut off by it, each row by itself (:mod:`accountant.trainer.preparation`); None: as they are.
    classes_of_norm: shares of feature_bound, 1 among them, set without looking at the rows, such as (1, 0.5, 0.25): a row's
        class is the smallest that holds its norm, and rows of small classes take fewer steps, which disclose the class
        (:mod:`accountant.trainer.norm_classes`). None: all rows take as many.
    fit_intercept: a constant feature 1 is added; rows then have norm at most sqrt(B^2 + 1).
    classes: all labels there may be, (k,), k >= 2; None: those of y, of each of which a row must then stay.
    class_weight: {label: weight > 0}, public; the largest counts 1, and labels that are left out have 1 before that.
        "balanced" is refused: it counts the labels. weight_bound > 0: largest ``sample_weight``, which counts 1; public.
    adjacency: "remove" (a removed row leaves), or "replace" (another may take its place; more noise). assignment: how rows come
        into batches: "secret", each by its own draw, the same in every epoch, under a key that must stay secret for ever; or
        "partition", one random partition, with adjacency "zero-out" (a removed row has no gradient any more) or "replace".
    largest_n: rows ever in, living or not, at most, of own draws (default 1.1 n); n itself where none will join.
    bound: "optimal", "paper" or "paper-geometric". batches: "random" (average over the batch order) or "worst" (any order).
    radius: R > 0 of the ball that parameters are projected on; None: no projection. sigma > 0: noise; None: calibrated.
    dtype: "float64" or "float32", of the rows that are kept; all that is computed is float64. random_state: an integer >= 0 for
        reproducible results, of copies and saved files too: whoever knows it can subtract the noise and draw every row's batch,
        so give none where a guarantee matters; None: seeded by the operating system, not by NumPy's global state, and anew in
        every copy.

    Saved models, pickles and copies hold the key of the draws: keep them secret, also when the rows are long gone.

    After fit: coef_ (1, d) or (k, d) and intercept_, in the units of X, of rows that are neither cut off nor scaled down;
    classes_, n_features_in_, delta_; batch_size_, regularisation_, learn_epochs_, step_size_ and sigma_, as they were given or
    follow; cost_; requests_ (the rows of each), steps_run_ (the steps of each), classes_run_ (the class of norm of each) and,
    after the first one, guarantee_. Raises InputError at fit for values out of range, UnreachableError where requests cannot
    be answered with any noise.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).uniform(-0.5, 0.5, (200, 3))
    >>> model = PNSGDClassifier(epsilon=1.0, requests=10, random_state=0).fit(X, X[:, 0] > 0)
    >>> model.unlearn([17]).unlearn([42, 43]).requests_
    ((17,), (42, 43))
    >>> model.guarantee_.epsilon(model.delta_) <= 1.0
    True
    >>> bool(model.predict([[0.4, 0.0, 0.0]])[0])
    True
    """

    def __init__(
        self,
        *,
        epsilon: float = 1.0,
        delta: float | None = None,
        loss: str = "logistic",
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
        classes: ArrayLike | None = None,
        class_weight: Mapping[Any, float] | None = None,
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
        self.loss = loss
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
        self.classes = classes
        self.class_weight = class_weight
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

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = self.loss != SmoothedHinge.name
        return tags

    @serial
    def fit(self, X: ArrayLike, y: ArrayLike, ids: ArrayLike | None = None, *, sample_weight: ArrayLike | None = None) -> Self:
        """Learn from rows X (n, d), n >= 2, with labels y (n,). Returns self.

        ids: (n,) what records are called, text or integers, by which they draw their batches. Without them the labels of X's
            index serve, or row numbers, where it has none or one of other labels than text and integers.
        sample_weight: (n,) from 0 to ``weight_bound``; each must be the row's own, computed from no other rows. Default ones.
        """
        self._forget()
        x, labels = validate_data(self, X, y, dtype=FLOATS, accept_sparse="csr", ensure_min_samples=2)
        named = RowLabels.of(X, x.shape[0])
        check_classification_targets(labels)
        self.classes_ = np.unique(labels if self.classes is None else np.asarray(self.classes))
        if self.classes_.size < 2:
            raise InputError(f"y must have at least 2 classes, got 1 class, {self.classes_[0]!r}")
        self._learn(x, self._labels(labels), named, ids, sample_weight)
        return self

    def _loss_of(self, feature_bound: float, regularisation: float) -> Loss:
        count = int(self.classes_.size)
        if choice("loss", self.loss, CLASSIFIER_LOSSES) == SmoothedHinge.name:
            if count > 2:
                raise InputError(f"Only binary classification is supported by loss=smoothed-hinge, got {count} classes")
            return SmoothedHinge(regularisation=regularisation, feature_bound=feature_bound)
        if count > 2:
            return Multinomial(classes=count, regularisation=regularisation, feature_bound=feature_bound)
        return Logistic(regularisation=regularisation, feature_bound=feature_bound)

    def _labels(self, y: ArrayLike) -> Array:
        places = {label: place for place, label in enumerate(self.classes_.tolist())}
        values, inverse = np.unique(y, return_inverse=True)
        strange = [value for value in values.tolist() if value not in places]
        if strange:
            raise InputError(f"y must have labels of {self.classes_.tolist()}, got {strange[0]!r}")
        at = np.array([places[value] for value in values.tolist()])[inverse]
        return 2.0 * at - 1 if self.classes_.size == 2 else at.astype(np.float64)

    def _weights(self, labels: Array, sample_weight: object) -> NDArray[np.float64] | None:
        weights, factors = super()._weights(labels, sample_weight), class_factors(self.class_weight, self.classes_)
        if factors is None:
            return weights
        at = (labels > 0) if self.classes_.size == 2 else labels
        own = factors[at.astype(np.int64)]
        return own if weights is None else own * weights

    def _filler(self) -> float:
        return -1.0 if self.classes_.size == 2 else 0.0

    def _check_left(self, labels: Array) -> None:
        if self.classes is not None:
            return
        missing = np.setdiff1d(self._labels(self.classes_), labels)
        if missing.size:
            name = self.classes_[self._labels(self.classes_) == missing[0]].tolist()[0]
            raise InputError(
                f"indices must leave a row of every class that was there at fit, got the last of {name!r}, which retraining "
                "would not know; fit with classes=... says which there may be"
            )

    def _assumptions(self, run: Run, requests: tuple[tuple[int, ...], ...]) -> list[str]:
        lines = super()._assumptions(run, requests)
        if self.classes is None:
            lines.append("the classes were read from the labels, and rows of each that were there at fit still are")
        return lines

    def _published(self, weights: Array, constants: Array) -> tuple[Array, Array | float]:
        return weights, constants

    def decision_function(self, X: ArrayLike) -> Array:
        """Scores (n,) of the second class, or (n, k) of more than two, for rows X (n, d)."""
        s = self._scores(X)
        return s[:, 0] if s.shape[1] == 1 else s

    def predict(self, X: ArrayLike) -> NDArray[np.generic]:
        """Labels (n,) for rows X (n, d)."""
        s = self._scores(X)
        at = (s[:, 0] > 0).astype(np.int64) if s.shape[1] == 1 else s.argmax(axis=1)
        return self.classes_[at]

    @available_if(lambda self: self.loss == Logistic.name)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: ArrayLike) -> Array:
        """Probabilities (n, k) for rows X (n, d); loss "logistic" only."""
        from scipy.special import expit, softmax

        s = self._scores(X)
        return np.hstack([expit(-s), expit(s)]) if s.shape[1] == 1 else softmax(s, axis=1)
