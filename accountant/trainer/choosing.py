"""Settings of an estimator: what was given, what follows from public numbers, and the algorithm, noise and stream of both.

Nothing is chosen by looking at rows or labels: batch size, regularisation, length of learning, step size and noise follow from
n, the bound on the rows, epsilon, delta and the number of requests (:func:`accountant.requests.choose_setting`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from accountant.curves import gdp_mu
from accountant.numerics import InputError, UnreachableError, choice, integer, number
from accountant.problem import PARTITION, PNSGD, REMEDIES, SECRET, rounding_of
from accountant.questions import UnlearningAccountant
from accountant.requests import AUTO, SHARE, UnlearningStream, choose_setting, redraws
from accountant.trainer.losses import Loss
from accountant.trainer.norm_classes import ROW_ROUNDING, NormClasses
from accountant.trainer.preparation import Preparation
from accountant.trainer.runs import Run
from accountant.trainer.scikit import BaseEstimator
from accountant.trainer.training import Trainer
from accountant.trainer.weights import Weighted

#: What says "auto".
_NAMES: Final = ("batch_size", "step_size", "regularisation", "learn_epochs")


class Chosen(NamedTuple):
    """What learning runs with, as given or as it follows. step_size None: 1/L. sigma None: calibrated for unlearn_epochs."""

    batch_size: int | str
    regularisation: float
    learn_epochs: int
    step_size: float | None = None
    sigma: float | None = None

    @classmethod
    def read(cls, data: Mapping[str, Any] | None, params: Mapping[str, Any], sigma: float) -> Self:
        """Those of a file, or of the parameters of an older one, which had nothing to choose."""
        if data is None:
            size = "full" if params["batch_size"] is None else params["batch_size"]
            return cls(size, params["regularisation"], params["learn_epochs"], None, sigma)
        told = [name for name in _NAMES if params.get(name, AUTO) not in (AUTO, None)]
        if any(params[name] != data[name] for name in told):
            raise InputError("its settings are not those that were given")
        step = number("step_size", data["step_size"], above=0)
        return cls(data["batch_size"], data["regularisation"], data["learn_epochs"], step, sigma)


class Choosing(BaseEstimator):  # type: ignore[misc]
    """The settings of both estimators; parameters are those of the subclasses."""

    epsilon: float
    delta: float | None
    requests: int
    batch_size: int | str | None
    step_size: float | str | None
    learn_epochs: int | str
    unlearn_epochs: int | None
    regularisation: float | str
    feature_bound: float
    feature_range: Any
    classes_of_norm: Any
    long_rows: str
    fit_intercept: bool
    weight_bound: float
    adjacency: str
    assignment: str
    largest_n: int | None
    bound: str
    batches: str
    radius: float | None
    sigma: float | None
    dtype: str
    random_state: int | None

    _loss: Loss
    _run: Run
    _stream: UnlearningStream
    _trainer: Trainer
    _ready: Preparation
    #: None where all rows are of one.
    _norm_classes: NormClasses | None
    #: Whether records have weights.
    _weighted: bool
    #: How often refit learned again.
    _refits: int
    #: Seconds of one step, as learning took them; None in files of earlier versions.
    _seconds: float | None
    #: Rows that were left longer than the bound.
    _long: int
    #: The parameters at fit, as text.
    _params: dict[str, str]

    @abstractmethod
    def _loss_of(self, feature_bound: float, regularisation: float) -> Loss:
        """The loss on rows of norm at most ``feature_bound``, intercept included."""

    def _set_up(
        self,
        norms: NDArray[np.float64],
        columns: int,
        *,
        n: int,
        chosen: Chosen | None = None,
        rounding: str | None = "float64",
        redraw: bool | None = None,
    ) -> None:
        """Loss, accountant, noise, trainer and stream for rows of these norms, and so many columns; n: rows at fit.

        chosen: what a file says; None: what was given, and what follows. rounding None: not counted, as in files of the first
        format. redraw None: what costs less.
        """
        choice("assignment", self.assignment, (SECRET, PARTITION))
        epsilon = number("epsilon", self.epsilon, at_least=0)
        self.delta_ = 1 / n if self.delta is None else number("delta", self.delta, above=0, below=1)
        bound = self._bound_of(norms)
        if chosen is None:
            chosen = self._chosen(self._loss_of(bound, 0.0), columns, n)
        self._loss = self._made(self._ready.bound, chosen.regularisation)
        loss = self._made(bound, chosen.regularisation)
        learned = integer("learn_epochs", chosen.learn_epochs, at_least=1)
        # Published streams are about converged learning, which covers every finite one.
        converged = self.bound == "paper" and loss.strong_convexity > 0
        algorithm = PNSGD(
            loss.problem(n, adjacency=self.adjacency),
            chosen.batch_size,
            step_size=chosen.step_size,
            radius=self.radius,
            learn_epochs=None if converged else learned,
            # The published bounds know exact numbers only: what rounding costs is looked at before each run.
            rounding=rounding if self.bound == "optimal" else None,
            dimension=loss.outputs * columns,
            assignment=self.assignment,
            largest_n=self.largest_n,
        )
        if algorithm.own_draws:
            algorithm = replace(algorithm, redraw=redraws(algorithm, epsilon, self.delta_) if redraw is None else redraw)
        accountant = UnlearningAccountant(algorithm, bound=self.bound, batches=self.batches)
        self.sigma_ = self._calibrated(accountant, epsilon) if chosen.sigma is None else number("sigma", chosen.sigma, above=0)
        self.batch_size_, self.step_size_ = int(algorithm.batch_size), float(algorithm.eta)
        self.regularisation_, self.learn_epochs_ = float(chosen.regularisation), learned
        self._stream = UnlearningStream(accountant, sigma=self.sigma_, epsilon=epsilon, delta=self.delta_)
        self._trainer = Trainer(loss, algorithm, sigma=self.sigma_, dtype=self.dtype, seed=self.random_state)

    def _chosen(self, loss: Loss, columns: int, n: int) -> Chosen:
        """What was given, and what follows of the rest; loss: its constants, without regularisation."""
        requests = integer("requests", self.requests, at_least=1)
        given = {name: getattr(self, name) for name in _NAMES}
        for name, value in given.items():
            if isinstance(value, str) and value != AUTO:
                raise InputError(
                    f"{name} must be auto or a number{' or None' * (name in ('batch_size', 'step_size'))}, got {value!r}"
                )
        if given["batch_size"] is None:
            given["batch_size"] = "full"
        # Published bounds know no law of all requests, and are calibrated for one.
        alone = self.unlearn_epochs is not None or self.bound != "optimal"
        whole = all(given[name] != AUTO for name in _NAMES if name != "step_size")
        if whole and (alone or self.sigma is not None):
            step = None if given["step_size"] in (AUTO, None) else number("step_size", given["step_size"], above=0)
            return Chosen(**{**given, "step_size": step}, sigma=self.sigma)
        setting = choose_setting(
            loss=loss,
            n=n,
            epsilon=self.epsilon,
            delta=self.delta_,
            requests=min(requests, self._most_requests(loss, n)),
            share=self._share(),
            **given,
            adjacency=self.adjacency,
            assignment=self.assignment,
            largest_n=self.largest_n,
            radius=self.radius,
            rounding="float64",
            dimension=loss.outputs * columns,
            batches=self.batches,
        )
        sigma = self.sigma if self.sigma is not None else None if alone else setting.sigma
        return Chosen(setting.batch_size, setting.regularisation, setting.learn_epochs, setting.step_size, sigma)

    def _share(self) -> float:
        """What a request may cost, in fits: 1/40, or an epoch of a learning that was said to be shorter than 40 of them."""
        if isinstance(self.learn_epochs, str):
            return SHARE
        return max(SHARE, 1 / integer("learn_epochs", self.learn_epochs, at_least=1))

    def _most_requests(self, loss: Loss, n: int) -> int:
        """Rows that may be deleted: all, or as many as others may take the places of."""
        if self.assignment != SECRET or self.adjacency != "replace":
            return n
        problem = loss.problem(n, adjacency=self.adjacency)
        largest = PNSGD(problem, 1, assignment=SECRET, largest_n=self.largest_n).largest_n
        assert largest is not None
        if largest == n:
            raise InputError(
                f"largest_n must be more than the {n} rows under adjacency replace, whose stand-ins count, got {n}"
            )
        return min(n, largest - n)

    @property
    def _first_epochs(self) -> int:
        """Epochs that are to be enough for one row, where that is what noise is calibrated for."""
        return 1 if self.unlearn_epochs is None else self.unlearn_epochs

    def _calibrated(self, accountant: UnlearningAccountant, epsilon: float) -> float:
        """The noise with which unlearn_epochs, one by default, are enough for one row."""
        epochs = integer("unlearn_epochs", self._first_epochs, at_least=accountant.minimum_steps)
        sigma = float(accountant.sigma(epsilon=epsilon, delta=self.delta_, epochs=epochs))
        # The stream adds up what rounding costs in another order, with other last digits.
        return sigma * (1 + (2.0**-30 if accountant.algorithm.rounding is not None else 0.0))

    def _check_rounding(self, steps: int) -> None:
        """UnreachableError where rounding is not counted and costs more than its share after so many steps of unlearning."""
        algorithm = self._trainer.algorithm
        if algorithm.rounding is not None:
            return
        rounding = rounding_of(replace(algorithm, rounding="float64"))
        assert rounding is not None
        cost, most = rounding.mu(self.sigma_, steps), float(gdp_mu(epsilon=self._stream.epsilon, delta=self._stream.delta))
        if not cost <= algorithm.rounding_share * most:
            raise UnreachableError(
                f"bound={self.bound} does not count rounding, which in float64 would cost mu = {cost:.3g} of the {most:.3g} "
                f"that epsilon and delta allow, more than the share {algorithm.rounding_share:g} that may be: {REMEDIES}"
            )

    def _bound_of(self, norms: NDArray[np.float64]) -> float:
        """On the norm of the rows to train on: the public one, or, if longer rows are left, theirs.

        Constants that hold of those were read off the data, so unlearning is refused then.
        """
        bound = self._ready.bound
        self._long = int((norms > bound * (1 + ROW_ROUNDING)).sum()) if self.long_rows == "leave" else 0
        return float(norms.max()) if self._long else bound

    def _made(self, bound: float, regularisation: float) -> Loss:
        loss = self._loss_of(bound, regularisation)
        return Weighted.of(loss) if self._weighted else loss
