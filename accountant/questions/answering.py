"""The unknown from the others: what every accountant answers, for single numbers and for arrays."""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar, Unpack, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accountant.numerics import Floats
from accountant.questions.outcome import Unknown, Value
from accountant.questions.question import Arrays, Question, Refusals, Scalars

Answered = TypeVar("Answered", covariant=True)


class Asked(Protocol[Answered]):
    """What can be asked: one unknown from the other numbers."""

    def ask(self, unknown: Unknown, asked: Question, refused: Refusals) -> Answered: ...
    def answer(self, unknown: Unknown, asked: Question) -> Value: ...


class Answering(Generic[Answered]):
    """The questions that have one number, or one array, as their answer."""

    _asking: Asked[Answered]

    def answer(self, unknown: Unknown, **numbers: Any) -> Value:
        """What the method of that name answers; InputError or UnreachableError for the first row that has no answer."""
        return self._asking.answer(unknown, Question(**numbers))

    @overload
    def epsilon(self, *, sigma: float, delta: float | None = None, **rest: Unpack[Scalars]) -> float: ...
    @overload
    def epsilon(self, *, sigma: ArrayLike, delta: ArrayLike | None = None, **rest: Unpack[Arrays]) -> Floats: ...
    def epsilon(
        self, *, sigma: ArrayLike, delta: ArrayLike | None = None,
        epochs: ArrayLike | None = None, steps: ArrayLike | None = None, start_distance: ArrayLike | None = None,
    ) -> float | Floats:  # fmt: skip
        """Smallest epsilon proven at ``delta`` for noise ``sigma`` after unlearning, rounded up."""
        asked = Question(sigma=sigma, delta=delta, epochs=epochs, steps=steps, start_distance=start_distance)
        return self._asking.answer("epsilon", asked)

    @overload
    def delta(self, *, sigma: float, epsilon: float, **rest: Unpack[Scalars]) -> float: ...
    @overload
    def delta(self, *, sigma: ArrayLike, epsilon: ArrayLike, **rest: Unpack[Arrays]) -> Floats: ...
    def delta(
        self, *, sigma: ArrayLike, epsilon: ArrayLike,
        epochs: ArrayLike | None = None, steps: ArrayLike | None = None, start_distance: ArrayLike | None = None,
    ) -> float | Floats:  # fmt: skip
        """Smallest delta proven at ``epsilon`` for noise ``sigma`` after unlearning, rounded up."""
        asked = Question(sigma=sigma, epsilon=epsilon, epochs=epochs, steps=steps, start_distance=start_distance)
        return self._asking.answer("delta", asked)

    @overload
    def sigma(self, *, epsilon: float, delta: float | None = None, **rest: Unpack[Scalars]) -> float: ...
    @overload
    def sigma(self, *, epsilon: ArrayLike, delta: ArrayLike | None = None, **rest: Unpack[Arrays]) -> Floats: ...
    def sigma(
        self, *, epsilon: ArrayLike, delta: ArrayLike | None = None,
        epochs: ArrayLike | None = None, steps: ArrayLike | None = None, start_distance: ArrayLike | None = None,
    ) -> float | Floats:  # fmt: skip
        """Smallest noise sigma that proves (``epsilon``, ``delta``) after unlearning.

        On the safe side: re-evaluated, it gives an epsilon at most the target. Where even less noise than 1e-300 would do,
        that number is returned.
        """
        asked = Question(epsilon=epsilon, delta=delta, epochs=epochs, steps=steps, start_distance=start_distance)
        return self._asking.answer("sigma", asked)

    @overload
    def epochs(
        self, *, sigma: float, epsilon: float, delta: float | None = None, start_distance: float | None = None
    ) -> int: ...
    @overload
    def epochs(
        self, *, sigma: ArrayLike, epsilon: ArrayLike, delta: ArrayLike | None = None, start_distance: ArrayLike | None = None
    ) -> NDArray[np.int64]: ...
    def epochs(
        self, *, sigma: ArrayLike, epsilon: ArrayLike, delta: ArrayLike | None = None,
        start_distance: ArrayLike | None = None,
    ) -> int | NDArray[np.int64]:  # fmt: skip
        """Smallest whole number of unlearning epochs that proves (``epsilon``, ``delta``); may be 0 under "optimal"."""
        counts = self._asking.answer(
            "epochs", Question(sigma=sigma, epsilon=epsilon, delta=delta, start_distance=start_distance)
        )
        return int(counts) if np.ndim(counts) == 0 else np.asarray(counts).astype(np.int64)

    @overload
    def steps(
        self, *, sigma: float, epsilon: float, delta: float | None = None, start_distance: float | None = None
    ) -> int: ...
    @overload
    def steps(
        self, *, sigma: ArrayLike, epsilon: ArrayLike, delta: ArrayLike | None = None, start_distance: ArrayLike | None = None
    ) -> NDArray[np.int64]: ...
    def steps(
        self, *, sigma: ArrayLike, epsilon: ArrayLike, delta: ArrayLike | None = None,
        start_distance: ArrayLike | None = None,
    ) -> int | NDArray[np.int64]:  # fmt: skip
        """Smallest number of unlearning steps that proves (``epsilon``, ``delta``); an epoch has J = ceil(n/b) of them.

        Also correct for a reference of a fixed number of epochs, where more steps of a started epoch help but the guarantee
        need not improve from the last step of one epoch to the first of the next.
        """
        counts = self._asking.answer(
            "steps", Question(sigma=sigma, epsilon=epsilon, delta=delta, start_distance=start_distance)
        )
        return int(counts) if np.ndim(counts) == 0 else np.asarray(counts).astype(np.int64)
